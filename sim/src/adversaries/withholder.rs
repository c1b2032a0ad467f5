//! Proposes and votes to a few only and gives nobody what it is asked for: the others must get it from one another.

use std::collections::BTreeMap;

use fresnel_types::{AuthoritySet, Message, Round};

use super::{Adversary, Content, Said, Wire};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Withholder {
    /// Who sees the vertex of a round.
    shown: BTreeMap<Round, AuthoritySet>,
}

impl Withholder {
    fn shown(&mut self, wire: &mut Wire<'_>, round: Round) -> AuthoritySet {
        if self.shown.len() > ROUNDS_REMEMBERED {
            self.shown.pop_first();
        }
        *self.shown.entry(round).or_insert_with(|| wire.some_of_others())
    }
}

impl Adversary for Withholder {
    fn says(&mut self, wire: &mut Wire<'_>, said: Said) {
        let (Some(peer), Content::Message(message)) = (said.peer(), &said.content) else {
            return wire.pass(said);
        };
        match message {
            Message::Proposal(signed) if !self.shown(wire, signed.vertex.head.round).contains(peer) => {
                return wire.did("withheld proposals");
            }
            Message::Votes(_) if wire.random.chance(500) => return wire.did("withheld votes"),
            Message::Vertices(_) | Message::CommitRange(_) | Message::Bundle(_) => {
                return wire.did("unanswered requests");
            }
            _ => {}
        }
        wire.pass(said);
    }
}

const ROUNDS_REMEMBERED: usize = 64;
