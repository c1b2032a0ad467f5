//! What passes, and the typed error for each kind of fault.

use std::sync::LazyLock;

use fresnel_crypto::SigningKey;

use super::*;
use crate::{
    Action, Address, Amount, Attestation, Authority, BatchId, BatchRef, BlockIndex, Bundle, CommitVote,
    LogDigest, Nonce, Receipt, ReceiptKind, Record, RecordDigest, Round, Sequence, StateRoot, Timestamp,
    TransactionId, Vertex,
    genesis::Allocation,
    hash::Root,
    merkle,
    message::CertifiedVertex,
    receipt::{outbox_root, slice_leaves},
    record::Pair,
};

static GENESIS: LazyLock<Genesis> = LazyLock::new(|| Genesis {
    protocol: crate::limits::PROTOCOL_VERSION,
    name: "test".into(),
    shards: Shards::new(2).expect("a power of two"),
    parameters: Parameters::default(),
    authorities: (0..4)
        .map(|i| Authority {
            name: format!("a{i}"),
            stake: 1,
            consensus_key: PublicKey::of(&key(i)),
            network_keys: vec![PublicKey::of(&key(100 + i))],
        })
        .collect(),
    accounts: vec![Allocation { address: Address([1; 32]), amount: Amount(5) }],
});

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed + 1; 32])
}

fn rules() -> Rules {
    GENESIS.check().expect("a valid genesis");
    Rules::of(&GENESIS)
}

fn check(message: Message) -> Result<(), VerifyError> {
    rules().verify_one(&mut Verifier::with_seed([0; 32]), message).map(|_| ())
}

fn genesis_refs() -> Vec<crate::VertexRef> {
    let rules = rules();
    rules.committee.indices().map(|a| Vertex::genesis(rules.chain, rules.epoch, a).head.reference()).collect()
}

fn head(author: u16) -> VertexHead {
    VertexHead {
        chain: rules().chain,
        epoch: Epoch(0),
        round: Round(1),
        author: AuthorityIndex(author),
        time: Timestamp(5),
        parents: genesis_refs(),
        weak: vec![],
        commit_vote: CommitVote::default(),
        payload_root: Root::default(),
        attestation_root: Root::default(),
    }
}

fn header(author: u16) -> ShardHeader {
    ShardHeader {
        shard: ShardId(1),
        author: AuthorityIndex(author),
        batches: vec![BatchRef { id: BatchId([3; 32]), count: 1, bytes: 300 }],
        attestations: vec![Attestation {
            shard: ShardId(1),
            block: BlockIndex(4),
            record: RecordDigest([4; 32]),
        }],
        held: vec![BlockIndex(1), BlockIndex(0)],
    }
}

fn proposal(change: impl FnOnce(&mut VertexHead, &mut Vec<ShardHeader>)) -> Message {
    let (mut head, mut headers) = (head(2), vec![header(2)]);
    change(&mut head, &mut headers);
    Message::Proposal(Vertex::new(head, headers).sign(&key(2)))
}

#[test]
fn a_good_vertex_passes_and_each_broken_rule_is_named() {
    assert_eq!(check(proposal(|_, _| ())), Ok(()));
    let named = |reason| Err(VerifyError::Vertex(reason));
    assert_eq!(check(proposal(|head, _| head.epoch = Epoch(1))), Err(VerifyError::Chain));
    assert_eq!(check(proposal(|head, _| head.chain = ChainId([9; 32]))), Err(VerifyError::Chain));
    assert_eq!(check(proposal(|head, _| head.author = AuthorityIndex(4))), Err(VerifyError::Unknown));
    assert_eq!(check(proposal(|head, _| head.round = Round(0))), named("nobody makes a vertex of round 0"));
    assert_eq!(
        check(proposal(|head, _| head.round = Round(2))),
        named("a parent is not of the round before")
    );
    assert_eq!(check(proposal(|head, _| head.parents.reverse())), named("parents ascend by author"));
    assert_eq!(check(proposal(|head, _| head.parents.truncate(2))), named("the parents are no quorum"));
    assert_eq!(
        check(proposal(|head, _| head.weak = genesis_refs()[..1].to_vec())),
        named("a weak link is not of an earlier round than the parents")
    );
    assert_eq!(
        check(proposal(|_, headers| headers[0].author = AuthorityIndex(0))),
        named("a header is of another author or of no shard")
    );
    assert_eq!(
        check(proposal(|_, headers| headers[0].shard = ShardId(2))),
        named("a header is of another author or of no shard")
    );
    assert_eq!(
        check(proposal(|_, headers| headers.push(headers[0].clone()))),
        named("headers ascend by shard, each shard once")
    );
    assert_eq!(
        check(proposal(|_, headers| headers[0].batches = vec![headers[0].batches[0]; 65])),
        named("too many batches in a header")
    );
    assert_eq!(
        check(proposal(|_, headers| headers[0].batches[0].bytes = 600_000)),
        named("a batch is empty or too large")
    );
    assert_eq!(
        check(proposal(|_, headers| headers[0].attestations = vec![headers[0].attestations[0]; 2])),
        named("attestations are of the header's shard, ascend by block, and are few")
    );
    assert_eq!(
        check(proposal(|_, headers| headers[0].held.truncate(1))),
        named("held has one entry per shard")
    );
    let Message::Proposal(mut vertex) = proposal(|_, _| ()) else { unreachable!("made above") };
    vertex.vertex.headers[0].held[0] = BlockIndex(9);
    assert_eq!(
        check(Message::Proposal(vertex.clone())),
        named("the roots are not those of the payload"),
        "a payload other than the signed one"
    );
    vertex.vertex.headers[0].held[0] = BlockIndex(1);
    vertex.signature.0[3] ^= 1;
    assert_eq!(check(Message::Proposal(vertex)), Err(VerifyError::Signature));
}

