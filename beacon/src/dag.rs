//! The DAG of certified vertices, by round and author.
//!
//! One row per round above the floor, one cell per author, and in each cell the vertex with its cached id and the
//! authors of its parents as a bitmask, so that reachability over k rounds is k · n unions of masks. The rows are a
//! queue, not a window of fixed size: without a quorum for long, the DAG may run any number of rounds ahead of the last
//! commit. The module `petgraph` implements petgraph's traits on this store.
//!
//! **The floor.** Nothing at or below it is held, but for one case: the genesis vertices of round 0 stay while the floor
//! is 0, so that a first vertex finds its parents. They are never ordered, since the order stops above the floor. A
//! link to a vertex at or below the floor counts as present.

mod petgraph;
mod places;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, sync::Arc};

use fresnel_types::{
    AuthorityIndex, AuthoritySet, Round, Signature, SignedVertex, Vertex, VertexHead, VertexRef,
    verify::Rules,
};

pub use self::{petgraph::Link, places::Places};

/// A place in the DAG. At most one certified vertex is ever in it (A2).
pub type Place = (Round, AuthorityIndex);

/// The certified vertices above the floor, and who proposed on top of them.
#[derive(Clone, Debug)]
pub struct Dag {
    size: usize,
    floor: Round,
    /// The round of the first row.
    base: Round,
    rows: VecDeque<Row>,
    top: Round,
}

#[derive(Clone, Debug)]
struct Row {
    nodes: Box<[Option<Node>]>,
    present: AuthoritySet,
    /// Vertices that a commit ordered, present or not.
    ordered: AuthoritySet,
    /// Who proposed in this round, certified or not, with every link there.
    proposed: AuthoritySet,
}

#[derive(Clone, Debug)]
struct Node {
    vertex: Arc<SignedVertex>,
    reference: VertexRef,
    /// Authors of the vertices of the round before that it names.
    parents: AuthoritySet,
    /// Authors of the vertices of the next round that name it as a parent.
    children: AuthoritySet,
    /// Authors whose noted proposals of the next round name it as a parent.
    proposals: AuthoritySet,
}

impl Dag {
    /// The genesis vertices of round 0, which are certified by definition.
    pub fn new(rules: &Rules) -> Self {
        let size = rules.committee.size();
        let mut dag = Self { size, floor: Round(0), base: Round(0), rows: VecDeque::new(), top: Round(0) };
        for author in rules.committee.indices() {
            let vertex = Vertex::genesis(rules.chain, rules.epoch, author);
            let reference = vertex.head.reference();
            dag.put(reference, Arc::new(SignedVertex { vertex, signature: Signature([0; 64]) }));
        }
        dag
    }

    /// Takes a certified vertex whose links are all present or at or below the floor. One at or below the floor, and
    /// one that is present already, changes nothing.
    ///
    /// # Panics
    /// When a link is missing, and when another vertex is in its place: two certificates for one slot (A2).
    pub fn insert(&mut self, vertex: Arc<SignedVertex>) {
        self.insert_as(vertex.vertex.head.reference(), vertex);
    }

    /// Takes the vertex of this name, as [`Dag::insert`] does.
    pub(crate) fn insert_as(&mut self, reference: VertexRef, vertex: Arc<SignedVertex>) {
        let head = &vertex.vertex.head;
        if head.round <= self.floor {
            return;
        }
        if let Some(missing) = self.missing_links(head).first() {
            panic!("a vertex enters the DAG after everything it names: {missing:?} is missing");
        }
        self.put(reference, vertex);
    }

    fn put(&mut self, reference: VertexRef, vertex: Arc<SignedVertex>) {
        let parents = vertex.vertex.head.parents.iter().map(|parent| parent.author).collect();
        let row = self.row_mut(reference.round);
        let cell = &mut row.nodes[reference.author.index()];
        if let Some(held) = cell {
            assert_eq!(held.reference, reference, "A2: one certificate per author and round");
            return;
        }
        let nobody = AuthoritySet::default();
        *cell = Some(Node { vertex, reference, parents, children: nobody, proposals: nobody });
        row.present.insert(reference.author);
        self.top = self.top.max(reference.round);
        for parent in self.nodes_before(reference.round, &parents) {
            parent.children.insert(reference.author);
        }
    }

