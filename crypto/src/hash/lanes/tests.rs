use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::{
    super::{EMPTY, Pair, byte_leaves, leaf, leaves, node, nodes},
    *,
};

/// Every way that this processor is fit for.
fn ways() -> Vec<Lanes> {
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "only x86-64 has more than one way"))]
    let mut ways = vec![Lanes::One];
    #[cfg(target_arch = "x86_64")]
    {
        ways.extend(avx2::Detected::new().map(Lanes::Avx2));
        ways.extend(avx512::Detected::new().map(Lanes::Avx512));
    }
    ways
}

fn random_blocks(random: &mut ChaCha12Rng, count: usize) -> Vec<Block> {
    let mut blocks = vec![[0; BLOCK_BYTES]; count];
    random.fill_bytes(blocks.as_flattened_mut());
    blocks
}

/// What the `blake3` crate says, with the bit of the kind.
fn expected(input: &[Block], kind: Kind<'_>) -> Hash {
    let mut hash = *blake3::hash(input.as_flattened()).as_bytes();
    match kind {
        Kind::Node => hash[0] &= 0xfe,
        Kind::Leaf | Kind::PaddedLeaf(_) => hash[0] |= 1,
        Kind::Derived(..) => panic!("contexts have a test of their own"),
    }
    hash
}

/// E1 on every CPU path: random inputs of every length up to more than a chunk, in groups of every size around the
/// widths of the vectors, each at another alignment.
#[test]
fn every_way_agrees_with_blake3() {
    let mut random = ChaCha12Rng::seed_from_u64(1);
    for count in (0..=18).chain([31, 32, 33, 47, 64, 100]) {
        for blocks in [0, 1, 2, 3, 7, 15, 16, 17, 33] {
            let owned: Vec<_> = (0..count).map(|_| random_blocks(&mut random, blocks)).collect();
            let inputs: Vec<&[Block]> = owned.iter().map(Vec::as_slice).collect();
            for kind in [Kind::Node, Kind::Leaf] {
                let wanted: Vec<Hash> = inputs.iter().map(|input| expected(input, kind)).collect();
                for way in ways() {
                    let mut hashes = vec![[0xaa; 32]; count];
                    way.hash(&inputs, kind, &mut hashes);
                    assert_eq!(hashes, wanted, "{way:?}, {count} inputs of {blocks} blocks");
                }
            }
        }
    }
}

/// Words at which additions carry and rotations show their direction.
#[test]
fn every_way_agrees_on_extreme_words() {
    let words = [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX, 0x0123_4567, 0xff00_ff00];
    let owned: Vec<Block> = (0..words.len() * words.len())
        .map(|number| {
            let mut block = [0; BLOCK_BYTES];
            for (place, bytes) in block.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                let word = if place % 2 == 0 { number % words.len() } else { number / words.len() };
                *bytes = words[word].to_le_bytes();
            }
            block
        })
        .collect();
    let inputs: Vec<&[Block]> = owned.iter().map(std::slice::from_ref).collect();
    for way in ways() {
        let mut hashes = vec![EMPTY; inputs.len()];
        way.hash(&inputs, Kind::Node, &mut hashes);
        assert!(
            inputs.iter().zip(&hashes).all(|(input, hash)| *hash == expected(input, Kind::Node)),
            "{way:?}"
        );
    }
}

/// The public functions: mixed lengths keep their places, and many are what each is alone.
#[test]
fn many_are_what_each_is_alone() {
    let mut random = ChaCha12Rng::seed_from_u64(2);
    let owned: Vec<_> = (0..300)
        .map(|_| {
            let blocks = [2, 2, 2, 3, 0, 17][random.next_u32() as usize % 6];
            random_blocks(&mut random, blocks)
        })
        .collect();
    let inputs: Vec<&[Block]> = owned.iter().map(Vec::as_slice).collect();
    let mut hashes = vec![EMPTY; inputs.len()];
    leaves(&inputs, &mut hashes);
    assert!(inputs.iter().zip(&hashes).all(|(input, hash)| *hash == leaf(input.as_flattened())));

    let bytes = random_blocks(&mut random, 40);
    let inputs: Vec<&[u8]> =
        (0..300_usize).map(|at| &bytes.as_flattened()[at..at + at / 16 * 16 % 300]).collect();
    let mut hashes = vec![EMPTY; inputs.len()];
    byte_leaves(&inputs, &mut hashes);
    assert!(inputs.iter().zip(&hashes).all(|(input, hash)| *hash == leaf(input)));

    let pairs: Vec<Pair> = hashes.windows(2).map(|two| Pair::new(&two[0], &two[1])).collect();
    let pairs: Vec<&Pair> = pairs.iter().collect();
    let mut parents = vec![EMPTY; pairs.len()];
    nodes(&pairs, &mut parents);
    for (two, parent) in hashes.windows(2).zip(parents) {
        assert_eq!(parent, node(&two[0], &two[1]));
    }
}
