//! What must have come about at certain instants of a run: progress after healing, and an end with everything settled.

use crate::{
    Choice, Report,
    host::Host,
    invariants::{Broken, hold},
    machines::AnyMachine,
    options::DEEP_FLOOR,
};

use super::{Cluster, Event, PROGRESS_INTERVAL, RECONNECT_INTERVAL};

impl Cluster {
    /// L1: after healing commits resume in bounded time, and soon every beacon has them.
    pub(super) fn check_progress(&mut self) -> Result<(), Broken> {
        let now = self.scheduler.now();
        let (healed, before) = self.healed.expect("progress is checked after healing");
        let (least, most) = self.monitor.commits();
        if least > before {
            self.report.healing_ms = now.since(healed) / 1_000;
            return Ok(());
        }
        let rules = &self.setup.rules;
        let waits = rules.committee.validity() * rules.parameters.wait_max;
        let bound = 10 * self.network.round_trip_max() + waits + RESEND_MAX + RECONNECT_INTERVAL;
        hold!(
            "L1",
            now.since(healed) <= bound || most > before,
            "{} ms after healing nobody is beyond commit {before}: {}",
            bound / 1_000,
            self.positions()
        );
        hold!(
            "L1",
            now.since(healed) <= CATCH_UP_MAX,
            "{} ms after healing not every beacon is beyond commit {before}: {}",
            CATCH_UP_MAX / 1_000,
            self.positions()
        );
        self.scheduler.after(PROGRESS_INTERVAL, Event::CheckProgress);
        Ok(())
    }

    /// Whether everything is settled and everybody has caught up; fails when that takes too long.
    pub(super) fn check_end(&mut self) -> Result<(), Broken> {
        let last_block = self.monitor.last_block();
        let behind = |host: &Host| {
            let status = host.machine().and_then(|machine| machine.worker());
            status.is_some_and(|status| last_block[status.shard.index()] > status.executed)
        };
        if !self.must_settle() {
            self.finished = true;
            return self.convict();
        }
        let honest = || self.hosts.iter().filter(|host| !self.adversaries.contains(host.party));
        let all_there = honest().all(Host::is_up) && !honest().any(behind);
        let settled = self.workload.unsettled() == 0 && self.monitor.all_returned();
        if all_there && settled && self.report.healing_ms > 0 {
            self.finished = true;
            self.convict()?;
            return self.monitor.settled();
        }
        let limit = self.setup.options.duration + SETTLE_MAX;
        hold!(
            "L1",
            self.elapsed() < limit,
            "{} transactions are not settled ({}), somebody did not return, or a worker is behind {last_block:?}: {}",
            self.workload.unsettled(),
            self.workload.example(),
            self.positions()
        );
        self.scheduler.after(PROGRESS_INTERVAL, Event::CheckEnd);
        Ok(())
    }

    /// Equivocation that was seen is proven.
    fn convict(&mut self) -> Result<(), Broken> {
        let witnesses = self.check_witnesses()?;
        if witnesses > 0 {
            self.adversaries.deeds.add("equivocations witnessed", witnesses);
        }
        Ok(())
    }

    /// Whether all that is under way must come to an end, whoever lies.
    fn must_settle(&self) -> bool {
        let lies = self.setup.options.adversary != Choice::None;
        !lies || self.setup.rules.parameters.floor_depth >= DEEP_FLOOR
    }

    /// Where every machine is, for a violation.
    fn positions(&self) -> String {
        let mut text = String::new();
        for host in &self.hosts {
            let machine = host.machine();
            if let Some(status) = machine.and_then(|machine| machine.beacon()) {
                text += &format!("\n  {:?}: {status:?}", host.party);
            } else if let Some(status) = machine.and_then(|machine| machine.worker()) {
                text += &format!("\n  {:?}: {status:?}", host.party);
            } else if machine.is_none() {
                text += &format!("\n  {:?}: down", host.party);
            }
        }
        text
    }

    pub(super) fn report(&self) -> Report {
        let (commits, blocks, records) = self.monitor.counts();
        let counts = self.workload.counts;
        let mut deeds = self.adversaries.deeds.clone();
        let honest = self.hosts.iter().filter(|host| !self.adversaries.contains(host.party));
        let evidence: usize = honest.filter_map(Host::machine).map(AnyMachine::evidence).sum();
        if evidence > 0 {
            deeds.add("equivocations proven", evidence as u64);
        }
        Report {
            commits,
            blocks,
            records,
            bounces: self.monitor.bounces(),
            full_windows: counts.full_windows,
            submitted: counts.submitted,
            resubmitted: counts.resubmitted,
            copies: counts.copies,
            finals: counts.finals,
            settled: counts.settled,
            deeds,
            simulated_ms: self.elapsed() / 1_000,
            trace: hex::encode(&self.trace.finalize().as_bytes()[..8]),
            ..self.report.clone()
        }
    }
}

/// What the pause between two re-sends of a beacon grows to.
const RESEND_MAX: u64 = 1_000_000;

/// How long a beacon may take after healing until it has what was committed before.
const CATCH_UP_MAX: u64 = 20_000_000;

/// After the end of the load everything must be settled within this.
const SETTLE_MAX: u64 = 60_000_000;
