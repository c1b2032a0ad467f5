//! A driver over a disk and an outlet that write down what happens, in order.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
};

use fresnel_log::Options;
use fresnel_types::{
    AuthorityIndex, BlockIndex, Checkpoint, CommitIndex, EntryNumber, LogEntry, Round, Timestamp,
};

use super::*;
use crate::inbox::Inbox;

/// What happened, in order.
type Journal = Arc<Mutex<Vec<String>>>;

fn note(journal: &Journal, event: impl Into<String>) {
    journal.lock().expect("no test panics with it").push(event.into());
}

/// A disk in memory that notes each sync, and fails the sync after the first `syncs`.
struct Notebook {
    journal: Journal,
    files: BTreeMap<String, Vec<u8>>,
    syncs: usize,
}

impl Disk for Notebook {
    fn files(&self) -> io::Result<Vec<String>> {
        Ok(self.files.keys().cloned().collect())
    }
    fn create(&mut self, name: &str, bytes: u64) -> io::Result<()> {
        self.files.insert(name.to_owned(), vec![0; bytes as usize]);
        Ok(())
    }
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        Ok(self.files[name].clone())
    }
    fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.files.get_mut(name).expect("the log writes only to its files");
        file[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
    fn sync(&mut self, _name: &str) -> io::Result<()> {
        self.syncs = self.syncs.checked_sub(1).ok_or_else(|| io::Error::other("the disk is gone"))?;
        note(&self.journal, "sync");
        Ok(())
    }
    fn remove(&mut self, name: &str) -> io::Result<()> {
        note(&self.journal, format!("remove {name}"));
        self.files.remove(name);
        Ok(())
    }
}

impl Outlet for Journal {
    fn release(&mut self, to: Vec<Party>, message: Message) {
        note(self, format!("{to:?} {message:?}"));
    }
    fn settle(&mut self) -> bool {
        false
    }
}

/// Says hello to whom it is connected, before and after it remembers that; on ticks it says so.
struct Greeter {
    deadline: Option<Timestamp>,
}

impl Machine for Greeter {
    fn handle(&mut self, _now: Timestamp, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Connected(party) => effects.extend([
                Effect::Send { to: vec![party], message: Message::OrderStored(CommitIndex(1)) },
                Effect::Persist(LogEntry::Batch(vec![7; 100])),
                Effect::Send { to: vec![party], message: Message::OrderStored(CommitIndex(2)) },
            ]),
            Input::Tick => {
                self.deadline = None;
                effects.push(Effect::Send { to: vec![], message: Message::Proposing(Round(1)) });
            }
            _ => unreachable!("these tests send nothing else"),
        }
    }
    fn deadline(&self) -> Option<Timestamp> {
        self.deadline
    }
}

fn beacon(index: u16) -> Party {
    Party::Beacon(AuthorityIndex(index))
}

/// Runs a driver that finds two connections and then the end; the result and what happened after the log was opened.
fn run(syncs: usize, deadline: Option<Timestamp>) -> (Result<(), LogError>, Vec<String>) {
    let journal = Journal::default();
    let disk = Notebook { journal: Arc::clone(&journal), files: BTreeMap::new(), syncs };
    let (log, _) = Log::open(disk, Options { segment_bytes: 1 << 16 }).expect("a fresh disk");
    journal.lock().expect("no test panics with it").clear();
    let (inbox, receiver) = Inbox::new();
    for index in [1, 2] {
        inbox.offer(Input::Connected(beacon(index))).expect("room");
    }
    inbox.stop();
    let driver = Driver {
        machine: Box::new(Greeter { deadline }),
        log,
        recalled: Vec::new(),
        keeps: true,
        log_retained: 0,
        checkpoints: None,
        inbox: receiver,
        outlet: Arc::clone(&journal),
        clock: Clock::start(),
        counters: Arc::default(),
    };
    let result = driver.run();
    let events = journal.lock().expect("no test panics with it").clone();
    (result, events)
}

fn said(index: u16, commit: u64) -> String {
    format!("{:?} {:?}", vec![beacon(index)], Message::OrderStored(CommitIndex(commit)))
}

#[test]
fn all_waiting_inputs_share_one_sync_and_nothing_leaves_before_it() {
    let (result, events) = run(usize::MAX, None);
    assert!(result.is_ok());
    assert_eq!(events, ["sync".to_owned(), said(1, 1), said(1, 2), said(2, 1), said(2, 2)]);
}

#[test]
fn a_failed_sync_stops_the_driver_and_nothing_leaves() {
    let (result, events) = run(0, None);
    assert!(matches!(result, Err(LogError::Disk(_))), "{result:?}");
    assert_eq!(events, Vec::<String>::new());
}

/// Appends an entry, hands out a checkpoint and forgets most of its log.
struct Saver;

impl Machine for Saver {
    fn handle(&mut self, _now: Timestamp, _input: Input, effects: &mut Vec<Effect>) {
        let checkpoint = Checkpoint {
            block: BlockIndex(3),
            entry: EntryNumber(8),
            anew: false,
            leaves: Default::default(),
            records: Default::default(),
            outcomes: Default::default(),
            in_hand: Vec::new(),
        };
        effects.extend([
            Effect::Forget(EntryNumber(8)),
            Effect::Checkpoint(Box::new(checkpoint)),
            Effect::Persist(LogEntry::Batch(vec![7; 100])),
        ]);
    }
    fn deadline(&self) -> Option<Timestamp> {
        None
    }
}

#[test]
fn checkpoints_leave_and_segments_go_once_all_is_durable() {
    let journal = Journal::default();
    let disk = Notebook { journal: Arc::clone(&journal), files: BTreeMap::new(), syncs: usize::MAX };
    let (mut log, _) = Log::open(disk, Options { segment_bytes: 1 << 16 }).expect("a fresh disk");
    // Two entries fill a segment.
    (0..10).for_each(|_| log.append(&LogEntry::Batch(vec![1; 30_000])).expect("a working disk"));
    log.sync().expect("a working disk");
    journal.lock().expect("no test panics with it").clear();
    let (inbox, receiver) = Inbox::new();
    inbox.offer(Input::Connected(beacon(1))).expect("room");
    inbox.stop();
    let (sender, work) = crate::checkpoints::channel();
    let counters = Arc::new(Counters::default());
    let driver = Driver {
        machine: Box::new(Saver),
        log,
        recalled: Vec::new(),
        keeps: true,
        log_retained: 100_000,
        checkpoints: Some(sender),
        inbox: receiver,
        outlet: Arc::clone(&journal),
        clock: Clock::start(),
        counters: Arc::clone(&counters),
    };
    driver.run().expect("a working disk");
    let events = journal.lock().expect("no test panics with it").clone();
    // Of the four that are not needed, one is retained: two would be more than 100,000 bytes.
    let removed = (0..3).map(|segment| format!("remove log-{segment:016x}"));
    assert_eq!(events[1..], removed.collect::<Vec<_>>());
    assert_eq!(events[0], "sync");
    assert!((180_000..190_000).contains(&counters.log_bytes_deleted.load(Relaxed)), "{counters:?}");
    let stored = |work| match work {
        Work::Store(checkpoint) => checkpoint.block,
        Work::Serve(task) => panic!("nobody asked for {task:?}"),
    };
    assert_eq!(work.iter().map(stored).collect::<Vec<_>>(), [BlockIndex(3)]);
}

#[test]
fn a_deadline_is_kept_also_when_inputs_wait() {
    let (_, events) = run(usize::MAX, Some(Timestamp(0)));
    assert_eq!(events.iter().filter(|event| event.contains("Proposing")).count(), 1, "{events:?}");
}
