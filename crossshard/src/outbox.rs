//! What the own shard emitted: every record with its receipts, kept for the siblings until it is consumed and for a
//! while after.

use std::collections::VecDeque;

use fresnel_types::{
    BlockIndex, Bundle, Receipt, Record, ShardId, merkle,
    receipt::{self},
};

use crate::limits::{EMITTED_BYTES_MAX, EMITTED_RECORDS_MIN};

#[derive(Debug)]
struct Emitted {
    record: Record,
    slices: Vec<Vec<Receipt>>,
    leaves: Vec<[u8; 32]>,
    bytes: usize,
}

/// Own records, ascending.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    records: VecDeque<Emitted>,
    bytes: usize,
}

impl Outbox {
    /// Keeps the next record.
    pub(crate) fn push(&mut self, record: &Record, slices: Vec<Vec<Receipt>>) {
        assert!(
            self.records.back().is_none_or(|last| last.record.position + 1 == record.position),
            "records are emitted in order, each once"
        );
        assert_eq!(slices.len(), record.pairs.len(), "an outbox has one slice per shard");
        let leaves = receipt::slice_leaves(&slices);
        let receipts: usize = slices.iter().map(Vec::len).sum();
        let bytes = size_of::<Emitted>()
            + receipts * size_of::<Receipt>()
            + record.pairs.len() * (size_of_val(&record.pairs[0]) + size_of::<Vec<Receipt>>() + 32);
        self.bytes += bytes;
        self.records.push_back(Emitted { record: record.clone(), slices, leaves, bytes });
    }

    /// Whether what the last record is kept with is what it says it emitted.
    pub(crate) fn newest_matches(&self) -> bool {
        self.records
            .back()
            .is_none_or(|emitted| merkle::root(emitted.leaves.iter().copied()) == emitted.record.outbox)
    }

    /// The position of the oldest record kept.
    pub(crate) fn first(&self) -> Option<u64> {
        self.records.front().map(|emitted| emitted.record.position)
    }

    /// The bundle of the last record for `destination`.
    pub(crate) fn newest(&self, destination: ShardId) -> Option<Bundle> {
        self.records.back().map(|emitted| emitted.bundle(destination))
    }

    /// The bundles for `destination` after a block, made one by one.
    pub(crate) fn after(&self, destination: ShardId, after: BlockIndex) -> impl Iterator<Item = Bundle> {
        let start = self.records.partition_point(|emitted| emitted.record.block <= after);
        self.records.range(start..).map(move |emitted| emitted.bundle(destination))
    }

    /// Forgets the oldest records: those that every destination has consumed, beyond a rest kept for siblings that
    /// come back, and whatever exceeds the bound on bytes. A sibling that lacks one of the latter finds it at the
    /// other authorities' workers of its shard.
    pub(crate) fn prune(&mut self, cursor: impl Fn(ShardId) -> u64, own: ShardId) {
        while let Some(oldest) = self.records.front() {
            let consumed = || {
                oldest.record.pairs.iter().enumerate().all(|(shard, pair)| {
                    let shard = ShardId(shard as u16);
                    shard == own || cursor(shard) >= pair.emitted()
                })
            };
            let spare = self.records.len() > EMITTED_RECORDS_MIN && consumed();
            if !spare && (self.bytes <= EMITTED_BYTES_MAX || self.records.len() == 1) {
                break;
            }
            self.bytes -= oldest.bytes;
            self.records.pop_front();
        }
    }
}

impl Emitted {
    fn bundle(&self, destination: ShardId) -> Bundle {
        Bundle {
            destination,
            record: self.record.clone(),
            receipts: self.slices[destination.index()].clone(),
            path: merkle::path(&self.leaves, destination.index()),
        }
    }
}
