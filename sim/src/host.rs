//! The process of one machine: its inbox, its log, its checkpoints, and the steps in which a driver runs it.

use std::collections::{BTreeMap, VecDeque};

use fresnel_log::{Log, LogError, Recovered};
use fresnel_state::{CheckpointStore, snapshot::Publication};
use fresnel_types::{
    BlockIndex, Checkpoint, Effect, EntryNumber, Input, LogEntry, Machine, Party, Timestamp,
    checkpoint::Restored,
    snapshot::{SnapshotPiece, SnapshotResult, SnapshotTask},
};

use crate::{
    checkpoints::SimStore,
    disk::SimDisk,
    invariants::{Broken, Monitor, hold},
    machines::{AnyMachine, Setup},
};

/// A machine with its disks, running or not.
pub(crate) struct Host {
    pub(crate) party: Party,
    life: Option<Life>,
    /// The disks while nothing runs.
    disks: Option<Disks>,
    /// Counts starts, so that what was meant for an earlier process does not reach a later one.
    pub(crate) incarnation: u64,
    inbox: VecDeque<Input>,
    /// The clock against the simulation's, and what it showed last.
    offset: i64,
    shown: Timestamp,
    /// The instant of the tick that is scheduled, in the simulation's time.
    pub(crate) tick_at: Option<Timestamp>,
    /// Whether a step is scheduled.
    pub(crate) woken: bool,
    /// Blocks whose records the monitor has seen.
    pub(crate) recorded: BlockIndex,
    /// The number behind the last log entry that was synced.
    durable: EntryNumber,
    /// Entries of the log before this one need not be there.
    forgotten: EntryNumber,
    idle_ticks: u64,
}

/// What a loss of power strikes.
pub(crate) struct Disks {
    pub(crate) log: SimDisk,
    pub(crate) checkpoints: SimDisk,
}

struct Life {
    machine: AnyMachine,
    log: Log<SimDisk>,
    checkpoints: SimStore,
    /// The pieces of the checkpoint that is published.
    published: BTreeMap<SnapshotPiece, Vec<u8>>,
    /// Effects of the last step, waiting for their sync.
    unreleased: Option<Vec<Effect>>,
}

/// What a start found.
pub(crate) struct Started {
    /// The log had a torn tail.
    pub(crate) torn: bool,
    /// The machine began with a checkpoint.
    pub(crate) from_checkpoint: bool,
}

/// What a step gives to do.
pub(crate) enum Stepped {
    /// Nothing happened.
    Idle,
    /// The disk failed, after which the process must end.
    Failed,
    /// Effects wait for a release; whether anything is to be synced first.
    Busy { dirty: bool },
}

impl Host {
    pub(crate) fn new(party: Party, disks: Disks) -> Self {
        Self {
            party,
            life: None,
            disks: Some(disks),
            incarnation: 0,
            inbox: VecDeque::new(),
            offset: 0,
            shown: Timestamp(0),
            tick_at: None,
            woken: false,
            recorded: BlockIndex(0),
            durable: EntryNumber(0),
            forgotten: EntryNumber(0),
            idle_ticks: 0,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.life.is_some()
    }

    /// Whether the last step wrote anything that is not synced yet.
    pub(crate) fn is_dirty(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.log.is_dirty())
    }

    pub(crate) fn machine(&self) -> Option<&AnyMachine> {
        self.life.as_ref().map(|life| &life.machine)
    }

    /// Opens log, store and machine. The monitor is shown what is recovered: it may be more than was released, and must
    /// never be less.
    pub(crate) fn start(
        &mut self,
        setup: &Setup,
        monitor: &mut Monitor,
        now: Timestamp,
    ) -> Result<Started, Broken> {
        let disks = self.disks.take().expect("a host that is down has its disks");
        let options = fresnel_log::Options { segment_bytes: setup.keeping.segment_bytes };
        let broken = |what| Broken { invariant: "D2", what };
        let (log, Recovered { entries, cut }) = Log::open(disks.log, options)
            .map_err(|error| broken(format!("the log of {:?}: {error}", self.party)))?;
        hold!(
            "D2",
            entries.first <= self.forgotten && entries.next() >= self.durable,
            "{:?} recovered the entries from {} to {} of those from {} to {} that are durable",
            self.party,
            entries.first,
            entries.next(),
            self.forgotten,
            self.durable
        );
        let seen = usize::try_from(self.durable.0 - entries.first.0).expect("no more than were recovered");
        entries.entries[seen..].iter().try_for_each(|entry| monitor.persisted(self.party, entry))?;
        self.durable = entries.next();
        let checkpoints = SimStore::open(disks.checkpoints).expect("these disks do not fail");
        let restored = checkpoints.load().expect("these disks do not fail");
        let logged = |entry: &LogEntry| matches!(entry, LogEntry::Checkpoint(piece) if piece.last);
        let from_checkpoint = restored.is_some() || entries.entries.iter().any(logged);
        let now = self.clock(now);
        let machine = match AnyMachine::open(setup, self.party, restored, entries, now) {
            Ok(machine) => machine,
            Err(error) => {
                self.disks = Some(Disks { log: log.into_disk(), checkpoints: checkpoints.into_disk() });
                return Err(broken(format!("{:?} cannot be restored: {error}", self.party)));
            }
        };
        self.life = Some(Life { machine, log, checkpoints, published: BTreeMap::new(), unreleased: None });
        self.incarnation += 1;
        self.tick_at = None;
        self.woken = false;
        self.recorded = BlockIndex(0);
        Ok(Started { torn: cut.is_some(), from_checkpoint })
    }

