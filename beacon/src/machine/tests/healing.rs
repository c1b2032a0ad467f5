//! Losses, crashes and long absences.

use fresnel_types::{AuthorityIndex, Message, Party, ShardId};

use super::{
    cluster::{Cluster, batch, scatter},
    ids, sorted,
};
use crate::{fetch::Fetch, pacing::Pacing};

#[test]
fn lost_messages_are_said_again() {
    for of in [2, 3, 10] {
        let mut cluster = Cluster::started(4, 256);
        cluster.loses = Box::new(move |n, _, _, _| scatter(n).is_multiple_of(of));
        for n in 0..20 {
            cluster.offer(n as usize % 4, ShardId(0), vec![batch(n)]);
            cluster.run(50_000);
        }
        cluster.loses = Box::new(|_, _, _, _| false);
        cluster.run(3_000_000);
        cluster.check_agreement();
        for index in 0..4 {
            assert_eq!(sorted(cluster.effective(index, 0)), ids(0..20), "one of {of} lost, at {index}");
        }
    }
}

#[test]
fn after_a_total_outage_of_the_network_commits_resume_soon() {
    let mut cluster = Cluster::started(4, 256);
    cluster.offer(0, ShardId(0), vec![batch(1)]);
    cluster.run(100_000);
    cluster.loses = Box::new(|_, _, _, _| true);
    cluster.offer(1, ShardId(0), vec![batch(2)]);
    cluster.run(60_000_000);
    assert_eq!(cluster.effective(1, 0), ids([1]));
    let during = cluster.messages;
    cluster.run(10_000_000);
    assert!(cluster.messages - during < 4 * 10 * 12, "a few messages per second and link while cut off");
    cluster.loses = Box::new(|_, _, _, _| false);
    cluster.run(1_100_000);
    for index in 0..4 {
        assert_eq!(sorted(cluster.effective(index, 0)), ids([1, 2]));
    }
}

#[test]
fn a_crash_at_any_persist_signs_nothing_twice_and_catches_up() {
    let mut boundary = 1;
    loop {
        let mut cluster = Cluster::new(4, 256);
        cluster.nodes[2].crash_at = Some(boundary);
        (0..4).for_each(|index| cluster.start(index));
        for n in 0..6 {
            cluster.offer(n as usize % 4, ShardId(0), vec![batch(n)]);
            cluster.run(10_000);
        }
        let crashed = cluster.nodes[2].beacon.is_none();
        cluster.nodes[2].crash_at = None;
        cluster.run(20_000);
        if crashed {
            cluster.start(2);
            // The worker offers again what no commit showed it.
            cluster.offer(2, ShardId(0), vec![batch(2)]);
        }
        cluster.offer(2, ShardId(0), vec![batch(6)]);
        cluster.run(600_000);
        let (shortest, longest) = cluster.check_agreement();
        assert!(longest - shortest <= 2, "crash at entry {boundary}: {shortest} of {longest} commits");
        for index in 0..4 {
            assert_eq!(sorted(cluster.effective(index, 0)), ids(0..7), "crash at entry {boundary}");
        }
        if !crashed {
            break;
        }
        boundary += 1;
    }
    assert!(boundary > 60, "only {boundary} boundaries");
}

#[test]
fn a_beacon_alone_goes_on_after_a_crash_at_any_persist() {
    for boundary in 1..=18 {
        let mut cluster = Cluster::new(1, 256);
        cluster.nodes[0].crash_at = Some(boundary);
        cluster.start(0);
        cluster.offer(0, ShardId(0), vec![batch(0)]);
        cluster.run(100_000);
        assert!(cluster.nodes[0].beacon.is_none(), "the crash at entry {boundary}");
        cluster.stop(0);
        cluster.start(0);
        cluster.offer(0, ShardId(0), vec![batch(0), batch(1)]);
        cluster.run(300_000);
        assert_eq!(sorted(cluster.effective(0, 0)), ids(0..2), "crash at entry {boundary}");
    }
}

#[test]
fn all_lose_power_at_once_and_go_on() {
    for after in (1_000..60_000).step_by(1_700) {
        let mut cluster = Cluster::started(4, 256);
        for index in 0..4 {
            cluster.offer(index, ShardId(0), vec![batch(index as u64)]);
        }
        cluster.run(after);
        let before: Vec<_> = (0..4).map(|index| cluster.commits(index)).collect();
        (0..4).for_each(|index| cluster.stop(index));
        cluster.run(50_000);
        for (index, before) in before.iter().enumerate() {
            cluster.start(index);
            assert_eq!(cluster.commits(index), *before, "commits survive");
        }
        for index in 0..4 {
            cluster.offer(index, ShardId(0), vec![batch(index as u64)]);
        }
        cluster.run(800_000);
        cluster.check_agreement();
        for index in 0..4 {
            assert_eq!(sorted(cluster.effective(index, 0)), ids(0..4), "power cut after {after}");
        }
    }
}

