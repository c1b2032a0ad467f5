//! Checking a data directory offline: that nothing in it is lost or altered, and that what the machines kept is what the
//! order in their logs certified. Everything stays as it is.

use std::{fmt, io, path::Path, sync::Arc};

use fresnel_beacon::Beacon;
use fresnel_crypto::SigningKey;
use fresnel_shard::Batching;
use fresnel_state::CheckpointStore;
use fresnel_types::{
    AuthorityIndex, BlockIndex, ChainId, EntryNumber, Genesis, Timestamp, checkpoint::Restored, frame::Role,
    verify::Rules,
};
use serde::Serialize;

use crate::{
    DataError, NodeError,
    checkpoints::{RocksStore, folders},
    data::DataDirectory,
    error_chain,
    replay::{Replayed, read_log, replay_log},
    roles,
};

/// What a data directory holds, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DataReport {
    /// The chain.
    pub chain: ChainId,
    /// Whose it is.
    pub authority: AuthorityIndex,
    /// Every machine that kept a log here.
    pub machines: Vec<MachineReport>,
}

/// What a machine kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MachineReport {
    /// Its role, as in the configuration.
    pub machine: String,
    /// The number of the first entry of its log.
    pub first_entry: EntryNumber,
    /// How many entries are in its log.
    pub entries: u64,
    /// Bytes of a torn tail, which the next start cuts off. They are no fault: nothing that was synced is among them.
    pub torn_bytes: u64,
    /// The checkpoints of a worker.
    pub checkpoints: Vec<CheckpointReport>,
    /// Whether the machine can be started from what is there.
    pub starts: bool,
    /// Everything that is wrong.
    pub faults: Vec<Fault>,
}

/// A whole checkpoint of a worker, or none where it began with the genesis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckpointReport {
    /// Of which of its databases.
    pub database: Option<String>,
    /// The block; 0 for the genesis.
    pub block: BlockIndex,
    /// How many leaves it has. Their root is that of the last record.
    pub leaves: u64,
    /// How many records; each follows from those before.
    pub records: u64,
    /// Up to which block the log behind it could be executed again.
    pub executed: BlockIndex,
    /// How many certified records in the log were the same as those computed.
    pub compared: u64,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// What.
    pub message: String,
}

/// Where something is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Bytes of the log.
    Log,
    /// A checkpoint in this database: unreadable, or not what its record says.
    Checkpoint(String),
    /// What is in the log is not what restores the machine.
    Recovery,
    /// The records computed from the order are not the certified ones.
    Records,
}

impl DataReport {
    /// Whether nothing at all is wrong.
    pub fn is_sound(&self) -> bool {
        self.machines.iter().all(|machine| machine.faults.is_empty())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log => write!(formatter, "log"),
            Self::Checkpoint(database) => write!(formatter, "checkpoint {database}"),
            Self::Recovery => write!(formatter, "recovery"),
            Self::Records => write!(formatter, "records"),
        }
    }
}

/// Checks the data directory of a stopped process.
///
/// # Errors
/// When there is no such directory, another process holds it, or it belongs to another chain than that of `genesis`. What
/// is damaged in it is no error but in the report.
pub fn verify_data(path: &Path, genesis: Genesis) -> Result<DataReport, NodeError> {
    let rules = Arc::new(Rules::of(&genesis));
    let genesis = Arc::new(genesis);
    let (data, authority) = DataDirectory::open_existing(path, rules.chain)?;
    let mut machines = Vec::new();
    for role in roles_in(&data)? {
        let mut checked = Checked::new(role);
        match role {
            Role::Worker(shard) if rules.shards.contains(shard) => {
                checked.worker(&data, &worker_config(authority, shard, &genesis, &rules));
            }
            Role::Worker(_) => checked.fault(Place::Recovery, "the chain has no such shard".to_owned()),
            Role::Beacon | Role::Client => checked.beacon(&data, authority, &rules),
        }
        machines.push(checked.report);
    }
    Ok(DataReport { chain: rules.chain, authority, machines })
}

/// The machines that have a log in the directory.
fn roles_in(data: &DataDirectory) -> Result<Vec<Role>, DataError> {
    let folder = data.path().join("log");
    let names = || {
        std::fs::read_dir(&folder)?
            .map(|entry| Ok(entry?.file_name().to_str().and_then(|name| roles::parse(name).ok())))
            .collect::<io::Result<Vec<_>>>()
    };
    let names = names().map_err(|error| DataError::Io(folder.clone(), error))?;
    let mut roles: Vec<Role> = names.into_iter().flatten().collect();
    roles.sort_by_key(|role| roles::name(*role));
    Ok(roles)
}

