use fresnel_crypto::SigningKey;
use fresnel_state::Tree;
use fresnel_types::{
    Action, Amount, Attestation, Authority, AuthorityIndex, BlockIndex, Epoch, LogDigest, Nonce, Parameters,
    PublicKey, Receipt, ReceiptKind, Record, RecordDigest, Sequence, ShardHeader, Shards, SignedVertex,
    StateRoot, Timestamp, TransactionId, Vertex, VertexHead, WriteSet,
    action::Asset,
    genesis::Allocation,
    hash::Root,
    merkle,
    mmr::{Mmr, Range},
    proof::{Applied, AttestingVertex, Later, SignedAttestation, results_leaves},
    receipt::{outbox_root, slice_leaves},
    transaction::VoidCode,
};

use super::*;

const SHARD: ShardId = ShardId(1);

fn key(author: u16) -> SigningKey {
    SigningKey::from_bytes(&[author as u8; 32])
}

/// Four authorities, two shards.
fn genesis() -> Genesis {
    let authority = |author: u16| Authority {
        name: format!("a{author}"),
        stake: 1,
        consensus_key: PublicKey::of(&key(author)),
        network_keys: vec![PublicKey([author as u8; 32])],
    };
    Genesis {
        name: "proofs".to_owned(),
        protocol: fresnel_types::limits::PROTOCOL_VERSION,
        shards: Shards::new(2).expect("a power of two"),
        authorities: (0..4).map(authority).collect(),
        parameters: Parameters::default(),
        accounts: Vec::<Allocation>::new(),
    }
}

/// In shard 1.
fn address(number: u8) -> Address {
    let mut address = Address([number; 32]);
    address.0[0] = 0x80 | number;
    address
}

fn account_of(number: u8) -> Account {
    Account { balance: Amount(u64::from(number)), nonce_base: 1, nonce_bits: 4 }
}

/// A payment by the holder of `sender`'s key, whatever its shard.
fn payment(sender: u8, recipient: Address) -> Transaction {
    Transaction {
        chain: genesis().chain(),
        sender: PublicKey::of(&key(u16::from(sender))),
        nonce: Nonce(0),
        fee: Amount(1),
        valid_until: Timestamp(9),
        action: Action::Transfer { recipient, amount: Amount(5) },
    }
}

/// A payment whose sender is in `source`.
fn payment_from(source: ShardId, recipient: Address) -> Transaction {
    let of_source = |number: &u8| {
        let sender = payment(*number, recipient).sender.address();
        genesis().shards.of_prefix(sender.prefix()) == source
    };
    payment((10..99).find(of_source).expect("half of all keys"), recipient)
}

/// A record of shard 1 with accounts 1 to 20, outcomes, consumed receipts and an outbox.
struct Block {
    tree: Tree,
    outcomes: Vec<(TransactionId, Outcome)>,
    applied: Vec<Applied>,
    outbox: Vec<Vec<Receipt>>,
    range: Range,
    record: Record,
    later: Vec<Record>,
}

impl Block {
    fn new(later: u64) -> Self {
        let local = payment_from(SHARD, address(3)).id();
        Self::with(later, vec![(TransactionId([8; 32]), Outcome::Success), (local, Outcome::Success)])
    }

    fn with(later: u64, outcomes: Vec<(TransactionId, Outcome)>) -> Self {
        let mut accounts: Vec<_> = (1..=20).map(|number| (address(number), account_of(number))).collect();
        accounts.sort_by_key(|(address, _)| Account::key(address));
        let mut writes = WriteSet::default();
        for (address, account) in accounts {
            writes.push(Account::key(&address), Some(&account.to_bytes()));
        }
        let shards = genesis().shards;
        let mut tree = Tree::new(shards, SHARD);
        let state = tree.apply(&writes);

        let transaction = payment_from(ShardId(0), address(3)).id();
        let consumed = Applied { source: ShardId(0), sequence: Sequence(4), transaction, bounced: None };
        let returned = Applied { bounced: Some(FailureCode::WindowFull), ..consumed };
        let applied = vec![consumed, Applied { sequence: Sequence(5), ..returned }];
        let emitted = |sequence| Receipt {
            sequence: Sequence(sequence),
            transaction: TransactionId([sequence as u8; 32]),
            kind: ReceiptKind::Request {
                sender: address(1),
                recipient: Address([1; 32]),
                amount: Amount(7),
                asset: Asset::Native,
            },
        };
        let outbox = vec![(0..5).map(emitted).collect(), vec![]];

        let mut mmr = Mmr::default();
        (0..5).for_each(|block| mmr.append_record(&RecordDigest([block; 32])));
        let mut range = Range::from(&mmr);
        let results = merkle::root(results_leaves(&outcomes, &applied));
        let record = Record { state, results, outbox: outbox_root(&outbox), ..bare(9, &mmr) };
        let mut digest = record.digest();
        let mut records = vec![];
        for block in 0..later {
            mmr.append_record(&digest);
            range.append_record(&digest);
            records.push(bare(20 + block, &mmr));
            digest = records[block as usize].digest();
        }
        Self { tree, outcomes, applied, outbox, range, record, later: records }
    }

