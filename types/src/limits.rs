//! Bounds that are part of the protocol and the same on every chain. What a chain may choose is in
//! [`Parameters`](crate::Parameters).

/// The protocol spoken by this code; part of the genesis.
pub const PROTOCOL_VERSION: u32 = 3;

/// Bytes of a sealed batch: large enough that its name costs nothing, small enough to spread in a few milliseconds.
pub const BATCH_BYTES_MAX: usize = 512_000;

/// Encoded bytes of a signed transfer: chain, key, nonce, fee, validity, tag, recipient, amount, signature.
pub const TRANSACTION_BYTES: usize = 32 + 32 + 8 + 8 + 8 + 4 + 32 + 8 + 64;

/// Operations of one [`Action::Kv`](crate::Action::Kv): more than the ten of a YCSB transaction.
pub const KV_OPERATIONS_MAX: usize = 16;

/// Bytes of the name of a value.
pub const KV_NAME_BYTES_MAX: usize = 64;

/// Bytes of a value: a YCSB record of ten fields of 100 bytes.
pub const KV_VALUE_BYTES_MAX: usize = 1_024;

/// Bytes of all names and values in one transaction, so that memory for so many transactions is memory for so many bytes.
pub const KV_BYTES_MAX: usize = 4_096;

/// Nonces of one account that may be used in any order.
pub const NONCE_WINDOW: u64 = 64;

/// Commits between two digests of the beacon's state; commit votes name multiples of it.
pub const COMMITS_PER_CHECKPOINT: u64 = 64;

/// Attestations in one shard header.
pub const ATTESTATIONS_PER_HEADER_MAX: usize = 64;

/// Transactions in one submission of a client; a frame of them is about 100 kB.
pub const SUBMISSION_MAX: usize = 512;

/// Transactions of several submissions that are checked together: from about a thousand on, more cost no less each.
pub const SUBMISSIONS_TOGETHER_MAX: usize = 2_048;
