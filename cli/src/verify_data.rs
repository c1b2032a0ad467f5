//! `fresnel verify-data`: checks a data directory offline, from the bytes of its logs to the records that its workers
//! compute.

use std::path::PathBuf;

use fresnel_node::{CheckpointReport, DataReport, MachineReport};

use crate::{exit::Exit, network};

/// What `fresnel verify-data` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The data directory of a process. No process may use it; nothing in it is changed.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The genesis of the chain.
    #[arg(long, value_name = "FILE", env = "FRESNEL_GENESIS")]
    genesis: PathBuf,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let report = fresnel_node::verify_data(&arguments.folder, network::genesis(&arguments.genesis)?)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{}", lines(&report));
    }
    Ok(if report.is_sound() { Exit::Success } else { Exit::Verdict })
}

fn lines(report: &DataReport) -> String {
    let DataReport { chain, authority, machines } = report;
    let mut lines = vec![format!("data of authority {authority}, chain {chain}")];
    for MachineReport { machine, first_entry, entries, torn_bytes, checkpoints, starts, faults } in machines {
        lines.push(format!("{machine}: {entries} log entries from {first_entry} on"));
        if *torn_bytes > 0 {
            lines.push(format!("  a torn tail of {torn_bytes} bytes, which the next start cuts off"));
        }
        lines.extend(checkpoints.iter().map(checkpoint));
        lines.extend(faults.iter().map(|fault| format!("  DAMAGED {}: {}", fault.place, fault.message)));
        if !faults.is_empty() {
            lines.push(if *starts {
                "  it starts all the same, from what is whole".to_owned()
            } else {
                "  it does not start from this".to_owned()
            });
        }
    }
    let faults: usize = machines.iter().map(|machine| machine.faults.len()).sum();
    lines.push(if faults == 0 { "sound".to_owned() } else { format!("{faults} faults") });
    lines.join("\n")
}

fn checkpoint(report: &CheckpointReport) -> String {
    let CheckpointReport { database, block, leaves, records, executed, compared } = report;
    let begin = match database {
        Some(database) => {
            format!("checkpoint {database} of block {block}, {leaves} leaves, {records} records")
        }
        None => "from the genesis".to_owned(),
    };
    format!("  {begin}; executed up to block {executed}, {compared} certified records are the same")
}

#[cfg(test)]
mod tests {
    use fresnel_node::{Fault, Place};
    use fresnel_types::{AuthorityIndex, BlockIndex, ChainId, EntryNumber};

    use super::*;

    #[test]
    fn people_see_what_is_there_and_what_is_wrong() {
        let checkpoint = CheckpointReport {
            database: Some("b".to_owned()),
            block: BlockIndex(40),
            leaves: 7,
            records: 12,
            executed: BlockIndex(44),
            compared: 3,
        };
        let machine = MachineReport {
            machine: "worker-1".to_owned(),
            first_entry: EntryNumber(5),
            entries: 20,
            torn_bytes: 0,
            checkpoints: vec![checkpoint],
            starts: true,
            faults: vec![],
        };
        let sound = DataReport {
            chain: ChainId([7; 32]),
            authority: AuthorityIndex(2),
            machines: vec![machine.clone()],
        };
        let text = lines(&sound);
        for part in ["authority 2", "worker-1: 20 log entries from 5", "checkpoint b of block 40", "sound"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(!text.contains("DAMAGED") && !text.contains("torn"), "{text}");
        let fault = Fault { place: Place::Checkpoint("a".to_owned()), message: "nonsense".to_owned() };
        let machine = MachineReport { torn_bytes: 9, starts: false, faults: vec![fault], ..machine };
        let text = lines(&DataReport { machines: vec![machine], ..sound });
        for part in ["torn tail of 9", "DAMAGED checkpoint a: nonsense", "does not start", "1 faults"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }
}