fn vote(voter: u16, vertex: crate::VertexRef) -> Vote {
    Vote::sign(&rules().chain, Epoch(0), AuthorityIndex(voter), vertex, true, &key(voter as u8))
}

#[test]
fn certificates_need_a_quorum_of_matching_signatures() {
    let vertex = Vertex::new(head(2), vec![]).sign(&key(2));
    let reference = vertex.vertex.head.reference();
    let certificate = |voters: &[u16]| Certificate {
        vertex: reference,
        signers: voters.iter().map(|&v| AuthorityIndex(v)).collect(),
        stored: voters.iter().map(|&v| AuthorityIndex(v)).collect(),
        signatures: voters.iter().map(|&v| vote(v, reference).signature).collect(),
    };
    assert_eq!(check(Message::Certificates(vec![certificate(&[0, 1, 3])])), Ok(()));
    assert_eq!(check(Message::Certificates(vec![certificate(&[0, 1])])), Err(VerifyError::Certificate));
    let mut short = certificate(&[0, 1, 3]);
    short.signatures.pop();
    assert_eq!(check(Message::Certificates(vec![short])), Err(VerifyError::Certificate));
    let mut swapped = certificate(&[0, 1, 3]);
    swapped.signatures.swap(0, 1);
    assert_eq!(check(Message::Certificates(vec![swapped])), Err(VerifyError::Signature));
    let mut moved = certificate(&[0, 1, 3]);
    moved.stored.remove(AuthorityIndex(3));
    assert_eq!(check(Message::Certificates(vec![moved])), Err(VerifyError::Signature), "signed otherwise");
    let without = |v| {
        let (chain, signer) = (&rules().chain, key(v as u8));
        Vote::sign(chain, Epoch(0), AuthorityIndex(v), reference, false, &signer).signature
    };
    let mut trusting = certificate(&[0, 1, 3]);
    trusting.stored.remove(AuthorityIndex(3));
    trusting.signatures[2] = without(3);
    assert_eq!(check(Message::Certificates(vec![trusting.clone()])), Ok(()));
    trusting.stored.remove(AuthorityIndex(0));
    trusting.signatures[0] = without(0);
    let too_few = check(Message::Certificates(vec![trusting]));
    assert_eq!(too_few, Err(VerifyError::Certificate), "only one holds the payload");
    let mut stranger = certificate(&[0, 1, 3]);
    stranger.stored.insert(AuthorityIndex(2));
    assert_eq!(check(Message::Certificates(vec![stranger])), Err(VerifyError::Certificate));
    let certified = |certificate| {
        Message::Vertices(vec![CertifiedVertex { vertex: vertex.clone(), certificate: Some(certificate) }])
    };
    assert_eq!(check(certified(certificate(&[0, 1, 2]))), Ok(()));
    let mut other = certificate(&[0, 1, 2]);
    other.vertex.round = Round(2);
    assert_eq!(check(certified(other)), Err(VerifyError::Certificate));
}

