//! Replicas that get the same random vertices in different orders, some never, agree (A1) and order each vertex once
//! (A4); they decide what the rule gives when it is read word for word; and whoever replays ends in the same state as
//! whoever decides.

use std::collections::BTreeSet;

use fresnel_types::{OrderEvent, ShardHeader, genesis::Rule};
use proptest::prelude::*;

use super::*;
use crate::{
    rule::naive::Seen,
    scenario::{Dice, attestation, batch, header},
};

/// A random DAG of certified vertices: any quorum of parents, weak links to anywhere, some authors absent for a while,
/// candidates often left out so that they are committed late or never. With it comes what was signed besides and found
/// no quorum: vertices of absent authors, and other versions by up to f stake that name all whom the certified ones
/// leave out.
fn random_dag(rules: Rules, rounds: u64, dice: &mut Dice) -> (Scenario, Vec<Arc<SignedVertex>>) {
    let (mut drawn, mut besides) = (Scenario::new(rules), vec![]);
    let committee = drawn.rules.committee.clone();
    let (absence, neglect) = (dice.below(30), dice.below(100));
    let liars = random_liars(&committee, dice);
    let mut absent = AuthoritySet::default();
    for round in (1..=rounds).map(Round) {
        for author in committee.indices() {
            if dice.chance(20) {
                absent.remove(author);
                if dice.chance(absence)
                    && committee.is_quorum(&committee.all().difference(&with(absent, author)))
                {
                    absent.insert(author);
                }
            }
        }
        let before = Round(round.0 - 1);
        let neglected = drawn.author(before, if dice.chance(50) { 'a' } else { 'b' });
        for author in absent.iter() {
            if dice.chance(50) {
                let parents = drawn.authors(before);
                besides.push(drawn.vertex((round, author), parents, &[], Timestamp(round.0), vec![]));
            }
        }
        for author in committee.all().difference(&absent).iter() {
            let mut parents = drawn.authors(before);
            if dice.chance(neglect) || liars.contains(author) {
                drop_if_quorum(&committee, &mut parents, neglected);
            }
            if liars.contains(author) && dice.chance(80) {
                let all = drawn.authors(before);
                besides.push(drawn.vertex((round, author), all, &[], Timestamp(round.0), vec![]));
            }
            for _ in 0..dice.below(committee.size()) {
                let dropped = AuthorityIndex(u16::try_from(dice.below(committee.size())).expect("small"));
                drop_if_quorum(&committee, &mut parents, dropped);
            }
            let mut weak = BTreeSet::new();
            while round.0 > 2 && dice.chance(20) {
                let earlier = Round(1 + dice.next() % (round.0 - 2));
                let authors = drawn.authors(earlier);
                weak.extend(authors.iter().nth(dice.below(authors.len())).map(|author| (earlier, author)));
            }
            let weak: Vec<Place> = weak.into_iter().collect();
            let time = Timestamp(round.0 * 9_000 + dice.next() % 5_000);
            let headers = random_headers(&drawn.rules, author, round, dice);
            drawn.add((round, author), parents, &weak, time, headers);
        }
    }
    (drawn, besides)
}

/// Some of up to f stake.
fn random_liars(committee: &Committee, dice: &mut Dice) -> AuthoritySet {
    let (mut liars, mut stake) = (AuthoritySet::default(), 0);
    for _ in 0..committee.size() {
        let author = AuthorityIndex(u16::try_from(dice.below(committee.size())).expect("small"));
        let more = stake + committee.stake_of(author);
        if more <= committee.faulty() && liars.insert(author) {
            stake = more;
        }
    }
    liars
}

fn with(mut set: AuthoritySet, author: AuthorityIndex) -> AuthoritySet {
    set.insert(author);
    set
}

fn drop_if_quorum(committee: &Committee, parents: &mut AuthoritySet, author: AuthorityIndex) {
    let mut fewer = *parents;
    fewer.remove(author);
    if committee.is_quorum(&fewer) {
        *parents = fewer;
    }
}

fn random_headers(rules: &Rules, author: AuthorityIndex, round: Round, dice: &mut Dice) -> Vec<ShardHeader> {
    let mut headers = vec![];
    for shard in rules.shards.iter() {
        if dice.chance(30) {
            continue;
        }
        let mut header = header(rules, author, shard.0);
        for _ in 0..dice.below(3) {
            header.batches.push(batch(dice.next() % (4 * round.0), 300));
        }
        let from = dice.next() % round.0;
        for block in from..from + dice.next() % 4 {
            header.attestations.push(attestation(shard.0, block, u8::from(dice.chance(10))));
        }
        for held in &mut header.held {
            held.0 = dice.next() % round.0;
        }
        headers.push(header);
    }
    headers
}

