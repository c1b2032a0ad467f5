//! Bounds and intervals that nobody needs to set.

/// Ids of ordered transactions remembered to refuse duplicates until they are executed, five seconds of full load; older
/// ones are refused by their nonce.
pub(crate) const REMEMBERED_MAX: usize = 262_144;

/// The least and the most microseconds after which a client that met a full queue may try again.
pub(crate) const RETRY_AFTER_MIN: u64 = 100_000;
pub(crate) const RETRY_AFTER_MAX: u64 = 2_000_000;

/// Least and most microseconds before an unacknowledged batch is sent again.
pub(crate) const RESEND_MIN: u64 = 50_000;
pub(crate) const RESEND_MAX: u64 = 2_000_000;

/// The wait while nothing is known of a peer's latency.
pub(crate) const RESEND_UNKNOWN: u64 = 200_000;

/// Batches sent again to one peer at a time.
pub(crate) const RESEND_BATCHES_MAX: usize = 16;

/// Batches asked for and answered in one request.
pub(crate) const REQUEST_BATCHES_MAX: usize = 16;

/// Ordered batches asked for and not yet here.
pub(crate) const FETCHES_MAX: usize = 32;

/// The same for batches that proposals of one author name.
pub(crate) const NAMED_FETCHES_MAX: usize = 16;

/// Microseconds that the one asked has to answer; doubles after every full turn.
pub(crate) const FETCH_WAIT: u64 = 300_000;

/// How often that doubles.
pub(crate) const FETCH_BACK_OFF_MAX: usize = 4;

/// Ids in one `Stored`, which verification bounds.
pub(crate) const IDS_MAX: usize = 4_096;

/// Floor depths for which a batch that a proposal named is kept while it is not ordered. One depth would do for a
/// beacon that is up to date; one that catches up hears of proposals far above its own round.
pub(crate) const NAMED_DEPTHS: u64 = 4;

/// Bytes of ordered batches that wait in memory to be executed: many full blocks. A worker that stands still leaves what
/// comes after them to its log.
pub(crate) const ORDERED_BYTES_MAX: usize = 128 << 20;

/// Batches for peers that are asked for in the log at a time; a peer that asks for more asks again.
pub(crate) const RECALLS_MAX: usize = 64;
