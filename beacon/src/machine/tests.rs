//! Scenarios: small clusters in one process.

mod amnesia;
mod byzantine;
mod checkpoints;
mod cluster;
mod healing;

use fresnel_types::{BatchId, Message, Party, ShardId};

use self::cluster::{Cluster, batch};

/// Ids of the batches with these numbers.
fn ids(numbers: impl IntoIterator<Item = u64>) -> Vec<BatchId> {
    let mut ids: Vec<BatchId> = numbers.into_iter().map(|n| batch(n).id).collect();
    ids.sort_unstable();
    ids
}

fn sorted(mut ids: Vec<BatchId>) -> Vec<BatchId> {
    ids.sort_unstable();
    ids
}

#[test]
fn four_beacons_make_one_order() {
    let mut cluster = Cluster::started(4, 256);
    for n in 0..40 {
        cluster.offer(n as usize % 4, ShardId(n as u16 % 2), vec![batch(n)]);
        cluster.run(5_000);
    }
    cluster.run(100_000);
    let (shortest, longest) = cluster.check_agreement();
    assert!(shortest > 10 && longest - shortest <= 2, "{shortest} to {longest} commits");
    for index in 0..4 {
        assert_eq!(sorted(cluster.effective(index, 0)), ids((0..40).filter(|n| n % 2 == 0)));
        assert_eq!(cluster.effective(index, 1), cluster.effective(0, 1));
        let counters = cluster.beacon(index).counters();
        assert_eq!((counters.equivocations, counters.conflicts, counters.orders_gone), (0, 0, 0));
        assert_eq!(counters.commit_requests, 0, "nobody was ever behind");
    }
}

#[test]
fn one_beacon_alone_is_a_quorum() {
    let mut cluster = Cluster::started(1, 256);
    cluster.offer(0, ShardId(1), vec![batch(1)]);
    cluster.run(200_000);
    assert_eq!(cluster.effective(0, 1), ids([1]));
    cluster.stop(0);
    cluster.start(0);
    cluster.offer(0, ShardId(1), vec![batch(1), batch(2)]);
    cluster.run(200_000);
    assert_eq!(cluster.effective(0, 1), [batch(1).id, batch(2).id]);
}

#[test]
fn an_idle_cluster_only_beats() {
    let mut cluster = Cluster::started(4, 256);
    cluster.run(500_000);
    let (messages, round) = (cluster.messages, cluster.beacon(0).status().round);
    cluster.run(2_000_000);
    let (messages, rounds) = (cluster.messages - messages, cluster.beacon(0).status().round.0 - round.0);
    assert!((7..=8).contains(&rounds), "{rounds} rounds in 8 heartbeats");
    // Proposals, votes, and per worker: the vertex to come, an order and its receipt.
    let per_round = 4 * 3 + 4 * 4 * 3 + 8 * 3;
    assert!(messages <= (rounds + 1) * per_round, "{messages} messages in {rounds} rounds");
    assert_eq!(cluster.beacon(0).counters().resends, 0);
}

#[test]
fn one_silent_beacon_costs_no_order() {
    let mut cluster = Cluster::new(4, 256);
    (0..3).for_each(|index| cluster.start(index));
    for n in 0..40 {
        cluster.offer(n as usize % 3, ShardId(0), vec![batch(n)]);
        cluster.run(10_000);
    }
    cluster.run(200_000);
    cluster.check_agreement();
    for index in 0..3 {
        assert_eq!(sorted(cluster.effective(index, 0)), ids(0..40));
    }
}

#[test]
fn large_committees_let_authors_assemble() {
    let mut cluster = Cluster::started(34, 256);
    cluster.loses = Box::new(|_, from, to, message| {
        if let Message::Votes(votes) = message {
            assert!(votes.iter().all(|vote| Party::Beacon(vote.vertex.author) == to), "{from:?} to {to:?}");
        }
        false
    });
    cluster.offer(3, ShardId(0), vec![batch(1)]);
    cluster.run(60_000);
    cluster.check_agreement();
    assert_eq!(cluster.effective(33, 0), ids([1]));
}

#[test]
fn a_batch_that_is_not_stored_holds_the_vote_until_it_is() {
    let mut cluster = Cluster::started(4, 256);
    for index in 1..4 {
        cluster.nodes[index].workers[0].lacks.insert(batch(1).id);
    }
    cluster.offer(0, ShardId(0), vec![batch(1)]);
    cluster.run(300_000);
    for index in 0..4 {
        assert_eq!(cluster.effective(index, 0), [], "its author alone may hold it");
    }
    assert!(cluster.nodes[1].workers[0].required > 2, "the own worker is asked again");
    cluster.nodes[1].workers[0].lacks.clear();
    cluster.say(1, ShardId(0), Message::Stored(vec![batch(1)]));
    cluster.run(300_000);
    cluster.check_agreement();
    for index in 0..4 {
        assert_eq!(cluster.effective(index, 0), ids([1]));
    }
    let on_trust = |index: usize| cluster.beacon(index).counters().voted_on_trust;
    assert_eq!([0, 1, 2, 3].map(on_trust), [0, 0, 1, 1], "two of four hold it, and one is honest");
}

#[test]
fn a_worker_that_is_only_slow_is_waited_for() {
    let mut cluster = Cluster::started(4, 256);
    cluster.nodes[1].workers[0].lacks.insert(batch(1).id);
    cluster.offer(0, ShardId(0), vec![batch(1)]);
    cluster.run(10_000);
    cluster.nodes[1].workers[0].lacks.clear();
    cluster.say(1, ShardId(0), Message::Stored(vec![batch(1)]));
    cluster.run(300_000);
    assert_eq!(cluster.effective(1, 0), ids([1]));
    assert_eq!(cluster.beacon(1).counters().voted_on_trust, 0);
}

#[test]
fn a_batch_stored_long_ago_is_asked_for_again_before_a_vote() {
    let mut cluster = Cluster::started(4, 4);
    for index in 1..4 {
        cluster.say(index, ShardId(0), Message::Stored(vec![batch(1)]));
    }
    for n in 2..20 {
        cluster.offer(n as usize % 4, ShardId(0), vec![batch(n)]);
        cluster.run(20_000);
    }
    // Nobody named it for longer than workers keep it, and now only its author has it.
    for index in 1..4 {
        cluster.nodes[index].workers[0].lacks.insert(batch(1).id);
    }
    cluster.offer(0, ShardId(0), vec![batch(1)]);
    cluster.run(300_000);
    cluster.check_agreement();
    for index in 0..4 {
        assert_eq!(sorted(cluster.effective(index, 0)), ids(2..20), "A5: nobody votes for it");
    }
}
