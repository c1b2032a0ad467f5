//! Clients of a real cluster pay and read while its processes are killed and restarted, and what they saw must be what one
//! ledger can show: monotone answers, one outcome per transaction, nothing ordered that vanishes, no effect of what failed.

use std::{path::PathBuf, time::Duration};

use fresnel_loadgen::{
    Cluster, ClusterOptions, ExecutorMode, Layout,
    faults::{hosted, rounds},
    history::{Game, Seen, check, play},
    workload::Accounts,
};
use fresnel_types::{Ablation, Amount, Outcome, Parameters, Shards};

#[test]
fn what_clients_see_through_restarts_is_what_one_ledger_can_show() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let shards = Shards::new(2).expect("valid");
    let accounts = Accounts::derive(5, shards, 48);
    let (layout, funds) = (Layout::Node, Amount(1_000));
    let options = ClusterOptions {
        binary: PathBuf::from(env!("CARGO_BIN_EXE_fresnel")),
        folder: folder.path().join("cluster"),
        name: "history".to_owned(),
        authorities: 4,
        shards,
        layout,
        parameters: Parameters::default(),
        executor: ExecutorMode::default(),
        ablate: Ablation::default(),
        accounts: accounts.allocations(funds),
    };
    let faults = rounds(5, 2, &hosted(4, shards, layout));
    let game = Game { seed: 5, clients: 4, lasts: Duration::from_secs(9), funds, faults };
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let history = runtime.block_on(async {
        let mut cluster = Cluster::start(options).await.expect("a cluster");
        let history = play(&mut cluster, accounts, &game).await.expect("it comes to rest");
        cluster.stop().await.expect("in order");
        history
    });
    assert_eq!(check(&history), Vec::<String>::new());
    let seen = || history.clients.iter().flatten();
    let reads = seen().filter(|seen| matches!(seen, Seen::Balance { .. })).count();
    let ended = |wanted: fn(&Outcome) -> bool| {
        seen().any(|seen| matches!(seen, Seen::News { end: Some((outcome, _)), .. } if wanted(outcome)))
    };
    assert!(
        history.payments.len() > 100 && reads > 100,
        "{} payments, {reads} reads",
        history.payments.len()
    );
    assert!(ended(|outcome| *outcome == Outcome::Success), "some payments succeed");
    assert!(ended(|outcome| matches!(outcome, Outcome::Failed(_))), "and some fail");
}
