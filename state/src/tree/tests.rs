use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

type Leaves = BTreeMap<StateKey, Vec<u8>>;

const ONE: ShardId = ShardId(0);

fn shards(count: u16) -> Shards {
    Shards::new(count).expect("valid")
}

/// The definition, word by word.
fn reference(leaves: &[(&StateKey, &Vec<u8>)], depth: usize) -> Hash {
    match leaves {
        [] => EMPTY,
        [(key, value)] => leaf_hash(key, value),
        _ => {
            let (left, right) = leaves.split_at(leaves.partition_point(|(key, _)| !bit(key, depth)));
            hash::node(&reference(left, depth + 1), &reference(right, depth + 1))
        }
    }
}

fn writes(changes: &BTreeMap<StateKey, Option<Vec<u8>>>) -> WriteSet {
    changes.iter().map(|(key, value)| (*key, value.as_deref())).collect()
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
        for changes in &batches {
            for (key, value) in changes {
                match value {
                    Some(value) => leaves.insert(*key, value.clone()),
                    None => leaves.remove(key),
                };
            }
            let root = tree.apply(&writes(changes));
            let list: Vec<_> = leaves.iter().collect();
            prop_assert_eq!(root.0, reference(&list, 2));
            prop_assert_eq!(tree.root(), root);
            prop_assert_eq!(tree.len(), leaves.len());
            prop_assert!(tree.leaves().eq(leaves.iter().map(|(key, value)| (key, value.as_slice()))));
        }
        let used = tree.nodes.len() - tree.free.len();
        prop_assert_eq!(used, (2 * leaves.len()).saturating_sub(1), "no node is lost");

        let root = tree.root();
        for key in leaves.keys().copied().chain([probe]) {
            let value = leaves.get(&key).map(Vec::as_slice);
            let proof = tree.prove(&key);
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
    assert_eq!(root.0, reference(&[(&left, &l), (&right, &r)], 0));
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
