//! Bytes on their way to one machine or several. Reading and checking them gives everybody the same, so it is done once.

use std::cell::OnceCell;

use fresnel_crypto::Verifier;
use fresnel_types::{Message, Party, Verified, decode, verify::Rules};

use crate::invariants::Broken;

/// What was sent.
pub(super) struct Parcel {
    bytes: Vec<u8>,
    digest: OnceCell<[u8; 32]>,
    content: OnceCell<Result<Verified<Message>, Broken>>,
}

impl Parcel {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, digest: OnceCell::new(), content: OnceCell::new() }
    }

    /// Stands for the bytes in a trace.
    pub(super) fn digest(&self) -> &[u8; 32] {
        self.digest.get_or_init(|| *blake3::hash(&self.bytes).as_bytes())
    }

    /// The message, read and checked as a process does it.
    pub(super) fn open(
        &self,
        rules: &Rules,
        verifier: &mut Verifier,
        from: Party,
    ) -> Result<Verified<Message>, Broken> {
        let read = || {
            let message: Message = decode(&self.bytes)
                .map_err(|error| Broken { invariant: "S3", what: format!("of {from:?}: {error}") })?;
            let kind = message.kind();
            rules.verify_one(verifier, message).map_err(|error| Broken {
                invariant: "S2",
                what: format!("{from:?} sent a {kind:?} that does not verify: {error}"),
            })
        };
        self.content.get_or_init(read).clone()
    }
}
