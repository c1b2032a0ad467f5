//! Scenarios of the rule `fast`.

use fresnel_types::genesis::Rule;

use super::*;

fn drawn(text: &str) -> Scenario {
    let mut drawn = scenario(|genesis| {
        (genesis.parameters.rule, genesis.parameters.floor_depth) = (Rule::Fast, 8);
    });
    drawn.draw(text);
    drawn
}

fn replica(drawn: &Scenario) -> (Dag, Orderer) {
    let mut dag = Dag::new(&drawn.rules);
    drawn.fill(&mut dag);
    (dag, Orderer::new(Arc::clone(&drawn.rules)))
}

/// What is committed of everything drawn, all of it certified.
#[track_caller]
fn check(text: &str, commits: &str) {
    let drawn = drawn(text);
    let (mut dag, mut orderer) = replica(&drawn);
    assert_eq!(drawn.describe(&orderer.advance(&mut dag)), commits);
}

#[test]
fn a_round_commits_when_f_plus_1_children_name_each_of_its_vertices() {
    check("a b c d \n a", "");
    check("a b c d \n a b", "a1 b1 c1 d1");
    check("a b c d \n a:abc b:abd c:acd", "a1 b1 c1 d1");
    check("a b c d \n a:abc b:abc c:abc", "");
    check("a b c d \n a b c d \n a b", "a1 b1 c1 d1 | a2 b2 c2 d2");
}

#[test]
fn a_slot_that_is_empty_or_forgotten_is_decided_by_the_candidate_two_rounds_later() {
    // Nobody has the vertex of slot d.
    check("a b c \n a b c \n a b c", "");
    check("a b c \n a b c \n a b c \n a b", "a1 b1 c1");
    // One vertex names d1, and a3 reaches it through that one, or does not.
    check("a b c d \n a:abc b:abc c:abc d:bcd \n a b c d \n a b", "a1 b1 c1 d1 | a2 b2 c2 d2 | a3 b3 c3 d3");
    check(
        "a b c d \n a:abc b:abc c:abc d:bcd \n a:abc b c d \n a b",
        "a1 b1 c1 | d1 a2 b2 c2 d2 | a3 b3 c3 d3",
    );
    // Only one vertex names a3, so a5 decides in its place, and reaches it.
    let late = "a b c \n a b c \n a b c d \n a:abc b:bcd c:bcd d:bcd";
    check(late, "");
    let decided = "a1 b1 c1 | a2 b2 c2 | a3 b3 c3 d3 | a4 b4 c4 d4 | a5 b5 c5 d5";
    check(&format!("{late} \n a b c d \n a b"), decided);
}

#[test]
fn weak_links_order_and_do_not_vote() {
    check("a b c d \n a:abc b:abc c:abc \n a:abc+d1 b:abc+d1 c:abc+d1", "");
    check("a b c d \n a:abc b:abc c:abc \n a:abc+d1 b:abc+d1 c:abc+d1 \n a b", "a1 b1 c1");
}

#[test]
fn a_quorum_of_proposals_commits_a_round_and_each_author_counts_once() {
    let mut drawn = drawn("a b c d");
    let (mut dag, mut orderer) = replica(&drawn);
    let second = Round(2);
    let all = everybody();
    let proposal = |drawn: &Scenario, author: u16, parents, time: u64| {
        drawn
            .vertex((second, AuthorityIndex(author)), parents, &[], Timestamp(time), vec![])
            .vertex
            .head
            .clone()
    };
    let mut note = |head: &VertexHead| {
        let news = dag.note_proposal(head);
        (news, orderer.advance(&mut dag).len())
    };
    assert_eq!(note(&proposal(&drawn, 0, all, 1)), (true, 0));
    assert_eq!(note(&proposal(&drawn, 0, all, 2)), (false, 0), "another one of the same author");
    assert_eq!(note(&proposal(&drawn, 1, all, 1)), (true, 0));
    // What names something that is not here is not looked at.
    drawn.add((second, AuthorityIndex(2)), all, &[], Timestamp(1), vec![]);
    let ahead = [AuthorityIndex(2)].into_iter().collect();
    let ahead = drawn.vertex((Round(3), AuthorityIndex(3)), ahead, &[], Timestamp(1), vec![]);
    assert_eq!(note(&ahead.vertex.head), (false, 0));
    assert_eq!(note(&proposal(&drawn, 3, all, 1)), (true, 1));
    assert_eq!(orderer.last_anchor_round(), Round(1));
    assert_eq!(dag.authors(second).len(), 0, "none of them is certified");
}

#[test]
fn proposals_that_leave_a_vertex_out_do_not_commit_it() {
    let drawn = drawn("a b c d");
    let (mut dag, mut orderer) = replica(&drawn);
    let all = everybody();
    let mut without = all;
    without.remove(AuthorityIndex(3));
    for (author, parents) in all.iter().zip([all, without, all, without]) {
        let proposal = drawn.vertex((Round(2), author), parents, &[], Timestamp(1), vec![]);
        assert!(dag.note_proposal(&proposal.vertex.head));
    }
    assert!(orderer.advance(&mut dag).is_empty(), "two of four are no quorum");
}

#[test]
fn a_crashed_author_holds_up_rounds_until_it_is_demoted() {
    let mut drawn = drawn("a b c d \n a b c d");
    let living = AuthoritySet::first(3);
    for round in 3..60 {
        for author in living.iter() {
            drawn.add((Round(round), author), drawn.authors(Round(round - 1)), &[], Timestamp(round), vec![]);
        }
    }
    let (mut dag, mut orderer) = replica(&drawn);
    let commits = orderer.advance(&mut dag);
    assert_eq!(commits.len(), 58, "every round but the last");
    let counters = orderer.counters();
    assert!(counters.skipped > 10 && counters.skipped < 20, "{counters:?}");
    assert_eq!(counters.indirect, counters.skipped, "{counters:?}");
    assert_eq!(orderer.awaited(&dag, Round(59)), living);
}