/// A replica that gets the vertices of `drawn` in a random causal order, and some of them not at all; of them and of
/// what was signed `besides` it sees some as proposals.
struct Replica {
    dag: Dag,
    orderer: Orderer,
    commits: Vec<Committed>,
    waiting: Vec<Arc<SignedVertex>>,
    proposals: Vec<Arc<SignedVertex>>,
    seen: Seen,
}

impl Replica {
    fn new(drawn: &Scenario, besides: &[Arc<SignedVertex>], dice: &mut Dice) -> Self {
        let withheld = if dice.chance(50) { 0 } else { dice.below(10) };
        let vertices =
            || drawn.vertices.values().filter(|vertex| vertex.vertex.head.round > Round(0)).cloned();
        let watched = if dice.chance(50) { 100 } else { dice.below(100) };
        // Before the certified ones of their authors, as far as they are seen at all.
        let mut proposals: Vec<_> = besides.iter().cloned().chain(vertices()).collect();
        proposals.retain(|_| dice.chance(watched));
        proposals.sort_by_key(|vertex| vertex.vertex.head.round);
        Self {
            dag: Dag::new(&drawn.rules),
            orderer: Orderer::new(Arc::clone(&drawn.rules)),
            commits: vec![],
            waiting: vertices().filter(|_| !dice.chance(withheld)).collect(),
            proposals,
            seen: Seen::new(&drawn.rules),
        }
    }

    /// Sees the proposals whose links it has, most of them.
    fn watch(&mut self, dice: &mut Dice) {
        let dag = &mut self.dag;
        let (top, seen) = (dag.top(), &mut self.seen);
        self.proposals.retain(|proposal| {
            let head = &proposal.vertex.head;
            if head.round > top.next() || !dag.missing_links(head).is_empty() {
                return true;
            }
            if dice.chance(90) && dag.note_proposal(head) {
                seen.proposals.push(Arc::clone(proposal));
            }
            false
        });
    }

    /// Takes vertices one by one, now and then deciding, until nothing more fits in or `limit` did.
    fn run(&mut self, limit: usize, dice: &mut Dice) {
        let haste = 5 + dice.below(60);
        for _ in 0..limit {
            let ready = |vertex: &Arc<SignedVertex>| self.dag.missing_links(&vertex.vertex.head).is_empty();
            let positions: Vec<_> = (0..self.waiting.len()).filter(|&i| ready(&self.waiting[i])).collect();
            // The front mostly, so that the DAG grows upwards, but with stragglers of any age.
            let reach = if dice.chance(80) { 3 } else { 40 };
            let Some(&position) = positions.get(dice.below(reach.min(positions.len().max(1)))) else { break };
            let vertex = self.waiting.remove(position);
            self.watch(dice);
            self.seen.insert(&vertex);
            self.dag.insert(vertex);
            if dice.chance(haste) {
                self.decide();
            }
        }
        self.decide();
    }

    fn decide(&mut self) {
        self.commits.extend(self.orderer.advance(&mut self.dag));
        assert_eq!(self.dag.floor(), self.orderer.floor());
    }

    /// Compares the anchors with those that the rule gives when it is read word for word.
    fn check_anchors(&self) {
        let anchors = |committed: &Committed| {
            let Commit { anchor, vertices, .. } = &committed.commit;
            vertices.iter().filter(|vertex| vertex.round == anchor.round).copied().collect()
        };
        let given: Vec<Vec<VertexRef>> = self.commits.iter().map(anchors).collect();
        assert_eq!(given, self.seen.anchors());
    }
}

fn random_rules(rule: Rule, seed: u64, size: usize, depth: u64, dice: &mut Dice) -> Rules {
    rules(size, 2, |genesis| {
        genesis.name = format!("agreement {seed}");
        let parameters = &mut genesis.parameters;
        parameters.rule = rule;
        (parameters.floor_depth, parameters.batch_memory) = (depth, depth + dice.next() % 8);
        (parameters.lag_max, parameters.block_bytes_max) = (2 + dice.next() % 4, 1_500);
        parameters.block_interval = 10_000 + dice.next() % 60_000;
        parameters.block_commits_max = 3;
        if dice.chance(40) {
            for authority in &mut genesis.authorities {
                authority.stake = 1 + dice.next() % 4;
            }
        }
    })
}

