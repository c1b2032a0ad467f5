//! Hashes in a context: BLAKE3's mode for deriving keys (BLAKE3 paper, section 2.3), in which no input of one context gives
//! what an input of another gives.

use blake3::hazmat::hash_derive_key_context;

use super::{
    Hash,
    lanes::{Kind, Lanes},
};

/// What all hashes of one kind of thing have in common.
#[derive(Clone, Debug)]
pub struct Context {
    /// Nothing hashed so far.
    hasher: blake3::Hasher,
    key: [u32; 8],
}

impl Context {
    /// The context with this name.
    pub fn new(name: &str) -> Self {
        let bytes = hash_derive_key_context(name);
        let mut key = [0; 8];
        for (word, bytes) in key.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        Self { hasher: blake3::Hasher::new_derive_key(name), key }
    }

    /// Hashes one input.
    pub fn hash(&self, input: &[u8]) -> Hash {
        self.hash_parts(&[input])
    }

    /// Hashes one input that stands in parts.
    pub fn hash_parts(&self, parts: &[&[u8]]) -> Hash {
        let mut hasher = self.hasher.clone();
        for part in parts {
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }

    /// Hashes every input, neighbours of equal length in lanes where the processor has them. There must be as many
    /// hashes as inputs.
    pub fn hash_all(&self, inputs: &[&[u8]], hashes: &mut [Hash]) {
        assert_eq!(inputs.len(), hashes.len(), "every input has one hash");
        Lanes::detect().hash_bytes(inputs, |bytes| Kind::Derived(self, bytes), hashes);
    }

    /// The chaining value that every input starts with.
    pub(super) fn key(&self) -> [u32; 8] {
        self.key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lanes against the `blake3` crate: every length around the blocks, groups of every size around the lanes.
    #[test]
    fn many_in_a_context_are_what_each_is_alone() {
        let name = "fresnel test of contexts";
        let context = Context::new(name);
        let bytes: Vec<u8> = (0..40_000_u32).map(|at| (at * 7 + at / 251) as u8).collect();
        for length in [0, 1, 31, 63, 64, 65, 127, 128, 132, 192, 255, 256, 257, 1_024, 1_025] {
            for count in [1, 2, 7, 8, 9, 15, 16, 17, 33] {
                let inputs: Vec<&[u8]> = (0..count).map(|at| &bytes[at * 13..at * 13 + length]).collect();
                let mut hashes = vec![[0xaa; 32]; count];
                context.hash_all(&inputs, &mut hashes);
                for (input, hash) in inputs.iter().zip(&hashes) {
                    assert_eq!(*hash, blake3::derive_key(name, input), "{length} bytes, {count} inputs");
                }
            }
        }
        let mixed: Vec<&[u8]> = (0..200).map(|at| &bytes[at..at + at % 5 * 40]).collect();
        let mut hashes = vec![[0; 32]; mixed.len()];
        context.hash_all(&mixed, &mut hashes);
        assert!(mixed.iter().zip(&hashes).all(|(input, hash)| *hash == context.hash(input)));
        assert_eq!(context.hash_parts(&[b"two ", b"parts"]), context.hash(b"two parts"));
    }
}
