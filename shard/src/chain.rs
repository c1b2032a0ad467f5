//! The chain of this shard's records: the own ones, and which of them the order has certified.

use std::collections::{BTreeMap, VecDeque};

use fresnel_types::{
    Attestation, BlockIndex, Record, RecordDigest, ShardId,
    commit::Certified,
    hash::Root,
    mmr::{Mmr, Range},
    proof::Later,
};

use wincode::{SchemaRead, SchemaWrite};

use crate::limits::{RECORDS_RETAINED, UNEXECUTED_CERTIFIED_MAX};

/// What a checkpoint holds of a chain besides its records.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub(crate) struct Head {
    dropped: Mmr,
    last: Option<RecordDigest>,
    certified: Certified,
    ahead: Vec<(BlockIndex, RecordDigest)>,
}

impl Head {
    /// Of a chain whose last record has this digest, after records over which `dropped` is.
    pub(crate) fn of_last(dropped: Mmr, last: RecordDigest) -> Self {
        Self { dropped, last: Some(last), certified: Certified::default(), ahead: Vec::new() }
    }

    /// The position of the oldest record of the chain.
    pub(crate) fn oldest(&self) -> u64 {
        self.dropped.count()
    }

    /// Over the digests of the records before that.
    pub(crate) fn dropped(&self) -> Mmr {
        self.dropped.clone()
    }
}

/// A record is so old that it is kept no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forgotten;

/// Own records with their certification.
#[derive(Debug)]
pub(crate) struct Chain {
    shard: ShardId,
    range: Mmr,
    /// What `range` was before the oldest of `records`.
    dropped: Mmr,
    /// The nodes of `range` above `records`.
    nodes: Range,
    /// The last [`RECORDS_RETAINED`] records with their digests, ascending by block.
    records: VecDeque<(Record, RecordDigest)>,
    certified: Certified,
    /// What the order certified of blocks not executed here yet.
    ahead: BTreeMap<BlockIndex, RecordDigest>,
    confirmed: BlockIndex,
    diverged: Option<BlockIndex>,
}

impl Chain {
    pub(crate) fn new(shard: ShardId) -> Self {
        Self {
            shard,
            range: Mmr::default(),
            dropped: Mmr::default(),
            nodes: Range::from(&Mmr::default()),
            records: VecDeque::new(),
            certified: Certified::default(),
            ahead: BTreeMap::new(),
            confirmed: BlockIndex(0),
            diverged: None,
        }
    }

    /// For a checkpoint.
    pub(crate) fn snapshot(&self) -> Head {
        Head {
            dropped: self.dropped.clone(),
            last: self.records.back().map(|(_, digest)| *digest),
            certified: self.certified,
            ahead: self.ahead.iter().map(|(block, record)| (*block, *record)).collect(),
        }
    }

