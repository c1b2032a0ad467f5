//! `fresnel genesis`: from a description that people write to the bytes that every process of a chain starts from.

use std::{fs, path::PathBuf};

use anyhow::Context;
use fresnel_types::{Genesis, genesis::Rule};

use crate::{exit::Exit, settings};

/// What `fresnel genesis` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The description: name, shards, parameters, authorities and funded accounts.
    #[arg(long, value_name = "FILE")]
    spec: PathBuf,
    /// Where to write the genesis; replaced if it exists.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The commit rule, bullshark or fast, in place of the one in the description.
    #[arg(long)]
    rule: Option<Rule>,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let text = settings::read(&arguments.spec)?;
    let mut genesis =
        parse(&text).with_context(|| format!("{} describes no chain", arguments.spec.display()))?;
    if let Some(rule) = arguments.rule {
        genesis.parameters.rule = rule;
    }
    fs::write(&arguments.out, genesis.to_bytes())
        .with_context(|| format!("cannot write {}", arguments.out.display()))?;
    if arguments.json {
        let object = serde_json::json!({
            "chain": genesis.chain(),
            "name": genesis.name,
            "rule": genesis.parameters.rule,
            "shards": genesis.shards.count(),
            "authorities": genesis.authorities.len(),
            "accounts": genesis.accounts.len(),
            "supply": genesis.supply().to_string(),
        });
        println!("{object}");
    } else {
        println!("chain       {}", genesis.chain());
        println!("name        {}", genesis.name);
        println!("rule        {}", genesis.parameters.rule);
        println!("shards      {}", genesis.shards.count());
        println!("authorities {}", genesis.authorities.len());
        println!("accounts    {}, {} in all", genesis.accounts.len(), genesis.supply());
    }
    Ok(Exit::Success)
}

/// A checked genesis. The order of accounts in a description means nothing, the genesis wants them ascending.
fn parse(text: &str) -> anyhow::Result<Genesis> {
    let table = settings::parse(text)?;
    let mut genesis: Genesis = settings::deserialize(table)?;
    genesis.accounts.sort_by_key(|account| account.address);
    genesis.check().map_err(|error| settings::wrong(&error))?;
    Ok(genesis)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: &str = r#"
        name = "test"
        shards = 2
        [[authority]]
        name = "a"
        stake = 1
        consensus_key = "0101010101010101010101010101010101010101010101010101010101010101"
        network_keys = ["0202020202020202020202020202020202020202020202020202020202020202"]
        [[account]]
        address = "ff00000000000000000000000000000000000000000000000000000000000000"
        amount = 7
        [[account]]
        address = "0100000000000000000000000000000000000000000000000000000000000000"
        amount = 5
    "#;

    #[test]
    fn a_description_becomes_the_chain_of_its_bytes() {
        let genesis = parse(SPEC).unwrap();
        assert_eq!(genesis.accounts[0].amount.0, 5, "accounts are sorted");
        assert_eq!(genesis.supply().0, 12);
        assert_eq!(Genesis::from_bytes(&genesis.to_bytes()).unwrap().chain(), genesis.chain());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (from, to, expected) in [
            ("shards = 2", "shards = 3", "power of two"),
            ("shards = 2", "shard = 2", "did you mean `shards`?"),
            ("stake = 1", "stake = 0", "stake"),
            ("amount = 7", "amount = 0", "account minimum"),
            ("[[authority]]", "[parameters]\nwindows = 1\n[[authority]]", "did you mean `window`?"),
        ] {
            let error = parse(&SPEC.replace(from, to)).expect_err(to);
            let message = format!("{error:#}");
            assert!(message.contains(expected), "{to}: {message}");
            assert_eq!(Exit::of(&error), Exit::Usage, "{to}");
        }
    }
}