#[test]
fn far_behind_the_floor_commits_are_taken_over_in_ranges() {
    let mut cluster = Cluster::started(4, 12);
    cluster.offer(0, ShardId(0), vec![batch(0)]);
    cluster.run(50_000);
    cluster.stop(3);
    let mut n = 1;
    while cluster.commits(0).len() < 300 {
        cluster.offer(n as usize % 3, ShardId(0), vec![batch(n)]);
        cluster.run(20_000);
        n += 1;
    }
    assert!(cluster.nodes[3].log.len() < 200);
    cluster.start(3);
    for _ in 0..50 {
        cluster.offer(n as usize % 3, ShardId(0), vec![batch(n)]);
        cluster.run(20_000);
        n += 1;
    }
    let (shortest, longest) = cluster.check_agreement();
    assert!(longest - shortest <= 3, "{shortest} of {longest} commits");
    let counters = cluster.beacon(3).counters();
    assert!(counters.replayed > 200, "{counters:?}");
    cluster.offer(3, ShardId(1), vec![batch(n)]);
    cluster.run(200_000);
    assert_eq!(cluster.effective(0, 1), ids([n]), "it takes part again");
    assert_eq!(cluster.effective(3, 0), cluster.effective(0, 0));
    cluster.stop(3);
    cluster.start(3);
    cluster.run(300_000);
    let (shortest, longest) = cluster.check_agreement();
    assert!(longest - shortest <= 3, "what was taken over is in the log");
}

#[test]
fn behind_a_low_floor_no_checkpoint_is_waited_for() {
    let mut cluster = Cluster::started(4, 2);
    let mut n = 0;
    let mut load = |cluster: &mut Cluster, commits: usize| {
        while cluster.commits(0).len() < commits {
            cluster.offer(n as usize % 3, ShardId(0), vec![batch(n)]);
            cluster.run(10_000);
            n += 1;
        }
    };
    load(&mut cluster, 66);
    let before = cluster.commits(3).len();
    // The links stay, so nobody greets anybody when messages pass again.
    cluster.loses = Box::new(|_, from, to, _| [from, to].contains(&Party::Beacon(AuthorityIndex(3))));
    load(&mut cluster, 80);
    assert!(cluster.commits(3).len() <= before + 2);
    cluster.loses = Box::new(|_, _, _, _| false);
    load(&mut cluster, 110);
    let (shortest, longest) = cluster.check_agreement();
    assert!(longest < 128 && longest - shortest <= 3, "{shortest} of {longest} commits");
}

#[test]
fn behind_within_the_window_the_status_exchange_is_enough() {
    let mut cluster = Cluster::started(4, 256);
    cluster.run(50_000);
    cluster.stop(3);
    for n in 0..20 {
        cluster.offer(n as usize % 3, ShardId(0), vec![batch(n)]);
        cluster.run(20_000);
    }
    cluster.start(3);
    cluster.run(100_000);
    let (shortest, longest) = cluster.check_agreement();
    assert!(longest - shortest <= 2, "{shortest} of {longest} commits");
    assert_eq!(sorted(cluster.effective(3, 0)), ids(0..20));
}

#[test]
fn certified_vertices_that_were_too_many_to_be_wanted_are_wanted_later() {
    let mut cluster = Cluster::started(4, 256);
    cluster.run(50_000);
    let behind = Party::Beacon(AuthorityIndex(3));
    // It learns by votes what is certified, and gets none of it.
    cluster.loses = Box::new(move |_, _, to, message| {
        to == behind && matches!(message, Message::Proposal(_) | Message::Vertices(_) | Message::Status(_))
    });
    for n in 0..3 {
        cluster.offer(n as usize, ShardId(0), vec![batch(n)]);
        cluster.run(20_000);
    }
    let waits = Pacing::default();
    let beacon = cluster.nodes[3].beacon.as_mut().expect("running");
    beacon.fetch = Fetch::new(waits.resend_min, waits.resend_max);
    // Nobody tells it what it lacks: it must ask.
    cluster.loses = Box::new(move |_, from, to, message| {
        [from, to].contains(&behind) && matches!(message, Message::Status(_) | Message::CommitRequest(_))
    });
    cluster.run(2_000_000);
    let (shortest, longest) = cluster.check_agreement();
    assert!(longest - shortest <= 2, "{shortest} of {longest} commits");
    assert_eq!(sorted(cluster.effective(3, 0)), ids(0..3));
}

