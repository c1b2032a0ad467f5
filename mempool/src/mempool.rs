//! The sub-machine: what clients submit, peers send and the order says, handed to its parts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fresnel_types::{
    AuthorityIndex, Batch, BatchId, BatchRef, ClientId, Effect, EntryNumber, LogEntry, Message, Order,
    OrderEvent, Party, RejectionCode, Round, ShardId, SignedTransaction, Timestamp, TransactionId, codec,
    limits::BATCH_BYTES_MAX,
};

use crate::{
    Config,
    admission::{Admission, Candidate, Horizon, Member},
    fetch::{Fetch, Reason},
    limits::{IDS_MAX, NAMED_DEPTHS, RECALLS_MAX, REQUEST_BATCHES_MAX, RETRY_AFTER_MAX, RETRY_AFTER_MIN},
    own::{Open, OwnBatches},
    store::{State, Store},
};

mod snapshot;

pub use snapshot::Piece;

/// The batches of a worker.
#[derive(Debug)]
pub struct Mempool {
    config: Config,
    /// The same shard's workers at the other authorities.
    peers: Vec<Party>,
    admission: Admission,
    open: Open,
    own: OwnBatches,
    store: Store,
    fetch: Fetch,
    /// Own entries of the log whose numbers are not known yet, in order.
    unnumbered: VecDeque<BatchId>,
    /// What was asked of the log, with the peers that it is for.
    recalls: BTreeMap<EntryNumber, (BatchId, BTreeSet<AuthorityIndex>)>,
    /// The highest round known: of an own proposal, or where the last floor was set.
    round: Round,
    floor: Round,
    /// As the last order said.
    lag: u64,
    /// What the transactions admitted so far lack to one that is refused for age, in microseconds.
    owed: u64,
    counters: Counters,
}

/// What became of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// One per transaction, in order; `None` is admitted.
    pub results: Vec<Option<RejectionCode>>,
    /// When some were refused for overload: microseconds after which trying again makes sense; otherwise 0.
    pub retry_after: u64,
}

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Transactions admitted.
    pub admitted: u64,
    /// Transactions refused.
    pub rejected: u64,
    /// Own batches sealed.
    pub sealed: u64,
    /// Batches of others stored.
    pub stored: u64,
    /// Batches of others not taken.
    pub refused: u64,
    /// Times a batch was sent again.
    pub resent: u64,
    /// Requests for missing batches.
    pub requested: u64,
}

impl Mempool {
    /// An empty one.
    pub fn new(config: Config) -> Self {
        let committee = &config.rules.committee;
        let authorities = committee.indices().filter(|authority| *authority != config.authority);
        Self {
            peers: authorities.map(|authority| Party::Worker(authority, config.shard)).collect(),
            admission: Admission::default(),
            open: Open::default(),
            own: OwnBatches::new(config.authority, committee),
            store: Store::new(
                committee.size(),
                config.batching.unnamed_bytes_per_author_max,
                config.batching.retained_bytes,
            ),
            fetch: Fetch::new(config.authority, config.shard, committee.size()),
            unnumbered: VecDeque::new(),
            recalls: BTreeMap::new(),
            round: Round(0),
            floor: Round(0),
            lag: 0,
            owed: 0,
            counters: Counters::default(),
            config,
        }
    }

    /// Takes a batch from the log. Entries come in the log's order, orders in between through [`Self::order`].
    ///
    /// Own ones not ordered yet are outstanding again, acknowledged by nobody else. Of the others' it is not known
    /// which a proposal had named, so all are kept as if one had.
    pub fn recover_batch(&mut self, entry: EntryNumber, bytes: Vec<u8>) {
        let id = BatchId::of(&bytes);
        if self.store.contains(&id) {
            return self.store.logged(&id, entry);
        }
        let batch: Batch = codec::decode(&bytes).expect("the log holds only batches that were read before");
        let state = match self.fetch.arrived(&id) {
            Some(Reason::Ordered) => State::Ordered,
            _ if batch.author == self.config.authority => State::Own,
            _ => State::Named(self.named_until()),
        };
        if state == State::Own {
            self.seal_again(id, bytes.len(), &batch);
        }
        self.store.insert(name(id, bytes.len(), &batch), batch.author, bytes, state);
        self.store.logged(&id, entry);
    }

