//! The life of a checkpoint, and what it adds.

use std::collections::BTreeMap;

use fresnel_types::{Amount, Epoch, LogDigest, StateRoot, hash::Root};
use proptest::prelude::*;

use super::*;

fn record(block: u64) -> Record {
    Record {
        epoch: Epoch(0),
        shard: ShardId(0),
        block: BlockIndex(block),
        log: LogDigest([0; 32]),
        position: block - 1,
        earlier: Root::default(),
        state: StateRoot::default(),
        outbox: Root::default(),
        results: Root::default(),
        supply: Amount(0),
        burned: Amount(0),
        pairs: vec![],
    }
}

fn checkpoints(interval: u64, bytes_max: usize) -> Checkpoints {
    Checkpoints::new(
        Checkpointing { blocks: u64::MAX, interval, bytes_max },
        Timestamp(0),
        WriteSet::default(),
    )
}

/// Gathers a block that changes nothing; records before position `oldest` are needed no more.
fn gather(checkpoints: &mut Checkpoints, block: u64, oldest: u64) {
    let outcomes = Outcomes::new(BlockIndex(block), vec![], vec![], vec![]);
    checkpoints.gather(&record(block), WriteSet::default(), &outcomes, oldest, oldest);
}

fn certified(checkpoints: &mut Checkpoints, block: u64) -> Option<Checkpoint> {
    let mut effects = Vec::new();
    checkpoints.certified(BlockIndex(block), &mut effects);
    effects.pop().map(|effect| match effect {
        Effect::Checkpoint(checkpoint) => *checkpoint,
        _ => panic!("{effect:?} is no checkpoint"),
    })
}

#[test]
fn one_is_under_way_at_a_time_and_only_certified_ones_leave() {
    let mut checkpoints = checkpoints(10, usize::MAX);
    assert!(!checkpoints.is_due(Timestamp(99)), "nothing happened");
    gather(&mut checkpoints, 1, 0);
    assert!(!checkpoints.is_due(Timestamp(9)));
    assert!(checkpoints.is_due(Timestamp(10)));
    checkpoints.appended(EntryNumber(1));
    checkpoints.freeze(Timestamp(10), vec![vec![7]]);
    gather(&mut checkpoints, 2, 0);
    assert!(!checkpoints.is_due(Timestamp(99)));
    assert_eq!(certified(&mut checkpoints, 0), None);
    let first = certified(&mut checkpoints, 1).expect("certified");
    assert_eq!((first.block, first.entry, first.in_hand), (BlockIndex(1), EntryNumber(1), vec![vec![7]]));
    assert_eq!((first.records.first, first.records.items.len()), (0, 1));

    assert!(!checkpoints.is_due(Timestamp(99)), "the store has the first in hand");
    assert_eq!(certified(&mut checkpoints, 2), None);
    let mut effects = Vec::new();
    checkpoints.stored(BlockIndex(2), &mut effects);
    assert_eq!(effects, vec![], "of another block");
    checkpoints.stored(BlockIndex(1), &mut effects);
    assert_eq!(effects, vec![Effect::Forget(EntryNumber(0))], "the log of the only one is kept");
    assert!(checkpoints.is_due(Timestamp(20)));
    checkpoints.freeze(Timestamp(20), vec![]);
    let second = certified(&mut checkpoints, 2).expect("certified");
    assert_eq!((second.records.first, second.outcomes.first, second.records.items.len()), (1, 1, 1));
    effects.clear();
    checkpoints.stored(BlockIndex(2), &mut effects);
    assert_eq!(effects, vec![Effect::Forget(EntryNumber(1))], "what the first one needs is kept");
}

#[test]
fn many_bytes_make_one_due_earlier() {
    let mut checkpoints = checkpoints(u64::MAX, 300);
    gather(&mut checkpoints, 1, 0);
    assert!(!checkpoints.is_due(Timestamp(0)));
    gather(&mut checkpoints, 2, 0);
    assert!(checkpoints.is_due(Timestamp(0)));
}

