//! `fresnel node run`, `beacon run`, `shard run`: one process of an authority until it is asked to stop; and
//! `fresnel config`, which reads the same configuration without starting anything.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context;
use fresnel_node::{Config, LogFilter, Topology, keys, roles};
use fresnel_types::{Genesis, frame::Role};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

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

/// What the commands that only look at a configuration take.
#[derive(clap::Args)]
pub(crate) struct Looked {
    #[command(flatten)]
    source: Source,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What `fresnel config` takes.
#[derive(clap::Subcommand)]
pub(crate) enum ConfigCommand {
    /// Read the configuration and everything that it names; says what is wrong.
    Check(Looked),
    /// Print the configuration that a process would run with, after environment and flags.
    Show(Looked),
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
    let log_filter = Arc::new(start_logging()?);
    fresnel_node::run(&config, Some(log_filter), asked_to_stop())?;
    Ok(Exit::Success)
}

pub(crate) fn config(command: &ConfigCommand) -> anyhow::Result<Exit> {
    match command {
        ConfigCommand::Show(Looked { source, json }) => {
            let config = load(source)?;
            if *json {
                println!("{}", serde_json::to_string(&config).context("a configuration is JSON")?);
            } else {
                print!("{}", config.to_toml());
            }
        }
        ConfigCommand::Check(Looked { source, json }) => {
            let config = load(source)?;
            let bytes = std::fs::read(&config.genesis)
                .map_err(|error| Wrong(format!("cannot read {}: {error}", config.genesis.display())))?;
            let genesis = Genesis::from_bytes(&bytes).context("the genesis is none")?;
            let topology = Topology::load(&config.topology, &genesis)?;
            topology.position(config.authority, &config.roles)?;
            for path in config.consensus_key.iter().chain([&config.network_key]) {
                keys::load(path)?;
            }
            if *json {
                let roles: Vec<String> = config.roles.iter().map(|role| roles::name(*role)).collect();
                let object = serde_json::json!({
                    "chain": genesis.chain(),
                    "authority": config.authority,
                    "roles": roles,
                });
                println!("{object}");
            } else {
                println!("{} is a configuration of chain {}", source.config.display(), genesis.chain());
            }
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

/// Lines about what happens go to stderr, chosen by `RUST_LOG` at the start and by the operator later.
fn start_logging() -> Result<LogFilter, Wrong> {
    let text = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_else(|_| "info".to_owned());
    let wrong = |error| Wrong(format!("{}={text:?} is no log filter: {error}", EnvFilter::DEFAULT_ENV));
    let filter = EnvFilter::try_new(&text).map_err(wrong)?;
    let logging = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let logging = logging.with_filter_reloading();
    let handle = logging.reload_handle();
    logging.init();
    Ok(LogFilter::new(text, move |text| {
        let filter = EnvFilter::try_new(text).map_err(|error| error.to_string())?;
        handle.reload(filter).map_err(|error| error.to_string())
    }))
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
