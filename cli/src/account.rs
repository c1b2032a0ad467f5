//! `fresnel account`: what an address owns, as one authority last executed it; or as a certified record has it, by a proof
//! that is checked here against the genesis.

use anyhow::Context;
use fresnel_types::{Address, decode, leaves::Account};

use crate::{
    exit::Exit,
    network::{self, Asking},
    prove,
    read::{Found, find},
};

/// What `fresnel account` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Whose account.
    address: Address,
    #[command(flatten)]
    from: Asking,
}

pub(crate) fn run(Arguments { address, from }: &Arguments) -> anyhow::Result<Exit> {
    let network = from.files.load()?;
    let shard = network.shard(address);
    let Found { block, leaf, proven } = network::block_on(find(&network, from, Account::key(address)))?;
    let account = leaf.as_deref().map(decode::<Account>).transpose();
    let account = account.context("the authority told something else than was asked for")?;
    if from.json {
        let object = serde_json::json!({
            "address": address,
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
