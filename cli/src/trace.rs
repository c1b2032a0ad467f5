//! `fresnel trace`: when a sampled transaction took which step at every authority and in every shard.

use std::collections::BTreeMap;

use anyhow::bail;
use fresnel_node::roles;
use fresnel_types::{
    AuthorityIndex, ShardId, Timestamp, TransactionId,
    frame::Role,
    status::{Answer, Query},
    trace::{Step, Trace, is_sampled},
};
use serde_json::json;

use crate::{
    exit::{Exit, Wrong},
    network::{self, Files, Network},
};

/// What `fresnel trace` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The transaction; without it the ids of sampled ones are listed, the newest first. One in 1,024 is sampled.
    transaction: Option<TransactionId>,
    #[command(flatten)]
    files: Files,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let network = arguments.files.load()?;
    match arguments.transaction {
        Some(transaction) => one(&network, transaction, arguments.json),
        None => list(&network, arguments.json),
    }
}

/// A worker: whose, and of which shard.
type Place = (AuthorityIndex, ShardId);

fn one(network: &Network, transaction: TransactionId, json: bool) -> anyhow::Result<Exit> {
    if !is_sampled(&transaction) {
        return Err(Wrong(format!("{transaction} is not among the one in 1,024 that are sampled")).into());
    }
    let traces: BTreeMap<Place, Trace> = ask(network, &Query::Trace(transaction))?
        .into_iter()
        .filter_map(|(place, answer)| match answer {
            Answer::Trace(Some(trace)) => Some((place, *trace)),
            _ => None,
        })
        .collect();
    if traces.is_empty() {
        bail!("no worker that answered remembers {transaction}");
    }
    if json {
        let rows = traces.iter().map(|((authority, shard), trace)| {
            let steps: Vec<_> =
                trace.steps.iter().map(|(step, at)| json!({ "step": step, "at_us": at })).collect();
            json!({ "authority": authority, "shard": shard, "block": trace.block, "steps": steps })
        });
        println!("{}", serde_json::Value::Array(rows.collect()));
    } else {
        print!("{}", table(&traces));
    }
    Ok(Exit::Success)
}

fn list(network: &Network, json: bool) -> anyhow::Result<Exit> {
    let mut known: Vec<TransactionId> = Vec::new();
    for answer in ask(network, &Query::Traces)?.into_values() {
        if let Answer::Traces(ids) = answer {
            // Every authority has the same ones, but for those on their way.
            known.extend(
                ids.into_iter().take(LISTED_MAX).filter(|id| !known.contains(id)).collect::<Vec<_>>(),
            );
        }
    }
    known.truncate(LISTED_MAX);
    if json {
        println!("{}", json!(known));
    } else {
        known.iter().for_each(|id| println!("{id}"));
    }
    Ok(Exit::Success)
}

/// What the workers that can be reached answer.
fn ask(network: &Network, query: &Query) -> anyhow::Result<BTreeMap<Place, Answer>> {
    network::block_on(async {
        let mut answers = BTreeMap::new();
        for process in &network.topology.processes {
            let Ok(mut client) = network.connect_to(process).await else { continue };
            for role in &process.roles {
                if let Role::Worker(shard) = role
                    && let Ok(answer) = client.query(*role, query.clone()).await
                {
                    answers.insert((process.authority, *shard), answer);
                }
            }
        }
        if answers.is_empty() {
            bail!("no worker answers");
        }
        Ok(answers)
    })
}

/// One row per worker, with milliseconds since the first step that anybody knows of. Clocks of authorities differ.
fn table(traces: &BTreeMap<Place, Trace>) -> String {
    let instants = || traces.values().flat_map(|trace| &trace.steps);
    let first = instants().map(|(_, at)| *at).min().unwrap_or_default();
    let mut steps: Vec<Step> = instants().map(|(step, _)| *step).collect();
    steps.sort_unstable();
    steps.dedup();
    let name = |step: &Step| json!(step).as_str().unwrap_or_default().replace('_', " ");
    let mut out = format!("{:<20}{:>8}", "ms", "block");
    steps.iter().for_each(|step| out.push_str(&format!("{:>15}", name(step))));
    for ((authority, shard), trace) in traces {
        let block = trace.block.map(|block| block.to_string()).unwrap_or_default();
        out.push_str(&format!(
            "\n{:<20}{block:>8}",
            format!("{authority}/{}", roles::name(Role::Worker(*shard)))
        ));
        for step in &steps {
            let at = trace.steps.iter().find(|(taken, _)| taken == step).map(|(_, at)| millis(*at, first));
            out.push_str(&format!("{:>15}", at.unwrap_or_default()));
        }
    }
    out + "\n"
}

fn millis(at: Timestamp, first: Timestamp) -> String {
    format!("{:.3}", at.since(first) as f64 / 1_000.0)
}

/// Ids that are listed.
const LISTED_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_per_worker_and_a_column_per_step() {
        let trace = |steps: &[(Step, u64)]| Trace {
            transaction: TransactionId([0; 32]),
            block: Some(fresnel_types::BlockIndex(7)),
            steps: steps.iter().map(|(step, at)| (*step, Timestamp(*at))).collect(),
        };
        let traces = [
            ((AuthorityIndex(0), ShardId(0)), trace(&[(Step::Admitted, 1_000), (Step::Executed, 3_500)])),
            ((AuthorityIndex(1), ShardId(1)), trace(&[(Step::Applied, 21_000)])),
        ];
        let table = table(&traces.into());
        let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[0], ["ms", "block", "admitted", "executed", "applied"]);
        assert_eq!(rows[1], ["0/worker-0", "7", "0.000", "2.500"]);
        assert_eq!(rows[2], ["1/worker-1", "7", "20.000"]);
    }
}
