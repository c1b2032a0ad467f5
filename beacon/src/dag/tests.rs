//! The DAG against petgraph's own graph, what a vertex should link to, and the rules of the floor.

use std::collections::{BTreeMap, BTreeSet};

use ::petgraph::{
    Direction,
    algo::{has_path_connecting, is_cyclic_directed},
    dot::Dot,
    stable_graph::{NodeIndex, StableDiGraph},
    visit::{
        Dfs, EdgeRef, IntoEdgeReferences, IntoNeighborsDirected, IntoNodeIdentifiers, NodeCount,
        NodeIndexable,
    },
};
use fresnel_types::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::scenario::{Dice, Scenario, rules};

/// The same vertices in petgraph's own store, edges from a vertex to what it names.
#[derive(Default)]
struct Reference {
    graph: StableDiGraph<VertexRef, Link>,
    nodes: BTreeMap<Place, NodeIndex>,
}

impl Reference {
    fn insert(&mut self, vertex: &SignedVertex) {
        let head = &vertex.vertex.head;
        let node = self.graph.add_node(head.reference());
        self.nodes.insert((head.round, head.author), node);
        for (links, kind) in [(&head.parents, Link::Parent), (&head.weak, Link::Weak)] {
            for link in links {
                if let Some(&linked) = self.nodes.get(&(link.round, link.author)) {
                    self.graph.add_edge(node, linked, kind);
                }
            }
        }
    }

    fn set_floor(&mut self, floor: Round) {
        let kept = self.nodes.split_off(&(floor.next(), AuthorityIndex(0)));
        for (_, node) in std::mem::replace(&mut self.nodes, kept) {
            self.graph.remove_node(node);
        }
    }

    fn place(&self, node: NodeIndex) -> Place {
        (self.graph[node].round, self.graph[node].author)
    }

    /// Everything reachable from `start`, by parents alone or by all links.
    fn reached(&self, start: &[Place], by_parents: bool) -> BTreeSet<Place> {
        let mut graph = self.graph.clone();
        graph.retain_edges(|graph, edge| !by_parents || graph[edge] == Link::Parent);
        let mut reached = BTreeSet::new();
        for place in start {
            let mut walk = Dfs::new(&graph, self.nodes[place]);
            while let Some(node) = walk.next(&graph) {
                reached.insert(self.place(node));
            }
        }
        reached
    }
}

fn random(size: usize, rounds: u64, dice: &mut Dice) -> Scenario {
    let mut drawn = Scenario::new(rules(size, 1, |_| ()));
    let committee = drawn.rules.committee.clone();
    let quorum = usize::try_from(committee.quorum()).expect("small");
    let some = |set: AuthoritySet, least: usize, dice: &mut Dice| {
        let mut left: Vec<_> = set.iter().collect();
        while left.len() > least && dice.chance(60) {
            left.remove(dice.below(left.len()));
        }
        left.into_iter().collect::<AuthoritySet>()
    };
    for round in (1..=rounds).map(Round) {
        for author in some(committee.all(), quorum, dice).iter() {
            let parents = some(drawn.authors(Round(round.0 - 1)), quorum, dice);
            let mut weak = BTreeSet::new();
            while round.0 > 2 && dice.chance(30) {
                let earlier = Round(1 + dice.next() % (round.0 - 2));
                let authors = drawn.authors(earlier);
                weak.extend(authors.iter().nth(dice.below(authors.len())).map(|author| (earlier, author)));
            }
            let weak: Vec<_> = weak.into_iter().collect();
            drawn.add((round, author), parents, &weak, Timestamp(round.0), vec![]);
        }
    }
    drawn
}

