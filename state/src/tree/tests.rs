use std::collections::BTreeMap;

use proptest::prelude::*;

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use fresnel_crypto::hash;

use super::{part::SLICE, reference::ReferenceTree, *};
use crate::leaf::{bit, leaf_hash};

type Leaves = BTreeMap<StateKey, Vec<u8>>;

const ONE: ShardId = ShardId(0);

fn shards(count: u16) -> Shards {
    Shards::new(count).expect("valid")
}

/// The definition, word by word.
fn definition(leaves: &[(&StateKey, &Vec<u8>)], depth: usize) -> Hash {
    match leaves {
        [] => EMPTY,
        [(key, value)] => leaf_hash(key, value),
        _ => {
            let (left, right) = leaves.split_at(leaves.partition_point(|(key, _)| !bit(key, depth)));
            hash::node(&definition(left, depth + 1), &definition(right, depth + 1))
        }
    }
}

fn writes(changes: &BTreeMap<StateKey, Option<Vec<u8>>>) -> WriteSet {
    changes.iter().map(|(key, value)| (*key, value.as_deref())).collect()
}

/// Whether every part has the branches that its leaves need below its slots, and no others.
fn no_branch_is_lost(tree: &Tree) -> bool {
    tree.parts.iter().all(|part| {
        let filled = part.nodes().top().children().iter().flatten().count();
        part.nodes().used_branches() + filled == part.count()
    })
}

fn all_branches(tree: &Tree) -> usize {
    tree.parts.iter().map(|part| part.nodes().all_branches()).sum()
}

/// Few distinct bytes, so that keys meet again and share long prefixes; the shard bits are those of shard 1 of 4.
fn key() -> impl Strategy<Value = StateKey> {
    (0_u8..8, 0_u8..4, 0_u8..8).prop_map(|(first, middle, last)| {
        let mut key = [0; 32];
        (key[0], key[2], key[4]) = (0x40 | first, middle << 6, last);
        StateKey(key)
    })
}

fn batch() -> impl Strategy<Value = BTreeMap<StateKey, Option<Vec<u8>>>> {
    let value = prop::option::weighted(0.6, prop::collection::vec(any::<u8>(), 0..4));
    prop::collection::btree_map(key(), value, 0..12)
}

proptest! {
    /// E1: the root depends on the leaves alone, and every proof holds for what it proves and nothing else.
    #[test]
    fn root_and_proofs_follow_the_definition(batches in prop::collection::vec(batch(), 1..12), probe in key()) {
        let (shards, shard) = (shards(4), ShardId(1));
        let (mut tree, mut leaves) = (Tree::new(shards, shard), Leaves::new());
        let mut reference = ReferenceTree::new(shards, shard);
        for changes in &batches {
            for (key, value) in changes {
                match value {
                    Some(value) => leaves.insert(*key, value.clone()),
                    None => leaves.remove(key),
                };
            }
            let root = tree.apply(&writes(changes));
            let list: Vec<_> = leaves.iter().collect();
            prop_assert_eq!(root.0, definition(&list, 2));
            prop_assert_eq!(tree.root(), root);
            prop_assert_eq!(reference.apply(&writes(changes)), root);
            prop_assert_eq!(tree.len(), leaves.len());
            prop_assert!(tree.leaves().eq(leaves.iter().map(|(key, value)| (key, value.as_slice()))));
        }
        prop_assert!(no_branch_is_lost(&tree));

        let root = tree.root();
        for key in leaves.keys().copied().chain([probe]) {
            let value = leaves.get(&key).map(Vec::as_slice);
            prop_assert_eq!(tree.get(&key), value);
            let proof = tree.prove(&key);
            prop_assert_eq!(&proof, &reference.prove(&key));
            prop_assert!(proof.verify(shards, &root, &key, value));
            prop_assert!(!proof.verify(shards, &root, &key, Some(b"another value")));
            if value.is_some() {
                prop_assert!(!proof.verify(shards, &root, &key, None));
            }
            prop_assert!(!proof.verify(shards, &StateRoot([9; 32]), &key, value));
            for other in leaves.keys().filter(|other| **other != key) {
                // What proves that one key is absent may hold for another absent one, never for one that is there.
                prop_assert!(!proof.verify(shards, &root, other, None));
                prop_assert!(!proof.verify(shards, &root, other, value) || value.is_none());
            }
            let mut longer = proof.clone();
            longer.siblings.push(EMPTY);
            prop_assert!(!longer.verify(shards, &root, &key, value));
            let mut deeper = proof.clone();
            deeper.siblings.insert(0, EMPTY);
            prop_assert!(!deeper.verify(shards, &root, &key, value));
            for place in 0..proof.siblings.len() {
                let mut shorter = proof.clone();
                shorter.siblings.remove(place);
                prop_assert!(!shorter.verify(shards, &root, &key, value));
                let mut forged = proof.clone();
                forged.siblings[place][3] ^= 1;
                prop_assert!(!forged.verify(shards, &root, &key, value));
            }
        }
    }
}

