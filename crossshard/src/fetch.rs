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
    /// Whether to ask from what is confirmed on, so that this one's word replaces the lies of those before; in every
    /// other full turn it is from the end on, so that a long answer that lost a part is completed.
    pub(crate) from_confirmed: bool,
    /// Whose turn is next: 0 is the own sibling. Stays with whoever made progress, also when nothing is missing for a
    /// while, so that a dead sibling costs its wait once.
    turn: usize,
    /// Whom that was.
    asked: usize,
    /// Requests without progress since the last one with.
    fruitless: usize,
}

impl Fetch {
    /// Bundles are missing; they may well be under way.
    pub(crate) fn missing(&mut self, now: Timestamp) {
        self.deadline.get_or_insert(now.plus(GRACE));
    }

    /// A block waits for them.
    pub(crate) fn urgent(&mut self, now: Timestamp) {
        let soon = now.plus(if self.target.is_none() { URGENT_GRACE } else { WAIT_MIN });
        self.deadline = Some(self.deadline.map_or(soon, |deadline| deadline.min(soon)));
    }

    /// What came was wrong: ask the next one at once.
    pub(crate) fn contradicted(&mut self, now: Timestamp) {
        self.deadline = Some(now);
    }

    /// The target makes progress: it gets more time, and the next request.
    pub(crate) fn progress(&mut self, now: Timestamp) {
        self.turn = self.asked;
        self.fruitless = 0;
        self.deadline = Some(now.plus(WAIT_MIN));
    }

    /// The own sibling speaks: it is asked first again.
    pub(crate) fn sibling_speaks(&mut self) {
        self.turn = 0;
    }

    /// Nothing is missing.
    pub(crate) fn complete(&mut self) {
        *self = Self { turn: self.turn, ..Self::default() };
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
        let turn = self.turn % candidates;
        let target = match source {
            Some(source) if turn == 0 => Party::Worker(authority, source),
            _ => {
                let step = turn + usize::from(source.is_none());
                let peer = (authority.index() + step) % size;
                Party::Worker(AuthorityIndex(peer as u16), shard)
            }
        };
        let doublings = (self.fruitless / candidates).min(BACK_OFF_MAX);
        self.from_confirmed = (self.fruitless / candidates).is_multiple_of(2);
        self.asked = turn;
        self.turn = (turn + 1) % candidates;
        self.fruitless += 1;
        self.deadline = Some(now.plus(WAIT_MIN << doublings));
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
const BACK_OFF_MAX: usize = 4;
