//! Gives two votes for one slot: some see that for the vertex, some see one for a vertex that nobody made, some see both.

use fresnel_types::{Message, VertexId, VertexRef, Vote};

use super::{Adversary, Content, Said, Wire};

/// See the module.
#[derive(Debug)]
pub(super) struct DoubleVoter;

impl Adversary for DoubleVoter {
    fn says(&mut self, wire: &mut Wire<'_>, mut said: Said) {
        if let (Some(_), Content::Message(Message::Votes(votes))) = (said.peer(), &mut said.content) {
            let mut shown = Vec::new();
            for vote in votes.iter() {
                let draw = wire.random.below(4);
                if draw < 2 {
                    wire.did("double votes");
                    let vertex = VertexRef { id: VertexId(wire.random.bytes()), ..vote.vertex };
                    shown.push(Vote::sign(
                        &wire.rules.chain,
                        wire.rules.epoch,
                        wire.me,
                        vertex,
                        vote.stored,
                        wire.key,
                    ));
                }
                if draw > 0 {
                    shown.push(*vote);
                }
            }
            *votes = shown;
        }
        wire.pass(said);
    }
}
