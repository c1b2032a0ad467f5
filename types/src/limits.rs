//! Bounds that are part of the protocol and the same on every chain. What a chain may choose is in
//! [`Parameters`](crate::Parameters).

/// The protocol spoken by this code; part of the genesis.
pub const PROTOCOL_VERSION: u32 = 1;

/// Bytes of a sealed batch: large enough that its name costs nothing, small enough to spread in a few milliseconds.
pub const BATCH_BYTES_MAX: usize = 512_000;

/// Encoded bytes of a signed transfer: chain, key, nonce, fee, validity, tag, recipient, amount, signature.
pub const TRANSACTION_BYTES: usize = 32 + 32 + 8 + 8 + 8 + 4 + 32 + 8 + 64;

/// Nonces of one account that may be used in any order.
pub const NONCE_WINDOW: u64 = 64;

/// Commits between two digests of the beacon's state; commit votes name multiples of it.
pub const COMMITS_PER_CHECKPOINT: u64 = 64;

/// Attestations in one shard header.
pub const ATTESTATIONS_PER_HEADER_MAX: usize = 64;

/// Transactions in one submission of a client; a frame of them is about 100 kB.
pub const SUBMISSION_MAX: usize = 512;