    /// The log was replayed: from now on what it has need not be in memory.
    pub fn replayed(&mut self) {
        self.store.replayed();
        self.recalls.clear();
    }

    /// The next of the batches that the effects so far persist is this entry of the log.
    pub fn logged(&mut self, entry: EntryNumber) {
        let id = self.unnumbered.pop_front().expect("a batch is persisted by its mempool alone");
        self.store.logged(&id, entry);
    }

    /// The log gave an entry, or said that it has forgotten it.
    pub fn recalled(&mut self, entry: EntryNumber, bytes: Option<Vec<u8>>, effects: &mut Vec<Effect>) {
        let Some((id, peers)) = self.recalls.remove(&entry) else { return };
        let Some(bytes) = bytes else { return self.store.lost(&id) };
        for peer in peers {
            let to = Party::Worker(peer, self.config.shard);
            effects.push(send(to, Message::Batch(bytes.clone())));
        }
        self.store.recalled(&id, bytes);
    }

    /// Asks the log for a batch that is not in memory: for a peer, or to be executed.
    fn recall(&mut self, id: &BatchId, peer: Option<AuthorityIndex>, effects: &mut Vec<Effect>) {
        let Some(entry) = self.store.left_to_log(id) else { return };
        if !self.recalls.contains_key(&entry) {
            if peer.is_some() && self.recalls.len() >= RECALLS_MAX {
                return;
            }
            effects.push(Effect::Recall(entry));
        }
        self.recalls.entry(entry).or_insert_with(|| (*id, BTreeSet::new())).1.extend(peer);
    }

    /// An own batch that is not ordered is outstanding again, acknowledged by nobody else.
    fn seal_again(&mut self, id: BatchId, bytes: usize, batch: &Batch) {
        let members: Vec<_> = batch.transactions.iter().map(member).collect();
        members.iter().for_each(|member| self.admission.add(member));
        self.own.seal(&self.config.rules.committee, None, name(id, bytes, batch), members);
    }

    /// Takes a batch from the part of the log that a checkpoint covers, after [`Self::restore`]. Unless the checkpoint
    /// holds it, nothing waits for it but peers that may lack it.
    pub fn recover_covered(&mut self, entry: EntryNumber, bytes: Vec<u8>) {
        let id = BatchId::of(&bytes);
        if !self.store.contains(&id)
            && let Some((author, name)) = head(id, &bytes, self.config.shard)
        {
            self.store.insert_executed(name, author, bytes);
        }
        self.store.logged(&id, entry);
    }

    /// A client's transactions, judged by what stands beside them and by the time of the last commit, 0 before the
    /// first.
    pub fn submit(
        &mut self,
        now: Timestamp,
        client: ClientId,
        transactions: Vec<Result<Candidate, RejectionCode>>,
        commit_time: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Submission {
        let base = if commit_time == Timestamp(0) { now } else { commit_time };
        let age = self.age(now);
        let horizon = Horizon {
            earliest: commit_time,
            latest: base.plus(self.config.rules.parameters.validity_max),
            is_late: false,
        };
        let mut results = Vec::with_capacity(transactions.len());
        for candidate in transactions {
            let admitted = candidate.and_then(|candidate| {
                let horizon = Horizon { is_late: self.is_late(age), ..horizon };
                let bytes = codec::encoded_len(&*candidate.signed);
                let batching = &self.config.batching;
                let member = self.admission.admit(batching, horizon, client, &candidate, bytes)?;
                Ok((candidate.signed.into_inner(), member))
            });
            match admitted {
                Ok((signed, member)) => {
                    self.counters.admitted += 1;
                    results.push(None);
                    self.add(now, signed, member, effects);
                }
                Err(code) => {
                    self.counters.rejected += 1;
                    results.push(Some(code));
                }
            }
        }
        self.seal_if_idle(now, effects);
        let full = |code: &Option<RejectionCode>| {
            matches!(code, Some(RejectionCode::Overloaded | RejectionCode::Quota))
        };
        let retry_after = (age / 2).clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX);
        Submission { retry_after: if results.iter().any(full) { retry_after } else { 0 }, results }
    }

