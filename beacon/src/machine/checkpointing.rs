//! Checkpoints: every so many commits the state goes into the log, so that what led to it can be deleted.
//!
//! A checkpoint is *frozen* the moment its commit took effect. Its pieces are written, one with each input so that none
//! holds up a vote for long, once all own workers have stored the orders up to that commit: after a restart the beacon
//! can give them nothing older. With the last piece the log may forget everything before the first entry that concerns
//! a round above the floor of the commit: everything signed that could be signed differently, every vertex that may
//! still be ordered or walked through, and every commit that ordered one of those comes after it, since a commit is
//! written after its vertices. Until then the checkpoint before is the one that counts.

use std::collections::BTreeMap;

use fresnel_types::{
    Commit, CommitIndex, Effect, EntryNumber, LogEntry, Round, limits::COMMITS_PER_CHECKPOINT,
};

use super::Beacon;
use crate::checkpoint::{self, Head};

/// When the next checkpoint is due, and the one on its way into the log.
#[derive(Debug)]
pub(super) struct Checkpointing {
    /// Commits between two checkpoints at least.
    commits: u64,
    /// The commit of the last checkpoint.
    last: CommitIndex,
    /// The number that the next entry of the log gets.
    next: EntryNumber,
    /// The first entry that concerns each round above the floor.
    first: BTreeMap<Round, EntryNumber>,
    frozen: Option<Frozen>,
}

#[derive(Debug)]
struct Frozen {
    head: Head,
    body: Vec<u8>,
    /// Pieces in the log.
    written: u32,
}

impl Checkpointing {
    pub(super) fn new(commits: u64) -> Self {
        Self { commits, last: CommitIndex(0), next: EntryNumber(0), first: BTreeMap::new(), frozen: None }
    }

    /// Goes on from a log whose first entry has this number, and from the checkpoint in it.
    pub(super) fn restore(&mut self, first: EntryNumber, last: CommitIndex) {
        (self.next, self.last) = (first, last);
    }

    /// An entry is in the log.
    pub(super) fn appended(&mut self, entry: &LogEntry) {
        let round = match entry {
            LogEntry::Vertex(vertex) => Some(vertex.vertex.head.round),
            LogEntry::Vote(vote) => Some(vote.vertex.round),
            LogEntry::Certificate(certificate) => Some(certificate.vertex.round),
            LogEntry::Commit(_)
            | LogEntry::Batch(_)
            | LogEntry::Order(_)
            | LogEntry::Bundle(_)
            | LogEntry::Checkpoint(_)
            | LogEntry::Sync(_)
            | LogEntry::Evidence(_)
            | LogEntry::Resumed(_) => None,
        };
        if let Some(round) = round {
            self.first.entry(round).or_insert(self.next);
        }
        self.next.0 += 1;
    }

    /// No checkpoint to come needs to know of rounds at or below the floor.
    pub(super) fn prune(&mut self, floor: Round) {
        while self.first.first_key_value().is_some_and(|(round, _)| *round <= floor) {
            self.first.pop_first();
        }
    }

    fn is_due(&self, commit: CommitIndex) -> bool {
        self.frozen.is_none()
            && commit.0.is_multiple_of(COMMITS_PER_CHECKPOINT)
            && commit.0 >= self.last.0.saturating_add(self.commits)
    }

    /// The first entry that concerns a round above `floor`.
    fn first_above(&self, floor: Round) -> EntryNumber {
        self.first.range(floor.next()..).map(|(_, &number)| number).min().unwrap_or(self.next)
    }

    /// The next piece of the frozen checkpoint, and what the log may forget once it is the last.
    fn write(&mut self) -> Option<(LogEntry, Option<EntryNumber>)> {
        let mut frozen = self.frozen.take()?;
        let piece = checkpoint::piece(&frozen.head, &frozen.body, frozen.written);
        let forget = piece.last.then_some(frozen.head.entry);
        frozen.written += 1;
        self.frozen = (!piece.last).then_some(frozen);
        Some((LogEntry::Checkpoint(piece), forget))
    }
}

impl Beacon {
    /// Makes an entry durable before any later send.
    pub(super) fn persist(&mut self, entry: LogEntry, out: &mut Vec<Effect>) {
        self.checkpointing.appended(&entry);
        out.push(Effect::Persist(entry));
    }

    /// Freezes a checkpoint if one is due after this commit, the last to take effect.
    pub(super) fn freeze(&mut self, commit: &Commit) {
        if !self.checkpointing.is_due(commit.index) {
            return;
        }
        let head = Head {
            commit: commit.clone(),
            entry: self.checkpointing.first_above(commit.floor),
            round: self.own.round,
            time: self.own.time,
            resumed: self.resuming.above(),
        };
        let evidence = self.evidence.values().cloned().collect();
        let known = self.known.values().cloned().collect();
        let body = checkpoint::body(self.pending.past(), &known, &evidence, self.orderer.state());
        self.checkpointing.last = commit.index;
        self.checkpointing.frozen = Some(Frozen { head, body, written: 0 });
    }

    /// Writes the next piece of the frozen checkpoint once no own worker needs an order that it stands for.
    pub(super) fn write_checkpoint(&mut self, out: &mut Vec<Effect>) {
        self.checkpointing.prune(self.dag.floor());
        let Some(commit) = self.checkpointing.frozen.as_ref().map(|frozen| frozen.head.commit.index) else {
            return;
        };
        if self.streams.hold(commit) {
            return;
        }
        if let Some((piece, forget)) = self.checkpointing.write() {
            self.persist(piece, out);
            if let Some(entry) = forget {
                self.counters.checkpoints += 1;
                out.push(Effect::Forget(entry));
            }
        }
    }
}
