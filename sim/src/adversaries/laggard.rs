//! Everything that it says arrives late, by the same for all or by anything up to it.

use super::{Adversary, Said, Wire};
use crate::random::Random;

/// See the module.
#[derive(Debug)]
pub(super) struct Laggard {
    /// Most microseconds.
    late: u64,
    even: bool,
}

impl Laggard {
    pub(super) fn new(random: &mut Random) -> Self {
        Self { late: random.pick(&[100_000, 1_000_000, 4_000_000]), even: random.chance(500) }
    }
}

impl Adversary for Laggard {
    fn says(&mut self, wire: &mut Wire<'_>, mut said: Said) {
        if said.peer().is_some() {
            wire.did("late messages");
            said.delay += if self.even { self.late } else { wire.random.below(self.late) };
        }
        wire.pass(said);
    }
}
