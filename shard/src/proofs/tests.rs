//! Proofs are handed out when, and only when, their record is certified.

use fresnel_types::{
    Amount, Epoch, LogDigest, Record, RecordDigest, ShardId, StateRoot, commit::Certified, hash::Root,
};

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
            results: Root::default(),
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

fn ask(proofs: &mut Proofs, client: ClientId, request: u64, chain: &Growing) -> Vec<Effect> {
    let mut effects = Vec::new();
    proofs.ask(client, request, None, vec![request as u8], &chain.0, &mut effects);
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

/// The block of a proof, how many records lie between it and the certified one, and that one's block.
fn shape(answer: &Answer) -> (u64, usize, u64) {
    let Answer::Proof(proof) = answer else { panic!("a proof, not {answer:?}") };
    (proof.record.block.0, proof.between.len(), proof.certified().block.0)
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
    assert_eq!(shape(&told[0].2), (3, 0, 5));
    assert_eq!(shape(&told[1].2), (5, 0, 5));
    assert_eq!(release(&mut proofs, &chain), [], "once");

    assert_eq!(ask(&mut proofs, ALICE, 4, &chain), []);
    chain.append(10);
    let last = chain.append(12);
    chain.append(13);
    chain.certify(9, ninth);
    assert_eq!(shape(&release(&mut proofs, &chain)[0].2), (9, 0, 9));
    assert_eq!(ask(&mut proofs, ALICE, 5, &chain), []);
    chain.certify(12, last);
    assert_eq!(release(&mut proofs, &chain), [], "block 13 is not certified yet");
}

#[test]
fn the_chain_from_a_proof_to_the_certified_record_holds() {
    let (mut proofs, mut chain) = (Proofs::default(), Growing::new());
    for block in 1..4 {
        chain.append(block);
    }
    ask(&mut proofs, ALICE, 1, &chain);
    let mut head = RecordDigest::default();
    for block in 4..9 {
        head = chain.append(block);
    }
    chain.certify(8, head);
    let told = release(&mut proofs, &chain);
    let Answer::Proof(proof) = &told[0].2 else { panic!("a proof, not {told:?}") };
    assert_eq!(shape(&told[0].2), (3, 4, 8));
    let (mut range, head) = (proof.range.clone(), proof.head.as_ref().expect("a later one"));
    assert_eq!((range.root(), range.count()), (proof.record.earlier, proof.record.position));
    range.append_record(&proof.record.digest());
    proof.between.iter().for_each(|record| range.append_record(record));
    assert_eq!((range.root(), range.count()), (head.earlier, head.position));
}

#[test]
fn a_certified_record_too_far_ahead_is_no_head() {
    let (mut proofs, mut chain) = (Proofs::default(), Growing::new());
    chain.append(1);
    ask(&mut proofs, ALICE, 1, &chain);
    let mut head = RecordDigest::default();
    let last = PROOF_RECORDS_MAX as u64 + 3;
    for block in 2..=last {
        head = chain.append(block);
    }
    chain.certify(last, head);
    assert_eq!(release(&mut proofs, &chain), [(ALICE, 1, Answer::Unproven(Unproven::Busy))]);
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
    assert_eq!(shape(&told[0].2), (1, 0, 1));
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
