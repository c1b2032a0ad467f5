//! What faulty authorities send: nothing of it panics, grows memory or gets a second vote.

use std::sync::Arc;

use fresnel_crypto::Verifier;
use fresnel_types::{
    AuthorityIndex, AuthoritySet, BlockIndex, Certificate, CommitIndex, CommitVote, Evidence, LogEntry,
    Message, Party, Round, ShardHeader, ShardId, SignedVertex, Timestamp, Vertex, VertexHead, VertexId,
    VertexRef, Vote, hash::Root, message::Status,
};

use super::{
    cluster::{Cluster, batch, key},
    ids, sorted,
};
use crate::limits::TIME_AHEAD_MAX;

const BAD: AuthorityIndex = AuthorityIndex(3);

/// A vertex of the faulty authority, different for each `n`.
fn vertex(cluster: &Cluster, round: u64, parents: Vec<VertexRef>, time: u64, n: u64) -> SignedVertex {
    let head = VertexHead {
        chain: cluster.rules.chain,
        epoch: cluster.rules.epoch,
        round: Round(round),
        author: BAD,
        time: Timestamp(time),
        parents,
        weak: vec![],
        commit_vote: CommitVote::default(),
        payload_root: Root::default(),
        attestation_root: Root::default(),
    };
    let header = ShardHeader {
        shard: ShardId(0),
        author: BAD,
        batches: vec![batch(n)],
        attestations: vec![],
        held: vec![BlockIndex(0); 2],
    };
    Vertex::new(head, vec![header]).sign(&key(BAD.index()))
}

fn genesis(cluster: &Cluster) -> Vec<VertexRef> {
    let of = |author| Vertex::genesis(cluster.rules.chain, cluster.rules.epoch, author).head.reference();
    cluster.rules.committee.indices().map(of).collect()
}

fn garbage(round: u64) -> Vec<VertexRef> {
    let reference = |author| VertexRef {
        round: Round(round),
        author: AuthorityIndex(author),
        id: VertexId([author as u8; 32]),
    };
    (0..4).map(reference).collect()
}

/// Three honest ones; the fourth is played by the test.
fn honest() -> Cluster {
    let mut cluster = Cluster::new(4, 64);
    (0..3).for_each(|index| cluster.start(index));
    while (0..3).any(|index| cluster.beacon(index).status().resuming) {
        cluster.run(100);
    }
    cluster
}

fn send(cluster: &mut Cluster, to: u16, message: Message) {
    cluster.deliver(Party::Beacon(BAD), Party::Beacon(AuthorityIndex(to)), message);
}

fn still_orders(cluster: &mut Cluster) {
    for n in 1_000..1_010 {
        cluster.offer(n as usize % 3, ShardId(1), vec![batch(n)]);
        cluster.run(30_000);
    }
    cluster.run(500_000);
    cluster.check_agreement();
    for index in 0..3 {
        assert_eq!(sorted(cluster.effective(index, 1)), ids(1_000..1_010));
    }
}

#[test]
fn of_two_proposals_for_a_slot_only_the_first_gets_a_vote() {
    let mut cluster = honest();
    let parents = genesis(&cluster);
    let (one, two) = (vertex(&cluster, 1, parents.clone(), 1, 1), vertex(&cluster, 1, parents.clone(), 1, 2));
    for (to, first, second) in [(0, &one, &two), (1, &one, &two), (2, &two, &one)] {
        send(&mut cluster, to, Message::Proposal(first.clone()));
        send(&mut cluster, to, Message::Proposal(second.clone()));
        send(&mut cluster, to, Message::Proposal(first.clone()));
    }
    for n in 3..200 {
        let another = vertex(&cluster, 1, parents.clone(), 1, n);
        send(&mut cluster, 0, Message::Proposal(another));
    }
    cluster.run(100_000);
    let beacon = cluster.beacon(0);
    assert_eq!(beacon.counters().equivocations, 1, "one slot");
    let evidence: Vec<Evidence> = beacon.evidence().cloned().collect();
    assert_eq!(evidence, [Evidence::Vertices { first: one.signed_head(), second: two.signed_head() }]);
    // With the faulty author's own vote the first one has a quorum: 0, 1 and 3.
    let reference = one.vertex.head.reference();
    let vote = Vote::sign(&cluster.rules.chain, cluster.rules.epoch, BAD, reference, true, &key(3));
    for to in 0..3 {
        send(&mut cluster, to, Message::Votes(vec![vote]));
    }
    still_orders(&mut cluster);
    for index in 0..3 {
        assert_eq!(cluster.effective(index, 0), ids([1]), "and is fetched where the other came first");
        assert_eq!(cluster.beacon(index).counters().conflicts, 0);
    }
}