#[test]
fn payload_of_vertices_below_the_floor_is_proposed_again() {
    let mut cluster = Cluster::started(4, 6);
    // Nobody hears the proposals of authority 3 for a while, so its vertices fall below the floor uncertified.
    cluster.loses = Box::new(|_, from, _, message| {
        let Party::Beacon(from) = from else { return false };
        from.0 == 3 && !matches!(message, Message::Votes(_) | Message::Status(_))
    });
    cluster.offer(3, ShardId(0), vec![batch(100)]);
    for n in 0..30 {
        cluster.offer(n as usize % 3, ShardId(0), vec![batch(n)]);
        cluster.run(20_000);
    }
    assert!(!cluster.effective(0, 0).contains(&batch(100).id));
    assert!(cluster.beacon(3).counters().returned_batches >= 1);
    cluster.loses = Box::new(|_, _, _, _| false);
    cluster.run(1_000_000);
    assert_eq!(cluster.effective(0, 0).iter().filter(|id| **id == batch(100).id).count(), 1);
    cluster.check_agreement();
}

#[test]
fn far_links_are_not_mistaken_for_losses() {
    let mut cluster = Cluster::started(4, 256);
    cluster.delay = 100_000;
    cluster.jitter = 20_000;
    for n in 0..40 {
        cluster.offer(n as usize % 4, ShardId(0), vec![batch(n)]);
        cluster.run(100_000);
    }
    let resends: u64 = (0..4).map(|index| cluster.beacon(index).counters().resends).sum();
    let rounds = cluster.beacon(0).status().round.0;
    cluster.run(1_000_000);
    cluster.check_agreement();
    assert_eq!(sorted(cluster.effective(0, 0)), ids(0..40));
    assert!(
        rounds > 15 && resends < 40,
        "{resends} resends in {rounds} rounds, all but the first few needless"
    );
}

#[test]
fn random_losses_delays_and_crashes_keep_one_order() {
    for seed in 0..12_u64 {
        let size = if seed % 3 == 0 { 7 } else { 4 };
        let mut cluster = Cluster::new(size, 4 + seed % 30);
        cluster.jitter = 1 + scatter(seed) % 20_000;
        let of = 3 + scatter(seed + 1) % 30;
        cluster.loses = Box::new(move |n, _, _, _| scatter(n + seed * 1_000_003).is_multiple_of(of));
        (0..size).for_each(|index| cluster.start(index));
        for step in 0..60 {
            let dice = scatter(seed * 7_919 + step);
            let index = usize::try_from(dice % size as u64).expect("small");
            match dice >> 32 & 15 {
                0 => cluster.stop(index),
                1 => {
                    let length = cluster.nodes[index].log.len();
                    cluster.nodes[index].crash_at = Some(length + (dice >> 40) as usize % 20);
                }
                2..=4 => {
                    for index in 0..size {
                        if cluster.nodes[index].beacon.is_none() {
                            cluster.start(index);
                        }
                    }
                }
                _ if cluster.nodes[index].beacon.is_some() => {
                    cluster.offer(index, ShardId(0), vec![batch(step)]);
                }
                _ => {}
            }
            cluster.run(15_000);
            if cluster.nodes.iter().any(|node| node.beacon.is_some()) {
                cluster.check_agreement();
            }
        }
        cluster.loses = Box::new(|_, _, _, _| false);
        for index in 0..size {
            cluster.nodes[index].crash_at = None;
            if cluster.nodes[index].beacon.is_none() {
                cluster.start(index);
            }
        }
        for index in 0..size {
            cluster.offer(index, ShardId(1), vec![batch(1_000 + index as u64)]);
        }
        cluster.run(5_000_000);
        let (shortest, longest) = cluster.check_agreement();
        assert!(longest - shortest <= 3, "seed {seed}: {shortest} of {longest} commits");
        for index in 0..size {
            let effective = sorted(cluster.effective(index, 1));
            assert_eq!(effective, ids(1_000..1_000 + size as u64), "seed {seed}, authority {index}");
            let counters = cluster.beacon(index).counters();
            assert_eq!((counters.conflicts, counters.equivocations), (0, 0), "seed {seed}");
        }
    }
}
