//! `fresnel verify-proof`: checks a proof with nothing but a genesis, and says what it proves.

use std::path::PathBuf;

use fresnel_client::Checker;
use fresnel_types::{
    Genesis, Proof, SignedTransaction, decode,
    leaves::Account,
    proof::{Claim, ProofError},
};
use serde_json::{Value, json};

use crate::{
    exit::{Exit, Wrong},
    network,
};

/// What `fresnel verify-proof` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The proof.
    file: PathBuf,
    /// The genesis of the chain.
    #[arg(long, value_name = "FILE", env = "FRESNEL_GENESIS")]
    genesis: PathBuf,
    /// The hex of a signed transfer, as `fresnel transfer --sign-only` prints it: the proof must show that it was applied
    /// where its recipient is.
    #[arg(long, value_name = "HEX")]
    payment: Option<String>,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let genesis = network::genesis(&arguments.genesis)?;
    let bytes = std::fs::read(&arguments.file)
        .map_err(|error| Wrong(format!("cannot read {}: {error}", arguments.file.display())))?;
    let payment = arguments.payment.as_deref().map(payment).transpose()?;
    let mut checker = Checker::new(genesis.clone())?;
    let checked = Proof::from_bytes(&bytes).and_then(|proof| {
        match &payment {
            Some(payment) => checker.check_payment(&payment.transaction, &proof)?,
            None => checker.check(&proof)?,
        }
        Ok(proof)
    });
    match checked {
        Ok(proof) => {
            show(&genesis, &proof, arguments.json)?;
            Ok(Exit::Success)
        }
        Err(error) => {
            refuse(&error, arguments.json);
            Ok(Exit::Verdict)
        }
    }
}

fn payment(text: &str) -> anyhow::Result<SignedTransaction> {
    let wrong = || Wrong("--payment is not the hex of a signed transaction".to_owned());
    let bytes = (0..text.len())
        .step_by(2)
        .map(|place| text.get(place..place + 2).and_then(|two| u8::from_str_radix(two, 16).ok()))
        .collect::<Option<Vec<u8>>>()
        .ok_or_else(wrong)?;
    Ok(decode(&bytes).map_err(|_| wrong())?)
}

fn refuse(error: &ProofError, as_json: bool) {
    if as_json {
        println!("{}", json!({ "holds": false, "reason": error.to_string() }));
    } else {
        println!("does not hold: {error}");
    }
}

/// Prints what a proof that holds says.
pub(crate) fn show(genesis: &Genesis, proof: &Proof, as_json: bool) -> anyhow::Result<()> {
    let record = &proof.record;
    let names: Vec<&str> = proof
        .attested
        .iter()
        .filter_map(|attested| genesis.authorities.get(attested.head.author.index()))
        .map(|authority| authority.name.as_str())
        .collect();
    let attested = proof.attestation();
    if as_json {
        let object = json!({
            "holds": true,
            "chain": genesis.chain(),
            "shard": record.shard,
            "block": record.block,
            "record": record.digest(),
            "state": record.state,
            "attested_block": attested.block,
            "attested_record": attested.record,
            "attested_by": names,
            "claim": claim(proof),
        });
        println!("{object}");
        return Ok(());
    }
    println!("holds     for chain {}", genesis.chain());
    println!("record    {} of shard {}, block {}", record.digest(), record.shard, record.block);
    println!("attested  by {}, at block {}", names.join(", "), attested.block);
    match &proof.claim {
        Claim::State { leaves, .. } => {
            for (key, value) in leaves {
                match value.as_deref().map(decode::<Account>) {
                    None => println!("nothing   at {key}"),
                    Some(Ok(account)) => {
                        println!(
                            "account   at {key}: balance {}, nonce {}",
                            account.balance, account.nonce_base
                        );
                    }
                    Some(Err(_)) => {
                        println!("leaf      at {key}: {} bytes", value.as_ref().map_or(0, Vec::len))
                    }
                }
            }
        }
        Claim::Outcome { transaction, outcome, .. } => println!("outcome   of {transaction}: {outcome:?}"),
        Claim::Applied { applied, .. } => {
            let end = match applied.bounced {
                None => "applied".to_owned(),
                Some(code) => format!("sent back: {code:?}"),
            };
            let (transaction, source, sequence) = (applied.transaction, applied.source, applied.sequence);
            println!("receipt   {sequence} from shard {source}, of transaction {transaction}: {end}");
        }
        Claim::Emitted { destination, receipt, .. } => {
            println!("emitted   for shard {destination}: {receipt:?}");
        }
    }
    Ok(())
}

fn claim(proof: &Proof) -> Value {
    match &proof.claim {
        Claim::State { leaves, .. } => {
            let leaf = |(key, value): &(_, Option<Vec<u8>>)| {
                let account = value.as_deref().and_then(|bytes| decode::<Account>(bytes).ok());
                json!({
                    "key": key,
                    "exists": value.is_some(),
                    "balance": account.map(|account| account.balance.to_string()),
                    "nonce": account.map(|account| account.nonce_base),
                })
            };
            json!({ "state": leaves.iter().map(leaf).collect::<Vec<_>>() })
        }
        Claim::Outcome { transaction, outcome, .. } => {
            json!({ "outcome": { "transaction": transaction, "outcome": outcome } })
        }
        Claim::Applied { applied, .. } => json!({ "applied": {
            "source": applied.source,
            "sequence": applied.sequence,
            "transaction": applied.transaction,
            "bounced": applied.bounced,
        } }),
        Claim::Emitted { destination, receipt, .. } => json!({ "emitted": {
            "destination": destination,
            "sequence": receipt.sequence,
            "transaction": receipt.transaction,
            "kind": format!("{:?}", receipt.kind),
        } }),
    }
}
