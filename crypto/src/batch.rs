//! From bytes to verdicts, one stage after the other over a whole batch: form, decoding, hashes, equation, search.
//!
//! What has no canonical s or no points is bad by itself. The rest is checked with one equation; only if that fails the
//! bad ones are searched, by halves, and in small parts each signature with an equation of its own. That last answer
//! is exact and depends on nothing random, so the verdict on a signature never depends on its neighbours.

use crate::{
    curve::decoding::decode,
    equation::{Claim, Equation, FIXED_ROWS, IDENTITY},
    keys::{Keys, Known},
    lanes::{AffineRow, LANES_MAX, Lanes, Limbs, portable::Portable},
    quad::{self, Quad},
    scalar::{Challenge, Scalar},
    sha512::{self, Pieces},
    verify::Item,
};

/// Signatures in one equation; more are checked in several. Bounds the scratch memory, to about 8 MiB.
pub(crate) const BATCH_MAX: usize = 16_384;
/// Parts of a failed batch are halved down to this size, where equations apart are as fast as further halves.
const HALVES_MIN: usize = 64;
/// Equations that may fail before all the rest is checked apart, so that many bad signatures do not cost more than a
/// fixed multiple of a good batch.
const FAILURES_MAX: usize = 16;

/// Scratch memory of a batch, and the keys of earlier ones.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The neutral point, the base point, then every key once, then every R.
    rows: Vec<AffineRow>,
    /// What is to be decoded, keys before Rs, and the row of each.
    encodings: Vec<[u8; 32]>,
    targets: Vec<u32>,
    /// Rows that turned out to be of no point, ascending.
    undecodable: Vec<u32>,
    claims: Vec<Claim>,
    padded: Vec<u8>,
    keys: Keys,
    equation: Equation,
    /// Equations of the last batch that failed.
    failures: usize,
}

impl Batch {
    /// Keeps decoded keys in `keys`. All calls of [`verify`](Self::verify) have the same `lanes`.
    pub(crate) fn new<L: Lanes>(lanes: L, keys: Keys) -> Self {
        let mut rows = vec![AffineRow::IDENTITY];
        decode(lanes, &[BASE_ENCODING], |row| rows.extend(row));
        assert!(rows.len() == FIXED_ROWS, "the base point is a point");
        Self {
            rows,
            encodings: Vec::new(),
            targets: Vec::new(),
            undecodable: Vec::new(),
            claims: Vec::new(),
            padded: Vec::new(),
            keys,
            equation: Equation::default(),
            failures: 0,
        }
    }