/// Keys of four kinds: anywhere; below one owner's 32 bits; sharing 100 bits, then anywhere; and neighbours.
fn any_key(random: &mut ChaCha12Rng) -> StateKey {
    let mut key = [0; 32];
    random.fill_bytes(&mut key);
    match random.next_u32() % 4 {
        0 => {}
        1 => key[..4].fill(7),
        2 => {
            key[..12].fill(0x55);
            key[12] |= 0xf0;
        }
        _ => {
            key[..30].fill(0xab);
            key[30] &= 3;
        }
    }
    StateKey(key)
}

/// Leaves of every number of blocks, and longer than a BLAKE3 chunk.
fn any_value(random: &mut ChaCha12Rng) -> Vec<u8> {
    let length = match random.next_u32() % 16 {
        0 => random.next_u32() as usize % 1200,
        1 => random.next_u32() as usize % 100,
        _ => 24,
    };
    let mut value = vec![0; length];
    random.fill_bytes(&mut value);
    value
}

/// A block of new keys, of changes and deletions of old ones, and of deletions of what is not there.
fn any_block(random: &mut ChaCha12Rng, leaves: &Leaves, size: usize) -> BTreeMap<StateKey, Option<Vec<u8>>> {
    let old: Vec<StateKey> = leaves.keys().copied().collect();
    let deletes_of_four = random.next_u32() % 4;
    (0..size)
        .map(|_| {
            let key = match random.next_u32() as usize {
                pick if pick % 3 > 0 && !old.is_empty() => old[pick / 3 % old.len()],
                _ => any_key(random),
            };
            let delete = random.next_u32() % 4 < deletes_of_four;
            (key, (!delete).then(|| any_value(random)))
        })
        .collect()
}

/// E1 over long histories of blocks from one change to several slices, with keys chosen to be bad for the tree.
#[test]
fn any_history_gives_the_root_of_the_reference() {
    for seed in 0..6 {
        let mut random = ChaCha12Rng::seed_from_u64(seed);
        let (mut tree, mut leaves) = (Tree::new(shards(1), ONE), Leaves::new());
        let mut reference = ReferenceTree::new(shards(1), ONE);
        tree.set_threads(NonZeroUsize::new(1 + seed as usize % 3).expect("at least one"));
        for _ in 0..24 {
            let size = [1, 3, 40, 700, SLICE, 3 * SLICE + 5][random.next_u32() as usize % 6];
            let block = any_block(&mut random, &leaves, size);
            for (key, value) in &block {
                match value {
                    Some(value) => leaves.insert(*key, value.clone()),
                    None => leaves.remove(key),
                };
            }
            let block = writes(&block);
            let old = tree.root();
            let (new, undo) = tree.apply_undoable(&block);
            assert_eq!(new, reference.apply(&block));
            let (back, redo) = tree.apply_undoable(&undo);
            assert_eq!(back, old, "what was done is undone");
            assert_eq!(tree.apply(&redo), new, "and done again");
            assert_eq!(tree.len(), leaves.len());
            assert!(no_branch_is_lost(&tree));
        }
        assert!(tree.leaves().eq(leaves.iter().map(|(key, value)| (key, value.as_slice()))));
        let probes: Vec<StateKey> = (0..200).map(|_| any_key(&mut random)).collect();
        for key in probes.iter().chain(leaves.keys().take(200)) {
            assert_eq!(tree.prove(key), reference.prove(key));
        }

        let mut fresh = Tree::new(shards(1), ONE);
        fresh.apply(&leaves.iter().map(|(key, value)| (*key, Some(value.as_slice()))).collect());
        assert_eq!(fresh.root(), tree.root(), "the same leaves have the same root, whatever came before");

        tree.apply(&leaves.keys().map(|key| (*key, None)).collect());
        assert_eq!((tree.root(), tree.len()), (StateRoot(EMPTY), 0));
        assert!(no_branch_is_lost(&tree));
    }
}

