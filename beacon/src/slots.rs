//! What is known of each slot (round, author) above the floor: signed vertices, votes, the certificate.
//!
//! A slot has at most one certified vertex (A2) and at most one own vote (A3); both rules live here.

use std::{collections::BTreeMap, sync::Arc};

use fresnel_types::{
    AuthorityIndex, AuthoritySet, Certificate, Committee, Round, SignedVertex, VertexId, VertexRef, Vote,
};

use crate::limits::VARIANTS_PER_SLOT;

/// All slots above the floor of which anything is known.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    slots: BTreeMap<(Round, AuthorityIndex), Slot>,
}

/// What adding a vertex to its slot did.
#[derive(Debug)]
pub(crate) enum Added {
    /// The first vertex of the slot, or the certified one at last.
    New,
    /// It was there.
    Known,
    /// The author signed another one for this slot.
    Equivocation(Arc<SignedVertex>),
}

/// What certifying a vertex did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Certified {
    /// It was not known to be certified.
    New,
    /// It was.
    Known,
    /// Another vertex of the slot is certified.
    Conflict,
}

/// What counting a vote did.
#[derive(Debug)]
pub(crate) enum Counted {
    /// It completed no certificate.
    Open,
    /// It completed this one.
    Complete(Certificate),
    /// The voter voted so before, for another vertex of the slot.
    Contradiction(Vote),
}

#[derive(Debug, Default)]
struct Slot {
    variants: Vec<Variant>,
    equivocated: bool,
    own_vote: Option<Vote>,
    /// The first vote of each voter.
    votes: BTreeMap<AuthorityIndex, Vote>,
    certified: Option<VertexId>,
    certificate: Option<Certificate>,
    certificate_durable: bool,
}

#[derive(Debug)]
struct Variant {
    id: VertexId,
    vertex: Arc<SignedVertex>,
    durable: bool,
}

impl Slots {
    fn slot(&self, reference: &VertexRef) -> Option<&Slot> {
        self.slots.get(&(reference.round, reference.author))
    }

    fn slot_mut(&mut self, reference: &VertexRef) -> &mut Slot {
        self.slots.entry((reference.round, reference.author)).or_default()
    }

    /// The vertex of that name.
    pub(crate) fn vertex(&self, reference: &VertexRef) -> Option<&Arc<SignedVertex>> {
        let slot = self.slot(reference)?;
        slot.variants.iter().find(|variant| variant.id == reference.id).map(|variant| &variant.vertex)
    }

    /// Adds a signed vertex. A second one of a slot is kept only beside the first, or when it is the certified one.
    pub(crate) fn add(&mut self, reference: &VertexRef, vertex: Arc<SignedVertex>) -> Added {
        let slot = self.slot_mut(reference);
        if slot.variants.iter().any(|variant| variant.id == reference.id) {
            return Added::Known;
        }
        let other = slot.variants.first().map(|variant| Arc::clone(&variant.vertex));
        let certified = slot.certified == Some(reference.id);
        if slot.variants.len() >= VARIANTS_PER_SLOT {
            if !certified {
                return Added::Known;
            }
            slot.variants.pop();
        }
        slot.variants.push(Variant { id: reference.id, vertex, durable: false });
        match other {
            Some(other) if !slot.equivocated => {
                slot.equivocated = true;
                Added::Equivocation(other)
            }
            _ => Added::New,
        }
    }

    /// Notes that the vertex is durable; whether that is news.
    pub(crate) fn make_durable(&mut self, reference: &VertexRef) -> bool {
        let slot = self.slot_mut(reference);
        let variant = slot.variants.iter_mut().find(|variant| variant.id == reference.id);
        variant.is_some_and(|variant| !std::mem::replace(&mut variant.durable, true))
    }

    /// The own vote in that slot.
    pub(crate) fn own_vote(&self, round: Round, author: AuthorityIndex) -> Option<&Vote> {
        self.slots.get(&(round, author))?.own_vote.as_ref()
    }

    /// Remembers the own vote, the only one for its slot.
    ///
    /// # Panics
    /// When there is another one: invariant A3 is broken.
    pub(crate) fn set_own_vote(&mut self, vote: Vote) {
        let slot = self.slot_mut(&vote.vertex);
        assert!(slot.own_vote.is_none_or(|earlier| earlier == vote), "A3: a second own vote for a slot");
        slot.own_vote = Some(vote);
    }

