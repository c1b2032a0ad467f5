//! When to speculate. Speculation costs some tens of nanoseconds per transaction and pays from a few hundred on, if most
//! transactions do not conflict; so both are measured, and what was learned goes from block to block.
//!
//! ```text
//!              cheap                           ┌────────┐ enough time passed
//!   Probing ──────────▶ Serial { left }        ▼        │ (looks again at the cost)
//!      ▲  │                │    ▲          Speculating ─┴──▶ Probing
//!      │  └────────────────┼────┼─────────────▲ │
//!      │    dear enough    │    │               │ conflicts, or slower than serial:
//!      └───────────────────┘    └───────────────┘ left doubles each time
//!            left is over
//! ```
//!
//! Results never depend on it.

/// What the engine does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many transactions one after the other.
    Serial(usize),
    /// So many transactions on all threads, as long as it pays.
    Speculate(usize),
}

/// The mode and what it was decided by.
#[derive(Clone, Debug)]
pub(crate) struct Modes {
    mode: Mode,
    /// Of one transaction, serially.
    mean_ns: Option<u64>,
    /// Serial transactions before the next probe.
    pause: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Probing {
        left: usize,
        ns: u64,
    },
    Serial {
        left: usize,
    },
    /// The first is a short trial: a whole block at half the speed would take long to make good.
    Speculating {
        since_probe: usize,
        trial: bool,
    },
}

/// Why the mode changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Switch {
    /// A probe found transactions too cheap.
    Cheap,
    /// A probe found them dear enough.
    Dear,
    /// A speculation ended because of conflicts.
    Conflicts,
    /// A speculation took longer than serial execution would have.
    Slow,
}

const PROBING: Mode = Mode::Probing { left: PROBE, ns: 0 };

impl Default for Modes {
    fn default() -> Self {
        Self { mode: PROBING, mean_ns: None, pause: PAUSE_MIN }
    }
}

impl Modes {
    /// Modes that found transactions to take so long.
    #[cfg(all(test, not(any(feature = "loom", feature = "shuttle"))))]
    pub(crate) fn speculating(mean_ns: u64) -> Self {
        Self {
            mode: Mode::Speculating { since_probe: 0, trial: false },
            mean_ns: Some(mean_ns),
            ..Self::default()
        }
    }

    /// What to do with `remaining` transactions on so many threads.
    pub(crate) fn next(&self, remaining: usize, threads: usize) -> Step {
        let short =
            self.mean_ns.is_some_and(|mean| mean.saturating_mul(remaining as u64) < SPECULATION_NS_MIN);
        match self.mode {
            _ if threads == 1 => Step::Serial(remaining),
            Mode::Probing { left, .. } | Mode::Serial { left } => Step::Serial(left.min(remaining)),
            Mode::Speculating { .. } if short => Step::Serial(remaining),
            Mode::Speculating { trial: true, .. } => Step::Speculate(remaining.min(TRIAL)),
            Mode::Speculating { .. } => Step::Speculate(remaining),
        }
    }

    /// The last measured cost of a transaction, serially.
    pub(crate) fn mean_ns(&self) -> Option<u64> {
        self.mean_ns
    }

    /// After a serial step.
    pub(crate) fn executed(&mut self, count: usize, took_ns: u64) -> Option<Switch> {
        match &mut self.mode {
            Mode::Probing { left, ns } => {
                (*left, *ns) = (left.saturating_sub(count), *ns + took_ns);
                if *left > 0 {
                    return None;
                }
                let mean = *ns / PROBE as u64;
                self.mean_ns = Some(mean);
                let dear = mean >= SPECULATION_PAYS_NS;
                self.mode =
                    if dear { Mode::Speculating { since_probe: 0, trial: true } } else { self.paused() };
                Some(if dear { Switch::Dear } else { Switch::Cheap })
            }
            Mode::Serial { left } => {
                *left = left.saturating_sub(count);
                if *left == 0 {
                    self.mode = PROBING;
                }
                None
            }
            Mode::Speculating { .. } => None,
        }
    }

