//! `fresnel evidence`: what the beacons of a network hold against authorities, checked, and written to files if asked for.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Context;
use fresnel_crypto::Verifier;
use fresnel_types::{
    AuthorityIndex, Evidence,
    frame::Role,
    status::{Answer, Query},
    verify::Rules,
};

use crate::{
    exit::Exit,
    network::{self, Files},
    verify_evidence,
};

/// What `fresnel evidence` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    files: Files,
    /// Write a file for each accused authority into this folder; `fresnel verify-evidence` checks them anywhere.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// Asks every beacon that answers; one piece of evidence per accused authority is enough.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let network = arguments.files.load()?;
    let (rules, mut verifier) = (Rules::of(&network.genesis), Verifier::new()?);
    let answers = network::block_on(async {
        let mut answers = Vec::new();
        for process in
            network.topology.processes.iter().filter(|process| process.roles.contains(&Role::Beacon))
        {
            if let Ok(mut client) = network.connect_to(process).await
                && let Ok(Answer::Evidence(evidence)) = client.query(Role::Beacon, Query::Evidence).await
            {
                answers.push(evidence);
            }
        }
        Ok(answers)
    })?;
    anyhow::ensure!(!answers.is_empty(), "no beacon answers");
    let mut accused: BTreeMap<AuthorityIndex, Evidence> = BTreeMap::new();
    for evidence in answers.into_iter().flatten() {
        // A beacon that lies accuses nobody.
        if let Ok(authority) = evidence.check(&rules, &mut verifier) {
            accused.entry(authority).or_insert(evidence);
        }
    }
    for (authority, evidence) in &accused {
        println!("{}", verify_evidence::line(&network.genesis, evidence));
        if let Some(folder) = &arguments.out {
            let file = folder.join(format!("evidence-{authority}"));
            std::fs::write(&file, evidence.to_bytes())
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    if accused.is_empty() {
        println!("no authority is accused of anything");
    }
    Ok(Exit::Success)
}