    fn state(&self, numbers: &[u8]) -> Claim {
        let keys = account_keys(&numbers.iter().map(|number| address(*number)).collect::<Vec<_>>());
        let ways: Vec<_> = keys.iter().map(|key| (*key, self.tree.prove(key))).collect();
        let tree = codec::encode(&MultiProof::join(genesis().shards, &ways));
        let leaves = keys.iter().map(|key| (*key, self.tree.get(key).map(<[u8]>::to_vec))).collect();
        Claim::State { leaves, tree }
    }

    fn outcome(&self, place: usize) -> Claim {
        let (transaction, outcome) = self.outcomes[place];
        let path = merkle::path(&results_leaves(&self.outcomes, &self.applied), place);
        Claim::Outcome { transaction, outcome, path }
    }

    fn applied(&self, place: usize) -> Claim {
        let leaves = results_leaves(&self.outcomes, &self.applied);
        let path = merkle::path(&leaves, self.outcomes.len() + place);
        Claim::Applied { applied: self.applied[place], path }
    }

    fn emitted(&self, place: usize) -> Claim {
        Claim::Emitted {
            destination: ShardId(0),
            receipt: self.outbox[0][place],
            path: merkle::path(&merkle::leaves(&self.outbox[0]), place),
            slice: merkle::path(&slice_leaves(&self.outbox), 0),
        }
    }

    /// Proven by the last record and the attestations of `authors`.
    fn proof(&self, claim: Claim, authors: &[u16]) -> Proof {
        let later = self.later.last().map(|head| Later {
            record: head.clone(),
            path: self.range.path(self.record.position, head.position).expect("all is there"),
        });
        let mut proof = Proof { claim, record: self.record.clone(), later, attested: vec![] };
        let attestation = proof.attestation();
        proof.attested = authors.iter().map(|author| attested(*author, &attestation)).collect();
        proof
    }
}

fn bare(block: u64, range: &Mmr) -> Record {
    Record {
        epoch: Epoch(0),
        shard: SHARD,
        block: BlockIndex(block),
        log: LogDigest([0; 32]),
        position: range.count(),
        earlier: range.root(),
        state: StateRoot([7; 32]),
        outbox: Root::default(),
        results: Root::default(),
        supply: Amount(0),
        burned: Amount(0),
        pairs: vec![Default::default(); 2],
    }
}

/// A vertex with other attestations around the one.
fn vertex(author: u16, attestation: &Attestation, chain: ChainId, epoch: Epoch) -> SignedVertex {
    let other = |block| Attestation { block: BlockIndex(block), ..*attestation };
    let header = |shard, attestations| ShardHeader {
        shard: ShardId(shard),
        author: AuthorityIndex(author),
        attestations,
        ..ShardHeader::default()
    };
    let headers = vec![
        header(0, vec![Attestation { shard: ShardId(0), ..*attestation }]),
        header(1, vec![other(1), *attestation, other(1_000)]),
    ];
    let head = VertexHead { epoch, ..Vertex::genesis(chain, epoch, AuthorityIndex(author)).head };
    Vertex::new(head, headers).sign(&key(author))
}

fn attested(author: u16, attestation: &Attestation) -> SignedAttestation {
    let genesis = genesis();
    let vertex = vertex(author, attestation, genesis.chain(), genesis.epoch());
    let attesting = AttestingVertex::of(&vertex).expect("it attests");
    SignedAttestation::of(&attesting, attestation).expect("it is there")
}

fn checker() -> Checker {
    Checker::new(genesis()).expect("the system has random numbers")
}

fn check(proof: &Proof) -> Result<(), ProofError> {
    checker().check(proof)
}

