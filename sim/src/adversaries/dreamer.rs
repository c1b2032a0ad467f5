//! Proposes vertices of rounds to come, on parents that nobody made.

use fresnel_types::{Message, Round, VertexId, VertexRef};

use super::{Adversary, Content, Said, Wire, versions::altered};

/// See the module.
#[derive(Debug)]
pub(super) struct Dreamer;

impl Adversary for Dreamer {
    fn says(&mut self, wire: &mut Wire<'_>, said: Said) {
        if let (Some(_), Content::Message(Message::Proposal(signed))) = (said.peer(), &said.content)
            && wire.random.chance(DREAM_PERMILLE)
        {
            wire.did("dreams");
            let ahead = if wire.random.chance(100) { u64::MAX / 2 } else { wire.random.below(AHEAD_MAX) };
            let round = Round(signed.vertex.head.round.0 + ahead);
            let authors = wire.rules.committee.indices();
            let parents = authors
                .map(|author| VertexRef {
                    round: Round(round.0 - 1),
                    author,
                    id: VertexId(wire.random.bytes()),
                })
                .collect();
            let dream = altered(signed, wire.key, |vertex| {
                vertex.head.round = round;
                vertex.head.parents = parents;
                vertex.head.weak.clear();
            });
            wire.pass(said.with(Message::Proposal(dream)));
        }
        wire.pass(said);
    }
}

const DREAM_PERMILLE: u64 = 200;

/// Rounds ahead: within what others take, and beyond.
const AHEAD_MAX: u64 = 20;
