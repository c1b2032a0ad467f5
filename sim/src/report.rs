//! How a run ends: with counts of what happened, or with the first invariant that did not hold.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use fresnel_types::AuthorityIndex;

use crate::{
    Options,
    adversaries::{Deeds, Kind},
    faults::Event,
};

/// What a run did. A suite asserts that what it means to test did happen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Commits in the agreed order.
    pub commits: u64,
    /// Blocks closed.
    pub blocks: u64,
    /// Records of all shards.
    pub records: u64,
    /// Machines started again.
    pub restarts: u64,
    /// Authorities that lost their power, counted each time.
    pub power_losses: u64,
    /// Authorities that lost their disks.
    pub disk_losses: u64,
    /// Logs that were opened with a torn tail.
    pub torn_tails: u64,
    /// Checkpoints that were stored by workers or completed in the log by beacons.
    pub checkpoints: u64,
    /// Machines started again that began with one.
    pub restores_from_checkpoint: u64,
    /// Segments of logs that were deleted because no restart needs them.
    pub log_segments_deleted: u64,
    /// Syncs that failed.
    pub sync_errors: u64,
    /// Machines that stood still for a while, counted each time.
    pub freezes: u64,
    /// Shards that went on while another stood still everywhere, counted each time.
    pub went_on: u64,
    /// Requests for vertices and batches.
    pub fetches: u64,
    /// Requests for commits, by beacons that the floor had passed.
    pub floors_passed: u64,
    /// Requests of one shard to another that came back.
    pub bounces: u64,
    /// Transactions that failed because a window was full.
    pub full_windows: u64,
    /// Transactions submitted, each counted once.
    pub submitted: u64,
    /// Submissions of a transaction beyond the first.
    pub resubmitted: u64,
    /// Submissions of one transaction to further authorities at the same instant.
    pub copies: u64,
    /// Transactions reported final.
    pub finals: u64,
    /// Transactions reported settled.
    pub settled: u64,
    /// Messages delivered.
    pub delivered: u64,
    /// Messages lost on the network or because their receiver was down.
    pub lost: u64,
    /// What adversaries did, what of it was refused, and the proofs of equivocation that honest beacons held at the end.
    pub deeds: Deeds,
    /// Most milliseconds from the end of the faults until every beacon had a new commit.
    pub healing_ms: u64,
    /// Simulated milliseconds in all.
    pub simulated_ms: u64,
    /// Hash over everything that any machine took in, with instants: two runs of one seed agree in it.
    pub trace: String,
}

impl Report {
    /// Adds the counts of another run; the trace becomes that of nobody.
    pub fn add(&mut self, other: &Self) {
        let Self {
            commits, blocks, records, restarts, power_losses, torn_tails, sync_errors, fetches, ..
        } = other;
        let Self { floors_passed, bounces, full_windows, submitted, resubmitted, finals, settled, .. } =
            other;
        self.commits += commits;
        self.blocks += blocks;
        self.records += records;
        self.restarts += restarts;
        self.power_losses += power_losses;
        self.disk_losses += other.disk_losses;
        self.torn_tails += torn_tails;
        self.checkpoints += other.checkpoints;
        self.restores_from_checkpoint += other.restores_from_checkpoint;
        self.log_segments_deleted += other.log_segments_deleted;
        self.sync_errors += sync_errors;
        self.freezes += other.freezes;
        self.went_on += other.went_on;
        self.fetches += fetches;
        self.floors_passed += floors_passed;
        self.bounces += bounces;
        self.full_windows += full_windows;
        self.submitted += submitted;
        self.resubmitted += resubmitted;
        self.copies += other.copies;
        self.finals += finals;
        self.settled += settled;
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.deeds.merge(&other.deeds);
        self.healing_ms = self.healing_ms.max(other.healing_ms);
        self.simulated_ms += other.simulated_ms;
        self.trace = String::new();
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:.1} s simulated: {} commits, {} blocks, {} records",
            self.simulated_ms as f64 / 1e3,
            self.commits,
            self.blocks,
            self.records
        )?;
        writeln!(
            f,
            "transactions: {} submitted, {} resubmissions, {} final, {} settled, {} bounces, {} full windows",
            self.submitted, self.resubmitted, self.finals, self.settled, self.bounces, self.full_windows
        )?;
        writeln!(
            f,
            "faults: {} restarts, {} power losses, {} disks lost, {} torn tails, {} sync errors, {} freezes, {} messages lost of {}",
            self.restarts,
            self.power_losses,
            self.disk_losses,
            self.torn_tails,
            self.sync_errors,
            self.freezes,
            self.lost,
            self.lost + self.delivered
        )?;
        writeln!(
            f,
            "checkpoints: {}, {} restarts began with one, {} segments of logs deleted",
            self.checkpoints, self.restores_from_checkpoint, self.log_segments_deleted
        )?;
        writeln!(
            f,
            "recovery: {} fetches, {} floors passed, healed after {} ms",
            self.fetches, self.floors_passed, self.healing_ms
        )?;
        if !self.deeds.is_empty() {
            writeln!(f, "adversaries: {}", self.deeds)?;
        }
        if self.trace.is_empty() { Ok(()) } else { writeln!(f, "trace {}", self.trace) }
    }
}

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Violation {
    /// Its name in DESIGN §8, or what kind of failure it is.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
    /// Microseconds after the start.
    pub at: u64,
    /// What was simulated; prints as the command that repeats it.
    pub options: Options,
    /// What had gone wrong or was still to.
    pub faults: Vec<Event>,
    /// Who kept to no rule.
    pub adversaries: BTreeMap<AuthorityIndex, Vec<Kind>>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} violated at {:.6} s: {}", self.invariant, self.at as f64 / 1e6, self.what)?;
        for (authority, kinds) in &self.adversaries {
            let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            writeln!(f, "  adversary {authority}: {}", names.join(", "))?;
        }
        for event in &self.faults {
            writeln!(f, "  {event}")?;
        }
        write!(f, "repeat with: {}", self.options)
    }
}
