//! What a mempool is told: whose it is, and its local limits.

use std::sync::Arc;

use fresnel_types::{AuthorityIndex, ShardId, limits::BATCH_BYTES_MAX, verify::Rules};
use serde::{Deserialize, Serialize};

/// What a mempool is and what it must know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its authority.
    pub authority: AuthorityIndex,
    /// Its shard.
    pub shard: ShardId,
    /// The chain's rules.
    pub rules: Arc<Rules>,
    /// Local limits.
    pub batching: Batching,
}

/// Local limits; nothing here can change what a peer's batch is worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Batching {
    /// Bytes at which the open batch seals, at most the protocol's limit.
    pub batch_bytes_max: usize,
    /// Microseconds after its first transaction at which the open batch seals; an idle system seals at once.
    pub delay_max: u64,
    /// Transactions admitted and not ordered.
    pub pending_max: usize,
    /// Bytes of these: they stay in memory until they are ordered, and some are a hundred times as long as others.
    pub pending_bytes_max: usize,
    /// Of these, those of one sender.
    pub pending_per_sender_max: usize,
    /// Of these, those of one connection.
    pub pending_per_client_max: usize,
    /// Microseconds that what was admitted may wait to be ordered, or what was ordered to be certified, before all more is
    /// refused, from half of it on a part: what comes then would be late, and its client may go to another authority.
    pub queue_age_max: u64,
    /// Bytes of executed batches kept for peers, oldest dropped first.
    pub retained_bytes: usize,
    /// Bytes of one author's batches kept here that no proposal named yet; more are not taken until some are named.
    pub unnamed_bytes_per_author_max: usize,
}

impl Default for Batching {
    fn default() -> Self {
        Self {
            batch_bytes_max: BATCH_BYTES_MAX,
            delay_max: 20_000,
            pending_max: 200_000,
            pending_bytes_max: 128 << 20,
            pending_per_sender_max: 64,
            pending_per_client_max: 50_000,
            queue_age_max: 800_000,
            retained_bytes: 512 << 20,
            unnamed_bytes_per_author_max: 64 << 20,
        }
    }
}