#[test]
fn every_claim_holds_at_any_distance_from_the_attested_record() {
    for later in [0, 1, 2, 9] {
        let block = Block::new(later);
        let claims = [
            block.state(&[7]),
            block.state(&[1, 7, 20, 21, 99]),
            block.outcome(0),
            block.applied(1),
            block.emitted(4),
        ];
        for claim in claims {
            let proof = block.proof(claim, &[0, 1, 3]);
            assert_eq!(check(&proof), Ok(()), "{later} records later: {proof:?}");
            assert_eq!(Proof::from_bytes(&proof.to_bytes()).as_ref(), Ok(&proof));
        }
    }
}

#[test]
fn accounts_there_and_not_there_are_told() {
    let proof = Block::new(3).proof(Block::new(3).state(&[7, 99]), &[0, 1, 2, 3]);
    let mut checker = checker();
    assert_eq!(checker.check_account(&address(7), &proof), Ok(Some(account_of(7))));
    assert_eq!(checker.check_account(&address(99), &proof), Ok(None));
    assert_eq!(checker.check_account(&address(8), &proof), Err(ProofError::Other), "not asked for");
    let outcome = Block::new(3).proof(Block::new(3).outcome(0), &[0, 1, 2]);
    assert_eq!(checker.check_account(&address(7), &outcome), Err(ProofError::Other));
}

#[test]
fn a_payment_is_proven_where_its_recipient_is() {
    let (block, mut checker) = (Block::new(2), checker());
    let (local, remote) = (payment_from(SHARD, address(3)), payment_from(ShardId(0), address(3)));
    let authors = [0, 2, 3];
    let (outcome, consumed) =
        (block.proof(block.outcome(1), &authors), block.proof(block.applied(0), &authors));
    assert_eq!(checker.check_payment(&local, &outcome), Ok(()));
    assert_eq!(checker.check_payment(&remote, &consumed), Ok(()));
    let other = Err(ProofError::Other);
    assert_eq!(checker.check_payment(&local, &consumed), other);
    assert_eq!(checker.check_payment(&remote, &outcome), other);
    let returned = block.proof(block.applied(1), &authors);
    assert_eq!(checker.check_payment(&remote, &returned), other, "it came back");
    let elsewhere = payment_from(ShardId(0), Address([1; 32]));
    assert_eq!(checker.check_payment(&elsewhere, &consumed), other, "another transaction");
    let emitted = block.proof(block.emitted(0), &authors);
    assert_eq!(checker.check_payment(&remote, &emitted), other, "sent is not arrived");
}

#[test]
fn final_and_settled_are_proven_each_by_its_own() {
    let mut checker = checker();
    let authors = [0, 2, 3];
    let (local, remote) = (payment_from(SHARD, address(3)), payment_from(ShardId(0), address(3)));
    let sent = payment_from(SHARD, Address([1; 32]));
    let other = Err(ProofError::Other);
    for (outcome, ends, settles) in [
        (Outcome::Success, Ok(Outcome::Success), Ok(Ending::Done)),
        (
            Outcome::Failed(FailureCode::WindowFull),
            Ok(Outcome::Failed(FailureCode::WindowFull)),
            Ok(Ending::Failed(FailureCode::WindowFull)),
        ),
        // It may have succeeded in an earlier block.
        (Outcome::Void(VoidCode::Nonce), Err(ProofError::Other), Err(ProofError::Other)),
    ] {
        let block = Block::with(1, vec![(local.id(), outcome), (sent.id(), outcome)]);
        let (here, away) = (block.proof(block.outcome(0), &authors), block.proof(block.outcome(1), &authors));
        assert_eq!(checker.check_final(&local, &here), ends);
        assert_eq!(checker.check_settled(&local, &here), settles);
        assert_eq!(checker.check_final(&sent, &away), ends);
        let success = outcome == Outcome::Success;
        assert_eq!(
            checker.check_settled(&sent, &away),
            if success { Err(ProofError::Other) } else { settles }
        );
        assert_eq!(checker.check_final(&local, &away), Err(ProofError::Other), "of another transaction");
    }
    let block = Block::new(1);
    let (consumed, returned) =
        (block.proof(block.applied(0), &authors), block.proof(block.applied(1), &authors));
    assert_eq!(checker.check_final(&remote, &consumed), other, "consumed elsewhere is no outcome");
    assert_eq!(checker.check_settled(&remote, &consumed), Ok(Ending::Done));
    assert_eq!(checker.check_settled(&remote, &returned), Ok(Ending::Returned(FailureCode::WindowFull)));
    let few = block.proof(block.applied(0), &[0, 2]);
    assert_eq!(checker.check_settled(&remote, &few), Err(ProofError::Quorum { stake: 2, quorum: 3 }));
}

