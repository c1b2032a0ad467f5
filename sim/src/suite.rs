//! Many seeds on all cores. Each run is deterministic by itself; only the order in which they end is not.

use std::{
    fmt,
    num::NonZero,
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use crate::{Options, Report, Violation, run};

/// What many runs gave.
#[derive(Clone, Debug, Default)]
pub struct Suite {
    /// Runs that ended well.
    pub passed: u64,
    /// What they did, all together.
    pub total: Report,
    /// The fewest commits of any of them.
    pub commits_min: u64,
    /// What went wrong in the others, ascending by seed.
    pub violations: Vec<Violation>,
}

impl Suite {
    /// Runs the options of every seed in `seeds`, as many at a time as there are cores.
    pub fn run(seeds: Range<u64>, options: impl Fn(u64) -> Options + Sync) -> Self {
        let next = AtomicU64::new(seeds.start);
        let suite = Mutex::new(Self { commits_min: u64::MAX, ..Self::default() });
        let work = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end {
                    return;
                }
                let result = run(options(seed));
                suite.lock().expect("nobody panics while holding the suite").take(result);
            }
        };
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
        let mut suite = suite.into_inner().expect("nobody panics while holding the suite");
        suite.violations.sort_by_key(|violation| violation.options.seed);
        suite
    }

    fn take(&mut self, result: Result<Report, Box<Violation>>) {
        match result {
            Ok(report) => {
                self.passed += 1;
                self.commits_min = self.commits_min.min(report.commits);
                self.total.add(&report);
            }
            Err(violation) => self.violations.push(*violation),
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for violation in &self.violations {
            writeln!(f, "{violation}\n")?;
        }
        writeln!(f, "{} of {} runs passed", self.passed, self.passed + self.violations.len() as u64)?;
        write!(f, "{}", self.total)
    }
}