    /// Counts a vote; the first of each voter counts. A certificate takes a quorum, of which f + 1 stake holds the payload.
    pub(crate) fn count(&mut self, vote: &Vote, committee: &Committee) -> Counted {
        let slot = self.slot_mut(&vote.vertex);
        if let Some(certificate) = &slot.certificate {
            let differs = certificate.vertex != vote.vertex && certificate.signers.contains(vote.voter);
            let earlier = certificate.votes().find(|earlier| differs && earlier.voter == vote.voter);
            return earlier.map_or(Counted::Open, Counted::Contradiction);
        }
        let earlier = *slot.votes.entry(vote.voter).or_insert(*vote);
        if earlier.vertex != vote.vertex {
            return Counted::Contradiction(earlier);
        }
        let agreeing = || slot.votes.values().filter(|other| other.vertex == vote.vertex);
        let signers: AuthoritySet = agreeing().map(|vote| vote.voter).collect();
        let stored: AuthoritySet = agreeing().filter(|vote| vote.stored).map(|vote| vote.voter).collect();
        if !committee.is_quorum(&signers) || !committee.is_valid(&stored) {
            return Counted::Open;
        }
        let signatures = agreeing().map(|vote| vote.signature).collect();
        Counted::Complete(Certificate { vertex: vote.vertex, signers, stored, signatures })
    }

    /// Votes for other vertices of the slot by signers of the certificate, each with the one in the certificate.
    pub(crate) fn contradictions(&self, certificate: &Certificate) -> Vec<(Vote, Vote)> {
        let Some(slot) = self.slot(&certificate.vertex) else { return vec![] };
        let held = slot.certificate.as_ref().filter(|held| held.vertex != certificate.vertex);
        let held = held.into_iter().flat_map(Certificate::votes);
        let earlier = slot.votes.values().filter(|vote| vote.vertex != certificate.vertex).copied();
        let later = |earlier: &Vote| certificate.votes().find(|later| later.voter == earlier.voter);
        earlier.chain(held).filter_map(|earlier| Some((earlier, later(&earlier)?))).collect()
    }

    fn votes_for(&self, reference: &VertexRef) -> impl Iterator<Item = &Vote> {
        let votes = self.slot(reference).into_iter().flat_map(|slot| slot.votes.values());
        votes.filter(|vote| vote.vertex == *reference)
    }

    /// Who is known to have voted for the vertex.
    pub(crate) fn voters(&self, reference: &VertexRef) -> AuthoritySet {
        self.votes_for(reference).map(|vote| vote.voter).collect()
    }

    /// Who said in its vote that it holds the payload of the vertex.
    pub(crate) fn storing(&self, reference: &VertexRef) -> AuthoritySet {
        self.votes_for(reference).filter(|vote| vote.stored).map(|vote| vote.voter).collect()
    }

    /// Notes that the vertex is certified, by `certificate` or because a certified vertex names it.
    pub(crate) fn certify(&mut self, reference: &VertexRef, certificate: Option<Certificate>) -> Certified {
        let slot = self.slot_mut(reference);
        let verdict = match slot.certified {
            None => Certified::New,
            Some(id) if id == reference.id => Certified::Known,
            Some(_) => return Certified::Conflict,
        };
        slot.certified = Some(reference.id);
        if slot.certificate.is_none()
            && let Some(certificate) = certificate
        {
            slot.certificate = Some(certificate);
            slot.votes.clear();
        }
        verdict
    }

    /// Whether exactly this vertex is known to be certified.
    pub(crate) fn is_certified(&self, reference: &VertexRef) -> bool {
        self.slot(reference).is_some_and(|slot| slot.certified == Some(reference.id))
    }

    /// The certificate of the vertex, if it is held.
    pub(crate) fn certificate(&self, reference: &VertexRef) -> Option<&Certificate> {
        let certificate = self.slot(reference)?.certificate.as_ref()?;
        (certificate.vertex == *reference).then_some(certificate)
    }

    /// The certificate of the vertex if it is held and not yet durable; it counts as durable from now on.
    pub(crate) fn take_certificate_to_persist(&mut self, reference: &VertexRef) -> Option<Certificate> {
        let slot = self.slots.get_mut(&(reference.round, reference.author))?;
        let certificate = slot.certificate.as_ref().filter(|held| held.vertex == *reference)?;
        (!std::mem::replace(&mut slot.certificate_durable, true)).then(|| certificate.clone())
    }

    /// A certificate of the highest round of which one is held.
    pub(crate) fn highest_certificate(&self) -> Option<&Certificate> {
        self.slots.values().rev().find_map(|slot| slot.certificate.as_ref())
    }

    /// Own votes from a round on, in slots of which no vertex is certified.
    pub(crate) fn open_own_votes(&self, from: Round) -> impl Iterator<Item = &Vote> {
        self.slots
            .range((from, AuthorityIndex(0))..)
            .filter(|(_, slot)| slot.certified.is_none())
            .filter_map(|(_, slot)| slot.own_vote.as_ref())
    }

    /// Every vertex held, ascending.
    pub(crate) fn vertices(&self) -> impl Iterator<Item = (VertexRef, &Arc<SignedVertex>)> {
        self.slots.iter().flat_map(|(&(round, author), slot)| {
            slot.variants
                .iter()
                .map(move |variant| (VertexRef { round, author, id: variant.id }, &variant.vertex))
        })
    }

    /// Forgets everything at or below the floor.
    pub(crate) fn prune(&mut self, floor: Round) {
        self.slots = self.slots.split_off(&(floor.next(), AuthorityIndex(0)));
    }
}
