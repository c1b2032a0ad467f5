//! Clusters in which up to f stake keeps to no rule: nothing that honest authorities promise may depend on the others.

use fresnel_sim::{Choice, Options, adversaries::Kind, run, suite::Suite};
use fresnel_types::genesis::Rule;

/// A short run of a seed, under one rule and the other in turn.
fn short(seed: u64, adversary: Choice) -> Options {
    let rule = Rule::ALL[seed as usize % 2];
    Options { duration: 3_000_000, adversary, rule, ..Options::of_seed(seed) }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let trace = || run(short(3, Choice::Drawn)).unwrap_or_else(|violation| panic!("{violation}")).trace;
    assert_eq!(trace(), trace());
}

/// What each kind does at least once in a few seeds.
fn deeds(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::FalseAttester => &["false attestations"],
        Kind::FalseHolder => &["false held"],
        Kind::FalseNamer => &["false sizes", "stolen and repeated batches", "batches that do not exist"],
        Kind::BatchWithholder => &["batches named and not given", "withheld batches"],
        Kind::FalseBundler => &["false bundles"],
        Kind::BundleWithholder => &["withheld bundles"],
        Kind::TimeLiar => &["false times"],
        Kind::Equivocator => {
            &["equivocations", "second versions", "equivocations proven", "equivocations witnessed"]
        }
        Kind::Dreamer => &["dreams"],
        Kind::DoubleVoter => &["double votes"],
        Kind::CarelessVoter => &["blind votes"],
        Kind::Boaster => &["false positions", "false commit ranges", "false commit votes"],
        Kind::MuteAnchor => &["anchors not proposed"],
        Kind::Withholder => &["withheld proposals", "withheld votes", "unanswered requests"],
        Kind::Revealer => &["late revelations"],
        Kind::Laggard => &["late messages"],
        Kind::Replayer => &["replays"],
        Kind::Forger => &["forgeries", "messages refused"],
        Kind::Silent => &["silence"],
        Kind::Twins => &["equivocations proven"],
    }
}

fn check(suite: &Suite, kinds: &[Kind]) {
    println!("{suite}");
    assert!(suite.violations.is_empty(), "{suite}");
    for deed in kinds.iter().flat_map(|kind| deeds(*kind)) {
        assert!(suite.total.deeds.count(deed) > 0, "the suite saw no {deed}: {suite}");
    }
}

#[test]
fn every_kind_alone() {
    let count = Kind::ALL.len() as u64;
    // Whether anybody asks a boaster for commits is a matter of luck.
    let certain: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Boaster).collect();
    let options = |seed: u64| {
        let (kind, rule) = (Kind::ALL[(seed % count) as usize], Rule::ALL[(seed / count) as usize]);
        Options { rule, ..short(seed, Choice::All(kind)) }
    };
    check(&Suite::run(0..count * Rule::ALL.len() as u64, options), &certain);
}

/// Else a suite without violations says nothing.
#[test]
fn too_many_twins_are_found_out() {
    let options = |seed| Options { authorities: 4, ..short(seed, Choice::TooMany(Kind::Twins)) };
    let suite = Suite::run(0..6, options);
    assert!(!suite.violations.is_empty(), "{suite}");
}

#[test]
fn kinds_drawn_from_the_seed() {
    check(&Suite::run(100..124, |seed| short(seed, Choice::Drawn)), &[]);
}

/// `FRESNEL_SIM_SEEDS=1000..1500` and `FRESNEL_SIM_RULE=bullshark` choose others than the default.
#[test]
#[ignore = "minutes; run with --ignored"]
fn long_runs_with_adversaries() {
    let range = std::env::var("FRESNEL_SIM_SEEDS").unwrap_or_else(|_| "0..300".to_owned());
    let (from, to) = range.split_once("..").expect("FRESNEL_SIM_SEEDS is a range like 0..300");
    let seed = |text: &str| text.parse::<u64>().expect("a seed is a number");
    let rule =
        std::env::var("FRESNEL_SIM_RULE").map_or(Rule::default(), |name| name.parse().expect("a rule"));
    let suite = Suite::run(seed(from)..seed(to), |seed| Options {
        adversary: Choice::Drawn,
        rule,
        ..Options::of_seed(seed)
    });
    check(&suite, &Kind::ALL);
}
