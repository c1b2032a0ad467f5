//! `fresnel account`: what an address owns, as one authority last executed it.

use fresnel_types::{
    Address, AuthorityIndex,
    frame::Role,
    status::{Answer, Query},
};

use crate::{
    exit::Exit,
    network::{self, Files},
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
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let network = arguments.files.load()?;
    let shard = network.shard(&arguments.address);
    let role = Role::Worker(shard);
    let answer = network::block_on(async {
        let mut client = network.connect(AuthorityIndex(arguments.authority), role).await?;
        Ok(client.query(role, Query::Account(arguments.address)).await?)
    })?;
    let Answer::Account { block, account } = answer else {
        anyhow::bail!("the worker answered another question");
    };
    if arguments.json {
        let object = serde_json::json!({
            "address": arguments.address,
            "shard": shard,
            "block": block,
            "exists": account.is_some(),
            "balance": account.map_or_else(|| "0".to_owned(), |account| account.balance.to_string()),
            "nonce": account.map_or(0, |account| account.nonce_base),
        });
        println!("{object}");
    } else {
        println!("shard   {shard}, after block {block}");
        match account {
            Some(account) => {
                println!("balance {}", account.balance);
                println!("nonce   {}", account.nonce_base);
            }
            None => println!("no such account yet"),
        }
    }
    Ok(Exit::Success)
}
