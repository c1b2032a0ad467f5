//! Golden bytes: the encoding of every kind of message, log entry and signed object, as it must stay. A difference means
//! that old logs and other versions are not understood any more. `FRESNEL_RECORD=1 cargo test -p fresnel-types` writes
//! the file anew, for a change of protocol version.

use fresnel_types::{
    Action, Address, Amount, Attestation, AuthorityIndex, AuthoritySet, BatchId, BatchRef, BlockIndex,
    Bundle, Certificate, ChainId, Close, Commit, CommitDigest, CommitIndex, CommitVote, Epoch, Evidence,
    FailureCode, LogDigest, LogEntry, Message, Nonce, Order, OrderEvent, OrderedBatch, Outcome, Proof,
    PublicKey, Receipt, ReceiptKind, Record, RecordDigest, RejectionCode, Round, Sequence, ShardHeader,
    ShardId, Signature, SignedTransaction, SignedVertex, StateKey, StateRoot, Timestamp, Transaction,
    TransactionId, Vertex, VertexHead, VertexId, VertexRef, Vote,
    action::{Asset, BankAction, Bytes, KvOperation, TokenAction},
    commit::Certified,
    decode, encode,
    hash::Root,
    leaves::{Account, Holding, InWords, Savings, Token, Value},
    log_entry::CheckpointPiece,
    merkle::Path,
    message::{CertifiedVertex, CommitWithVertices, Kind, Offer, StatePiece, Status},
    mmr,
    proof::{Applied, Claim, Later, SignedAttestation, Wanted},
    record::{Pair, Tally},
    snapshot::{Published, SnapshotAnswer, SnapshotOffer, SnapshotPiece, SnapshotRequest, SyncEntry},
    status::{Answer, BeaconStatus, DagVertex, DagView, Level, Progress, Query, Unproven, WorkerStatus},
};
use proptest::prelude::*;

fn transaction() -> SignedTransaction {
    let transaction = Transaction {
        chain: ChainId([1; 32]),
        sender: PublicKey([2; 32]),
        nonce: Nonce(3),
        fee: Amount(4),
        valid_until: Timestamp(5),
        action: Action::Transfer { recipient: Address([6; 32]), amount: Amount(7) },
    };
    SignedTransaction { transaction, signature: Signature([8; 64]) }
}

/// One of every action.
fn actions() -> Vec<Action> {
    let (owner, recipient, amount) = (Some(Address([1; 32])), Address([2; 32]), Amount(3));
    let (name, token) = (|| Bytes(vec![4, 5]), Address([6; 32]));
    let put = |shared| KvOperation::Put { owner, name: name(), value: Bytes(vec![7; 9]), shared };
    vec![
        Action::Transfer { recipient, amount },
        Action::Kv(vec![
            KvOperation::Read { owner: None, name: name() },
            put(true),
            put(false),
            KvOperation::Add { owner, name: name(), amount: 8 },
        ]),
        Action::Bank(BankAction::Balance { customer: recipient }),
        Action::Bank(BankAction::DepositChecking { customer: recipient, amount }),
        Action::Bank(BankAction::TransactSavings { amount, withdraw: true }),
        Action::Bank(BankAction::Amalgamate { recipient }),
        Action::Bank(BankAction::WriteCheck { recipient, amount }),
        Action::Bank(BankAction::SendPayment { recipient, amount }),
        Action::Token(TokenAction::Create { cap: 10, open: true }),
        Action::Token(TokenAction::Mint { token, amount: 11 }),
        Action::Token(TokenAction::Transfer { token, recipient, amount: 12 }),
    ]
}

fn reference() -> VertexRef {
    VertexRef { round: Round(1), author: AuthorityIndex(2), id: VertexId([3; 32]) }
}

