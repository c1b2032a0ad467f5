//! Votes for whatever is proposed, without its payload and its parents, and also for a second proposal of a slot: a vote of
//! this authority promises nothing.

use fresnel_types::{Message, Party, Vote};

use super::{Adversary, Said, Wire};

/// See the module.
#[derive(Debug)]
pub(super) struct CarelessVoter;

impl Adversary for CarelessVoter {
    fn says(&mut self, wire: &mut Wire<'_>, said: Said) {
        wire.pass(said);
    }

    fn hears(&mut self, wire: &mut Wire<'_>, to: Party, _from: Party, message: &Message) {
        if let (Party::Beacon(me), Message::Proposal(signed)) = (to, message) {
            wire.did("blind votes");
            let reference = signed.vertex.head.reference();
            let stored = wire.random.chance(700);
            let vote = Vote::sign(&wire.rules.chain, wire.rules.epoch, me, reference, stored, wire.key);
            wire.tell_beacons(&Message::Votes(vec![vote]));
        }
    }
}