#[test]
fn one_bad_message_does_not_spoil_those_beside_it() {
    let reference = genesis_refs()[0];
    let good = Message::Votes(vec![vote(0, reference), vote(1, reference)]);
    let mut forged = vote(2, reference);
    forged.voter = AuthorityIndex(3);
    let verdicts = rules().verify(
        &mut Verifier::with_seed([0; 32]),
        vec![good.clone(), Message::Votes(vec![vote(0, reference), forged]), good],
    );
    let verdicts: Vec<_> = verdicts.into_iter().map(|verdict| verdict.map(|_| ())).collect();
    assert_eq!(verdicts, vec![Ok(()), Err(VerifyError::Signature), Ok(())]);
}

fn payer(shard: ShardId) -> SigningKey {
    (10..200)
        .map(key)
        .find(|key| GENESIS.shards.of_prefix(PublicKey::of(key).address().prefix()) == shard)
        .expect("both shards are hit within some tries")
}

fn transfer(sender: &SigningKey) -> Transaction {
    Transaction {
        chain: GENESIS.chain(),
        sender: PublicKey::of(sender),
        nonce: Nonce(1),
        fee: Amount(1),
        valid_until: Timestamp(100),
        action: Action::Transfer { recipient: Address([7; 32]), amount: Amount(3) },
    }
}

#[test]
fn each_kind_of_bad_transaction_is_refused_by_its_code() {
    let sender = payer(ShardId(0));
    let good = transfer(&sender).sign(&sender);
    let with = |change: &dyn Fn(&mut Transaction)| {
        let mut transaction = transfer(&sender);
        change(&mut transaction);
        transaction.sign(&sender)
    };
    let mut forged = good.clone();
    forged.transaction.fee = Amount(2);
    let stranger = payer(ShardId(1));
    let mut identity = transfer(&sender);
    identity.sender = PublicKey(std::array::from_fn(|i| u8::from(i == 0)));
    let submitted = vec![
        good.clone(),
        with(&|t| t.chain = ChainId([1; 32])),
        with(&|t| t.action = Action::Transfer { recipient: Address([7; 32]), amount: Amount(0) }),
        forged.clone(),
        transfer(&stranger).sign(&stranger),
        identity.sign(&sender),
    ];
    let verdicts =
        rules().verify_submission(&mut Verifier::with_seed([0; 32]), ShardId(0), submitted.clone());
    let codes: Vec<_> = verdicts.into_iter().map(|verdict| verdict.err()).collect();
    use RejectionCode::{BadSignature, Malformed, WrongChain, WrongShard};
    assert_eq!(
        codes,
        vec![None, Some(WrongChain), Some(Malformed), Some(BadSignature), Some(WrongShard), Some(Malformed)]
    );

    let batch = |transactions: Vec<SignedTransaction>| {
        let batch = Batch { author: AuthorityIndex(0), shard: ShardId(0), transactions };
        Message::Batch(codec::encode(&batch))
    };
    assert_eq!(check(batch(vec![good.clone(); 3])), Ok(()));
    assert_eq!(check(batch(vec![])), Err(VerifyError::Batch("empty")));
    assert_eq!(check(batch(vec![good.clone(), forged])), Err(VerifyError::Signature));
    for bad in &submitted[1..3] {
        assert!(matches!(check(batch(vec![good.clone(), bad.clone()])), Err(VerifyError::Batch(_))));
    }
    assert_eq!(check(Message::Batch(vec![0; 100])), Err(VerifyError::Batch("malformed")));
    assert_eq!(check(batch(vec![good; 3_000])), Err(VerifyError::Batch("too large")));
}

#[test]
fn a_bundle_is_what_its_record_says() {
    let receipt = Receipt {
        sequence: Sequence(0),
        transaction: TransactionId([8; 32]),
        kind: ReceiptKind::Request {
            sender: Address([1; 32]),
            recipient: Address([2; 32]),
            amount: Amount(9),
            asset: crate::action::Asset::Native,
        },
    };
    let slices = vec![vec![], vec![receipt]];
    let record = Record {
        epoch: Epoch(0),
        shard: ShardId(0),
        block: BlockIndex(3),
        log: LogDigest([1; 32]),
        position: 0,
        earlier: Root::default(),
        state: StateRoot::default(),
        outbox: outbox_root(&slices),
        results: Root::default(),
        supply: Amount(0),
        burned: Amount(0),
        pairs: vec![Pair::default(); 2],
    };
    let bundle = Bundle {
        destination: ShardId(1),
        record,
        receipts: slices[1].clone(),
        path: merkle::path(&slice_leaves(&slices), 1),
    };
    let check = |bundle: Bundle| check(Message::Bundle(Box::new(bundle)));
    assert_eq!(check(bundle.clone()), Ok(()));
    assert_eq!(check(Bundle { receipts: vec![], ..bundle.clone() }), Err(VerifyError::Bundle));
    assert_eq!(check(Bundle { destination: ShardId(0), ..bundle.clone() }), Err(VerifyError::Bundle));
    assert_eq!(check(Bundle { destination: ShardId(2), ..bundle }), Err(VerifyError::Unknown));
}