fn vertex() -> SignedVertex {
    let head = VertexHead {
        chain: ChainId([1; 32]),
        epoch: Epoch(0),
        round: Round(2),
        author: AuthorityIndex(1),
        time: Timestamp(9),
        parents: vec![reference()],
        weak: vec![],
        commit_vote: CommitVote { index: CommitIndex(64), digest: CommitDigest([5; 32]) },
        payload_root: Root::default(),
        attestation_root: Root::default(),
    };
    let header = ShardHeader {
        shard: ShardId(1),
        author: AuthorityIndex(1),
        batches: vec![batch()],
        attestations: vec![attestation()],
        held: vec![BlockIndex(1), BlockIndex(2)],
    };
    SignedVertex { vertex: Vertex::new(head, vec![header]), signature: Signature([9; 64]) }
}

fn batch() -> BatchRef {
    BatchRef { id: BatchId([4; 32]), count: 5, bytes: 6 }
}

fn attestation() -> Attestation {
    Attestation { shard: ShardId(1), block: BlockIndex(2), record: RecordDigest([3; 32]) }
}

fn vote() -> Vote {
    Vote { vertex: reference(), voter: AuthorityIndex(3), stored: true, signature: Signature([4; 64]) }
}

fn certificate() -> Certificate {
    Certificate {
        vertex: reference(),
        signers: AuthoritySet::first(2),
        stored: AuthoritySet::first(1),
        signatures: vec![Signature([1; 64]), Signature([2; 64])],
    }
}

fn commit() -> Commit {
    Commit {
        index: CommitIndex(1),
        previous: CommitDigest([0; 32]),
        anchor: reference(),
        time: Timestamp(10),
        floor: Round(0),
        vertices: vec![reference()],
        state: Root([7; 32]),
    }
}

fn certified() -> Certified {
    Certified { block: BlockIndex(1), record: RecordDigest([2; 32]) }
}

fn order() -> Order {
    let close = Close {
        block: BlockIndex(1),
        time: Timestamp(2),
        opened: Timestamp(1),
        log: LogDigest([3; 32]),
        certified: vec![certified()],
        usable: vec![BlockIndex(0)],
    };
    Order {
        shard: ShardId(0),
        commit: CommitIndex(1),
        time: Timestamp(2),
        floor: Round(0),
        events: vec![
            OrderEvent::Batch(OrderedBatch { author: AuthorityIndex(1), batch: batch() }),
            OrderEvent::Void(BatchId([1; 32])),
            OrderEvent::Close(close),
        ],
        certified: vec![certified()],
        lag: 1,
    }
}

fn record() -> Record {
    let tally = Tally { count: 1, value: 2 };
    Record {
        epoch: Epoch(0),
        shard: ShardId(1),
        block: BlockIndex(2),
        log: LogDigest([3; 32]),
        position: 4,
        earlier: Root([5; 32]),
        state: StateRoot([6; 32]),
        outbox: Root([7; 32]),
        results: Root([8; 32]),
        supply: Amount(9),
        burned: Amount(10),
        pairs: vec![Pair { sent: tally, consumed: tally, bounced: tally, returned: tally }; 2],
    }
}

fn bundle() -> Bundle {
    let receipt = |kind| Receipt { sequence: Sequence(1), transaction: TransactionId([2; 32]), kind };
    Bundle {
        destination: ShardId(0),
        record: record(),
        receipts: vec![
            receipt(ReceiptKind::Request {
                sender: Address([1; 32]),
                recipient: Address([2; 32]),
                amount: Amount(3),
                asset: Asset::Native,
            }),
            receipt(ReceiptKind::Bounce {
                recipient: Address([1; 32]),
                amount: Amount(3),
                asset: Asset::Token(Address([5; 32])),
                code: FailureCode::WindowFull,
            }),
        ],
        path: Path { index: 0, count: 2, siblings: vec![[1; 32]] },
    }
}

fn signed_attestation() -> SignedAttestation {
    let path = Path { index: 0, count: 2, siblings: vec![[1; 32]] };
    SignedAttestation { head: vertex().vertex.head, path, signature: vertex().signature }
}

fn proof(claim: Claim) -> Proof {
    Proof { claim, record: record(), later: Some(later()), attested: vec![signed_attestation()] }
}

fn later() -> Later {
    let path = mmr::Path { index: 1, count: 3, siblings: vec![[2; 32]], peaks: vec![[3; 32]] };
    Later { record: record(), path }
}