    /// A chain of which `records` are kept, the last of them certified: a checkpoint is stored only then. So what the
    /// log says again of the records before it decides nothing.
    ///
    /// # Errors
    /// When the records are not those of the chain.
    pub(crate) fn restore(
        shard: ShardId,
        head: Head,
        records: impl IntoIterator<Item = Record>,
    ) -> Result<Self, &'static str> {
        let nodes = Range::from(&head.dropped);
        let mut chain =
            Self { range: head.dropped.clone(), dropped: head.dropped, nodes, ..Self::new(shard) };
        for record in records {
            if record.shard != shard || (record.position, record.earlier) != chain.head() {
                return Err("an own record does not follow the one before");
            }
            chain.append(record);
        }
        let last = chain.records.back().filter(|(_, digest)| Some(*digest) == head.last);
        let Some((last, digest)) = last else { return Err("the last record is another one") };
        chain.confirmed = last.block;
        chain.certified = head.certified.max(Certified { block: last.block, record: *digest });
        chain.ahead = head.ahead.into_iter().filter(|(block, _)| *block > last.block).collect();
        Ok(chain)
    }

    /// The position of the oldest record kept.
    pub(crate) fn oldest(&self) -> u64 {
        self.dropped.count()
    }

    /// Position and range root that the next record states.
    pub(crate) fn head(&self) -> (u64, Root) {
        (self.range.count(), self.range.root())
    }

    /// Appends an own record and gives the attestation of it.
    pub(crate) fn append(&mut self, record: Record) -> Attestation {
        let digest = record.digest();
        self.range.append_record(&digest);
        self.nodes.append_record(&digest);
        let block = record.block;
        self.records.push_back((record, digest));
        while self.records.len() > RECORDS_RETAINED
            && let Some((_, dropped)) = self.records.pop_front()
        {
            self.dropped.append_record(&dropped);
        }
        self.nodes.forget_before(self.dropped.count());
        if let Some(expected) = self.ahead.remove(&block) {
            self.compare(block, digest, expected);
        }
        Attestation { shard: self.shard, block, record: digest }
    }

    /// A block without input was passed, so a record certified for it is not ours.
    pub(crate) fn pass(&mut self, block: BlockIndex) {
        if self.ahead.remove(&block).is_some() {
            self.diverged.get_or_insert(block);
        }
    }

    /// The order certified a record of this shard. `executed` is the last block executed here.
    pub(crate) fn certify(&mut self, certified: Certified, executed: BlockIndex) {
        if certified.block <= self.certified.block {
            return;
        }
        self.certified = certified;
        if certified.block > executed {
            self.ahead.insert(certified.block, certified.record);
            while self.ahead.len() > UNEXECUTED_CERTIFIED_MAX {
                self.ahead.pop_first();
            }
        } else {
            match self.records.binary_search_by_key(&certified.block, |(record, _)| record.block) {
                Ok(place) => self.compare(certified.block, self.records[place].1, certified.record),
                Err(_) => {
                    self.diverged.get_or_insert(certified.block);
                }
            }
        }
    }

    /// The highest block whose own record is the certified one; all own records before it follow. What is beyond may
    /// be certified with another content than was computed here, and is not final to anybody who asks here.
    pub(crate) fn confirmed(&self) -> BlockIndex {
        self.confirmed
    }

    /// The first block at which the own record differs from the certified one, if there is one.
    pub(crate) fn diverged(&self) -> Option<BlockIndex> {
        self.diverged
    }

    /// What the order certified last.
    pub(crate) fn certified(&self) -> Certified {
        self.certified
    }

    /// Attestations that may still be needed: those of records after the certified one.
    pub(crate) fn outstanding(&self) -> Vec<Attestation> {
        self.records
            .iter()
            .skip(self.records.partition_point(|(record, _)| record.block <= self.certified.block))
            .map(|(record, digest)| Attestation { shard: self.shard, block: record.block, record: *digest })
            .collect()
    }

    /// The newest record that is kept.
    pub(crate) fn newest(&self) -> Option<&Record> {
        self.records.back().map(|(record, _)| record)
    }

    /// The record of a block, if it is kept.
    pub(crate) fn record(&self, block: BlockIndex) -> Option<&Record> {
        let place = self.records.binary_search_by_key(&block, |(record, _)| record.block).ok()?;
        Some(&self.records[place].0)
    }

    /// The last kept record of a block up to this one.
    pub(crate) fn record_up_to(&self, block: BlockIndex) -> Option<&Record> {
        let after = self.records.partition_point(|(record, _)| record.block <= block);
        Some(&self.records.get(after.checked_sub(1)?)?.0)
    }

    /// What ties a record, which is confirmed, to the last one that was attested by a quorum; nothing when it is that one.
    ///
    /// # Errors
    /// When the record is kept no more.
    pub(crate) fn later(&self, record: &Record) -> Result<Option<Later>, Forgotten> {
        match self.record(self.confirmed) {
            Some(head) if head.position > record.position => {
                let path = self.nodes.path(record.position, head.position).ok_or(Forgotten)?;
                Ok(Some(Later { record: head.clone(), path }))
            }
            Some(_) => Ok(None),
            None => Err(Forgotten),
        }
    }

    /// Records from `from` on, at most `limit`.
    pub(crate) fn records(&self, from: BlockIndex, limit: usize) -> Vec<Record> {
        let start = self.records.partition_point(|(record, _)| record.block < from);
        self.records.iter().skip(start).take(limit).map(|(record, _)| record.clone()).collect()
    }

    fn compare(&mut self, block: BlockIndex, own: RecordDigest, certified: RecordDigest) {
        if own == certified {
            self.confirmed = self.confirmed.max(block);
        } else {
            self.diverged.get_or_insert(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use fresnel_types::{Amount, Epoch, LogDigest, StateRoot};

    use super::*;

    fn record(chain: &Chain, block: u64) -> Record {
        let (position, earlier) = chain.head();
        Record {
            epoch: Epoch(0),
            shard: ShardId(0),
            block: BlockIndex(block),
            log: LogDigest([0; 32]),
            position,
            earlier,
            state: StateRoot::default(),
            outbox: Root::default(),
            results: Root::default(),
            supply: Amount(0),
            burned: Amount(0),
            pairs: vec![],
        }
    }

    fn certified(block: u64, record: RecordDigest) -> Certified {
        Certified { block: BlockIndex(block), record }
    }

    #[test]
    fn certification_is_cumulative_and_ends_the_need_to_attest() {
        let mut chain = Chain::new(ShardId(0));
        let digests: Vec<_> = [1, 3, 4].map(|block| chain.append(record(&chain, block)).record).to_vec();
        assert_eq!(chain.outstanding().len(), 3);
        chain.certify(certified(3, digests[1]), BlockIndex(4));
        chain.certify(certified(1, digests[0]), BlockIndex(4));
        assert_eq!(
            (chain.certified().block, chain.confirmed()),
            (BlockIndex(3), BlockIndex(3)),
            "never falls"
        );
        assert_eq!(chain.outstanding().iter().map(|a| a.block.0).collect::<Vec<_>>(), vec![4]);
        assert_eq!(chain.records(BlockIndex(2), 9).len(), 2);
        assert_eq!(chain.diverged(), None);
    }

    #[test]
    fn a_different_certified_record_is_divergence_whenever_it_shows() {
        let foreign = RecordDigest([9; 32]);
        let mut late = Chain::new(ShardId(0));
        late.append(record(&late, 1));
        late.certify(certified(1, foreign), BlockIndex(1));
        assert_eq!(late.diverged(), Some(BlockIndex(1)));

        let mut early = Chain::new(ShardId(0));
        early.certify(certified(2, foreign), BlockIndex(0));
        assert_eq!(early.diverged(), None);
        early.append(record(&early, 1));
        assert_eq!(early.confirmed(), BlockIndex(0), "an earlier record may differ as well");
        early.append(record(&early, 2));
        assert_eq!(early.diverged(), Some(BlockIndex(2)));
        assert_eq!(early.confirmed(), BlockIndex(0));

        let mut absent = Chain::new(ShardId(0));
        absent.certify(certified(2, foreign), BlockIndex(0));
        absent.pass(BlockIndex(2));
        assert_eq!(absent.diverged(), Some(BlockIndex(2)));
    }
}
