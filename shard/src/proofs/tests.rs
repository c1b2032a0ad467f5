//! Proofs are handed out when, and only when, their record is certified.

use fresnel_types::{Amount, Epoch, LogDigest, RecordDigest, StateRoot, commit::Certified, hash::Root, mmr};

use super::*;

const ALICE: ClientId = ClientId(1);
const BOB: ClientId = ClientId(2);

/// A chain whose records come as told.
struct Growing(Chain);

impl Growing {
    fn new() -> Self {
        Self(Chain::new(ShardId(0)))
    }

    fn append(&mut self, block: u64) -> RecordDigest {
        self.append_with(block, Root::default())
    }

    fn append_with(&mut self, block: u64, results: Root) -> RecordDigest {
        let (position, earlier) = self.0.head();
        let record = Record {
            epoch: Epoch(0),
            shard: ShardId(0),
            block: BlockIndex(block),
            log: LogDigest([0; 32]),
            position,
            earlier,
            state: StateRoot([block as u8; 32]),
            outbox: Root::default(),
            results,
            supply: Amount(0),
            burned: Amount(0),
            pairs: vec![],
        };
        let digest = record.digest();
        self.0.append(record);
        digest
    }

    fn certify(&mut self, block: u64, record: RecordDigest) {
        self.0.certify(Certified { block: BlockIndex(block), record }, BlockIndex(block));
    }
}

fn claim() -> Claim {
    Claim::State { leaves: vec![], tree: vec![] }
}

/// Asks about the newest record.
fn ask(proofs: &mut Proofs, client: ClientId, request: u64, chain: &Growing) -> Vec<Effect> {
    let mut effects = Vec::new();
    let newest = chain.0.newest().cloned().ok_or(Unproven::NoRecord);
    proofs.ask(client, request, newest.map(|record| (record, claim())), &chain.0, &mut effects);
    effects
}

fn release(proofs: &mut Proofs, chain: &Growing) -> Vec<(ClientId, u64, Answer)> {
    let mut effects = Vec::new();
    proofs.release(&chain.0, &mut effects);
    answers(effects)
}

fn answers(effects: Vec<Effect>) -> Vec<(ClientId, u64, Answer)> {
    let answer = |effect| match effect {
        Effect::Send { to, message: Message::Answer { request, answer } } => match to[..] {
            [Party::Client(client)] => (client, request, answer),
            _ => panic!("one client is answered, not {to:?}"),
        },
        other => panic!("only answers leave, not {other:?}"),
    };
    effects.into_iter().map(answer).collect()
}

/// The block of a proof, and that of the record that was attested. What ties them holds.
fn shape(answer: &Answer) -> (u64, u64) {
    let Answer::Proof(proof) = answer else { panic!("a proof, not {answer:?}") };
    if let Some(later) = &proof.later {
        let leaf = mmr::record_leaf(&proof.record.digest());
        assert_eq!((later.path.index, later.path.count), (proof.record.position, later.record.position));
        assert_eq!(later.path.root(leaf), Some(later.record.earlier));
    }
    (proof.record.block.0, proof.attestation().block.0)
}

#[test]
fn a_proof_comes_with_the_first_certified_record_that_commits_to_its_own() {
    let (mut proofs, mut chain) = (Proofs::default(), Growing::new());
    let refused = answers(ask(&mut proofs, ALICE, 1, &chain));
    assert_eq!(refused, [(ALICE, 1, Answer::Unproven(Unproven::NoRecord))]);

    chain.append(3);
    assert_eq!(ask(&mut proofs, ALICE, 2, &chain), []);
    let fifth = chain.append(5);
    assert_eq!(ask(&mut proofs, BOB, 3, &chain), []);
    chain.append(6);
    let ninth = chain.append(9);
    assert_eq!(release(&mut proofs, &chain), [], "nothing is certified");

    chain.certify(5, fifth);
    let told = release(&mut proofs, &chain);
    assert_eq!(
        told.iter().map(|(client, request, _)| (*client, *request)).collect::<Vec<_>>(),
        [(ALICE, 2), (BOB, 3)]
    );
    assert_eq!((shape(&told[0].2), shape(&told[1].2)), ((3, 5), (5, 5)));
    assert_eq!(release(&mut proofs, &chain), [], "once");

    assert_eq!(ask(&mut proofs, ALICE, 4, &chain), []);
    chain.append(10);
    let last = chain.append(12);
    chain.append(13);
    chain.certify(9, ninth);
    assert_eq!(shape(&release(&mut proofs, &chain)[0].2), (9, 9));
    assert_eq!(ask(&mut proofs, ALICE, 5, &chain), []);
    chain.certify(12, last);
    assert_eq!(release(&mut proofs, &chain), [], "block 13 is not certified yet");
}

#[test]
fn a_record_of_long_ago_is_tied_to_the_last_attested_one() {
    let (mut proofs, mut chain) = (Proofs::default(), Growing::new());
    for block in 1..600 {
        let digest = chain.append(block);
        chain.certify(block, digest);
    }
    for block in [1, 77, 598, 599] {
        let record = chain.0.record(BlockIndex(block)).expect("kept").clone();
        let mut effects = Vec::new();
        proofs.ask(ALICE, block, Ok((record, claim())), &chain.0, &mut effects);
        assert_eq!(shape(&answers(effects)[0].2), (block, 599));
    }
}

