//! `fresnel node run`, `beacon run`, `shard run`: one process of an authority until it is asked to stop; and
//! `fresnel config`, which reads the same configuration without starting anything.

use std::path::PathBuf;

use anyhow::Context;
use fresnel_node::{Config, Topology, keys};
use fresnel_types::{Genesis, frame::Role};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    exit::{Exit, Wrong},
    settings,
};

/// Where the configuration of a process comes from.
#[derive(clap::Args)]
pub(crate) struct Source {
    /// The configuration of the process, in TOML. Paths in it are relative to it.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Set one key, like `pacing.heartbeat=200000`; wins over the environment (`FRESNEL__PACING__HEARTBEAT`) and the
    /// file. Repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

/// What `fresnel node`, `beacon` and `shard` take.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Run until SIGTERM or Ctrl-C, which let everything finish that was taken.
    Run(Source),
}

/// What `fresnel config` takes.
#[derive(clap::Subcommand)]
pub(crate) enum ConfigCommand {
    /// Read the configuration and everything that it names; says what is wrong.
    Check(Source),
    /// Print the configuration that a process would run with, after environment and flags.
    Show(Source),
}

/// Which machines the caller wants the process to host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hosts {
    /// Whatever the configuration says.
    Any,
    /// A beacon and nothing else.
    Beacon,
    /// Workers and no beacon.
    Workers,
}

pub(crate) fn run(command: &Command, hosts: Hosts) -> anyhow::Result<Exit> {
    let Command::Run(source) = command;
    let config = load(source)?;
    hosts.check(&config.roles)?;
    start_logging();
    fresnel_node::run(&config, asked_to_stop())?;
    Ok(Exit::Success)
}

pub(crate) fn config(command: &ConfigCommand) -> anyhow::Result<Exit> {
    match command {
        ConfigCommand::Show(source) => print!("{}", load(source)?.to_toml()),
        ConfigCommand::Check(source) => {
            let config = load(source)?;
            let bytes = std::fs::read(&config.genesis)
                .map_err(|error| Wrong(format!("cannot read {}: {error}", config.genesis.display())))?;
            let genesis = Genesis::from_bytes(&bytes).context("the genesis is none")?;
            let topology = Topology::load(&config.topology, &genesis)?;
            topology.position(config.authority, &config.roles)?;
            for path in config.consensus_key.iter().chain([&config.network_key]) {
                keys::load(path)?;
            }
            println!("{} is a configuration of chain {}", source.config.display(), genesis.chain());
        }
    }
    Ok(Exit::Success)
}

fn load(source: &Source) -> anyhow::Result<Config> {
    let text = settings::read(&source.config)?;
    let table = settings::merge(settings::parse(&text)?, std::env::vars(), &source.settings)?;
    let folder = source.config.parent().expect("a file that was read has a folder");
    Config::from_table(table, folder)
        .map_err(|error| settings::wrong(&error))
        .with_context(|| format!("configuration {}", source.config.display()))
}

impl Hosts {
    fn check(self, roles: &[Role]) -> Result<(), Wrong> {
        let fits = match self {
            Self::Any => true,
            Self::Beacon => roles == [Role::Beacon],
            Self::Workers => roles.iter().all(|role| matches!(role, Role::Worker(_))),
        };
        let wanted = match self {
            Self::Any | Self::Beacon => "`fresnel beacon run` hosts a beacon alone",
            Self::Workers => "`fresnel shard run` hosts workers alone",
        };
        if fits { Ok(()) } else { Err(Wrong(format!("{wanted}; the configuration names other roles"))) }
    }
}

/// Lines about what happens go to stderr, chosen by `RUST_LOG`.
fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

async fn asked_to_stop() {
    let mut terminate = signal(SignalKind::terminate()).expect("a runtime with signals is running");
    let mut interrupt = signal(SignalKind::interrupt()).expect("a runtime with signals is running");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use fresnel_types::ShardId;

    use super::*;

    #[test]
    fn subcommands_take_the_roles_they_are_named_after() {
        let worker = Role::Worker(ShardId(1));
        // (roles, beacon run, shard run)
        for (roles, beacon, shard) in [
            (vec![Role::Beacon], true, false),
            (vec![worker], false, true),
            (vec![Role::Beacon, worker], false, false),
        ] {
            assert!(Hosts::Any.check(&roles).is_ok(), "{roles:?}");
            assert_eq!(Hosts::Beacon.check(&roles).is_ok(), beacon, "{roles:?}");
            assert_eq!(Hosts::Workers.check(&roles).is_ok(), shard, "{roles:?}");
        }
    }
}
