//! `fresnel snapshot`: the state of a shard as files, for operators to keep, check and go on from.

use std::path::PathBuf;

use fresnel_node::{SnapshotError, SnapshotReport};
use fresnel_types::ShardId;

use crate::{exit::Exit, network};

/// Snapshots of a shard's state.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make a snapshot of the newest checkpoint of a worker, with what certifies it.
    Create(Create),
    /// Check a snapshot against nothing but the genesis.
    Verify(Verify),
    /// Make a snapshot the checkpoint of the worker that it was taken from; goes on where it was interrupted.
    Restore(Restore),
}

/// What every one of them takes.
#[derive(clap::Args)]
pub(crate) struct Shared {
    /// The genesis of the chain.
    #[arg(long, value_name = "FILE", env = "FRESNEL_GENESIS")]
    genesis: PathBuf,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

/// What `fresnel snapshot create` takes.
#[derive(clap::Args)]
pub(crate) struct Create {
    /// The data directory of a process that hosts the worker. No process may use it; nothing in it is changed.
    #[arg(value_name = "DATA")]
    data: PathBuf,
    /// The folder for the snapshot, new or empty.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Whose state.
    #[arg(long, value_name = "N")]
    shard: u16,
    /// The data directory of the process that hosts the beacon, when that is another one.
    #[arg(long, value_name = "DATA")]
    beacon_data: Option<PathBuf>,
    #[command(flatten)]
    shared: Shared,
}

/// What `fresnel snapshot verify` takes.
#[derive(clap::Args)]
pub(crate) struct Verify {
    /// The folder of the snapshot.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    shared: Shared,
}

/// What `fresnel snapshot restore` takes.
#[derive(clap::Args)]
pub(crate) struct Restore {
    /// The folder of the snapshot.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The data directory, in which the worker has kept nothing.
    #[arg(long, value_name = "DATA")]
    to: PathBuf,
    #[command(flatten)]
    shared: Shared,
}

pub(crate) fn run(command: &Command) -> anyhow::Result<Exit> {
    let (shared, what, result) = match command {
        Command::Create(Create { data, to, shard, beacon_data, shared }) => {
            let genesis = network::genesis(&shared.genesis)?;
            let shard = ShardId(*shard);
            let made = fresnel_node::create_snapshot(data, &genesis, shard, to, beacon_data.as_deref());
            (shared, "made", made)
        }
        Command::Verify(Verify { folder, shared }) => {
            let genesis = network::genesis(&shared.genesis)?;
            (shared, "sound", fresnel_node::verify_snapshot(folder, &genesis))
        }
        Command::Restore(Restore { folder, to, shared }) => {
            let genesis = network::genesis(&shared.genesis)?;
            (shared, "restored", fresnel_node::restore_snapshot(folder, genesis, to))
        }
    };
    let report = match result {
        Ok(report) => report,
        Err(error @ (SnapshotError::Manifest(_) | SnapshotError::Chunk(..) | SnapshotError::Part(_))) => {
            eprintln!("fresnel: {:#}", anyhow::Error::from(error));
            return Ok(Exit::Verdict);
        }
        Err(error) => return Err(error.into()),
    };
    if shared.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{what}: {}", line(&report));
    }
    Ok(Exit::Success)
}

fn line(report: &SnapshotReport) -> String {
    let SnapshotReport { authority, shard, block, record, attested, leaves, chunks, parts, bytes } = report;
    format!(
        "shard {shard} after block {block}, {leaves} leaves in {chunks} chunks, {parts} parts of worker \
         {authority}/{shard}, {bytes} bytes; record {record}, attested by {attested} authorities"
    )
}
