//! The youngest part of the DAG, for people to look at.

use std::collections::BTreeMap;

use fresnel_types::{
    AuthorityIndex, CommitIndex, Round,
    status::{DagVertex, DagView},
};

use super::Beacon;
use crate::limits::VERTICES_SHOWN;

impl Beacon {
    /// The vertices of the highest `rounds` rounds, as many rounds as fit.
    pub fn view(&self, rounds: u64) -> DagView {
        let size = self.rules.committee.size();
        let rounds = rounds.min((VERTICES_SHOWN / size) as u64);
        let top = self.dag.top();
        let first = Round((top.0 + 1).saturating_sub(rounds)).max(self.dag.floor().next());
        let ordered: BTreeMap<(Round, AuthorityIndex), (CommitIndex, bool)> = self
            .history
            .since(first)
            .flat_map(|commit| {
                let (index, anchors) = (commit.index, commit.anchor.round);
                let vertices = commit.vertices.iter();
                vertices.map(move |vertex| ((vertex.round, vertex.author), (index, vertex.round == anchors)))
            })
            .collect();
        let of_round = |round| self.dag.authors(round).iter().map(move |author| (round, author));
        let vertices = (first.0..=top.0).map(Round).flat_map(of_round).filter_map(|place| {
            let vertex = &self.dag.get(place.0, place.1)?.vertex;
            let batches = vertex.headers.iter().map(|header| header.batches.len()).sum::<usize>();
            let ordered = ordered.get(&place);
            Some(DagVertex {
                vertex: self.dag.reference(place.0, place.1)?,
                parents: vertex.head.parents.iter().map(|parent| parent.author).collect(),
                weak: vertex.head.weak.clone(),
                batches: u32::try_from(batches).expect("a frame bounds them"),
                commit: ordered.map(|(commit, _)| *commit),
                anchor: ordered.is_some_and(|(_, anchor)| *anchor),
            })
        });
        DagView {
            authorities: u16::try_from(size).expect("at most 256 authorities"),
            commit: self.last().index,
            floor: self.dag.floor(),
            vertices: vertices.collect(),
        }
    }
}
