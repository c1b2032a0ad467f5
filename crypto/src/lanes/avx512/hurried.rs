//! Multiplication in a hurry, for the power that square roots rest on: in limbs of all 52 bits that IFMA reads, and wrong
//! for one input in 2^28 or so. Who uses it checks the root with exact arithmetic, and does without where it is wrong.
//!
//! With limbs weighing 2^52 the high half of a product belongs to the next column as it is, and what a register has above
//! bit 52 needs no masking, since IFMA does not read it. That leaves a quarter fewer instructions than limbs of 51 bits
//! need. But there is no bit to spare either, and two things are left to chance, both for all inputs alike unlikely:
//!
//! - a limb that takes the carry of its neighbour must not pass 2^52. A carry is below 2^5, that into the lowest limb, times
//!   608, below 2^14: at most one in 2^38 products;
//! - columns 5 to 9 weigh 2^260 = 608 times columns 0 to 4 modulo p. Of 608·c the low 52 bits are exact, but what goes to the
//!   next column, ⌊608·c / 2^52⌋, is made from ⌊c / 16⌋, because c has up to 56 bits: wrong by one if the low 52 bits are below
//!   15·608, so in one of 2^38 columns.
//!
//! A column has at most nine halves, below 9·2^52 < 2^56, then at most one more and a number below 2^14.

use core::arch::x86_64::*;

use super::{Avx512, Element};
use crate::{
    lanes::LIMB_MASK,
    power::{self, Multiply},
};

/// Limbs are the low 52 bits of each register; the bits above mean nothing. With `ALONE` a square takes less time and more
/// instructions: for when nothing else has work while one waits for the one before.
#[derive(Clone, Copy)]
pub(super) struct Hurried<const ALONE: bool>(pub(super) Avx512);

/// 2^260 modulo p.
const FOLD: u64 = 608;
/// Bits that a column of more than 52 loses before it is multiplied.
const LOST: u32 = 4;

impl<const ALONE: bool> Hurried<ALONE> {
    /// a^((p − 5)/8) of elements in limbs of 51 bits.
    #[inline(always)]
    pub(super) fn root_power<const GROUPS: usize>(self, mut a: [Element; GROUPS]) -> [Element; GROUPS] {
        for a in &mut a {
            *a = self.of_tight(*a);
        }
        let mut powers = power::for_roots(self, a);
        for power in &mut powers {
            *power = self.to_tight(*power);
        }
        powers
    }

    /// From limbs of 51 bits, tight.
    #[inline(always)]
    fn of_tight(self, a: Element) -> Element {
        // SAFETY: the token proves the instructions.
        unsafe {
            [
                _mm512_add_epi64(a[0], _mm512_slli_epi64::<51>(a[1])),
                _mm512_add_epi64(_mm512_srli_epi64::<1>(a[1]), _mm512_slli_epi64::<50>(a[2])),
                _mm512_add_epi64(_mm512_srli_epi64::<2>(a[2]), _mm512_slli_epi64::<49>(a[3])),
                _mm512_add_epi64(_mm512_srli_epi64::<3>(a[3]), _mm512_slli_epi64::<48>(a[4])),
                _mm512_srli_epi64::<4>(a[4]),
            ]
        }
    }

    /// To limbs of 51 bits, tight: the lowest takes 19 times the five bits above 2^255.
    #[inline(always)]
    fn to_tight(self, a: Element) -> Element {
        let lanes = self.0;
        let whole = lanes.constant((1 << 52) - 1);
        let mask = lanes.constant(LIMB_MASK);
        // SAFETY: the token proves the instructions. 0xa8 is the truth table of (a | b) & c.
        unsafe {
            let a = [
                _mm512_and_si512(a[0], whole),
                _mm512_and_si512(a[1], whole),
                _mm512_and_si512(a[2], whole),
                _mm512_and_si512(a[3], whole),
                _mm512_and_si512(a[4], whole),
            ];
            let lowest = _mm512_and_si512(a[0], mask);
            [
                lanes.low(lowest, _mm512_srli_epi64::<47>(a[4]), lanes.constant(19)),
                _mm512_ternarylogic_epi64::<0xa8>(
                    _mm512_srli_epi64::<51>(a[0]),
                    _mm512_slli_epi64::<1>(a[1]),
                    mask,
                ),
                _mm512_ternarylogic_epi64::<0xa8>(
                    _mm512_srli_epi64::<50>(a[1]),
                    _mm512_slli_epi64::<2>(a[2]),
                    mask,
                ),
                _mm512_ternarylogic_epi64::<0xa8>(
                    _mm512_srli_epi64::<49>(a[2]),
                    _mm512_slli_epi64::<3>(a[3]),
                    mask,
                ),
                _mm512_ternarylogic_epi64::<0xa8>(
                    _mm512_srli_epi64::<48>(a[3]),
                    _mm512_slli_epi64::<4>(a[4]),
                    mask,
                ),
            ]
        }
    }

