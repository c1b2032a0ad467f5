//! Everybody's batches of the shard, as far as they are here.
//!
//! A batch nobody named takes part in its author's quota. When the quota is full, further ones are not taken and not
//! acknowledged, so that what was acknowledged is kept and the author feels the pressure; it sends again. Unordered
//! batches go when the floor passes the round known when they came: no vertex that could have named them by then is
//! ordered any more. Ordered ones stay until they were executed, then as long as there is room.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fresnel_types::{AuthorityIndex, BatchId, Round};
use wincode::{SchemaRead, SchemaWrite};

/// What a batch is kept for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub(crate) enum State {
    /// Of this worker, not ordered.
    Own,
    /// Of another, named by nobody yet, kept until the floor passes the round.
    Unnamed(Round),
    /// Named by a proposal, kept until the floor passes the round.
    Named(Round),
    /// Ordered, not executed.
    Ordered,
    /// Executed, kept for peers.
    Executed,
}

#[derive(Debug)]
struct Held {
    author: AuthorityIndex,
    bytes: Vec<u8>,
    state: State,
}

/// Batches by id.
#[derive(Debug)]
pub(crate) struct Store {
    held: BTreeMap<BatchId, Held>,
    /// Unnamed and named ones by the round until which they are kept.
    by_round: BTreeSet<(Round, BatchId)>,
    /// Per author.
    unnamed_bytes: Vec<usize>,
    unnamed_bytes_max: usize,
    /// Oldest first. May name batches that were ordered again since.
    executed: VecDeque<BatchId>,
    executed_bytes: usize,
    executed_bytes_max: usize,
}

impl Store {
    pub(crate) fn new(authorities: usize, unnamed_bytes_max: usize, executed_bytes_max: usize) -> Self {
        Self {
            held: BTreeMap::new(),
            by_round: BTreeSet::new(),
            unnamed_bytes: vec![0; authorities],
            unnamed_bytes_max,
            executed: VecDeque::new(),
            executed_bytes: 0,
            executed_bytes_max,
        }
    }

    pub(crate) fn get(&self, id: &BatchId) -> Option<&[u8]> {
        self.held.get(id).map(|held| held.bytes.as_slice())
    }

    pub(crate) fn contains(&self, id: &BatchId) -> bool {
        self.held.contains_key(id)
    }

    /// Whether the quota of `author` has room for an unnamed batch of `bytes`.
    pub(crate) fn has_room(&self, author: AuthorityIndex, bytes: usize) -> bool {
        self.unnamed_bytes[author.index()] + bytes <= self.unnamed_bytes_max
    }

    pub(crate) fn insert(&mut self, id: BatchId, author: AuthorityIndex, bytes: Vec<u8>, state: State) {
        if !self.contains(&id) {
            self.enter(id, author, bytes.len(), state);
            self.held.insert(id, Held { author, bytes, state });
        }
    }

    /// A proposal names it. Whether it is here.
    pub(crate) fn named(&mut self, id: &BatchId, until: Round) -> bool {
        match self.held.get(id).map(|held| held.state) {
            Some(State::Unnamed(_) | State::Named(_)) => self.change(id, State::Named(until)),
            Some(_) => {}
            None => return false,
        }
        true
    }

    /// The order names it, maybe once more: then it is needed again. Whether it is here.
    pub(crate) fn ordered(&mut self, id: &BatchId) -> bool {
        let here = self.contains(id);
        if here {
            self.change(id, State::Ordered);
        }
        here
    }

    /// It was executed.
    pub(crate) fn executed(&mut self, id: &BatchId) {
        if self.held.get(id).is_none_or(|held| held.state == State::Executed) {
            return;
        }
        self.change(id, State::Executed);
        self.drop_oldest();
    }

    /// Keeps a batch, as long as there is room, that nothing here waits for any more.
    pub(crate) fn insert_executed(&mut self, id: BatchId, author: AuthorityIndex, bytes: Vec<u8>) {
        self.insert(id, author, bytes, State::Executed);
        self.drop_oldest();
    }

    fn drop_oldest(&mut self) {
        while self.executed_bytes > self.executed_bytes_max
            && let Some(oldest) = self.executed.pop_front()
        {
            if self.held.get(&oldest).is_some_and(|held| held.state == State::Executed) {
                let dropped = self.held.remove(&oldest).expect("looked at just now");
                self.executed_bytes -= dropped.bytes.len();
            }
        }
    }

    /// Drops unordered batches whose round the floor has passed.
    pub(crate) fn raise_floor(&mut self, floor: Round) {
        while let Some(&(round, id)) = self.by_round.first() {
            if round >= floor {
                break;
            }
            let held = self.held.remove(&id).expect("batches by round are held");
            self.leave(&id, held.author, held.bytes.len(), held.state);
        }
    }

    /// Everything that is not ordered.
    pub(crate) fn unordered(&self) -> impl Iterator<Item = BatchId> {
        let unordered = |held: &Held| !matches!(held.state, State::Ordered | State::Executed);
        self.held.iter().filter(move |(_, held)| unordered(held)).map(|(id, _)| *id)
    }

    /// Everything that is here, with what it is kept for.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&BatchId, State, &[u8])> {
        self.held.iter().map(|(id, held)| (id, held.state, held.bytes.as_slice()))
    }

    fn change(&mut self, id: &BatchId, state: State) {
        let held = self.held.get_mut(id).expect("only batches that are here change");
        let (author, bytes, before) = (held.author, held.bytes.len(), held.state);
        held.state = state;
        self.leave(id, author, bytes, before);
        self.enter(*id, author, bytes, state);
    }

    fn enter(&mut self, id: BatchId, author: AuthorityIndex, bytes: usize, state: State) {
        match state {
            State::Unnamed(round) => {
                self.unnamed_bytes[author.index()] += bytes;
                self.by_round.insert((round, id));
            }
            State::Named(round) => {
                self.by_round.insert((round, id));
            }
            State::Executed => {
                self.executed.push_back(id);
                self.executed_bytes += bytes;
            }
            State::Own | State::Ordered => {}
        }
    }

    fn leave(&mut self, id: &BatchId, author: AuthorityIndex, bytes: usize, state: State) {
        match state {
            State::Unnamed(round) => {
                self.unnamed_bytes[author.index()] -= bytes;
                self.by_round.remove(&(round, *id));
            }
            State::Named(round) => {
                self.by_round.remove(&(round, *id));
            }
            State::Executed => self.executed_bytes -= bytes,
            State::Own | State::Ordered => {}
        }
    }
}
