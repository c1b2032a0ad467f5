//! `fresnel transfer`: signs one transfer, submits it, and follows it as far as asked.

use fresnel_types::{Action, Address, Amount};

use crate::{
    exit::Exit,
    submission::{self, Submission},
};

/// What `fresnel transfer` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Who receives.
    #[arg(long, value_name = "ADDRESS")]
    to: Address,
    /// How much, in the smallest unit.
    #[arg(long)]
    amount: u64,
    #[command(flatten)]
    submission: Submission,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let action = Action::Transfer { recipient: arguments.to, amount: Amount(arguments.amount) };
    submission::run(&arguments.submission, action)
}
