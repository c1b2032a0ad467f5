//! The rules read word for word, from scratch and without a bitmask: what the real ones are compared with.
//!
//! Both are given as Shoal gives them, as instances that are decided one after another: for `bullshark` one per commit, for
//! `fast` one per slot of a round, with the slot as its first anchor.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use fresnel_types::{
    AuthorityIndex, AuthoritySet, Round, SignedVertex, VertexRef, genesis::Rule, verify::Rules,
};

use crate::{
    dag::Place,
    schedule::{self, Reputation},
};

/// All that a replica was ever given.
pub(crate) struct Seen {
    rules: Arc<Rules>,
    vertices: BTreeMap<Place, Arc<SignedVertex>>,
    pub(crate) proposals: Vec<Arc<SignedVertex>>,
}

impl Seen {
    pub(crate) fn new(rules: &Arc<Rules>) -> Self {
        Self { rules: Arc::clone(rules), vertices: BTreeMap::new(), proposals: vec![] }
    }

    pub(crate) fn insert(&mut self, vertex: &Arc<SignedVertex>) {
        let head = &vertex.vertex.head;
        self.vertices.insert((head.round, head.author), Arc::clone(vertex));
    }

    /// The anchors of each commit that all of it together gives.
    pub(crate) fn anchors(&self) -> Vec<Vec<VertexRef>> {
        let (mut commits, mut pointer, mut reputation) = (vec![], Round(1), Reputation::default());
        let rule = self.rules.parameters.rule;
        let least = crate::rule::of(rule).support_min();
        loop {
            let demoted = reputation.demoted(&self.rules.committee, least);
            let found = match rule {
                Rule::Bullshark => {
                    let first = self.place(&demoted, pointer);
                    self.instance(&demoted, first).map(|anchor| vec![anchor])
                }
                Rule::Fast => self.round(&demoted, pointer),
            };
            let Some(anchors) = found else { return commits };
            pointer = anchors[0].0.next();
            reputation.record(self.supported(&anchors));
            commits.push(anchors.into_iter().map(|place| self.reference(place)).collect());
        }
    }

    /// The anchors of a round under `fast`, in the order of their slots, when all of its instances are decided.
    fn round(&self, demoted: &AuthoritySet, round: Round) -> Option<Vec<Place>> {
        let slots = schedule::slots(&self.rules, round).into_iter();
        let mut anchors = vec![];
        for author in slots.filter(|author| !demoted.contains(*author)) {
            let slot = (round, author);
            if self.instance(demoted, slot)? == slot {
                anchors.push(slot);
            }
        }
        Some(anchors)
    }

    /// The anchor that the instance with this first one commits.
    fn instance(&self, demoted: &AuthoritySet, first: Place) -> Option<Place> {
        let top = self.vertices.last_key_value()?.0.0;
        let later = (first.0.0 + 2..=top.0).step_by(2).map(|round| self.place(demoted, Round(round)));
        let mut anchors = vec![];
        for anchor in [first].into_iter().chain(later) {
            anchors.push(anchor);
            if self.is_committed(anchor) {
                let mut current = anchor;
                while let Some(earlier) = anchors.pop() {
                    if self.vertices.contains_key(&earlier) && self.reached(current).contains(&earlier) {
                        current = earlier;
                    }
                }
                return Some(current);
            }
        }
        None
    }

    fn place(&self, demoted: &AuthoritySet, round: Round) -> Place {
        (round, schedule::candidate(&self.rules, demoted, round))
    }

    fn is_committed(&self, place: Place) -> bool {
        if !self.vertices.contains_key(&place) {
            return false;
        }
        let anchor = self.reference(place);
        let names = |vertex: &&Arc<SignedVertex>| vertex.vertex.head.parents.contains(&anchor);
        let authors = |signed: BTreeSet<AuthorityIndex>| -> u64 {
            signed.into_iter().map(|author| self.rules.committee.stake_of(author)).sum()
        };
        let children = || self.vertices.values().filter(names).map(|vertex| vertex.vertex.head.author);
        let proposals = self.proposals.iter().filter(names).map(|vertex| vertex.vertex.head.author);
        authors(children().collect()) > self.rules.committee.faulty()
            || self.rules.parameters.rule == Rule::Fast
                && authors(children().chain(proposals).collect()) >= self.rules.committee.quorum()
    }

    /// What parents lead to from `from`, itself included.
    fn reached(&self, from: Place) -> BTreeSet<Place> {
        let (mut reached, mut left) = (BTreeSet::new(), vec![from]);
        while let Some(place) = left.pop() {
            if let Some(vertex) = self.vertices.get(&place)
                && reached.insert(place)
            {
                left.extend(vertex.vertex.head.parents.iter().map(|parent| (parent.round, parent.author)));
            }
        }
        reached
    }

    /// Whom more than f of the anchors' stake, or all of it, names.
    fn supported(&self, anchors: &[Place]) -> AuthoritySet {
        let committee = &self.rules.committee;
        let stake = |names: &dyn Fn(&SignedVertex) -> bool| -> u64 {
            let naming = anchors.iter().filter(|place| names(&self.vertices[place]));
            naming.map(|place| committee.stake_of(place.1)).sum()
        };
        let all = stake(&|_| true);
        let is_supported = |author: &AuthorityIndex| {
            let by =
                stake(&|vertex| vertex.vertex.head.parents.iter().any(|parent| parent.author == *author));
            by > committee.faulty() || by == all
        };
        committee.indices().filter(is_supported).collect()
    }

    fn reference(&self, place: Place) -> VertexRef {
        self.vertices[&place].vertex.head.reference()
    }
}
