//! Restarts from what checkpoints leave of a log. Every start in these clusters from such a log is compared with one from
//! the whole log, and both with the same inputs from there on: see [`Cluster::start`].

use fresnel_types::{CommitIndex, EntryNumber, LogEntry, Message, ShardId, limits::COMMITS_PER_CHECKPOINT};
use proptest::prelude::*;

use super::{
    cluster::{Cluster, batch, is_checkpoint, scatter},
    ids, sorted,
};
use crate::machine::{Beacon, RecoveryError};

/// Offers batches until authority 0 has that many commits.
fn load(cluster: &mut Cluster, n: &mut u64, commits: u64) {
    let size = cluster.nodes.len();
    while cluster.beacon(0).status().commit < CommitIndex(commits) {
        let index = usize::try_from(*n).expect("few") % size;
        if cluster.nodes[index].beacon.is_some() {
            cluster.offer(index, ShardId((*n % 2) as u16), vec![batch(*n)]);
        }
        cluster.run(10_000);
        *n += 1;
    }
}

fn checkpoints(cluster: &Cluster, index: usize) -> Vec<(CommitIndex, bool)> {
    let entries = cluster.nodes[index].log.iter();
    entries
        .filter_map(|entry| match entry {
            LogEntry::Checkpoint(piece) => Some((piece.commit, piece.last)),
            _ => None,
        })
        .collect()
}

#[test]
fn what_is_forgotten_is_not_needed() {
    for (size, depth) in [(1, 2), (1, 256), (4, 2), (4, 40), (7, 12)] {
        let (mut cluster, mut n) = (Cluster::started(size, depth), 0);
        load(&mut cluster, &mut n, 2 * COMMITS_PER_CHECKPOINT + 10);
        let complete = [(CommitIndex(64), false), (CommitIndex(64), true)];
        assert_eq!(checkpoints(&cluster, 0)[..2], complete);
        assert_eq!(cluster.beacon(0).counters().checkpoints, 2);
        for index in 0..size {
            if depth < 64 {
                let node = &cluster.nodes[index];
                assert!(node.forgotten.0 > node.log.len() as u64 / 2, "{size}, {depth}: {}", node.forgotten);
            }
            cluster.stop(index);
        }
        (0..size).for_each(|index| cluster.start(index));
        load(&mut cluster, &mut n, 3 * COMMITS_PER_CHECKPOINT + 10);
        cluster.check_agreement();
        cluster.run(300_000);
        for index in 0..size {
            let effective = [cluster.effective(index, 0), cluster.effective(index, 1)].concat();
            assert_eq!(sorted(effective), ids(0..n), "{size}, {depth}");
        }
        assert!(depth == 256 || cluster.restored == (size, size), "{:?}", cluster.restored);
    }
}

#[test]
fn a_worker_that_stores_nothing_holds_up_the_checkpoint_and_nothing_else() {
    let (mut cluster, mut n) = (Cluster::started(4, 12), 0);
    cluster.nodes[1].workers[1].is_stuck = true;
    load(&mut cluster, &mut n, 3 * COMMITS_PER_CHECKPOINT + 10);
    assert_eq!(checkpoints(&cluster, 1), []);
    assert_eq!(checkpoints(&cluster, 2).len(), 6);
    cluster.nodes[1].workers[1].is_stuck = false;
    cluster.say(1, ShardId(1), Message::OrderRequest(CommitIndex(1)));
    cluster.run(1_500_000);
    let first = CommitIndex(COMMITS_PER_CHECKPOINT);
    assert_eq!(checkpoints(&cluster, 1)[..2], [(first, false), (first, true)], "the one it froze");
    cluster.stop(1);
    cluster.start(1);
    load(&mut cluster, &mut n, 4 * COMMITS_PER_CHECKPOINT + 10);
    cluster.run(100_000);
    assert_eq!(cluster.beacon(1).counters().orders_gone, 0);
    assert_eq!(cluster.effective(1, 1), cluster.effective(0, 1));
}

#[test]
fn a_worker_that_lost_its_orders_is_not_given_others() {
    let (mut cluster, mut n) = (Cluster::started(4, 12), 0);
    load(&mut cluster, &mut n, COMMITS_PER_CHECKPOINT + 10);
    cluster.stop(1);
    cluster.nodes[1].workers[1].orders.truncate(10);
    // A whole log would have them.
    cluster.compares = false;
    cluster.start(1);
    assert_eq!(cluster.beacon(1).counters().orders_gone, 1);
    cluster.run(300_000);
    assert_eq!(cluster.nodes[1].workers[1].orders.len(), 10);
    assert_eq!(cluster.effective(1, 0), cluster.effective(0, 0), "the other one goes on");
}

#[test]
fn the_checkpoint_before_counts_until_the_next_is_complete() {
    let (mut cluster, mut n) = (Cluster::started(4, 12), 0);
    load(&mut cluster, &mut n, 3 * COMMITS_PER_CHECKPOINT - 10);
    let forgotten = cluster.nodes[2].forgotten;
    assert!(forgotten > EntryNumber(0));
    cluster.nodes[2].crashes = is_checkpoint;
    load(&mut cluster, &mut n, 3 * COMMITS_PER_CHECKPOINT + 10);
    assert!(cluster.nodes[2].beacon.is_none());
    assert_eq!(checkpoints(&cluster, 2)[4..], [(CommitIndex(3 * COMMITS_PER_CHECKPOINT), false)]);
    assert_eq!(cluster.nodes[2].forgotten, forgotten);
    cluster.start(2);
    assert_eq!(cluster.restored, (1, 1));
    load(&mut cluster, &mut n, 4 * COMMITS_PER_CHECKPOINT + 10);
    cluster.check_agreement();
    let last = CommitIndex(4 * COMMITS_PER_CHECKPOINT);
    assert_eq!(checkpoints(&cluster, 2).last(), Some(&(last, true)), "and the next one follows");
    assert!(cluster.nodes[2].forgotten > forgotten);
}