    /// The element of ten columns.
    #[inline(always)]
    fn folded(self, mut columns: [__m512i; 10]) -> Element {
        let lanes = self.0;
        let fold = lanes.constant(FOLD);
        let fold_of_less = lanes.constant(FOLD << LOST);
        // The top column is a single high half, so it has no more than 52 bits.
        columns[4] = lanes.low(columns[4], columns[9], fold);
        columns[5] = lanes.high(columns[5], columns[9], fold);
        let mut apart = [lanes.zero(); 5];
        for place in 0..4 {
            let above = columns[place + 5];
            columns[place] = lanes.low(columns[place], above, fold);
            // SAFETY: the token proves the instructions.
            let less = unsafe { _mm512_srli_epi64::<LOST>(above) };
            let sums = if ALONE { &mut apart } else { &mut columns[..5] };
            sums[place + 1] = lanes.high(sums[place + 1], less, fold_of_less);
        }
        for place in 1..5 {
            columns[place] = lanes.plus(columns[place], apart[place]);
        }
        // SAFETY: the token proves the instructions.
        let carries = [0, 1, 2, 3, 4].map(
            #[inline(always)]
            |place: usize| unsafe { _mm512_srli_epi64::<52>(columns[place]) },
        );
        [
            lanes.low(columns[0], carries[4], fold),
            lanes.plus(columns[1], carries[0]),
            lanes.plus(columns[2], carries[1]),
            lanes.plus(columns[3], carries[2]),
            lanes.plus(columns[4], carries[3]),
        ]
    }
}

impl<const ALONE: bool> Multiply for Hurried<ALONE> {
    type Element = Element;

    #[inline(always)]
    fn run<R>(self, body: impl FnOnce() -> R) -> R {
        super::Lanes::run(self.0, body)
    }

    #[inline(always)]
    fn mul(self, a: Element, b: Element) -> Element {
        let lanes = self.0;
        let mut columns = [lanes.zero(); 10];
        macro_rules! rows {
            ($($i:literal)*) => {$(
                columns[$i] = lanes.low(columns[$i], a[$i], b[0]);
                columns[$i + 1] = lanes.high(lanes.low(columns[$i + 1], a[$i], b[1]), a[$i], b[0]);
                columns[$i + 2] = lanes.high(lanes.low(columns[$i + 2], a[$i], b[2]), a[$i], b[1]);
                columns[$i + 3] = lanes.high(lanes.low(columns[$i + 3], a[$i], b[3]), a[$i], b[2]);
                columns[$i + 4] = lanes.high(lanes.low(columns[$i + 4], a[$i], b[4]), a[$i], b[3]);
                columns[$i + 5] = lanes.high(columns[$i + 5], a[$i], b[4]);
            )*};
        }
        rows!(0 1 2 3 4);
        self.folded(columns)
    }

    #[inline(always)]
    fn square(self, a: Element) -> Element {
        let lanes = self.0;
        let mut columns = [lanes.zero(); 10];
        // Alone, sums are taken in two parts, so that no more than two additions wait for one another.
        let (mut upper, mut squares) = (columns, columns);
        macro_rules! products {
            ($low:ident $high:ident: $($i:literal $j:literal),*) => {$(
                $low[$i + $j] = lanes.low($low[$i + $j], a[$i], a[$j]);
                $high[$i + $j + 1] = lanes.high($high[$i + $j + 1], a[$i], a[$j]);
            )*};
        }
        if ALONE {
            products!(columns upper: 0 1, 0 2, 0 3, 0 4, 1 2, 1 3, 1 4, 2 3, 2 4, 3 4);
            products!(squares squares: 0 0, 1 1, 2 2, 3 3, 4 4);
        } else {
            products!(columns columns: 0 1, 0 2, 0 3, 0 4, 1 2, 1 3, 1 4, 2 3, 2 4, 3 4);
        }
        for place in 1..9 {
            let column = lanes.plus(columns[place], upper[place]);
            columns[place] = lanes.plus(column, column);
        }
        if ALONE {
            for place in 0..10 {
                columns[place] = lanes.plus(columns[place], squares[place]);
            }
        } else {
            products!(columns columns: 0 0, 1 1, 2 2, 3 3, 4 4);
        }
        self.folded(columns)
    }
}
