//! Signing a transaction, submitting it, and following it as far as asked: what `fresnel transfer` and `fresnel submit` share.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, bail};
use clap::ValueEnum;
use fresnel_client::{Checker, Client, Ending, Wallet};
use fresnel_node::keys;
use fresnel_types::{
    Action, Amount, AuthorityIndex, Nonce, Outcome, Proof, SignedTransaction, Timestamp, Transaction, encode,
    frame::Role,
    status::{Level, Progress},
};

use crate::{
    exit::{Exit, Wrong},
    network::{self, Files, Network},
    prove::{self, Of},
    values,
};

/// Who signs, and how far the transaction is followed.
#[derive(clap::Args)]
pub(crate) struct Submission {
    #[command(flatten)]
    files: Files,
    /// The key file of the account that pays.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Burned when the transaction executes, whatever comes of it.
    #[arg(long, default_value_t = 1)]
    fee: u64,
    /// The sender's number for this transaction; by default the lowest unused one.
    #[arg(long)]
    nonce: Option<u64>,
    /// How far to follow it.
    #[arg(long, value_enum, default_value_t = Wait::Settled)]
    wait: Wait,
    /// For how long to follow it; also how long it stays valid.
    #[arg(long, default_value = "30s", value_parser = values::duration)]
    timeout: Duration,
    /// Which authority to submit to.
    #[arg(long, default_value_t = 0)]
    authority: u16,
    /// Ask for a proof of how it ended, where it is followed to the end, and check it against the genesis; with a file, also
    /// keep it there for `fresnel verify-proof`.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, conflicts_with = "sign_only")]
    proof: Option<Option<PathBuf>>,
    /// Sign it and print its bytes as hex, for `tx_submit`, instead of submitting it.
    #[arg(long)]
    sign_only: bool,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Wait {
    /// In the asked worker's memory.
    Admitted,
    /// In the order.
    Ordered,
    /// Executed by the asked authority.
    Executed,
    /// Its record is certified.
    Final,
    /// Arrived, also in another shard.
    Settled,
}

/// Does what a transaction with `action` is to do.
pub(crate) fn run(arguments: &Submission, action: Action) -> anyhow::Result<Exit> {
    if !action.is_well_formed() {
        return Err(Wrong(
            "an amount is zero, or a name, a value or their number beyond its limit".to_owned(),
        )
        .into());
    }
    if arguments.proof.is_some() && arguments.wait.level() < Level::Final {
        return Err(Wrong("what is not final has no proof: wait for final or settled".to_owned()).into());
    }
    let network = arguments.files.load()?;
    let wallet = Wallet::new(network.genesis.chain(), keys::load(&arguments.key)?);
    if arguments.sign_only {
        let (_, signed) = network::block_on(sign(arguments, action, &network, &wallet))?;
        let (id, bytes) = (signed.transaction.id(), hex::encode(encode(&signed)));
        if arguments.json {
            println!("{}", serde_json::json!({ "transaction": id, "bytes": bytes }));
        } else {
            println!("{bytes}");
        }
        return Ok(Exit::Success);
    }
    let (transaction, progress) = network::block_on(submit_and_follow(arguments, action, &network, &wallet))?;
    let id = transaction.id();
    let proof = match &arguments.proof {
        None => None,
        Some(file) => {
            let proof = network::block_on(prove_end(arguments, &network, &transaction, &progress))?;
            if let Some(file) = file {
                fs::write(file, proof.to_bytes())
                    .with_context(|| format!("cannot write {}", file.display()))?;
            }
            Some(proof)
        }
    };
    let proven = proof.as_ref().map(prove::attested);
    if arguments.json {
        let certified = proven.as_ref().map(|(certified, _)| certified);
        let attested_by = proven.as_ref().map(|(_, by)| by.iter().collect::<Vec<_>>());
        println!(
            "{}",
            serde_json::json!({
                "transaction": id,
                "progress": progress,
                "certified": certified,
                "attested_by": attested_by,
            })
        );
    } else {
        println!("transaction {id}");
        println!("{}", as_line(&progress));
        if let Some((certified, by)) = proven {
            prove::print_proven(&certified, &by);
        }
    }
    let failed = matches!(progress.outcome, Some(Outcome::Failed(_) | Outcome::Void(_))) || progress.bounced;
    Ok(if failed { Exit::Failure } else { Exit::Success })
}

/// A signed transaction, with a connection to a worker that takes it.
async fn sign(
    arguments: &Submission,
    action: Action,
    network: &Network,
    wallet: &Wallet,
) -> anyhow::Result<(Client, SignedTransaction)> {
    let shard = wallet.shard(network.genesis.shards);
    let mut client = network.connect(AuthorityIndex(arguments.authority), Role::Worker(shard)).await?;
    let nonce = match arguments.nonce {
        Some(nonce) => Nonce(nonce),
        None => *client.nonces(shard, wallet.address(), 1).await?.first().ok_or_else(|| {
            Wrong(format!("{} has no account at authority {}", wallet.address(), arguments.authority))
        })?,
    };
    let valid_until = now().plus(u64::try_from(arguments.timeout.as_micros()).unwrap_or(u64::MAX));
    Ok((client, wallet.sign(nonce, action, Amount(arguments.fee), valid_until)))
}

async fn submit_and_follow(
    arguments: &Submission,
    action: Action,
    network: &Network,
    wallet: &Wallet,
) -> anyhow::Result<(Transaction, Progress)> {
    let (mut client, signed) = sign(arguments, action, network, wallet).await?;
    let (transaction, id) = (signed.transaction.clone(), signed.transaction.id());
    admit(&mut client, network, signed).await?;
    let admitted = Progress {
        transaction: id,
        level: Level::Admitted,
        outcome: None,
        block: fresnel_types::BlockIndex(0),
        bounced: false,
    };
    let mut last = admitted;
    let follow = async {
        while !reached(&last, arguments.wait.level()) {
            let news = client.progress().await?;
            if let Some(newest) = news.into_iter().rfind(|news| news.transaction == id) {
                last = newest;
            }
        }
        anyhow::Ok(())
    };
    match tokio::time::timeout(arguments.timeout, follow).await {
        Ok(followed) => followed?,
        Err(_) => bail!("transaction {id} got no further than this in time: {}", as_line(&last)),
    }
    Ok((transaction, last))
}

/// A proof of the end that an authority told, checked: one authority may lie.
async fn prove_end(
    arguments: &Submission,
    network: &Network,
    transaction: &Transaction,
    told: &Progress,
) -> anyhow::Result<Proof> {
    let mut checker = Checker::new(network.genesis.clone())?;
    let shard = network.shard(&transaction.sender.address());
    let is_settled = told.level == Level::Settled;
    let of = if is_settled { Of::Applied } else { Of::Outcome };
    let proof = prove::transaction(network, arguments.authority, transaction.id(), shard, of).await?;
    let agrees = if is_settled {
        match (checker.check_settled(transaction, &proof)?, told.outcome) {
            (Ending::Done, Some(Outcome::Success)) => !told.bounced,
            (Ending::Returned(_), Some(Outcome::Success)) => told.bounced,
            (Ending::Failed(code), outcome) => outcome == Some(Outcome::Failed(code)),
            _ => false,
        }
    } else {
        Some(checker.check_final(transaction, &proof)?) == told.outcome
    };
    if !agrees {
        bail!("authority {} said {}, and the proof says otherwise", arguments.authority, as_line(told));
    }
    Ok(proof)
}

async fn admit(client: &mut Client, network: &Network, signed: SignedTransaction) -> anyhow::Result<()> {
    let shard = network.shard(&signed.transaction.sender.address());
    let admission = client.submit(shard, vec![signed]).await?;
    match admission.results.first().context("the worker answered for no transaction")? {
        None => Ok(()),
        Some(code) => {
            let code_name = serde_json::to_value(code).context("a code has a name")?;
            let advice = if code.retry_helps() { "try again later" } else { "trying again does not help" };
            bail!("rejected: {}; {advice}", code_name.as_str().unwrap_or_default())
        }
    }
}

/// Whether there is nothing more to wait for: the level is reached, or the end is known and certain.
fn reached(progress: &Progress, level: Level) -> bool {
    let ended = matches!(progress.outcome, Some(Outcome::Failed(_) | Outcome::Void(_)));
    progress.level >= level || (ended && progress.level >= Level::Final)
}

fn as_line(progress: &Progress) -> String {
    let level = format!("{:?}", progress.level).to_lowercase();
    let outcome = match progress.outcome {
        None => String::new(),
        Some(Outcome::Success) if progress.bounced => format!(", came back, in block {}", progress.block),
        Some(Outcome::Success) => format!(", success in block {}", progress.block),
        Some(Outcome::Failed(code)) => format!(", failed in block {}: {code:?}", progress.block),
        Some(Outcome::Void(code)) => format!(", void in block {}: {code:?}", progress.block),
    };
    format!("{level}{outcome}")
}

impl Wait {
    fn level(self) -> Level {
        match self {
            Self::Admitted => Level::Admitted,
            Self::Ordered => Level::Ordered,
            Self::Executed => Level::Executed,
            Self::Final => Level::Final,
            Self::Settled => Level::Settled,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a wallet says until when it wants its transaction executed")]
fn now() -> Timestamp {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since_epoch.as_micros()).expect("the year 586,000 is far"))
}
