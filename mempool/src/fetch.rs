//! Batches that the order or a proposal names and that are not here: asked for at the author, then at the others in turn.
//!
//! Few are asked for at a time, so that a worker that catches up does not drown; what a proposal needs goes first,
//! since a vote waits for it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fresnel_types::{AuthorityIndex, BatchId, Effect, Message, Party, Round, ShardId, Timestamp};

use crate::limits::{FETCH_BACK_OFF_MAX, FETCH_WAIT, FETCHES_MAX, REQUEST_BATCHES_MAX};

/// Why a batch is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A proposal names it; no more after the floor has passed the round.
    Named(Round),
    /// It is ordered.
    Ordered,
}

#[derive(Debug)]
struct Want {
    author: AuthorityIndex,
    reason: Reason,
    attempts: usize,
    /// When the one asked is late; none while it waits to be asked for.
    deadline: Option<Timestamp>,
}

/// What is wanted.
#[derive(Debug)]
pub(crate) struct Fetch {
    authority: AuthorityIndex,
    shard: ShardId,
    committee_size: usize,
    wants: BTreeMap<BatchId, Want>,
    /// To be asked for, next first. May name what is not wanted any more.
    queue: VecDeque<BatchId>,
    /// Asked for, by deadline.
    asked: BTreeSet<(Timestamp, BatchId)>,
}

impl Fetch {
    pub(crate) fn new(authority: AuthorityIndex, shard: ShardId, committee_size: usize) -> Self {
        Self {
            authority,
            shard,
            committee_size,
            wants: BTreeMap::new(),
            queue: VecDeque::new(),
            asked: BTreeSet::new(),
        }
    }

    /// Adds a batch, or another reason for it.
    pub(crate) fn want(&mut self, id: BatchId, author: AuthorityIndex, reason: Reason) {
        if let Some(want) = self.wants.get_mut(&id) {
            if want.reason != Reason::Ordered {
                want.reason = reason;
            }
            return;
        }
        self.wants.insert(id, Want { author, reason, attempts: 0, deadline: None });
        match reason {
            Reason::Named(_) => self.queue.push_front(id),
            Reason::Ordered => self.queue.push_back(id),
        }
    }

    /// The batch is here: why it was wanted, if it was.
    pub(crate) fn arrived(&mut self, id: &BatchId) -> Option<Reason> {
        let want = self.wants.remove(id)?;
        if let Some(deadline) = want.deadline {
            self.asked.remove(&(deadline, *id));
        }
        Some(want.reason)
    }

    /// Forgets what proposals at or below the floor named.
    pub(crate) fn raise_floor(&mut self, floor: Round) {
        let asked = &mut self.asked;
        self.wants.retain(|id, want| {
            let wanted = !matches!(want.reason, Reason::Named(round) if round < floor);
            if !wanted && let Some(deadline) = want.deadline {
                asked.remove(&(deadline, *id));
            }
            wanted
        });
        self.queue.retain(|id| self.wants.contains_key(id));
    }

    /// Asks for as many as may be under way; how many requests that took.
    pub(crate) fn ask(&mut self, now: Timestamp, effects: &mut Vec<Effect>) -> u64 {
        if self.committee_size == 1 {
            return 0;
        }
        while let Some(&(deadline, id)) = self.asked.first()
            && deadline <= now
        {
            self.asked.pop_first();
            let want = self.wants.get_mut(&id).expect("what was asked for is wanted");
            want.attempts += 1;
            want.deadline = None;
            self.queue.push_front(id);
        }
        let mut requests: BTreeMap<AuthorityIndex, Vec<BatchId>> = BTreeMap::new();
        while self.asked.len() < FETCHES_MAX
            && let Some(id) = self.queue.pop_front()
        {
            // One that came, was dropped and is wanted again may stand in the queue twice.
            let Some(want) = self.wants.get_mut(&id).filter(|want| want.deadline.is_none()) else { continue };
            let others = self.committee_size - 1;
            let rounds = (want.attempts / others).min(FETCH_BACK_OFF_MAX);
            let deadline = now.plus(FETCH_WAIT << rounds);
            want.deadline = Some(deadline);
            self.asked.insert((deadline, id));
            let target = target(self.authority, self.committee_size, want.author, want.attempts);
            requests.entry(target).or_default().push(id);
        }
        let mut count = 0;
        for (target, ids) in requests {
            for ids in ids.chunks(REQUEST_BATCHES_MAX) {
                let to = vec![Party::Worker(target, self.shard)];
                effects.push(Effect::Send { to, message: Message::BatchRequest(ids.to_vec()) });
                count += 1;
            }
        }
        count
    }

    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.asked.first().map(|(deadline, _)| *deadline)
    }
}

/// The author, then those after it in the committee, without oneself.
fn target(own: AuthorityIndex, size: usize, author: AuthorityIndex, attempt: usize) -> AuthorityIndex {
    let others = (0..size).map(|step| AuthorityIndex(((author.index() + step) % size) as u16));
    let others: Vec<_> = others.filter(|other| *other != own).collect();
    others[attempt % others.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_wanted_again_while_it_stands_in_the_queue_is_asked_for_once() {
        let mut fetch = Fetch::new(AuthorityIndex(0), ShardId(0), 4);
        let id = |number: u32| BatchId::of(&number.to_le_bytes());
        let author = AuthorityIndex(1);
        let full = FETCHES_MAX as u32;
        (0..full + 2).for_each(|number| fetch.want(id(number), author, Reason::Ordered));
        let mut effects = Vec::new();
        fetch.ask(Timestamp(0), &mut effects);
        let again = id(full + 1);
        assert_eq!(fetch.arrived(&again), Some(Reason::Ordered), "it came unasked");
        fetch.want(again, author, Reason::Named(Round(9)));
        fetch.arrived(&id(0));
        fetch.ask(Timestamp(1), &mut effects);
        for number in 1..=full {
            fetch.arrived(&id(number));
        }
        fetch.ask(Timestamp(2), &mut effects);
        fetch.arrived(&again);
        assert_eq!(fetch.deadline(), None, "nothing is wanted any more");
    }
}
