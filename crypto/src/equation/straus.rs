//! Few points: Straus, "Addition chains of vectors" (1964). A point per lane, a table of its multiples, one digit of
//! each scalar after the other; the doublings are shared by all points of a lane.

use super::{
    Term,
    windows::{Window, Windows},
};
use crate::{
    curve::{Parts, Sum},
    lanes::{AffineRow, ExtendedRow, LANES_MAX, Lanes},
};

/// Windows of each half: five bits at most, so digits are at most 16 in absolute value.
const WINDOWS: usize = 26;
/// Multiples 0 to 16 of every point.
const MULTIPLES: usize = 17;

/// The division that [`sum`] wants its terms in.
pub(crate) fn windows() -> Windows {
    Windows::new(WINDOWS, WINDOWS)
}

/// Σ scalar · point over the short terms and the long ones; in every lane. `tables` is scratch memory.
pub(crate) fn sum<L: Lanes>(
    lanes: L,
    windows: &Windows,
    rows: &[AffineRow],
    short: &[Term],
    long: &[Term],
    tables: &mut Vec<ExtendedRow>,
) -> Parts<L> {
    // Whole groups of lanes, so that a group is either of short terms or of long ones.
    let whole = |terms: &[Term]| terms.len().next_multiple_of(L::COUNT);
    let room = MULTIPLES * (whole(short) + whole(long));
    if tables.len() < room {
        tables.resize(room, ExtendedRow::IDENTITY);
    }
    let (short_tables, long_tables) = tables[..room].split_at_mut(MULTIPLES * whole(short));
    tabulate(lanes, rows, short, short_tables);
    tabulate(lanes, rows, long, long_tables);
    let mut sum = Parts::identity(lanes);
    for (place, window) in windows.all().iter().enumerate().rev() {
        sum = add_digits(lanes, sum, *window, long, long_tables);
        if place < windows.short() {
            sum = add_digits(lanes, sum, *window, short, short_tables);
        }
        if let Some(below) = place.checked_sub(1).map(|below| windows.all()[below]) {
            sum = doubled(lanes, sum, window.offset - below.offset);
        }
    }
    lanes.run(
        #[inline(always)]
        || sum.folded(lanes),
    )
}

/// In lane i the sum of the i-th of each of two lists of terms and of the point in row `last[i]`.
pub(crate) fn sums_apart<L: Lanes>(
    lanes: L,
    windows: &Windows,
    rows: &[AffineRow],
    terms: [&[Term]; 2],
    last: &[u32; LANES_MAX],
    tables: &mut Vec<ExtendedRow>,
) -> Parts<L> {
    let room = MULTIPLES * L::COUNT;
    if tables.len() < 2 * room {
        tables.resize(2 * room, ExtendedRow::IDENTITY);
    }
    for (terms, tables) in terms.iter().zip(tables.chunks_exact_mut(room)) {
        tabulate(lanes, rows, terms, tables);
    }
    let mut sum = Parts::identity(lanes);
    for (place, window) in windows.all().iter().enumerate().rev() {
        for (terms, tables) in terms.iter().zip(tables.chunks_exact(room)) {
            sum = add_digits(lanes, sum, *window, terms, tables);
        }
        if let Some(below) = place.checked_sub(1).map(|below| windows.all()[below]) {
            sum = doubled(lanes, sum, window.offset - below.offset);
        }
    }
    lanes.run(
        #[inline(always)]
        || sum.sum(lanes).add_affine(lanes, &lanes.gather_affine(rows, last), 0),
    )
}

/// Fills the tables of the points of `terms`; those of the lanes left in the last group are of the neutral point.
fn tabulate<L: Lanes>(lanes: L, rows: &[AffineRow], terms: &[Term], tables: &mut [ExtendedRow]) {
    for (terms, tables) in terms.chunks(L::COUNT).zip(tables.chunks_exact_mut(MULTIPLES * L::COUNT)) {
        let mut at = [super::IDENTITY; LANES_MAX];
        for (at, term) in at.iter_mut().zip(terms) {
            *at = term.row;
        }
        lanes.run(
            #[inline(always)]
            || {
                let row = lanes.gather_affine(rows, &at);
                let mut multiple = Sum::identity(lanes);
                for number in 0..MULTIPLES {
                    let out = lanes.extended_rows(&multiple.cached(lanes));
                    for lane in 0..L::COUNT {
                        tables[MULTIPLES * lane + number] = out[lane];
                    }
                    multiple = multiple.add_affine(lanes, &row, 0).sum(lanes);
                }
            },
        );
    }
}

/// Adds the multiples that the digits of one window say.
fn add_digits<L: Lanes>(
    lanes: L,
    mut sum: Parts<L>,
    window: Window,
    terms: &[Term],
    tables: &[ExtendedRow],
) -> Parts<L> {
    lanes.run(
        #[inline(always)]
        || {
            for (terms, tables) in terms.chunks(L::COUNT).zip(tables.chunks_exact(MULTIPLES * L::COUNT)) {
                let (mut at, mut negative) = ([0; LANES_MAX], 0);
                for (lane, term) in terms.iter().enumerate() {
                    let digit = window.digit(&term.shifted);
                    at[lane] = (MULTIPLES * lane) as u32 + digit.unsigned_abs();
                    negative |= u8::from(digit < 0) << lane;
                }
                sum = sum.sum(lanes).add_extended(lanes, &lanes.gather_extended(tables, &at), negative);
            }
            sum
        },
    )
}

/// 2^`times` · sum.
fn doubled<L: Lanes>(lanes: L, mut sum: Parts<L>, times: u32) -> Parts<L> {
    lanes.run(
        #[inline(always)]
        || {
            for _ in 0..times {
                sum = sum.double(lanes);
            }
            sum
        },
    )
}
