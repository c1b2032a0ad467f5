//! Does not propose when it is the candidate anchor: everybody waits for it, as long as it is not demoted.

use fresnel_beacon::schedule;
use fresnel_types::{AuthoritySet, Message};

use super::{Adversary, Content, Said, Wire};

/// See the module.
#[derive(Debug)]
pub(super) struct MuteAnchor;

impl Adversary for MuteAnchor {
    fn says(&mut self, wire: &mut Wire<'_>, said: Said) {
        if let Content::Message(Message::Proposal(signed)) = &said.content {
            let round = signed.vertex.head.round;
            // Who is demoted it cannot know beforehand; nearly always nobody is.
            if schedule::candidate(wire.rules, &AuthoritySet::default(), round) == wire.me {
                wire.did("anchors not proposed");
                return;
            }
        }
        wire.pass(said);
    }
}