/// Counted over a run, so that it can be seen that all kinds of things happened.
fn check_agreement(rule: Rule, seed: u64, size: usize, depth: u64) -> Counters {
    let mut dice = Dice(seed);
    let rules = random_rules(rule, seed, size, depth, &mut dice);
    let (drawn, besides) = random_dag(rules, 30, &mut dice);
    let mut replicas: Vec<_> = (0..4).map(|_| Replica::new(&drawn, &besides, &mut dice)).collect();
    for replica in &mut replicas {
        let limit = if dice.chance(50) { usize::MAX } else { dice.below(drawn.vertices.len()) };
        replica.run(limit, &mut dice);
        replica.check_anchors();
    }
    let longest = replicas.iter().max_by_key(|replica| replica.commits.len()).expect("four");
    for replica in &replicas {
        let both = replica.commits.len();
        assert_eq!(replica.commits, longest.commits[..both], "A1: one is a prefix of the other");
    }
    check_order(&drawn, &longest.commits);
    let (_, replayed) = replay(&drawn.rules, &longest.commits);
    assert_eq!(replayed.state(), longest.orderer.state());
    assert_eq!(replayed.state().digest(), longest.orderer.state().digest());
    assert_eq!(replayed.last(), longest.orderer.last());

    // A replica that falls behind takes some commits over and then decides itself again.
    let counters = longest.orderer.counters();
    let commits = longest.commits.clone();
    let mut late = Replica::new(&drawn, &besides, &mut dice);
    late.run(dice.below(drawn.vertices.len()), &mut dice);
    let known = late.commits.len().min(commits.len());
    assert_eq!(late.commits[..known], commits[..known], "A1");
    let until = known + dice.below(commits.len() + 1 - known);
    for committed in &commits[known..until] {
        let given = late.orderer.replay(&mut late.dag, &committed.commit, committed.vertices.clone());
        late.commits.push(given.expect("what another decided"));
    }
    late.decide();
    late.run(usize::MAX, &mut dice);
    let known = late.commits.len().min(commits.len());
    assert_eq!(late.commits[..known], commits[..known], "A1: also after taking commits over");
    check_order(&drawn, &late.commits);
    counters
}

/// Each vertex once, above the floor before, behind everything it names; each remembered batch once.
fn check_order(drawn: &Scenario, commits: &[Committed]) {
    let (mut ordered, mut floor) = (BTreeSet::new(), Round(0));
    let mut batches: BTreeSet<(u64, _)> = BTreeSet::new();
    let memory = drawn.rules.parameters.batch_memory;
    for Committed { commit, vertices, orders } in commits {
        for (reference, vertex) in commit.vertices.iter().zip(vertices) {
            assert_eq!(vertex.vertex.head.reference(), *reference);
            assert!(reference.round > floor, "nothing at or below the floor");
            for link in vertex.vertex.head.links().filter(|link| link.round > floor) {
                assert!(ordered.contains(link), "{link:?} comes before what names it");
            }
            assert!(ordered.insert(*reference), "A4: {reference:?} once");
        }
        floor = commit.floor;
        let round = commit.anchor.round.0;
        for order in orders {
            for event in &order.events {
                if let OrderEvent::Batch(batch) = event {
                    let recent = round.saturating_sub(memory)..=round;
                    let again = batches.iter().any(|(r, id)| recent.contains(r) && *id == batch.batch.id);
                    assert!(!again, "A4: {:?} once", batch.batch.id);
                    batches.insert((round, batch.batch.id));
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn replicas_agree_whatever_reaches_them_when(seed: u64, seven: bool, depth in 2_u64..=8) {
        for rule in [Rule::Bullshark, Rule::Fast] {
            check_agreement(rule, seed, if seven { 7 } else { 4 }, depth);
        }
    }
}

#[test]
fn the_random_dags_take_every_way() {
    [Rule::Bullshark, Rule::Fast].into_iter().for_each(take_every_way);
}

fn take_every_way(rule: Rule) {
    let mut sum = Counters::default();
    for seed in 0..40 {
        let counters = check_agreement(rule, seed, if seed % 2 == 0 { 4 } else { 7 }, 2 + seed % 7);
        sum.commits += counters.commits;
        sum.direct += counters.direct;
        sum.indirect += counters.indirect;
        sum.skipped += counters.skipped;
        sum.void_batches += counters.void_batches;
        sum.repeated_batches += counters.repeated_batches;
        sum.blocks += counters.blocks;
        sum.equivocating_attestations += counters.equivocating_attestations;
    }
    let all = [
        sum.direct,
        sum.indirect,
        sum.skipped,
        sum.void_batches,
        sum.repeated_batches,
        sum.blocks,
        sum.equivocating_attestations,
    ];
    assert!(all.iter().all(|&count| count >= 20), "{rule:?}: {sum:?}");
}