    /// Ends the process. With `write_through`, what it had appended reaches the disk unsynced.
    pub(crate) fn crash(&mut self, write_through: bool) {
        if let Some(mut life) = self.life.take() {
            if write_through && life.log.is_dirty() {
                life.log.disk_mut().fail_next_sync();
                let failed = life.log.sync();
                assert!(failed.is_err(), "the sync was made to fail");
            }
            let mut log = life.log.into_disk();
            log.repair();
            self.disks = Some(Disks { log, checkpoints: life.checkpoints.into_disk() });
        }
        self.inbox.clear();
        self.tick_at = None;
    }

    /// Removes everything that a host that is down kept.
    pub(crate) fn erase(&mut self) {
        let disks = self.disks.as_mut().expect("what is kept is lost after the process ended");
        disks.log.erase();
        disks.checkpoints.erase();
        (self.durable, self.forgotten) = (EntryNumber(0), EntryNumber(0));
    }

    /// Drops or tears what is unsynced on the disks of a host that is down.
    pub(crate) fn lose_power(&mut self) {
        let disks = self.disks.as_mut().expect("power is lost after the process ended");
        disks.log.lose_power();
        disks.checkpoints.lose_power();
    }

    /// Replaces the disks of a host that is down by empty ones.
    pub(crate) fn replace(&mut self, disks: Disks) {
        self.disks = Some(disks);
        (self.durable, self.forgotten) = (EntryNumber(0), EntryNumber(0));
    }

    /// Makes the next sync fail.
    pub(crate) fn fail_next_sync(&mut self) {
        if let Some(life) = &mut self.life {
            life.log.disk_mut().fail_next_sync();
        }
    }

    /// Sets the clock.
    pub(crate) fn set_clock(&mut self, offset: i64) {
        self.offset = offset;
        self.tick_at = None;
    }

    /// What its clock shows at `now`.
    pub(crate) fn clock(&mut self, now: Timestamp) -> Timestamp {
        self.shown = self.shown.max(Timestamp(now.0.saturating_add_signed(self.offset)));
        self.shown
    }

