//! Beacons that lose their log: the cluster checks that nobody ever signs two things for one slot (A3).

use fresnel_types::{EntryNumber, LogEntry, Message, Party, Round, ShardId, Timestamp};
use proptest::prelude::*;

use super::{
    cluster::{Cluster, Worker, batch, scatter},
    ids, sorted,
};

/// Everything that the authority kept is gone.
fn lose(cluster: &mut Cluster, index: usize) {
    cluster.stop(index);
    let node = &mut cluster.nodes[index];
    node.log.clear();
    node.forgotten = EntryNumber(0);
    node.workers = vec![Worker::default(), Worker::default()];
}

fn resumed(cluster: &Cluster, index: usize) -> Option<Round> {
    cluster.nodes[index].log.iter().find_map(|entry| match entry {
        LogEntry::Resumed(above) => Some(*above),
        _ => None,
    })
}

#[test]
fn a_new_chain_begins_with_round_one() {
    let mut cluster = Cluster::new(4, 256);
    (0..2).for_each(|index| cluster.start(index));
    cluster.run(500_000);
    assert_eq!(resumed(&cluster, 0), None, "two of four are no quorum");
    assert!(cluster.beacon(0).status().resuming && cluster.beacon(0).status().round == Round(0));
    cluster.start(2);
    cluster.run(500_000);
    for index in 0..3 {
        assert_eq!(resumed(&cluster, index), Some(Round(0)));
        assert!(!cluster.beacon(index).status().resuming);
        assert!(cluster.beacon(index).status().round > Round(0));
    }
    cluster.start(3);
    cluster.run(1_500_000);
    assert_eq!(resumed(&cluster, 3), Some(Round(0)), "nobody saw it before");
    assert!(cluster.beacon(3).status().round > Round(2));
    cluster.check_agreement();
}

#[test]
fn who_lost_everything_signs_nothing_twice_and_takes_part_again() {
    let mut cluster = Cluster::started(4, 64);
    cluster.compares = false;
    for n in 0..20 {
        cluster.offer(n as usize % 4, ShardId(0), vec![batch(n)]);
        cluster.run(7_000);
    }
    let before = cluster.beacon(1).status().round;
    lose(&mut cluster, 1);
    cluster.start(1);
    assert!(cluster.beacon(1).status().resuming);
    for n in 20..60 {
        cluster.offer(n as usize % 4, ShardId(0), vec![batch(n)]);
        cluster.run(20_000);
    }
    cluster.run(500_000);
    cluster.check_agreement();
    let status = cluster.beacon(1).status();
    assert!(resumed(&cluster, 1).is_some_and(|above| above >= before));
    assert!(!status.resuming && status.round > before);
    assert!(cluster.beacon(1).counters().proposed > 10 && cluster.beacon(1).counters().voted > 40);
    for index in 0..4 {
        assert_eq!(sorted(cluster.effective(index, 0)), ids(0..60), "what it was offered is ordered, too");
    }
    cluster.stop(1);
    cluster.start(1);
    assert!(!cluster.beacon(1).status().resuming, "a restart asks nobody");
    let entries = cluster.nodes[1].log.iter();
    assert_eq!(entries.filter(|entry| matches!(entry, LogEntry::Resumed(_))).count(), 1);
}

#[test]
fn nobody_answers_before_it_can_show_how_far_it_signed() {
    let mut cluster = Cluster::started(4, 64);
    cluster.run(300_000);
    // Certificates get lost from now on, and votes: everybody signs one round more and sees nothing certified.
    cluster.loses = Box::new(|_, _, _, message| {
        matches!(message, Message::Votes(_) | Message::Certificates(_) | Message::RoundAnswer { .. })
    });
    cluster.run(2_000_000);
    lose(&mut cluster, 1);
    cluster.start(1);
    cluster.run(300_000);
    assert!(cluster.beacon(1).status().resuming);
    cluster.loses = Box::new(|_, _, _, message| matches!(message, Message::Certificates(_)));
    cluster.run(3_000_000);
    let (above, top) = (resumed(&cluster, 1).expect("answered"), cluster.beacon(0).status().round);
    assert!(above <= Round(top.0 + 2) && !cluster.beacon(1).status().resuming, "{above} of {top}");
    cluster.check_agreement();
}

#[test]
fn an_answer_without_proof_or_to_another_question_moves_nothing() {
    let mut cluster = Cluster::started(4, 64);
    cluster.run(300_000);
    lose(&mut cluster, 1);
    cluster.loses = Box::new(|_, _, _, message| matches!(message, Message::RoundRequest(_)));
    cluster.start(1);
    let (me, asked) = (Party::Beacon(cluster.nodes[1].config.authority), cluster.now);
    for peer in [0, 2, 3] {
        let peer = Party::Beacon(cluster.nodes[peer].config.authority);
        let early = Message::RoundAnswer {
            asked: Timestamp(asked.0 - 1),
            yours: None,
            highest: None,
            complete: true,
        };
        cluster.deliver(peer, me, early);
    }
    assert!(resumed(&cluster, 1).is_none());
    cluster.loses = Box::new(|_, _, _, _| false);
    cluster.run(1_500_000);
    assert!(resumed(&cluster, 1).is_some_and(|above| above > Round(2)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// At any instant, with any losses of messages, also twice.
    #[test]
    fn logs_are_lost_at_any_time(
        seed in any::<u64>(), who in 0_usize..4, depth in prop::sample::select(vec![2_u64, 4, 40]),
        first in 0_u64..40, second in 40_u64..80,
    ) {
        let mut cluster = Cluster::started(4, depth);
        cluster.compares = false;
        cluster.jitter = 6_000;
        cluster.run(60_000);
        cluster.loses = Box::new(move |number, _, _, _| scatter(seed ^ number).is_multiple_of(10));
        for n in 0..120 {
            if n == first || n == second {
                lose(&mut cluster, who);
            }
            if n == first + 10 || n == second + 10 {
                cluster.start(who);
            }
            let at = n as usize % 4;
            if cluster.nodes[at].beacon.is_some() {
                cluster.offer(at, ShardId(0), vec![batch(n)]);
            }
            cluster.run(scatter(seed ^ n) % 20_000);
            cluster.check_agreement();
        }
        cluster.loses = Box::new(|_, _, _, _| false);
        cluster.run(4_000_000);
        cluster.check_agreement();
        let status = cluster.beacon(who).status();
        prop_assert!(!status.resuming && cluster.beacon(who).counters().proposed > 0, "{status:?}");
        for index in 0..4 {
            prop_assert_eq!(cluster.beacon(index).evidence().len(), 0);
        }
    }
}