    /// Notes a signed vertex, certified or not, with its parents if all its links are here; the first of a slot counts.
    /// Whether that is news.
    pub fn note_proposal(&mut self, head: &VertexHead) -> bool {
        if head.round <= self.floor
            || self.proposals(head.round).contains(head.author)
            || !self.missing_links(head).is_empty()
        {
            return false;
        }
        let parents = head.parents.iter().map(|parent| parent.author).collect();
        self.row_mut(head.round).proposed.insert(head.author);
        for parent in self.nodes_before(head.round, &parents) {
            parent.proposals.insert(head.author);
        }
        true
    }

    /// The vertex of `author` in `round`.
    pub fn get(&self, round: Round, author: AuthorityIndex) -> Option<&Arc<SignedVertex>> {
        self.node(round, author).map(|node| &node.vertex)
    }

    /// The name of the vertex of `author` in `round`, without hashing.
    pub fn reference(&self, round: Round, author: AuthorityIndex) -> Option<VertexRef> {
        self.node(round, author).map(|node| node.reference)
    }

    /// Whether this very vertex is present.
    pub fn contains(&self, reference: &VertexRef) -> bool {
        self.reference(reference.round, reference.author) == Some(*reference)
    }

    /// What `head` names above the floor and is not present.
    pub fn missing_links(&self, head: &VertexHead) -> Vec<VertexRef> {
        head.links().filter(|link| link.round > self.floor && !self.contains(link)).copied().collect()
    }

    /// Whose vertices of `round` are present.
    pub fn authors(&self, round: Round) -> AuthoritySet {
        self.row(round).map_or_else(AuthoritySet::default, |row| row.present)
    }

    /// The highest round with a vertex; the floor when there is none.
    pub fn top(&self) -> Round {
        self.top
    }

    /// Nothing at or below this round is held, but for the genesis.
    pub fn floor(&self) -> Round {
        self.floor
    }

    /// Raises the floor and drops everything at or below it. A lower floor changes nothing.
    pub fn set_floor(&mut self, floor: Round) {
        if floor <= self.floor {
            return;
        }
        self.floor = floor;
        while self.base <= floor && self.rows.pop_front().is_some() {
            self.base = self.base.next();
        }
        self.base = floor.next();
        self.top = self.top.max(floor);
    }

    /// Whether parents lead from one vertex to another: what the commit rule asks. Weak links order, they never vote.
    /// A vertex reaches itself; what is not present is reached by nobody and reaches nobody.
    pub fn is_reachable(&self, from: Place, to: Place) -> bool {
        self.reached(from, to.0).contains(to.1)
    }

    /// Whose vertices of `round` parents lead to from the vertex in `from`.
    pub(crate) fn reached(&self, from: Place, round: Round) -> AuthoritySet {
        if self.node(from.0, from.1).is_none() || round > from.0 {
            return AuthoritySet::default();
        }
        let from_itself: AuthoritySet = [from.1].into_iter().collect();
        let rounds = (round.0 + 1..=from.0.0).rev().map(Round);
        rounds.fold(from_itself, |reached, round| self.parents_of(round, &reached))
    }

    /// What a vertex of `round` with these parents should link to besides: vertices of rounds before the parents',
    /// above the floor and not ordered, that neither the parents nor another vertex of the result reach, by parents or
    /// weak links. Ascending, the first `limit`. Once there are no more than `limit`, linking to them leaves nothing
    /// unreached.
    pub fn unreached(&self, round: Round, parents: AuthoritySet, limit: usize) -> Vec<VertexRef> {
        let Some(parent_round) = round.0.checked_sub(1) else { return vec![] };
        let first = self.base.max(self.floor.next()).0;
        let Some(lowest) = (first..parent_round).find(|&round| !self.unordered(Round(round)).is_empty())
        else {
            return vec![];
        };
        let mut reached = Places::between(Round(lowest), Round(parent_round));
        for author in parents.intersection(&self.authors(Round(parent_round))).iter() {
            reached.insert((Round(parent_round), author));
        }
        let mut found = vec![];
        for round in (lowest..=parent_round).rev().map(Round) {
            // What is ordered has nothing but ordered vertices behind it, so the walk ends there.
            let unordered = self.unordered(round);
            let walked = if round.0 < parent_round {
                let unreached = unordered.difference(&reached.layer(round));
                found.extend(unreached.iter().filter_map(|author| self.reference(round, author)));
                unordered
            } else {
                unordered.intersection(&reached.layer(round))
            };
            for node in walked.iter().filter_map(|author| self.node(round, author)) {
                for link in node.vertex.vertex.head.links() {
                    reached.insert((link.round, link.author));
                }
            }
        }
        found.sort_unstable();
        found.truncate(limit);
        found
    }

