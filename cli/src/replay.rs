//! `fresnel replay`: executes the logs of workers again, offline, and says whether the same records come out.

use std::path::PathBuf;

use fresnel_node::{Difference, Replayed};
use fresnel_types::RecordDigest;

use crate::{exit::Exit, network};

/// What `fresnel replay` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The data directory of a process, or the folder `log/worker-N` in one. No process may use it; nothing in it is
    /// changed.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The genesis of the chain.
    #[arg(long, value_name = "FILE", env = "FRESNEL_GENESIS")]
    genesis: PathBuf,
    /// Execute blocks on this many threads, speculating; the records are the same on any number.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Print one JSON array instead of lines.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let replayed = fresnel_node::replay(
        &arguments.folder,
        network::genesis(&arguments.genesis)?,
        arguments.threads.into(),
    )?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&replayed)?);
    } else if replayed.is_empty() {
        println!("no worker has a log in {}", arguments.folder.display());
    } else {
        replayed.iter().for_each(|replayed| println!("{}", lines(replayed)));
    }
    let same = replayed.iter().all(|replayed| replayed.difference.is_none());
    Ok(if same { Exit::Success } else { Exit::Verdict })
}

fn lines(replayed: &Replayed) -> String {
    let Replayed { authority, shard, commit, closed, executed, records, transactions, .. } = replayed;
    let Replayed { checkpoint, compared, compared_up_to, micros, torn_bytes, .. } = replayed;
    let rate = transactions * 1_000_000 / (*micros).max(1);
    let mut lines = vec![
        format!(
            "worker {authority}/{shard}: blocks up to {executed}, {records} records, {transactions} transactions"
        ),
        format!("  executed in {:.3} s, {rate} transactions per second", *micros as f64 / 1e6),
        format!("  the log ends with commit {commit}, which closes block {closed}"),
        format!("  last record {}", digest(replayed.last_record)),
    ];
    if let Some(block) = checkpoint {
        lines.push(format!(
            "  from the stored checkpoint of block {block}: the log begins later than the chain, so all before it is taken as \
             stored"
        ));
    }
    if executed < closed {
        lines.push(format!("  block {} waits for what is not in the log", executed.next()));
    }
    if *torn_bytes > 0 {
        lines.push(format!("  a torn tail of {torn_bytes} bytes was left out"));
    }
    lines.push(match replayed.difference {
        None => format!("  same: {compared} certified records compared, up to block {compared_up_to}"),
        Some(Difference { block, certified, computed }) => {
            format!(
                "  DIFFERENT at block {block}: certified {}, computed {}",
                digest(certified),
                digest(computed)
            )
        }
    });
    lines.join("\n")
}

fn digest(record: Option<RecordDigest>) -> String {
    record.map_or_else(|| "none".to_owned(), |record| record.to_string())
}

#[cfg(test)]
mod tests {
    use fresnel_types::{AuthorityIndex, BlockIndex, CommitIndex, ShardId};

    use super::*;

    #[test]
    fn people_see_what_was_done_and_what_differs() {
        let same = Replayed {
            authority: AuthorityIndex(3),
            shard: ShardId(1),
            checkpoint: None,
            commit: CommitIndex(9),
            closed: BlockIndex(8),
            executed: BlockIndex(8),
            records: 5,
            transactions: 3_000,
            compared: 4,
            compared_up_to: BlockIndex(7),
            last_record: Some(RecordDigest([0xab; 32])),
            torn_bytes: 0,
            micros: 1_500_000,
            difference: None,
        };
        let text = lines(&same);
        for part in [
            "worker 3/1",
            "5 records, 3000 transactions",
            "1.500 s, 2000 transactions per second",
            "abab",
            "same: 4",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(!["waits", "torn", "checkpoint"].iter().any(|part| text.contains(part)), "{text}");
        let difference =
            Difference { block: BlockIndex(6), certified: Some(RecordDigest([1; 32])), computed: None };
        let text = lines(&Replayed {
            checkpoint: Some(BlockIndex(5)),
            executed: BlockIndex(6),
            torn_bytes: 12,
            micros: 0,
            difference: Some(difference),
            ..same
        });
        for part in
            ["checkpoint of block 5", "block 7 waits", "12 bytes", "DIFFERENT at block 6", "computed none"]
        {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }
}
