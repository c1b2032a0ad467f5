//! Every decoder that bytes of others reach. What they hold to: no bytes make them panic (S3), and bytes that are a value are
//! the only bytes of that value, so that an id computed over either is the same.

use std::{collections::BTreeMap, io, sync::LazyLock};

use fresnel_crypto::{SigningKey, Verifier};
use fresnel_log::{Disk, Log, Options};
use fresnel_types::{
    Action, Address, Amount, Authority, AuthorityIndex, Batch, BlockIndex, Bundle, Certificate, Commit,
    Genesis, LogEntry, Message, Nonce, Order, Parameters, Proof, PublicKey, Record, ShardId, Shards,
    SignedTransaction, SignedVertex, Timestamp, Transaction, Vertex, codec,
    frame::{HEADER_BYTES, Header, Hello, Role, hello_frame, message_frame},
    genesis::Allocation,
    limits::PROTOCOL_VERSION,
    message::Plane,
    rpc::{
        AccountParams, CommitParams, LeafParams, ProofParams, SubmitParams, SubscribeParams,
        TransactionParams, WaitParams,
    },
    status::{Answer, Query},
    verify::Rules,
};

/// A target: its name and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 16] = [
    ("frame", frame),
    ("hello", hello),
    ("message", canonical_message),
    ("transaction", transaction),
    ("batch", batch),
    ("vertex", vertex),
    ("certificate", certificate),
    ("record", record),
    ("bundle", bundle),
    ("order", order),
    ("commit", commit),
    ("log_entry", log_entry),
    ("log_segment", log_segment),
    ("proof", proof),
    ("genesis", genesis),
    ("json_rpc", json_rpc),
];

macro_rules! canonical {
    ($($name:ident: $type:ty),* $(,)?) => {
        $(
            /// The bytes of the type of this name, or none.
            pub fn $name(bytes: &[u8]) {
                if let Ok(value) = codec::decode::<$type>(bytes) {
                    assert_eq!(codec::encode(&value), bytes, "one encoding per value");
                }
            }
        )*
    };
}

canonical! {
    canonical_message: Message,
    transaction: SignedTransaction,
    batch: Batch,
    vertex: SignedVertex,
    certificate: Certificate,
    record: Record,
    bundle: Bundle,
    order: Order,
    commit: Commit,
    log_entry: LogEntry,
    hello: Hello,
}

/// A frame from header to verdict, as a link and a verify thread take it.
pub fn frame(bytes: &[u8]) {
    let Some((header, body)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return };
    let Ok(header) = Header::parse(header) else { return };
    if header.body_bytes != body.len() {
        return;
    }
    if let Ok(message) = header.message(body) {
        let again = message_frame(header.from, header.to, &message);
        assert_eq!(again, bytes, "one frame per message");
        // Whatever the verdict is: it is one.
        let _ = RULES.verify_one(&mut Verifier::with_seed([0; 32]), message);
    }
}

/// A file with a proof.
pub fn proof(bytes: &[u8]) {
    if let Ok(proof) = Proof::from_bytes(bytes) {
        assert_eq!(proof.to_bytes(), bytes, "one file per proof");
    }
}

/// A genesis; one that describes a chain can be used.
pub fn genesis(bytes: &[u8]) {
    if let Ok(genesis) = Genesis::from_bytes(bytes) {
        assert_eq!(genesis.to_bytes(), bytes, "one genesis per chain");
        let rules = Rules::of(&genesis);
        assert_eq!((rules.chain, rules.committee.size()), (genesis.chain(), genesis.authorities.len()));
    }
}

/// The parameters of JSON-RPC calls.
pub fn json_rpc(bytes: &[u8]) {
    fn read<T: serde::de::DeserializeOwned>(bytes: &[u8]) {
        // Whatever comes out: it is a value or an error.
        let _ = serde_json::from_slice::<T>(bytes);
    }
    read::<SubmitParams>(bytes);
    read::<AccountParams>(bytes);
    read::<ProofParams>(bytes);
    read::<TransactionParams>(bytes);
    read::<WaitParams>(bytes);
    read::<SubscribeParams>(bytes);
    read::<LeafParams>(bytes);
    read::<CommitParams>(bytes);
}

/// A log whose last segment holds these bytes: opening it fails or gives a log that can be opened again and holds the same.
pub fn log_segment(bytes: &[u8]) {
    let mut disk = Memory::default();
    let (mut log, _) = Log::open(disk.clone(), OPTIONS).expect("an empty disk");
    log.append(&LogEntry::Batch(vec![7; 3])).expect("a working disk");
    log.sync().expect("a working disk");
    disk.0.clone_from(&FILES.with(|files| files.borrow().clone()));
    let Some(file) = disk.0.values_mut().next_back() else { return };
    let taken = bytes.len().min(file.len());
    file[..taken].copy_from_slice(&bytes[..taken]);
    FILES.with(|files| files.borrow_mut().clone_from(&disk.0));
    let Ok((_, first)) = Log::open(disk, OPTIONS) else { return };
    let after = Memory(FILES.with(|files| files.borrow().clone()));
    let (_, second) = Log::open(after, OPTIONS).expect("what was opened once can be opened again");
    assert_eq!(first.entries.entries, second.entries.entries, "and holds the same");
}

