//! `fresnel sim latency`: from proposal to commit, at every authority, all vertices counted.

use std::time::Duration;

use fresnel_sim::{
    latency::{Latency, Measurement},
    measure,
    network::Links,
};
use fresnel_types::{AuthoritySet, genesis::Rule};

use crate::{
    exit::{Exit, Wrong},
    values,
};

/// What `fresnel sim latency` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many authorities.
    #[arg(long, default_value_t = 4)]
    authorities: usize,
    /// How long every message between two of them takes.
    #[arg(long, default_value = "50ms", value_parser = values::duration)]
    link: Duration,
    /// Place them in the regions of a public cloud around the world instead.
    #[arg(long, conflicts_with = "link")]
    regions: bool,
    /// The commit rule, bullshark or fast; both when it is not given.
    #[arg(long)]
    rule: Option<Rule>,
    /// How many authorities crash after twenty seconds and come back after forty-four.
    #[arg(long, default_value_t = 0)]
    crashed: usize,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let faulty = arguments.authorities.saturating_sub(1) / 3;
    if !(1..=AuthoritySet::CAPACITY).contains(&arguments.authorities) {
        return Err(Wrong(format!("a committee has 1 to {} authorities", AuthoritySet::CAPACITY)).into());
    }
    if arguments.crashed > faulty {
        return Err(Wrong(format!("of {} authorities {faulty} may crash", arguments.authorities)).into());
    }
    let micros = u64::try_from(arguments.link.as_micros()).unwrap_or(u64::MAX);
    if !(1..=LINK_MAX).contains(&micros) {
        return Err(Wrong("a message takes between 1 microsecond and 1 second".to_owned()).into());
    }
    let links = if arguments.regions { Links::Regions } else { Links::Even(micros) };
    let rules = arguments.rule.map_or(Rule::ALL.to_vec(), |rule| vec![rule]);
    let (mut measured, mut held) = (vec![], true);
    for rule in rules {
        let Arguments { authorities, crashed, .. } = *arguments;
        match measure(&Measurement { authorities, links, rule, crashed }) {
            Ok(latency) if arguments.json => measured.push(as_json(&latency)),
            Ok(latency) => println!("{latency}"),
            Err(violation) => {
                eprintln!("{violation}");
                held = false;
            }
        }
    }
    if arguments.json {
        println!("{}", serde_json::json!({ "latency": measured }));
    }
    Ok(if held { Exit::Success } else { Exit::Verdict })
}

/// All times in microseconds.
fn as_json(latency: &Latency) -> serde_json::Value {
    let measurement = &latency.measurement;
    serde_json::json!({
        "rule": measurement.rule,
        "authorities": measurement.authorities,
        "crashed": measurement.crashed,
        "message_delay_us": latency.message_delay(),
        "periods_us": latency.periods,
    })
}

/// Microseconds; twelve of these fit into the shortest period that is measured.
const LINK_MAX: u64 = 1_000_000;
