//! SHA-512 (FIPS 180-4) of several messages at once, a lane each.
//!
//! Only what a signature's challenge needs: the hash of R ‖ A ‖ M, as the integer that ed25519 reads its bytes as.

use crate::lanes::{LANES_MAX, Lanes};

/// Bytes of a block.
const BLOCK: usize = 128;
/// The padding is a one bit and the length in 16 bytes.
const PADDING_MIN: usize = 17;

/// A message in pieces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pieces<'a>(pub(crate) [&'a [u8]; 3]);

impl Pieces<'_> {
    /// Blocks of the padded message.
    pub(crate) fn blocks(&self) -> usize {
        (self.length() + PADDING_MIN).div_ceil(BLOCK)
    }

    fn length(&self) -> usize {
        self.0.iter().map(|piece| piece.len()).sum()
    }

    /// Writes the padded message to the start of `to`, which has room for it.
    fn pad(&self, to: &mut [u8]) {
        let mut length = 0;
        for piece in self.0 {
            to[length..][..piece.len()].copy_from_slice(piece);
            length += piece.len();
        }
        let end = self.blocks() * BLOCK;
        to[length] = 0x80;
        to[length + 1..end - 8].fill(0);
        // A length in bits above 2^64 does not fit in memory, so the upper half of the field stays zero.
        to[end - 8..end].copy_from_slice(&(8 * length as u64).to_be_bytes());
    }
}

