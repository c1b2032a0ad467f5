//! Whole clusters from seeds: a few short ones always, the suite when asked for.

use fresnel_sim::{
    Options, Workers,
    latency::{Latency, Measurement, Period},
    measure,
    network::Links,
    run,
    suite::Suite,
};
use fresnel_types::genesis::Rule;

/// A short run of a seed, under one rule and the other in turn.
fn short(seed: u64) -> Options {
    let rule = Rule::ALL[seed as usize % 2];
    Options { duration: 4_000_000, rule, ..Options::of_seed(seed) }
}

/// The rule that `FRESNEL_SIM_RULE` names, or the default.
fn rule() -> Rule {
    std::env::var("FRESNEL_SIM_RULE").map_or(Rule::default(), |name| name.parse().expect("a rule"))
}

#[test]
fn a_calm_cluster_settles_everything() {
    let options = Options { faults: false, authorities: 4, shards: 2, ..short(1) };
    let report = run(options).unwrap_or_else(|violation| panic!("{violation}"));
    println!("{report}");
    assert!(report.submitted > 30 && report.settled == report.submitted, "{report}");
    assert_eq!((report.restarts, report.power_losses, report.torn_tails), (0, 0, 0), "{report}");
    assert!(report.commits > 10 && report.records > 10, "{report}");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let trace = |seed| run(short(seed)).unwrap_or_else(|violation| panic!("{violation}")).trace;
    let first = trace(7);
    assert_eq!(first, trace(7));
    assert_ne!(first, trace(8));
}

#[test]
fn beacons_alone_keep_one_order() {
    let suite = Suite::run(100..106, |seed| Options { workers: Workers::Opaque, ..short(seed) });
    println!("{suite}");
    assert!(suite.violations.is_empty(), "{suite}");
    assert!(suite.commits_min > 5, "{suite}");
}

/// Beacons that lost their log sign nothing twice and take part again. Real workers get their state elsewhere.
#[test]
fn an_authority_that_lost_everything_returns() {
    let options = |seed| Options { workers: Workers::Opaque, disk_loss: true, ..short(seed) };
    let suite = Suite::run(200..212, options);
    println!("{suite}");
    assert!(suite.violations.is_empty(), "{suite}");
    assert!(suite.total.disk_losses >= 8, "{suite}");
}

#[test]
fn short_runs_with_faults_hold_every_invariant() {
    let suite = Suite::run(0..8, short);
    println!("{suite}");
    assert!(suite.violations.is_empty(), "{suite}");
    assert!(suite.total.restarts > 0 && suite.total.power_losses > 0, "{suite}");
    assert!(suite.total.checkpoints > 0 && suite.total.restores_from_checkpoint > 0, "{suite}");
}

fn latency(rule: Rule, crashed: usize) -> Latency {
    let measured = measure(&Measurement { authorities: 4, links: Links::Even(50_000), rule, crashed });
    let measured = measured.unwrap_or_else(|violation| panic!("{violation}"));
    println!("{measured}");
    assert!(measured.periods.iter().all(|figures| figures.vertices > 200 && figures.uncommitted == 0));
    measured
}

#[test]
fn with_fast_a_vertex_takes_three_message_delays() {
    let (fast, bullshark) = (latency(Rule::Fast, 0), latency(Rule::Bullshark, 0));
    let (fast, bullshark) = (&fast.periods[0], &bullshark.periods[0]);
    assert!((150_000..165_000).contains(&fast.mean) && fast.p99 < 200_000, "{fast:?}");
    assert!(bullshark.mean > 4 * 50_000, "{bullshark:?}");
}

#[test]
fn with_fast_a_crashed_authority_costs_little_once_it_is_demoted_and_nothing_when_it_is_back() {
    let measured = latency(Rule::Fast, 1);
    let [calm, crashed, returned] = &measured.periods[..] else { panic!("three periods") };
    assert_eq!(returned.period, Period::Returned);
    assert!(crashed.worst * 2 <= calm.mean * 3, "{measured}");
    assert!(returned.worst * 2 <= calm.mean * 3, "no spike: {measured}");
}

/// The acceptance of the engine. `FRESNEL_SIM_SEEDS=1000..1500` and `FRESNEL_SIM_RULE=bullshark` choose others than the
/// default.
#[test]
#[ignore = "minutes; run with --ignored"]
fn five_hundred_seeds() {
    let range = std::env::var("FRESNEL_SIM_SEEDS").unwrap_or_else(|_| "0..500".to_owned());
    let (from, to) = range.split_once("..").expect("FRESNEL_SIM_SEEDS is a range like 0..500");
    let seed = |text: &str| text.parse::<u64>().expect("a seed is a number");
    let suite = Suite::run(seed(from)..seed(to), |seed| Options { rule: rule(), ..Options::of_seed(seed) });
    println!("{suite}");
    assert!(suite.violations.is_empty(), "{suite}");
    assert!(suite.commits_min >= 200, "the fewest commits of a run are {}", suite.commits_min);
    let total = &suite.total;
    for (name, count) in [
        ("restarts", total.restarts),
        ("checkpoints", total.checkpoints),
        ("restarts that began with one", total.restores_from_checkpoint),
        ("deleted segments of logs", total.log_segments_deleted),
        ("power losses", total.power_losses),
        ("fetches", total.fetches),
        ("floors passed", total.floors_passed),
        ("bounces", total.bounces),
        ("full windows", total.full_windows),
    ] {
        assert!(count > 0, "the suite saw no {name}: {suite}");
    }
}
