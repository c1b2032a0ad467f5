//! The compression of BLAKE3 over vectors, whatever their width.

use super::{BLOCK_BYTES, Block, Hash, Kind};

/// One word of each lane. A vector exists only where the processor has the instructions for it: [`Vector::splat`] and
/// [`Vector::transposed`] make the first ones and are unsafe for that reason; all other functions take a vector and are
/// safe because there is one.
pub(super) trait Vector: Copy {
    /// The same word in each lane.
    ///
    /// # Safety
    /// The processor has the instructions of this vector.
    unsafe fn splat(word: u32) -> Self;

    /// Block `place` of each input: vector `w` holds word `w` of it, input `i` in lane `i`.
    ///
    /// # Safety
    /// The processor has the instructions of this vector.
    unsafe fn transposed(inputs: &[&[Block]], place: usize) -> [Self; 16];

    /// The other way: the eight words of each lane as the bytes of its hash.
    fn untransposed(words: [Self; 8], hashes: &mut [Hash]);

    fn add(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
    fn or(self, other: Self) -> Self;
    /// Each word rotated to the right.
    fn rotated<const BITS: i32>(self) -> Self;
}

/// Hashes one input per lane, all of the same number of blocks, between 1 and [`CHUNK_BLOCKS`](super::CHUNK_BLOCKS).
///
/// # Safety
/// The processor has the instructions of `V`. The caller is compiled with them.
#[inline(always)]
pub(super) unsafe fn hash<V: Vector>(inputs: &[&[Block]], kind: Kind<'_>, hashes: &mut [Hash]) {
    let blocks = inputs[0].len();
    let (key, every, bytes) = match kind {
        Kind::Node | Kind::Leaf => (INITIAL, 0, blocks * BLOCK_BYTES),
        Kind::PaddedLeaf(bytes) => (INITIAL, 0, bytes),
        Kind::Derived(context, bytes) => (context.key(), DERIVE_KEY_MATERIAL, bytes),
    };
    let last_bytes = bytes - (blocks - 1) * BLOCK_BYTES;
    // SAFETY: the same promise as this function's.
    let (mut chaining, initial, zero) = unsafe { (splats(key), splats(INITIAL), V::splat(0)) };
    let [i0, i1, i2, i3, ..] = initial;
    for place in 0..blocks {
        let start = if place == 0 { CHUNK_START } else { 0 };
        let (end, bytes) =
            if place + 1 == blocks { (CHUNK_END | ROOT, last_bytes) } else { (0, BLOCK_BYTES) };
        // SAFETY: the same promise as this function's.
        let (message, length, flags) =
            unsafe { (V::transposed(inputs, place), V::splat(bytes as u32), V::splat(start | end | every)) };
        chaining = compress(chaining, &message, [i0, i1, i2, i3], [zero, zero, length, flags]);
    }
    let (set, flip) = kind.marks();
    // SAFETY: the same promise as this function's.
    let (set, flip) = unsafe { (V::splat(u32::from(set)), V::splat(u32::from(flip))) };
    chaining[0] = chaining[0].or(set).xor(flip);
    V::untransposed(chaining, hashes);
}

/// Each word in all lanes.
///
/// # Safety
/// The processor has the instructions of `V`.
#[inline(always)]
unsafe fn splats<V: Vector>([a, b, c, d, e, f, g, h]: [u32; 8]) -> [V; 8] {
    // SAFETY: the same promise as this function's.
    unsafe {
        [
            V::splat(a),
            V::splat(b),
            V::splat(c),
            V::splat(d),
            V::splat(e),
            V::splat(f),
            V::splat(g),
            V::splat(h),
        ]
    }
}

/// The compression function, cut to the eight words of a chaining value (BLAKE3 paper, section 2.2).
#[inline(always)]
fn compress<V: Vector>(chaining: [V; 8], message: &[V; 16], initial: [V; 4], tail: [V; 4]) -> [V; 8] {
    let [c0, c1, c2, c3, c4, c5, c6, c7] = chaining;
    let ([i0, i1, i2, i3], [t0, t1, t2, t3]) = (initial, tail);
    let mut state = [c0, c1, c2, c3, c4, c5, c6, c7, i0, i1, i2, i3, t0, t1, t2, t3];
    // Written out, so that every index is known when this is compiled and the state stays in registers.
    round(&mut state, message, &SCHEDULE[0]);
    round(&mut state, message, &SCHEDULE[1]);
    round(&mut state, message, &SCHEDULE[2]);
    round(&mut state, message, &SCHEDULE[3]);
    round(&mut state, message, &SCHEDULE[4]);
    round(&mut state, message, &SCHEDULE[5]);
    round(&mut state, message, &SCHEDULE[6]);
    let [a0, a1, a2, a3, a4, a5, a6, a7, b0, b1, b2, b3, b4, b5, b6, b7] = state;
    [a0.xor(b0), a1.xor(b1), a2.xor(b2), a3.xor(b3), a4.xor(b4), a5.xor(b5), a6.xor(b6), a7.xor(b7)]
}

/// Columns, then diagonals. Steps of four independent quarters alternate, so that no instruction waits for the one
/// before it.
#[inline(always)]
fn round<V: Vector>(state: &mut [V; 16], message: &[V; 16], order: &[usize; 16]) {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *order;
    half::<V, 16, 12>(state, COLUMNS, [message[a], message[c], message[e], message[g]]);
    half::<V, 8, 7>(state, COLUMNS, [message[b], message[d], message[f], message[h]]);
    half::<V, 16, 12>(state, DIAGONALS, [message[i], message[k], message[m], message[o]]);
    half::<V, 8, 7>(state, DIAGONALS, [message[j], message[l], message[n], message[p]]);
}

#[inline(always)]
fn half<V: Vector, const D: i32, const B: i32>(state: &mut [V; 16], places: [[usize; 4]; 4], words: [V; 4]) {
    for ([a, b, _, _], word) in places.into_iter().zip(words) {
        state[a] = state[a].add(word).add(state[b]);
    }
    for [a, _, _, d] in places {
        state[d] = state[d].xor(state[a]).rotated::<D>();
    }
    for [_, _, c, d] in places {
        state[c] = state[c].add(state[d]);
    }
    for [_, b, c, _] in places {
        state[b] = state[b].xor(state[c]).rotated::<B>();
    }
}

const COLUMNS: [[usize; 4]; 4] = [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15]];

const DIAGONALS: [[usize; 4]; 4] = [[0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14]];

const CHUNK_START: u32 = 1;
const CHUNK_END: u32 = 2;
const ROOT: u32 = 8;
const DERIVE_KEY_MATERIAL: u32 = 64;

/// The initial chaining value, that of SHA-256 (BLAKE3 paper, table 1).
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// The message words in the order in which each round takes them.
const SCHEDULE: [[usize; 16]; 7] = {
    let mut schedule = [[0; 16]; 7];
    let mut place = 0;
    while place < 16 {
        schedule[0][place] = place;
        place += 1;
    }
    let mut round = 1;
    while round < 7 {
        let mut place = 0;
        while place < 16 {
            schedule[round][place] = schedule[round - 1][PERMUTATION[place]];
            place += 1;
        }
        round += 1;
    }
    schedule
};

/// How the message words move from one round to the next (BLAKE3 paper, table 2).
const PERMUTATION: [usize; 16] = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
