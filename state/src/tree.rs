//! The tree of one shard in memory, renewed in batches.
//!
//! It is cut by the first bits below the shard's into parts that share nothing, so threads can renew several at once. In
//! a part the upper levels stand in full, an array per level; below them hang slots with few leaves each. Changes go
//! down together, are written, and then everything above them is hashed once, in the lanes of the vector unit, from the
//! deepest upwards. The changes of a part are cut into slices of neighbouring keys: what a slice touches fits the
//! processor's cache, and two slices share only the few branches between the top and where they part.
//!
//! [`reference`] says the same in plainer code, and is what tests and benches compare with.

mod chunked;
mod finger;
mod nodes;
mod part;
pub mod reference;
mod rehash;
mod top;
mod value;
mod visits;

use std::{
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    thread,
};

use fresnel_crypto::hash::{EMPTY, Hash};
use fresnel_types::{ShardId, Shards, StateKey, StateRoot, WriteSet};

use self::part::Part;
use crate::{
    leaf::{bits, join, root_depth},
    proof::{End, Proof},
};

/// The state tree of one shard, with the values of its leaves.
pub struct Tree {
    shards: Shards,
    shard: ShardId,
    /// The subtrees [`PART_BITS`] below the root.
    parts: Vec<Part>,
    /// The hashes from the root down to the parts: those below place `p` stand in `2p` and `2p + 1`, the root in 1.
    hashes: [Hash; 2 * PARTS],
    threads: NonZeroUsize,
}

/// A key and what is written there; `None` deletes.
type Change<'a> = (&'a StateKey, Option<&'a [u8]>);

/// A part and what changes in it.
type Share<'a, 'b> = (&'a mut Part, &'a [Change<'b>]);

impl Tree {
    /// The tree of a shard without leaves, renewed by the calling thread alone.
    pub fn new(shards: Shards, shard: ShardId) -> Self {
        let depth = root_depth(shards) + PART_BITS;
        let parts = (0..PARTS).map(|_| Part::new(depth)).collect();
        Self { shards, shard, parts, hashes: [EMPTY; 2 * PARTS], threads: NonZeroUsize::MIN }
    }

    /// Lets up to `threads` threads, the calling one included, work on blocks with many changes. No root depends on it.
    pub fn set_threads(&mut self, threads: NonZeroUsize) {
        self.threads = threads;
    }

    /// Makes the changes of a block and gives the root after them.
    pub fn apply(&mut self, writes: &WriteSet) -> StateRoot {
        self.renew(writes, false);
        self.root()
    }

    /// The same, with the changes that take it back.
    pub fn apply_undoable(&mut self, writes: &WriteSet) -> (StateRoot, WriteSet) {
        self.renew(writes, true);
        let mut undo = WriteSet::default();
        for part in &mut self.parts {
            part.take_before().iter().for_each(|(key, value)| undo.push(*key, value));
        }
        (self.root(), undo)
    }

    fn renew(&mut self, writes: &WriteSet, undoable: bool) {
        let changes: Vec<Change<'_>> = writes.iter().collect();
        for (key, _) in changes.first().into_iter().chain(changes.last()) {
            assert_eq!(key.shard(self.shards), self.shard, "a shard writes only keys of its own");
        }
        let depth = root_depth(self.shards);
        let part_of = |(key, _): &Change<'_>| bits(key, depth, PART_BITS);
        let mut shares: Vec<Share<'_, '_>> = Vec::with_capacity(PARTS);
        let (mut parts, mut first) = (self.parts.iter_mut(), 0);
        for share in changes.chunk_by(|one, next| part_of(one) == part_of(next)) {
            let number = part_of(&share[0]);
            let part = parts.nth(number - first).expect("the bits choose one of all parts");
            shares.push((part, share));
            first = number + 1;
        }
        match self.threads.get() {
            several @ 2.. if changes.len() >= CHANGES_FOR_THREADS => renew_on(several, shares, undoable),
            _ => shares.into_iter().for_each(|(part, share)| part.apply(share, undoable)),
        }
        self.join();
    }

    /// The root after all changes so far.
    pub fn root(&self) -> StateRoot {
        StateRoot(self.hashes[1])
    }

    /// How many leaves there are.
    pub fn len(&self) -> usize {
        self.parts.iter().map(Part::count).sum()
    }

    /// Whether there is no leaf.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All leaves, ascending by key.
    pub fn leaves(&self) -> impl Iterator<Item = (&StateKey, &[u8])> {
        self.parts.iter().flat_map(Part::leaves)
    }

    /// What `key`, which belongs to this shard, holds.
    pub fn get(&self, key: &StateKey) -> Option<&[u8]> {
        self.parts[bits(key, root_depth(self.shards), PART_BITS)].get(key)
    }

    /// Proves what `key`, which belongs to this shard, holds.
    pub fn prove(&self, key: &StateKey) -> Proof {
        let mut siblings = Vec::new();
        let end = self.end(key, &mut siblings);
        siblings.reverse();
        Proof { end, siblings }
    }

    /// Where the way to `key` ends; the hashes beside it go to `siblings`, downwards.
    fn end(&self, key: &StateKey, siblings: &mut Vec<Hash>) -> End {
        let depth = root_depth(self.shards);
        for below in 0..=PART_BITS {
            let place = 1 << below | bits(key, depth, below);
            if below > 0 {
                siblings.push(self.hashes[place ^ 1]);
            }
            let here = &self.hashes[place];
            if *here == EMPTY {
                return End::Empty;
            }
            if here[0] & 1 == 1 {
                let lowest = (place << (PART_BITS - below)) - PARTS;
                let parts = &self.parts[lowest..lowest + (1 << (PART_BITS - below))];
                let part = parts.iter().find(|part| part.count() == 1);
                return part.expect("a subtree with a leaf's hash has this leaf").only(key);
            }
        }
        self.parts[bits(key, depth, PART_BITS)].prove(key, siblings)
    }

    fn join(&mut self) {
        for (place, part) in self.parts.iter().enumerate() {
            self.hashes[PARTS + place] = *part.hash();
        }
        for place in (1..PARTS).rev() {
            self.hashes[place] = join(&self.hashes[2 * place], &self.hashes[2 * place + 1]);
        }
    }
}

/// Renews parts on several threads: each takes the next one that nobody took.
fn renew_on(threads: usize, shares: Vec<Share<'_, '_>>, undoable: bool) {
    let waiting = Mutex::new(shares.into_iter());
    let work = || {
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((part, share)) = next else { break };
            part.apply(share, undoable);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads.min(PARTS) {
            scope.spawn(work);
        }
        work();
    });
}

/// Bits below the shard's that choose a part.
const PART_BITS: usize = 4;

/// Several times as many as threads are worth while, so that none waits long for the last one.
const PARTS: usize = 1 << PART_BITS;

/// Fewer changes than this are done before another thread would have begun.
const CHANGES_FOR_THREADS: usize = 1_024;

#[cfg(test)]
mod tests;
