//! The state tree in plain code: one hash at a time, a recursion down and one up.
//!
//! It is what [`Tree`](super::Tree) is compared with, in tests for its roots and proofs and in benches for its speed; the
//! engine does not use it. It is a radix tree without the branches that have one child. A branch caches its hash twice:
//! where it stands, and lifted to just below the branch above it, past levels at which its sibling is empty.

use fresnel_crypto::hash::{self, EMPTY, Hash};
use fresnel_types::{ShardId, Shards, StateKey, StateRoot, WriteSet};

use crate::{
    leaf::{bit, leaf_hash, root_depth, shared_bits},
    proof::{End, Proof},
};

/// The state tree of one shard, with the values of its leaves.
pub struct ReferenceTree {
    shards: Shards,
    shard: ShardId,
    nodes: Vec<Node>,
    /// Places in `nodes` to be used again.
    free: Vec<u32>,
    top: Option<u32>,
    leaves: usize,
    root: StateRoot,
}

enum Node {
    Leaf {
        key: StateKey,
        hash: Hash,
        value: Box<[u8]>,
    },
    Branch {
        /// A key whose first `depth` bits all leaves below share.
        prefix: StateKey,
        /// The bit that parts the leaves below.
        depth: usize,
        children: [u32; 2],
        /// `None` when something below changed.
        hash: Option<Hash>,
        /// The hash as seen from a depth above.
        lifted: Option<(usize, Hash)>,
    },
    Free,
}

type Change<'a> = (StateKey, Option<&'a [u8]>);

impl ReferenceTree {
    /// The tree of a shard without leaves.
    pub fn new(shards: Shards, shard: ShardId) -> Self {
        Self { shards, shard, nodes: vec![], free: vec![], top: None, leaves: 0, root: StateRoot(EMPTY) }
    }

    /// Makes the changes of a block and gives the root after them.
    pub fn apply(&mut self, writes: &WriteSet) -> StateRoot {
        let changes: Vec<Change<'_>> = writes.iter().map(|(key, value)| (*key, value)).collect();
        for (key, _) in changes.first().into_iter().chain(changes.last()) {
            assert_eq!(key.shard(self.shards), self.shard, "a shard writes only keys of its own");
        }
        self.top = self.update(self.top, &changes);
        self.root = StateRoot(self.top.map_or(EMPTY, |top| self.rehash(top, root_depth(self.shards))));
        self.root
    }

    /// The root after all changes so far.
    pub fn root(&self) -> StateRoot {
        self.root
    }

    /// How many leaves there are.
    pub fn len(&self) -> usize {
        self.leaves
    }

    /// Whether there is no leaf.
    pub fn is_empty(&self) -> bool {
        self.leaves == 0
    }

    /// All leaves, ascending by key.
    pub fn leaves(&self) -> impl Iterator<Item = (&StateKey, &[u8])> {
        let mut open: Vec<u32> = self.top.into_iter().collect();
        std::iter::from_fn(move || {
            loop {
                match &self.nodes[open.pop()? as usize] {
                    Node::Leaf { key, value, .. } => return Some((key, &**value)),
                    Node::Branch { children, .. } => open.extend([children[1], children[0]]),
                    Node::Free => unreachable!("{FREED}"),
                }
            }
        })
    }

    /// Proves what `key`, which belongs to this shard, holds.
    pub fn prove(&self, key: &StateKey) -> Proof {
        let mut siblings = Vec::new();
        let mut depth = root_depth(self.shards);
        let mut at = self.top;
        let end = loop {
            let Some(place) = at else { break End::Empty };
            match &self.nodes[place as usize] {
                Node::Leaf { key: found, .. } if found == key => break End::Key,
                Node::Leaf { key, value, .. } => break End::Other { key: *key, value: value.to_vec() },
                Node::Branch { prefix, depth: parts, children, .. } => {
                    let along = shared_bits(prefix, key).min(*parts);
                    siblings.resize(siblings.len() + along - depth, EMPTY);
                    if along < *parts {
                        // The key leaves the shared prefix: beside it stands the whole branch.
                        siblings.push(self.seen(place, along + 1));
                        at = None;
                    } else {
                        let side = bit(key, along);
                        siblings.push(self.seen(children[usize::from(!side)], along + 1));
                        at = Some(children[usize::from(side)]);
                    }
                    depth = along + 1;
                }
                Node::Free => unreachable!("{FREED}"),
            }
        };
        siblings.reverse();
        Proof { end, siblings }
    }

