//! What a worker's receipts are for a checkpoint: every inbox as far as it is durable. The outbox is made again from
//! the own records and what they owe, of which the checkpoint keeps as many as the outbox.

use std::sync::Arc;

use fresnel_types::{AuthorityIndex, Bundle, Receipt, Record, ShardId, Timestamp, verify::Rules};
use wincode::{SchemaRead, SchemaWrite};

use super::CrossShard;
use crate::inbox::Head;

/// A piece of what is in hand; only [`CrossShard::restore`] knows what it means.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Piece(Part);

#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
#[expect(clippy::large_enum_variant, reason = "nearly every piece is a bundle")]
enum Part {
    /// The inbox of a source.
    Inbox(ShardId, Head),
    /// The next bundle of its record's shard, after the inbox.
    Bundle(Bundle),
}

impl CrossShard {
    /// What is in hand.
    pub fn snapshot(&self) -> impl Iterator<Item = Piece> {
        self.others().flat_map(|source| {
            let inbox = &self.inboxes[source.index()];
            let bundles = inbox.durable().cloned().map(Part::Bundle);
            std::iter::once(Part::Inbox(source, inbox.head())).chain(bundles).map(Piece)
        })
    }

    /// The position of the oldest own record that is kept with what it owes; none before the first.
    pub fn oldest_own(&self) -> Option<u64> {
        self.outbox.first()
    }

    /// What an earlier one had in hand, with the own records that it kept and what they owe, in order.
    ///
    /// # Errors
    /// What is wrong with the pieces.
    pub fn restore(
        authority: AuthorityIndex,
        shard: ShardId,
        rules: Arc<Rules>,
        now: Timestamp,
        pieces: impl IntoIterator<Item = Piece>,
        own: impl IntoIterator<Item = (Record, Vec<Vec<Receipt>>)>,
    ) -> Result<Self, &'static str> {
        let mut cross = Self::new(authority, shard, rules);
        for (record, outbox) in own {
            cross.outbox.push(&record, outbox);
            if !cross.outbox.newest_matches() {
                return Err("an own record did not emit what is kept with it");
            }
        }
        for Piece(part) in pieces {
            let source = match &part {
                Part::Inbox(source, _) => *source,
                Part::Bundle(bundle) => bundle.record.shard,
            };
            if source == shard || !cross.rules.shards.contains(source) {
                return Err("an inbox of a foreign shard");
            }
            let inbox = &mut cross.inboxes[source.index()];
            match part {
                Part::Inbox(_, head) => inbox.restore_head(head)?,
                Part::Bundle(bundle) if bundle.destination == shard => inbox.restore_bundle(bundle)?,
                Part::Bundle(_) => return Err("a bundle in hand is for another shard"),
            }
        }
        for source in cross.others() {
            cross.inboxes[source.index()].check_restored()?;
            cross.settle_fetch(now, source);
        }
        Ok(cross)
    }
}
