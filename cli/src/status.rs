//! `fresnel status`: where every machine of a network is.

use fresnel_node::roles;
use fresnel_types::status::{Answer, Query};
use serde_json::{Value, json};

use crate::{
    exit::Exit,
    network::{self, Files},
};

/// What `fresnel status` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    files: Files,
    /// Print one JSON array instead of lines.
    #[arg(long)]
    json: bool,
}

/// Asks every machine; fails when one does not answer or has stopped executing.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let network = arguments.files.load()?;
    let rows = network::block_on(async {
        let mut rows = Vec::new();
        for process in &network.topology.processes {
            let mut connection = network.connect_to(process).await;
            for role in &process.roles {
                let answer = match &mut connection {
                    Ok(client) => client.query(*role, Query::Status).await.map_err(|error| error.to_string()),
                    Err(error) => Err(format!("{error:#}")),
                };
                rows.push((format!("{}/{}", process.authority, roles::name(*role)), answer));
            }
        }
        Ok(rows)
    })?;
    let healthy = rows.iter().all(|(_, answer)| match answer {
        Ok(Answer::Worker(status)) => status.diverged.is_none(),
        Ok(Answer::Beacon(_)) => true,
        Ok(_) | Err(_) => false,
    });
    if arguments.json {
        let list: Vec<Value> = rows.iter().map(|(machine, answer)| as_json(machine, answer)).collect();
        println!("{}", Value::Array(list));
    } else {
        for (machine, answer) in &rows {
            println!("{machine:<12} {}", as_line(answer));
        }
    }
    Ok(if healthy { Exit::Success } else { Exit::Failure })
}

fn as_json(machine: &str, answer: &Result<Answer, String>) -> Value {
    match answer {
        Ok(Answer::Worker(status)) => json!({ "machine": machine, "worker": status }),
        Ok(Answer::Beacon(status)) => json!({ "machine": machine, "beacon": status }),
        Ok(_) => json!({ "machine": machine, "error": WRONG_ANSWER }),
        Err(error) => json!({ "machine": machine, "error": error }),
    }
}

fn as_line(answer: &Result<Answer, String>) -> String {
    match answer {
        Ok(Answer::Beacon(status)) => {
            format!("round {} commit {} floor {}", status.round, status.commit, status.floor)
        }
        Ok(Answer::Worker(status)) => {
            let line = format!(
                "commit {} executed {} certified {} pending {} in flight {}",
                status.commit, status.executed, status.certified.block, status.pending, status.in_flight
            );
            match status.diverged {
                Some(block) => format!("{line} DIVERGED at block {block}"),
                None => line,
            }
        }
        Ok(_) => WRONG_ANSWER.to_owned(),
        Err(error) => format!("no answer: {error}"),
    }
}

const WRONG_ANSWER: &str = "the machine answered another question";
