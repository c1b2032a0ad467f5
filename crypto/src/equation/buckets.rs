//! Many points: the bucket method of Pippenger, "On the evaluation of powers and related problems" (1976).
//!
//! In each window the points with the same digit are added up first, into the digit's bucket; the buckets are then
//! weighted with their digits. A lane owns a bucket from its first point to its last: no bucket is read or written per
//! addition, and lanes stay busy because the buckets that are filled at the same time have nearly the same size. That
//! needs the points in order of their digits, by counting, which costs a few cycles each.

use super::{
    IDENTITY, Term,
    windows::{Window, Windows},
};
use crate::{
    curve::{Parts, Sum},
    lanes::{AffineRow, ExtendedRow, LANES_MAX, Lanes},
    prefetch,
};

/// Digits are below this in absolute value, windows having ten bits at most.
const DIGITS_MAX: usize = 1024;
/// A start per digit and one more, where a digit's fill is counted before its start is known.
const STARTS: usize = DIGITS_MAX + 1;

/// Scratch memory.
#[derive(Debug)]
pub(crate) struct Buckets {
    /// Row of every point, the long terms first.
    rows: Vec<u32>,
    /// The limbs of all scalars, lowest limbs together and so on: a window is read from two of these alone.
    limbs: [Vec<u64>; 4],
    /// Digit of every point in the window at hand, as absolute value and, in the lowest bit, sign.
    digits: Vec<u16>,
    /// Points in order of their digits: twice the row, plus one if it is to be subtracted.
    sorted: Vec<u32>,
    /// Where the points of each absolute value start.
    starts: [u32; STARTS],
    /// Buckets by fill, the fullest first: fill and digit.
    order: Vec<(u32, u32)>,
    /// Sum of every bucket, those of the same digit side by side: `(digit − 1) · windows + window`. One more row,
    /// neutral, is for lanes without a window.
    sums: Vec<ExtendedRow>,
}

impl Default for Buckets {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            limbs: [const { Vec::new() }; 4],
            digits: Vec::new(),
            sorted: Vec::new(),
            starts: [0; STARTS],
            order: Vec::new(),
            sums: Vec::new(),
        }
    }
}

impl Buckets {
    /// Σ scalar · point over the short terms and the long ones; in every lane.
    pub(crate) fn sum<L: Lanes>(
        &mut self,
        lanes: L,
        windows: &Windows,
        rows: &[AffineRow],
        short: &[Term],
        long: &[Term],
    ) -> Parts<L> {
        let count = windows.all().len();
        let largest = 1_usize << (windows.width_max() - 1);
        if self.sums.len() <= largest * count {
            self.sums.resize(largest * count + 1, ExtendedRow::IDENTITY);
        }
        self.sums[largest * count] = ExtendedRow::IDENTITY;
        self.rows.clear();
        self.rows.extend(long.iter().chain(short).map(|term| term.row));
        for (limb, all) in self.limbs.iter_mut().enumerate() {
            all.clear();
            all.extend(long.iter().chain(short).map(|term| term.shifted[limb]));
        }
        for (place, window) in windows.all().iter().enumerate() {
            let points = if place < windows.short() { self.rows.len() } else { long.len() };
            self.sort(lanes, *window, largest, points);
            self.fill(lanes, rows, place, count);
        }
        self.weighted(lanes, windows, largest)
    }

    /// Brings the first `points` points into the order of their digits in one window, and the buckets into that of their
    /// fill.
    fn sort<L: Lanes>(&mut self, lanes: L, window: Window, largest: usize, points: usize) {
        let Self { rows, limbs, digits, sorted, starts, order, .. } = self;
        let (limb, above) = window.limbs();
        digits.resize(points, 0);
        lanes.run(
            #[inline(always)]
            || {
                let read = window.reader();
                for ((digit, &low), &above) in digits.iter_mut().zip(&limbs[limb]).zip(&limbs[above]) {
                    let signed = read(low, above);
                    *digit = signed.unsigned_abs() << 1 | u16::from(signed < 0);
                }
            },
        );
        starts[..=largest + 1].fill(0);
        for &digit in &*digits {
            // No more points than a u32 counts.
            let fill = &mut starts[usize::from(digit >> 1) % DIGITS_MAX + 1];
            *fill = fill.wrapping_add(1);
        }
        order.clear();
        order.extend((1..=largest).map(|digit| (starts[digit + 1], digit as u32)));
        // Points whose digit is zero belong nowhere: they are sorted too, to the front, and never read.
        for digit in 1..=largest + 1 {
            starts[digit] += starts[digit - 1];
        }
        sorted.resize(points, 0);
        for (&row, &digit) in rows.iter().zip(&*digits) {
            let start = &mut starts[usize::from(digit >> 1) % DIGITS_MAX];
            sorted[*start as usize] = row << 1 | u32::from(digit & 1);
            *start = start.wrapping_add(1);
        }
        // Every start is now the start of the next digit.
        order.sort_unstable_by_key(|&(fill, _)| u32::MAX - fill);
    }

