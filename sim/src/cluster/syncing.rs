//! Runs in which a worker loses everything that it kept and gets a state from its peers, interrupted if asked for, while the
//! chain moves on.

use std::collections::BTreeSet;

use fresnel_types::{
    AuthorityIndex, LogEntry, Message, Party, ShardId,
    snapshot::{SnapshotAnswer, SnapshotPiece, SyncEntry},
};

use super::{Cluster, Event};
use crate::{
    Choice, Options, Violation,
    faults::{Fault, Moment},
    invariants::{Broken, hold},
    machines::Setup,
};

/// What happens to a worker of authority 0.
#[derive(Clone, Debug)]
pub struct Syncing {
    /// Seed, size and load.
    pub options: Options,
    /// How many peers never answer who asks for a state.
    pub silent: usize,
    /// What one of the others does.
    pub lying: Lie,
    /// Whether the power of the authority fails around every piece that the worker writes down.
    pub interrupted: bool,
}

/// What a lying peer does to what it gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Nothing.
    None,
    /// It changes a byte of each chunk.
    Forge,
    /// It gives another chunk than the one asked for.
    Reorder,
    /// It gives the first half of each chunk.
    Omit,
    /// It changes a byte of each part.
    ForgeParts,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct SyncReport {
    /// Entries that the worker wrote about its way to a state.
    pub entries: u64,
    /// Pieces among them.
    pub pieces: u64,
    /// From how many peers it was given chunks.
    pub sources: usize,
    /// How often the power failed meanwhile.
    pub interruptions: u64,
    /// Chunks and parts that were altered on their way.
    pub altered: u64,
    /// Records of the worker at the end, all equal to those of others.
    pub records: usize,
}

/// The state of the scenario in a running cluster.
#[derive(Debug, Default)]
pub(super) struct Scenario {
    silent: Vec<AuthorityIndex>,
    lie: Option<Lie>,
    interrupted: bool,
    sources: BTreeSet<AuthorityIndex>,
    /// The last chunk that the liar was asked for, to be given in the place of another.
    last: Option<Vec<u8>>,
    report: SyncReport,
}

/// Simulates it.
///
/// # Errors
/// The first invariant that does not hold, or the worker having no state at the end.
pub fn sync(syncing: &Syncing) -> Result<SyncReport, Box<Violation>> {
    let options = &syncing.options;
    let mut cluster = Cluster::of(Setup::without_one(options));
    cluster.schedule(options);
    let last = options.authorities as u16;
    cluster.syncing = Some(Scenario {
        silent: (last - syncing.silent as u16..last).map(AuthorityIndex).collect(),
        lie: (syncing.lying != Lie::None).then_some(syncing.lying),
        interrupted: syncing.interrupted,
        ..Scenario::default()
    });
    cluster.scheduler.after(options.duration / 3, Event::Erase(VICTIM));
    let result = cluster.guarded(|cluster| {
        cluster.run()?;
        cluster.check_synced()
    });
    match result {
        Ok(()) => Ok(cluster.syncing.take().unwrap_or_default().report),
        Err(Broken { invariant, what }) => Err(Box::new(Violation {
            invariant,
            what,
            at: cluster.elapsed(),
            faults: vec![],
            adversaries: Default::default(),
            options: Options { adversary: Choice::None, ..options.clone() },
        })),
    }
}

impl Cluster {
    /// Ends the process of a worker, removes all that it kept, and starts it again.
    pub(super) fn erase(&mut self, party: Party) {
        let index = self.index[&party];
        self.hosts[index].crash(false);
        self.hosts[index].erase();
        self.scheduler.after(DOWN, Event::Start(index));
    }

    /// What the worker of the scenario writes down; whether its power is to fail now.
    pub(super) fn note_sync(&mut self, party: Party, entry: &LogEntry) {
        let Some(scenario) = self.syncing.as_mut().filter(|_| party == VICTIM) else { return };
        let LogEntry::Sync(entry) = entry else { return };
        scenario.report.entries += 1;
        scenario.report.pieces += u64::from(matches!(entry, SyncEntry::Piece(..)));
        if scenario.interrupted {
            // Now, and also around the next thing it writes: in turn before and after it is durable.
            let moments = [Moment::Now, Moment::BeforeSync, Moment::BetweenSends];
            let moment = moments[scenario.report.interruptions as usize % moments.len()];
            scenario.report.interruptions += 1;
            let authorities = vec![AuthorityIndex(0)];
            self.scheduler.after(1, Event::Fault(Fault::PowerLoss { authorities, down: DOWN, moment }));
        }
    }

    /// What becomes of a message of a peer to the worker of the scenario; nothing when it does not leave.
    pub(super) fn meddle(&mut self, from: Party, to: Party, message: &Message) -> Option<Message> {
        let unaltered = || Some(message.clone());
        let Some(scenario) = self.syncing.as_mut().filter(|_| to == VICTIM) else { return unaltered() };
        let (Some(authority), Message::Snapshot(answer)) = (from.authority(), message) else {
            return unaltered();
        };
        if scenario.silent.contains(&authority) {
            return None;
        }
        if matches!(answer, SnapshotAnswer::Piece { piece: SnapshotPiece::Chunk(_), bytes: Some(_), .. }) {
            scenario.sources.insert(authority);
            scenario.report.sources = scenario.sources.len();
        }
        match scenario.lie {
            Some(lie) if authority == LIAR => Some(Message::Snapshot(scenario.alter(lie, answer.clone()))),
            _ => unaltered(),
        }
    }

    /// Whether there is anything to be altered on its way.
    pub(super) fn meddles(&self, to: Party) -> bool {
        to == VICTIM && self.syncing.is_some()
    }

    fn check_synced(&mut self) -> Result<(), Broken> {
        let index = self.index[&VICTIM];
        let machine = self.hosts[index].machine();
        let records = machine.map(|machine| machine.records(Default::default())).unwrap_or_default();
        hold!("sync", !records.is_empty(), "the worker has no record at the end");
        for record in &records {
            self.monitor.record(AuthorityIndex(0), record)?;
        }
        let scenario = self.syncing.as_mut().expect("it is a run of this scenario");
        scenario.report.records = records.len();
        hold!("sync", scenario.report.pieces > 0, "the worker fetched nothing");
        Ok(())
    }
}

impl Scenario {
    fn alter(&mut self, lie: Lie, answer: SnapshotAnswer) -> SnapshotAnswer {
        let SnapshotAnswer::Piece { record, piece, bytes: Some(mut bytes) } = answer else {
            return answer;
        };
        let is_part = matches!(piece, SnapshotPiece::Part(_));
        if is_part == (lie == Lie::ForgeParts) {
            self.report.altered += 1;
            let middle = bytes.len() / 2;
            match lie {
                Lie::None => {}
                Lie::Forge | Lie::ForgeParts => bytes[middle] ^= 0x10,
                Lie::Reorder => {
                    let other = self.last.replace(bytes.clone());
                    bytes = other.unwrap_or_default();
                }
                Lie::Omit => bytes.truncate(middle),
            }
        }
        SnapshotAnswer::Piece { record, piece, bytes: Some(bytes) }
    }
}

/// The worker that loses everything.
const VICTIM: Party = Party::Worker(AuthorityIndex(0), ShardId(0));

/// Who lies.
const LIAR: AuthorityIndex = AuthorityIndex(1);

/// Microseconds until it is started again.
const DOWN: u64 = 50_000;
