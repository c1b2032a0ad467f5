//! Signatures and hashes, below everything else.
//!
//! One acceptance rule for ed25519 holds everywhere, ZIP-215: a signature `(R, s)` on message `M` under key `A` is
//! valid if `s` is canonical, `A` and `R` decode to curve points (non-canonical encodings allowed), and
//! `[8][s]B = [8]R + [8][k]A` with `k = SHA-512(R ‖ A ‖ M)`. The equation is cofactored, so a batch accepts exactly
//! the signatures that single verification accepts; replicas can therefore batch as they like and still agree.
//!
//! A batch goes bytes → claims → rows (`batch`, `keys`, `curve`), hashes (`sha512`, `scalar`) and one `equation`. All of
//! it is written once over `lanes`, the same operation on several independent values, of which AVX-512, AVX2 and a
//! portable reference are implementations with equal answers; `backend` picks one at run time.
//!
//! Keys, messages and signatures are plain bytes here: this crate knows none of Fresnel's types.

#![deny(unsafe_code)]

mod backend;
mod batch;
mod curve;
mod equation;
pub mod hash;
mod keys;
mod lanes;
#[expect(unsafe_code, reason = "a hint to the processor is an intrinsic")]
mod prefetch;
mod quad;
mod scalar;
mod sha512;
pub mod signing;
pub mod verify;

pub use backend::Backend;
pub use prefetch::prefetch;
pub use signing::SigningKey;
pub use verify::{Item, Verifier, is_small_order};