#[test]
fn a_quorum_of_the_genesis_it_takes() {
    let block = Block::new(1);
    let proof = |authors: &[u16]| block.proof(block.state(&[7]), authors);
    assert_eq!(check(&proof(&[1, 2, 3])), Ok(()));
    assert_eq!(check(&proof(&[1, 2])), Err(ProofError::Quorum { stake: 2, quorum: 3 }));
    assert_eq!(check(&proof(&[])), Err(ProofError::Quorum { stake: 0, quorum: 3 }));
    let bad = Err(ProofError::Attestation);
    assert_eq!(check(&proof(&[1, 1, 2])), bad, "one authority twice");
    assert_eq!(check(&proof(&[2, 1, 3])), bad, "out of order");
    assert_eq!(check(&proof(&[1, 2, 4])), bad, "nobody");

    let mut other = genesis();
    other.name = "another".to_owned();
    let mut checker = Checker::new(other).expect("the system has random numbers");
    assert_eq!(checker.check(&proof(&[1, 2, 3])), bad, "another chain");
}

#[test]
fn whatever_is_altered_holds_no_more() {
    let block = Block::new(3);
    // Of accounts that are there: a proof that one is not proves the same of others beside it.
    for claim in [block.state(&[7, 8]), block.outcome(0), block.applied(0), block.emitted(1)] {
        let whole = block.proof(claim, &[0, 1, 2]);
        let bytes = whole.to_bytes();
        let mut checker = checker();
        let holds = |checker: &mut Checker, bytes: &[u8]| {
            Proof::from_bytes(bytes).is_ok_and(|proof| checker.check(&proof).is_ok())
        };
        assert!(holds(&mut checker, &bytes));
        for place in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[place] ^= 1 << (place % 8);
            assert!(!holds(&mut checker, &altered), "byte {place} of {}", bytes.len());
        }
        for length in (0..bytes.len()).step_by(7) {
            assert!(!holds(&mut checker, &bytes[..length]), "cut to {length} bytes");
        }
        let mut longer = bytes;
        longer.push(0);
        assert!(!holds(&mut checker, &longer));
    }
}

#[test]
fn parts_of_other_proofs_do_not_fit() {
    let (block, other) = (Block::new(3), Block::new(2));
    let whole = block.proof(block.state(&[7]), &[0, 1, 2]);
    let altered = |alter: &dyn Fn(&mut Proof)| {
        let mut proof = whole.clone();
        alter(&mut proof);
        check(&proof)
    };
    let (chain, attestation, claim) =
        (Err(ProofError::Chain), Err(ProofError::Attestation), Err(ProofError::Claim));
    assert_eq!(altered(&|proof| proof.record.block = BlockIndex(10)), chain, "another block");
    assert_eq!(altered(&|proof| proof.record.shard = ShardId(0)), chain, "another shard");
    assert_eq!(altered(&|proof| proof.later = None), attestation, "not the attested record");
    let earlier = other.proof(other.state(&[7]), &[0, 1, 2]);
    assert_eq!(altered(&|proof| proof.later.clone_from(&earlier.later)), attestation, "of another record");
    assert_eq!(altered(&|proof| proof.attested.clone_from(&earlier.attested)), attestation);
    assert_eq!(altered(&|proof| proof.record = block.later[0].clone()), chain);
    assert_eq!(altered(&|proof| proof.claim = block.outcome(0)), Ok(()), "another claim of the same record");
    assert_eq!(
        altered(&|proof| proof.claim = Claim::State { leaves: vec![], tree: vec![] }),
        Err(ProofError::Malformed)
    );
    assert_eq!(
        altered(&|proof| {
            let (Claim::State { leaves, .. }, Claim::State { tree, .. }) =
                (&mut proof.claim, block.state(&[8]))
            else {
                panic!("claims of state");
            };
            *leaves = vec![leaves[0].clone()];
            proof.claim = Claim::State { leaves: leaves.clone(), tree };
        }),
        claim,
        "the way to another account"
    );
    let signed_by_another = |proof: &mut Proof| proof.attested[1].signature = proof.attested[0].signature;
    assert_eq!(altered(&signed_by_another), attestation);
    // An attestation of another epoch, signed by the same keys.
    let attested_block = whole.attestation();
    let elsewhere = vertex(1, &attested_block, genesis().chain(), Epoch(1));
    let elsewhere = AttestingVertex::of(&elsewhere).expect("it attests");
    let elsewhere = SignedAttestation::of(&elsewhere, &attested_block).expect("it is there");
    assert_eq!(altered(&|proof| proof.attested[1] = elsewhere.clone()), attestation, "another epoch");
}
