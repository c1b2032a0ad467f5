//! The examples of FIPS 180-4, and lanes beside the portable path with lengths around the block bounds mixed.

use super::*;
use crate::{
    backend::{Backend, with_lanes},
    lanes::portable::Portable,
};

fn alone(message: &[u8]) -> [u64; 8] {
    hash(Portable, &[Pieces([message, &[], &[]])], &mut Vec::new())[0]
}

fn hex(hash: [u64; 8]) -> String {
    hash.iter().map(|word| format!("{:016x}", word.swap_bytes())).collect()
}

#[test]
fn examples_of_the_standard() {
    assert_eq!(
        hex(alone(b"abc")),
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
         2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    );
    let long = b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn\
        hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu";
    assert_eq!(
        hex(alone(long)),
        "8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018\
         501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909",
    );
}

fn check<L: Lanes>(lanes: L) {
    let bytes: Vec<u8> = (0..400_u32).map(|i| (i * 37 + 11) as u8).collect();
    let mut padded = Vec::new();
    for start in 0..301 {
        let lengths: Vec<usize> = (0..L::COUNT).map(|lane| (start * (1 + 3 * lane)) % 301).collect();
        for used in [1, L::COUNT] {
            let messages: Vec<Pieces<'_>> = lengths[..used]
                .iter()
                .map(|&length| Pieces([&bytes[..32], &bytes[32..64], &bytes[64..64 + length]]))
                .collect();
            for (message, found) in messages.iter().zip(hash(lanes, &messages, &mut padded)) {
                assert_eq!(found, alone(&message.0.concat()));
            }
        }
    }
}

#[test]
fn lanes_hash_as_one_message_alone() {
    for backend in Backend::all() {
        with_lanes!(backend, lanes => check(lanes));
    }
}