    /// Whether one more would be too many: none while the queue is less than half as old as it may be, all once it is older,
    /// and in between a share that rises with its age, so that a worker at its limit is neither idle nor flooded in turn.
    fn is_late(&mut self, age: u64) -> bool {
        let half = self.config.batching.queue_age_max / 2;
        if age <= half {
            return false;
        }
        self.owed += (age - half).min(half);
        let is_late = self.owed >= half;
        self.owed -= if is_late { half } else { 0 };
        is_late
    }

    /// For how long what was admitted first has waited to be ordered, or, by the number of blocks, what was ordered to be
    /// certified.
    pub fn age(&self, now: Timestamp) -> u64 {
        let open = (!self.open.transactions.is_empty()).then_some(self.open.since);
        let oldest = self.own.oldest().into_iter().chain(open).min();
        let unordered = oldest.map_or(0, |oldest| now.since(oldest));
        unordered.max(self.lag.saturating_mul(self.config.rules.parameters.block_interval))
    }

    fn add(&mut self, now: Timestamp, signed: SignedTransaction, member: Member, effects: &mut Vec<Effect>) {
        let bytes_max = self.config.batching.batch_bytes_max.min(BATCH_BYTES_MAX);
        let bytes = member.bytes;
        if !self.open.fits(bytes, bytes_max) {
            self.seal(now, effects);
        }
        self.open.push(now, signed, bytes, member);
        if !self.open.fits(bytes, bytes_max) {
            self.seal(now, effects);
        }
    }

    fn seal_if_idle(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.own.is_empty() {
            self.seal(now, effects);
        }
    }

    fn seal(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.open.transactions.is_empty() {
            return;
        }
        let Open { transactions, members, .. } = std::mem::take(&mut self.open);
        let Config { authority, shard, .. } = self.config;
        let (bytes, name) = Batch { author: authority, shard, transactions }.seal();
        self.counters.sealed += 1;
        effects.push(Effect::Persist(LogEntry::Batch(bytes.clone())));
        self.unnumbered.push_back(name.id);
        effects.push(send(Party::Beacon(authority), Message::Stored(vec![name])));
        if !self.peers.is_empty() {
            effects.push(Effect::Send { to: self.peers.clone(), message: Message::Batch(bytes.clone()) });
        }
        self.store.insert(name, authority, bytes, State::Own);
        self.own.seal(&self.config.rules.committee, Some(now), name, members);
    }

    /// `Batch`, `BatchStored`, `BatchRequest` of peers; `Require`, `Proposing` of the own beacon. Others are ignored.
    pub fn handle(&mut self, now: Timestamp, from: Party, message: Message, effects: &mut Vec<Effect>) {
        match (from, message) {
            (Party::Worker(authority, shard), message) if shard == self.config.shard => {
                self.handle_peer(now, authority, message, effects);
            }
            (Party::Beacon(authority), Message::Proposing(round)) if authority == self.config.authority => {
                self.round = self.round.max(round);
                self.seal(now, effects);
            }
            (Party::Beacon(authority), Message::Require { author, batches })
                if authority == self.config.authority =>
            {
                self.require(now, author, &batches, effects);
            }
            _ => {}
        }
    }

    fn handle_peer(
        &mut self,
        now: Timestamp,
        peer: AuthorityIndex,
        message: Message,
        effects: &mut Vec<Effect>,
    ) {
        if peer == self.config.authority || self.config.rules.committee.authority(peer).is_none() {
            return;
        }
        match message {
            Message::Batch(bytes) => self.take_batch(now, peer, bytes, effects),
            Message::BatchStored(ids) => {
                for id in ids {
                    self.own.acknowledge(&self.config.rules.committee, now, peer, &id);
                }
            }
            Message::BatchRequest(ids) => {
                for id in ids.iter().take(REQUEST_BATCHES_MAX) {
                    if let Some(bytes) = self.store.get(id) {
                        let to = Party::Worker(peer, self.config.shard);
                        effects.push(send(to, Message::Batch(bytes.to_vec())));
                    } else {
                        self.recall(id, Some(peer), effects);
                    }
                }
            }
            _ => {}
        }
    }