fn proofs() -> Vec<(&'static str, Proof)> {
    let path = || Path { index: 0, count: 2, siblings: vec![[1; 32]] };
    let transaction = TransactionId([1; 32]);
    let applied = Applied { source: ShardId(0), sequence: Sequence(2), transaction, bounced: None };
    vec![
        ("outcome", proof(Claim::Outcome { transaction, outcome: Outcome::Success, path: path() })),
        ("applied", proof(Claim::Applied { applied, path: path() })),
        (
            "emitted",
            proof(Claim::Emitted {
                destination: ShardId(0),
                receipt: bundle().receipts[0],
                path: path(),
                slice: path(),
            }),
        ),
    ]
}

fn published() -> Published {
    Published { record: record(), chunks: vec![1, 2, 3], parts: 4 }
}

fn messages() -> Vec<Message> {
    let progress = Progress {
        transaction: TransactionId([1; 32]),
        level: Level::Executed,
        outcome: Some(Outcome::Failed(FailureCode::InsufficientBalance)),
        block: BlockIndex(3),
        bounced: false,
    };
    let worker = WorkerStatus {
        shard: ShardId(1),
        commit: CommitIndex(2),
        executed: BlockIndex(3),
        certified: certified(),
        pending: 4,
        in_flight: 5,
        diverged: Some(BlockIndex(6)),
    };
    let beacon = BeaconStatus {
        round: Round(1),
        commit: CommitIndex(2),
        digest: CommitDigest([3; 32]),
        floor: Round(0),
        accused: 1,
        resuming: false,
    };
    let account = Account { balance: Amount(1), nonce_base: 2, nonce_bits: 4 };
    let query = |query| Message::Query { request: 1, query };
    let answer = |answer| Message::Answer { request: 1, answer };
    vec![
        Message::Proposal(vertex()),
        Message::Votes(vec![vote()]),
        Message::Certificates(vec![certificate()]),
        Message::VertexRequest(vec![reference()]),
        Message::Vertices(vec![CertifiedVertex { vertex: vertex(), certificate: Some(certificate()) }]),
        Message::Status(Status {
            round: Round(1),
            commit: CommitIndex(2),
            held: vec![(Round(3), AuthoritySet::first(3))],
        }),
        Message::CommitRequest(CommitIndex(1)),
        Message::CommitRange(vec![CommitWithVertices { commit: commit(), vertices: vec![vertex()] }]),
        Message::Offer(Offer {
            shard: ShardId(1),
            batches: vec![batch()],
            attestations: vec![attestation()],
            held: vec![BlockIndex(1)],
            pending: true,
        }),
        Message::Stored(vec![BatchRef { id: BatchId([1; 32]), count: 2, bytes: 3 }]),
        Message::OrderRequest(CommitIndex(1)),
        Message::OrderStored(CommitIndex(1)),
        Message::Proposing(Round(1)),
        Message::Require { author: AuthorityIndex(1), batches: vec![batch()] },
        Message::Order(order()),
        Message::Batch(vec![1, 2, 3]),
        Message::BatchStored(vec![BatchId([1; 32])]),
        Message::BatchRequest(vec![BatchId([1; 32])]),
        Message::Bundle(Box::new(bundle())),
        Message::BundleRequest { source: ShardId(0), destination: ShardId(1), after: BlockIndex(2) },
        Message::Submit { request: 1, transactions: vec![transaction()] },
        Message::Submit {
            request: 2,
            transactions: actions()
                .into_iter()
                .map(|action| {
                    let mut signed = transaction();
                    signed.transaction.action = action;
                    signed
                })
                .collect(),
        },
        Message::Admission {
            request: 1,
            results: vec![None, Some(RejectionCode::Overloaded)],
            retry_after: 2,
        },
        Message::Progress(vec![progress]),
        query(Query::Account(Address([1; 32]))),
        query(Query::Transaction(TransactionId([1; 32]))),
        query(Query::Records(BlockIndex(1))),
        query(Query::Commits(CommitIndex(1))),
        query(Query::Status),
        answer(Answer::Account { block: BlockIndex(1), account: Some(account) }),
        answer(Answer::Transaction(Some(progress))),
        answer(Answer::Records(vec![record()])),
        answer(Answer::Commits(vec![(CommitIndex(1), CommitDigest([2; 32]))])),
        answer(Answer::Worker(worker)),
        answer(Answer::Beacon(beacon)),
        answer(Answer::Unsupported),
        query(Query::Follow(TransactionId([1; 32]))),
        query(Query::Proof(Wanted::State(vec![StateKey([1; 32])]))),
        query(Query::Proof(Wanted::Outcome(TransactionId([1; 32])))),
        query(Query::Proof(Wanted::Emitted(TransactionId([1; 32])))),
        query(Query::Proof(Wanted::Applied { source: ShardId(1), sequence: Sequence(2) })),
        query(Query::Proof(Wanted::Past { block: BlockIndex(1), keys: vec![StateKey([1; 32])] })),
        query(Query::Attested(attestation())),
        query(Query::Commit(CommitIndex(1))),
        query(Query::Leaf(StateKey([1; 32]))),
        answer(Answer::Leaf { block: BlockIndex(1), value: Some(vec![2]) }),
        answer(Answer::Proof(Box::new(proof(Claim::State {
            leaves: vec![(StateKey([1; 32]), Some(vec![1])), (StateKey([2; 32]), None)],
            tree: vec![1, 2],
        })))),
        answer(Answer::Attested(vec![signed_attestation()])),
        answer(Answer::Commit(Some(Box::new(commit())))),
        answer(Answer::Unproven(Unproven::Busy)),
        Message::OrderGone(CommitIndex(1)),
        Message::SnapshotRequest(SnapshotRequest::Offer),
        Message::SnapshotRequest(SnapshotRequest::Piece {
            record: RecordDigest([1; 32]),
            piece: SnapshotPiece::Part(2),
        }),
        Message::Snapshot(SnapshotAnswer::Offer(Some(Box::new(SnapshotOffer {
            published: published(),
            later: Some(later()),
        })))),
        Message::Snapshot(SnapshotAnswer::Piece {
            record: RecordDigest([1; 32]),
            piece: SnapshotPiece::Chunk(2),
            bytes: Some(vec![3, 4]),
        }),
        Message::RoundRequest(Timestamp(1)),
        Message::RoundAnswer {
            asked: Timestamp(1),
            yours: Some(Box::new(vertex().signed_head())),
            highest: Some(certificate()),
            complete: true,
        },
        Message::StateRequest { commit: CommitIndex(64), number: 1 },
        Message::State(Box::new(StatePiece {
            commit: commit(),
            voters: vec![vertex().signed_head()],
            from: CommitIndex(60),
            pieces: 2,
            number: 0,
            bytes: vec![1, 2],
        })),
        query(Query::Evidence),
        query(Query::Dag(16)),
        answer(Answer::Evidence(vec![Evidence::Votes { first: vote(), second: vote() }])),
        answer(Answer::Dag(DagView {
            authorities: 4,
            commit: CommitIndex(1),
            floor: Round(0),
            vertices: vec![DagVertex {
                vertex: reference(),
                parents: vec![AuthorityIndex(1)],
                weak: vec![reference()],
                batches: 1,
                commit: Some(CommitIndex(1)),
                anchor: true,
            }],
        })),
    ]
}