#[test]
fn proposals_out_of_bounds_are_dropped() {
    let mut cluster = honest();
    cluster.run(20_000);
    let now = cluster.now.0;
    let parents = genesis(&cluster);
    for message in [
        vertex(&cluster, 1, parents.clone(), now + TIME_AHEAD_MAX + 100_000, 1),
        vertex(&cluster, 1_000_000, garbage(999_999), now, 2),
        vertex(&cluster, 3, garbage(2), now, 3),
        vertex(&cluster, u64::MAX, garbage(u64::MAX - 1), u64::MAX, 4),
    ] {
        send(&mut cluster, 0, Message::Proposal(message));
    }
    let stolen = vertex(&cluster, 1, parents, now, 5);
    cluster.deliver(
        Party::Beacon(AuthorityIndex(2)),
        Party::Beacon(AuthorityIndex(0)),
        Message::Proposal(stolen),
    );
    cluster.run(100_000);
    assert!(cluster.beacon(0).counters().dropped >= 4);
    still_orders(&mut cluster);
    assert_eq!(cluster.effective(0, 0), []);
}

#[test]
fn a_proposal_slightly_ahead_of_time_waits_for_it() {
    let mut cluster = honest();
    let parents = genesis(&cluster);
    let early = vertex(&cluster, 1, parents, cluster.now.0 + 200_000, 1);
    let reference = early.vertex.head.reference();
    send(&mut cluster, 0, Message::Proposal(early));
    cluster.run(150_000);
    let voted = |cluster: &Cluster| cluster.beacon(0).slots.own_vote(reference.round, BAD).is_some();
    assert!(!voted(&cluster));
    cluster.run(100_000);
    assert!(voted(&cluster));
}

#[test]
fn lies_about_positions_and_floods_of_names_cost_little() {
    let mut cluster = honest();
    cluster.run(50_000);
    let everything = VertexRef { round: Round(u64::MAX), author: BAD, id: VertexId([9; 32]) };
    for to in 0..3 {
        let held = vec![(Round(u64::MAX), AuthoritySet::default()), (Round(0), AuthoritySet::first(256))];
        let status = Status { round: Round(u64::MAX), commit: CommitIndex(u64::MAX), held };
        send(&mut cluster, to, Message::Status(status));
        send(&mut cluster, to, Message::VertexRequest(vec![everything; 4_096]));
        send(&mut cluster, to, Message::CommitRequest(CommitIndex(u64::MAX)));
        send(&mut cluster, to, Message::CommitRequest(CommitIndex(0)));
        send(&mut cluster, to, Message::CommitRange(vec![]));
        let far = Vote::sign(&cluster.rules.chain, cluster.rules.epoch, BAD, everything, true, &key(3));
        send(&mut cluster, to, Message::Votes(vec![far; 100]));
        let odd = |n: u8| {
            let vertex = VertexRef { round: Round(2), author: AuthorityIndex(0), id: VertexId([n; 32]) };
            Vote::sign(&cluster.rules.chain, cluster.rules.epoch, BAD, vertex, true, &key(3))
        };
        let odd: Vec<Vote> = (0..100).map(odd).collect();
        send(&mut cluster, to, Message::Votes(odd));
    }
    let before = cluster.beacon(0).counters().commit_requests;
    still_orders(&mut cluster);
    let requests = cluster.beacon(0).counters().commit_requests - before;
    assert!(requests < 100, "{requests} requests for commits that do not exist");
}

#[test]
fn a_certificate_without_its_vertex_is_asked_for_and_does_not_block() {
    let mut cluster = honest();
    let parents = genesis(&cluster);
    let hidden = vertex(&cluster, 1, parents, 1, 1);
    let reference = hidden.vertex.head.reference();
    let vote = |voter: u16| {
        let (chain, epoch) = (cluster.rules.chain, cluster.rules.epoch);
        Vote::sign(&chain, epoch, AuthorityIndex(voter), reference, true, &key(usize::from(voter)))
    };
    // Not what honest ones would sign, but it must not hurt.
    let signers: AuthoritySet = [1, 2, 3].map(AuthorityIndex).into_iter().collect();
    let signatures = [1, 2, 3].map(|voter| vote(voter).signature).to_vec();
    let certificate = Certificate { vertex: reference, signers, stored: signers, signatures };
    let other = VertexRef { id: VertexId([1; 32]), ..reference };
    let conflicting = |voter: u16| {
        let (chain, epoch) = (cluster.rules.chain, cluster.rules.epoch);
        Vote::sign(&chain, epoch, AuthorityIndex(voter), other, true, &key(usize::from(voter))).signature
    };
    let second = Certificate {
        vertex: other,
        signers,
        stored: signers,
        signatures: [1, 2, 3].map(conflicting).to_vec(),
    };
    send(&mut cluster, 0, Message::Certificates(vec![certificate, second]));
    assert_eq!(cluster.beacon(0).counters().conflicts, 1, "A2: the second one is only counted");
    let accused: Vec<u16> = cluster.beacon(0).evidence().map(|evidence| evidence.accused().0).collect();
    assert_eq!(accused, [1, 2, 3], "who signed both is accused");
    still_orders(&mut cluster);
    assert!(cluster.beacon(0).counters().fetched > 0);
}

