//! The bounds of a process, with their reasons.

use std::time::Duration;

/// Inputs in a machine's inbox. What comes from outside is bounded in bytes before it gets here, so this many are
/// mostly small ones from the machines of the own process.
pub(crate) const INBOX_INPUTS_MAX: usize = 16_384;

/// Inputs that a machine takes before one sync.
pub(crate) const ROUND_INPUTS_MAX: usize = 256;

/// Time after which a machine takes no more inputs before the sync, so that early ones are answered soon.
pub(crate) const ROUND_MICROS_MAX: u64 = 5_000;

/// How soon a driver looks again whether a full inbox of its own process has room.
pub(crate) const MEND_DELAY: Duration = Duration::from_millis(5);

/// Frames that wait for a link to take them.
pub(crate) const LINK_FRAMES_MAX: usize = 8_192;

/// Bytes that wait for a link to take them: some hundred batches or a few histories.
pub(crate) const LINK_BYTES_MAX: usize = 64 << 20;

/// Bytes of one link that were read and are not handled: two of the largest frames.
pub(crate) const LINK_UNHANDLED_BYTES_MAX: usize = 32 << 20;

/// Frames that wait for a client to take them.
pub(crate) const CLIENT_FRAMES_MAX: usize = 4_096;

/// Bytes that wait for a client to take them.
pub(crate) const CLIENT_BYTES_MAX: usize = 8 << 20;

/// Bytes of one client that were read and are not handled: two of the largest frames that a client may send.
pub(crate) const CLIENT_UNHANDLED_BYTES_MAX: usize = 2 << 20;

/// Clients of one listener.
pub(crate) const CLIENTS_MAX: usize = 256;

/// Body bytes that a client may send at once.
pub(crate) const CLIENT_FRAME_BYTES_MAX: usize = 1 << 20;

/// What even the smallest frame counts against the unhandled bytes, for the memory around it.
pub(crate) const FRAME_BYTES_MIN: usize = 1 << 10;

/// Connections to a listener that have not finished their handshake.
pub(crate) const HANDSHAKES_MAX: usize = 64;

/// Frames that a verify thread checks together.
pub(crate) const LANE_ROUND_FRAMES_MAX: usize = 64;

/// Bytes at which a verify thread takes no more frames into one check: about 5,000 transactions, 50 ms.
pub(crate) const LANE_ROUND_BYTES_MAX: usize = 1 << 20;

/// Of these, what clients get in every round however much peers send.
pub(crate) const LANE_CLIENTS_BYTES_MIN: usize = 128 << 10;

/// Work for the thread beside a worker: one checkpoint, one publishing, and for each of 256 authorities the four pieces that a
/// worker reads for a peer at once.
pub(crate) const KEEPER_WORK_MAX: usize = 2 + 256 * 4;

/// For how long at most a bulk lane that was busy just now lets more come before it checks what is there: batches of several
/// peers come about together, and checked together they cost half.
pub(crate) const LANE_GATHERS: Duration = Duration::from_millis(20);

/// How many times what the last check took. A lane that checks for less than a tenth of the time gathers nothing; beyond, its
/// checks grow, and cost less for each signature, until the time above is used up.
pub(crate) const LANE_GATHERS_TIMES: u32 = 10;

/// A bulk lane that waited for longer than this was not busy: what comes then is checked at once.
pub(crate) const LANE_BUSY: Duration = Duration::from_millis(10);

/// Bytes at which a lane waits for no more: some thousand transactions.
pub(crate) const LANE_GATHERED_BYTES: usize = 256 << 10;

/// What a client submitted and has waited for longer than this to be checked is refused for overload: it would be late
/// anyway, and whoever sent it may go elsewhere.
pub(crate) const LANE_AGE_MAX: Duration = Duration::from_millis(500);

/// A client may be silent for that long before its place is given to another that finds none.
pub(crate) const CLIENT_IDLE_MIN: Duration = Duration::from_secs(2);

/// For how long who comes waits until the place of who was sent away is free.
pub(crate) const EVICTION_TIMEOUT: Duration = Duration::from_secs(1);

/// Signatures that a verify thread of the control plane remembers: votes come again in certificates.
pub(crate) const SIGNATURES_REMEMBERED: usize = 65_536;

/// For connecting, TLS and hello together.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// For a frame's body once its header is there, and for the other side to take any bytes at all.
pub(crate) const STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may be silent before the other side is asked whether it is there, how long between questions,
/// and how many stay unanswered until it is gone: a machine that lost power does not say so.
pub(crate) const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
pub(crate) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
pub(crate) const KEEPALIVE_QUESTIONS: u32 = 3;

