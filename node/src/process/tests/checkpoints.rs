//! What a worker hands out is stored, told, and there when it starts again.

use std::sync::atomic::Ordering::Relaxed;

use fresnel_types::{BlockIndex, Checkpoint, EntryNumber, LogEntry};

use super::*;

/// Once it is connected to its beacon, hands out the checkpoint of a block and tells the test what it hears of it.
struct Saver {
    checkpoint: Checkpoint,
    stored: Sender<BlockIndex>,
}

impl Machine for Saver {
    fn handle(&mut self, _now: Timestamp, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Connected(Party::Beacon(_)) => effects.extend([
                Effect::Persist(LogEntry::Batch(vec![7])),
                Effect::Checkpoint(Box::new(self.checkpoint.clone())),
            ]),
            Input::Checkpointed(block) => {
                effects.push(Effect::Forget(self.checkpoint.entry));
                self.stored.send(block).expect("the test listens");
            }
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Timestamp> {
        None
    }
}

/// The checkpoint of a block, which adds to a sequence from `first` on.
fn checkpoint(block: u64, first: u64) -> Checkpoint {
    let records = Extension { first, items: vec![vec![1], vec![2]], oldest: 0 };
    Checkpoint {
        block: BlockIndex(block),
        entry: EntryNumber(1),
        anew: false,
        leaves: Default::default(),
        records,
        outcomes: Extension::default(),
        in_hand: vec![vec![block as u8]],
    }
}

/// A process whose worker hands out `checkpoint`; with what it was opened with, and where it tells what was stored.
fn start(
    cluster: &Cluster,
    checkpoint: Checkpoint,
) -> Result<(Running, Option<Restored>, Receiver<BlockIndex>), NodeError> {
    let (stored, told) = crossbeam_channel::bounded(1);
    let mut opened = None;
    let running = Running::start(&cluster.setup(0), |role, restored, _, _| {
        let own = roles::party(AuthorityIndex(0), role).expect("a machine");
        if role == Role::Beacon {
            assert!(matches!(restored, Kept::Checkpoint(None)), "a beacon's checkpoints are in its log");
            return Ok(Box::new(Toy { own, heard: Arc::clone(&cluster.heard) }));
        }
        opened = match restored {
            Kept::Checkpoint(restored) => restored,
            Kept::Lost => panic!("nobody said that it was lost"),
        };
        Ok(Box::new(Saver { checkpoint: checkpoint.clone(), stored: stored.clone() }))
    })?;
    Ok((running, opened, told))
}

/// Lets a process store `checkpoint` and stops it; what its worker was opened with.
fn store(cluster: &Cluster, checkpoint: Checkpoint) -> Option<Restored> {
    let block = checkpoint.block;
    let (mut running, restored, told) = start(cluster, checkpoint).expect("a free process");
    assert_eq!(told.recv_timeout(PATIENCE).expect("it is stored in time"), block);
    running.stop().expect("nothing failed");
    restored
}

const PATIENCE: Duration = Duration::from_secs(20);

fn one() -> Cluster {
    Cluster::new(1, &[&[&["beacon", "worker-0"]]])
}

#[test]
fn what_was_stored_is_there_after_a_restart() {
    let cluster = one();
    for (block, first, before) in [(5, 10, None), (9, 12, Some((5, 2))), (11, 14, Some((9, 4)))] {
        let restored = store(&cluster, checkpoint(block, first));
        let found = restored.map(|restored| (restored.block.0, restored.records.len()));
        assert_eq!(found, before);
        let stats = fs::read(cluster.data(0).join("stats.json")).expect("written at the end");
        let stats: Stats = serde_json::from_slice(&stats).expect("its own file");
        assert!(stats.counters["checkpoints"] == 1 && stats.counters["checkpoint_bytes"] > 0, "{stats:?}");
    }
}

#[test]
fn a_keeper_that_fails_stops_the_process() {
    let cluster = one();
    store(&cluster, checkpoint(5, 10));
    // A gap in a sequence: the keeper breaks off.
    let (mut running, _, told) = start(&cluster, checkpoint(6, 99)).expect("a free process");
    let failed = running.runtime().block_on(async { timeout(PATIENCE, running.failed()).await });
    failed.expect("the end of a thread is noticed");
    let error = running.stop().expect_err("its keeper failed");
    assert!(matches!(error, NodeError::Panicked(ref name) if name == "keep-worker-0"), "{error}");
    assert!(told.try_recv().is_err(), "nothing was told");
}

#[test]
fn a_damaged_newest_checkpoint_falls_back_to_the_one_before() {
    let cluster = one();
    store(&cluster, checkpoint(5, 10));
    store(&cluster, checkpoint(7, 12));
    let newest = cluster.data(0).join("checkpoint/worker-0/b/CURRENT");
    fs::write(&newest, "nonsense").expect("own folder");
    let restored = store(&cluster, checkpoint(6, 12)).expect("the one before");
    assert_eq!(restored.block, BlockIndex(5));
    let restored = store(&cluster, checkpoint(8, 14)).expect("the next one");
    assert_eq!((restored.block, restored.records.len()), (BlockIndex(6), 4));

    for side in ["a", "b"] {
        fs::write(cluster.data(0).join(format!("checkpoint/worker-0/{side}/CURRENT")), "nonsense")
            .expect("own folder");
    }
    let restored = start(&cluster, checkpoint(9, 16)).expect("a process without a checkpoint").1;
    assert_eq!(restored, None, "both are damaged");
}

/// A machine that finds its checkpoint wrong gets the one before, and in the end none.
#[test]
fn a_checkpoint_that_restores_nothing_is_given_up() {
    let cluster = one();
    store(&cluster, checkpoint(5, 10));
    store(&cluster, checkpoint(7, 12));
    let mut seen = Vec::new();
    let running = Running::start(&cluster.setup(0), |role, restored, _, _| {
        let own = roles::party(AuthorityIndex(0), role).expect("a machine");
        if role != Role::Beacon {
            let Kept::Checkpoint(restored) = restored else { panic!("nobody said that it was lost") };
            let wrong = restored.is_some();
            seen.push(restored.map(|restored| restored.block.0));
            if wrong {
                let error =
                    fresnel_shard::RecoveryError::Damaged("the leaves are not those of the last record");
                return Err(crate::node::unrestored(role, error));
            }
        }
        Ok(Box::new(Toy { own, heard: Arc::clone(&cluster.heard) }))
    });
    let mut running = running.expect("a toy needs no checkpoint");
    assert_eq!(running.router.counters.checkpoints_rejected.load(Relaxed), 2);
    running.stop().expect("nothing failed");
    assert_eq!(seen, [Some(7), Some(5), None]);
}