    fn update(&mut self, at: Option<u32>, changes: &[Change<'_>]) -> Option<u32> {
        let ((first, _), (last, _)) = match (changes.first(), changes.last()) {
            (Some(first), Some(last)) => (first, last),
            _ => return at,
        };
        let Some(place) = at else { return self.build(changes) };
        match &mut self.nodes[place as usize] {
            Node::Leaf { key, .. } => {
                let key = *key;
                match changes.binary_search_by_key(&key, |(key, _)| *key) {
                    Ok(found) if changes.len() == 1 => match changes[found].1 {
                        Some(value) => {
                            self.nodes[place as usize] =
                                Node::Leaf { key, hash: leaf_hash(&key, value), value: value.into() };
                            Some(place)
                        }
                        None => self.remove(place),
                    },
                    Ok(_) => {
                        self.remove(place);
                        self.build(changes)
                    }
                    Err(_) => self.build_around(place, key, changes),
                }
            }
            Node::Branch { prefix, depth, children, .. } => {
                let (prefix, depth, [left, right]) = (*prefix, *depth, *children);
                let along = shared_bits(&prefix, first).min(shared_bits(&prefix, last));
                if along >= depth {
                    let (lefts, rights) = split(changes, depth);
                    let new = (self.update(Some(left), lefts), self.update(Some(right), rights));
                    if let (Some(left), Some(right)) = new {
                        self.nodes[place as usize] =
                            Node::Branch { prefix, depth, children: [left, right], hash: None, lifted: None };
                        return Some(place);
                    }
                    self.release(place);
                    return new.0.or(new.1);
                }
                let (lefts, rights) = split(changes, along);
                let (left, right) = if bit(&prefix, along) {
                    (self.build(lefts), self.update(at, rights))
                } else {
                    (self.update(at, lefts), self.build(rights))
                };
                self.join(prefix, along, left, right)
            }
            Node::Free => unreachable!("{FREED}"),
        }
    }

    /// A subtree of the existing leaf at `place` and changes of other keys.
    fn build_around(&mut self, place: u32, key: StateKey, changes: &[Change<'_>]) -> Option<u32> {
        let (Some((first, _)), Some((last, _))) = (changes.first(), changes.last()) else {
            return Some(place);
        };
        let along = shared_bits(&key, first).min(shared_bits(&key, last));
        let (lefts, rights) = split(changes, along);
        let (left, right) = if bit(&key, along) {
            (self.build(lefts), self.build_around(place, key, rights))
        } else {
            (self.build_around(place, key, lefts), self.build(rights))
        };
        self.join(key, along, left, right)
    }

    /// A subtree of nothing but what the changes write.
    fn build(&mut self, changes: &[Change<'_>]) -> Option<u32> {
        let ((first, _), (last, _)) = match changes {
            [] => return None,
            [(_, None)] => return None,
            [(key, Some(value))] => {
                self.leaves += 1;
                return Some(self.put(Node::Leaf {
                    key: *key,
                    hash: leaf_hash(key, value),
                    value: (*value).into(),
                }));
            }
            [first, .., last] => (first, last),
        };
        let depth = shared_bits(first, last);
        let (lefts, rights) = split(changes, depth);
        let (left, right) = (self.build(lefts), self.build(rights));
        self.join(*first, depth, left, right)
    }

    fn join(&mut self, prefix: StateKey, depth: usize, left: Option<u32>, right: Option<u32>) -> Option<u32> {
        match (left, right) {
            (Some(left), Some(right)) => {
                let children = [left, right];
                Some(self.put(Node::Branch { prefix, depth, children, hash: None, lifted: None }))
            }
            _ => left.or(right),
        }
    }

    fn put(&mut self, node: Node) -> u32 {
        if let Some(place) = self.free.pop() {
            self.nodes[place as usize] = node;
            return place;
        }
        let place = u32::try_from(self.nodes.len()).expect("fewer than 2^31 leaves fit in memory");
        self.nodes.push(node);
        place
    }

    fn remove(&mut self, place: u32) -> Option<u32> {
        self.leaves -= 1;
        self.release(place);
        None
    }

    fn release(&mut self, place: u32) {
        self.nodes[place as usize] = Node::Free;
        self.free.push(place);
    }

    /// The hash of the subtree at `from` that holds just what is below `place`; renews what changed.
    fn rehash(&mut self, place: u32, from: usize) -> Hash {
        let (depth, children, known) = match &self.nodes[place as usize] {
            Node::Leaf { hash, .. } => return *hash,
            Node::Branch { lifted: Some((depth, hash)), .. } if *depth == from => return *hash,
            Node::Branch { depth, children, hash, .. } => (*depth, *children, *hash),
            Node::Free => unreachable!("{FREED}"),
        };
        let here = known.unwrap_or_else(|| {
            let left = self.rehash(children[0], depth + 1);
            let right = self.rehash(children[1], depth + 1);
            hash::node(&left, &right)
        });
        let Node::Branch { prefix, hash, lifted, .. } = &mut self.nodes[place as usize] else {
            unreachable!("it was a branch above")
        };
        let above = lift(prefix, here, depth, from);
        (*hash, *lifted) = (Some(here), Some((from, above)));
        above
    }

    /// The hash of the subtree at `from` that holds just what is below `place`, all of which is hashed.
    fn seen(&self, place: u32, from: usize) -> Hash {
        match &self.nodes[place as usize] {
            Node::Leaf { hash, .. } => *hash,
            Node::Branch { prefix, depth, hash, .. } => {
                lift(prefix, hash.expect("every change is followed by hashing"), *depth, from)
            }
            Node::Free => unreachable!("{FREED}"),
        }
    }
}

/// The hash at depth `to` of a subtree that has all its leaves at `depth` below `prefix`.
fn lift(prefix: &StateKey, hash: Hash, depth: usize, to: usize) -> Hash {
    (to..depth).rev().fold(hash, |below, place| {
        if bit(prefix, place) { hash::node(&EMPTY, &below) } else { hash::node(&below, &EMPTY) }
    })
}

/// Changes that share their first `depth` bits, parted by the next.
fn split<'a, 'b>(changes: &'a [Change<'b>], depth: usize) -> (&'a [Change<'b>], &'a [Change<'b>]) {
    changes.split_at(changes.partition_point(|(key, _)| !bit(key, depth)))
}

const FREED: &str = "a freed node is reachable from nowhere";