/// Compares everything that can be asked of both.
fn check_same(dag: &Dag, reference: &Reference, size: usize) -> Result<(), TestCaseError> {
    let places: Vec<Place> = dag.node_identifiers().collect();
    prop_assert_eq!(&places, &reference.nodes.keys().copied().collect::<Vec<_>>());
    prop_assert_eq!(dag.node_count(), places.len());
    let edges: BTreeSet<_> = dag.edge_references().map(|edge| (edge.source(), edge.target())).collect();
    let expected: BTreeSet<_> = reference
        .graph
        .edge_references()
        .map(|edge| (reference.place(edge.source()), reference.place(edge.target())))
        .collect();
    prop_assert_eq!(&edges, &expected);
    for &from in &places {
        prop_assert_eq!(dag.from_index(dag.to_index(from)), from);
        prop_assert!(dag.to_index(from) < dag.node_bound());
        let (mut walk, mut reached) = (Dfs::new(dag, from), BTreeSet::new());
        while let Some(place) = walk.next(dag) {
            reached.insert(place);
        }
        prop_assert_eq!(&reached, &reference.reached(&[from], false));
        let incoming: BTreeSet<_> = dag.neighbors_directed(from, Direction::Incoming).collect();
        let expected = edges.iter().filter(|edge| edge.1 == from).map(|edge| edge.0).collect();
        prop_assert_eq!(incoming, expected);
        let by_parents = reference.reached(&[from], true);
        for &to in &places {
            prop_assert_eq!(has_path_connecting(dag, from, to, None), reached.contains(&to));
            prop_assert_eq!(dag.is_reachable(from, to), by_parents.contains(&to), "{:?} to {:?}", from, to);
        }
        for author in (0..size as u16).map(AuthorityIndex) {
            let absent = (dag.top().next(), author);
            prop_assert!(!dag.is_reachable(absent, from) && !dag.is_reachable(from, absent));
        }
    }
    prop_assert!(!is_cyclic_directed(dag));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_dag_is_petgraphs_graph(seed: u64, size in prop::sample::select(vec![1_usize, 4, 5]), floor in 0_u64..9) {
        let mut dice = Dice(seed);
        let drawn = random(size, 8, &mut dice);
        let (mut dag, mut reference) = (Dag::new(&drawn.rules), Reference::default());
        for vertex in drawn.vertices.values() {
            if vertex.vertex.head.round > Round(0) {
                dag.insert(Arc::clone(vertex));
            }
            reference.insert(vertex);
        }
        check_same(&dag, &reference, size)?;
        dag.set_floor(Round(floor));
        if floor > 0 {
            reference.set_floor(Round(floor));
        }
        check_same(&dag, &reference, size)?;
        for vertex in random(size, 3, &mut dice).vertices.values() {
            if vertex.vertex.head.round > Round(0) && vertex.vertex.head.round.0 <= floor {
                dag.insert(Arc::clone(vertex));
            }
        }
        check_same(&dag, &reference, size)?;
    }

    #[test]
    fn linking_to_what_is_unreached_leaves_nothing_unreached(seed: u64, ordered in 0_usize..60) {
        let mut dice = Dice(seed);
        let drawn = random(5, 8, &mut dice);
        let (mut dag, mut reference) = (Dag::new(&drawn.rules), Reference::default());
        for vertex in drawn.vertices.values() {
            if vertex.vertex.head.round > Round(0) {
                dag.insert(Arc::clone(vertex));
            }
            reference.insert(vertex);
        }
        dag.set_floor(Round(1));
        reference.set_floor(Round(1));
        // What is ordered is closed under links, as commits are.
        let place = |dice: &mut Dice| {
            let places: Vec<Place> = dag.places().filter(|place| place.0.0 < 7).collect();
            places[dice.below(places.len())]
        };
        let marked = if ordered < 30 { vec![place(&mut dice)] } else { vec![] };
        let ordered = reference.reached(&marked, false);
        for place in &ordered {
            dag.mark_ordered(place.0, place.1);
        }
        let parents = dag.authors(Round(8));
        let parents: AuthoritySet = parents.iter().filter(|_| dice.chance(80)).collect();
        let start: Vec<Place> = parents.iter().map(|author| (Round(8), author)).collect();
        let found = dag.unreached(Round(9), parents, 100);
        prop_assert!(found.is_sorted());
        let reached = reference.reached(&start, false);
        let targets: Vec<Place> = found.iter().map(|found| (found.round, found.author)).collect();
        for target in &targets {
            prop_assert!(target.0 < Round(8) && !reached.contains(target) && !ordered.contains(target));
            let others: Vec<_> = targets.iter().copied().filter(|other| other != target).collect();
            prop_assert!(!reference.reached(&others, false).contains(target), "no link that another one covers");
        }
        let covered = reference.reached(&targets, false);
        for place in dag.places().filter(|place| place.0 < Round(8)) {
            prop_assert!(reached.contains(&place) || covered.contains(&place) || ordered.contains(&place));
        }
        prop_assert_eq!(dag.unreached(Round(9), parents, 1), found[..found.len().min(1)].to_vec());
    }
}

