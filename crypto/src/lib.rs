#![doc = include_str!("../README.md")]
//!
//! ## Where what is
//!
//! A batch goes bytes → claims → rows (`batch`, `keys`, `curve`), hashes (`sha512`, `scalar`) and one `equation`. All of
//! it is written once over `lanes`, the same operation on several independent values, of which AVX-512, AVX2 and a
//! portable reference are implementations with equal answers; `quad` is the same for one point's four coordinates;
//! `backend` picks one at run time.

#![deny(unsafe_code)]

mod backend;
mod batch;
mod curve;
mod equation;
pub mod hash;
mod keys;
mod lanes;
#[allow(unsafe_code, reason = "a hint to the system is a call into it")]
mod large_pages;
mod power;
#[expect(unsafe_code, reason = "a hint to the processor is an intrinsic")]
mod prefetch;
mod quad;
mod scalar;
mod sha512;
pub mod signing;
pub mod verify;

pub use backend::Backend;
pub use large_pages::large_pages;
pub use prefetch::prefetch;
pub use signing::SigningKey;
pub use verify::{Item, Verifier, is_small_order};
