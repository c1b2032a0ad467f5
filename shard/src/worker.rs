//! The switch.

use std::sync::Arc;

use fresnel_types::{
    AuthorityIndex, Effect, Genesis, Input, LogEntry, Machine, ShardId, Timestamp, status::WorkerStatus, verify::Rules,
};

use crate::Batching;

/// What a worker is and what it must know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its authority.
    pub authority: AuthorityIndex,
    /// Its shard.
    pub shard: ShardId,
    /// The chain's first state.
    pub genesis: Arc<Genesis>,
    /// The chain's rules.
    pub rules: Arc<Rules>,
    /// Local limits.
    pub batching: Batching,
}

/// Why a log does not restore a worker.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// x
    #[error("x")]
    Gap,
}

/// A shard's worker at one authority.
pub struct Worker {}

impl Worker {
    /// Restores a worker from its log; an empty one starts from the genesis.
    ///
    /// # Errors
    /// When the log contradicts itself.
    pub fn open(_config: Config, _log: Vec<LogEntry>, _now: Timestamp) -> Result<Self, RecoveryError> {
        Ok(Self {})
    }

    /// Where it is.
    pub fn status(&self) -> WorkerStatus {
        unimplemented!()
    }
}

impl Machine for Worker {
    fn handle(&mut self, _now: Timestamp, _input: Input, _effects: &mut Vec<Effect>) {}
    fn deadline(&self) -> Option<Timestamp> {
        None
    }
}
