//! Proofs of what several keys of a shard hold, with the hashes that their ways share given once.

use fresnel_crypto::hash::{self, EMPTY, Hash};
use fresnel_types::{Shards, StateKey, StateRoot};
use wincode::{SchemaRead, SchemaWrite};

use crate::{
    leaf::{KEY_BITS, bit, leaf_hash, root_depth, shared_bits},
    proof::{End, Proof},
};

/// The ways from the root towards some keys. They are told from the root on, the left side of a branch before its right:
/// a step for every subtree that a wanted key leads to, a sibling for every half of such a subtree that none leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct MultiProof {
    /// What stands where a way goes on or ends.
    pub steps: Vec<Step>,
    /// The subtrees beside the ways.
    pub siblings: Vec<Hash>,
}

/// What is known of a subtree that wanted keys lead to.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum Step {
    /// The ways go on one bit deeper.
    On,
    /// It has at most one leaf, so the ways end: that of the wanted key which holds something, no leaf, or another one.
    End(End),
}

/// What a wanted key is said to hold.
type Held<'a> = (&'a StateKey, Option<&'a [u8]>);

impl MultiProof {
    /// Joins the proofs of keys of one state, which ascend.
    pub fn join(shards: Shards, proofs: &[(StateKey, Proof)]) -> Self {
        let mut joined = Self::default();
        if !proofs.is_empty() {
            joined.add(root_depth(shards), 0, proofs);
        }
        joined
    }

    /// Whether this proves that the keys hold what they are said to, in the state with `root`. The keys must ascend and
    /// be of the shard whose root that is.
    pub fn verify(&self, shards: Shards, root: &StateRoot, leaves: &[(StateKey, Option<Vec<u8>>)]) -> bool {
        let top = root_depth(shards);
        let Some((first, _)) = leaves.first() else { return false };
        let sound = leaves.is_sorted_by(|(before, _), (after, _)| before < after)
            && leaves.iter().all(|(key, _)| shared_bits(key, first) >= top);
        let held: Vec<Held<'_>> = leaves.iter().map(|(key, value)| (key, value.as_deref())).collect();
        let mut reader = Reader { steps: self.steps.iter(), siblings: self.siblings.iter() };
        sound
            && reader.hash(&held, top) == Some(root.0)
            && reader.steps.next().is_none()
            && reader.siblings.next().is_none()
    }

    /// Tells the subtree at `depth`, `below` bits below the root, to which all of `proofs` lead.
    fn add(&mut self, depth: usize, below: usize, proofs: &[(StateKey, Proof)]) {
        let (_, first) = &proofs[0];
        let Some(from_end) = first.siblings.len().checked_sub(below + 1) else {
            let holds = proofs.iter().find(|(_, proof)| proof.end == End::Key);
            self.steps.push(Step::End(holds.map_or(first, |(_, proof)| proof).end.clone()));
            return;
        };
        self.steps.push(Step::On);
        let (left, right) = proofs.split_at(proofs.partition_point(|(key, _)| !bit(key, depth)));
        for half in [left, right] {
            if half.is_empty() {
                self.siblings.push(first.siblings[from_end]);
            } else {
                self.add(depth + 1, below + 1, half);
            }
        }
    }
}

struct Reader<'a> {
    steps: std::slice::Iter<'a, Step>,
    siblings: std::slice::Iter<'a, Hash>,
}

