//! The genesis: everything that can change an order or a record. Its hash is the chain.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use crate::{
    Address, Amount, Authority, AuthoritySet, ChainId, CodecError, Committee, Epoch, Shards, codec,
    hash::{Domain, hash},
    limits::{BATCH_BYTES_MAX, PROTOCOL_VERSION},
};

/// The rule that orders vertices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// One anchor per round, restarted after each commit (Shoal).
    Bullshark,
    /// Every undemoted vertex an anchor, committed by a quorum of proposals (Shoal++).
    #[default]
    Fast,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Bullshark, Self::Fast];

    fn name(self) -> &'static str {
        match self {
            Self::Bullshark => "bullshark",
            Self::Fast => "fast",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|rule| rule.name() == text);
        named.ok_or_else(|| format!("{text:?} is no commit rule: bullshark or fast"))
    }
}

/// What every replica must agree on. Local matters are in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// The commit rule.
    pub rule: Rule,
    /// Microseconds of commit time after which a block closes.
    pub block_interval: u64,
    /// Commits with input after which a block closes.
    pub block_commits_max: u64,
    /// Batch bytes of any one shard at which a block closes.
    pub block_bytes_max: u64,
    /// Rounds between the last anchor and the floor.
    pub floor_depth: u64,
    /// Rounds for which an ordered batch id is remembered and skipped when named again; at least `floor_depth`.
    pub batch_memory: u64,
    /// Closed uncertified blocks with batches of a shard beyond which its batches are void.
    pub lag_max: u64,
    /// Batches in one shard header.
    pub header_batches_max: u64,
    /// Bytes of the batches that one shard header names.
    pub header_bytes_max: u64,
    /// Microseconds up to which the wait for the candidate anchor doubles when nothing commits.
    pub wait_max: u64,
    /// Requests of one shard towards another whose end it has not seen.
    pub window: u64,
    /// Receipts delivered in one block.
    pub delivery_max: u64,
    /// Microseconds ahead of commit time that `valid_until` may lie; bounds what duplicates must be remembered.
    pub validity_max: u64,
    /// The least credit that opens an account.
    pub account_minimum: Amount,
    /// Whether the chain is for benchmarks alone: its processes may be told to leave out parts of their work.
    pub bench: bool,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            rule: Rule::default(),
            block_interval: 20_000,
            block_commits_max: 16,
            block_bytes_max: 4 << 20,
            floor_depth: 256,
            batch_memory: 512,
            lag_max: 256,
            header_batches_max: 64,
            header_bytes_max: 4 << 20,
            wait_max: 4_000_000,
            window: 65_536,
            delivery_max: 4_096,
            validity_max: 3_600_000_000,
            account_minimum: Amount(1),
            bench: false,
        }
    }
}

/// An account funded from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(deny_unknown_fields)]
pub struct Allocation {
    /// Whose.
    pub address: Address,
    /// How much, at least the account minimum.
    pub amount: Amount,
}

/// The first state of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// The protocol spoken on the chain.
    #[serde(default = "protocol_version")]
    pub protocol: u32,
    /// For people; two chains with different names differ.
    pub name: String,
    /// Number of shards.
    pub shards: Shards,
    /// Constants of the protocol.
    #[serde(default)]
    pub parameters: Parameters,
    /// The authorities of epoch 0.
    #[serde(rename = "authority")]
    pub authorities: Vec<Authority>,
    /// Funded accounts, ascending by address.
    #[serde(default, rename = "account")]
    pub accounts: Vec<Allocation>,
}

fn protocol_version() -> u32 {
    PROTOCOL_VERSION
}

/// Why a genesis makes no chain.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    /// Not the bytes of a genesis.
    #[error("the genesis is unreadable")]
    Codec(#[from] CodecError),
    /// Another protocol.
    #[error("the genesis asks for protocol {0}, this program speaks {PROTOCOL_VERSION}")]
    Protocol(u32),
    /// No authority, or too many.
    #[error("a committee has 1 to {} authorities, not {size}", AuthoritySet::CAPACITY, size = .0)]
    CommitteeSize(usize),
    /// An authority without weight, or more weight than can be counted.
    #[error("authority {0:?} has stake {1}: every stake is at least 1 and their sum below 2^63")]
    Stake(String, u64),
    /// Two authorities share a name or a key.
    #[error("authority {0:?} has a name or key that another authority has, or no network key")]
    Repeated(String),
    /// Accounts out of order or repeated.
    #[error("accounts ascend by address, each once: {0} does not")]
    AccountOrder(Address),
    /// An account below the minimum, or too much in all.
    #[error("account {0}: every amount is at least the account minimum and their sum below 2^63")]
    AccountAmount(Address),
    /// A parameter out of its range.
    #[error("parameter {0} is out of range: {1}")]
    Parameter(&'static str, &'static str),
}