/// The hashes of up to [`Lanes::COUNT`] messages as eight little-endian words each. `padded` is scratch memory.
/// Fastest if all have the same number of blocks.
pub(crate) fn hash<L: Lanes>(
    lanes: L,
    messages: &[Pieces<'_>],
    padded: &mut Vec<u8>,
) -> [[u64; 8]; LANES_MAX] {
    let longest = messages.iter().map(Pieces::blocks).max().unwrap_or(0);
    let stride = longest * BLOCK;
    if padded.len() < stride * messages.len() {
        padded.resize(stride * messages.len(), 0);
    }
    for (message, room) in messages.iter().zip(padded.chunks_exact_mut(stride.max(1))) {
        message.pad(room);
    }
    let mut state = lanes.run(
        #[inline(always)]
        || INITIAL.map(|word| lanes.word(word)),
    );
    for block in 0..longest {
        let mut live = 0;
        let mut halves = [[&[0; 64]; LANES_MAX]; 2];
        for (lane, message) in messages.iter().enumerate() {
            let (chunks, _) = padded[lane * stride + block * BLOCK..][..BLOCK].as_chunks::<64>();
            (halves[0][lane], halves[1][lane]) = (&chunks[0], &chunks[1]);
            live |= u8::from(block < message.blocks()) << lane;
        }
        compress(lanes, &mut state, live, &halves);
    }
    lanes.run(
        #[inline(always)]
        || lanes.words_swapped(&state),
    )
}

/// One block of every lane in `live`.
fn compress<L: Lanes>(lanes: L, state: &mut [L::Word; 8], live: u8, halves: &[[&[u8; 64]; LANES_MAX]; 2]) {
    lanes.run(
        #[inline(always)]
        || {
            let (first, second) = (lanes.words_from_be(&halves[0]), lanes.words_from_be(&halves[1]));
            let mut schedule = [lanes.word(0); 16];
            schedule[..8].copy_from_slice(&first);
            schedule[8..].copy_from_slice(&second);
            let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
            let mut rounds = ROUND.chunks_exact(16);
            let last = rounds.next_back().expect("80 rounds");
            // The names of the working variables move by one place per round; after eight all are back.
            macro_rules! round {
                ($input:expr, $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident) => {{
                    let t1 = lanes.word_add(
                        lanes.word_add($h, $input),
                        lanes.word_add(
                            lanes.word_xor(
                                lanes.word_rotate::<14>($e),
                                lanes.word_rotate::<18>($e),
                                lanes.word_rotate::<41>($e),
                            ),
                            lanes.word_choose($e, $f, $g),
                        ),
                    );
                    let t2 = lanes.word_add(
                        lanes.word_xor(
                            lanes.word_rotate::<28>($a),
                            lanes.word_rotate::<34>($a),
                            lanes.word_rotate::<39>($a),
                        ),
                        lanes.word_majority($a, $b, $c),
                    );
                    $d = lanes.word_add($d, t1);
                    $h = lanes.word_add(t1, t2);
                }};
            }
            macro_rules! eight_rounds {
                ($input:ident, $first:expr) => {{
                    round!($input!($first), a b c d e f g h);
                    round!($input!($first + 1), h a b c d e f g);
                    round!($input!($first + 2), g h a b c d e f);
                    round!($input!($first + 3), f g h a b c d e);
                    round!($input!($first + 4), e f g h a b c d);
                    round!($input!($first + 5), d e f g h a b c);
                    round!($input!($first + 6), c d e f g h a b);
                    round!($input!($first + 7), b c d e f g h a);
                }};
            }
            for constants in rounds {
                macro_rules! input_and_next {
                    ($place:expr) => {{
                        let (place, word) = ($place, schedule[$place]);
                        // The word of sixteen rounds later takes the place of this one.
                        let (next, last) = (schedule[(place + 1) % 16], schedule[(place + 14) % 16]);
                        let low = lanes.word_xor(
                            lanes.word_rotate::<1>(next),
                            lanes.word_rotate::<8>(next),
                            lanes.word_shift::<7>(next),
                        );
                        let high = lanes.word_xor(
                            lanes.word_rotate::<19>(last),
                            lanes.word_rotate::<61>(last),
                            lanes.word_shift::<6>(last),
                        );
                        let further = lanes.word_add(word, schedule[(place + 9) % 16]);
                        schedule[place] = lanes.word_add(further, lanes.word_add(low, high));
                        lanes.word_add(word, lanes.word(constants[place]))
                    }};
                }
                eight_rounds!(input_and_next, 0);
                eight_rounds!(input_and_next, 8);
            }
            macro_rules! last_input {
                ($place:expr) => {
                    lanes.word_add(schedule[$place], lanes.word(last[$place]))
                };
            }
            eight_rounds!(last_input, 0);
            eight_rounds!(last_input, 8);
            let worked = [a, b, c, d, e, f, g, h];
            for place in 0..8 {
                let sum = lanes.word_add(state[place], worked[place]);
                state[place] = lanes.word_select(live, state[place], sum);
            }
        },
    );
}

const INITIAL: [u64; 8] = [
    0x6a09e667f3bcc908,
    0xbb67ae8584caa73b,
    0x3c6ef372fe94f82b,
    0xa54ff53a5f1d36f1,
    0x510e527fade682d1,
    0x9b05688c2b3e6c1f,
    0x1f83d9abfb41bd6b,
    0x5be0cd19137e2179,
];

const ROUND: [u64; 80] = [
    0x428a2f98d728ae22,
    0x7137449123ef65cd,
    0xb5c0fbcfec4d3b2f,
    0xe9b5dba58189dbbc,
    0x3956c25bf348b538,
    0x59f111f1b605d019,
    0x923f82a4af194f9b,
    0xab1c5ed5da6d8118,
    0xd807aa98a3030242,
    0x12835b0145706fbe,
    0x243185be4ee4b28c,
    0x550c7dc3d5ffb4e2,
    0x72be5d74f27b896f,
    0x80deb1fe3b1696b1,
    0x9bdc06a725c71235,
    0xc19bf174cf692694,
    0xe49b69c19ef14ad2,
    0xefbe4786384f25e3,
    0x0fc19dc68b8cd5b5,
    0x240ca1cc77ac9c65,
    0x2de92c6f592b0275,
    0x4a7484aa6ea6e483,
    0x5cb0a9dcbd41fbd4,
    0x76f988da831153b5,
    0x983e5152ee66dfab,
    0xa831c66d2db43210,
    0xb00327c898fb213f,
    0xbf597fc7beef0ee4,
    0xc6e00bf33da88fc2,
    0xd5a79147930aa725,
    0x06ca6351e003826f,
    0x142929670a0e6e70,
    0x27b70a8546d22ffc,
    0x2e1b21385c26c926,
    0x4d2c6dfc5ac42aed,
    0x53380d139d95b3df,
    0x650a73548baf63de,
    0x766a0abb3c77b2a8,
    0x81c2c92e47edaee6,
    0x92722c851482353b,
    0xa2bfe8a14cf10364,
    0xa81a664bbc423001,
    0xc24b8b70d0f89791,
    0xc76c51a30654be30,
    0xd192e819d6ef5218,
    0xd69906245565a910,
    0xf40e35855771202a,
    0x106aa07032bbd1b8,
    0x19a4c116b8d2d0c8,
    0x1e376c085141ab53,
    0x2748774cdf8eeb99,
    0x34b0bcb5e19b48a8,
    0x391c0cb3c5c95a63,
    0x4ed8aa4ae3418acb,
    0x5b9cca4f7763e373,
    0x682e6ff3d6b2b8a3,
    0x748f82ee5defb2fc,
    0x78a5636f43172f60,
    0x84c87814a1f0ab72,
    0x8cc702081a6439ec,
    0x90befffa23631e28,
    0xa4506cebde82bde9,
    0xbef9a3f7b2c67915,
    0xc67178f2e372532b,
    0xca273eceea26619c,
    0xd186b8c721c0c207,
    0xeada7dd6cde0eb1e,
    0xf57d4f7fee6ed178,
    0x06f067aa72176fba,
    0x0a637dc5a2c898a6,
    0x113f9804bef90dae,
    0x1b710b35131c471b,
    0x28db77f523047d84,
    0x32caab7b40c72493,
    0x3c9ebe0a15c9bebc,
    0x431d67c49c100d4c,
    0x4cc5d4becb3e42b6,
    0x597f299cfc657e2a,
    0x5fcb6fab3ad6faec,
    0x6c44198c4a475817,
];

#[cfg(test)]
mod tests;
