//! `fresnel read`: what programs keep for an owner beside the account, as one authority last executed it; or as a certified
//! record has it, by a proof that is checked here against the genesis.

use anyhow::{Context, bail};
use clap::Subcommand;
use fresnel_types::{
    Address, AuthorityIndex, AuthoritySet, BlockIndex, StateKey,
    action::Bytes,
    commit::Certified,
    frame::Role,
    leaves::{Holding, InWords, Savings, Token, Value},
    proof::{Claim, Wanted},
    status::{Answer, Query},
};
use serde_json::json;

use crate::{
    exit::Exit,
    network::{self, Files, Network},
    prove, values,
};

/// What `fresnel read` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// A named value.
    Value {
        /// Whose.
        owner: Address,
        /// Which: text, or bytes in hex behind `hex:`.
        #[arg(value_parser = values::bytes)]
        name: Bytes,
        #[command(flatten)]
        from: From,
    },
    /// A customer's savings.
    Savings {
        /// Whose.
        owner: Address,
        #[command(flatten)]
        from: From,
    },
    /// A token.
    Token {
        /// By its issuer.
        issuer: Address,
        #[command(flatten)]
        from: From,
    },
    /// What somebody has of a token.
    Holding {
        /// Whose.
        owner: Address,
        /// By its issuer.
        issuer: Address,
        #[command(flatten)]
        from: From,
    },
}

/// Whom to ask, and how to tell.
#[derive(clap::Args)]
struct From {
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

/// A leaf after a block.
struct Found {
    block: BlockIndex,
    leaf: Option<Vec<u8>>,
    /// The certified record that it was proven against, and who attested that.
    proven: Option<(Certified, AuthoritySet)>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let (key, from) = arguments.what.key();
    let network = from.files.load()?;
    let Found { block, leaf, proven } = network::block_on(find(&network, from, key))?;
    let shown = leaf.as_deref().map(|leaf| arguments.what.show(leaf)).transpose()?;
    let shard = key.shard(network.genesis.shards);
    if from.json {
        let object = json!({
            "key": key,
            "shard": shard,
            "block": block,
            "found": shown,
            "certified": proven.as_ref().map(|(certified, _)| certified),
            "attested_by": proven.as_ref().map(|(_, by)| by.iter().collect::<Vec<_>>()),
        });
        println!("{object}");
        return Ok(Exit::Success);
    }
    println!("shard   {shard}, after block {block}");
    match shown.as_ref().and_then(|shown| shown.as_object()) {
        Some(fields) => fields.iter().for_each(|(name, value)| println!("{name:<10}{value}")),
        None => println!("nothing there yet"),
    }
    if let Some((certified, by)) = proven {
        prove::print_proven(&certified, &by);
    }
    Ok(Exit::Success)
}

impl What {
    fn key(&self) -> (StateKey, &From) {
        match self {
            Self::Value { owner, name, from } => (Value::key(owner, &name.0), from),
            Self::Savings { owner, from } => (Savings::key(owner), from),
            Self::Token { issuer, from } => (Token::key(issuer), from),
            Self::Holding { owner, issuer, from } => (Holding::key(owner, issuer), from),
        }
    }

    /// What a leaf says.
    fn show(&self, leaf: &[u8]) -> anyhow::Result<serde_json::Value> {
        let shown = match self {
            Self::Value { .. } => Value::from_leaf(leaf).map(|Value { shared, bytes }| {
                let text = std::str::from_utf8(&bytes).ok().map(str::to_owned);
                json!({ "text": text, "hex": hex::encode(&bytes), "shared": shared })
            }),
            Self::Savings { .. } => {
                Savings::from_leaf(leaf).map(|savings| json!({ "balance": savings.balance.to_string() }))
            }
            Self::Token { .. } => Token::from_leaf(leaf).map(|Token { minted, cap, mintings, open }| {
                json!({
                    "minted": minted.to_string(), "cap": cap.to_string(), "mintings": mintings, "open": open
                })
            }),
            Self::Holding { .. } => Holding::from_leaf(leaf).map(
                |Holding { balance, minting }| json!({ "balance": balance.to_string(), "minting": minting }),
            ),
        };
        shown.context("the authority told something else than was asked for")
    }
}

async fn find(network: &Network, from: &From, key: StateKey) -> anyhow::Result<Found> {
    let shard = key.shard(network.genesis.shards);
    if from.proof {
        let proof = prove::proven(network, from.authority, shard, &Wanted::State(vec![key])).await?;
        let proven = prove::attested(&proof);
        let Claim::State { leaves, .. } = proof.claim else { bail!("the proof is of something else") };
        let (_, leaf) = leaves.into_iter().find(|(of, _)| *of == key).context("it proves another leaf")?;
        return Ok(Found { block: proof.record.block, leaf, proven: Some(proven) });
    }
    let role = Role::Worker(shard);
    let mut client = network.connect(AuthorityIndex(from.authority), role).await?;
    match client.query(role, Query::Leaf(key)).await? {
        Answer::Leaf { block, value: leaf } => Ok(Found { block, leaf, proven: None }),
        _ => bail!("the worker answered another question"),
    }
}
