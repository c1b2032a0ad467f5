//! Says that it holds bundles that it cannot have, or takes back what it said.

use fresnel_types::{BlockIndex, Message};

use super::{Adversary, Content, Said, Wire};

/// See the module.
#[derive(Debug)]
pub(super) struct FalseHolder;

impl Adversary for FalseHolder {
    fn says(&mut self, wire: &mut Wire<'_>, mut said: Said) {
        if let Content::Message(Message::Offer(offer)) = &mut said.content {
            for held in &mut offer.held {
                wire.did("false held");
                *held = match wire.random.below(4) {
                    0 => BlockIndex(0),
                    1 => BlockIndex(u64::MAX),
                    _ => BlockIndex(held.0 + wire.random.below(50)),
                };
            }
        }
        wire.pass(said);
    }
}