fn log_entries() -> Vec<(&'static str, LogEntry)> {
    vec![
        ("vertex", LogEntry::Vertex(vertex())),
        ("vote", LogEntry::Vote(vote())),
        ("certificate", LogEntry::Certificate(certificate())),
        ("commit", LogEntry::Commit(commit())),
        ("batch", LogEntry::Batch(vec![1, 2])),
        ("order", LogEntry::Order(order())),
        ("bundle", LogEntry::Bundle(bundle())),
        (
            "checkpoint",
            LogEntry::Checkpoint(CheckpointPiece {
                commit: CommitIndex(64),
                number: 1,
                last: true,
                bytes: vec![1, 2],
            }),
        ),
        ("sync begin", LogEntry::Sync(SyncEntry::Begin(CommitIndex(1)))),
        ("sync target", LogEntry::Sync(SyncEntry::Target(Box::new(published()), AuthorityIndex(2)))),
        ("sync piece", LogEntry::Sync(SyncEntry::Piece(SnapshotPiece::Chunk(1), vec![2, 3]))),
        (
            "evidence",
            LogEntry::Evidence(Box::new(Evidence::Vertices {
                first: vertex().signed_head(),
                second: vertex().signed_head(),
            })),
        ),
        ("resumed", LogEntry::Resumed(Round(7))),
    ]
}

