//! What must hold, whatever happens: a monitor over everything that honest machines say, keep and compute.
//!
//! The names are those of DESIGN §8. The monitor sees each send when it is released and each log entry when it is durable,
//! so what a crash undoes before anybody could know of it does not count. Adversaries promise nothing: what they say,
//! keep and compute is not looked at, and nothing that honest ones do may depend on it.

use std::collections::{BTreeMap, BTreeSet};

use fresnel_crypto::Verifier;
use fresnel_types::{
    Amount, AuthorityIndex, AuthoritySet, Batch, BatchId, BlockIndex, Close, Commit, CommitDigest,
    CommitIndex, Committee, Evidence, Genesis, LogEntry, Message, Order, OrderEvent, Outcome, Party, Record,
    RecordDigest, Round, ShardId, TransactionId, VertexId, VertexRef, decode, encode,
    status::{Level, Progress},
    verify::Rules,
};

use crate::replay::Replay;

/// An invariant that does not hold, and what shows it.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) invariant: &'static str,
    pub(crate) what: String,
}

/// Fails with the name of an invariant unless it holds.
macro_rules! hold {
    ($invariant:literal, $condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err(Broken { invariant: $invariant, what: format!($($what)+) });
        }
    };
}
pub(crate) use hold;

/// Everything seen so far.
pub(crate) struct Monitor {
    committee: Committee,
    rules: Rules,
    verifier: Verifier,
    /// Adversaries.
    faulty: AuthoritySet,
    /// Who lost its disk, and the last round in which it had proposed.
    lost: BTreeMap<AuthorityIndex, Round>,
    /// Who of them had a vertex ordered since.
    returned: AuthoritySet,
    /// Who holds evidence against whom.
    accused: BTreeSet<(AuthorityIndex, AuthorityIndex)>,
    funds: Vec<Amount>,
    vertices: BTreeMap<(AuthorityIndex, Round), VertexId>,
    votes: BTreeMap<(AuthorityIndex, AuthorityIndex, Round), VertexId>,
    certificates: BTreeMap<(AuthorityIndex, Round), VertexId>,
    /// Rounds for which it is remembered that a batch took effect.
    batch_memory: u64,
    commits: BTreeMap<CommitIndex, Place>,
    /// The last durable commit of each beacon.
    heads: Vec<CommitIndex>,
    ordered: BTreeMap<(AuthorityIndex, Round), CommitIndex>,
    orders: BTreeMap<(ShardId, CommitIndex), [u8; 32]>,
    ordered_batches: BTreeMap<BatchId, CommitIndex>,
    ordered_transactions: BTreeSet<TransactionId>,
    closes: BTreeMap<BlockIndex, Close>,
    /// Who holds a batch durably, and what is in it.
    stored: BTreeMap<BatchId, (AuthoritySet, Vec<TransactionId>)>,
    certified: BTreeMap<(ShardId, BlockIndex), RecordDigest>,
    records: BTreeMap<(ShardId, BlockIndex), RecordDigest>,
    /// The newest record of each shard.
    latest: Vec<Option<Record>>,
    outcomes: BTreeMap<TransactionId, Outcome>,
    /// With what records and outcomes are compared.
    replay: Option<Replay>,
}

/// What is known of a commit.
struct Place {
    digest: CommitDigest,
    floor: Round,
    anchor: Round,
}

impl Monitor {
    pub(crate) fn new(genesis: &Genesis, faulty: AuthoritySet) -> Self {
        let shards = genesis.shards;
        let mut funds = vec![Amount(0); shards.count()];
        for account in &genesis.accounts {
            funds[shards.of_prefix(account.address.prefix()).index()].0 += account.amount.0;
        }
        Self {
            committee: genesis.committee(),
            rules: Rules::of(genesis),
            verifier: Verifier::with_seed([0; 32]),
            faulty,
            lost: BTreeMap::new(),
            returned: AuthoritySet::default(),
            accused: BTreeSet::new(),
            funds,
            vertices: BTreeMap::new(),
            votes: BTreeMap::new(),
            certificates: BTreeMap::new(),
            batch_memory: genesis.parameters.batch_memory,
            commits: BTreeMap::new(),
            heads: vec![CommitIndex(0); genesis.authorities.len()],
            ordered: BTreeMap::new(),
            orders: BTreeMap::new(),
            ordered_batches: BTreeMap::new(),
            ordered_transactions: BTreeSet::new(),
            closes: BTreeMap::new(),
            stored: BTreeMap::new(),
            certified: BTreeMap::new(),
            records: BTreeMap::new(),
            latest: vec![None; shards.count()],
            outcomes: BTreeMap::new(),
            replay: None,
        }
    }

