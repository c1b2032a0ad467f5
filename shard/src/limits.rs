//! Bounds of a worker, with their reasons.

/// Own records kept in memory to answer questions: with 50 blocks a second, twenty minutes. The log has all.
pub(crate) const RECORDS_RETAINED: usize = 65_536;

/// Certified digests kept of blocks not executed here yet: a worker that far behind compares the latest ones.
pub(crate) const UNEXECUTED_CERTIFIED_MAX: usize = 4_096;

/// Bytes of the records in one answer: a frame to a client takes a megabyte, and a record grows with the shards.
pub(crate) const RECORD_BYTES_PER_ANSWER_MAX: usize = 900_000;

/// Transactions whose last news is kept for those who ask or submit again.
pub(crate) const NEWS_RETAINED: usize = 500_000;

/// Clients that hear about one transaction; more only ask.
pub(crate) const LISTENERS_MAX: usize = 4;

/// News in one message to a client: about 100 kB.
pub(crate) const NEWS_PER_MESSAGE_MAX: usize = 1_024;

/// Proofs that wait for certification: with paths of 30 hashes and records of many shards, some ten megabytes; more when
/// they are of many keys.
pub(crate) const PROOFS_WAITING_MAX: usize = 1_024;

/// Questions for proofs of what has not happened yet: each block that is executed looks through them, in a tenth of a
/// millisecond.
pub(crate) const EARLY_MAX: usize = 1_024;

/// Microseconds for which such a question waits: far longer than anything takes that comes about at all.
pub(crate) const EARLY_MICROS: u64 = 60_000_000;

/// Outcomes and consumed receipts kept for proofs: twelve megabytes, and half a minute of ten thousand transactions a
/// second.
pub(crate) const RESULTS_RETAINED: usize = 262_144;

/// Sampled transactions whose way is remembered: at 50,000 a second of a shard, 80 seconds of them.
pub(crate) const TRACES_MAX: usize = 4_096;

/// Batches of which it is remembered when they were stored and ordered: as many as may wait to be executed.
pub(crate) const BATCHES_TRACED_MAX: usize = 4_096;

/// Microseconds for which the states after blocks can be proven.
pub(crate) const PROVABLE_MICROS: u64 = 60_000_000;

/// Changes of all undo lists together: some sixty megabytes, and a minute of eight thousand transfers a second.
pub(crate) const UNDO_CHANGES_MAX: usize = 1 << 20;

/// Changes taken back for one proof: to take back and make again so many holds a worker up for some forty milliseconds.
pub(crate) const UNDONE_AT_ONCE_MAX: usize = 32_768;

/// Certified own records remembered while a state is fetched: more than are certified while peers offer theirs.
pub(crate) const CLAIMS_MAX: usize = 16_384;

/// Microseconds from one question to peers for what they offer to the next.
pub(crate) const OFFERS_INTERVAL: u64 = 2_000_000;

/// Microseconds after the first offer for which others are awaited: what more of them have comes sooner.
pub(crate) const GATHERING_MICROS: u64 = 500_000;

/// Pieces under way from one peer: one is read while the other is sent.
pub(crate) const PIECES_PER_PEER_MAX: usize = 2;

/// Pieces read for one peer at a time; it asks for fewer.
pub(crate) const PIECES_READ_PER_PEER_MAX: usize = 2 * PIECES_PER_PEER_MAX;

/// Microseconds after which a piece is asked for again: at a megabyte each, a link of two megabytes a second is in time.
pub(crate) const PIECE_TIMEOUT: u64 = 5_000_000;

/// Answers in a row that a peer may owe before it must offer again to be asked.
pub(crate) const STRIKES_MAX: u32 = 3;

/// Parts of one state.
pub(crate) const PARTS_MAX: usize = 4_096;

/// Bytes of the parts of one state: twice what a worker keeps to send to others.
pub(crate) const PARTS_BYTES_MAX: usize = 1 << 30;

/// Microseconds for which what is published stays although nobody reads it: who fetches it may be starting again.
pub(crate) const PUBLISHED_UNREAD_MICROS: u64 = 10_000_000;

/// Microseconds from the beginning of one publication to that of the next at least: each reads all leaves once.
pub(crate) const PUBLISH_INTERVAL: u64 = 2_000_000;

/// Own records given to peers beyond those whose receipts may still be wanted: for questions about the last minute.
pub(crate) const RECORDS_PORTABLE: usize = 4_096;

/// Microseconds for which a block may wait, although a later one is certified, before the worker looks for a state beyond it:
/// what it waits for is then with nobody, or nobody answers.
pub(crate) const STUCK_MICROS: u64 = 30_000_000;
