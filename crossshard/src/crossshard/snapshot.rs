//! What a worker's receipts are for a checkpoint: every inbox as far as it is durable. The outbox is made again from
//! the own records and what they owe, of which the checkpoint keeps as many as the outbox.

use std::sync::Arc;

use fresnel_types::{
    AuthorityIndex, Bundle, Close, Receipt, Record, ShardId, Timestamp, leaves::PairLeaf, verify::Rules,
};
use wincode::{SchemaRead, SchemaWrite};

use super::CrossShard;
use crate::inbox::{Head, Inbox};

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

impl Piece {
    /// The source that it is about, at a worker of `shard`.
    fn source(&self, shard: ShardId, rules: &Rules) -> Result<ShardId, &'static str> {
        let source = match &self.0 {
            Part::Inbox(source, _) => *source,
            Part::Bundle(bundle) if bundle.destination == shard => bundle.record.shard,
            Part::Bundle(_) => return Err("a bundle in hand is for another shard"),
        };
        let count = rules.shards.count();
        if matches!(&self.0, Part::Bundle(bundle) if bundle.record.pairs.len() != count) {
            return Err("a bundle in hand is of another chain");
        }
        if source == shard || !rules.shards.contains(source) {
            return Err("an inbox of a foreign shard");
        }
        Ok(source)
    }
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

    /// Takes over what a peer's had in hand, instead of the own authority's: it is believed as the log certifies records
    /// that follow from it. `pairs` are the certified leaves of the own shard.
    ///
    /// # Errors
    /// What is wrong with the pieces.
    pub fn adopt(
        authority: AuthorityIndex,
        shard: ShardId,
        rules: Arc<Rules>,
        pieces: impl IntoIterator<Item = Piece>,
        own: impl IntoIterator<Item = (Record, Vec<Vec<Receipt>>)>,
        pairs: &dyn Fn(ShardId) -> PairLeaf,
    ) -> Result<Self, &'static str> {
        let mut cross = Self::new(authority, shard, rules);
        cross.restore_outbox(own)?;
        for piece in pieces {
            let inbox = &mut cross.inboxes[piece.source(shard, &cross.rules)?.index()];
            match piece.0 {
                Part::Inbox(_, head) => inbox.adopt_head(head),
                Part::Bundle(bundle) => inbox.adopt_bundle(bundle)?,
            }
        }
        let begins = |source: ShardId| cross.inboxes[source.index()].reaches_back_to(&pairs(source));
        if cross.others().all(begins) { Ok(cross) } else { Err("an inbox begins too late") }
    }

    /// Whether every record is here that a block with input which ends so takes counters from.
    pub fn knows(&self, close: &Close, pairs: &dyn Fn(ShardId) -> PairLeaf) -> bool {
        let knows = |source: ShardId| {
            self.inboxes[source.index()].knows(close.usable[source.index()], &pairs(source))
        };
        self.others().all(knows)
    }

    /// Whether what a peer gave turned out wrong before any of it was certified.
    pub fn is_refuted(&self) -> bool {
        self.inboxes.iter().any(Inbox::is_refuted)
    }

    fn restore_outbox(
        &mut self,
        own: impl IntoIterator<Item = (Record, Vec<Vec<Receipt>>)>,
    ) -> Result<(), &'static str> {
        for (record, outbox) in own {
            self.outbox.push(&record, outbox);
            if !self.outbox.newest_matches() {
                return Err("an own record did not emit what is kept with it");
            }
        }
        Ok(())
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
        cross.restore_outbox(own)?;
        for piece in pieces {
            let inbox = &mut cross.inboxes[piece.source(shard, &cross.rules)?.index()];
            match piece.0 {
                Part::Inbox(_, head) => inbox.restore_head(head)?,
                Part::Bundle(bundle) => inbox.restore_bundle(bundle)?,
            }
        }
        for source in cross.others() {
            cross.inboxes[source.index()].check_restored()?;
            cross.settle_fetch(now, source);
        }
        Ok(cross)
    }
}
