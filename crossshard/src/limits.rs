//! Bounds on what is kept and asked, whatever peers send.

/// Records of one source beyond the consumed ones that are taken in advance of need.
pub(crate) const INBOX_RECORDS_MAX: usize = 8_192;

/// Records of one source taken from a peer before a certified record covers them.
pub(crate) const UNTRUSTED_RECORDS_MAX: u64 = 4_096;

/// Bundles of one source that came ahead of their turn.
pub(crate) const STASH_MAX: usize = 64;

/// Bytes of these.
pub(crate) const STASH_BYTES_MAX: usize = 32 << 20;

/// Certified records of one source remembered until their bundles are here; beyond it every other one is forgotten,
/// since a later one covers it.
pub(crate) const CLAIMS_MAX: usize = 4_096;

/// Bytes of consumed bundles kept for peers, over all sources.
pub(crate) const CONSUMED_BYTES_MAX: usize = 256 << 20;

/// Own records kept for siblings after all their receipts were consumed.
pub(crate) const EMITTED_RECORDS_MIN: usize = 1_024;

/// Bytes of own records kept, consumed or not.
pub(crate) const EMITTED_BYTES_MAX: usize = 512 << 20;

/// Bundles in answer to one request.
pub(crate) const ANSWER_BUNDLES_MAX: usize = 64;

/// Bytes after which an answer ends.
pub(crate) const ANSWER_BYTES_MAX: usize = 8 << 20;

/// Receipts that a source delivers in one turn.
pub(crate) const QUANTUM: usize = 64;