impl Reader<'_> {
    /// The hash of the subtree at `depth` to which the keys of `held` lead; none when it cannot be as it is told.
    fn hash(&mut self, held: &[Held<'_>], depth: usize) -> Option<Hash> {
        let nothing = || held.iter().all(|(_, value)| value.is_none());
        match self.steps.next()? {
            Step::On if depth < KEY_BITS => {
                let (left, right) = held.split_at(held.partition_point(|(key, _)| !bit(key, depth)));
                let left = self.half(left, depth + 1)?;
                let right = self.half(right, depth + 1)?;
                Some(hash::node(&left, &right))
            }
            Step::On => None,
            Step::End(End::Empty) => nothing().then_some(EMPTY),
            Step::End(End::Key) => {
                let mut present = held.iter().filter_map(|(key, value)| Some((key, (*value)?)));
                let (key, value) = present.next()?;
                present.next().is_none().then(|| leaf_hash(key, value))
            }
            Step::End(End::Other { key, value }) => {
                let (first, _) = held.first()?;
                let apart = held.iter().all(|(wanted, _)| *wanted != key);
                (nothing() && apart && shared_bits(key, first) >= depth).then(|| leaf_hash(key, value))
            }
        }
    }

    fn half(&mut self, held: &[Held<'_>], depth: usize) -> Option<Hash> {
        if held.is_empty() { self.siblings.next().copied() } else { self.hash(held, depth) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fresnel_types::{ShardId, WriteSet};
    use proptest::prelude::*;

    use super::*;
    use crate::Tree;

    const SHARD: ShardId = ShardId(1);

    fn shards() -> Shards {
        Shards::new(4).expect("a power of two")
    }

    /// In shard 1 of 4, some of them alike for 100 bits.
    fn key() -> impl Strategy<Value = StateKey> {
        (0_u8..8, 0_u8..4, 0_u8..8).prop_map(|(first, middle, last)| {
            let mut key = [0; 32];
            (key[0], key[12], key[31]) = (0x40 | first >> 2, middle << 6, last);
            StateKey(key)
        })
    }

    fn joined(tree: &Tree, keys: impl Iterator<Item = StateKey>) -> MultiProof {
        let proofs: Vec<_> = keys.map(|key| (key, tree.prove(&key))).collect();
        MultiProof::join(shards(), &proofs)
    }

    proptest! {
        /// Any keys, there or not, are proven together; what is altered in proof or claim proves nothing.
        #[test]
        fn holds_for_what_the_state_holds_and_nothing_else(
            state in prop::collection::btree_map(key(), prop::collection::vec(any::<u8>(), 0..40), 0..40),
            wanted in prop::collection::btree_set(key(), 1..12),
            other in key(),
        ) {
            let mut tree = Tree::new(shards(), SHARD);
            let root = tree.apply(&state.iter().map(|(key, value)| (*key, Some(value.as_slice()))).collect());
            let proof = joined(&tree, wanted.iter().copied());
            let leaves: Vec<_> = wanted.iter().map(|key| (*key, state.get(key).cloned())).collect();
            let holds = |proof: &MultiProof, leaves: &[(StateKey, Option<Vec<u8>>)]| {
                proof.verify(shards(), &root, leaves)
            };
            prop_assert!(holds(&proof, &leaves));
            prop_assert!(!proof.verify(shards(), &StateRoot([7; 32]), &leaves));

            for place in 0..leaves.len() {
                let mut said = leaves.clone();
                said[place].1 = match said[place].1.take() {
                    Some(_) => None,
                    None => Some(b"something".to_vec()),
                };
                prop_assert!(!holds(&proof, &said));
                said[place].1 = Some(b"something else".to_vec());
                prop_assert!(!holds(&proof, &said));
                said.remove(place);
                if proof.steps.len() + proof.siblings.len() > 1 && !holds(&proof, &said) {
                    // Most proofs of more keys are none of fewer; where they are, the keys that are left hold what is said.
                    continue;
                }
                prop_assert!(said.iter().all(|leaf| leaves.contains(leaf)));
            }
            if !wanted.contains(&other) {
                let mut more = leaves.clone();
                more.push((other, state.get(&other).cloned().map_or(Some(vec![1]), |_| None)));
                more.sort();
                prop_assert!(!holds(&proof, &more));
            }
            for place in 0..proof.siblings.len() {
                let mut forged = proof.clone();
                forged.siblings[place][3] ^= 1;
                prop_assert!(!holds(&forged, &leaves));
                forged.siblings.remove(place);
                prop_assert!(!holds(&forged, &leaves));
            }
            for place in 0..proof.steps.len() {
                let mut forged = proof.clone();
                forged.steps.remove(place);
                prop_assert!(!holds(&forged, &leaves));
                forged.steps.insert(place, Step::On);
                prop_assert!(forged == proof || !holds(&forged, &leaves));
            }
            let mut longer = proof.clone();
            longer.siblings.push(EMPTY);
            prop_assert!(!holds(&longer, &leaves));
            let mut longer = proof;
            longer.steps.push(Step::On);
            prop_assert!(!holds(&longer, &leaves));
        }
    }

    #[test]
    fn shared_hashes_are_given_once() {
        let keys: BTreeMap<StateKey, Vec<u8>> = (0..1_000_u32)
            .map(|number| {
                let mut key = hash::leaf(&number.to_le_bytes());
                key[0] = 0x40 | key[0] >> 2;
                (StateKey(key), number.to_le_bytes().to_vec())
            })
            .collect();
        let mut tree = Tree::new(shards(), SHARD);
        let writes: WriteSet = keys.iter().map(|(key, value)| (*key, Some(value.as_slice()))).collect();
        tree.apply(&writes);
        let wanted: Vec<StateKey> = keys.keys().copied().take(64).collect();
        let apart: usize = wanted.iter().map(|key| tree.prove(key).siblings.len()).sum();
        let together = joined(&tree, wanted.into_iter()).siblings.len();
        assert!(together * 10 < apart, "{together} siblings together, {apart} apart");
    }

    #[test]
    fn nothing_asked_is_nothing_proven() {
        assert!(!MultiProof::default().verify(shards(), &StateRoot(EMPTY), &[]));
    }
}
