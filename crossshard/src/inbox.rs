//! The bundles of one source: a chain of records, each committing to all before it.
//!
//! Three marks rise along the chain. `verified`: the log certified a record at or after it, so it is what everybody
//! has. `held`: verified, or said by the own sibling, and durable; this is what the shard header tells, before
//! certification, so that delivery does not wait another round. The end: what a peer answered stands between `held`
//! and the end until a certified record confirms it, and is not written to the log before.

use std::collections::{BTreeMap, VecDeque};

use fresnel_types::{
    BlockIndex, Bundle, Effect, LogEntry, Receipt, Record, RecordDigest, ShardId, commit::Certified,
    mmr::Mmr, record::Pair,
};

mod snapshot;

pub(crate) use snapshot::Head;

use crate::limits::{CLAIMS_MAX, INBOX_RECORDS_MAX, STASH_BYTES_MAX, STASH_MAX, UNTRUSTED_RECORDS_MAX};

/// Who says that a bundle is the source's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The own authority's worker of the source.
    Sibling,
    /// Another authority; believed once certified.
    Peer,
    /// The own log.
    Log,
}

#[derive(Debug)]
struct Entry {
    bundle: Bundle,
    digest: RecordDigest,
    /// The own sibling said it, now or before a restart.
    trusted: bool,
}

/// The chain of one source.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// The own shard, for which the bundles are.
    destination: ShardId,
    entries: VecDeque<Entry>,
    /// Position of the first entry.
    first: u64,
    /// Positions below are durable and told.
    held: u64,
    /// Positions below are covered by a certified record.
    verified: u64,
    /// Positions below are consumed and kept for peers only.
    consumed: u64,
    consumed_bytes: usize,
    consumed_bytes_max: usize,
    /// Over the digests of the entries dropped.
    dropped_range: Mmr,
    /// Over the digests of all entries, dropped ones included.
    range: Mmr,
    /// The same up to `verified`.
    verified_range: Mmr,
    /// Certified in the log and not yet verified here.
    claims: BTreeMap<BlockIndex, RecordDigest>,
    /// By position, beyond the end, each with whether it is trusted.
    stash: BTreeMap<u64, (Bundle, bool)>,
    /// What was told never falls, even when the own sibling proves wrong.
    told: BlockIndex,
    /// A block waits for everything up to here, whatever the other bounds say.
    needed: BlockIndex,
    /// The own sibling said what the log contradicted; it counts as a peer from then on.
    sibling_diverged: bool,
    /// Where it begins, when that is what a peer said.
    adopted: Option<u64>,
    /// The log contradicted what a peer said before it certified any of it.
    refuted: bool,
}

impl Inbox {
    pub(crate) fn new(destination: ShardId, consumed_bytes_max: usize) -> Self {
        Self {
            destination,
            entries: VecDeque::new(),
            first: 0,
            held: 0,
            verified: 0,
            consumed: 0,
            consumed_bytes: 0,
            consumed_bytes_max,
            dropped_range: Mmr::default(),
            range: Mmr::default(),
            verified_range: Mmr::default(),
            claims: BTreeMap::new(),
            stash: BTreeMap::new(),
            told: BlockIndex(0),
            needed: BlockIndex(0),
            sibling_diverged: false,
            adopted: None,
            refuted: false,
        }
    }

    /// Takes a bundle that is consistent in itself; whether it was new and fits.
    pub(crate) fn accept(&mut self, bundle: Bundle, origin: Origin) -> bool {
        let trusted = origin == Origin::Log || origin == Origin::Sibling && !self.sibling_diverged;
        let position = bundle.record.position;
        if position < self.first {
            return false;
        }
        if position > self.end() {
            self.set_aside(bundle, trusted);
            return false;
        }
        if position < self.end() && !self.makes_room(&bundle, origin, trusted) {
            return false;
        }
        if !self.append(bundle, trusted) {
            return false;
        }
        while let Some((next, trusted)) = self.stash.remove(&self.end()) {
            if !self.append(next, trusted) {
                break;
            }
        }
        // What stands ahead of its turn and is of a block that was passed can only be a lie.
        let (end, last) = (self.end(), self.last_block());
        self.stash.retain(|&position, (bundle, _)| position > end && bundle.record.block > last);
        true
    }

    /// Keeps a bundle that came ahead of its turn, within bounds.
    fn set_aside(&mut self, bundle: Bundle, trusted: bool) {
        let position = bundle.record.position;
        let bytes: usize = self.stash.values().map(|(bundle, _)| size(bundle)).sum();
        let full = self.stash.len() >= STASH_MAX || bytes + size(&bundle) > STASH_BYTES_MAX;
        let better = self.stash.get(&position).is_none_or(|(_, before)| !before);
        if better && !full && (trusted || bundle.record.block <= self.last_claim()) {
            self.stash.insert(position, (bundle, trusted));
        }
    }

