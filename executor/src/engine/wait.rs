//! Waiting for another thread: first spinning, then giving the core away, then sleeping.

#[cfg(not(any(feature = "loom", feature = "shuttle")))]
use std::time::Duration;

use crate::sync::{hint, thread};

/// One wait. A thread that spins while the one it waits for needs its core loses whole time slices, so spinning ends
/// soon; and since sleeps are short, no wait depends on being woken.
#[derive(Default)]
pub(crate) struct Wait {
    turns: u32,
}

impl Wait {
    /// Waits a little, longer with every turn.
    pub(crate) fn turn(&mut self) {
        if self.is_short() { self.spin_or_yield() } else { sleep() }
    }

    /// Waits a little, in the end until somebody unparks this thread.
    pub(crate) fn turn_until_unparked(&mut self) {
        if self.is_short() { self.spin_or_yield() } else { thread::park() }
    }

    /// Whether spinning and yielding was not enough, so that whoever is waited for may be asleep.
    pub(crate) fn is_long(&self) -> bool {
        !self.is_short()
    }

    fn is_short(&self) -> bool {
        self.turns < SPINS + YIELDS
    }

    fn spin_or_yield(&mut self) {
        if self.turns < SPINS {
            hint::spin_loop()
        } else {
            thread::yield_now()
        }
        self.turns += 1;
    }
}

#[cfg(not(any(feature = "loom", feature = "shuttle")))]
fn sleep() {
    thread::park_timeout(Duration::from_micros(50));
}

/// In a model there is no time: to sleep is to let the others go on.
#[cfg(any(feature = "loom", feature = "shuttle"))]
fn sleep() {
    thread::yield_now();
}

#[cfg(not(any(feature = "loom", feature = "shuttle")))]
const SPINS: u32 = 1_000;
#[cfg(not(any(feature = "loom", feature = "shuttle")))]
const YIELDS: u32 = 50;

#[cfg(any(feature = "loom", feature = "shuttle"))]
const SPINS: u32 = 0;
#[cfg(any(feature = "loom", feature = "shuttle"))]
const YIELDS: u32 = 2;
