//! Two of everything with one key: each is honest, each talks to a part of the others, and who talks to whom changes.
//!
//! The idea is that of Twins (Bano et al., arXiv 2004.10617): equivocation, double votes and amnesia come out of machines
//! that each keep to the rules.

use fresnel_types::AuthorityIndex;

use crate::random::Random;

/// Who talks to which of the two.
#[derive(Debug)]
pub(crate) struct Twins {
    seed: u64,
    authority: AuthorityIndex,
    /// Microseconds until who talks to whom is drawn anew.
    period: u64,
}

impl Twins {
    pub(super) fn new(seed: u64, authority: AuthorityIndex) -> Self {
        let mut random = Random::new(seed, &format!("twins {authority}"));
        Self { seed, authority, period: random.pick(&[100_000, 1_000_000, 5_000_000]) }
    }

    /// Whether `peer` talks to the first or the `second`, `elapsed` microseconds after the start: to either, or to both.
    pub(super) fn meet(&self, elapsed: u64, second: bool, peer: AuthorityIndex) -> bool {
        let turn = elapsed / self.period;
        let mut random = Random::new(self.seed, &format!("twins {} {peer} {turn}", self.authority));
        match random.below(5) {
            0 | 1 => !second,
            2 | 3 => second,
            _ => true,
        }
    }
}
