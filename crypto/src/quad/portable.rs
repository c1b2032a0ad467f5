//! The reference: one coordinate after the other.

use std::sync::OnceLock;

use super::{Quad, Table};
use crate::lanes::{Lanes, Limbs, portable::Portable};

impl Quad for Portable {
    type Four = [Limbs; 4];

    #[inline(always)]
    fn run<R>(self, body: impl FnOnce() -> R) -> R {
        body()
    }

    #[inline]
    fn element(self, limbs: &[Limbs; 4]) -> [Limbs; 4] {
        *limbs
    }

    #[inline]
    fn limbs(self, a: [Limbs; 4]) -> [Limbs; 4] {
        a
    }

    #[inline]
    fn mul(self, a: [Limbs; 4], b: [Limbs; 4]) -> [Limbs; 4] {
        [0, 1, 2, 3].map(|place: usize| Lanes::mul(self, a[place], b[place]))
    }

    #[inline]
    fn mul_term(self, a: [Limbs; 4], b: [Limbs; 4]) -> [Limbs; 4] {
        Quad::mul(self, a, b)
    }

    #[inline]
    fn add(self, a: [Limbs; 4], b: [Limbs; 4]) -> [Limbs; 4] {
        [0, 1, 2, 3].map(|place: usize| Lanes::add(self, a[place], b[place]))
    }

    #[inline]
    fn negate<const MASK: u8>(self, a: [Limbs; 4]) -> [Limbs; 4] {
        // Of two units, whose limbs are below those of 4p.
        [0, 1, 2, 3].map(
            |place: usize| {
                if MASK >> place & 1 == 1 { Lanes::sub(self, [0; 5], a[place]) } else { a[place] }
            },
        )
    }

    #[inline]
    fn keep<const MASK: u8>(self, a: [Limbs; 4]) -> [Limbs; 4] {
        [0, 1, 2, 3].map(|place: usize| if MASK >> place & 1 == 1 { a[place] } else { [0; 5] })
    }

    #[inline]
    fn permute<const ORDER: i32>(self, a: [Limbs; 4]) -> [Limbs; 4] {
        [0, 1, 2, 3].map(|place: usize| a[(ORDER as usize >> (2 * place)) & 3])
    }

    #[inline]
    fn tight(self, a: [Limbs; 4]) -> [Limbs; 4] {
        a.map(|a| Lanes::tight(self, a))
    }

    fn base(self) -> &'static OnceLock<[Table<Self>; 2]> {
        static BASE: OnceLock<[Table<Portable>; 2]> = OnceLock::new();
        &BASE
    }
}
