//! The four coordinates of one point in the four lanes.

use core::arch::x86_64::*;
use std::sync::OnceLock;

use super::{Avx2, Element, LANES_MAX, Lanes, Limbs, unsigned};
use crate::{
    lanes::portable,
    quad::{Quad, Table},
};

/// All bits of the places of the mask are these, else zero.
const fn places(mask: u8, bits: u64) -> [u64; 4] {
    let mut places = [0; 4];
    let mut place = 0;
    while place < 4 {
        if mask >> place & 1 == 1 {
            places[place] = bits;
        }
        place += 1;
    }
    places
}

impl Quad for Avx2 {
    type Four = Element;

    #[inline(always)]
    fn run<R>(self, body: impl FnOnce() -> R) -> R {
        Lanes::run(self, body)
    }

    #[inline(always)]
    fn element(self, limbs: &[Limbs; 4]) -> Element {
        let mut lanes = [[0; LANES_MAX]; 5];
        for (lane, limbs) in limbs.iter().enumerate() {
            for (place, limb) in limbs.iter().enumerate() {
                lanes[place][lane] = *limb;
            }
        }
        Lanes::element(self, &lanes)
    }

    #[inline(always)]
    fn limbs(self, a: Element) -> [Limbs; 4] {
        let limbs = self.to_integers(a).map(
            #[inline(always)]
            |limb| self.store(limb),
        );
        [0, 1, 2, 3].map(|lane: usize| portable::carry(unsigned(limbs.map(|limb| limb[lane]))))
    }

    #[inline(always)]
    fn mul(self, a: Element, b: Element) -> Element {
        self.product(a, b)
    }

    #[inline(always)]
    fn mul_term(self, a: Element, b: Element) -> Element {
        self.product(a, b)
    }

    #[inline(always)]
    fn add(self, a: Element, b: Element) -> Element {
        self.sum(a, b)
    }

    #[inline(always)]
    fn negate<const MASK: u8>(self, a: Element) -> Element {
        let signs = self.load(&const { places(MASK, 1 << 63) });
        let mut negated = a;
        for place in 0..5 {
            // SAFETY: the token proves the instructions.
            negated[place] = unsafe { _mm256_xor_pd(a[place], _mm256_castsi256_pd(signs)) };
        }
        negated
    }

    #[inline(always)]
    fn keep<const MASK: u8>(self, a: Element) -> Element {
        let kept_places = self.load(&const { places(MASK, u64::MAX) });
        let mut kept = a;
        for place in 0..5 {
            // SAFETY: the token proves the instructions.
            kept[place] = unsafe { _mm256_and_pd(a[place], _mm256_castsi256_pd(kept_places)) };
        }
        kept
    }

    #[inline(always)]
    fn permute<const ORDER: i32>(self, a: Element) -> Element {
        let mut permuted = a;
        for place in 0..5 {
            // SAFETY: the token proves the instructions.
            permuted[place] = unsafe { _mm256_permute4x64_pd::<ORDER>(a[place]) };
        }
        permuted
    }

    #[inline(always)]
    fn tight(self, a: Element) -> Element {
        self.carry(a)
    }

    fn base(self) -> &'static OnceLock<[Table<Self>; 2]> {
        static BASE: OnceLock<[Table<Avx2>; 2]> = OnceLock::new();
        &BASE
    }
}
