//! `fresnel keys`: makes key files and shows whose they are. A secret is printed only when asked for by name.

use std::path::PathBuf;

use anyhow::Context;
use fresnel_node::keys;
use fresnel_types::PublicKey;
use zeroize::Zeroizing;

use crate::exit::Exit;

/// What `fresnel keys` takes.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make a fresh key in a new file that only its owner may read.
    Generate {
        /// The file to make; an existing one is never overwritten.
        file: PathBuf,
        /// Print one JSON object instead of lines.
        #[arg(long)]
        json: bool,
    },
    /// Show the public key and the address of a key file.
    Show {
        /// The key file.
        file: PathBuf,
        /// Print the secret too.
        #[arg(long)]
        secret: bool,
        /// Print one JSON object instead of lines.
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(command: &Command) -> anyhow::Result<Exit> {
    let (key, secret, json) = match command {
        Command::Generate { file, json } => {
            let key = keys::generate(file).context("no key was made")?;
            (key, false, *json)
        }
        Command::Show { file, secret, json } => (keys::load(file)?, *secret, *json),
    };
    let public = PublicKey::of(&key);
    let secret = secret.then(|| Zeroizing::new(hex::encode(*Zeroizing::new(key.to_bytes()))));
    if json {
        let mut object = serde_json::json!({ "public_key": public, "address": public.address() });
        if let Some(secret) = &secret {
            object["secret"] = secret.as_str().into();
        }
        println!("{object}");
    } else {
        println!("public key {public}");
        println!("address    {}", public.address());
        if let Some(secret) = &secret {
            println!("secret     {}", secret.as_str());
        }
    }
    Ok(Exit::Success)
}