/// The first wait before dialling again; it doubles up to the next.
pub(crate) const REDIAL_DELAY_MIN: Duration = Duration::from_millis(20);

/// The longest wait before dialling again.
pub(crate) const REDIAL_DELAY_MAX: Duration = Duration::from_secs(2);

/// A link that held this long was a success: the next wait is short again.
pub(crate) const LINK_LIFE_MIN: Duration = Duration::from_secs(1);

/// What the links get at shutdown to take what waits.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Connections to the operator's listener; further ones wait.
pub(crate) const ADMIN_CONNECTIONS_MAX: usize = 32;

/// For how long a connection to the operator's listener may say nothing.
pub(crate) const ADMIN_PATIENCE: Duration = Duration::from_secs(10);

/// Body bytes of what the operator may send.
pub(crate) const ADMIN_BODY_BYTES_MAX: usize = 4 << 10;

/// Connections to the RPC listener; further ones wait.
pub(crate) const RPC_CONNECTIONS_MAX: usize = 256;

/// For how long an RPC connection may say nothing: longer than any call takes. Who has a WebSocket answers pings.
pub(crate) const RPC_PATIENCE: Duration = Duration::from_secs(120);

/// Bytes of one request or batch: a transaction is 400 bytes of hex.
pub(crate) const RPC_REQUEST_BYTES_MAX: u32 = 32 << 10;

/// Bytes of one answer: a proof in a chain of 256 shards is 100 kB of hex.
pub(crate) const RPC_ANSWER_BYTES_MAX: u32 = 1 << 20;

/// Requests in a batch.
pub(crate) const RPC_BATCH_MAX: u32 = 32;

/// Subscriptions of one connection.
pub(crate) const RPC_SUBSCRIPTIONS_MAX: u32 = 64;

/// Answers and news that wait for a WebSocket to take them.
pub(crate) const RPC_MESSAGES_MAX: u32 = 64;

/// Calls of one connection that may be open before no more is read from it.
pub(crate) const RPC_OPEN_CALLS_MAX: usize = 64;

/// Calls of all connections that may wait for machines.
pub(crate) const RPC_CALLS_MAX: usize = 1_024;

/// Transactions that callers of this process may follow.
pub(crate) const RPC_FOLLOWED_MAX: usize = 8_192;

/// For how long a call waits for a machine.
pub(crate) const RPC_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// For how long a call waits for a proof: one of a record whose certification goes slowly takes longest.
pub(crate) const RPC_PROOF_TIMEOUT: Duration = Duration::from_secs(15);

/// How often a worker is asked again that has not executed the block that a call wants: half a block.
pub(crate) const RPC_BEHIND_AGAIN: Duration = Duration::from_millis(10);

/// How often it is asked again about a transaction that is waited for: news may be lost.
pub(crate) const RPC_FOLLOW_AGAIN: Duration = Duration::from_secs(1);

/// How often the beacon is asked for new commits while there are subscribers.
pub(crate) const RPC_COMMITS_INTERVAL: Duration = Duration::from_millis(50);

/// Commits that wait for a subscriber before it fetches what it missed.
pub(crate) const RPC_COMMITS_WAITING: usize = 1_024;

/// How often a WebSocket is pinged, and for how long it may leave that unanswered.
pub(crate) const RPC_PING_INTERVAL: Duration = Duration::from_secs(20);
pub(crate) const RPC_PONG_TIMEOUT: Duration = Duration::from_secs(50);

/// Microseconds after which the files of a published checkpoint that nobody reads are removed.
pub(crate) const PUBLICATION_UNREAD_MAX: u64 = 600_000_000;

/// How often it is looked whether they are read.
pub(crate) const PUBLICATION_CHECK: Duration = Duration::from_secs(60);

/// How long a machine may take to say where it is before it counts as silent.
pub(crate) const STATUS_TIMEOUT: Duration = Duration::from_secs(1);

/// When a client may try again whose transaction was not admitted for want of room on the disk.
pub(crate) const ROOM_RETRY: Duration = Duration::from_secs(1);

/// Room on the disk that is left for what must be stored when nothing is admitted any more: besides some files of each
/// machine's log, the tables of a checkpoint while they are merged.
pub(crate) const CHECKPOINT_ROOM_BYTES: u64 = 128 << 20;

/// Files of each machine's log that still fit when nothing is admitted any more: the next one, and one made ahead.
pub(crate) const LOG_ROOM_FILES: u64 = 2;

/// Between two writes of the statistics.
pub(crate) const STATS_INTERVAL: Duration = Duration::from_secs(1);

/// Lines per second about connections that were given up.
pub(crate) const REPORTS_PER_SECOND_MAX: u64 = 10;
