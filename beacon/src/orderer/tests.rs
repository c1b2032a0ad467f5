//! Scenarios of the rule `bullshark`, below those of `fast`, and replicas that see the same vertices in other orders.

mod agreement;
mod fast;

use fresnel_types::{Genesis, genesis::Rule};

use super::*;
use crate::scenario::{Scenario, rules};

fn scenario(change: impl FnOnce(&mut Genesis)) -> Scenario {
    Scenario::new(rules(4, 1, |genesis| {
        genesis.parameters.rule = Rule::Bullshark;
        change(genesis);
    }))
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

#[test]
fn a_commit_sorts_by_round_and_slot_with_the_anchor_last() {
    // Drawn and inserted in another order than that of the slots.
    check("d c b a \n d b a c \n c:dba b a:cba \n b a", "a1 | b1 c1 d1 a2 | b2 c2 a3");
}

#[test]
fn weak_links_order_and_do_not_vote() {
    // Nobody names d1 as a parent; a3 links to it.
    check("a b c d \n a:abc b:abc c:abc \n a:abc+d1 b c \n a b", "a1 | b1 c1 a2 | d1 b2 c2 a3");
    // Weak links alone neither commit a1 nor let a3 reach it.
    check("a b c d \n a:bcd b:bcd c:bcd \n a:abc+a1 b:abc+a1 c:abc+a1 \n a b", "a1 b1 c1 d1 a2 b2 c2 a3");
}

#[test]
fn nothing_at_or_below_the_floor_is_ordered_whoever_has_it() {
    let mut drawn = scenario(|genesis| genesis.parameters.floor_depth = 2);
    drawn.draw("a b c d \n a:abc b:abc c:abc \n a b c \n a b c \n a:abc+d1 b c \n a b");
    let late = drawn.place("d1");
    let mut given = vec![];
    for has_it in [true, false] {
        let (mut dag, mut orderer) = (Dag::new(&drawn.rules), Orderer::new(Arc::clone(&drawn.rules)));
        let mut commits = vec![];
        for vertex in drawn.vertices.values().filter(|vertex| vertex.vertex.head.round > Round(0)) {
            if has_it || vertex.vertex.head.reference() != drawn.reference(late) {
                dag.insert(Arc::clone(vertex));
                commits.extend(orderer.advance(&mut dag));
            }
        }
        assert_eq!(
            (dag.floor(), orderer.floor(), orderer.last_anchor_round()),
            (Round(3), Round(3), Round(5))
        );
        dag.insert(Arc::clone(&drawn.vertices[&late]));
        assert!(!dag.contains(&drawn.reference(late)), "below the floor nothing is inserted");
        given.push(drawn.describe(&commits));
    }
    assert_eq!(given, ["a1 | b1 c1 a2 | b2 c2 a3 | b3 c3 a4 | b4 c4 a5"; 2]);
}

#[test]
fn a_vertex_below_the_next_floor_is_ordered_by_the_commit_that_raises_it() {
    let mut drawn = scenario(|genesis| genesis.parameters.floor_depth = 2);
    // No anchor of rounds 1 and 3 exists, so the first commit reaches from round 1 to 5 and lifts the floor to 3.
    drawn.draw("b c d \n a b c d \n b c d \n a b c d \n a b c d \n a b");
    let (mut dag, mut orderer) = (Dag::new(&drawn.rules), Orderer::new(Arc::clone(&drawn.rules)));
    drawn.fill(&mut dag);
    let commits = orderer.advance(&mut dag);
    let expected = "b1 c1 d1 a2 b2 c2 d2 b3 c3 d3 a4 b4 c4 d4 a5";
    assert_eq!((drawn.describe(&commits).as_str(), orderer.floor()), (expected, Round(3)));
    assert!(orderer.is_ordered(&drawn.reference(drawn.place("a5"))));
    assert!(!orderer.is_ordered(&drawn.reference(drawn.place("b5"))));
    assert_eq!(orderer.counters().skipped, 2);
}

#[test]
fn a_crashed_author_is_waited_for_until_it_is_demoted_and_again_once_it_is_back() {
    let mut drawn = scenario(|_| ());
    let crashed = AuthorityIndex(3);
    let (mut dag, mut orderer) = (Dag::new(&drawn.rules), Orderer::new(Arc::clone(&drawn.rules)));
    let mut grow = |rounds: u64, orderer: &mut Orderer, authors: AuthoritySet| {
        for _ in 0..rounds {
            let (round, parents) = (drawn.top().next(), drawn.authors(drawn.top()));
            for author in authors.iter() {
                dag.insert(drawn.add((round, author), parents, &[], Timestamp(round.0), vec![]));
            }
            orderer.advance(&mut dag);
        }
    };
    let (all, living) = (everybody(), AuthoritySet::first(3));
    grow(1, &mut orderer, all);
    grow(30, &mut orderer, living);
    let counted = orderer.counters();
    assert!(counted.skipped > 0, "it was the candidate sometimes");
    let turns = |orderer: &Orderer| {
        let pointer = orderer.last_anchor_round().0 + 1;
        (pointer..pointer + 100).filter(|&round| orderer.candidate(Round(round)) == Some(crashed)).count()
    };
    assert_eq!(turns(&orderer), 0, "demoted");
    grow(30, &mut orderer, living);
    let later = orderer.counters();
    assert_eq!(
        (later.skipped, later.commits),
        (counted.skipped, counted.commits + 30),
        "a commit each round"
    );
    grow(30, &mut orderer, all);
    assert!(turns(&orderer) > 0, "back");
    assert_eq!(orderer.candidate(orderer.last_anchor_round()), None, "decided already");
}

fn everybody() -> AuthoritySet {
    AuthoritySet::first(4)
}

#[test]
fn the_time_of_a_commit_is_the_lower_median_of_the_parents_and_never_falls() {
    let median =
        |times: &[(u64, u64)]| lower_median(times.iter().map(|&(t, s)| (Timestamp(t), s)).collect()).0;
    assert_eq!(median(&[(7, 1)]), 7);
    assert_eq!(median(&[(9, 1), (5, 1), (7, 1), (1, 1)]), 5, "the lower of the two in the middle");
    assert_eq!(median(&[(9, 1), (5, 1), (1, 1)]), 5);
    assert_eq!(median(&[(9, 5), (5, 1), (1, 1)]), 9, "stake weighs");

    let mut drawn = scenario(|_| ());
    let all = everybody();
    for (round, times) in
        [(1, [50, 50, 50, 50]), (2, [10, 20, 30, 40]), (3, [99, 11, 60, 70]), (4, [0; 4]), (5, [0; 4])]
    {
        for (author, time) in all.iter().zip(times) {
            drawn.add((Round(round), author), all, &[], Timestamp(time), vec![]);
        }
    }
    let (mut dag, mut orderer) = (Dag::new(&drawn.rules), Orderer::new(Arc::clone(&drawn.rules)));
    drawn.fill(&mut dag);
    let times: Vec<_> = orderer.advance(&mut dag).iter().map(|committed| committed.commit.time.0).collect();
    assert_eq!(times, [50, 50, 50, 60], "own time, then median 50, then 20 held up, then 60");
}

/// Replays `commits` on an empty replica, comparing every step.
fn replay(rules: &Arc<Rules>, commits: &[Committed]) -> (Dag, Orderer) {
    let (mut dag, mut orderer) = (Dag::new(rules), Orderer::new(Arc::clone(rules)));
    for committed in commits {
        let vertices = committed.vertices.clone();
        assert_eq!(orderer.replay(&mut dag, &committed.commit, vertices).as_ref(), Ok(committed));
    }
    (dag, orderer)
}

#[test]
fn a_commit_that_is_not_the_next_one_is_refused_and_changes_nothing() {
    let mut drawn = scenario(|_| ());
    let all = everybody();
    for round in 1..=70 {
        for author in all.iter() {
            drawn.add((Round(round), author), all, &[], Timestamp(round), vec![]);
        }
    }
    let (mut dag, mut orderer) = (Dag::new(&drawn.rules), Orderer::new(Arc::clone(&drawn.rules)));
    drawn.fill(&mut dag);
    let commits = orderer.advance(&mut dag);
    let (mut dag, mut orderer) = replay(&drawn.rules, &commits[..63]);
    assert_eq!(orderer.commit_vote(), CommitVote::default());
    let before = orderer.state().clone();
    let Committed { commit, vertices, .. } = &commits[63];
    assert_ne!(commit.state, Root::default(), "the 64th is a checkpoint");
    let mut refused = |commit: &Commit, vertices: &[Arc<SignedVertex>]| {
        let error = orderer.replay(&mut dag, commit, vertices.to_vec()).expect_err("not the next commit");
        assert_eq!((orderer.state(), dag.contains(&commits[63].commit.anchor)), (&before, false));
        error
    };
    let (index, last) = (commit.index, CommitIndex(63));
    let next = &commits[64];
    assert_eq!(refused(&next.commit, &next.vertices), ReplayError::NotNext { last, given: CommitIndex(65) });
    let other = Commit { previous: CommitDigest([1; 32]), ..commit.clone() };
    assert_eq!(refused(&other, vertices), ReplayError::Previous(index));
    assert_eq!(refused(commit, &vertices[1..]), ReplayError::Vertices(index));
    assert_eq!(refused(commit, &[]), ReplayError::Vertices(index));
    let short = Commit { vertices: commit.vertices[1..].to_vec(), ..commit.clone() };
    assert_eq!(refused(&short, &vertices[1..]), ReplayError::Missing(index, commit.vertices[0]));
    let mut swapped = commit.clone();
    swapped.vertices.swap(0, 1);
    let mut swapped_vertices = vertices.clone();
    swapped_vertices.swap(0, 1);
    assert_eq!(refused(&swapped, &swapped_vertices), ReplayError::Different(index));
    let late = Commit { time: commit.time.plus(1), ..commit.clone() };
    assert_eq!(refused(&late, vertices), ReplayError::Different(index));
    let diverged = Commit { state: Root([1; 32]), ..commit.clone() };
    assert_eq!(refused(&diverged, vertices), ReplayError::Different(index));
    // An anchor of a slot whose turn it is not, with its own history.
    let other =
        all.iter().find(|&author| Some(author) != orderer.candidate(commit.anchor.round)).expect("three");
    let anchor = drawn.reference((commit.anchor.round, other));
    let mut usurped = Commit { anchor, ..commit.clone() };
    *usurped.vertices.last_mut().expect("the anchor") = anchor;
    let mut usurped_vertices = vertices.clone();
    *usurped_vertices.last_mut().expect("the anchor") = Arc::clone(&drawn.vertices[&(anchor.round, other)]);
    assert_eq!(orderer.replay(&mut dag, &usurped, usurped_vertices), Err(ReplayError::Different(index)));

    assert_eq!(orderer.replay(&mut dag, commit, vertices.clone()).as_ref(), Ok(&commits[63]));
    assert_eq!(orderer.commit_vote(), CommitVote { index, digest: commit.digest() });
}

#[test]
fn a_commit_over_another_vertex_of_a_slot_is_a_conflict() {
    let (mut drawn, mut twin) = (scenario(|_| ()), scenario(|_| ()));
    drawn.draw("a b c d \n a b c d \n a b");
    let place = drawn.place("b1");
    let all = everybody();
    let other = twin.add(place, all, &[], Timestamp(77), vec![]);
    let (mut dag, mut orderer) = (Dag::new(&drawn.rules), Orderer::new(Arc::clone(&drawn.rules)));
    drawn.fill(&mut dag);
    let commits = orderer.advance(&mut dag);
    let (mut dag, mut orderer) = replay(&drawn.rules, &commits[..1]);
    dag.insert(other);
    let Committed { commit, vertices, .. } = &commits[1];
    let conflict = Err(ReplayError::Conflict(CommitIndex(2), drawn.reference(place)));
    assert_eq!(orderer.replay(&mut dag, commit, vertices.clone()), conflict);
}
