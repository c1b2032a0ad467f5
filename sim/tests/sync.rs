//! A worker that lost everything gets its state from its peers, whatever some of them do, and goes on with the others.

use fresnel_sim::{Lie, Options, SyncReport, Syncing, sync};

/// Four authorities and two shards under a load that lasts until after the worker is back.
fn calm(seed: u64) -> Syncing {
    let options = Options {
        authorities: 4,
        shards: 2,
        duration: 12_000_000,
        faults: false,
        rate: 60,
        ..Options::of_seed(seed)
    };
    Syncing { options, silent: 0, lying: Lie::None, interrupted: false }
}

fn run(syncing: &Syncing) -> SyncReport {
    let report = sync(syncing).unwrap_or_else(|violation| panic!("{violation}\n{syncing:?}"));
    println!("{report:?}");
    report
}

#[test]
fn a_worker_without_a_state_gets_one_while_the_chain_moves_on() {
    let mut sources = 0;
    for seed in 0..6 {
        let report = run(&calm(seed));
        assert!(report.pieces > 3 && report.records > 0, "{report:?}");
        sources = sources.max(report.sources);
    }
    assert!(sources >= 2, "chunks come from several peers");
}

#[test]
fn it_goes_on_after_an_interruption_at_every_piece() {
    for seed in 10..14 {
        let report = run(&Syncing { interrupted: true, ..calm(seed) });
        assert!(report.interruptions > 3 && report.pieces > 3, "{report:?}");
    }
}

#[test]
fn silent_peers_cost_time_only() {
    for seed in 20..22 {
        run(&Syncing { silent: 1, ..calm(seed) });
    }
    let mut many = calm(22);
    many.options.authorities = 7;
    run(&Syncing { silent: 2, ..many });
}

#[test]
fn a_peer_that_lies_is_refused() {
    for lying in [Lie::Forge, Lie::Reorder, Lie::Omit, Lie::ForgeParts] {
        // Whom it asks for what depends on who has which checkpoint.
        let mut reports = (30..36).map(|seed| run(&Syncing { lying, ..calm(seed) }));
        assert!(reports.any(|report| report.altered > 0), "the liar was never asked: {lying:?}");
    }
}
