//! `fresnel submit`: a transaction of any program, signed, submitted and followed as far as asked.

use clap::Subcommand;
use fresnel_types::{
    Action, Address, Amount,
    action::{BankAction, Bytes, KvOperation, TokenAction},
};

use crate::{
    exit::Exit,
    submission::{self, Submission},
    values,
};

/// What `fresnel submit` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    program: Program,
}

#[derive(Subcommand)]
enum Program {
    /// Named values. Names and values are text, or bytes in hex behind `hex:`.
    #[command(subcommand)]
    Kv(Kv),
    /// Savings beside the account, and payments that draw on both.
    #[command(subcommand)]
    Bank(Bank),
    /// Tokens, each named by the address of its issuer.
    #[command(subcommand)]
    Token(Token),
}

#[derive(Subcommand)]
enum Kv {
    /// Write a value; only its owner makes a new one.
    Put {
        /// Which.
        #[arg(value_parser = values::bytes)]
        name: Bytes,
        /// What it will be.
        #[arg(value_parser = values::bytes)]
        value: Bytes,
        /// Whose value, of the signer's shard; by default the signer's.
        #[arg(long)]
        owner: Option<Address>,
        /// Let others change it.
        #[arg(long)]
        shared: bool,
        #[command(flatten)]
        submission: Submission,
    },
    /// Add to a value of 8 bytes, a little-endian number.
    Add {
        /// Which.
        #[arg(value_parser = values::bytes)]
        name: Bytes,
        /// How much.
        amount: u64,
        /// Whose value, of the signer's shard; by default the signer's.
        #[arg(long)]
        owner: Option<Address>,
        #[command(flatten)]
        submission: Submission,
    },
    /// Fail unless there is a value. To see it, use `fresnel read`.
    Check {
        /// Which.
        #[arg(value_parser = values::bytes)]
        name: Bytes,
        /// Whose value, of the signer's shard; by default the signer's.
        #[arg(long)]
        owner: Option<Address>,
        #[command(flatten)]
        submission: Submission,
    },
}

#[derive(Subcommand)]
enum Bank {
    /// Move money from the account into the savings.
    Save(Moved),
    /// Move money from the savings into the account.
    Withdraw(Moved),
    /// Pay a customer of the same shard, also out of the savings, at a penalty of 1.
    Check(Paid),
    /// Pay a customer of any shard.
    Pay(Paid),
    /// Pay cash into the account of a customer of the same shard.
    Deposit(Paid),
    /// Move all that is in the account and the savings to a customer of the same shard.
    Amalgamate {
        /// Whom.
        #[arg(long)]
        to: Address,
        #[command(flatten)]
        submission: Submission,
    },
}

#[derive(clap::Args)]
struct Moved {
    /// How much.
    amount: u64,
    #[command(flatten)]
    submission: Submission,
}

#[derive(clap::Args)]
struct Paid {
    /// Whom.
    #[arg(long)]
    to: Address,
    /// How much.
    #[arg(long)]
    amount: u64,
    #[command(flatten)]
    submission: Submission,
}

#[derive(Subcommand)]
enum Token {
    /// Make the signer's token.
    Create {
        /// How many there may ever be.
        #[arg(long)]
        cap: u64,
        /// Let anybody of the signer's shard mint.
        #[arg(long)]
        open: bool,
        #[command(flatten)]
        submission: Submission,
    },
    /// Get new ones.
    Mint {
        /// By its issuer.
        #[arg(long, value_name = "ISSUER")]
        token: Address,
        /// How many.
        #[arg(long)]
        amount: u64,
        #[command(flatten)]
        submission: Submission,
    },
    /// Give some to somebody in any shard.
    Transfer {
        /// By its issuer.
        #[arg(long, value_name = "ISSUER")]
        token: Address,
        /// Whom.
        #[arg(long)]
        to: Address,
        /// How many.
        #[arg(long)]
        amount: u64,
        #[command(flatten)]
        submission: Submission,
    },
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let (action, submission) = match &arguments.program {
        Program::Kv(kv) => kv.action(),
        Program::Bank(bank) => {
            let (action, submission) = bank.action();
            (Action::Bank(action), submission)
        }
        Program::Token(token) => {
            let (action, submission) = token.action();
            (Action::Token(action), submission)
        }
    };
    submission::run(submission, action)
}

impl Kv {
    fn action(&self) -> (Action, &Submission) {
        let (operation, submission) = match self {
            Self::Put { name, value, owner, shared, submission } => {
                let (name, value) = (name.clone(), value.clone());
                (KvOperation::Put { owner: *owner, name, value, shared: *shared }, submission)
            }
            Self::Add { name, amount, owner, submission } => {
                (KvOperation::Add { owner: *owner, name: name.clone(), amount: *amount }, submission)
            }
            Self::Check { name, owner, submission } => {
                (KvOperation::Read { owner: *owner, name: name.clone() }, submission)
            }
        };
        (Action::Kv(vec![operation]), submission)
    }
}

impl Bank {
    fn action(&self) -> (BankAction, &Submission) {
        match self {
            Self::Save(Moved { amount, submission }) => {
                (BankAction::TransactSavings { amount: Amount(*amount), withdraw: false }, submission)
            }
            Self::Withdraw(Moved { amount, submission }) => {
                (BankAction::TransactSavings { amount: Amount(*amount), withdraw: true }, submission)
            }
            Self::Check(Paid { to, amount, submission }) => {
                (BankAction::WriteCheck { recipient: *to, amount: Amount(*amount) }, submission)
            }
            Self::Pay(Paid { to, amount, submission }) => {
                (BankAction::SendPayment { recipient: *to, amount: Amount(*amount) }, submission)
            }
            Self::Deposit(Paid { to, amount, submission }) => {
                (BankAction::DepositChecking { customer: *to, amount: Amount(*amount) }, submission)
            }
            Self::Amalgamate { to, submission } => (BankAction::Amalgamate { recipient: *to }, submission),
        }
    }
}

impl Token {
    fn action(&self) -> (TokenAction, &Submission) {
        match *self {
            Self::Create { cap, open, ref submission } => (TokenAction::Create { cap, open }, submission),
            Self::Mint { token, amount, ref submission } => (TokenAction::Mint { token, amount }, submission),
            Self::Transfer { token, to: recipient, amount, ref submission } => {
                (TokenAction::Transfer { token, recipient, amount }, submission)
            }
        }
    }
}
