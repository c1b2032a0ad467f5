//! A set of places of the DAG: one bitmap of authors per round. What walks through the DAG remember.

use std::collections::VecDeque;

use ::petgraph::visit::VisitMap;
use fresnel_types::{AuthoritySet, Round};

use super::Place;

/// A set of places within a range of rounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    first: Round,
    layers: VecDeque<AuthoritySet>,
}

impl Places {
    /// An empty set that takes places of the rounds from `first` to `last` and ignores all others.
    pub(crate) fn between(first: Round, last: Round) -> Self {
        let count =
            usize::try_from((last.0 + 1).saturating_sub(first.0)).expect("rounds in memory fit a usize");
        Self { first, layers: vec![AuthoritySet::default(); count].into() }
    }

    /// Adds a place; whether it was in range and absent.
    pub(crate) fn insert(&mut self, (round, author): Place) -> bool {
        self.layer_mut(round).is_some_and(|layer| layer.insert(author))
    }

    /// The authors in `round`.
    pub(crate) fn layer(&self, round: Round) -> AuthoritySet {
        self.position(round).and_then(|position| self.layers.get(position)).copied().unwrap_or_default()
    }

    fn layer_mut(&mut self, round: Round) -> Option<&mut AuthoritySet> {
        let position = self.position(round)?;
        self.layers.get_mut(position)
    }

    fn position(&self, round: Round) -> Option<usize> {
        usize::try_from(round.0.checked_sub(self.first.0)?).ok()
    }
}

impl VisitMap<Place> for Places {
    fn visit(&mut self, place: Place) -> bool {
        self.insert(place)
    }

    fn is_visited(&self, place: &Place) -> bool {
        self.layer(place.0).contains(place.1)
    }

    fn unvisit(&mut self, place: Place) -> bool {
        self.layer_mut(place.0).is_some_and(|layer| layer.remove(place.1))
    }
}
