//! Which receipts may be delivered: what is certified at the source and held by f + 1 authorities at the destination.

use fresnel_types::{BlockIndex, Committee, ShardId, Shards, commit::Certified};
use wincode::{SchemaRead, SchemaWrite};

/// What the workers of one authority hold: per destination and source the highest block up to which the destination's
/// worker has all bundles of the source. Never falls.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Held {
    /// The row of a destination has one entry per source.
    blocks: Vec<Vec<BlockIndex>>,
}

impl Held {
    /// Nothing.
    pub fn new(shards: Shards) -> Self {
        Self { blocks: vec![vec![BlockIndex(0); shards.count()]; shards.count()] }
    }

    /// The worker of `destination` says that it holds this. Nobody can hold more than what `closed`.
    pub fn raise(&mut self, destination: ShardId, held: &[BlockIndex], closed: BlockIndex) {
        for (known, &said) in self.blocks[destination.index()].iter_mut().zip(held) {
            *known = said.min(closed).max(*known);
        }
    }
}

/// Per destination and source, the highest block whose receipts may be delivered: the lesser of what is certified and
/// of what authorities with f + 1 stake hold; for a shard's receipts to itself, which do not exist, 0. `before` is what
/// this gave last: it never falls, so what reached the certified block needs no second look.
pub fn usable(
    committee: &Committee,
    held: &[Held],
    certified: &[Certified],
    before: &[Vec<BlockIndex>],
) -> Vec<Vec<BlockIndex>> {
    let mut usable = before.to_vec();
    for (destination, row) in usable.iter_mut().enumerate() {
        for (source, usable) in row.iter_mut().enumerate() {
            if source != destination && *usable < certified[source].block {
                let held = held_by_valid(committee, held, destination, source);
                *usable = held.min(certified[source].block);
            }
        }
    }
    usable
}

/// The highest block up to which authorities with f + 1 stake hold the bundles of a pair.
fn held_by_valid(committee: &Committee, held: &[Held], destination: usize, source: usize) -> BlockIndex {
    let mut ranked: Vec<_> = committee
        .indices()
        .zip(held)
        .map(|(author, held)| (held.blocks[destination][source], committee.stake_of(author)))
        .collect();
    ranked.sort_unstable_by(|a, b| b.cmp(a));
    let mut stake = 0;
    for (block, more) in ranked {
        stake += more;
        if stake >= committee.validity() {
            return block;
        }
    }
    unreachable!("the stake of all authorities is at least f + 1")
}
