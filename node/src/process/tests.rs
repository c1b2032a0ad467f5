//! Processes with toy machines on loopback: real links, real files, real clients.

use std::{
    fs,
    net::TcpListener as StdListener,
    sync::Mutex,
    time::{Duration, Instant},
};

use fresnel_types::{
    Action, Amount, Authority, BatchId, BatchRef, ChainId, CommitIndex, Effect, Genesis, Message, Nonce,
    RejectionCode, Round, ShardId, Shards, SignedTransaction, Transaction,
    checkpoint::Extension,
    frame::{BODY_BYTES_MAX, HEADER_BYTES, Hello, message_frame},
    message::{Plane, Status},
    status::{Answer, Query},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::{
    Stats,
    stream::{StreamError, read_frame, read_hello, write_hello},
    tls::server_name,
};

mod admin;
mod checkpoints;
mod clients;
mod peers;
mod rpc;

/// What machines heard: receiver, sender, message.
type Heard = Arc<Mutex<Vec<(Party, Input)>>>;

/// Greets everybody to whom it is connected, answers questions, and writes down what it hears.
struct Toy {
    own: Party,
    heard: Heard,
}

impl Machine for Toy {
    fn handle(&mut self, _now: Timestamp, input: Input, effects: &mut Vec<Effect>) {
        match &input {
            Input::Connected(party) => {
                effects.extend(
                    greetings(self.own, *party)
                        .into_iter()
                        .map(|message| Effect::Send { to: vec![*party], message }),
                );
            }
            Input::Message { from, message } => {
                if let Message::Query { request, .. } = **message {
                    let answer = Message::Answer { request, answer: Answer::Transaction(None) };
                    effects.push(Effect::Send { to: vec![*from], message: answer });
                }
            }
            Input::Submit { client, request, transactions } => {
                let results = transactions.iter().map(|verdict| verdict.as_ref().err().copied()).collect();
                let message = Message::Admission { request: *request, results, retry_after: 0 };
                effects.push(Effect::Send { to: vec![Party::Client(*client)], message });
            }
            Input::Tick
            | Input::Disconnected(_)
            | Input::Checkpointed(_)
            | Input::Recalled(..)
            | Input::Snapshot(_) => {}
        }
        self.heard.lock().expect("no test panics with it").push((self.own, input));
    }

    fn deadline(&self) -> Option<Timestamp> {
        None
    }
}

/// What a toy says to another: something for each plane where there is.
fn greetings(from: Party, to: Party) -> Vec<Message> {
    match (from, to) {
        (Party::Beacon(_), Party::Beacon(_)) => {
            vec![status(u64::from(from.authority().expect("a beacon").0)), Message::CommitRange(vec![])]
        }
        (Party::Beacon(_), _) => vec![Message::Proposing(Round(1))],
        (_, Party::Beacon(_)) => vec![Message::OrderRequest(CommitIndex(1))],
        _ => vec![Message::BundleRequest {
            source: ShardId(0),
            destination: ShardId(0),
            after: Default::default(),
        }],
    }
}

fn status(round: u64) -> Message {
    Message::Status(Status { round: Round(round), commit: CommitIndex(0), held: vec![] })
}

fn seed(authority: u16, process: u16) -> SigningKey {
    SigningKey::from_bytes(&[1 + authority as u8 * 16 + process as u8; 32])
}

fn beacon(authority: u16) -> Party {
    Party::Beacon(AuthorityIndex(authority))
}

fn worker(authority: u16, shard: u16) -> Party {
    Party::Worker(AuthorityIndex(authority), ShardId(shard))
}

/// A chain with a layout of processes, and a folder for what they keep.
struct Cluster {
    genesis: Genesis,
    topology: Topology,
    keys: Vec<SigningKey>,
    folder: TempDir,
    heard: Heard,
}

impl Cluster {
    /// `layout[authority][process]` are the roles of a process.
    fn new(shards: u16, layout: &[&[&[&str]]]) -> Self {
        let (mut authorities, mut processes, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        for (authority, list) in (0..).zip(layout) {
            let mut network_keys = Vec::new();
            for (process, names) in (0..).zip(*list) {
                let key = seed(authority, process);
                network_keys.push(PublicKey::of(&key));
                processes.push(Process {
                    authority: AuthorityIndex(authority),
                    roles: names.iter().map(|name| roles::parse(name).expect("a role")).collect(),
                    network_key: PublicKey::of(&key),
                    peer_address: free_address(),
                    client_address: free_address(),
                    rpc_address: None,
                });
                keys.push(key);
            }
            authorities.push(Authority {
                name: format!("a{authority}"),
                stake: 1,
                consensus_key: PublicKey::of(&seed(authority, 15)),
                network_keys,
            });
        }
        let genesis = Genesis {
            protocol: fresnel_types::limits::PROTOCOL_VERSION,
            name: "toys".to_owned(),
            shards: Shards::new(shards).expect("a power of two"),
            parameters: Default::default(),
            authorities,
            accounts: vec![],
        };
        genesis.check().expect("a valid genesis");
        let topology = Topology { processes };
        topology.check(&genesis).expect("a whole topology");
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { genesis, topology, keys, folder, heard: Heard::default() }
    }

    fn setup(&self, position: usize) -> Setup {
        let process = &self.topology.processes[position];
        Setup {
            rules: Arc::new(Rules::of(&self.genesis)),
            topology: self.topology.clone(),
            network_key: self.keys[position].clone(),
            authority: process.authority,
            roles: process.roles.clone(),
            data: self.data(position),
            admin_address: None,
            rpc: None,
            log_filter: None,
            log_retained: 0,
            verify_threads: Some(1),
        }
    }

    fn start(&self, position: usize) -> Result<Running, NodeError> {
        let process = &self.topology.processes[position];
        Running::start(&self.setup(position), |role, restored, log, _| {
            assert!(matches!(restored, Kept::Checkpoint(None)), "toys keep nothing: {restored:?}");
            assert!(log.entries.is_empty(), "toys keep nothing");
            let own = roles::party(process.authority, role).expect("a machine");
            Ok(Box::new(Toy { own, heard: Arc::clone(&self.heard) }))
        })
    }

    fn data(&self, position: usize) -> PathBuf {
        self.folder.path().join(position.to_string())
    }

    /// How often `to` heard `message` from `from`.
    fn count(&self, from: Party, to: Party, message: &Message) -> usize {
        let heard = self.heard.lock().expect("no test panics with it");
        let is = |input: &Input| matches!(input, Input::Message { from: f, message: m } if *f == from && **m == *message);
        heard.iter().filter(|(own, input)| *own == to && is(input)).count()
    }

    /// Waits until everybody heard every greeting at least `times` often.
    fn wait_for_greetings(&self, times: usize) {
        let parties: Vec<Party> = self
            .topology
            .processes
            .iter()
            .flat_map(|process| process.roles.iter().map(|role| (process.authority, *role)))
            .filter_map(|(authority, role)| roles::party(authority, role))
            .collect();
        for &from in &parties {
            for &to in parties.iter().filter(|to| are_acquainted(from, **to)) {
                for message in greetings(from, to) {
                    let said = || self.count(from, to, &message) >= times;
                    assert!(eventually(said), "{to:?} did not hear {message:?} of {from:?} {times} times");
                }
            }
        }
    }
}

/// An address that was free a moment ago.
fn free_address() -> String {
    let listener = StdListener::bind("127.0.0.1:0").expect("loopback");
    listener.local_addr().expect("bound").to_string()
}

/// Whether `holds` becomes true within seconds.
#[expect(clippy::disallowed_methods, reason = "real processes are waited for in real time")]
fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        if holds() {
            return true;
        }
        thread::sleep(Duration::from_millis(5));
    }
    false
}

