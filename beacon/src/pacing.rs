//! When the next own vertex is due.
//!
//! Under load the time between two own vertices follows what rounds wait for: how much longer than the least a quorum takes
//! now is time in queues, of processors or of links, and none of the network. While there is none, rounds are as short as
//! they may be. Where there is, shorter ones would only cost more and bring nothing earlier, so they grow until their own
//! cost no longer makes them wait, and hold more transactions each. Delay-based congestion control (TCP Vegas) tells
//! queues from distance in the same way.

use std::collections::VecDeque;

use fresnel_types::{AuthoritySet, Round, Timestamp};

use crate::limits::EAGER_ROUNDS;

/// Local timing, in microseconds. No other beacon depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pacing {
    /// Least time between two own vertices under load; at least 1.
    pub interval_min: u64,
    /// What that grows to when rounds wait in queues.
    pub interval_max: u64,
    /// Time between two own vertices when there is nothing to order.
    pub heartbeat: u64,
    /// Longest wait for further anchors once a quorum of a round is there.
    pub anchor_wait_max: u64,
    /// When nothing moves, the first wait before own messages are sent again.
    pub resend_min: u64,
    /// What that wait grows to.
    pub resend_max: u64,
}

impl Default for Pacing {
    fn default() -> Self {
        Self {
            interval_min: 10_000,
            interval_max: 50_000,
            heartbeat: 250_000,
            anchor_wait_max: 20_000,
            resend_min: 20_000,
            resend_max: 1_000_000,
        }
    }
}

/// Decides when to propose, from what was measured of earlier rounds.
#[derive(Debug)]
pub(crate) struct Pacer {
    pacing: Pacing,
    wait_max: u64,
    /// When the last own vertex was made, by the own clock.
    last_own: Option<Timestamp>,
    /// The highest round of which a quorum is in the DAG, and since when.
    quorum: Round,
    quorum_at: Timestamp,
    /// From an own vertex to a quorum of its round.
    to_quorum: Samples,
    /// The least of that, of many rounds.
    least: Least,
    /// From an own vertex to its certificate.
    to_certificate: Samples,
    /// Per author: in how many of its last turns as an anchor it was missing, up to two.
    missed: Vec<u8>,
}

/// What else the decision depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation {
    /// Whether there is a reason to hurry; otherwise heartbeats.
    pub(crate) load: bool,
    /// Whose vertices of the quorum's round are missing and worth a wait.
    pub(crate) missing: AuthoritySet,
    /// Rounds past the last commit's anchor.
    pub(crate) uncommitted: u64,
}

impl Pacer {
    pub(crate) fn new(pacing: Pacing, wait_max: u64, authorities: usize, now: Timestamp) -> Self {
        Self {
            pacing,
            wait_max,
            last_own: None,
            quorum: Round(0),
            quorum_at: now,
            to_quorum: Samples::default(),
            least: Least::default(),
            to_certificate: Samples::default(),
            missed: vec![0; authorities],
        }
    }

    /// The highest round of which a quorum is there.
    pub(crate) fn quorum(&self) -> Round {
        self.quorum
    }

    /// A quorum of a higher round is there; `own` is the round of the last own vertex.
    pub(crate) fn reached(&mut self, round: Round, own: Round, now: Timestamp) {
        if let Some(since) = self.last_own.filter(|_| own == round) {
            let taken = now.since(since);
            self.to_quorum.add(taken);
            self.least.add(taken);
        }
        self.quorum = round;
        self.quorum_at = now;
    }

    /// The last own vertex is certified.
    pub(crate) fn certified(&mut self, now: Timestamp) {
        if let Some(since) = self.last_own {
            self.to_certificate.add(now.since(since));
        }
    }

    /// An own vertex was made on top of the quorum's round, in which the vertices of `awaited` were worth a wait and those
    /// of `present` there.
    pub(crate) fn proposed(&mut self, awaited: &AuthoritySet, present: &AuthoritySet, now: Timestamp) {
        self.last_own = Some(now);
        for author in awaited.iter() {
            let missed = &mut self.missed[author.index()];
            *missed = if present.contains(author) { 0 } else { (*missed + 1).min(2) };
        }
    }

    /// When the next own vertex is due, given that a quorum of a round at or past the own is there.
    pub(crate) fn due(&self, situation: Situation) -> Timestamp {
        let paced = self.last_own.map_or(Timestamp(0), |last| {
            last.plus(if situation.load { self.interval() } else { self.pacing.heartbeat })
        });
        if situation.missing.iter().all(|author| self.missed[author.index()] >= 2) {
            return paced;
        }
        let cap = self.pacing.anchor_wait_max;
        let wait = if situation.uncommitted > EAGER_ROUNDS {
            let doublings = (situation.uncommitted - EAGER_ROUNDS).min(20);
            cap.max(1).saturating_mul(1 << doublings).min(self.wait_max)
        } else {
            self.to_quorum.median().map_or(cap, |median| cap.min(median / 2))
        };
        paced.max(self.quorum_at.plus(wait))
    }

    /// Time between two own vertices under load.
    fn interval(&self) -> u64 {
        let least = self.pacing.interval_min.max(1);
        let queued =
            self.to_quorum.median().zip(self.least.get()).map_or(0, |(now, least)| now.saturating_sub(least));
        queued.saturating_mul(QUEUED_TIMES).clamp(least, self.pacing.interval_max.max(least))
    }