#[test]
fn a_peer_far_behind_gets_what_the_log_still_holds() {
    let (mut cluster, mut n) = (Cluster::started(4, 4), 0);
    load(&mut cluster, &mut n, COMMITS_PER_CHECKPOINT);
    cluster.stop(3);
    load(&mut cluster, &mut n, 2 * COMMITS_PER_CHECKPOINT + 20);
    // The driver deletes less than it may.
    for index in 0..3 {
        cluster.stop(index);
        let half = cluster.nodes[index].forgotten.0 / 4;
        cluster.nodes[index].forgotten = EntryNumber(half);
    }
    (0..4).for_each(|index| cluster.start(index));
    load(&mut cluster, &mut n, 3 * COMMITS_PER_CHECKPOINT);
    cluster.run(300_000);
    let (shortest, longest) = cluster.check_agreement();
    assert!(longest - shortest <= 3, "{shortest} of {longest} commits");
    assert!(cluster.beacon(3).counters().replayed > 64);
}

#[test]
fn a_log_without_its_beginning_or_with_a_damaged_checkpoint_is_refused() {
    let (mut cluster, mut n) = (Cluster::started(1, 4), 0);
    load(&mut cluster, &mut n, COMMITS_PER_CHECKPOINT + 5);
    let node = &cluster.nodes[0];
    let open = |log| Beacon::open(node.config.clone(), log, cluster.now).map(|beacon| beacon.status());
    let (forgotten, next) = (node.forgotten, EntryNumber(node.forgotten.0 + 1));
    assert!(open(node.left(forgotten)).is_ok());
    assert_eq!(open(node.left(next)), Err(RecoveryError::Gap { first: next, needed: forgotten }));
    let mut without = node.left(forgotten);
    without.entries.retain(|entry| !is_checkpoint(entry));
    let needed = EntryNumber(0);
    assert_eq!(open(without), Err(RecoveryError::Gap { first: forgotten, needed }));
    let damaged = |byte: usize| {
        let mut log = node.left(forgotten);
        let pieces = log.entries.iter_mut().filter_map(|entry| match entry {
            LogEntry::Checkpoint(piece) if piece.last => Some(piece),
            _ => None,
        });
        pieces.for_each(|piece| piece.bytes[byte] ^= 1);
        open(log)
    };
    let (length, mut found) = (checkpoint_bytes(node.log.iter()), 0);
    for byte in (0..length).step_by(7) {
        match damaged(byte) {
            Err(RecoveryError::Checkpoint(CommitIndex(64), _)) => found += 1,
            restored => {
                assert_eq!(restored, open(node.left(forgotten)), "byte {byte}: the order is the same")
            }
        }
    }
    assert!(found > length / 14, "{found} of {length} bytes");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    /// A3 is watched by the cluster in every step, and so is that orders never change.
    #[test]
    fn a_restart_at_any_instant_is_as_if_nothing_was_forgotten(
        seed in any::<u64>(),
        size in prop::sample::select(&[1_usize, 4, 7]),
        depth in 2_u64..40,
        restarts in prop::collection::vec((0_u64..200, any::<prop::sample::Index>(), 0_usize..24), 2..7),
    ) {
        let (mut cluster, mut n) = (Cluster::started(size, depth), 0);
        cluster.jitter = 1 + seed % 8_000;
        let of = 5 + scatter(seed) % 60;
        cluster.loses = Box::new(move |n, _, _, _| scatter(n ^ seed).is_multiple_of(of));
        for (after, index, entries) in restarts {
            for _ in 0..after {
                cluster.offer(usize::try_from(n).expect("few") % size, ShardId((n % 2) as u16), vec![batch(n)]);
                cluster.run(5_000);
                n += 1;
            }
            let index = index.index(size);
            cluster.nodes[index].crash_at = Some(cluster.nodes[index].log.len() + entries);
            cluster.run(10_000);
            cluster.stop(index);
            cluster.start(index);
            cluster.check_agreement();
            // The worker offers again what no commit showed it.
            for n in n.saturating_sub(40)..n {
                cluster.offer(usize::try_from(n).expect("few") % size, ShardId((n % 2) as u16), vec![batch(n)]);
            }
        }
        cluster.loses = Box::new(|_, _, _, _| false);
        cluster.run(3_000_000);
        let (shortest, longest) = cluster.check_agreement();
        prop_assert!(longest - shortest <= 3, "{shortest} of {longest} commits");
        for index in 0..size {
            let effective = [cluster.effective(index, 0), cluster.effective(index, 1)].concat();
            let missing: Vec<u64> = (0..n).filter(|n| !effective.contains(&batch(*n).id)).collect();
            prop_assert_eq!(missing, [0; 0], "at {}", index);
            prop_assert_eq!(effective.len() as u64, n);
            let counters = cluster.beacon(index).counters();
            prop_assert_eq!((counters.conflicts, counters.equivocations, counters.orders_gone), (0, 0, 0));
        }
    }
}

fn checkpoint_bytes<'a>(entries: impl Iterator<Item = &'a LogEntry>) -> usize {
    let mut pieces = entries.filter_map(|entry| match entry {
        LogEntry::Checkpoint(piece) if piece.last => Some(piece.bytes.len()),
        _ => None,
    });
    pieces.next().expect("a checkpoint")
}
