//! Sends bytes that are no message, and messages that it could not have signed. All of it must be refused at the link.

use fresnel_types::{
    AuthorityIndex, Certificate, ChainId, Message, Signature, SignedVertex, VertexId, VertexRef, Vote, encode,
};

use super::{Adversary, Content, Said, Wire, versions::altered};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Forger {
    /// The last own vertex.
    last: Option<SignedVertex>,
}

impl Adversary for Forger {
    fn says(&mut self, wire: &mut Wire<'_>, said: Said) {
        if let (Some(peer), Content::Message(message)) = (said.peer(), &said.content) {
            if let Message::Proposal(signed) = message {
                self.last = Some(signed.clone());
            }
            if wire.random.chance(FORGED_PERMILLE) {
                wire.did("forgeries");
                let content = self.forge(wire, peer, message);
                wire.pass(Said { content, ..said.clone() });
            }
        }
        wire.pass(said);
    }
}

impl Forger {
    fn forge(&self, wire: &mut Wire<'_>, peer: AuthorityIndex, message: &Message) -> Content {
        let draw = wire.random.below(7);
        let Some(last) = self.last.as_ref().filter(|_| draw > 2) else {
            return Content::Bytes(garbage(wire, draw, encode(message)));
        };
        let vertex = VertexRef { id: VertexId(wire.random.bytes()), ..last.vertex.head.reference() };
        Content::Message(match draw {
            3 => {
                let (chain, epoch) = (&wire.rules.chain, wire.rules.epoch);
                Message::Votes(vec![Vote::sign(chain, epoch, peer, vertex, true, wire.key)])
            }
            4 => {
                let signers = wire.rules.committee.all();
                let signatures = vec![Signature::default(); signers.len()];
                Message::Certificates(vec![Certificate { vertex, signers, stored: signers, signatures }])
            }
            5 => Message::Proposal(altered(last, wire.key, |vertex| vertex.head.author = peer)),
            _ => {
                let chain = ChainId(wire.random.bytes());
                Message::Proposal(altered(last, wire.key, |vertex| vertex.head.chain = chain))
            }
        })
    }
}

/// Noise, a message cut short, or one with bits turned over.
fn garbage(wire: &mut Wire<'_>, draw: u64, mut bytes: Vec<u8>) -> Vec<u8> {
    match draw {
        0 => {
            let length = wire.random.index(100);
            (0..length).map(|_| wire.random.below(256) as u8).collect()
        }
        1 => {
            bytes.truncate(wire.random.index(bytes.len()));
            bytes
        }
        _ => {
            for _ in 0..wire.random.between(1, 4) {
                let place = wire.random.index(bytes.len());
                bytes[place] ^= 1 << wire.random.below(8);
            }
            bytes
        }
    }
}

const FORGED_PERMILLE: u64 = 100;
