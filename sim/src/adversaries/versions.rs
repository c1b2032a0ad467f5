//! Own vertices in other versions than the own beacon made them, and who is shown which.

use std::collections::BTreeMap;

use fresnel_crypto::SigningKey;
use fresnel_types::{AuthorityIndex, Message, Round, SignedVertex, Vertex, VertexId, Vote};

use super::{Content, Said, Wire};

/// A vertex that was changed, signed again.
pub(super) fn altered(
    signed: &SignedVertex,
    key: &SigningKey,
    change: impl FnOnce(&mut Vertex),
) -> SignedVertex {
    let mut vertex = signed.vertex.clone();
    change(&mut vertex);
    Vertex::new(vertex.head, vertex.headers).sign(key)
}

/// What others are shown, by round.
#[derive(Debug, Default)]
pub(super) struct Versions {
    rounds: BTreeMap<Round, Shown>,
}

#[derive(Debug)]
struct Shown {
    original: VertexId,
    cast: Cast,
}

/// Versions of one vertex, and by authority the place of the one that it is shown.
#[derive(Debug)]
pub(super) struct Cast {
    pub(super) versions: Vec<SignedVertex>,
    pub(super) shown: Vec<usize>,
}

impl Versions {
    /// Passes on what is said, own vertices in the version for the receiver and own votes for them likewise. `cast`
    /// decides about a vertex when it is first said; without versions it is shown as it is.
    pub(super) fn says(
        &mut self,
        wire: &mut Wire<'_>,
        said: Said,
        cast: impl FnOnce(&mut Wire<'_>, &SignedVertex) -> Option<Cast>,
    ) {
        let message = match (said.peer(), &said.content) {
            (Some(peer), Content::Message(Message::Proposal(signed))) => {
                if !self.knows(signed)
                    && let Some(cast) = cast(wire, signed)
                {
                    self.remember(signed, cast);
                }
                self.version(signed.vertex.head.round, signed.vertex.head.id(), peer)
                    .cloned()
                    .map(Message::Proposal)
            }
            (Some(peer), Content::Message(Message::Votes(votes))) => {
                let votes = votes.iter().map(|vote| self.vote(wire, vote, peer)).collect();
                Some(Message::Votes(votes))
            }
            _ => None,
        };
        wire.pass(match message {
            Some(message) => said.with(message),
            None => said,
        });
    }

    fn knows(&self, signed: &SignedVertex) -> bool {
        self.rounds.last_key_value().is_some_and(|(last, _)| signed.vertex.head.round <= *last)
    }

    fn remember(&mut self, signed: &SignedVertex, cast: Cast) {
        let original = signed.vertex.head.id();
        self.rounds.insert(signed.vertex.head.round, Shown { original, cast });
        if self.rounds.len() > ROUNDS_REMEMBERED {
            self.rounds.pop_first();
        }
    }

    fn version(&self, round: Round, id: VertexId, peer: AuthorityIndex) -> Option<&SignedVertex> {
        let shown = self.rounds.get(&round).filter(|shown| shown.original == id)?;
        shown.cast.versions.get(shown.cast.shown[peer.index()])
    }

    fn vote(&self, wire: &Wire<'_>, vote: &Vote, peer: AuthorityIndex) -> Vote {
        match self.version(vote.vertex.round, vote.vertex.id, peer) {
            Some(version) if vote.voter == wire.me => {
                let reference = version.vertex.head.reference();
                Vote::sign(&wire.rules.chain, wire.rules.epoch, wire.me, reference, vote.stored, wire.key)
            }
            _ => *vote,
        }
    }
}

const ROUNDS_REMEMBERED: usize = 64;
