//! Batches that the order or a proposal names and that are not here: asked for at the author, then at the others in turn.
//!
//! Few are asked for at a time, so that a worker that catches up does not drown. What is ordered and what each author's
//! proposals name wait in lanes of their own: an author may name what nobody has, and that must hold up neither the
//! execution of what is ordered nor the votes on what others propose.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fresnel_types::{AuthorityIndex, BatchId, Effect, Message, Party, Round, ShardId, Timestamp};

use crate::limits::{FETCH_BACK_OFF_MAX, FETCH_WAIT, FETCHES_MAX, NAMED_FETCHES_MAX, REQUEST_BATCHES_MAX};

/// Why a batch is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A proposal names it; no more after the floor has passed the round.
    Named(Round),
    /// It is ordered.
    Ordered,
}

/// What waits for one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Ordered,
    /// What proposals of this author name.
    Named(AuthorityIndex),
}

impl Lane {
    /// How many of it may be under way.
    fn width(self) -> usize {
        match self {
            Self::Ordered => FETCHES_MAX,
            Self::Named(_) => NAMED_FETCHES_MAX,
        }
    }
}

#[derive(Debug)]
struct Want {
    author: AuthorityIndex,
    reason: Reason,
    lane: Lane,
    attempts: usize,
    /// When the one asked is late; none while it waits to be asked for.
    deadline: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Queue {
    /// To be asked for, next first. May name what is not wanted any more, or in another lane.
    waiting: VecDeque<BatchId>,
    /// How many are under way.
    asked: usize,
}

/// What is wanted.
#[derive(Debug)]
pub(crate) struct Fetch {
    authority: AuthorityIndex,
    shard: ShardId,
    committee_size: usize,
    wants: BTreeMap<BatchId, Want>,
    lanes: BTreeMap<Lane, Queue>,
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
            lanes: BTreeMap::new(),
            asked: BTreeSet::new(),
        }
    }

    /// Adds a batch, or another reason for it.
    pub(crate) fn want(&mut self, id: BatchId, author: AuthorityIndex, reason: Reason) {
        let lane = match reason {
            Reason::Ordered => Lane::Ordered,
            Reason::Named(_) => Lane::Named(author),
        };
        if let Some(want) = self.wants.get_mut(&id) {
            if want.reason == Reason::Ordered {
                return;
            }
            want.reason = reason;
            if reason != Reason::Ordered || want.deadline.is_some() {
                return;
            }
            want.lane = lane;
        } else {
            self.wants.insert(id, Want { author, reason, lane, attempts: 0, deadline: None });
        }
        self.lanes.entry(lane).or_default().waiting.push_back(id);
    }

    /// The batch is here: why it was wanted, if it was.
    pub(crate) fn arrived(&mut self, id: &BatchId) -> Option<Reason> {
        let want = self.wants.remove(id)?;
        self.end(id, &want);
        Some(want.reason)
    }

    /// What was wanted is under way no more.
    fn end(&mut self, id: &BatchId, want: &Want) {
        if let Some(deadline) = want.deadline {
            self.asked.remove(&(deadline, *id));
            self.lanes.get_mut(&want.lane).expect("what is under way has a lane").asked -= 1;
        }
    }

    /// Forgets what proposals at or below the floor named.
    pub(crate) fn raise_floor(&mut self, floor: Round) {
        let below = |want: &Want| matches!(want.reason, Reason::Named(round) if round < floor);
        let gone: Vec<BatchId> =
            self.wants.iter().filter(|(_, want)| below(want)).map(|(id, _)| *id).collect();
        for id in gone {
            self.arrived(&id);
        }
        let wants = &self.wants;
        self.lanes.retain(|lane, queue| {
            queue.waiting.retain(|id| wants.get(id).is_some_and(|want| want.lane == *lane));
            queue.asked > 0 || !queue.waiting.is_empty()
        });
    }

    /// Asks for as many as may be under way; how many requests that took.
    pub(crate) fn ask(&mut self, now: Timestamp, effects: &mut Vec<Effect>) -> u64 {
        if self.committee_size == 1 {
            return 0;
        }
        self.give_up(now);
        let mut requests: BTreeMap<AuthorityIndex, Vec<BatchId>> = BTreeMap::new();
        for (lane, queue) in &mut self.lanes {
            while queue.asked < lane.width()
                && let Some(id) = queue.waiting.pop_front()
            {
                // One that came, was dropped and is wanted again may stand in a queue twice.
                let waits = |want: &&mut Want| want.deadline.is_none() && want.lane == *lane;
                let Some(want) = self.wants.get_mut(&id).filter(waits) else { continue };
                let others = self.committee_size - 1;
                let rounds = (want.attempts / others).min(FETCH_BACK_OFF_MAX);
                let deadline = now.plus(FETCH_WAIT << rounds);
                want.deadline = Some(deadline);
                queue.asked += 1;
                self.asked.insert((deadline, id));
                let target = target(self.authority, self.committee_size, want.author, want.attempts);
                requests.entry(target).or_default().push(id);
            }
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

    /// What was asked for in vain waits for its next turn. Somebody has what is ordered, so that keeps its place.
    fn give_up(&mut self, now: Timestamp) {
        while let Some(&(deadline, id)) = self.asked.first()
            && deadline <= now
        {
            let mut want = self.wants.remove(&id).expect("what was asked for is wanted");
            self.end(&id, &want);
            want.attempts += 1;
            want.deadline = None;
            if want.reason == Reason::Ordered {
                want.lane = Lane::Ordered;
            }
            let queue = self.lanes.entry(want.lane).or_default();
            match want.lane {
                Lane::Ordered => queue.waiting.push_front(id),
                Lane::Named(_) => queue.waiting.push_back(id),
            }
            self.wants.insert(id, want);
        }
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

    #[test]
    fn what_nobody_has_holds_up_neither_the_order_nor_other_authors() {
        let mut fetch = Fetch::new(AuthorityIndex(0), ShardId(0), 4);
        let id = |number: u32| BatchId::of(&number.to_le_bytes());
        let (liar, honest) = (AuthorityIndex(1), AuthorityIndex(2));
        (0..1_000).for_each(|number| fetch.want(id(number), liar, Reason::Named(Round(9))));
        let mut effects = Vec::new();
        fetch.ask(Timestamp(0), &mut effects);
        let (ordered, named, stolen) = (id(1_001), id(1_002), id(999));
        fetch.want(ordered, honest, Reason::Ordered);
        fetch.want(named, honest, Reason::Named(Round(9)));
        fetch.want(stolen, honest, Reason::Ordered);
        effects.clear();
        fetch.ask(Timestamp(1), &mut effects);
        let asked: Vec<BatchId> = effects
            .iter()
            .flat_map(|effect| match effect {
                Effect::Send { message: Message::BatchRequest(ids), .. } => ids.clone(),
                other => panic!("only requests are sent: {other:?}"),
            })
            .collect();
        for wanted in [ordered, named, stolen] {
            assert!(asked.contains(&wanted), "{wanted} is asked for at once");
        }
        fetch.raise_floor(Round(10));
        assert_eq!(fetch.arrived(&ordered), Some(Reason::Ordered));
        assert_eq!(fetch.arrived(&stolen), Some(Reason::Ordered));
        fetch.raise_floor(Round(11));
        assert!(fetch.wants.is_empty() && fetch.asked.is_empty() && fetch.lanes.is_empty());
    }
}
