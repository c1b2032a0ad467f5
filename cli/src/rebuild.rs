//! `fresnel rebuild`: a worker whose records are not the certified ones gives up its state; the next start fetches it from
//! the other authorities.

use std::path::PathBuf;

use fresnel_node::Rebuild;
use fresnel_types::ShardId;

use crate::{exit::Exit, network};

/// What `fresnel rebuild` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The data directory of a process. No process may use it. The log and the checkpoints stay until they are replaced.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The shard whose worker gives up its state.
    #[arg(long, value_name = "N")]
    shard: u16,
    /// The genesis of the chain.
    #[arg(long, value_name = "FILE", env = "FRESNEL_GENESIS")]
    genesis: PathBuf,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let genesis = network::genesis(&arguments.genesis)?;
    let rebuild = fresnel_node::rebuild(&arguments.folder, genesis, ShardId(arguments.shard))?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&rebuild)?);
        return Ok(Exit::Success);
    }
    let Rebuild { authority, shard, commit, diverged, exported } = rebuild;
    if let (Some(block), Some(file)) = (diverged, exported) {
        println!("block {block} gave another record than the certified one: {}", file.display());
    }
    println!(
        "worker {authority}/{shard} fetches its state at the next start, and takes the order from commit {commit} on"
    );
    Ok(Exit::Success)
}
