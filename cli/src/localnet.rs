//! `fresnel localnet`: a cluster of real processes on this machine to try things on, with one funded account.

use std::{path::PathBuf, time::Instant};

use anyhow::Context;
use fresnel_loadgen::{Cluster, ClusterOptions, ExecutorMode, cluster::stop_detached};
use fresnel_node::{keys, roles};
use fresnel_types::{Ablation, Amount, Parameters, PublicKey, Shards, genesis::Allocation};
use serde_json::json;

use crate::{
    exit::{Exit, Wrong},
    network::block_on,
    shape::Shape,
};

/// What `fresnel localnet` takes.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make a cluster in a new folder, start it and leave it running.
    Up(Up),
    /// Stop the cluster of a folder; its files stay.
    Down {
        /// The folder.
        #[arg(long, value_name = "DIR", default_value = FOLDER)]
        dir: PathBuf,
    },
}

#[derive(clap::Args)]
pub(crate) struct Up {
    /// Where its files go.
    #[arg(long, value_name = "DIR", default_value = FOLDER)]
    dir: PathBuf,
    #[command(flatten)]
    shape: Shape,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: &Command) -> anyhow::Result<Exit> {
    match command {
        Command::Up(arguments) => up(arguments),
        Command::Down { dir } => {
            let stopped = block_on(stop_detached(dir))?;
            println!("stopped {stopped} processes");
            Ok(Exit::Success)
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "tells people how long it took")]
fn up(arguments: &Up) -> anyhow::Result<Exit> {
    let started = Instant::now();
    let shards = Shards::new(arguments.shape.shards).map_err(Wrong)?;
    std::fs::create_dir_all(&arguments.dir)
        .with_context(|| format!("cannot make {}", arguments.dir.display()))?;
    let folder = arguments.dir.canonicalize().context("the folder was just made")?;
    let wallet = folder.join("wallet.key");
    let address = PublicKey::of(&keys::generate(&wallet)?).address();
    let options = ClusterOptions {
        binary: std::env::current_exe().context("this program does not know where it is")?,
        folder: folder.clone(),
        name: "localnet".to_owned(),
        authorities: arguments.shape.authorities,
        shards,
        layout: arguments.shape.layout,
        parameters: Parameters { rule: arguments.shape.rule, ..Parameters::default() },
        executor: ExecutorMode::default(),
        ablate: Ablation::default(),
        accounts: vec![Allocation { address, amount: FUNDS }],
    };
    let (chain, endpoints) = block_on(async {
        let cluster = Cluster::start(options).await?;
        let found = (cluster.genesis().chain(), cluster.endpoints());
        cluster.detach()?;
        Ok(found)
    })?;

    let listed: Vec<(u16, Vec<String>, String, String)> = endpoints
        .iter()
        .map(|endpoint| {
            let roles = endpoint.roles.iter().map(|role| roles::name(*role)).collect();
            (endpoint.authority.0, roles, endpoint.address.to_string(), endpoint.rpc.to_string())
        })
        .collect();
    if arguments.json {
        let endpoints: Vec<_> = listed
            .iter()
            .map(|(authority, roles, address, rpc)| {
                json!({ "authority": authority, "roles": roles, "address": address, "rpc": rpc })
            })
            .collect();
        let object = json!({
            "chain": chain,
            "genesis": folder.join("genesis.bin"),
            "topology": folder.join("topology.toml"),
            "wallet": wallet,
            "address": address,
            "endpoints": endpoints,
        });
        println!("{object}");
        return Ok(Exit::Success);
    }
    println!("chain {chain}, ready after {:.1} s", started.elapsed().as_secs_f64());
    for (authority, roles, address, rpc) in &listed {
        let roles = roles.join(", ");
        println!("authority {authority} ({roles}) takes clients at {address}, JSON-RPC at {rpc}");
    }
    let folder = folder.display();
    println!("\nTry:");
    println!("  export FRESNEL_GENESIS={folder}/genesis.bin FRESNEL_TOPOLOGY={folder}/topology.toml");
    println!("  fresnel transfer --key {folder}/wallet.key --to {:0>64} --amount 5", "c0ffee");
    println!("  fresnel account {address}");
    println!("  fresnel account {address} --proof");
    println!("  fresnel status");
    if let Some((_, _, _, rpc)) = listed.first() {
        let call = r#"{"jsonrpc":"2.0","id":1,"method":"chain_info"}"#;
        println!("  curl -H 'content-type: application/json' -d '{call}' http://{rpc}");
    }
    println!("  fresnel localnet down --dir {folder}");
    Ok(Exit::Success)
}

/// The folder when none is named.
const FOLDER: &str = "fresnel-localnet";

/// What the account of the wallet starts with.
const FUNDS: Amount = Amount(1_000_000_000);