#[test]
fn machines_talk_within_a_process_and_over_links_and_again_after_a_restart() {
    let cluster =
        Cluster::new(2, &[&[&["beacon", "worker-0", "worker-1"]], &[&["beacon", "worker-1"], &["worker-0"]]]);
    let mut first = cluster.start(0).expect("a free process");
    let mut second = cluster.start(1).expect("a free process");
    let mut third = cluster.start(2).expect("a free process");
    cluster.wait_for_greetings(1);

    first.stop().expect("nothing failed");
    let stats: Stats =
        serde_json::from_slice(&fs::read(cluster.data(0).join("stats.json")).expect("written at the end"))
            .expect("own file");
    assert!(stats.counters["link_frames_in"] > 0 && stats.counters["links_established"] >= 4, "{stats:?}");
    assert!(
        ["beacon", "worker-0", "verify-0", "net"].iter().all(|name| stats.threads.contains_key(*name)),
        "{stats:?}"
    );
    cluster.heard.lock().expect("no test panics with it").clear();
    let mut first = cluster.start(0).expect("the same process again");
    for message in greetings(beacon(0), beacon(1)) {
        assert!(eventually(|| cluster.count(beacon(0), beacon(1), &message) >= 1), "{message:?}");
    }
    for message in greetings(worker(1, 0), worker(0, 0)) {
        assert!(eventually(|| cluster.count(worker(1, 0), worker(0, 0), &message) >= 1), "{message:?}");
    }
    for process in [&mut first, &mut second, &mut third] {
        process.stop().expect("nothing failed");
    }
}

#[test]
fn a_second_instance_on_a_data_directory_is_refused() {
    let cluster = Cluster::new(1, &[&[&["beacon", "worker-0"]]]);
    let mut first = cluster.start(0).expect("a free process");
    let error = cluster.start(0).expect_err("the first runs");
    assert!(matches!(error, NodeError::Data(DataError::Locked(_))), "{error}");
    first.stop().expect("nothing failed");
    cluster.start(0).expect("the first has stopped").stop().expect("nothing failed");
}

#[test]
fn a_machine_that_panics_stops_the_process_with_its_name() {
    struct Bomb;
    impl Machine for Bomb {
        fn handle(&mut self, _now: Timestamp, _input: Input, _effects: &mut Vec<Effect>) {
            panic!("a broken invariant");
        }
        fn deadline(&self) -> Option<Timestamp> {
            Some(Timestamp(0))
        }
    }
    let cluster = Cluster::new(1, &[&[&["beacon", "worker-0"]]]);
    let setup = Setup { verify_threads: None, ..cluster.setup(0) };
    let mut running = Running::start(&setup, |_, _, _, _| Ok(Box::new(Bomb))).expect("a free process");
    running.runtime().block_on(running.failed());
    let error = running.stop().expect_err("a machine panicked");
    assert!(matches!(&error, NodeError::Panicked(name) if name == "beacon" || name == "worker-0"), "{error}");
}

async fn expect_closed(stream: &mut (impl AsyncRead + Unpin)) {
    let mut rest = Vec::new();
    // An error is a close, too.
    let _ = timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await.expect("closed in time");
}
