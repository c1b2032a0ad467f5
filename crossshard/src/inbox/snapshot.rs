//! An inbox for a checkpoint: the bundles that are durable and not consumed, and the marks along the chain. What peers
//! said and nobody confirmed stands in no log either.

use fresnel_types::{BlockIndex, Bundle, RecordDigest, leaves::PairLeaf, mmr::Mmr};
use wincode::{SchemaRead, SchemaWrite};

use super::{Entry, Inbox};

/// All of an inbox but the bundles.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub(crate) struct Head {
    /// Over the digests of all records before the first bundle.
    before: Mmr,
    verified: u64,
    /// The position after the last bundle.
    held: u64,
    claims: Vec<(BlockIndex, RecordDigest)>,
    told: BlockIndex,
    needed: BlockIndex,
    sibling_diverged: bool,
}

impl Inbox {
    /// All but the bundles.
    pub(crate) fn head(&self) -> Head {
        let mut before = self.dropped_range.clone();
        let consumed = (self.consumed - self.first) as usize;
        self.entries.range(..consumed).for_each(|entry| before.append_record(&entry.digest));
        Head {
            before,
            verified: self.verified,
            held: self.held,
            claims: self.claims.iter().map(|(block, record)| (*block, *record)).collect(),
            told: self.told,
            needed: self.needed,
            sibling_diverged: self.sibling_diverged,
        }
    }

    /// The bundles that go with it, in order.
    pub(crate) fn durable(&self) -> impl Iterator<Item = &Bundle> {
        let [from, to] = [self.consumed, self.held].map(|position| (position - self.first) as usize);
        self.entries.range(from..to).map(|entry| &entry.bundle)
    }

    /// Takes over what an earlier, now empty, inbox was. Its bundles follow through [`Self::restore_bundle`].
    pub(crate) fn restore_head(&mut self, head: Head) -> Result<(), &'static str> {
        let first = head.before.count();
        if head.verified < first || head.held < head.verified {
            return Err("an inbox dropped what it had not verified");
        }
        (self.first, self.consumed, self.verified, self.held) = (first, first, head.verified, head.held);
        self.range = head.before.clone();
        self.verified_range = head.before.clone();
        self.dropped_range = head.before;
        self.claims = head.claims.into_iter().collect();
        (self.told, self.needed) = (head.told, head.needed);
        self.sibling_diverged = head.sibling_diverged;
        Ok(())
    }

    /// Begins after records that a peer says came before; nothing that it says is believed until the log certifies a record
    /// that follows. Its bundles follow through [`Self::adopt_bundle`].
    pub(crate) fn adopt_head(&mut self, head: Head) {
        let first = head.before.count();
        (self.first, self.consumed, self.verified, self.held) = (first, first, first, first);
        self.range = head.before.clone();
        self.verified_range = head.before.clone();
        self.dropped_range = head.before;
        self.adopted = Some(first);
    }

    /// Takes the next bundle that a peer gave, in order.
    pub(crate) fn adopt_bundle(&mut self, bundle: Bundle) -> Result<(), &'static str> {
        self.restore_next(bundle, false)
    }

    /// Whether this begins early enough for a shard whose leaf about the source is this: no receipt that is not consumed
    /// comes before.
    pub(crate) fn reaches_back_to(&self, leaf: &PairLeaf) -> bool {
        match self.entries.front() {
            Some(entry) => {
                let end = self.emitted(&entry.bundle.record);
                let first = end.and_then(|end| end.checked_sub(entry.bundle.receipts.len() as u64));
                first.is_some_and(|first| first <= leaf.own.cursor())
            }
            None => self.first == 0 && leaf.peer_block == BlockIndex(0) && leaf.own.cursor() == 0,
        }
    }

    /// Whether the newest record up to `usable` is here, unless the leaf was copied from it or it is none. What a peer gave
    /// lacks it only when the peer left it out: without input a block needs none.
    pub(crate) fn knows(&self, usable: BlockIndex, leaf: &PairLeaf) -> bool {
        self.adopted.is_none() || usable <= leaf.peer_block || !self.begins_after(usable)
    }

    /// Whether the first record is of a later block.
    pub(super) fn begins_after(&self, block: BlockIndex) -> bool {
        self.first > 0 && self.entries.front().is_none_or(|entry| entry.bundle.record.block > block)
    }

    /// Whether what a peer gave was contradicted before any of it was certified: then it may begin anywhere.
    pub(crate) fn is_refuted(&self) -> bool {
        self.refuted
    }

    /// Takes the next bundle, in order. What the log held was believed.
    pub(crate) fn restore_bundle(&mut self, bundle: Bundle) -> Result<(), &'static str> {
        self.restore_next(bundle, true)
    }

    fn restore_next(&mut self, bundle: Bundle, trusted: bool) -> Result<(), &'static str> {
        let record = &bundle.record;
        let dropped = self.first > 0 && self.entries.is_empty();
        if record.position != self.end()
            || record.earlier != self.range.root()
            || !bundle.is_consistent()
            || !dropped && !self.follows(&bundle)
        {
            return Err("a bundle in hand does not follow the one before");
        }
        let digest = record.digest();
        self.range.append_record(&digest);
        if record.position < self.verified {
            self.verified_range.append_record(&digest);
        }
        self.entries.push_back(Entry { bundle, digest, trusted });
        Ok(())
    }

    /// Whether head and bundles make an inbox.
    pub(crate) fn check_restored(&self) -> Result<(), &'static str> {
        if self.held != self.end() || self.first > 0 && self.entries.is_empty() {
            return Err("bundles in hand are missing");
        }
        Ok(())
    }
}