/// D3: also while a checkpoint waits for ever.
#[test]
fn what_is_needed_no_more_is_not_gathered() {
    let mut checkpoints = checkpoints(0, usize::MAX);
    for block in 1..=100 {
        gather(&mut checkpoints, block, block.saturating_sub(10));
    }
    let records = checkpoints.records.take();
    assert_eq!((records.first, records.oldest, records.items.len()), (90, 90, 10));
    for block in 101..=200 {
        gather(&mut checkpoints, block, block.saturating_sub(10));
    }
    let records = checkpoints.records.take();
    let empty = records.items.iter().take_while(|item| item.is_empty()).count();
    assert_eq!((records.first, records.oldest, records.items.len()), (100, 190, 100), "no gap to the first");
    assert_eq!(empty, 90);
    assert_eq!(checkpoints.records.bytes, 0);
}

#[test]
fn outcomes_are_kept_as_long_as_they_are_news() {
    let mut checkpoints = checkpoints(0, usize::MAX);
    let half = NEWS_RETAINED / 2;
    for (position, count) in [half, 1, half, half - 1, 0].into_iter().enumerate() {
        checkpoints.note_news(position as u64, count);
    }
    assert_eq!(checkpoints.news, [(1, 1), (2, half), (3, half - 1)]);
}

#[test]
fn an_outbox_comes_back_from_the_lists_that_hold_anything() {
    let receipt = Receipt {
        sequence: fresnel_types::Sequence(3),
        transaction: TransactionId([1; 32]),
        kind: fresnel_types::ReceiptKind::Bounce {
            recipient: fresnel_types::Address([2; 32]),
            amount: Amount(1),
            asset: fresnel_types::action::Asset::Native,
            code: fresnel_types::FailureCode::BelowAccountMinimum,
        },
    };
    let outbox = vec![vec![], vec![], vec![receipt], vec![]];
    let outcomes = Outcomes::new(BlockIndex(1), vec![], vec![], outbox.clone());
    assert_eq!(outcomes.emitted.len(), 1);
    assert_eq!(outcomes.outbox(Shards::new(4).expect("a power of two")), outbox);
}

proptest! {
    /// The last change of every leaf is what remains, however the changes were cut into blocks.
    #[test]
    fn the_last_change_of_a_leaf_remains(
        blocks in prop::collection::vec(prop::collection::btree_map(0_u8..40, prop::option::of(any::<u8>()), 0..20), 0..30),
        merges in prop::collection::vec(any::<bool>(), 30),
        same_first in any::<bool>(),
    ) {
        let mut changes = Changes::default();
        let mut expected = BTreeMap::new();
        // Keys that are the same in all that is compared first, too.
        let key = |last: u8| if same_first { [[1; 31].as_slice(), &[last]].concat() } else { vec![last; 32] };
        for (block, merges) in blocks.into_iter().zip(merges) {
            let mut writes = WriteSet::default();
            for (last, value) in &block {
                let key = StateKey(key(*last).try_into().expect("32 bytes"));
                writes.push(key, value.as_ref().map(std::slice::from_ref));
            }
            changes.push(writes);
            expected.extend(block);
            if merges {
                changes.merge();
                prop_assert_eq!(changes.len(), expected.len());
            }
        }
        let taken = changes.take();
        let taken: Vec<_> = taken.iter().map(|(key, value)| (key.0[31], value.map(|value| value[0]))).collect();
        prop_assert_eq!(taken, expected.into_iter().collect::<Vec<_>>());
        prop_assert_eq!(changes.len(), 0);
    }
}

#[test]
fn changes_that_are_many_are_merged() {
    let mut changes = Changes::default();
    for round in 0..40_u8 {
        let leaves = (0..10_000_u32).map(|leaf| {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&leaf.to_be_bytes());
            StateKey(key)
        });
        let value = [round];
        changes.push(leaves.map(|key| (key, Some(value.as_slice()))).collect());
        assert!(changes.len() < 10_000 + FRESH_CHANGES_MIN, "{}", changes.len());
    }
    let taken = changes.take();
    assert!(taken.len() == 10_000 && taken.iter().all(|(_, value)| value == Some(&[39])));
}
