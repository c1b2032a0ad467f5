//! Ends at some instant and never comes back, as a machine that burned down.

use super::{Adversary, Said, Wire};
use crate::random::Random;

/// See the module.
#[derive(Debug)]
pub(super) struct Silent {
    /// Of 1,000 parts of the run, how many it lives.
    lives: u64,
}

impl Silent {
    pub(super) fn new(random: &mut Random) -> Self {
        Self { lives: random.below(700) }
    }
}

impl Adversary for Silent {
    fn says(&mut self, wire: &mut Wire<'_>, said: Said) {
        if said.peer().is_some() && wire.elapsed > wire.duration / 1_000 * self.lives {
            return wire.did("silence");
        }
        wire.pass(said);
    }
}