    /// The same, replaying the log and comparing what workers compute from it.
    pub(crate) fn with_replay(self, genesis: &Genesis) -> Self {
        Self { replay: Some(Replay::new(genesis)), ..self }
    }

    /// Commits, blocks and records known so far.
    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        (self.commits.len() as u64, self.closes.len() as u64, self.records.len() as u64)
    }

    /// The last commit that every honest beacon holds durably, and the last that any does.
    pub(crate) fn commits(&self) -> (CommitIndex, CommitIndex) {
        let honest = self.committee.indices().filter(|authority| !self.faulty.contains(*authority));
        let heads: Vec<CommitIndex> = honest.map(|authority| self.heads[authority.index()]).collect();
        let least = heads.iter().min().copied().unwrap_or_default();
        (least, heads.into_iter().max().unwrap_or_default())
    }

    /// The block of the newest record of each shard.
    pub(crate) fn last_block(&self) -> Vec<BlockIndex> {
        self.latest
            .iter()
            .map(|record| record.as_ref().map_or(BlockIndex(0), |record| record.block))
            .collect()
    }

    /// The last certified block of each shard.
    pub(crate) fn certified(&self) -> Vec<BlockIndex> {
        let last = |shard| {
            let of_shard = (shard, BlockIndex(0))..=(shard, BlockIndex(u64::MAX));
            self.certified.range(of_shard).next_back().map_or(BlockIndex(0), |((_, block), _)| *block)
        };
        (0..self.latest.len()).map(|shard| last(ShardId(shard as u16))).collect()
    }

    /// Requests that came back, over all shards.
    pub(crate) fn bounces(&self) -> u64 {
        self.latest.iter().flatten().flat_map(|record| &record.pairs).map(|pair| pair.bounced.count).sum()
    }

    /// An entry became durable.
    pub(crate) fn persisted(&mut self, party: Party, entry: &LogEntry) -> Result<(), Broken> {
        if self.is_faulty(party) {
            return Ok(());
        }
        match (party, entry) {
            (Party::Beacon(authority), LogEntry::Commit(commit)) => self.commit(authority, commit),
            (Party::Beacon(authority), LogEntry::Evidence(evidence)) => self.evidence(authority, evidence),
            (Party::Worker(authority, _), LogEntry::Batch(bytes)) => {
                let batch: Batch = decode(bytes).expect("machines keep only verified batches");
                let transactions =
                    || batch.transactions.iter().map(|signed| signed.transaction.id()).collect();
                let stored = self.stored.entry(BatchId::of(bytes));
                stored.or_insert_with(|| (AuthoritySet::default(), transactions())).0.insert(authority);
                if let Some(replay) = &mut self.replay {
                    replay.batch(BatchId::of(bytes), bytes);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// An authority lost everything that it kept. It holds nothing any more, and counts towards f.
    pub(crate) fn lost(&mut self, authority: AuthorityIndex) {
        let first = (authority, Round(0));
        let last = self.vertices.range(first..=(authority, Round(u64::MAX))).next_back();
        self.lost.insert(authority, last.map_or(Round(0), |((_, round), _)| *round));
        self.heads[authority.index()] = CommitIndex(0);
        for (holders, _) in self.stored.values_mut() {
            holders.remove(authority);
        }
    }

    /// Whether a vertex of the authority is ordered.
    pub(crate) fn has_ordered(&self, authority: AuthorityIndex) -> bool {
        let all = (authority, Round(0))..=(authority, Round(u64::MAX));
        self.ordered.range(all).next().is_some()
    }

    /// Whether everybody who lost its disk takes part again.
    pub(crate) fn all_returned(&self) -> bool {
        self.lost.keys().all(|authority| self.returned.contains(*authority))
    }

    /// Whoever is accused broke its word, and anybody can check that.
    fn evidence(&mut self, authority: AuthorityIndex, evidence: &Evidence) -> Result<(), Broken> {
        let accused = evidence.accused();
        hold!(
            "evidence",
            self.faulty.contains(accused),
            "{authority} accuses {accused}, who is honest: {evidence:?}"
        );
        let checked = evidence.check(&self.rules, &mut self.verifier);
        hold!("evidence", checked == Ok(accused), "{authority} keeps false evidence: {checked:?}");
        self.accused.insert((authority, accused));
        Ok(())
    }

    /// Whether an authority holds evidence against another.
    pub(crate) fn has_evidence(&self, authority: AuthorityIndex, accused: AuthorityIndex) -> bool {
        self.accused.contains(&(authority, accused))
    }

    fn is_faulty(&self, party: Party) -> bool {
        party.authority().is_some_and(|authority| self.faulty.contains(authority))
    }

    /// A message left a machine.
    pub(crate) fn sent(&mut self, party: Party, message: &Message) -> Result<(), Broken> {
        if self.is_faulty(party) {
            return Ok(());
        }
        match (party, message) {
            (Party::Beacon(author), Message::Proposal(signed)) => {
                let vertex = signed.vertex.head.reference();
                let first = *self.vertices.entry((vertex.author, vertex.round)).or_insert(vertex.id);
                hold!("A3", vertex.author == author, "{party:?} proposed a vertex of {}", vertex.author);
                hold!("A3", first == vertex.id, "two vertices of {author} in round {}", vertex.round);
            }
            (Party::Beacon(sender), Message::Votes(votes)) => {
                for vote in votes.iter().filter(|vote| vote.voter == sender) {
                    let VertexRef { round, author, id } = vote.vertex;
                    let first = *self.votes.entry((sender, author, round)).or_insert(id);
                    hold!(
                        "A3",
                        first == id,
                        "two votes of {sender} for the slot of {author} in round {round}"
                    );
                }
            }
            (_, Message::Certificates(certificates)) => {
                for certificate in certificates {
                    self.certificate(&certificate.vertex)?;
                }
            }
            (_, Message::Vertices(vertices)) => {
                for certificate in vertices.iter().filter_map(|vertex| vertex.certificate.as_ref()) {
                    self.certificate(&certificate.vertex)?;
                }
            }
            (Party::Beacon(authority), Message::Order(order)) => self.order(authority, order)?,
            _ => {}
        }
        Ok(())
    }

    fn certificate(&mut self, vertex: &VertexRef) -> Result<(), Broken> {
        let first = *self.certificates.entry((vertex.author, vertex.round)).or_insert(vertex.id);
        hold!("A2", first == vertex.id, "two certificates for {} in round {}", vertex.author, vertex.round);
        Ok(())
    }

    fn commit(&mut self, authority: AuthorityIndex, commit: &Commit) -> Result<(), Broken> {
        let head = &mut self.heads[authority.index()];
        let index = commit.index;
        hold!("A1", index == head.next(), "beacon {authority} committed {index} after {head}");
        *head = index;
        let digest = commit.digest();
        if let Some(Place { digest: known, .. }) = self.commits.get(&index) {
            hold!(
                "A1",
                *known == digest,
                "beacon {authority} has commit {index} as {digest}, another as {known}"
            );
            return Ok(());
        }
        let (previous, floor) =
            match index.0.checked_sub(1).and_then(|before| self.commits.get(&CommitIndex(before))) {
                Some(place) => (place.digest, place.floor),
                None => (CommitDigest::default(), Round(0)),
            };
        hold!("A1", commit.previous == previous, "commit {index} does not follow the one before");
        hold!(
            "A1",
            commit.vertices.last() == Some(&commit.anchor),
            "commit {index} does not end with its anchor"
        );
        for vertex in &commit.vertices {
            hold!(
                "A4",
                vertex.round > floor,
                "commit {index} orders {vertex:?} at or below the floor {floor}"
            );
            if self.lost.get(&vertex.author).is_some_and(|last| vertex.round > *last) {
                self.returned.insert(vertex.author);
            }
            if let Some(before) = self.ordered.insert((vertex.author, vertex.round), index) {
                hold!(
                    "A4",
                    false,
                    "the slot of {vertex:?} is ordered in commit {before} and again in {index}"
                );
            }
        }
        let Commit { floor, anchor, .. } = *commit;
        self.commits.insert(index, Place { digest, floor, anchor: anchor.round });
        Ok(())
    }

    fn order(&mut self, authority: AuthorityIndex, order: &Order) -> Result<(), Broken> {
        let digest = *blake3::hash(&encode(order)).as_bytes();
        let (shard, commit) = (order.shard, order.commit);
        if let Some(known) = self.orders.get(&(shard, commit)) {
            hold!(
                "A1",
                *known == digest,
                "the order of commit {commit} for shard {shard} at {authority} differs from another's"
            );
            return Ok(());
        }
        self.orders.insert((shard, commit), digest);
        if let Some(replay) = &mut self.replay {
            replay.order(order);
        }
        for event in &order.events {
            match event {
                OrderEvent::Batch(ordered) => {
                    let id = ordered.batch.id;
                    if let Some(before) = self.ordered_batches.insert(id, commit) {
                        let rounds = |index| self.commits.get(&index).map_or(0, |place| place.anchor.0);
                        // An adversary may name it again when the order has forgotten it: its transactions are void.
                        let forgotten = rounds(commit) - rounds(before) > self.batch_memory;
                        hold!(
                            "A4",
                            forgotten && !self.faulty.is_empty(),
                            "batch {id} takes effect in commit {before} and again in {commit}"
                        );
                    }
                    let nobody = (AuthoritySet::default(), Vec::new());
                    let (holders, transactions) = self.stored.get(&id).unwrap_or(&nobody);
                    // Adversaries may say that they hold it, and who lost its disk did. They are of the f that may be lost
                    // for ever, so that the rest of f + 1 still has it.
                    let excused = self.faulty.union(&self.lost.keys().copied().collect());
                    hold!(
                        "A5",
                        self.committee.is_valid(&holders.union(&excused)) && !holders.is_empty(),
                        "batch {id} is ordered in commit {commit} and durable only at {:?}",
                        holders.iter().collect::<Vec<_>>()
                    );
                    self.ordered_transactions.extend(transactions);
                }
                OrderEvent::Void(_) => {}
                OrderEvent::Close(close) => self.close(shard, close)?,
            }
        }
        for (certified, shard) in order.certified.iter().zip((0..).map(ShardId)) {
            if certified.block > BlockIndex(0) {
                let first = *self.certified.entry((shard, certified.block)).or_insert(certified.record);
                hold!(
                    "A1",
                    first == certified.record,
                    "two records of ({shard}, {}) certified",
                    certified.block
                );
                if let Some(record) = self.records.get(&(shard, certified.block)) {
                    hold!(
                        "E1",
                        *record == first,
                        "the certified record of ({shard}, {}) is not the computed one",
                        certified.block
                    );
                }
            }
        }
        Ok(())
    }

    fn close(&mut self, shard: ShardId, close: &Close) -> Result<(), Broken> {
        let block = close.block;
        let mut common = close.clone();
        common.usable = Vec::new();
        if let Some(known) = self.closes.get(&block) {
            hold!(
                "A1",
                *known == common,
                "shard {shard} closes block {block} differently than another shard"
            );
            return Ok(());
        }
        let last = self.closes.last_key_value().map_or(BlockIndex(0), |(block, _)| *block);
        hold!("A1", block == last.next(), "block {block} closes after {last}");
        self.closes.insert(block, common);
        Ok(())
    }

    /// A worker computed a record.
    pub(crate) fn record(&mut self, authority: AuthorityIndex, record: &Record) -> Result<(), Broken> {
        let (shard, block) = (record.shard, record.block);
        let digest = record.digest();
        if let Some(known) = self.records.get(&(shard, block)) {
            hold!(
                "E1",
                *known == digest,
                "worker ({authority}, {shard}) has another record of block {block}: {record:?}"
            );
            return Ok(());
        }
        if let Some(certified) = self.certified.get(&(shard, block)) {
            hold!("E1", *certified == digest, "the record of ({shard}, {block}) is not the certified one");
        }
        let before = self.latest[shard.index()].replace(record.clone());
        hold!(
            "E1",
            before.as_ref().map_or(record.position == 0, |before| {
                record.position == before.position + 1 && block > before.block
            }),
            "record ({shard}, {block}) has position {} after {:?}",
            record.position,
            before.map(|before| (before.block, before.position))
        );
        self.records.insert((shard, block), digest);
        if let Some(replay) = &mut self.replay {
            replay.compare(record)?;
        }
        // X1 holds for each shard by itself: what it has, burned and has under way is what it was given and received.
        let mut sum = record.supply.0.wrapping_add(record.burned.0);
        for pair in &record.pairs {
            sum = sum
                .wrapping_add(pair.sent.value)
                .wrapping_sub(pair.consumed.value.wrapping_sub(pair.bounced.value))
                .wrapping_sub(pair.returned.value);
        }
        let funds = self.funds[shard.index()].0;
        hold!("X1", sum == funds, "record ({shard}, {block}) accounts for {sum} of {funds}: {record:?}");
        for (other, pair) in record.pairs.iter().enumerate() {
            let theirs =
                self.latest[other].as_ref().map(|record| record.pairs[shard.index()]).unwrap_or_default();
            hold!(
                "X2",
                pair.cursor() <= theirs.emitted() && pair.consumed.count <= theirs.sent.count,
                "shard {shard} consumed {pair:?} of shard {other}, which emitted {theirs:?}"
            );
            let earlier = before.as_ref().map(|before| before.pairs[other]).unwrap_or_default();
            hold!(
                "X2",
                pair.cursor() >= earlier.cursor() && pair.emitted() >= earlier.emitted(),
                "counters of shard {shard} about {other} fell in block {block}"
            );
        }
        Ok(())
    }

    /// A client heard of its transaction.
    pub(crate) fn progress(&mut self, authority: AuthorityIndex, progress: &Progress) -> Result<(), Broken> {
        if self.faulty.contains(authority) {
            return Ok(());
        }
        let id = progress.transaction;
        if progress.level >= Level::Ordered {
            hold!(
                "D1",
                self.ordered_transactions.contains(&id),
                "{authority} reported {id} as {:?}, and it is in no ordered batch",
                progress.level
            );
        }
        if let Some(outcome @ (Outcome::Success | Outcome::Failed(_))) = progress.outcome {
            let first = *self.outcomes.entry(id).or_insert(outcome);
            hold!(
                "E3",
                first == outcome,
                "{authority} reported {id} as {outcome:?}, it was {first:?} before"
            );
            if let Some(replay) = &self.replay {
                replay.ended(&id, outcome)?;
            }
        }
        Ok(())
    }

    /// What must hold when everything is settled.
    pub(crate) fn settled(&self) -> Result<(), Broken> {
        let supply: u128 = self.funds.iter().map(|funds| u128::from(funds.0)).sum();
        let mut total = 0;
        for (shard, funds) in self.funds.iter().enumerate() {
            total += self.latest[shard].as_ref().map_or(u128::from(funds.0), |record| {
                u128::from(record.supply.0) + u128::from(record.burned.0)
            });
            for (other, pair) in self.latest[shard].iter().flat_map(|record| record.pairs.iter().enumerate())
            {
                let theirs =
                    self.latest[other].as_ref().map(|record| record.pairs[shard]).unwrap_or_default();
                hold!(
                    "X2",
                    pair.sent == theirs.consumed && pair.returned == theirs.bounced,
                    "at the end shard {shard} has {pair:?} with {other}, which has {theirs:?}"
                );
            }
        }
        hold!("X1", total == supply, "at the end {total} of {supply} exist");
        Ok(())
    }
}

#[cfg(test)]
mod tests;