#[test]
fn clients_words_are_not_machines() {
    assert_eq!(check(Message::Submit { request: 0, transactions: vec![] }), Err(VerifyError::Misplaced));
    assert_eq!(check(Message::Progress(vec![])), Err(VerifyError::Misplaced));
}

#[test]
fn only_a_chain_for_benchmarks_leaves_anything_out() {
    let left_out: Ablation = [Part::Signatures].into_iter().collect();
    assert_eq!(rules().without(left_out.clone()).err(), Some(NotForBenchmarks(left_out.clone())));
    assert!(rules().without(Ablation::default()).is_ok());

    let mut genesis = GENESIS.clone();
    genesis.parameters.bench = true;
    let rules = Rules::of(&genesis).without(left_out).expect("for benchmarks");
    let transaction = Transaction {
        chain: rules.chain,
        sender: PublicKey::of(&key(1)),
        nonce: Nonce(0),
        fee: Amount(1),
        valid_until: Timestamp(1),
        action: Action::Transfer { recipient: Address([7; 32]), amount: Amount(1) },
    };
    let shard = rules.shards.of_prefix(transaction.sender.address().prefix());
    let unsigned = SignedTransaction { transaction, signature: Signature([0; 64]) };
    let batch = || Batch { author: AuthorityIndex(0), shard, transactions: vec![unsigned.clone()] };
    let accepts = |rules: &Rules| {
        let mut verifier = Verifier::with_seed([0; 32]);
        let submitted = rules.verify_submission(&mut verifier, shard, vec![unsigned.clone()]);
        let message = Message::Batch(codec::encode(&batch()));
        (submitted[0].is_ok(), rules.verify_one(&mut verifier, message).is_ok())
    };
    assert_eq!((accepts(&rules), accepts(&Rules::of(&genesis))), ((true, true), (false, false)));
    let forged = Vote {
        vertex: genesis_refs()[0],
        voter: AuthorityIndex(0),
        stored: true,
        signature: Signature([0; 64]),
    };
    let verdict = rules.verify_one(&mut Verifier::with_seed([0; 32]), Message::Votes(vec![forged]));
    assert_eq!(verdict.err(), Some(VerifyError::Signature), "authorities still sign");
}

#[test]
fn a_state_comes_with_a_quorum_that_named_its_commit() {
    let commit = crate::Commit {
        index: crate::CommitIndex(64),
        previous: Default::default(),
        anchor: genesis_refs()[0],
        time: Timestamp(1),
        floor: Round(0),
        vertices: vec![],
        state: Root([1; 32]),
    };
    let named = CommitVote { index: commit.index, digest: commit.digest() };
    let voter = |author: u16, commit_vote| {
        let vertex = Vertex::new(VertexHead { commit_vote, ..head(author) }, vec![]);
        vertex.sign(&key(author as u8)).signed_head()
    };
    let piece = |voters| StatePiece {
        commit: commit.clone(),
        voters,
        from: crate::CommitIndex(60),
        pieces: 1,
        number: 0,
        bytes: vec![],
    };
    let check = |piece| check(Message::State(Box::new(piece)));
    let quorum: Vec<SignedHead> = [0, 1, 3].map(|author| voter(author, named)).to_vec();
    assert_eq!(check(piece(quorum.clone())), Ok(()));
    assert_eq!(check(StatePiece { number: 1, ..piece(vec![]) }), Ok(()));
    assert_eq!(check(piece(vec![])), Err(VerifyError::State));
    assert_eq!(check(piece(quorum[..2].to_vec())), Err(VerifyError::State));
    let twice = vec![quorum[0].clone(), quorum[1].clone(), quorum[1].clone()];
    assert_eq!(check(piece(twice)), Err(VerifyError::State));
    let mut other = quorum.clone();
    other[2] = voter(3, CommitVote { index: commit.index, ..CommitVote::default() });
    assert_eq!(check(piece(other)), Err(VerifyError::State));
    let mut forged = quorum;
    forged[2].signature = forged[1].signature;
    assert_eq!(check(piece(forged)), Err(VerifyError::Signature));
}