    /// How long to wait for an answer before asking or saying it again.
    pub(crate) fn patience(&self) -> u64 {
        let median = self.to_certificate.median().unwrap_or(0);
        median.saturating_mul(2).clamp(self.pacing.resend_min, self.pacing.resend_max)
    }

    /// The wait after `wait`.
    pub(crate) fn longer(&self, wait: u64) -> u64 {
        (wait * 2).min(self.pacing.resend_max)
    }

    pub(crate) fn pacing(&self) -> &Pacing {
        &self.pacing
    }
}

/// The last few durations.
#[derive(Debug, Default)]
struct Samples(VecDeque<u64>);

impl Samples {
    fn add(&mut self, sample: u64) {
        if self.0.len() >= SAMPLES {
            self.0.pop_front();
        }
        self.0.push_back(sample);
    }

    fn median(&self) -> Option<u64> {
        let mut sorted: Vec<u64> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }
}

/// The least of many durations: of those since the last turn and of those of the turn before.
#[derive(Debug, Default)]
struct Least {
    before: Option<u64>,
    now: Option<u64>,
    taken: usize,
}

impl Least {
    fn add(&mut self, sample: u64) {
        if self.taken == LEAST_SAMPLES {
            *self = Self { before: self.now, ..Self::default() };
        }
        self.taken += 1;
        self.now = Some(self.now.map_or(sample, |least| least.min(sample)));
    }

    fn get(&self) -> Option<u64> {
        self.before.into_iter().chain(self.now).min()
    }
}

const SAMPLES: usize = 16;

/// Rounds of a turn: so many that some met no queue, and so few that a network which became slower is known in minutes.
const LEAST_SAMPLES: usize = 512;

/// How many times what a round waits in queues the interval is: once would be no more than the wait itself.
const QUEUED_TIMES: u64 = 2;

#[cfg(test)]
mod tests {
    use fresnel_types::AuthorityIndex;

    use super::*;

    fn pacer() -> Pacer {
        let mut pacer = Pacer::new(Pacing::default(), 4_000_000, 4, Timestamp(0));
        pacer.proposed(&AuthoritySet::default(), &AuthoritySet::default(), Timestamp(1_000));
        pacer.reached(Round(1), Round(1), Timestamp(9_000));
        pacer
    }

    fn calm() -> Situation {
        Situation { load: false, missing: AuthoritySet::default(), uncommitted: 0 }
    }

    fn late() -> AuthoritySet {
        [AuthorityIndex(2)].into_iter().collect()
    }

    #[test]
    fn heartbeats_without_load_and_the_least_interval_with_it() {
        assert_eq!(pacer().due(calm()), Timestamp(251_000));
        assert_eq!(pacer().due(Situation { load: true, ..calm() }), Timestamp(11_000));
    }

    #[test]
    fn rounds_that_wait_in_queues_are_longer_and_far_ones_are_not() {
        let interval = |durations: &[u64]| {
            let mut pacer = Pacer::new(Pacing::default(), 4_000_000, 4, Timestamp(0));
            let nobody = AuthoritySet::default();
            for (round, taken) in (1..).map(Round).zip(durations) {
                pacer.proposed(&nobody, &nobody, Timestamp(0));
                pacer.reached(round, round, Timestamp(*taken));
            }
            pacer.due(Situation { load: true, ..calm() }).0
        };
        assert_eq!(interval(&[80_000; 40]), 10_000, "that is how far away the others are");
        assert_eq!(interval(&[[3_000].as_slice(), &[9_000; 16]].concat()), 2 * 6_000);
        assert_eq!(interval(&[[3_000].as_slice(), &[400_000; 16]].concat()), 50_000, "never more");
        let slower = [[3_000].as_slice(), &[80_000; 2 * LEAST_SAMPLES]].concat();
        assert_eq!(interval(&slower), 10_000, "what was long ago is forgotten");
    }

    #[test]
    fn who_is_missing_is_waited_for_shortly_and_not_a_third_time() {
        let situation = Situation { load: true, missing: late(), uncommitted: 0 };
        let nobody = AuthoritySet::default();
        let mut pacer = pacer();
        assert_eq!(pacer.due(situation), Timestamp(13_000), "half of 8 ms after the quorum");
        pacer.proposed(&late(), &nobody, Timestamp(1_000));
        pacer.proposed(&late(), &nobody, Timestamp(1_000));
        assert_eq!(pacer.due(situation), Timestamp(11_000));
        pacer.proposed(&late(), &late(), Timestamp(1_000));
        assert_eq!(pacer.due(situation), Timestamp(13_000));
    }

    #[test]
    fn without_commits_the_wait_doubles_up_to_the_maximum() {
        let due = |uncommitted| pacer().due(Situation { load: true, missing: late(), uncommitted });
        assert_eq!(due(64), Timestamp(13_000));
        assert_eq!(due(65), Timestamp(9_000 + 40_000));
        assert_eq!(due(66), Timestamp(9_000 + 80_000));
        assert_eq!(due(1_000), Timestamp(9_000 + 4_000_000));
    }
}
