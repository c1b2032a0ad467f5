//! `fresnel read`: what programs keep for an owner beside the account, as one authority last executed it; or as a certified
//! record has it, by a proof that is checked here against the genesis.

use anyhow::{Context, bail};
use clap::Subcommand;
use fresnel_types::{
    Address, AuthorityIndex, AuthoritySet, BlockIndex, StateKey,
    action::Bytes,
    commit::Certified,
    frame::Role,
    proof::Wanted,
    rpc::{LeafInfo, LeafName},
    status::{Answer, Query},
};
use serde_json::json;

use crate::{
    exit::Exit,
    network::{self, Asking, Network},
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
        from: Asking,
    },
    /// A customer's savings.
    Savings {
        /// Whose.
        owner: Address,
        #[command(flatten)]
        from: Asking,
    },
    /// A token.
    Token {
        /// By its issuer.
        issuer: Address,
        #[command(flatten)]
        from: Asking,
    },
    /// What somebody has of a token.
    Holding {
        /// Whose.
        owner: Address,
        /// By its issuer.
        issuer: Address,
        #[command(flatten)]
        from: Asking,
    },
}

/// The bytes under a key after a block.
pub(crate) struct Found {
    pub(crate) block: BlockIndex,
    pub(crate) leaf: Option<Vec<u8>>,
    /// The certified record that it was proven against, and who attested that.
    pub(crate) proven: Option<(Certified, AuthoritySet)>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let (name, from) = arguments.what.name();
    let key = name.key();
    let network = from.files.load()?;
    let Found { block, leaf, proven } = network::block_on(find(&network, from, key))?;
    let shown = leaf.as_deref().map(|leaf| show(&name, leaf)).transpose()?;
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
    fn name(&self) -> (LeafName, &Asking) {
        match self {
            Self::Value { owner, name, from } => {
                (LeafName::Value { owner: *owner, name: name.clone() }, from)
            }
            Self::Savings { owner, from } => (LeafName::Savings { owner: *owner }, from),
            Self::Token { issuer, from } => (LeafName::Token { issuer: *issuer }, from),
            Self::Holding { owner, issuer, from } => {
                (LeafName::Holding { owner: *owner, issuer: *issuer }, from)
            }
        }
    }
}

/// What a leaf says, as fields; of a value also the text, if it is any.
fn show(name: &LeafName, leaf: &[u8]) -> anyhow::Result<serde_json::Value> {
    let info = name.read(leaf).context("the authority told something else than was asked for")?;
    let shown = json!(info);
    let (_, fields) =
        shown.as_object().and_then(|kinds| kinds.iter().next()).context("a leaf is of a kind")?;
    let mut fields = fields.clone();
    if let LeafInfo::Value { hex, .. } = &info {
        fields["text"] = json!(std::str::from_utf8(&hex.0).ok());
    }
    Ok(fields)
}

/// Asks for what stands under a key.
pub(crate) async fn find(network: &Network, from: &Asking, key: StateKey) -> anyhow::Result<Found> {
    let shard = key.shard(network.genesis.shards);
    if from.proof {
        let proof = prove::proven(network, from.authority, shard, &Wanted::State(vec![key])).await?;
        let proven = prove::attested(&proof);
        let leaf = fresnel_client::leaf(&key, &proof)?.map(<[u8]>::to_vec);
        return Ok(Found { block: proof.record.block, leaf, proven: Some(proven) });
    }
    let role = Role::Worker(shard);
    let mut client = network.connect(AuthorityIndex(from.authority), role).await?;
    match client.query(role, Query::Leaf(key)).await? {
        Answer::Leaf { block, value: leaf } => Ok(Found { block, leaf, proven: None }),
        _ => bail!("the worker answered another question"),
    }
}
