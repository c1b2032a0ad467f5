//! An inbox for a checkpoint: the bundles that are durable and not consumed, and the marks along the chain. What peers
//! said and nobody confirmed stands in no log either.

use fresnel_types::{BlockIndex, Bundle, RecordDigest, mmr::Mmr};
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

    /// Takes the next bundle, in order. What the log held was believed.
    pub(crate) fn restore_bundle(&mut self, bundle: Bundle) -> Result<(), &'static str> {
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
        self.entries.push_back(Entry { bundle, digest, trusted: true });
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
