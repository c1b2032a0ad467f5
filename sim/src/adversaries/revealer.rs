//! Says what its beacon has to say seconds later, all at once: a chain of vertices that nobody knew.

use fresnel_types::Party;

use super::{Adversary, Said, Wire};
use crate::random::Random;

/// See the module.
#[derive(Debug)]
pub(super) struct Revealer {
    /// Microseconds of a turn, and how much of it nothing is heard.
    turn: u64,
    dark: u64,
}

impl Revealer {
    pub(super) fn new(random: &mut Random) -> Self {
        let turn = random.pick(&[1_000_000, 4_000_000, 8_000_000]);
        Self { turn, dark: turn / 4 * random.between(1, 3) }
    }
}

impl Adversary for Revealer {
    fn says(&mut self, wire: &mut Wire<'_>, mut said: Said) {
        let phase = wire.elapsed % self.turn;
        if said.peer().is_some() && matches!(said.from, Party::Beacon(_)) && phase < self.dark {
            wire.did("late revelations");
            said.delay += self.dark - phase;
        }
        wire.pass(said);
    }
}
