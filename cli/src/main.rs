//! The `fresnel` binary: reads arguments and files, calls the crate that does the work, prints what came out.
//!
//! Nothing is decided here that another program could not decide by using the crates. Every subcommand is a file with
//! the arguments it takes and a `run`; `exit` lists how the program ends.

#![forbid(unsafe_code)]

mod account;
mod bench;
mod completions;
mod dag;
mod evidence;
mod exit;
mod genesis;
mod keys;
mod localnet;
mod network;
mod process;
mod prove;
mod read;
mod rebuild;
mod replay;
mod settings;
mod shape;
mod sim;
mod snapshot;
mod status;
mod submission;
mod submit;
mod trace;
mod transfer;
mod values;
mod verify_data;
mod verify_evidence;
mod verify_proof;
mod version;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{exit::Exit, process::Hosts};

/// Fresnel: a sharded execution engine with a beacon.
#[derive(Parser)]
#[command(name = "fresnel", version = version::line(), after_help = exit::CODES, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a genesis from a description in TOML; prints the chain.
    Genesis(genesis::Arguments),
    /// Make and show key files.
    #[command(subcommand)]
    Keys(keys::Command),
    /// A process with a beacon and its shards' workers, as configured.
    #[command(subcommand)]
    Node(process::Command),
    /// A process with a beacon alone.
    #[command(subcommand)]
    Beacon(process::Command),
    /// A process with shard workers alone.
    #[command(subcommand)]
    Shard(process::Command),
    /// Look at the configuration of a process.
    #[command(subcommand)]
    Config(process::ConfigCommand),
    /// Run a local cluster under load, audit it and give a verdict.
    Bench(bench::Arguments),
    /// Simulate whole clusters from seeds, with faults, and check the protocol's invariants.
    Sim(sim::Arguments),
    /// Execute the log of a stopped process' workers again and compare the records with the certified ones.
    Replay(replay::Arguments),
    /// Check the data directory of a stopped process: logs, checkpoints, and the records that they lead to.
    VerifyData(verify_data::Arguments),
    /// Make a worker of a stopped process give up its state, and fetch it from its peers at the next start.
    Rebuild(rebuild::Arguments),
    /// The state of a shard as files, to keep, check and go on from.
    #[command(subcommand)]
    Snapshot(snapshot::Command),
    /// A cluster on this machine to try things on.
    #[command(subcommand)]
    Localnet(localnet::Command),
    /// Show an account.
    Account(account::Arguments),
    /// Get a proof of an account or a transaction, check it, and write it to a file.
    Prove(prove::Arguments),
    /// Check a proof against a genesis, and nothing else.
    VerifyProof(verify_proof::Arguments),
    /// Show what beacons hold against authorities that broke their word.
    Evidence(evidence::Arguments),
    /// Check evidence against a genesis, and nothing else.
    VerifyEvidence(verify_evidence::Arguments),
    /// Draw the youngest part of a beacon's DAG.
    Dag(dag::Arguments),
    /// Sign, submit and follow a transfer.
    Transfer(transfer::Arguments),
    /// Sign, submit and follow a transaction of another program: kv, bank, token.
    Submit(submit::Arguments),
    /// Show what programs keep for an owner: values, savings, tokens.
    Read(read::Arguments),
    /// Show where every machine of a network is.
    Status(status::Arguments),
    /// Show when a sampled transaction took which step at every authority.
    Trace(trace::Arguments),
    /// Print the completions of a shell; each shell's documentation says where they go.
    Completions(completions::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.command {
        Command::Genesis(arguments) => genesis::run(arguments),
        Command::Keys(command) => keys::run(command),
        Command::Node(command) => process::run(command, Hosts::Any),
        Command::Beacon(command) => process::run(command, Hosts::Beacon),
        Command::Shard(command) => process::run(command, Hosts::Workers),
        Command::Config(command) => process::config(command),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Sim(arguments) => sim::run(arguments),
        Command::Replay(arguments) => replay::run(arguments),
        Command::VerifyData(arguments) => verify_data::run(arguments),
        Command::Rebuild(arguments) => rebuild::run(arguments),
        Command::Snapshot(command) => snapshot::run(command),
        Command::Localnet(command) => localnet::run(command),
        Command::Account(arguments) => account::run(arguments),
        Command::Prove(arguments) => prove::run(arguments),
        Command::VerifyProof(arguments) => verify_proof::run(arguments),
        Command::Evidence(arguments) => evidence::run(arguments),
        Command::VerifyEvidence(arguments) => verify_evidence::run(arguments),
        Command::Dag(arguments) => dag::run(arguments),
        Command::Transfer(arguments) => transfer::run(arguments),
        Command::Submit(arguments) => submit::run(arguments),
        Command::Read(arguments) => read::run(arguments),
        Command::Status(arguments) => status::run(arguments),
        Command::Trace(arguments) => trace::run(arguments),
        Command::Completions(arguments) => completions::run(arguments),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("fresnel: {error:#}");
            Exit::of(&error).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn arguments_are_well_formed() {
        super::Arguments::command().debug_assert();
    }
}
