//! The `fresnel` binary: reads arguments and files, calls the crate that does the work, prints what came out.
//!
//! Nothing is decided here that another program could not decide by using the crates. Every subcommand is a file with
//! one `Arguments` struct and one `run`; [`exit`] lists how the program ends.

#![forbid(unsafe_code)]

mod exit;
mod genesis;
mod settings;
mod version;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::exit::Exit;

/// Fresnel: a sharded execution engine with a beacon.
#[derive(Parser)]
#[command(name = "fresnel", version = version::LINE, after_help = exit::CODES, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a genesis from a description in TOML; prints the chain.
    Genesis(genesis::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Command::Genesis(arguments) => genesis::run(&arguments),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("fresnel: {error:#}");
            Exit::of(&error).into()
        }
    }
}