    /// Whether a bundle for a place that is taken replaces what stands there. What a peer said gives way to the own
    /// sibling and to the next peer that is asked, since either may be the liar and the log decides; anything
    /// unverified gives way to the own log, whose later entry was confirmed.
    fn makes_room(&mut self, bundle: &Bundle, origin: Origin, trusted: bool) -> bool {
        let position = bundle.record.position;
        let entry = &mut self.entries[(position - self.first) as usize];
        if entry.digest == bundle.record.digest() {
            entry.trusted |= trusted;
            return false;
        }
        let replaces = match origin {
            Origin::Sibling | Origin::Peer => !entry.trusted,
            Origin::Log => true,
        };
        if replaces && position >= self.verified {
            self.truncate(position);
            true
        } else {
            false
        }
    }

    fn append(&mut self, bundle: Bundle, trusted: bool) -> bool {
        let record = &bundle.record;
        let in_advance = record.block > self.needed;
        let unconfirmed = self.end() - self.held.max(self.verified);
        let ahead = self.entries.len() - (self.consumed - self.first) as usize;
        let refused = record.position != self.end()
            || record.earlier != self.range.root()
            || record.block <= self.last_block()
            || !self.follows(&bundle)
            || in_advance && ahead >= INBOX_RECORDS_MAX
            || !trusted && unconfirmed >= UNTRUSTED_RECORDS_MAX
            || !trusted && record.block > self.last_claim();
        if refused {
            return false;
        }
        let digest = record.digest();
        self.range.append_record(&digest);
        self.entries.push_back(Entry { bundle, digest, trusted });
        true
    }

    /// Whether the receipts are numbered on from the record before, up to what the record says it emitted.
    fn follows(&self, bundle: &Bundle) -> bool {
        let start = self.entries.back().map_or(Some(0), |entry| self.emitted(&entry.bundle.record));
        let end = self.emitted(&bundle.record);
        let (Some(start), Some(end)) = (start, end) else { return false };
        start.checked_add(bundle.receipts.len() as u64) == Some(end)
            && (start..end).eq(bundle.receipts.iter().map(|receipt| receipt.sequence.0))
    }

    /// Receipts emitted for the own shard after `record`; nothing when a liar made the sum too large.
    fn emitted(&self, record: &Record) -> Option<u64> {
        let pair: &Pair = record.pairs.get(self.destination.index())?;
        pair.sent.count.checked_add(pair.bounced.count)
    }

    /// Remembers what the log certified.
    pub(crate) fn claim(&mut self, certified: &Certified) {
        // Before what a peer gave begins there is nothing to compare.
        let before = self.adopted.is_some() && self.begins_after(certified.block);
        if certified.block <= self.verified_block() || before {
            return;
        }
        self.claims.entry(certified.block).or_insert(certified.record);
        if self.claims.len() > CLAIMS_MAX {
            let forgotten: Vec<_> = self.claims.keys().copied().take(CLAIMS_MAX).step_by(2).collect();
            for block in forgotten {
                self.claims.remove(&block);
            }
        }
    }

    /// Compares the chain with what was certified and writes to the log what is held from now on. Whether the chain
    /// was contradicted: its unverified part is then gone.
    pub(crate) fn confirm(&mut self, effects: Option<&mut Vec<Effect>>) -> bool {
        let mut contradicted = false;
        while let Some((&block, &digest)) = self.claims.first_key_value() {
            if block > self.last_block() {
                break;
            }
            let place = self.entries.partition_point(|entry| entry.bundle.record.block < block);
            let position = self.first + place as u64;
            if position < self.verified {
                self.claims.pop_first();
                continue;
            }
            let entry = &self.entries[place];
            if entry.bundle.record.block == block && entry.digest == digest {
                self.claims.pop_first();
                while self.verified <= position {
                    let digest = self.entries[(self.verified - self.first) as usize].digest;
                    self.verified_range.append_record(&digest);
                    self.verified += 1;
                }
            } else {
                let unverified = (self.verified - self.first) as usize;
                self.sibling_diverged |= self.entries.range(unverified..).any(|entry| entry.trusted);
                self.refuted |= self.adopted == Some(self.verified);
                self.truncate(self.verified);
                self.stash.clear();
                contradicted = true;
            }
        }
        self.advance_held(effects);
        contradicted
    }

    fn advance_held(&mut self, mut effects: Option<&mut Vec<Effect>>) {
        while self.held < self.end() {
            let entry = &self.entries[(self.held - self.first) as usize];
            if self.held >= self.verified && !entry.trusted {
                break;
            }
            if let Some(effects) = &mut effects {
                effects.push(Effect::Persist(LogEntry::Bundle(entry.bundle.clone())));
            }
            self.told = self.told.max(entry.bundle.record.block);
            self.held += 1;
        }
    }

    /// Drops everything from `position` on, which is not verified.
    fn truncate(&mut self, position: u64) {
        assert!(position >= self.verified, "what the log certified is not dropped");
        self.entries.truncate((position - self.first) as usize);
        self.held = self.held.min(position);
        self.range = self.verified_range.clone();
        for entry in self.entries.range((self.verified - self.first) as usize..) {
            self.range.append_record(&entry.digest);
        }
    }