impl Genesis {
    /// Reads and checks the bytes of a genesis.
    ///
    /// # Errors
    /// When they are none, or describe no valid chain.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, GenesisError> {
        let genesis: Self = codec::decode(bytes)?;
        genesis.check()?;
        Ok(genesis)
    }

    /// Its bytes, which the chain is the hash of.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The identity of the chain.
    pub fn chain(&self) -> ChainId {
        ChainId(hash(Domain::Genesis, &[&self.to_bytes()]))
    }

    /// The epoch of the first committee.
    pub fn epoch(&self) -> Epoch {
        Epoch(0)
    }

    /// The first committee.
    pub fn committee(&self) -> Committee {
        Committee::new(self.authorities.clone())
    }

    /// Everything that ever exists.
    pub fn supply(&self) -> Amount {
        Amount(self.accounts.iter().map(|account| account.amount.0).sum())
    }

    /// Whether this describes a valid chain.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn check(&self) -> Result<(), GenesisError> {
        const SUM_MAX: u64 = 1 << 63;
        if self.protocol != PROTOCOL_VERSION {
            return Err(GenesisError::Protocol(self.protocol));
        }
        if self.authorities.is_empty() || self.authorities.len() > AuthoritySet::CAPACITY {
            return Err(GenesisError::CommitteeSize(self.authorities.len()));
        }
        let (mut stake, mut names, mut keys) = (0_u64, BTreeSet::new(), BTreeSet::new());
        for authority in &self.authorities {
            let error = || GenesisError::Stake(authority.name.clone(), authority.stake);
            stake = stake.checked_add(authority.stake).filter(|&sum| sum < SUM_MAX).ok_or_else(error)?;
            if authority.stake == 0 {
                return Err(error());
            }
            let fresh = names.insert(&authority.name)
                && keys.insert(authority.consensus_key)
                && authority.network_keys.iter().all(|key| keys.insert(*key))
                && !authority.network_keys.is_empty();
            if !fresh {
                return Err(GenesisError::Repeated(authority.name.clone()));
            }
        }
        let mut sum = 0_u64;
        for (place, account) in self.accounts.iter().enumerate() {
            if place > 0 && self.accounts[place - 1].address >= account.address {
                return Err(GenesisError::AccountOrder(account.address));
            }
            sum = sum
                .checked_add(account.amount.0)
                .filter(|&sum| sum < SUM_MAX && account.amount >= self.parameters.account_minimum)
                .ok_or(GenesisError::AccountAmount(account.address))?;
        }
        self.parameters.check()
    }
}

impl Parameters {
    fn check(&self) -> Result<(), GenesisError> {
        let ranges = [
            ("block_interval", "1 ms to 10 s", (1_000..=10_000_000).contains(&self.block_interval)),
            ("block_commits_max", "1 to 4,096", (1..=4_096).contains(&self.block_commits_max)),
            ("block_bytes_max", "1 B to 64 MiB", (1..=64 << 20).contains(&self.block_bytes_max)),
            ("floor_depth", "2 to 4,096 rounds", (2..=4_096).contains(&self.floor_depth)),
            (
                "batch_memory",
                "floor_depth to 65,536 rounds",
                (self.floor_depth..=65_536).contains(&self.batch_memory),
            ),
            ("lag_max", "2 to 65,536 blocks", (2..=65_536).contains(&self.lag_max)),
            ("header_batches_max", "1 to 1,024", (1..=1_024).contains(&self.header_batches_max)),
            (
                "header_bytes_max",
                "one batch to 16 MiB",
                (BATCH_BYTES_MAX as u64..=16 << 20).contains(&self.header_bytes_max),
            ),
            ("wait_max", "10 ms to 60 s", (10_000..=60_000_000).contains(&self.wait_max)),
            ("window", "1 to 2^32", (1..=1 << 32).contains(&self.window)),
            ("delivery_max", "1 to 65,536", (1..=65_536).contains(&self.delivery_max)),
            ("validity_max", "1 s to 1 day", (1_000_000..=86_400_000_000).contains(&self.validity_max)),
            ("account_minimum", "at least 1", self.account_minimum.0 >= 1),
        ];
        match ranges.into_iter().find(|(_, _, holds)| !holds) {
            Some((name, range, _)) => Err(GenesisError::Parameter(name, range)),
            None => Ok(()),
        }
    }
}
