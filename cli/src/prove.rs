//! `fresnel prove`: asks a running network for a proof, checks it, and writes it to a file that `fresnel verify-proof`
//! checks anywhere.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use fresnel_client::{Checker, ProveError, account_keys, prove};
use fresnel_types::{
    Address, AuthorityIndex, AuthoritySet, BlockIndex, Proof, ShardId, TransactionId,
    commit::Certified,
    frame::Role,
    proof::{Claim, ProofError, Wanted},
    status::Unproven,
};

use crate::{
    exit::{Exit, Wrong},
    network::{self, Files, Network},
    verify_proof,
};

/// What `fresnel prove` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// What accounts of one shard own, or that they do not exist.
    Account {
        /// Whose accounts.
        #[arg(required = true)]
        addresses: Vec<Address>,
        /// After this block of the last minute; by default after the last certified one.
        #[arg(long)]
        block: Option<u64>,
        #[command(flatten)]
        from: From,
    },
    /// How far a transaction has come.
    Transaction {
        /// Which.
        transaction: TransactionId,
        /// The sender's shard.
        #[arg(long)]
        shard: u16,
        /// How it ended in the sender's shard; the receipt that it emitted; or how it ended where the recipient is.
        #[arg(long, value_enum, default_value = "outcome")]
        of: Of,
        #[command(flatten)]
        from: From,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Of {
    Outcome,
    Emitted,
    Applied,
}

/// Whom to ask, and where to write.
#[derive(clap::Args)]
struct From {
    #[command(flatten)]
    files: Files,
    /// Which authority to ask first.
    #[arg(long, default_value_t = 0)]
    authority: u16,
    /// Where the proof goes.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    match &arguments.what {
        What::Account { addresses, block, from } => {
            let network = from.files.load()?;
            let shard = network.shard(&addresses[0]);
            if addresses.iter().any(|address| network.shard(address) != shard) {
                return Err(Wrong("accounts of different shards need a proof each".to_owned()).into());
            }
            let keys = account_keys(addresses);
            let wanted = match block {
                Some(block) => Wanted::Past { block: BlockIndex(*block), keys },
                None => Wanted::State(keys),
            };
            write(&network, from, network::block_on(proven(&network, from.authority, shard, &wanted))?)
        }
        What::Transaction { transaction, shard, of, from } => {
            let network = from.files.load()?;
            let source = ShardId(*shard);
            let proof = self::transaction(&network, from.authority, *transaction, source, *of);
            let proof = network::block_on(proof)?;
            write(&network, from, proof)
        }
    }
}

/// The certified record that a proof goes back to, and who attested it.
pub(crate) fn attested(proof: &Proof) -> (Certified, AuthoritySet) {
    let attested = proof.attestation();
    let certified = Certified { block: attested.block, record: attested.record };
    (certified, proof.attested.iter().map(|attested| attested.head.author).collect())
}

/// Says what something was proven against.
pub(crate) fn print_proven(certified: &Certified, by: &AuthoritySet) {
    let by: Vec<String> = by.iter().map(|authority| authority.to_string()).collect();
    println!("proven  by record {} of block {}", certified.record, certified.block);
    println!("        which authorities {} attested", by.join(", "));
}

/// A proof that holds: of the authority that is to be asked, or of the next one that has it.
pub(crate) async fn proven(
    network: &Network,
    authority: u16,
    shard: ShardId,
    wanted: &Wanted,
) -> anyhow::Result<Proof> {
    let mut checker = Checker::new(network.genesis.clone())?;
    let size = network.genesis.authorities.len() as u16;
    let mut failed = None;
    for next in 0..size {
        let authority = AuthorityIndex((authority + next) % size);
        let proof = match ask(network, authority, shard, wanted).await {
            Ok(proof) => proof,
            Err(error) => {
                failed.get_or_insert(error);
                continue;
            }
        };
        match checker.check(&proof) {
            Ok(()) => return Ok(proof),
            // Another may remember more attestations.
            Err(error @ ProofError::Quorum { .. }) => {
                let error = anyhow::Error::new(error).context(format!("authority {authority}"));
                failed.get_or_insert(error);
            }
            Err(error) => bail!("authority {authority} gave a proof that does not hold: {error}"),
        }
    }
    Err(failed.context("the network has no authority")?)
}

/// A proof that holds of how far a transaction of the shard `source` has come.
pub(crate) async fn transaction(
    network: &Network,
    authority: u16,
    transaction: TransactionId,
    source: ShardId,
    of: Of,
) -> anyhow::Result<Proof> {
    let ask = async |shard, wanted| proven(network, authority, shard, &wanted).await;
    let outcome = Wanted::Outcome(transaction);
    if of == Of::Outcome {
        return ask(source, outcome).await;
    }
    match ask(source, Wanted::Emitted(transaction)).await {
        Ok(Proof { claim: Claim::Emitted { destination, receipt, .. }, .. }) if of == Of::Applied => {
            ask(destination, Wanted::Applied { source, sequence: receipt.sequence }).await
        }
        // What stays in its shard, or fails there, emits nothing, and is applied by its outcome.
        Err(error) if of == Of::Applied && is_unknown(&error) => ask(source, outcome).await,
        other => other,
    }
}

fn is_unknown(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<ProveError>(), Some(ProveError::Unproven(Unproven::Unknown)))
}

async fn ask(
    network: &Network,
    authority: AuthorityIndex,
    shard: ShardId,
    wanted: &Wanted,
) -> anyhow::Result<Proof> {
    let mut worker = network.connect(authority, Role::Worker(shard)).await?;
    let mut beacon = network.connect(authority, Role::Beacon).await?;
    prove(&mut worker, &mut beacon, shard, wanted.clone())
        .await
        .with_context(|| format!("authority {authority}"))
}

fn write(network: &Network, from: &From, proof: Proof) -> anyhow::Result<Exit> {
    let From { out, json, .. } = from;
    std::fs::write(out, proof.to_bytes()).with_context(|| format!("cannot write {}", out.display()))?;
    verify_proof::show(&network.genesis, &proof, *json)?;
    if !json {
        say(out);
    }
    Ok(Exit::Success)
}

fn say(out: &Path) {
    println!("written to {}; check it with: fresnel verify-proof {0} --genesis FILE", out.display());
}
