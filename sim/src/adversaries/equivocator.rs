//! Shows different vertices of one slot to different authorities: in two chains, or to each its own.

use fresnel_types::{Message, SignedVertex, Timestamp};

use super::{
    Adversary, Content, Said, Wire,
    versions::{Cast, Versions, altered},
};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Equivocator {
    versions: Versions,
}

impl Adversary for Equivocator {
    fn says(&mut self, wire: &mut Wire<'_>, said: Said) {
        let proposal = match &said.content {
            Content::Message(Message::Proposal(signed)) if said.peer().is_some() => Some(signed.clone()),
            _ => None,
        };
        let like_this = said.clone();
        self.versions.says(wire, said, cast);
        // Some see both, so that the two are found out.
        if let Some(signed) = proposal
            && wire.random.chance(BOTH_PERMILLE)
        {
            wire.did("second versions");
            let delay = like_this.delay + wire.random.below(BOTH_LATER);
            wire.pass(Said { delay, ..like_this.with(Message::Proposal(signed)) });
        }
    }
}

/// Halves, all but one, or everybody for itself.
fn cast(wire: &mut Wire<'_>, signed: &SignedVertex) -> Option<Cast> {
    if wire.random.chance(HONEST_PERMILLE) {
        return None;
    }
    wire.did("equivocations");
    let size = wire.rules.committee.size();
    let everybody = wire.random.chance(200);
    let count = if everybody { size } else { 2 };
    let versions: Vec<SignedVertex> = (0..count).map(|nth| version(wire, signed, nth as u64)).collect();
    let odd = wire.random.index(size);
    let halves = wire.random.chance(600);
    let shown = (0..size).map(|peer| match (everybody, halves) {
        (true, _) => peer,
        (false, true) => wire.random.index(2),
        (false, false) => usize::from(peer == odd),
    });
    Some(Cast { shown: shown.collect(), versions })
}

fn version(wire: &mut Wire<'_>, signed: &SignedVertex, nth: u64) -> SignedVertex {
    if nth == 0 {
        return signed.clone();
    }
    let change = wire.random.below(4);
    altered(signed, wire.key, |vertex| {
        vertex.head.time = Timestamp(vertex.head.time.0.saturating_sub(nth));
        match change {
            0 => vertex.headers.clear(),
            1 => vertex.head.weak.clear(),
            2 => {
                let mut fewer = vertex.head.parents.clone();
                fewer.retain(|parent| parent.author != wire.me);
                if wire.rules.committee.is_quorum(&fewer.iter().map(|parent| parent.author).collect()) {
                    vertex.head.parents = fewer;
                }
            }
            _ => {}
        }
    })
}

/// Of 1,000 vertices, how many are shown as they are.
const HONEST_PERMILLE: u64 = 300;

/// Of 1,000 proposals, how many are followed by the other version, within so many microseconds.
const BOTH_PERMILLE: u64 = 200;
const BOTH_LATER: u64 = 200_000;