#[test]
fn a_drawing_of_it_is_a_graph_in_dots_language() {
    let mut drawn = Scenario::new(rules(4, 1, |_| ()));
    drawn.draw("a b c d \n a:abc b:abc c:abc \n a:abc+d1");
    let mut dag = Dag::new(&drawn.rules);
    drawn.fill(&mut dag);
    let dot = format!("{:?}", Dot::with_config(&dag, &[]));
    assert!(dot.starts_with("digraph {"), "{dot}");
    assert_eq!(dot.matches("Parent").count(), 4 * 4 + 3 * 3 + 3, "{dot}");
    assert_eq!(dot.matches("Weak").count(), 1, "{dot}");
}

#[test]
fn what_is_present_is_found_by_place_and_name() {
    let mut drawn = Scenario::new(rules(4, 1, |_| ()));
    drawn.draw("a b c d \n a:abc b:abc c:abc");
    let mut dag = Dag::new(&drawn.rules);
    assert_eq!((dag.top(), dag.authors(Round(0)).len()), (Round(0), 4), "the genesis");
    let first = drawn.place("a1");
    let second = Arc::clone(&drawn.vertices[&drawn.place("a2")]);
    let names = ["a1", "b1", "c1"].map(|name| drawn.place(name));
    let mut missing = names.map(|place| drawn.reference(place)).to_vec();
    missing.sort_unstable();
    assert_eq!(dag.missing_links(&second.vertex.head), missing);
    dag.insert(Arc::clone(&drawn.vertices[&first]));
    missing.retain(|link| *link != drawn.reference(first));
    assert_eq!(dag.missing_links(&second.vertex.head), missing);
    drawn.fill(&mut dag);
    drawn.fill(&mut dag);
    assert_eq!(dag.top(), Round(2));
    assert_eq!(dag.get(first.0, first.1), Some(&drawn.vertices[&first]));
    assert!(dag.contains(&drawn.reference(first)));
    assert!(!dag.contains(&VertexRef { id: Default::default(), ..drawn.reference(first) }), "another id");
    assert!(dag.get(Round(1), AuthorityIndex(4)).is_none() && dag.get(Round(3), AuthorityIndex(0)).is_none());
    dag.set_floor(Round(0));
    assert_eq!(dag.authors(Round(0)).len(), 4, "the genesis stays while the floor is 0");
    dag.set_floor(Round(1));
    assert_eq!((dag.floor(), dag.authors(Round(0)).len(), dag.authors(Round(1)).len()), (Round(1), 0, 0));
    assert!(dag.missing_links(&second.vertex.head).is_empty(), "links to the floor count as present");
    dag.set_floor(Round(0));
    assert_eq!(dag.floor(), Round(1), "it never falls");
    dag.set_floor(Round(9));
    assert_eq!((dag.top(), dag.node_count()), (Round(9), 0));
}

#[test]
#[should_panic(expected = "A2")]
fn two_certified_vertices_of_one_slot_are_a_broken_invariant() {
    let (mut one, mut other) = (Scenario::new(rules(4, 1, |_| ())), Scenario::new(rules(4, 1, |_| ())));
    let mut dag = Dag::new(&one.rules);
    let all = AuthoritySet::first(4);
    dag.insert(one.add((Round(1), AuthorityIndex(2)), all, &[], Timestamp(1), vec![]));
    dag.insert(other.add((Round(1), AuthorityIndex(2)), all, &[], Timestamp(2), vec![]));
}

#[test]
#[should_panic(expected = "is missing")]
fn a_vertex_before_its_parents_is_a_broken_invariant() {
    let mut drawn = Scenario::new(rules(4, 1, |_| ()));
    drawn.draw("a b c d \n a");
    Dag::new(&drawn.rules).insert(Arc::clone(&drawn.vertices[&drawn.place("a2")]));
}