#[test]
fn a_claim_about_a_certified_record_does_not_wait_for_one_about_a_newer() {
    let (mut proofs, mut chain) = (Proofs::default(), Growing::new());
    let first = chain.append(1);
    chain.append(2);
    assert_eq!(ask(&mut proofs, ALICE, 1, &chain), []);
    chain.certify(1, first);
    let mut effects = Vec::new();
    let record = chain.0.record(BlockIndex(1)).expect("kept").clone();
    proofs.ask(BOB, 2, Ok((record, claim())), &chain.0, &mut effects);
    let told = answers(effects);
    assert_eq!((told.len(), told[0].0, shape(&told[0].2)), (1, BOB, (1, 1)));
}

#[test]
fn who_diverged_proves_nothing_beyond_what_was_certified() {
    let (mut proofs, mut chain) = (Proofs::default(), Growing::new());
    let first = chain.append(1);
    ask(&mut proofs, ALICE, 1, &chain);
    chain.append(2);
    ask(&mut proofs, BOB, 2, &chain);
    chain.certify(1, first);
    chain.certify(2, RecordDigest([9; 32]));
    let told = release(&mut proofs, &chain);
    assert_eq!(shape(&told[0].2), (1, 1));
    assert_eq!(told[1], (BOB, 2, Answer::Unproven(Unproven::Diverged)));
    let refused = answers(ask(&mut proofs, ALICE, 3, &chain));
    assert_eq!(refused, [(ALICE, 3, Answer::Unproven(Unproven::Diverged))]);
}

#[test]
fn what_waits_is_bounded_and_goes_with_its_client() {
    let (mut proofs, mut chain) = (Proofs::default(), Growing::new());
    let first = chain.append(1);
    for request in 0..PROOFS_WAITING_MAX as u64 {
        let client = if request % 2 == 0 { ALICE } else { BOB };
        assert_eq!(ask(&mut proofs, client, request, &chain), []);
    }
    let refused = answers(ask(&mut proofs, BOB, 9, &chain));
    assert_eq!(refused, [(BOB, 9, Answer::Unproven(Unproven::Busy))]);
    proofs.forget_client(ALICE);
    assert_eq!(ask(&mut proofs, BOB, 9, &chain), []);
    chain.certify(1, first);
    let told = release(&mut proofs, &chain);
    assert_eq!(told.len(), PROOFS_WAITING_MAX / 2 + 1);
    assert!(told.iter().all(|(client, ..)| *client == BOB));
}

fn applied(sequence: u64) -> Applied {
    let transaction = TransactionId([sequence as u8; 32]);
    Applied { source: ShardId(1), sequence: Sequence(sequence), transaction, bounced: None }
}

#[test]
fn how_blocks_ended_is_claimed_until_it_is_forgotten() {
    let (mut proofs, mut chain) = (Proofs::default(), Growing::new());
    let id = |number: u64| TransactionId([number as u8; 32]);
    for block in 1..4 {
        let outcomes = vec![(id(10 * block), Outcome::Success), (id(10 * block + 1), Outcome::Success)];
        let consumed = vec![applied(2 * block), applied(2 * block + 1)];
        chain.append_with(block, merkle::root(results_leaves(&outcomes, &consumed)));
        proofs.executed(BlockIndex(block), outcomes, consumed);
    }
    let record = |block| chain.0.record(BlockIndex(block)).expect("kept");
    let outcome = proofs.outcome(BlockIndex(2), &id(21)).expect("it ended there");
    assert!(outcome.holds_in_lists(record(2)) && !outcome.holds_in_lists(record(1)));
    assert_eq!(proofs.outcome(BlockIndex(1), &id(21)), None, "another block");
    let (block, consumed) = proofs.applied(ShardId(1), Sequence(7)).expect("consumed");
    assert!(block == BlockIndex(3) && consumed.holds_in_lists(record(3)));
    assert_eq!(proofs.applied(ShardId(1), Sequence(8)), None, "not yet");
    assert_eq!(proofs.applied(ShardId(2), Sequence(7)), None, "another pair");

    proofs.executed(BlockIndex(9), vec![(id(1), Outcome::Success); RESULTS_RETAINED], vec![]);
    assert_eq!((proofs.outcome(BlockIndex(2), &id(21)), proofs.results.len()), (None, 1));
}

#[test]
fn too_many_early_questions_give_up_the_oldest_and_who_is_gone_has_none() {
    let mut proofs = Proofs::default();
    let mut effects = Vec::new();
    let early = |client, request| {
        Early::new(Timestamp(1), client, request, Wanted::Outcome(TransactionId([request as u8; 32])))
    };
    for request in 0..EARLY_MAX as u64 {
        proofs.keep(early(if request < 2 { ALICE } else { BOB }, request), &mut effects);
    }
    assert_eq!(effects, []);
    proofs.keep(early(ALICE, 7_777), &mut effects);
    assert_eq!(answers(effects), [(ALICE, 0, Answer::Unproven(Unproven::Busy))]);
    proofs.forget_client(BOB);
    let mut effects = Vec::new();
    let left = proofs.take_early(Timestamp(2), &mut effects);
    assert_eq!(left.iter().map(|early| early.request).collect::<Vec<_>>(), [1, 7_777]);
    assert_eq!(effects, []);
}
