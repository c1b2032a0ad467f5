//! Scenarios that are told as texts, in `sim/scenarios`, each with a few seeds. What fails prints the command that repeats it.

use fresnel_sim::{Options, Report, Scenario, run};
use fresnel_types::genesis::Rule;

macro_rules! scenarios {
    ($($name:ident $file:literal,)*) => {
        $(#[test]
        fn $name() {
            play($file, include_str!(concat!("../scenarios/", $file, ".txt")));
        })*

        #[test]
        fn every_text_is_played() {
            let mut played = vec![$(concat!($file, ".txt").to_owned()),*];
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
            let entries = std::fs::read_dir(folder).expect("it is there");
            let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("readable").file_name();
            let mut texts: Vec<_> = entries.map(|entry| name(entry).into_string().expect("UTF-8")).collect();
            (played.sort(), texts.sort());
            assert_eq!(played, texts);
        }
    };
}

scenarios! {
    checkpoints_far_apart "checkpoints-far-apart",
    conflicting_attestations "conflicting-attestations",
    cyclic_traffic "cyclic-traffic",
    cyclic_traffic_under_loss "cyclic-traffic-under-loss",
    duplication "duplication",
    false_holder "false-holder",
    forged_bundles "forged-bundles",
    frozen_beacons_shard "frozen-beacons-shard",
    frozen_shard "frozen-shard",
    frozen_worker "frozen-worker",
    loss "loss",
    many_copies "many-copies",
    many_copies_under_crashes "many-copies-under-crashes",
    power_off "power-off",
    reordering "reordering",
    windows_of_one "windows-of-one",
    withheld_bundles "withheld-bundles",
}

fn read(file: &str, text: &str) -> Scenario {
    Scenario::parse(&format!("sim/scenarios/{file}.txt"), text).unwrap_or_else(|error| panic!("{error}"))
}

fn check(options: Options) -> Report {
    run(options).unwrap_or_else(|violation| panic!("{violation}"))
}

/// Under one rule and the other. What is expected must show in the seeds together.
fn play(file: &str, text: &str) {
    let scenario = read(file, text);
    let mut total = Report::default();
    for seed in 0..SEEDS {
        let options = Options { rule: Rule::ALL[seed as usize % 2], ..scenario.options(seed) };
        let report = check(options);
        assert!(report.settled == report.submitted && report.settled > 0, "{report}");
        total.add(&report);
    }
    println!("{total}");
    assert_eq!(scenario.missing(&total), Vec::<&str>::new(), "{total}");
}

/// D2: whichever write of a worker is the last one before its process ends, it recovers to a prefix and catches up.
#[test]
fn a_crash_between_any_two_writes() {
    for writes in 0..WRITES {
        let (authority, shard) = (writes % 4, writes % 2);
        let text = format!(
            "duration 1600ms\nrate 100\nat 50ms crash worker {authority}/{shard} after {writes} writes for 100ms\n"
        );
        let report = check(read("crash-after-writes", &text).options(writes));
        assert!(report.settled == report.submitted, "{report}");
        assert!(report.restarts > 0, "there are more than {writes} writes: {report}");
    }
}

#[test]
fn one_shard_to_sixteen() {
    for (seed, shards) in (0..).zip([1, 2, 4, 8, 16]) {
        let text = format!("duration 2s\nshards {shards}\nrate 120\nat 500ms lose 50 for 800ms\n");
        let report = check(read("shards", &text).options(seed));
        assert!(report.settled == report.submitted && report.settled > 50, "{report}");
    }
}

const SEEDS: u64 = 3;

/// The first writes of a worker, in which everything happens that does later.
const WRITES: u64 = 40;