    /// A batch is taken when it is wanted, whoever brings it, or when its author brings it and has room.
    fn take_batch(
        &mut self,
        now: Timestamp,
        peer: AuthorityIndex,
        bytes: Vec<u8>,
        effects: &mut Vec<Effect>,
    ) {
        let id = BatchId::of(&bytes);
        let Some((author, name)) = head(id, &bytes, self.config.shard)
            .filter(|(author, _)| self.config.rules.committee.authority(*author).is_some())
        else {
            self.counters.refused += 1;
            return;
        };
        let own = self.config.authority;
        let fresh = !self.store.contains(&id);
        if fresh {
            let state = match self.fetch.arrived(&id) {
                Some(Reason::Ordered) => State::Ordered,
                Some(Reason::Named(until)) => State::Named(until),
                None if author == peer && author != own && self.store.has_room(author, bytes.len()) => {
                    State::Unnamed(self.round)
                }
                None => {
                    self.counters.refused += 1;
                    return;
                }
            };
            self.counters.stored += 1;
            effects.push(Effect::Persist(LogEntry::Batch(bytes.clone())));
            self.unnumbered.push_back(id);
            effects.push(send(Party::Beacon(own), Message::Stored(vec![name])));
            self.store.insert(name, author, bytes, state);
            self.ask(now, effects);
        }
        if author != own && (fresh || author == peer) {
            let to = Party::Worker(author, self.config.shard);
            effects.push(send(to, Message::BatchStored(vec![id])));
        }
    }

    fn require(
        &mut self,
        now: Timestamp,
        author: AuthorityIndex,
        batches: &[BatchRef],
        effects: &mut Vec<Effect>,
    ) {
        let until = self.named_until();
        let (here, missing): (Vec<_>, Vec<_>) =
            batches.iter().map(|batch| batch.id).partition(|id| self.store.named(id, until));
        self.tell_stored(&here, effects);
        for id in missing {
            self.fetch.want(id, author, Reason::Named(until));
        }
        self.ask(now, effects);
    }

    fn named_until(&self) -> Round {
        Round(self.round.0.saturating_add(NAMED_DEPTHS * self.config.rules.parameters.floor_depth))
    }

    fn tell_stored(&self, ids: &[BatchId], effects: &mut Vec<Effect>) {
        let name = |id: &BatchId| self.store.name(id);
        for ids in ids.chunks(IDS_MAX) {
            let names = ids.iter().filter_map(name).collect();
            effects.push(send(Party::Beacon(self.config.authority), Message::Stored(names)));
        }
    }

    fn ask(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.counters.requested += self.fetch.ask(now, effects);
    }

    /// Takes what an order says about batches: ordered own ones are done, void ones are offered again, ordered ones
    /// that are not here are fetched, and what the floor left behind is dropped. Gives the transactions of those that
    /// are done.
    pub fn order(&mut self, now: Timestamp, order: &Order, effects: &mut Vec<Effect>) -> Vec<TransactionId> {
        let mut done = Vec::new();
        for event in &order.events {
            match event {
                OrderEvent::Batch(ordered) => {
                    let id = ordered.batch.id;
                    for member in self.own.ordered(&id) {
                        self.admission.release(&member);
                        done.push(member.id);
                    }
                    if self.store.ordered(&id) {
                        self.store.spill(&id);
                    } else {
                        self.fetch.want(id, ordered.author, Reason::Ordered);
                    }
                }
                OrderEvent::Void(id) => self.own.void(id),
                OrderEvent::Close(_) => {}
            }
        }
        self.lag = order.lag;
        let depth = self.config.rules.parameters.floor_depth;
        self.round = self.round.max(Round(order.floor.0.saturating_add(depth)));
        if order.floor > self.floor {
            self.floor = order.floor;
            self.store.raise_floor(order.floor);
            self.fetch.raise_floor(order.floor);
        }
        self.ask(now, effects);
        self.seal_if_idle(now, effects);
        done
    }

    /// The batch was executed: from now on it is kept for peers only.
    pub fn executed(&mut self, batch: &BatchId) {
        self.store.executed(batch);
    }

    /// Whether a batch is here, in memory or in the log.
    pub fn holds(&self, id: &BatchId) -> bool {
        self.store.contains(id)
    }

    /// The bytes of a batch, if they are in memory. [`Self::want`] brings those that are not.
    pub fn batch(&self, id: &BatchId) -> Option<&[u8]> {
        self.store.get(id)
    }