    /// The block up to which nothing can turn out wrong any more but by a diverged sibling.
    pub(crate) fn confirmed_block(&self) -> BlockIndex {
        let place = (self.held.max(self.verified) - self.first).checked_sub(1);
        let entry = place.and_then(|place| self.entries.get(place as usize));
        entry.map_or(BlockIndex(0), |entry| entry.bundle.record.block)
    }

    /// What the shard header tells.
    pub(crate) fn told(&self) -> BlockIndex {
        self.told
    }

    /// Whether a certified record's bundle is not here, or a gap shows.
    pub(crate) fn is_missing(&self) -> bool {
        self.last_claim() > self.last_block() || !self.stash.is_empty()
    }

    /// Whether everything up to `usable` is verified; if not, it is needed from now on.
    pub(crate) fn is_ready(&mut self, usable: BlockIndex) -> bool {
        let ready = self.verified_block() >= usable;
        if !ready {
            let covering = self.claims.range(usable..).next().map_or(usable, |(block, _)| *block);
            self.needed = self.needed.max(covering);
        }
        ready
    }

    /// Verified receipts from `cursor` on in records up to `usable`.
    pub(crate) fn deliverable(&self, cursor: u64, usable: BlockIndex) -> impl Iterator<Item = &Receipt> {
        let start = self.entries.partition_point(|entry| self.is_consumed(entry, cursor));
        self.entries
            .range(start..)
            .take_while(move |entry| entry.bundle.record.block <= usable)
            .flat_map(|entry| &entry.bundle.receipts)
            .skip_while(move |receipt| receipt.sequence.0 < cursor)
    }

    /// Whether anything here, verified or not, has receipts from `cursor` on.
    pub(crate) fn has_undelivered(&self, cursor: u64) -> bool {
        let start = self.entries.partition_point(|entry| self.is_consumed(entry, cursor));
        self.entries.range(start..).any(|entry| !entry.bundle.receipts.is_empty())
    }

    /// The newest record up to `usable`.
    pub(crate) fn usable_record(&self, usable: BlockIndex) -> Option<&Record> {
        let after = self.entries.partition_point(|entry| entry.bundle.record.block <= usable);
        Some(&self.entries.get(after.checked_sub(1)?)?.bundle.record)
    }

    /// Forgets what no later block of this shard can ask for: records whose receipts are all below `cursor`, but for
    /// the newest usable one, whose counters may still have to be copied. A bounded rest stays for peers.
    pub(crate) fn prune(&mut self, cursor: u64, usable: BlockIndex) {
        let consumed = self.entries.partition_point(|entry| self.is_consumed(entry, cursor));
        let superseded =
            self.entries.partition_point(|entry| entry.bundle.record.block <= usable).saturating_sub(1);
        let consumed = self.first + consumed.min(superseded) as u64;
        while self.consumed < consumed.min(self.verified).min(self.held) {
            self.consumed_bytes += size(&self.entries[(self.consumed - self.first) as usize].bundle);
            self.consumed += 1;
        }
        while self.consumed_bytes > self.consumed_bytes_max && self.first < self.consumed {
            let dropped = self.entries.pop_front().expect("the consumed entries stand first");
            self.dropped_range.append_record(&dropped.digest);
            self.consumed_bytes -= size(&dropped.bundle);
            self.first += 1;
        }
    }

    fn is_consumed(&self, entry: &Entry, cursor: u64) -> bool {
        self.emitted(&entry.bundle.record).is_some_and(|emitted| emitted <= cursor)
    }

    /// Verified bundles after a block.
    pub(crate) fn verified_after(&self, after: BlockIndex) -> impl Iterator<Item = &Bundle> {
        let start = self.entries.partition_point(|entry| entry.bundle.record.block <= after);
        let end = (self.verified - self.first) as usize;
        self.entries.range(start.min(end)..end).map(|entry| &entry.bundle)
    }

    /// The newest verified bundle.
    pub(crate) fn newest_verified(&self) -> Option<&Bundle> {
        let place = (self.verified - self.first).checked_sub(1)?;
        self.entries.get(place as usize).map(|entry| &entry.bundle)
    }

    /// The block up to which bundles are verified.
    pub(crate) fn verified_block(&self) -> BlockIndex {
        self.newest_verified().map_or(BlockIndex(0), |bundle| bundle.record.block)
    }

    /// The block of the last bundle, confirmed or not.
    pub(crate) fn last_block(&self) -> BlockIndex {
        self.entries.back().map_or(BlockIndex(0), |entry| entry.bundle.record.block)
    }

    /// Whether the own sibling is still believed.
    pub(crate) fn believes_sibling(&self) -> bool {
        !self.sibling_diverged
    }

    fn last_claim(&self) -> BlockIndex {
        self.claims.last_key_value().map_or(BlockIndex(0), |(block, _)| *block)
    }

    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }
}

/// About how many bytes a bundle takes.
pub(crate) fn size(bundle: &Bundle) -> usize {
    size_of::<Bundle>()
        + bundle.receipts.len() * size_of::<Receipt>()
        + bundle.record.pairs.len() * size_of::<Pair>()
}