#[test]
fn an_invented_range_of_commits_is_not_applied() {
    let mut cluster = honest();
    cluster.offer(0, ShardId(1), vec![batch(0)]);
    cluster.run(100_000);
    assert_eq!(cluster.effective(0, 1), ids([0]));
    let parents = genesis(&cluster);
    let made_up = vertex(&cluster, 1, parents, 1, 77);
    let last = cluster.beacon(0).status();
    let reference = made_up.vertex.head.reference();
    let commit = fresnel_types::Commit {
        index: last.commit.next(),
        previous: last.digest,
        anchor: reference,
        time: Timestamp(1),
        floor: Round(0),
        vertices: vec![reference],
        state: Root::default(),
    };
    let range = vec![fresnel_types::message::CommitWithVertices { commit, vertices: vec![made_up] }];
    // It is listened to only when it was asked, so make it worth asking.
    let status = Status { round: Round(9), commit: CommitIndex(1_000), held: vec![] };
    for _ in 0..20 {
        send(&mut cluster, 0, Message::Status(status.clone()));
        send(&mut cluster, 0, Message::CommitRange(range.clone()));
        cluster.run(10_000);
    }
    assert_eq!(cluster.beacon(0).counters().replayed, 0);
    cluster.run(1_000_000);
    cluster.check_agreement();
    assert!(cluster.beacon(0).status().commit > last.commit, "it goes on by itself");
    assert_eq!(cluster.effective(0, 0), []);
}

#[test]
fn machines_and_evidence_can_be_shown() {
    let cluster = honest();
    let beacon = cluster.beacon(0);
    assert!(format!("{beacon:?}").len() > 100 && !format!("{:?}", Arc::clone(&cluster.rules)).is_empty());
    assert!(!format!("{beacon:?}").contains(&format!("{:?}", key(0).to_bytes())), "the key is not shown");
}

#[test]
fn two_votes_for_a_slot_are_evidence_that_survives_restarts_and_checkpoints() {
    let mut cluster = honest();
    cluster.compares = false;
    let own = cluster.nodes[0].log.iter().find_map(|entry| match entry {
        LogEntry::Vertex(vertex) if vertex.vertex.head.author == AuthorityIndex(0) => {
            Some(vertex.vertex.head.reference())
        }
        _ => None,
    });
    let own = own.expect("it proposed");
    let vote = |id| {
        let (chain, epoch) = (cluster.rules.chain, cluster.rules.epoch);
        Vote::sign(&chain, epoch, BAD, VertexRef { id, ..own }, true, &key(3))
    };
    let (right, wrong, worse) = (vote(own.id), vote(VertexId([1; 32])), vote(VertexId([2; 32])));
    for vote in [right, right, wrong, worse] {
        send(&mut cluster, 0, Message::Votes(vec![vote]));
    }
    let expected = [Evidence::Votes { first: right, second: wrong }];
    let evidence = |cluster: &Cluster| cluster.beacon(0).evidence().cloned().collect::<Vec<_>>();
    assert_eq!(evidence(&cluster), expected);
    assert_eq!(expected[0].check(&cluster.rules, &mut Verifier::with_seed([1; 32])), Ok(BAD));
    assert_eq!(cluster.beacon(0).status().accused, 1);
    let logged = |entry: &LogEntry| matches!(entry, LogEntry::Evidence(_));
    for n in 0.. {
        cluster.offer(n as usize % 3, ShardId(0), vec![batch(n)]);
        cluster.run(30_000);
        let node = &cluster.nodes[0];
        let last = node.log.iter().rposition(logged).expect("kept");
        if node.forgotten.0 > last as u64 {
            break;
        }
    }
    cluster.stop(0);
    cluster.start(0);
    assert_eq!(evidence(&cluster), expected, "the entry is deleted, the checkpoint holds it");
    still_orders(&mut cluster);
}