    /// When the machine wants its next tick, in the simulation's time.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let deadline = self.life.as_ref().filter(|life| life.unreleased.is_none())?.machine.deadline()?;
        Some(Timestamp(deadline.0.saturating_add_signed(-self.offset)))
    }

    /// Puts an input into the inbox; whether a step is to be scheduled.
    pub(crate) fn take(&mut self, input: Input) -> bool {
        if self.is_up() {
            self.inbox.push_back(input);
        }
        self.wants_step()
    }

    /// Whether inputs wait and nothing keeps them from being handled.
    pub(crate) fn wants_step(&self) -> bool {
        !self.woken
            && !self.inbox.is_empty()
            && self.life.as_ref().is_some_and(|life| life.unreleased.is_none())
    }

    /// Handles all waiting inputs and a tick that is due.
    pub(crate) fn step(&mut self, now: Timestamp) -> Result<Stepped, Broken> {
        self.woken = false;
        let now = self.clock(now);
        let Some(life) = self.life.as_mut().filter(|life| life.unreleased.is_none()) else {
            return Ok(Stepped::Idle);
        };
        let mut effects = Vec::new();
        let only_tick = self.inbox.is_empty();
        for input in self.inbox.drain(..) {
            life.machine.handle(now, input, &mut effects);
        }
        let due = |machine: &AnyMachine| machine.deadline().is_some_and(|deadline| deadline <= now);
        if due(&life.machine) {
            life.machine.handle(now, Input::Tick, &mut effects);
        }
        let spins = only_tick && effects.is_empty() && due(&life.machine);
        self.idle_ticks = if spins { self.idle_ticks + 1 } else { 0 };
        hold!(
            "deadline",
            self.idle_ticks < IDLE_TICKS_MAX,
            "{:?} does nothing at its own deadline",
            self.party
        );
        if effects.is_empty() {
            return Ok(Stepped::Idle);
        }
        for effect in &effects {
            if let Effect::Persist(entry) = effect {
                match life.log.append(entry) {
                    Ok(()) => {}
                    Err(LogError::Disk(_)) => return Ok(Stepped::Failed),
                    Err(error) => {
                        let what = format!("{:?} cannot append: {error}", self.party);
                        return Err(Broken { invariant: "D2", what });
                    }
                }
            }
        }
        life.unreleased = Some(effects);
        Ok(Stepped::Busy { dirty: life.log.is_dirty() })
    }

    /// Syncs, and gives the effects of the last step: the entries are durable, the sends may leave. None when the disk
    /// failed, after which the process must end.
    pub(crate) fn release(&mut self) -> Option<Vec<Effect>> {
        let life = self.life.as_mut().expect("a release belongs to a running process");
        match life.log.sync() {
            Ok(()) => {
                let effects = life.unreleased.take().expect("a release follows a step");
                self.durable.0 += entries(&effects).count() as u64;
                Some(effects)
            }
            Err(LogError::Disk(_)) => None,
            Err(error) => {
                unreachable!("a log that is open and not poisoned fails only for its disk: {error}")
            }
        }
    }

    /// Begins to store a checkpoint.
    pub(crate) fn begin_checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), Broken> {
        hold!(
            "checkpoint",
            checkpoint.entry <= self.durable,
            "a checkpoint of {:?} covers the log up to {} of {}",
            self.party,
            checkpoint.entry,
            self.durable
        );
        let life = self.life.as_mut().expect("effects belong to a running process");
        life.checkpoints.begin(checkpoint).expect("these disks do not fail");
        Ok(())
    }

    /// Ends what was begun, and tells the machine; whether a step is to be scheduled.
    pub(crate) fn finish_checkpoint(&mut self) -> bool {
        let life = self.life.as_mut().expect("a store ends with its process");
        let block = life.checkpoints.finish().expect("these disks do not fail");
        self.take(Input::Checkpointed(block))
    }

    /// Gives the machine an entry of its log once more.
    pub(crate) fn recall(&mut self, number: EntryNumber) -> Result<(), Broken> {
        let life = self.life.as_mut().expect("effects belong to a running process");
        let entry = life.log.read(number).expect("these disks lose nothing that was synced");
        hold!("D1", entry.is_some() || number < self.forgotten, "{:?} lost entry {number}", self.party);
        self.inbox.push_back(Input::Recalled(number, entry.map(Box::new)));
        Ok(())
    }

    /// Does what the machine wants of its checkpoint store.
    pub(crate) fn snapshot(&mut self, setup: &Setup, task: SnapshotTask) {
        let life = self.life.as_mut().expect("effects belong to a running process");
        let result = match task {
            SnapshotTask::Publish => {
                let restored = life.checkpoints.load().expect("these disks do not fail");
                let publication = restored.map(|restored| publication(setup, self.party, restored));
                life.published = publication.iter().flat_map(Publication::pieces).collect();
                SnapshotResult::Published(publication.map(|publication| Box::new(publication.published)))
            }
            SnapshotTask::Read(piece) => SnapshotResult::Read(piece, life.published.get(&piece).cloned()),
        };
        self.inbox.push_back(Input::Snapshot(result));
    }

    /// Lets the log delete what the machine needs no more. Returns the segments deleted.
    pub(crate) fn forget(&mut self, before: EntryNumber, retained_bytes: u64) -> Result<u64, Broken> {
        let life = self.life.as_mut().expect("effects belong to a running process");
        let covered = match self.party {
            Party::Worker(..) => life.checkpoints.entry(),
            Party::Beacon(_) | Party::Client(_) => self.durable,
        };
        hold!("D1", before <= covered, "{:?} forgets up to {before} of {covered}", self.party);
        self.forgotten = self.forgotten.max(before);
        let forgotten = life.log.forget(before, retained_bytes).expect("removing does not fail");
        Ok(forgotten.segments)
    }
}

/// What a worker publishes of its checkpoint.
fn publication(setup: &Setup, party: Party, restored: Restored) -> Publication {
    let Party::Worker(_, shard) = party else { unreachable!("only workers have checkpoints") };
    let portable = fresnel_shard::portable(restored, setup.rules.shards);
    let portable = portable.expect("a stored checkpoint is one of a worker");
    Publication::new(portable, setup.rules.shards, shard, PIECE_BYTES)
        .expect("a stored checkpoint is certified")
}

/// About the bytes of a chunk and of a part: few, so that the states of simulations have several.
const PIECE_BYTES: [usize; 2] = [200, 4_000];

/// Entries of an effect list that are to be durable.
pub(crate) fn entries(effects: &[Effect]) -> impl Iterator<Item = &LogEntry> {
    effects.iter().filter_map(|effect| match effect {
        Effect::Persist(entry) => Some(entry),
        Effect::Send { .. }
        | Effect::Checkpoint(_)
        | Effect::Forget(_)
        | Effect::Recall(_)
        | Effect::Snapshot(_) => None,
    })
}

/// Ticks in a row that may leave the deadline where it is and do nothing.
const IDLE_TICKS_MAX: u64 = 100;
