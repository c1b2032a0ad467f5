//! Gives others bundles that its shard never made: with receipts left out, or consistent in themselves and of another
//! record. Nobody need ask for them.

use fresnel_types::{Bundle, Message, Party, StateRoot};

use super::{Adversary, Content, Said, Wire};

/// See the module.
#[derive(Debug)]
pub(super) struct FalseBundler;

impl Adversary for FalseBundler {
    fn says(&mut self, wire: &mut Wire<'_>, mut said: Said) {
        if let (Some(_), Content::Message(Message::Bundle(bundle))) = (said.peer(), &mut said.content) {
            falsify(wire, bundle);
        }
        wire.pass(said);
    }

    fn hears(&mut self, wire: &mut Wire<'_>, to: Party, _from: Party, message: &Message) {
        if let (Party::Worker(_, shard), Message::Bundle(bundle)) = (to, message) {
            for other in wire.some_of_others().iter() {
                let mut bundle = bundle.clone();
                falsify(wire, &mut bundle);
                wire.pass(Said::new(to, Party::Worker(other, shard), Message::Bundle(bundle)));
            }
        }
    }
}

fn falsify(wire: &mut Wire<'_>, bundle: &mut Bundle) {
    wire.did("false bundles");
    if wire.random.chance(200) && !bundle.receipts.is_empty() {
        bundle.receipts.pop();
    } else {
        bundle.record.state = StateRoot(wire.random.bytes());
    }
}
