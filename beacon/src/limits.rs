//! Bounds of everything a beacon keeps on behalf of others. None of them can change an order.

/// Rounds beyond the DAG's top up to which proposals and votes are taken; who is further ahead is asked for its
/// certified vertices instead.
pub const ROUNDS_AHEAD: u64 = 8;

/// Rounds beyond the DAG's top up to which certified vertices wait for their links.
pub const CERTIFIED_ROUNDS_AHEAD: u64 = 128;

/// Signed vertices kept of one slot: the one voted for, and one more in case the certified one is another.
pub const VARIANTS_PER_SLOT: usize = 2;

/// Committees up to this size send votes to everybody; in larger ones the author assembles them.
pub const VOTES_TO_ALL_MAX: usize = 32;

/// Vertices wanted from others at a time, the lowest rounds first; of those that only proposals name, half as many.
pub const WANTED_MAX: usize = 8_192;

/// Vertices asked for in one request, and given in one answer.
pub const VERTICES_PER_MESSAGE: usize = 256;

/// Bytes of vertices or commits in one answer, but for a first one that is larger.
pub const ANSWER_BYTES: usize = 4 << 20;

/// Bytes of answers that one peer is given at once, but for the end of the last one.
pub const ANSWER_BYTES_AT_ONCE: u64 = 64 << 20;

/// Bytes of answers per second that one peer is given for long: more than a beacon applies.
pub const ANSWER_BYTES_PER_SECOND: u64 = 32 << 20;

/// Rounds listed in one status.
pub const STATUS_ROUNDS: usize = 512;

/// Votes sent again at a time.
pub const VOTES_PER_RESEND: usize = 256;

/// Open own vertices sent again at a time.
pub const PROPOSALS_PER_RESEND: usize = 4;

/// Batches offered by one own worker and not yet in a vertex.
pub const PENDING_BATCHES: usize = 65_536;

/// Attestations offered by one own worker and not yet in a vertex.
pub const PENDING_ATTESTATIONS: usize = 65_536;

/// Ids of batches of one shard that its own worker stored.
pub const BATCH_IDS_STORED: usize = 32_768;

/// Ids of ordered own batches of one shard in each of two generations.
pub const BATCH_IDS_PER_GENERATION: usize = 16_384;

/// Blocks of one shard for which an ordered own attestation is remembered.
pub const ORDERED_ATTESTATIONS: usize = 4_096;

/// Orders kept for one own worker that does not store them.
pub const ORDERS_RETAINED: usize = 65_536;

/// Orders on their way to one own worker.
pub const ORDERS_IN_FLIGHT: u64 = 256;

/// Commits with vertices kept for peers that are behind the floor.
pub const COMMITS_RETAINED: usize = 16_384;

/// Bytes of those.
pub const COMMIT_BYTES_RETAINED: usize = 256 << 20;

/// Attestations remembered of one author and shard, for proofs: two seconds at fifty blocks per second. Older records are
/// proven by later ones, which commit to them.
pub const ATTESTATIONS_REMEMBERED: usize = 128;

/// Commit digests kept for whoever asks.
pub const DIGESTS_RETAINED: usize = 1 << 18;

/// Commit digests in one answer.
pub const DIGESTS_PER_ANSWER: usize = 4_096;

/// Bytes of the state in one piece of a checkpoint: an entry of the log, small enough to be written between two votes.
pub const CHECKPOINT_PIECE_BYTES: usize = 1 << 20;

/// Commits between two checkpoints, unless configured otherwise: ten seconds at fifty commits per second.
pub const CHECKPOINT_COMMITS: u64 = 512;

/// Commits in one range.
pub const COMMITS_PER_RANGE: usize = 64;

/// How often the wait for a range of commits doubles while nothing new comes: from tens of milliseconds to seconds.
pub const PATIENCE_DOUBLINGS: u32 = 6;

/// Received commits that wait for a certified digest behind them.
pub const COMMITS_BUFFERED: usize = 512;

/// Bytes of those.
pub const COMMIT_BYTES_BUFFERED: usize = 64 << 20;

/// Commit digests remembered per authority that vouched for them.
pub const CLAIMS_PER_AUTHORITY: usize = 1_024;

/// Commits behind a peer from which on ranges are asked for at once instead of when nothing moves.
pub const COMMITS_BEHIND: u64 = 64;

/// Vertices of a DAG that is shown: a picture of more helps nobody.
pub const VERTICES_SHOWN: usize = 2_048;

/// Microseconds that a vertex' time may be ahead of clock and order: it waits; from there on it is ignored.
pub const TIME_AHEAD_MAX: u64 = 500_000;

/// Rounds past the last commit's anchor beyond which own vertices carry no payload.
pub const PAYLOAD_ROUNDS: u64 = 32;

/// Rounds past the last commit's anchor beyond which each round waits longer for its candidate anchor.
pub const EAGER_ROUNDS: u64 = 64;