/// The places of deleted leaves are used again, so a tree that stays the same size takes the same memory.
#[test]
fn coming_and_going_takes_no_new_places() {
    let mut random = ChaCha12Rng::seed_from_u64(9);
    let mut tree = Tree::new(shards(1), ONE);
    let mut last = Leaves::new();
    let mut most = 0;
    for turn in 0..50 {
        let next: Leaves = (0..500).map(|_| (any_key(&mut random), any_value(&mut random))).collect();
        let mut block: BTreeMap<_, _> = last.into_keys().map(|key| (key, None)).collect();
        block.extend(next.iter().map(|(key, value)| (*key, Some(value.clone()))));
        tree.apply(&writes(&block));
        last = next;
        if turn == 1 {
            most = all_branches(&tree);
        }
    }
    assert!(most > 300 && all_branches(&tree) <= most + 500, "{most}, then {}", all_branches(&tree));
}

/// Roots that must never change: they are in records that authorities have attested.
#[test]
fn golden_roots() {
    let hex = |root: StateRoot| root.0.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (mut tree, mut reference) = (Tree::new(shards(1), ONE), ReferenceTree::new(shards(1), ONE));
    let mut roots = vec![];
    for turn in 0_u8..4 {
        let all: Vec<(StateKey, Vec<u8>)> = (0_u8..100)
            .filter(|number| number % 4 >= turn)
            .map(|number| {
                let key = hash::leaf(&[number]);
                (StateKey(key), vec![turn; usize::from(number) * 12])
            })
            .collect::<BTreeMap<_, _>>()
            .into_iter()
            .collect();
        let write =
            |(key, value): &(StateKey, Vec<u8>)| (*key, (value.len() % 5 != 4).then(|| value.clone()));
        let block = writes(&all.iter().map(write).collect());
        roots.push(hex(tree.apply(&block)));
        assert_eq!(reference.apply(&block), tree.root());
    }
    assert_eq!(roots, GOLDEN);
}

const GOLDEN: [&str; 4] = [
    "08cb7797d2c4d893cfa56919b28668dcdb2b2e44bcb7272caa415d03dfceeee1",
    "0c57ec472cb706bf8881c4d4c96957ec215c170bf054883d42320cc7b678059a",
    "94f4b76a8ab6b3978a6f05b277f7dcb6f3f2933fc6786327a3b05b9078c1c298",
    "e84b37293b6bf3b070053e0a90c2e4786150c0770f3e818f31f7ca2fba33545a",
];

/// The deepest tree there is: two keys that differ in their last bit.
#[test]
fn neighbours_part_at_the_last_bit() {
    let (mut tree, left, right) = (Tree::new(shards(1), ONE), StateKey([0; 32]), {
        let mut key = [0; 32];
        key[31] = 1;
        StateKey(key)
    });
    let root =
        tree.apply(&WriteSet::from_iter([(left, Some(b"l".as_slice())), (right, Some(b"r".as_slice()))]));
    let (l, r) = (b"l".to_vec(), b"r".to_vec());
    assert_eq!(root.0, definition(&[(&left, &l), (&right, &r)], 0));
    let proof = tree.prove(&right);
    assert_eq!(proof.siblings.len(), 256);
    assert!(proof.verify(shards(1), &root, &right, Some(b"r")));
    assert!(!proof.verify(shards(1), &root, &left, Some(b"l")));
}

/// Proofs come from strangers: no number of siblings may overrun the bits of a key.
#[test]
fn a_proof_longer_than_a_key_is_refused() {
    let proof = Proof { end: End::Empty, siblings: vec![EMPTY; 257] };
    assert!(!proof.verify(shards(1), &StateRoot(EMPTY), &StateKey([0; 32]), None));
}

#[test]
fn one_leaf_is_the_root_whatever_was_before() {
    let (mut tree, key) = (Tree::new(shards(1), ONE), StateKey([7; 32]));
    let set = |value| WriteSet::from_iter([(key, value)]);
    assert_eq!(tree.apply(&set(Some(b"a".as_slice()))).0, leaf_hash(&key, b"a"));
    assert_eq!(tree.apply(&set(None)).0, EMPTY);
    assert!(tree.is_empty());
}

#[test]
fn length_and_key_are_bound_into_a_leaf() {
    let (key, other) = (StateKey([1; 32]), StateKey([2; 32]));
    assert_ne!(leaf_hash(&key, b""), leaf_hash(&key, &[0]));
    assert_ne!(leaf_hash(&key, &[0; 88]), leaf_hash(&key, &[0; 89]));
    assert_ne!(leaf_hash(&key, b""), leaf_hash(&other, b""));
}

#[test]
#[should_panic(expected = "only keys of its own")]
fn keys_of_another_shard_are_refused() {
    Tree::new(shards(2), ONE).apply(&WriteSet::from_iter([(StateKey([0xff; 32]), None)]));
}
