//! Everybody's batches of the shard, as far as they are here.
//!
//! A batch nobody named takes part in its author's quota. When the quota is full, further ones are not taken and not
//! acknowledged, so that what was acknowledged is kept and the author feels the pressure; it sends again. Unordered
//! batches go when the floor passes the round known when they came: no vertex that could have named them by then is
//! ordered any more. Ordered ones stay until they were executed, then as long as there is room.
//!
//! Every batch stands in the log. One that was executed is in memory no more, and of those that are ordered and wait only
//! so many bytes are: the log gives them back when they are needed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fresnel_types::{AuthorityIndex, BatchId, BatchRef, EntryNumber, Round};
use wincode::{SchemaRead, SchemaWrite};

use crate::limits::ORDERED_BYTES_MAX;

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
    name: BatchRef,
    author: AuthorityIndex,
    /// None while the log alone has them.
    bytes: Option<Vec<u8>>,
    /// Where they stand in the log, once that is known.
    entry: Option<EntryNumber>,
    state: State,
}

impl Held {
    /// Leaves the bytes to the log, if it has them.
    fn leave_to_log(&mut self) {
        if self.entry.is_some() {
            self.bytes = None;
        }
    }
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
    /// Of ordered ones, be they in memory or not.
    ordered_bytes: usize,
    /// While the log is replayed nothing can be read from it again, so all that it gave stays in memory.
    replaying: bool,
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
            ordered_bytes: 0,
            replaying: true,
        }
    }

    /// The log was replayed: what can be left to it is.
    pub(crate) fn replayed(&mut self) {
        self.replaying = false;
        let executed = self.held.values_mut().filter(|held| held.state == State::Executed);
        executed.for_each(Held::leave_to_log);
    }

    /// The bytes of a batch, if they are in memory.
    pub(crate) fn get(&self, id: &BatchId) -> Option<&[u8]> {
        self.held.get(id)?.bytes.as_deref()
    }

    pub(crate) fn name(&self, id: &BatchId) -> Option<BatchRef> {
        self.held.get(id).map(|held| held.name)
    }

    /// Where the log has a batch that is not in memory.
    pub(crate) fn left_to_log(&self, id: &BatchId) -> Option<EntryNumber> {
        self.held.get(id).filter(|held| held.bytes.is_none())?.entry
    }

    /// The log has the batch as this entry.
    pub(crate) fn logged(&mut self, id: &BatchId, entry: EntryNumber) {
        if let Some(held) = self.held.get_mut(id) {
            held.entry = Some(entry);
            if held.state == State::Executed && !self.replaying {
                held.leave_to_log();
            }
        }
    }

    /// The log gave the batch back; kept if it waits to be executed.
    pub(crate) fn recalled(&mut self, id: &BatchId, bytes: Vec<u8>) {
        if let Some(held) = self.held.get_mut(id).filter(|held| held.state == State::Ordered) {
            held.bytes = Some(bytes);
        }
    }

    /// The log has it no more.
    pub(crate) fn lost(&mut self, id: &BatchId) {
        if self.left_to_log(id).is_some()
            && let Some(held) = self.held.remove(id)
        {
            self.leave(id, held.author, held.name.bytes as usize, held.state);
        }
    }

    /// Whether everything that is not executed, and what waits to be once more, is in memory.
    pub(crate) fn is_whole(&self, waiting: &BTreeSet<BatchId>) -> bool {
        let needed = |(id, held): &(&BatchId, &Held)| held.state != State::Executed || waiting.contains(id);
        self.held.iter().filter(needed).all(|(_, held)| held.bytes.is_some())
    }

    pub(crate) fn contains(&self, id: &BatchId) -> bool {
        self.held.contains_key(id)
    }

    /// Whether the quota of `author` has room for an unnamed batch of `bytes`.
    pub(crate) fn has_room(&self, author: AuthorityIndex, bytes: usize) -> bool {
        self.unnamed_bytes[author.index()] + bytes <= self.unnamed_bytes_max
    }

    pub(crate) fn insert(&mut self, name: BatchRef, author: AuthorityIndex, bytes: Vec<u8>, state: State) {
        if !self.contains(&name.id) {
            self.enter(name.id, author, bytes.len(), state);
            self.held.insert(name.id, Held { name, author, bytes: Some(bytes), entry: None, state });
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

    /// Leaves an ordered batch to the log when too much waits in memory before it.
    pub(crate) fn spill(&mut self, id: &BatchId) {
        if self.ordered_bytes > ORDERED_BYTES_MAX
            && !self.replaying
            && let Some(held) = self.held.get_mut(id).filter(|held| held.state == State::Ordered)
        {
            held.leave_to_log();
        }
    }

    /// It was executed.
    pub(crate) fn executed(&mut self, id: &BatchId) {
        if self.held.get(id).is_none_or(|held| held.state == State::Executed) {
            return;
        }
        self.change(id, State::Executed);
        if !self.replaying
            && let Some(held) = self.held.get_mut(id)
        {
            held.leave_to_log();
        }
        self.drop_oldest();
    }

    /// Keeps a batch, as long as there is room, that nothing here waits for any more.
    pub(crate) fn insert_executed(&mut self, name: BatchRef, author: AuthorityIndex, bytes: Vec<u8>) {
        self.insert(name, author, bytes, State::Executed);
        self.drop_oldest();
    }

    fn drop_oldest(&mut self) {
        while self.executed_bytes > self.executed_bytes_max
            && let Some(oldest) = self.executed.pop_front()
        {
            if self.held.get(&oldest).is_some_and(|held| held.state == State::Executed) {
                let dropped = self.held.remove(&oldest).expect("looked at just now");
                self.executed_bytes -= dropped.name.bytes as usize;
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
            self.leave(&id, held.author, held.name.bytes as usize, held.state);
        }
    }

    /// Everything that is not ordered.
    pub(crate) fn unordered(&self) -> impl Iterator<Item = BatchId> {
        let unordered = |held: &Held| !matches!(held.state, State::Ordered | State::Executed);
        self.held.iter().filter(move |(_, held)| unordered(held)).map(|(id, _)| *id)
    }

    /// Everything that is in memory, with what it is kept for.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&BatchId, State, &[u8])> {
        self.held.iter().filter_map(|(id, held)| Some((id, held.state, held.bytes.as_deref()?)))
    }

    fn change(&mut self, id: &BatchId, state: State) {
        let held = self.held.get_mut(id).expect("only batches that are here change");
        let (author, bytes, before) = (held.author, held.name.bytes as usize, held.state);
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
            State::Ordered => self.ordered_bytes += bytes,
            State::Own => {}
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
            State::Ordered => self.ordered_bytes -= bytes,
            State::Own => {}
        }
    }
}
