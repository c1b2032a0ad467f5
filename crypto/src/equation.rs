//! The equation of ZIP-215 for many signatures as one, and for a few of them apart.
//!
//! A signature (R, s) of message M under key A satisfies `8(R + k·A − s·B) = 0`. For any coefficients z the signatures
//! of a batch then satisfy `8(Σ z·R + Σ (z·k)·A − (Σ z·s)·B) = 0` too: the factor 8 comes last, on the sum, so parts of
//! small order vanish whatever they are multiplied with. If one of them does not satisfy its equation, then given all
//! other coefficients at most one value of its own makes the sum vanish; drawn from 2^128 values that nobody could
//! know when they made the signature, it does so with probability 2^-128 at most. Bellare, Garay, Rabin, "Fast batch
//! verification for modular exponentiation and digital signatures" (1998).

mod buckets;
mod straus;
mod windows;

use buckets::Buckets;
use windows::{Shifted, Windows};

use crate::{
    curve::Parts,
    lanes::{AffineRow, ExtendedRow, LANES_MAX, Lanes, all_lanes},
    scalar::{Challenge, Scalar, Sum},
};

/// The row of the neutral point.
pub(crate) const IDENTITY: u32 = 0;
/// The row of the base point B.
const BASE: u32 = 1;
/// Rows before those of keys; the base point is the last of them.
pub(crate) const FIXED_ROWS: usize = 2;

/// What a signature says, its points decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    /// Whose it is, for the caller.
    pub(crate) item: usize,
    /// k.
    pub(crate) challenge: Challenge,
    /// s.
    pub(crate) s: Scalar,
    /// The row of A. Claims under the same key may share one; rows of keys begin at [`FIXED_ROWS`] and come before all
    /// others.
    pub(crate) key: u32,
    /// The row of R.
    pub(crate) r: u32,
}

/// A scalar times a point.
#[derive(Clone, Copy, Debug)]
struct Term {
    /// The row of the point.
    row: u32,
    /// The scalar in the form from which digits are read.
    shifted: Shifted,
}

/// Scratch memory for equations.
#[derive(Debug, Default)]
pub(crate) struct Equation {
    /// Of every key the sum of its scalars z·k, so that a key that signed often costs once.
    keys: Vec<Scalar>,
    short: Vec<Term>,
    long: Vec<Term>,
    buckets: Buckets,
    tables: Vec<ExtendedRow>,
}

impl Equation {
    /// Whether the sum of all claims, each times a coefficient of its own from `random`, satisfies the equation.
    /// `random` gives uniform numbers that nobody knows.
    pub(crate) fn holds<L: Lanes>(
        &mut self,
        lanes: L,
        rows: &[AffineRow],
        claims: &[Claim],
        mut random: impl FnMut() -> u128,
    ) -> bool {
        let buckets = buckets_from::<L>(claims.len());
        let windows = buckets.map_or_else(straus::windows, |count| Windows::new(count, count));
        self.short.clear();
        self.long.clear();
        let mut base = Sum::default();
        for claim in claims {
            let (z, shifted) = windows.coefficient(random());
            self.short.push(Term { row: claim.r, shifted });
            base.add(z, claim.s);
            let place = claim.key as usize - FIXED_ROWS;
            if place >= self.keys.len() {
                self.keys.resize(place + 1, Scalar::ZERO);
            }
            self.keys[place] = self.keys[place].plus(claim.challenge.times(z));
        }
        // Zero is also what keys without a claim here have, and adds nothing.
        for (place, scalar) in self.keys.iter_mut().enumerate().filter(|(_, scalar)| **scalar != Scalar::ZERO)
        {
            let row = (FIXED_ROWS + place) as u32;
            self.long.push(Term { row, shifted: windows.shifted(scalar.limbs()) });
            *scalar = Scalar::ZERO;
        }
        let base = windows.shifted(base.reduced().negated().limbs());
        self.long.push(Term { row: BASE, shifted: base });
        let sum = if buckets.is_some() {
            self.buckets.sum(lanes, &windows, rows, &self.short, &self.long)
        } else {
            straus::sum(lanes, &windows, rows, &self.short, &self.long, &mut self.tables)
        };
        vanishes(lanes, sum) == all_lanes::<L>()
    }

    /// Which of up to [`Lanes::COUNT`] claims satisfy their own equation.
    pub(crate) fn each<L: Lanes>(&mut self, lanes: L, rows: &[AffineRow], claims: &[Claim]) -> u8 {
        assert!(claims.len() <= L::COUNT, "a lane per claim");
        let windows = straus::windows();
        let mut last = [IDENTITY; LANES_MAX];
        self.short.clear();
        self.long.clear();
        for (claim, last) in claims.iter().zip(&mut last) {
            let (k, s) = (claim.challenge.scalar(), claim.s.negated());
            self.short.push(Term { row: claim.key, shifted: windows.shifted(k.limbs()) });
            self.long.push(Term { row: BASE, shifted: windows.shifted(s.limbs()) });
            *last = claim.r;
        }
        let terms = [&self.short[..], &self.long[..]];
        vanishes(lanes, straus::sums_apart(lanes, &windows, rows, terms, &last, &mut self.tables))
    }
}

/// The lanes whose point times 8 is neutral.
fn vanishes<L: Lanes>(lanes: L, sum: Parts<L>) -> u8 {
    lanes.run(
        #[inline(always)]
        || sum.is_small_order(lanes),
    )
}

/// Windows of each half for the bucket method; none where Straus is faster.
fn buckets_from<L: Lanes>(signatures: usize) -> Option<usize> {
    match signatures {
        _ if signatures <= L::STRAUS_MAX => None,
        0..110 => Some(26),
        110..200 => Some(22),
        200..800 => Some(19),
        800..6_000 => Some(16),
        _ => Some(13),
    }
}
