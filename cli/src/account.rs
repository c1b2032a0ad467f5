//! `fresnel account`: what an address owns, as one authority last executed it; or as a certified record has it, checked
//! here and confirmed by more authorities than may be faulty.

use std::time::Duration;

use anyhow::bail;
use fresnel_client::check_account;
use fresnel_types::{
    Address, AuthorityIndex, AuthoritySet, BlockIndex, RecordDigest, ShardId,
    commit::Certified,
    frame::Role,
    leaves::Account,
    status::{Answer, Query},
};
use tokio::time::{sleep, timeout};

use crate::{
    exit::Exit,
    network::{self, Files, Network},
};

/// What `fresnel account` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Whose account.
    address: Address,
    #[command(flatten)]
    files: Files,
    /// Which authority to ask.
    #[arg(long, default_value_t = 0)]
    authority: u16,
    /// Ask for a proof against a certified record, check it, and have the record confirmed by enough authorities.
    #[arg(long)]
    proof: bool,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

/// An account after a block.
struct Found {
    block: BlockIndex,
    account: Option<Account>,
    /// The certified record that it was proven against, and who confirmed that.
    proven: Option<(Certified, AuthoritySet)>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let network = arguments.files.load()?;
    let shard = network.shard(&arguments.address);
    let Found { block, account, proven } = network::block_on(async {
        if arguments.proof {
            proven(arguments, &network, shard).await
        } else {
            executed(arguments, &network, shard).await
        }
    })?;
    if arguments.json {
        let object = serde_json::json!({
            "address": arguments.address,
            "shard": shard,
            "block": block,
            "exists": account.is_some(),
            "balance": account.map_or_else(|| "0".to_owned(), |account| account.balance.to_string()),
            "nonce": account.map_or(0, |account| account.nonce_base),
            "certified": proven.as_ref().map(|(certified, _)| certified),
            "confirmed_by": proven.as_ref().map(|(_, by)| by.iter().collect::<Vec<_>>()),
        });
        println!("{object}");
        return Ok(Exit::Success);
    }
    println!("shard   {shard}, after block {block}");
    match account {
        Some(account) => {
            println!("balance {}", account.balance);
            println!("nonce   {}", account.nonce_base);
        }
        None => println!("no such account yet"),
    }
    if let Some((certified, by)) = proven {
        let by: Vec<String> = by.iter().map(|authority| authority.to_string()).collect();
        println!("proven  by record {} of block {}", certified.record, certified.block);
        println!("        which authorities {} confirm", by.join(", "));
    }
    Ok(Exit::Success)
}

async fn executed(arguments: &Arguments, network: &Network, shard: ShardId) -> anyhow::Result<Found> {
    let role = Role::Worker(shard);
    let mut client = network.connect(AuthorityIndex(arguments.authority), role).await?;
    match client.query(role, Query::Account(arguments.address)).await? {
        Answer::Account { block, account } => Ok(Found { block, account, proven: None }),
        _ => bail!("the worker answered another question"),
    }
}

async fn proven(arguments: &Arguments, network: &Network, shard: ShardId) -> anyhow::Result<Found> {
    let role = Role::Worker(shard);
    let mut client = network.connect(AuthorityIndex(arguments.authority), role).await?;
    let proof = match client.query(role, Query::Proof(arguments.address)).await? {
        Answer::Proof(proof) => proof,
        Answer::Unproven(reason) => bail!("the worker has no proof: {reason:?}"),
        _ => bail!("the worker answered another question"),
    };
    let (block, certified) = check_account(network.genesis.shards, &arguments.address, &proof)?;
    let by = confirm(network, shard, certified).await?;
    Ok(Found { block, account: proof.account, proven: Some((certified, by)) })
}

/// Authorities with more stake than may be faulty whose workers computed the same record: so an honest one did.
async fn confirm(network: &Network, shard: ShardId, certified: Certified) -> anyhow::Result<AuthoritySet> {
    let committee = network.genesis.committee();
    let mut by = AuthoritySet::default();
    for authority in committee.indices() {
        // One that is down or behind confirms nothing; another may.
        let record = timeout(CONFIRM_TIMEOUT, record(network, authority, shard, certified.block)).await;
        if matches!(record, Ok(Ok(digest)) if digest == certified.record) {
            by.insert(authority);
        }
        if committee.is_valid(&by) {
            return Ok(by);
        }
    }
    bail!("too few authorities confirm record {} of block {}", certified.record, certified.block)
}

/// The digest of an authority's own record of a block, once it has executed it.
async fn record(
    network: &Network,
    authority: AuthorityIndex,
    shard: ShardId,
    block: BlockIndex,
) -> anyhow::Result<RecordDigest> {
    let role = Role::Worker(shard);
    let mut client = network.connect(authority, role).await?;
    loop {
        match client.query(role, Query::Records(block)).await? {
            Answer::Records(records) => match records.first() {
                Some(record) if record.block == block => return Ok(record.digest()),
                Some(_) => bail!("the record of block {block} is not there"),
                None => sleep(CONFIRM_INTERVAL).await,
            },
            _ => bail!("the worker answered another question"),
        }
    }
}

/// How long an authority may take to have the record, too.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(3);

/// How often it is asked.
const CONFIRM_INTERVAL: Duration = Duration::from_millis(50);
