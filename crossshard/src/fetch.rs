//! Whom to ask for missing bundles and when: the own sibling first, then the other authorities' workers of the own
//! shard in turn, waiting longer after every full turn.

use fresnel_types::{AuthorityIndex, Party, ShardId, Timestamp, verify::Rules};

/// Where asking for one source's bundles stands.
#[derive(Debug, Default)]
pub(crate) struct Fetch {
    /// When to ask (again); none while nothing is missing.
    pub(crate) deadline: Option<Timestamp>,
    /// Whom was asked last.
    pub(crate) target: Option<Party>,
    /// Bundles that came from the target since it was asked.
    pub(crate) answered: usize,
    attempts: usize,
    wait: u64,
}

impl Fetch {
    /// Bundles are missing; they may well be under way.
    pub(crate) fn missing(&mut self, now: Timestamp) {
        self.deadline.get_or_insert(now.plus(GRACE));
    }

    /// A block waits for them.
    pub(crate) fn urgent(&mut self, now: Timestamp) {
        let soon = now.plus(if self.attempts == 0 { URGENT_GRACE } else { WAIT_MIN });
        self.deadline = Some(self.deadline.map_or(soon, |deadline| deadline.min(soon)));
    }

    /// What came was wrong: ask the next one at once.
    pub(crate) fn contradicted(&mut self, now: Timestamp) {
        self.deadline = Some(now);
    }

    /// The target makes progress: leave it some more time.
    pub(crate) fn progress(&mut self, now: Timestamp) {
        if self.target.is_some() {
            self.deadline = Some(now.plus(self.wait));
        }
    }

    /// Picks whom to ask now; nobody when there is no one.
    pub(crate) fn next(
        &mut self,
        now: Timestamp,
        rules: &Rules,
        own: (AuthorityIndex, ShardId),
        source: Option<ShardId>,
    ) -> Option<Party> {
        let (authority, shard) = own;
        let size = rules.committee.size();
        let others = size - 1;
        let candidates = others + usize::from(source.is_some());
        if candidates == 0 {
            self.deadline = None;
            return None;
        }
        let turn = self.attempts % candidates;
        let rounds = (self.attempts / candidates).min(BACK_OFF_MAX);
        let target = match source {
            Some(source) if turn == 0 => Party::Worker(authority, source),
            _ => {
                let step = turn + usize::from(source.is_none());
                let peer = (authority.index() + step) % size;
                Party::Worker(AuthorityIndex(peer as u16), shard)
            }
        };
        self.attempts += 1;
        self.wait = WAIT_MIN << rounds;
        self.deadline = Some(now.plus(self.wait));
        self.target = Some(target);
        self.answered = 0;
        Some(target)
    }
}

/// Microseconds that a certified record's bundle may be under way before anybody is asked.
const GRACE: u64 = 100_000;

/// The same when a block waits for it.
const URGENT_GRACE: u64 = 20_000;

/// Microseconds that the one asked has to answer.
const WAIT_MIN: u64 = 100_000;

/// How often the wait doubles.
const BACK_OFF_MAX: usize = 6;
