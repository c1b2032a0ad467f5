//! How far the regions of a public cloud are from one another: round trips in whole milliseconds, of the usual size and
//! rounded, not a measurement of any day. What matters here is that links are unequal, by as much as real ones are.

/// The regions, in the order in which authorities are placed in them: the first four are spread over three continents.
pub const NAMES: [&str; COUNT] = [
    "N. Virginia",
    "Ireland",
    "Tokyo",
    "Oregon",
    "Frankfurt",
    "Singapore",
    "Sao Paulo",
    "Sydney",
    "Mumbai",
    "Montreal",
];

/// Microseconds from an authority to another, when they are placed region by region.
pub(super) fn one_way(from: usize, to: usize) -> u64 {
    let (from, to) = (from % COUNT, to % COUNT);
    if from == to { WITHIN } else { ROUND_TRIPS[from.max(to)][from.min(to)] * 1_000 / 2 }
}

const COUNT: usize = 10;

/// Microseconds between two zones of a region.
const WITHIN: u64 = 500;

/// Milliseconds there and back, between a region and those before it.
const ROUND_TRIPS: [&[u64]; COUNT] = [
    &[],
    &[68],
    &[148, 202],
    &[66, 120, 98],
    &[92, 26, 226, 143],
    &[218, 178, 70, 162, 159],
    &[113, 176, 256, 174, 202, 328],
    &[198, 256, 104, 140, 248, 92, 312],
    &[188, 122, 126, 218, 114, 58, 300, 150],
    &[16, 68, 144, 60, 92, 212, 124, 198, 190],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_has_a_distance_that_is_the_same_both_ways() {
        for from in 0..2 * COUNT {
            for to in 0..2 * COUNT {
                assert_eq!(one_way(from, to), one_way(to, from));
                assert!((WITHIN..200_000).contains(&one_way(from, to)));
            }
        }
        assert_eq!((one_way(0, 1), one_way(1, 11), NAMES[9]), (34_000, WITHIN, "Montreal"));
    }
}