    /// Adds up the buckets of one window, a lane each, as many together as there are lanes.
    fn fill<L: Lanes>(&mut self, lanes: L, rows: &[AffineRow], place: usize, count: usize) {
        let Self { sorted, starts, order, sums, .. } = self;
        for group in order.chunks(L::COUNT) {
            let mut lists: [&[u32]; LANES_MAX] = [&[]; LANES_MAX];
            for (list, &(fill, digit)) in lists.iter_mut().zip(group) {
                let end = starts[digit as usize] as usize;
                *list = &sorted[end - fill as usize..end];
            }
            let points = bucket_sums(lanes, rows, &lists);
            for (&(_, digit), point) in group.iter().zip(points) {
                sums[(digit as usize - 1) * count + place] = point;
            }
        }
    }

    /// Σ over windows of 2^offset · Σ digit · bucket, in every lane. A lane per window, so the windows of a digit are
    /// read together; Σ digit · bucket is the sum of all partial sums from the largest digit down.
    fn weighted<L: Lanes>(&self, lanes: L, windows: &Windows, largest: usize) -> Parts<L> {
        let count = windows.all().len();
        let mut totals = [ExtendedRow::IDENTITY; super::windows::WINDOWS_MAX.next_multiple_of(LANES_MAX)];
        for first in (0..count).step_by(L::COUNT) {
            let total = weighted_by_digit(lanes, &self.sums, largest, count, first);
            let room = &mut totals[first..][..L::COUNT];
            room.copy_from_slice(&total[..L::COUNT]);
        }
        lanes.run(
            #[inline(always)]
            || {
                let mut sum = Parts::identity(lanes);
                for (place, window) in windows.all().iter().enumerate().rev() {
                    let total = lanes.gather_extended(&totals, &[place as u32; LANES_MAX]);
                    sum = sum.sum(lanes).add_extended(lanes, &total, 0);
                    let below = place.checked_sub(1).map_or(0, |below| windows.all()[below].offset);
                    for _ in below..window.offset {
                        sum = sum.double(lanes);
                    }
                }
                sum
            },
        )
    }
}

/// The sum of each list of points, as rows to add.
fn bucket_sums<L: Lanes>(
    lanes: L,
    rows: &[AffineRow],
    lists: &[&[u32]; LANES_MAX],
) -> [ExtendedRow; LANES_MAX] {
    lanes.run(
        #[inline(always)]
        || {
            let next = |step: usize| {
                let (mut at, mut negative) = ([IDENTITY; LANES_MAX], 0);
                for lane in 0..L::COUNT {
                    if let Some(&point) = lists[lane].get(step) {
                        at[lane] = point >> 1;
                        negative |= ((point & 1) as u8) << lane;
                    }
                }
                (at, negative)
            };
            let (at, negative) = next(0);
            let mut sum = Sum::from_affine(lanes, &lanes.gather_affine(rows, &at), negative);
            let mut following = next(1);
            // The lists come longest first.
            for step in 1..lists[0].len() {
                let (at, negative) = following;
                // An addition is longer than a processor looks ahead, so it is told what comes after.
                following = next(step + 1);
                for &row in &following.0[..L::COUNT] {
                    prefetch(&rows[row as usize].0[0]);
                    prefetch(&rows[row as usize].0[8]);
                }
                sum = sum.add_affine(lanes, &lanes.gather_affine(rows, &at), negative).sum(lanes);
            }
            lanes.extended_rows(&sum.cached(lanes))
        },
    )
}

/// Σ digit · bucket of the windows from `first` on, a lane each.
fn weighted_by_digit<L: Lanes>(
    lanes: L,
    sums: &[ExtendedRow],
    largest: usize,
    count: usize,
    first: usize,
) -> [ExtendedRow; LANES_MAX] {
    lanes.run(
        #[inline(always)]
        || {
            let mut above = Sum::identity(lanes);
            let mut total = Sum::identity(lanes);
            for digit in (0..largest).rev() {
                let mut at = [(largest * count) as u32; LANES_MAX];
                for (lane, at) in at.iter_mut().enumerate().take(count - first) {
                    *at = (digit * count + first + lane) as u32;
                }
                above = above.add_extended(lanes, &lanes.gather_extended(sums, &at), 0).sum(lanes);
                total = total.add_extended(lanes, &above.cached(lanes), 0).sum(lanes);
            }
            lanes.extended_rows(&total.cached(lanes))
        },
    )
}
