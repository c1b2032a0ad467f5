//! `fresnel verify-evidence`: checks evidence of equivocation with nothing but a genesis, and says whom it accuses of what.

use std::path::PathBuf;

use fresnel_crypto::Verifier;
use fresnel_types::{Evidence, Genesis, verify::Rules};
use serde_json::{Value, json};

use crate::{
    exit::{Exit, Wrong},
    network,
};

/// What `fresnel verify-evidence` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The evidence.
    file: PathBuf,
    /// The genesis of the chain.
    #[arg(long, value_name = "FILE", env = "FRESNEL_GENESIS")]
    genesis: PathBuf,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let genesis = network::genesis(&arguments.genesis)?;
    let bytes = std::fs::read(&arguments.file)
        .map_err(|error| Wrong(format!("cannot read {}: {error}", arguments.file.display())))?;
    let mut verifier = Verifier::new()?;
    let checked = Evidence::from_bytes(&bytes).and_then(|evidence| {
        evidence.check(&Rules::of(&genesis), &mut verifier)?;
        Ok(evidence)
    });
    match &checked {
        Ok(evidence) if arguments.json => println!("{}", as_json(&genesis, evidence)),
        Ok(evidence) => println!("{}", line(&genesis, evidence)),
        Err(error) if arguments.json => {
            println!("{}", json!({ "holds": false, "reason": error.to_string() }))
        }
        Err(error) => println!("does not hold: {error}"),
    }
    Ok(if checked.is_ok() { Exit::Success } else { Exit::Verdict })
}

fn as_json(genesis: &Genesis, evidence: &Evidence) -> Value {
    let (first, second) = evidence.vertices();
    json!({
        "holds": true,
        "chain": genesis.chain(),
        "authority": evidence.accused(),
        "name": genesis.authorities[evidence.accused().index()].name,
        "offence": evidence.offence(),
        "round": evidence.round(),
        "vertices": [first, second],
    })
}

/// Whom evidence that holds accuses of what.
pub(crate) fn line(genesis: &Genesis, evidence: &Evidence) -> String {
    let (accused, (first, second)) = (evidence.accused(), evidence.vertices());
    let name = &genesis.authorities[accused.index()].name;
    let offence = match evidence {
        Evidence::Vertices { .. } => "made two vertices".to_owned(),
        Evidence::Votes { .. } => format!("voted for two vertices of authority {}", first.author),
    };
    format!(
        "holds: authority {accused} ({name}) {offence} in round {}: {} and {}",
        first.round, first.id, second.id
    )
}
