//! Attests records that nobody computed: of blocks that closed, and of blocks to come.

use fresnel_types::{Attestation, BlockIndex, Message, RecordDigest};

use super::{Adversary, Content, Said, Wire};

/// See the module.
#[derive(Debug)]
pub(super) struct FalseAttester;

impl Adversary for FalseAttester {
    fn says(&mut self, wire: &mut Wire<'_>, mut said: Said) {
        if let Content::Message(Message::Offer(offer)) = &mut said.content {
            for attestation in &mut offer.attestations {
                if wire.random.chance(600) {
                    wire.did("false attestations");
                    attestation.record = RecordDigest(wire.random.bytes());
                }
            }
            if let Some(last) = offer.attestations.last().copied()
                && wire.random.chance(100)
            {
                wire.did("false attestations");
                let block = BlockIndex(last.block.0 + wire.random.between(1, 100));
                let record = RecordDigest(wire.random.bytes());
                offer.attestations.push(Attestation { block, record, ..last });
            }
        }
        wire.pass(said);
    }
}
