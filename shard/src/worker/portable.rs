//! What of a checkpoint a worker of another authority can go on from: all but what waits in the mempool and in the order,
//! and how transactions ended, of which no record says anything that could be checked.

use fresnel_types::{Shards, checkpoint::Restored, codec, mmr::Mmr};
use wincode::{SchemaRead, SchemaWrite};

use super::snapshot::{Pieces, Sequences};
use crate::limits::RECORDS_PORTABLE;

/// What is in hand besides records and what they emitted.
pub(super) struct Portable {
    /// Over the digests of the records before the first one.
    pub(super) dropped: Mmr,
    /// From which position on what records emitted goes with them.
    pub(super) oldest_own: u64,
    pub(super) crossshard: Vec<fresnel_crossshard::Piece>,
}

#[expect(clippy::large_enum_variant, reason = "nearly every item is a piece")]
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
enum Item {
    Head { dropped: Mmr, oldest_own: u64 },
    CrossShard(fresnel_crossshard::Piece),
}

/// Of a checkpoint, what a worker of another authority can go on from.
///
/// # Errors
/// When it is none of a worker.
pub fn portable(restored: Restored, shards: Shards) -> Result<Restored, &'static str> {
    let Pieces { head, crossshard, .. } = Pieces::read(&restored.in_hand)?;
    let Sequences { records, outcomes } = Sequences::read(&restored, shards)?;
    let next = records.last().ok_or("no record is there")?.position + 1;
    let oldest = head.chain.oldest();
    let first = next.saturating_sub(RECORDS_PORTABLE as u64).min(head.oldest_own).max(oldest);
    let mut dropped = head.chain.dropped();
    let before = records.iter().filter(|record| (oldest..first).contains(&record.position));
    before.for_each(|record| dropped.append_record(&record.digest()));
    let oldest_own = head.oldest_own.max(first);
    let items = std::iter::once(Item::Head { dropped, oldest_own });
    let items = items.chain(crossshard.into_iter().map(Item::CrossShard));
    let emitted = outcomes.into_iter().filter(|(position, _)| *position >= oldest_own);
    Ok(Restored {
        records: records.iter().filter(|record| record.position >= first).map(codec::encode).collect(),
        outcomes: emitted.map(|(_, outcomes)| codec::encode(&outcomes.emitted_alone())).collect(),
        in_hand: items.map(|item| codec::encode(&item)).collect(),
        ..restored
    })
}

impl Portable {
    pub(super) fn read(in_hand: &[Vec<u8>]) -> Result<Self, &'static str> {
        let (mut head, mut pieces) = (None, Vec::new());
        for item in in_hand {
            match codec::decode(item).map_err(|_| "an item in hand is malformed")? {
                Item::Head { dropped, oldest_own } => head = Some((dropped, oldest_own)),
                Item::CrossShard(piece) => pieces.push(piece),
            }
        }
        let (dropped, oldest_own) = head.ok_or("what comes before the records is missing")?;
        Ok(Self { dropped, oldest_own, crossshard: pieces })
    }
}
