//! `fresnel account`: what an address owns, as one authority last executed it; or as a certified record has it, by a proof
//! that is checked here against the genesis.

use anyhow::bail;
use fresnel_client::{account, account_keys};
use fresnel_types::{
    Address, AuthorityIndex, AuthoritySet, BlockIndex, ShardId,
    commit::Certified,
    frame::Role,
    leaves::Account,
    proof::Wanted,
    status::{Answer, Query},
};

use crate::{
    exit::Exit,
    network::{self, Files, Network},
    prove,
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
    /// Ask for a proof and check it against the genesis.
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
    /// The certified record that it was proven against, and who attested that.
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
            "attested_by": proven.as_ref().map(|(_, by)| by.iter().collect::<Vec<_>>()),
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
        prove::print_proven(&certified, &by);
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
    let wanted = Wanted::State(account_keys(&[arguments.address]));
    let proof = prove::proven(network, arguments.authority, shard, &wanted).await?;
    let proven = prove::attested(&proof);
    let account = account(&arguments.address, &proof)?;
    Ok(Found { block: proof.record.block, account, proven: Some(proven) })
}