    /// After a speculation.
    pub(crate) fn speculated(&mut self, committed: usize, took_ns: u64, conflicts: bool) -> Option<Switch> {
        let Mode::Speculating { since_probe, trial } = &mut self.mode else { return None };
        let serial_ns = self.mean_ns.unwrap_or(0).saturating_mul(committed as u64);
        if conflicts || took_ns > serial_ns {
            self.mode = self.paused();
            return Some(if conflicts { Switch::Conflicts } else { Switch::Slow });
        }
        self.pause = PAUSE_MIN;
        *trial = false;
        *since_probe += committed;
        if *since_probe >= PROBE_AGAIN {
            self.mode = PROBING;
        }
        None
    }

    /// Serial for the pause; the next is twice as long.
    fn paused(&mut self) -> Mode {
        let left = self.pause;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Mode::Serial { left }
    }
}

/// Transactions that a probe measures.
const PROBE: usize = 64;

/// Speculated transactions after which the cost of serial execution is measured again.
const PROBE_AGAIN: usize = 1 << 14;

/// From this mean on, two threads win more than speculation costs.
const SPECULATION_PAYS_NS: u64 = 150;

/// Below this much work, waking the other threads is not worth it.
const SPECULATION_NS_MIN: u64 = 100_000;

/// Transactions of a speculation that is to show whether it pays.
const TRIAL: usize = 1_024;

const PAUSE_MIN: usize = 2_048;
const PAUSE_MAX: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn probed(ns_each: u64) -> Modes {
        let mut modes = Modes::default();
        assert_eq!(modes.next(1_000, 2), Step::Serial(PROBE));
        assert_eq!(modes.executed(40, 40 * ns_each), None, "a probe goes over several blocks");
        assert_eq!(modes.next(1_000, 2), Step::Serial(PROBE - 40));
        modes.executed(PROBE - 40, (PROBE as u64 - 40) * ns_each).expect("decides");
        modes
    }

    #[test]
    fn cheap_transactions_stay_serial_and_are_probed_ever_more_rarely() {
        let mut modes = probed(20);
        let mut pauses = vec![];
        for _ in 0..9 {
            let Step::Serial(pause) = modes.next(usize::MAX, 2) else { panic!("speculates on {modes:?}") };
            pauses.push(pause);
            modes.executed(pause, 0);
            assert_eq!(modes.executed(PROBE, 20 * PROBE as u64), Some(Switch::Cheap));
        }
        assert_eq!(pauses[..3], [2_048, 4_096, 8_192]);
        assert_eq!(pauses[7..], [PAUSE_MAX, PAUSE_MAX]);
    }

    #[test]
    fn dear_transactions_are_speculated_until_they_conflict() {
        let mut modes = probed(1_000);
        assert_eq!(modes.next(10_000, 2), Step::Speculate(TRIAL));
        assert_eq!(modes.speculated(TRIAL, 600_000, false), None);
        assert_eq!(modes.next(10_000, 2), Step::Speculate(10_000));
        assert_eq!(modes.next(10_000, 1), Step::Serial(10_000), "one thread has nobody to share with");
        assert_eq!(modes.next(99, 2), Step::Serial(99), "too little to wake anybody");
        assert_eq!(modes.speculated(10_000, 6_000_000, false), None);
        assert_eq!(modes.speculated(48, 48_000, true), Some(Switch::Conflicts));
        assert_eq!(modes.next(10_000, 2), Step::Serial(PAUSE_MIN));
        modes.executed(PAUSE_MIN, 1);
        assert_eq!(modes.next(10_000, 2), Step::Serial(PROBE));
        modes.executed(PROBE, 1_000 * PROBE as u64);
        assert_eq!(modes.speculated(1_000, 1_000_001, false), Some(Switch::Slow));
        assert_eq!(modes.next(10_000, 2), Step::Serial(2 * PAUSE_MIN));
    }

    #[test]
    fn the_cost_is_measured_again_from_time_to_time() {
        let mut modes = probed(1_000);
        modes.speculated(PROBE_AGAIN, 0, false);
        assert_eq!(modes.next(10_000, 2), Step::Serial(PROBE));
    }
}
