//! Any bytes as a batch of signatures: every backend says of each what ed25519-zebra says.

#![no_main]

#[path = "../src/signatures.rs"]
mod signatures;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| signatures::check(bytes));