/// A disk in memory. Logs own their disks, so what is written stands in [`FILES`] as well.
#[derive(Clone, Debug, Default)]
struct Memory(BTreeMap<String, Vec<u8>>);

thread_local! {
    static FILES: std::cell::RefCell<BTreeMap<String, Vec<u8>>> = const { std::cell::RefCell::new(BTreeMap::new()) };
}

impl Memory {
    fn publish(&self) {
        FILES.with(|files| files.borrow_mut().clone_from(&self.0));
    }
}

impl Disk for Memory {
    fn files(&self) -> io::Result<Vec<String>> {
        Ok(self.0.keys().cloned().collect())
    }
    fn create(&mut self, name: &str, bytes: u64) -> io::Result<()> {
        self.0.insert(name.to_owned(), vec![0; bytes as usize]);
        self.publish();
        Ok(())
    }
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.0.get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
    fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.0.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
        let place = offset as usize..offset as usize + bytes.len();
        file.get_mut(place).ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(bytes);
        self.publish();
        Ok(())
    }
    fn sync(&mut self, _name: &str) -> io::Result<()> {
        Ok(())
    }
    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.0.remove(name);
        self.publish();
        Ok(())
    }
}

const OPTIONS: Options = Options { segment_bytes: 4_096 };

/// The rules of the chain that examples are of.
static RULES: LazyLock<Rules> = LazyLock::new(|| Rules::of(&chain()));

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn chain() -> Genesis {
    let authority = |seed: u8| Authority {
        name: format!("a{seed}"),
        stake: 1,
        consensus_key: PublicKey::of(&key(seed)),
        network_keys: vec![PublicKey::of(&key(100 + seed))],
    };
    Genesis {
        protocol: PROTOCOL_VERSION,
        name: "fuzz".to_owned(),
        shards: Shards::new(2).expect("a power of two"),
        parameters: Parameters::default(),
        authorities: (1..=4).map(authority).collect(),
        accounts: vec![Allocation { address: Address([1; 32]), amount: Amount(5) }],
    }
}

/// One good input for each target at least, to begin with.
pub fn examples() -> Vec<(&'static str, Vec<u8>)> {
    let rules = &*RULES;
    let transaction = Transaction {
        chain: rules.chain,
        sender: PublicKey::of(&key(1)),
        nonce: Nonce(3),
        fee: Amount(4),
        valid_until: Timestamp(5),
        action: Action::Transfer { recipient: Address([6; 32]), amount: Amount(7) },
    };
    let signed = transaction.sign(&key(1));
    let shard = rules.shards.of_prefix(PublicKey::of(&key(1)).address().prefix());
    let batch =
        Batch { author: AuthorityIndex(1), shard, transactions: vec![signed.clone(), signed.clone()] };
    let vertex = Vertex::genesis(rules.chain, rules.epoch, AuthorityIndex(0));
    let worker = Role::Worker(shard);
    let submit = Message::Submit { request: 1, transactions: vec![signed.clone()] };
    let query = Message::Query { request: 2, query: Query::AccountFrom(Address([6; 32]), BlockIndex(3)) };
    let answer = Message::Answer { request: 2, answer: Answer::Behind(BlockIndex(2)) };
    let batch_message = Message::Batch(codec::encode(&batch));
    let hello = Hello { chain: rules.chain, roles: vec![Role::Beacon, worker], plane: Plane::Bulk };
    let order = Order {
        shard: ShardId(0),
        commit: fresnel_types::CommitIndex(1),
        time: Timestamp(2),
        floor: fresnel_types::Round(0),
        events: vec![],
        certified: vec![],
        lag: 0,
    };
    let mut examples = vec![
        ("transaction", codec::encode(&signed)),
        ("batch", codec::encode(&batch)),
        ("hello", codec::encode(&hello)),
        ("hello", hello_frame(&hello)),
        ("order", codec::encode(&order)),
        ("log_entry", codec::encode(&LogEntry::Batch(codec::encode(&batch)))),
        ("log_entry", codec::encode(&LogEntry::Order(order))),
        ("genesis", chain().to_bytes()),
        ("vertex", codec::encode(&vertex)),
        (
            "json_rpc",
            br#"{"address":"0101010101010101010101010101010101010101010101010101010101010101"}"#.to_vec(),
        ),
        ("json_rpc", br#"{"address":1}"#.to_vec()),
        ("log_segment", vec![]),
        ("log_segment", vec![0; 64]),
        ("log_segment", vec![255; 64]),
        ("proof", b"none".to_vec()),
        ("certificate", vec![0; 64]),
        ("record", vec![0; 200]),
        ("bundle", vec![0; 200]),
        ("commit", vec![0; 100]),
    ];
    for message in [submit, query, answer, batch_message] {
        examples.push(("message", codec::encode(&message)));
        examples.push(("frame", message_frame(Role::Client, worker, &message)));
    }
    examples
}
