//! Applying faults to a running cluster.

use fresnel_types::{AuthorityIndex, BlockIndex, Party, ShardId};

use super::{Cluster, Event, STAGGER};
use crate::{
    disk::SimDisk,
    faults::{Fault, Moment},
    host::Disks,
    invariants::{Broken, hold},
    random::Random,
};

/// A crash or loss of power that waits for its moment.
pub(super) struct Armed {
    pub(super) fault: Fault,
    /// Writes of its machines that still pass.
    writes: u64,
}

impl Cluster {
    pub(super) fn fault(&mut self, fault: Fault) {
        let now = self.scheduler.now();
        match fault {
            Fault::Crash { moment: Moment::Now, .. } | Fault::PowerLoss { moment: Moment::Now, .. } => {
                self.strike(&fault);
            }
            Fault::Crash { .. } | Fault::PowerLoss { .. } => {
                let writes = if let Moment::AfterWrites(writes) = fault.moment() { writes } else { 0 };
                self.armed.push(Armed { fault, writes });
            }
            Fault::Duplication { permille, period } => self.network.duplicate(permille, now.plus(period)),
            Fault::Disorder { micros, period } => self.network.disorder(micros, now.plus(period)),
            Fault::Freeze { machines, period } => {
                let certified = self.monitor.certified();
                let up =
                    machines.iter().map(|party| self.index[party]).filter(|index| self.hosts[*index].is_up());
                up.for_each(|index| {
                    self.frozen.entry(index).or_default();
                });
                self.report.freezes += machines.len() as u64;
                self.scheduler.after(period, Event::Thaw(machines, certified));
            }
            Fault::DiskLoss { authority, down } => self.lose_disks(authority, down),
            Fault::SyncError { machine } => self.hosts[self.index[&machine]].fail_next_sync(),
            Fault::Partition { from, to, one_way, period } => {
                let mut links: Vec<(AuthorityIndex, AuthorityIndex)> =
                    from.iter().flat_map(|a| to.iter().map(|b| (*a, *b))).collect();
                if !one_way {
                    let back: Vec<_> = links.iter().map(|(a, b)| (*b, *a)).collect();
                    links.extend(back);
                }
                links.iter().for_each(|(a, b)| self.network.cut(*a, *b));
                self.scheduler.after(period, Event::Mend(links));
            }
            Fault::Loss { permille, period } => self.network.lose(permille, now.plus(period)),
            Fault::Slow { authority, micros, period } => {
                self.network.slow_down(authority, micros, now.plus(period));
            }
            Fault::Clock { authority, offset } => {
                for index in 0..self.hosts.len() {
                    if self.hosts[index].party.authority() == Some(authority) {
                        self.hosts[index].set_clock(offset);
                        self.schedule_tick(index);
                    }
                }
            }
        }
    }

    /// Takes the fault that strikes at this write of a machine, if one does.
    pub(super) fn take_armed(&mut self, index: usize) -> Option<Fault> {
        if !self.hosts[index].is_dirty() {
            return None;
        }
        let place = self.armed.iter().position(|armed| self.machines(&armed.fault).contains(&index))?;
        let armed = &mut self.armed[place];
        if let Some(left) = armed.writes.checked_sub(1) {
            armed.writes = left;
            return None;
        }
        Some(self.armed.swap_remove(place).fault)
    }

    /// Lets machines go on. X3: while a whole shard stood still, the others went on without it.
    pub(super) fn thaw(&mut self, machines: &[Party], before: &[BlockIndex]) -> Result<(), Broken> {
        for party in machines {
            let index = self.index[party];
            let slept = self.frozen.remove(&index).unwrap_or_default();
            slept.into_iter().for_each(|event| self.scheduler.after(0, event));
            self.wake(index);
            self.schedule_tick(index);
        }
        let shards = self.setup.rules.shards;
        let stood = |shard: ShardId| {
            let committee = &self.setup.rules.committee;
            committee.indices().all(|authority| machines.contains(&Party::Worker(authority, shard)))
        };
        if shards.iter().any(stood) {
            let now = self.monitor.certified();
            for shard in shards.iter().filter(|shard| !stood(*shard)) {
                let (before, after) = (before[shard.index()], now[shard.index()]);
                hold!("X3", after > before, "shard {shard} was certified up to {before} all the time");
                self.report.went_on += 1;
            }
        }
        Ok(())
    }

    /// Ends processes now: those of a crash or loss of power.
    pub(super) fn strike(&mut self, fault: &Fault) {
        let power = matches!(fault, Fault::PowerLoss { .. });
        let (Fault::Crash { down, .. } | Fault::PowerLoss { down, .. }) = *fault else { return };
        if let Fault::PowerLoss { authorities, .. } = fault {
            self.report.power_losses += authorities.len() as u64;
        }
        for index in self.machines(fault) {
            self.frozen.remove(&index);
            let write_through = self.random.chance(800);
            self.hosts[index].crash(write_through);
            if power {
                self.hosts[index].lose_power();
            }
            let early = self.random.below(STAGGER);
            self.scheduler.after(down.saturating_sub(early).max(1), Event::Start(index));
        }
    }

    /// Ends the machines of an authority and lets them begin anew; what they knew is gone. Who had nothing ordered yet need
    /// not be known to anybody.
    fn lose_disks(&mut self, authority: AuthorityIndex, down: u64) {
        if !self.monitor.has_ordered(authority) {
            return;
        }
        self.report.disk_losses += 1;
        self.monitor.lost(authority);
        for index in 0..self.hosts.len() {
            let party = self.hosts[index].party;
            if party.authority() == Some(authority) {
                self.frozen.remove(&index);
                self.hosts[index].crash(false);
                let seed = self.setup.options.seed;
                let disk = |what| SimDisk::new(Random::new(seed, &format!("new {what} of {party:?}")));
                self.hosts[index].replace(Disks { log: disk("disk"), checkpoints: disk("checkpoints") });
                let early = self.random.below(STAGGER);
                self.scheduler.after(down.saturating_sub(early).max(1), Event::Start(index));
            }
        }
    }

    /// The machines whose processes a fault ends.
    pub(super) fn machines(&self, fault: &Fault) -> Vec<usize> {
        let concerns = |party: &Party| match fault {
            Fault::Crash { machines, .. } => machines.contains(party),
            Fault::PowerLoss { authorities, .. } => {
                party.authority().is_some_and(|authority| authorities.contains(&authority))
            }
            _ => false,
        };
        (0..self.hosts.len()).filter(|index| concerns(&self.hosts[*index].party)).collect()
    }
}