    /// Appends to `bad` the indices, among those of `items` that `indices` names, of the bad ones.
    pub(crate) fn verify<L: Lanes + Quad>(
        &mut self,
        lanes: L,
        items: &[Item<'_>],
        indices: impl Iterator<Item = usize>,
        mut random: impl FnMut() -> u128,
        bad: &mut Vec<usize>,
    ) {
        self.claim(items, indices, bad);
        self.decode(lanes, bad);
        self.hash(lanes, items);
        let Self { rows, claims, equation, failures, .. } = self;
        *failures = 0;
        let mut search = Search { lanes, rows, equation, random: &mut random, failures, bad };
        search.run(claims, false);
    }

    /// How many equations of the last batch failed: none if all was good, and never more than a fixed number.
    pub(crate) fn failures(&self) -> usize {
        self.failures
    }

    /// Makes claims of all with a canonical s, finds their keys, and says what is to be decoded. The challenges are
    /// still open.
    fn claim(&mut self, items: &[Item<'_>], indices: impl Iterator<Item = usize>, bad: &mut Vec<usize>) {
        self.claims.clear();
        self.encodings.clear();
        self.targets.clear();
        self.rows.truncate(FIXED_ROWS);
        self.keys.begin();
        for item in indices {
            match Scalar::canonical(halves(items[item].signature).1) {
                Some(s) => {
                    let challenge = Challenge::OPEN;
                    self.claims.push(Claim { item, challenge, s, key: IDENTITY, r: IDENTITY });
                }
                None => bad.push(item),
            }
        }
        for number in 0..self.claims.len() {
            if let Some(ahead) = self.claims.get(number + LOOKAHEAD) {
                self.keys.expect(items[ahead.item].key);
            }
            let claim = &mut self.claims[number];
            let key = items[claim.item].key;
            let place = self.rows.len() as u32;
            claim.key = match self.keys.find(key, place) {
                Known::Here(place) => place,
                Known::Before(row) => {
                    self.rows.push(*row);
                    place
                }
                Known::No => {
                    self.rows.push(AffineRow::IDENTITY);
                    self.encodings.push(*key);
                    self.targets.push(place);
                    place
                }
            };
        }
        for claim in &mut self.claims {
            claim.r = self.rows.len() as u32;
            self.rows.push(AffineRow::IDENTITY);
            self.encodings.push(*halves(items[claim.item].signature).0);
            self.targets.push(claim.r);
        }
    }

    /// Decodes what is not decoded yet; claims on what is no point are bad.
    fn decode<L: Lanes>(&mut self, lanes: L, bad: &mut Vec<usize>) {
        let Self { rows, encodings, targets, undecodable, claims, keys, .. } = self;
        undecodable.clear();
        let key_count = encodings.len() - claims.len();
        let mut place = 0;
        decode(lanes, encodings, |row| {
            let target = targets[place];
            match row {
                Some(row) => {
                    rows[target as usize] = *row;
                    if place < key_count {
                        keys.keep(&encodings[place], row);
                    }
                }
                None => undecodable.push(target),
            }
            place += 1;
        });
        if undecodable.is_empty() {
            return;
        }
        claims.retain(|claim| {
            let is_point = |row: u32| undecodable.binary_search(&row).is_err();
            let is_whole = is_point(claim.key) && is_point(claim.r);
            if !is_whole {
                bad.push(claim.item);
            }
            is_whole
        });
    }

    /// Computes the challenges.
    fn hash<L: Lanes>(&mut self, lanes: L, items: &[Item<'_>]) {
        let pieces = |claim: &Claim| {
            let Item { key, message, signature } = items[claim.item];
            Pieces([&signature[..32], key, message])
        };
        // Lanes of one call should have equally many blocks. Most often all have anyway.
        if !self.claims.is_sorted_by_key(|claim| pieces(claim).blocks()) {
            self.claims.sort_unstable_by_key(|claim| pieces(claim).blocks());
        }
        if let [claim] = &mut self.claims[..] {
            // Lanes that are empty cost as much as full ones.
            let hashes = sha512::hash(Portable, &[pieces(claim)], &mut self.padded);
            claim.challenge = Challenge::from_hash(&hashes[0]);
            return;
        }
        for claims in self.claims.chunks_mut(L::COUNT) {
            let mut messages = [Pieces([&[]; 3]); LANES_MAX];
            for (message, claim) in messages.iter_mut().zip(&*claims) {
                *message = pieces(claim);
            }
            let hashes = sha512::hash(lanes, &messages[..claims.len()], &mut self.padded);
            for (claim, hash) in claims.iter_mut().zip(&hashes) {
                claim.challenge = Challenge::from_hash(hash);
            }
        }
    }
}

/// The search for the bad ones of a batch.
struct Search<'a, L, F> {
    lanes: L,
    rows: &'a [AffineRow],
    equation: &'a mut Equation,
    random: &'a mut F,
    failures: &'a mut usize,
    bad: &'a mut Vec<usize>,
}

impl<L: Lanes + Quad, F: FnMut() -> u128> Search<'_, L, F> {
    /// Finds the bad ones among `claims`; with `is_bad` it is known that there are some. Says whether there were.
    fn run(&mut self, claims: &[Claim], is_bad: bool) -> bool {
        if claims.len() <= L::APART_MAX || *self.failures >= FAILURES_MAX {
            return self.apart(claims);
        }
        if !is_bad {
            if self.equation.holds(self.lanes, self.rows, claims, &mut *self.random) {
                return false;
            }
            *self.failures += 1;
        }
        if claims.len() <= HALVES_MIN {
            return self.apart(claims);
        }
        let (left, right) = claims.split_at(claims.len() / 2);
        let is_left = self.run(left, false);
        // If the left half is good, the fault must be in the right one: no need to ask there first.
        self.run(right, !is_left);
        true
    }

    /// Which of up to eight claims satisfy their own equation.
    fn one_by_one(&self, claims: &[Claim]) -> u8 {
        let mut good = 0;
        for (place, claim) in claims.iter().enumerate() {
            let mut points = [[[0; 5]; 3]; 2];
            for (point, row) in points.iter_mut().zip([claim.key, claim.r]) {
                *point = affine_limbs(self.lanes, self.rows, row);
            }
            let is_good =
                quad::is_good(self.lanes, claim.challenge.scalar(), claim.s, &points[0], &points[1]);
            good |= u8::from(is_good) << place;
        }
        good
    }

    fn apart(&mut self, claims: &[Claim]) -> bool {
        let before = self.bad.len();
        for claims in claims.chunks(L::COUNT) {
            let good = if claims.len() < L::SIDE_BY_SIDE_MIN {
                self.one_by_one(claims)
            } else {
                self.equation.each(self.lanes, self.rows, claims)
            };
            for (lane, claim) in claims.iter().enumerate() {
                if good >> lane & 1 == 0 {
                    self.bad.push(claim.item);
                }
            }
        }
        self.bad.len() > before
    }
}

/// y + x, y − x and 2dxy of a row, whatever form its lanes gave it.
fn affine_limbs<L: Lanes>(lanes: L, rows: &[AffineRow], row: u32) -> [Limbs; 3] {
    lanes.run(
        #[inline(always)]
        || {
            let [a, b, c] = lanes.gather_affine(rows, &[row; LANES_MAX]);
            let limbs = [lanes.limbs(a), lanes.limbs(b), lanes.limbs(c)];
            let mut first = [[0; 5]; 3];
            for value in 0..3 {
                for place in 0..5 {
                    first[value][place] = limbs[value][place][0];
                }
            }
            first
        },
    )
}

fn halves(signature: &[u8; 64]) -> (&[u8; 32], &[u8; 32]) {
    let (halves, _) = signature.as_chunks::<32>();
    (&halves[0], &halves[1])
}

/// Claims between the hint to bring a key's slot and its use: enough time for memory to answer.
const LOOKAHEAD: usize = 8;
/// B: y = 4/5, x even.
pub(crate) const BASE_ENCODING: [u8; 32] = {
    let mut bytes = [0x66; 32];
    bytes[0] = 0x58;
    bytes
};