/// A worker that executes a log and does nothing else.
pub(crate) fn worker_config(
    authority: AuthorityIndex,
    shard: fresnel_types::ShardId,
    genesis: &Arc<Genesis>,
    rules: &Arc<Rules>,
) -> fresnel_shard::Config {
    fresnel_shard::Config {
        authority,
        shard,
        genesis: Arc::clone(genesis),
        rules: Arc::clone(rules),
        batching: Batching::default(),
        checkpointing: fresnel_shard::Checkpointing::default(),
        execution: None,
    }
}

/// A report under way.
struct Checked {
    name: String,
    report: MachineReport,
}

impl Checked {
    fn new(role: Role) -> Self {
        let name = roles::name(role);
        let report = MachineReport {
            machine: name.clone(),
            first_entry: EntryNumber(0),
            entries: 0,
            torn_bytes: 0,
            checkpoints: Vec::new(),
            starts: false,
            faults: Vec::new(),
        };
        Self { name, report }
    }

    fn fault(&mut self, place: Place, message: String) {
        self.report.faults.push(Fault { place, message });
    }

    /// The log, if it is whole.
    fn log(&mut self, data: &DataDirectory) -> Option<fresnel_log::Recovered> {
        match read_log(&self.name, data) {
            Ok(recovered) => {
                self.report.first_entry = recovered.entries.first;
                self.report.entries = recovered.entries.entries.len() as u64;
                self.report.torn_bytes = recovered.cut.map_or(0, |cut| cut.bytes);
                Some(recovered)
            }
            Err(error) => {
                self.fault(Place::Log, error_chain(&error));
                None
            }
        }
    }

    fn beacon(&mut self, data: &DataDirectory, authority: AuthorityIndex, rules: &Arc<Rules>) {
        let Some(recovered) = self.log(data) else { return };
        let config = fresnel_beacon::Config {
            authority,
            rules: Arc::clone(rules),
            // It is dropped before it could sign anything.
            key: SigningKey::from_bytes(&[0; 32]),
            pacing: fresnel_beacon::Pacing::default(),
            checkpoint_commits: fresnel_beacon::limits::CHECKPOINT_COMMITS,
        };
        match Beacon::open(config, recovered.entries, Timestamp(0)) {
            Ok(_) => self.report.starts = true,
            Err(error) => self.fault(Place::Recovery, error_chain(&error)),
        }
    }

    /// Every checkpoint with the log behind it; without a checkpoint, the log from the genesis on.
    fn worker(&mut self, data: &DataDirectory, config: &fresnel_shard::Config) {
        let is_whole = self.log(data).is_some();
        let databases = match folders(&data.checkpoints(&self.name)) {
            Ok(databases) => databases,
            Err(error) => return self.fault(Place::Checkpoint(String::new()), error_chain(&error)),
        };
        let (mut found, faults) = (false, self.report.faults.len());
        for folder in databases {
            let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            let load = || match RocksStore::open_unaltered(&folder)? {
                Some(store) if store.block().is_some() => store.load(),
                // Being written when the process ended, or never begun: the next start makes it anew.
                _ => Ok(None),
            };
            match load() {
                Ok(None) => {}
                Ok(Some(restored)) => {
                    found = true;
                    if is_whole {
                        self.replay(data, config, Some((name, restored)));
                    }
                }
                Err(error) => self.fault(Place::Checkpoint(name), error_chain(&error)),
            }
        }
        // Where every checkpoint is damaged, a start says so instead of going back to the genesis.
        if !found && is_whole && self.report.faults.len() == faults {
            self.replay(data, config, None);
        }
    }

    /// Restores the worker from a checkpoint and executes the log behind it.
    fn replay(
        &mut self,
        data: &DataDirectory,
        config: &fresnel_shard::Config,
        checkpoint: Option<(String, Restored)>,
    ) {
        let recovered = match read_log(&self.name, data) {
            Ok(recovered) => recovered,
            Err(error) => return self.fault(Place::Log, error_chain(&error)),
        };
        let (database, restored) = checkpoint.unzip();
        let mut report = CheckpointReport {
            database: database.clone(),
            block: restored.as_ref().map_or(BlockIndex(0), |restored| restored.block),
            leaves: restored.as_ref().map_or(0, |restored| restored.leaves.len() as u64),
            records: restored.as_ref().map_or(0, |restored| restored.records.len() as u64),
            executed: BlockIndex(0),
            compared: 0,
        };
        let replayed = replay_log(config.clone(), restored, recovered);
        match replayed {
            Ok(Replayed { executed, compared, difference, .. }) => {
                (report.executed, report.compared) = (executed, compared);
                self.report.starts = true;
                self.report.checkpoints.push(report);
                if let Some(difference) = difference {
                    let message =
                        format!("block {} gives another record than the certified one", difference.block);
                    self.fault(Place::Records, message);
                }
            }
            Err(error) => {
                let place = match database {
                    Some(database) if error.is_damaged_checkpoint() => Place::Checkpoint(database),
                    _ => Place::Recovery,
                };
                self.fault(place, error_chain(&error));
            }
        }
    }
}