    /// Fetches an ordered batch that is not in memory, from the log or from others; idempotent. [`Self::order`] has done so for every batch it saw.
    pub fn want(
        &mut self,
        now: Timestamp,
        author: AuthorityIndex,
        batch: BatchRef,
        effects: &mut Vec<Effect>,
    ) {
        if self.store.ordered(&batch.id) {
            self.recall(&batch.id, None, effects);
        } else {
            self.fetch.want(batch.id, author, Reason::Ordered);
            self.ask(now, effects);
        }
    }

    /// Own batches to be offered now, in seal order: newly acknowledged by a quorum, or named in vain. None while the
    /// shard's certification lags: they would be void.
    pub fn take_offers(&mut self) -> Vec<BatchRef> {
        if self.lag >= self.config.rules.parameters.lag_max / 2 { vec![] } else { self.own.take_offers() }
    }

    /// Own batches that were taken as offers and are not effectively ordered: a beacon that restarted needs them again.
    pub fn outstanding(&self) -> Vec<BatchRef> {
        self.own.outstanding()
    }

    /// A link was established (again): what the party was told before may be lost.
    pub fn connected(&mut self, now: Timestamp, party: Party, effects: &mut Vec<Effect>) {
        match party {
            Party::Beacon(authority) if authority == self.config.authority => {
                let unordered: Vec<_> = self.store.unordered().collect();
                self.tell_stored(&unordered, effects);
            }
            Party::Worker(authority, shard)
                if shard == self.config.shard && self.peers.contains(&Party::Worker(authority, shard)) =>
            {
                let again = self.own.connected(now, authority);
                self.send_again(authority, &again, effects);
            }
            _ => {}
        }
    }

    fn send_again(&mut self, peer: AuthorityIndex, batches: &[BatchId], effects: &mut Vec<Effect>) {
        for id in batches {
            let bytes = self.store.get(id).expect("own unordered batches are never dropped");
            let to = Party::Worker(peer, self.config.shard);
            effects.push(send(to, Message::Batch(bytes.to_vec())));
            self.counters.resent += 1;
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.seal_deadline().is_some_and(|deadline| deadline <= now) {
            self.seal(now, effects);
        }
        for (peer, batches) in self.own.due(now) {
            self.send_again(peer, &batches, effects);
        }
        self.ask(now, effects);
    }

    /// When [`Self::tick`] must be called.
    pub fn deadline(&self) -> Option<Timestamp> {
        let deadlines = [self.seal_deadline(), self.own.deadline(), self.fetch.deadline()];
        deadlines.into_iter().flatten().min()
    }

    fn seal_deadline(&self) -> Option<Timestamp> {
        let open = !self.open.transactions.is_empty();
        open.then(|| self.open.since.plus(self.config.batching.delay_max))
    }

    /// Own batches that are sealed and not ordered, in seal order.
    #[cfg(test)]
    pub(crate) fn own_names(&self) -> Vec<BatchRef> {
        self.own.ids().filter_map(|id| self.store.name(id)).collect()
    }

    /// Transactions admitted here and not ordered.
    pub fn pending(&self) -> u64 {
        self.admission.pending() as u64
    }

    /// What happened since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}

fn member(signed: &SignedTransaction) -> Member {
    let transaction = &signed.transaction;
    Member {
        id: transaction.id(),
        sender: transaction.sender.address(),
        client: None,
        fee: transaction.fee.0,
        bytes: codec::encoded_len(signed),
    }
}

/// The name of a batch of so many bytes.
fn name(id: BatchId, bytes: usize, batch: &Batch) -> BatchRef {
    BatchRef { id, count: batch.transactions.len() as u32, bytes: bytes as u32 }
}

/// The author of a batch of the shard, and its name. Its first bytes alone are read: the rest was checked with the
/// signatures.
fn head(id: BatchId, bytes: &[u8], shard: ShardId) -> Option<(AuthorityIndex, BatchRef)> {
    let (author, of, count): (AuthorityIndex, ShardId, u64) = codec::decode(bytes.get(..HEAD_BYTES)?).ok()?;
    let name = BatchRef { id, count: u32::try_from(count).ok()?, bytes: bytes.len() as u32 };
    (of == shard).then_some((author, name))
}

fn send(to: Party, message: Message) -> Effect {
    Effect::Send { to: vec![to], message }
}

/// Author, shard and number of transactions, as they open the bytes of a batch.
const HEAD_BYTES: usize = 12;