    /// Whether a commit ordered the vertex in this place.
    pub fn is_ordered(&self, round: Round, author: AuthorityIndex) -> bool {
        self.row(round).is_some_and(|row| row.ordered.contains(author))
    }

    /// Notes that a commit ordered the vertex in this place. At or below the floor nothing is noted.
    pub(crate) fn mark_ordered(&mut self, round: Round, author: AuthorityIndex) {
        if round > self.floor {
            self.row_mut(round).ordered.insert(author);
        }
    }

    /// Authors of the vertices of `round - 1` that the vertex in this place names.
    pub(crate) fn parents(&self, round: Round, author: AuthorityIndex) -> AuthoritySet {
        self.node(round, author).map_or_else(AuthoritySet::default, |node| node.parents)
    }

    /// Whose vertices of the next round name the vertex in this place as a parent.
    pub(crate) fn children(&self, round: Round, author: AuthorityIndex) -> AuthoritySet {
        self.node(round, author).map_or_else(AuthoritySet::default, |node| node.children)
    }

    /// Who signed a vertex of the next round, certified or not, that names the vertex in this place as a parent.
    pub(crate) fn signers_on(&self, round: Round, author: AuthorityIndex) -> AuthoritySet {
        let node = self.node(round, author);
        node.map_or_else(AuthoritySet::default, |node| node.children.union(&node.proposals))
    }

    /// Who has a noted proposal of this round.
    fn proposals(&self, round: Round) -> AuthoritySet {
        self.row(round).map_or_else(AuthoritySet::default, |row| row.proposed)
    }

    /// The present parents of the vertices of `authors` in `round`.
    fn parents_of(&self, round: Round, authors: &AuthoritySet) -> AuthoritySet {
        let named = authors
            .iter()
            .fold(AuthoritySet::default(), |parents, author| parents.union(&self.parents(round, author)));
        named.intersection(
            &round.0.checked_sub(1).map_or_else(AuthoritySet::default, |r| self.authors(Round(r))),
        )
    }

    fn unordered(&self, round: Round) -> AuthoritySet {
        self.row(round).map_or_else(AuthoritySet::default, |row| row.present.difference(&row.ordered))
    }

    fn row(&self, round: Round) -> Option<&Row> {
        let place = round.0.checked_sub(self.base.0)?;
        self.rows.get(usize::try_from(place).ok()?)
    }

    fn row_mut(&mut self, round: Round) -> &mut Row {
        let place = round.0.checked_sub(self.base.0).expect("a place above the floor");
        let place = usize::try_from(place).expect("rows in memory fit a usize");
        while self.rows.len() <= place {
            self.rows.push_back(Row::new(self.size));
        }
        &mut self.rows[place]
    }

    fn node(&self, round: Round, author: AuthorityIndex) -> Option<&Node> {
        self.row(round)?.nodes.get(author.index())?.as_ref()
    }

    /// The present vertices of `authors` in the round before `round`.
    fn nodes_before(&mut self, round: Round, authors: &AuthoritySet) -> impl Iterator<Item = &mut Node> {
        let place = round.0.checked_sub(self.base.0 + 1).and_then(|place| usize::try_from(place).ok());
        let row = place.and_then(|place| self.rows.get_mut(place));
        let nodes = row.into_iter().flat_map(|row| row.nodes.iter_mut().flatten());
        nodes.filter(|node| authors.contains(node.reference.author))
    }
}

impl Row {
    fn new(size: usize) -> Self {
        Self {
            nodes: vec![None; size].into_boxed_slice(),
            present: AuthoritySet::default(),
            ordered: AuthoritySet::default(),
            proposed: AuthoritySet::default(),
        }
    }
}
