//! petgraph's traits on the DAG, so that its algorithms run on the real thing: `Dfs`, `has_path_connecting`, `Dot`.
//! Nodes are places, edges lead from a vertex to what it names above the floor, parents and weak links alike.

use std::{fmt, vec};

use ::petgraph::{
    Directed, Direction,
    visit::{
        Data, GraphBase, GraphProp, IntoEdgeReferences, IntoNeighbors, IntoNeighborsDirected,
        IntoNodeIdentifiers, IntoNodeReferences, NodeCount, NodeIndexable, Visitable,
    },
};
use fresnel_types::{AuthorityIndex, Round, VertexRef};

use super::{Dag, Place, Places};

/// How one vertex names another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// As a vertex of the round before: it votes and orders.
    Parent,
    /// As a vertex of an earlier round: it orders only.
    Weak,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parent => "parent",
            Self::Weak => "weak",
        })
    }
}

impl Dag {
    /// All places with a vertex, ascending.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        (self.base.0..)
            .map(Round)
            .zip(&self.rows)
            .flat_map(|(round, row)| row.present.iter().map(move |author| (round, author)))
    }

    /// What the vertex in `place` names and is present: parents, then weak links, each ascending.
    fn present_links(&self, (round, author): Place) -> impl Iterator<Item = (Place, Link)> {
        self.node(round, author).into_iter().flat_map(move |node| {
            let head = &node.vertex.vertex.head;
            let parents = head.parents.iter().map(|link| (link, Link::Parent));
            let weak = head.weak.iter().map(|link| (link, Link::Weak));
            parents
                .chain(weak)
                .filter(|(link, _)| self.contains(link))
                .map(|(link, kind)| ((link.round, link.author), kind))
        })
    }
}

impl GraphBase for Dag {
    type NodeId = Place;
    type EdgeId = (Place, Place);
}

impl GraphProp for Dag {
    type EdgeType = Directed;
}

impl Data for Dag {
    type NodeWeight = VertexRef;
    type EdgeWeight = Link;
}

impl NodeCount for Dag {
    fn node_count(&self) -> usize {
        self.rows.iter().map(|row| row.present.len()).sum()
    }
}

impl NodeIndexable for Dag {
    fn node_bound(&self) -> usize {
        self.rows.len() * self.size
    }

    fn to_index(&self, (round, author): Place) -> usize {
        let row = usize::try_from(round.0 - self.base.0).expect("a place of the graph");
        row * self.size + author.index()
    }

    fn from_index(&self, index: usize) -> Place {
        let author = u16::try_from(index % self.size).expect("a committee has at most 256 members");
        (Round(self.base.0 + (index / self.size) as u64), AuthorityIndex(author))
    }
}

impl Visitable for Dag {
    type Map = Places;

    fn visit_map(&self) -> Places {
        Places::between(self.base, self.top)
    }

    fn reset_map(&self, map: &mut Places) {
        *map = self.visit_map();
    }
}

impl IntoNeighbors for &Dag {
    type Neighbors = vec::IntoIter<Place>;

    fn neighbors(self, place: Place) -> Self::Neighbors {
        self.present_links(place).map(|(linked, _)| linked).collect::<Vec<_>>().into_iter()
    }
}

impl IntoNeighborsDirected for &Dag {
    type NeighborsDirected = vec::IntoIter<Place>;

    /// Incoming edges are found by looking at every later vertex, since weak links come from anywhere.
    fn neighbors_directed(self, place: Place, direction: Direction) -> Self::NeighborsDirected {
        match direction {
            Direction::Outgoing => self.neighbors(place),
            Direction::Incoming => self
                .places()
                .filter(|&later| {
                    later.0 > place.0 && self.present_links(later).any(|(linked, _)| linked == place)
                })
                .collect::<Vec<_>>()
                .into_iter(),
        }
    }
}

impl IntoNodeIdentifiers for &Dag {
    type NodeIdentifiers = vec::IntoIter<Place>;

    fn node_identifiers(self) -> Self::NodeIdentifiers {
        self.places().collect::<Vec<_>>().into_iter()
    }
}

impl<'a> IntoNodeReferences for &'a Dag {
    type NodeRef = (Place, &'a VertexRef);
    type NodeReferences = vec::IntoIter<Self::NodeRef>;

    fn node_references(self) -> Self::NodeReferences {
        self.places()
            .filter_map(|place| self.node(place.0, place.1).map(|node| (place, &node.reference)))
            .collect::<Vec<_>>()
            .into_iter()
    }
}

impl<'a> IntoEdgeReferences for &'a Dag {
    type EdgeRef = (Place, Place, &'a Link);
    type EdgeReferences = vec::IntoIter<Self::EdgeRef>;

    fn edge_references(self) -> Self::EdgeReferences {
        self.places()
            .flat_map(|place| {
                self.present_links(place).map(move |(linked, kind)| {
                    let kind: &'static Link = match kind {
                        Link::Parent => &Link::Parent,
                        Link::Weak => &Link::Weak,
                    };
                    (place, linked, kind)
                })
            })
            .collect::<Vec<_>>()
            .into_iter()
    }
}
