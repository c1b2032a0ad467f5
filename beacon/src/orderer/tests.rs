//! Scenarios of the commit rule, and replicas that see the same vertices in other orders.

use fresnel_types::Genesis;

use super::*;
use crate::scenario::{Scenario, rules};

fn scenario(change: impl FnOnce(&mut Genesis)) -> Scenario {
    Scenario::new(rules(4, 1, change))
}

/// Commits of everything drawn, decided at once, in a drawing of four authorities with floor depth 8.
#[track_caller]
fn check(text: &str, commits: &str) {
    let mut scenario = scenario(|genesis| genesis.parameters.floor_depth = 8);
    scenario.draw(text);
    let (mut dag, mut orderer) = (Dag::new(&scenario.rules), Orderer::new(Arc::clone(&scenario.rules)));
    scenario.fill(&mut dag);
    assert_eq!(scenario.describe(&orderer.advance(&mut dag)), commits);
}

#[test]
fn an_anchor_commits_with_f_plus_1_children_and_the_next_instance_starts_one_round_later() {
    check("a b c d", "");
    check("a b c d \n a:abc", "");
    check("a b c d \n a:abc b:bcd", "");
    check("a b c d \n a:abc b:acd", "a1");
    check("a b c d \n a b c d \n a b c d", "a1 | b1 c1 d1 a2");
    check("a b c d \n a b c d \n a b c d \n a b", "a1 | b1 c1 d1 a2 | b2 c2 d2 a3");
}

#[test]
fn an_earlier_anchor_commits_when_a_committed_one_reaches_it() {
    // Only one vertex names a1: it is not directly committed, but a3 reaches it through that vertex.
    check("a b c d \n a:abc b:bcd c:bcd d:bcd \n a:abc b c d \n a b", "a1 | b1 c1 a2 | d1 b2 c2 a3");
}

#[test]
fn an_anchor_that_the_next_one_does_not_reach_is_passed() {
    // As before, but a3 does not name the only vertex that names a1.
    check("a b c d \n a:abc b:bcd c:bcd d:bcd \n a:bcd b c d \n a b", "b1 c1 d1 b2 c2 d2 a3");
    // The vertex in the slot does not exist.
    check("b c d \n a b c d \n a b c d \n a b c", "b1 c1 d1 a2 b2 c2 d2 a3");
}