#[test]
fn bytes_are_as_recorded() {
    let mut lines = Vec::new();
    for (place, message) in messages().iter().enumerate() {
        let bytes = encode(message);
        assert_eq!(&decode::<Message>(&bytes).expect("own bytes"), message);
        lines.push(format!("message {place} {:?} {} {}", message.kind(), bytes.len(), blake3::hash(&bytes)));
    }
    for (name, entry) in log_entries() {
        let bytes = encode(&entry);
        assert_eq!(decode::<LogEntry>(&bytes).expect("own bytes"), entry);
        lines.push(format!("entry {name} {} {}", bytes.len(), blake3::hash(&bytes)));
    }
    for (name, proof) in proofs() {
        let bytes = proof.to_bytes();
        assert_eq!(Proof::from_bytes(&bytes), Ok(proof));
        lines.push(format!("proof {name} {} {}", bytes.len(), blake3::hash(&bytes)));
    }
    lines.push(format!("id transaction {}", transaction().transaction.id()));
    lines.push(format!("id vertex {}", vertex().vertex.head.id()));
    lines.push(format!("id record {}", record().digest()));
    lines.push(format!("id commit {}", commit().digest()));
    lines.push(format!("id batch {}", BatchId::of(b"bytes")));
    let owner = Address([1; 32]);
    for action in actions() {
        let mut signed = transaction();
        signed.transaction.action = action.clone();
        let json = serde_json::to_string(&action).expect("an action is JSON");
        assert_eq!(serde_json::from_str::<Action>(&json).expect("own JSON"), action);
        lines.push(format!("action {} {} {json}", encode(&action).len(), signed.transaction.id()));
    }
    for (name, key) in [
        ("account", Account::key(&owner)),
        ("savings", Savings::key(&owner)),
        ("token", Token::key(&owner)),
        ("holding", Holding::key(&owner, &Address([2; 32]))),
        ("value", Value::key(&owner, b"name")),
    ] {
        lines.push(format!("id {name} {key}"));
    }
    for (name, leaf) in [
        ("account", Account { balance: Amount(1), nonce_base: 2, nonce_bits: 4 }.to_leaf().to_vec()),
        ("savings", Savings { balance: Amount(1) }.to_leaf().to_vec()),
        ("token", Token { minted: 1, cap: 2, mintings: 3, open: true }.to_leaf().to_vec()),
        ("holding", Holding { balance: 1, minting: 2 }.to_leaf().to_vec()),
        ("value", Value { shared: true, bytes: vec![1, 2, 3] }.to_leaf()),
        ("long value", Value { shared: false, bytes: vec![1; 17] }.to_leaf()),
    ] {
        lines.push(format!("leaf {name} {}", hex::encode(leaf)));
    }
    let bytes = lines.join("\n") + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden.txt");
    if std::env::var_os("FRESNEL_RECORD").is_some() {
        std::fs::write(path, &bytes).expect("the folder is writable");
    }
    assert_eq!(bytes, std::fs::read_to_string(path).expect("recorded"));
}

#[test]
fn every_kind_of_message_is_recorded() {
    let recorded: std::collections::BTreeSet<_> = messages().iter().map(Message::kind).collect();
    assert_eq!(recorded, Kind::ALL.into_iter().collect());
}

proptest! {
    /// S3: any bytes decode to an error or to a value whose encoding is those bytes.
    #[test]
    fn mutated_bytes_never_panic_and_encodings_are_unique(
        which in 0_usize..61, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        let messages = messages();
        let mut bytes = encode(&messages[which % messages.len()]);
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        if let Ok(message) = decode::<Message>(&bytes) {
            prop_assert_eq!(encode(&message), bytes);
        }
    }
}
