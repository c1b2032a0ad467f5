//! A whole benchmark against a toy: one authority whose process is this test's own program, started with the arguments
//! that a real cluster's processes get. The toy executes what is submitted at once, keeps it in a file, and executes the
//! file again when it is restarted. It has no consensus and checks nothing; what is tested is everything around it:
//! files, processes, faults, load, audit, report.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use fresnel_loadgen::{BenchOptions, Layout, Report, Verdict, bench};
use fresnel_types::{
    Action, Address, Amount, BlockIndex, CommitDigest, CommitIndex, Epoch, Genesis, LogDigest, Message,
    Outcome, Record, RejectionCode, Round, ShardId, SignedTransaction, StateRoot, TransactionId, codec,
    commit::Certified,
    frame::{HEADER_BYTES, Header, Hello, Role, hello_frame, message_frame},
    hash::Root,
    message::Plane,
    record::Pair,
    status::{Answer, BeaconStatus, Level, Progress, Query, WorkerStatus},
};
use tokio::signal::unix::{SignalKind, signal};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["node", "run", "--config", config] => serve(Path::new(config)),
        // Test runners ask for a list first.
        _ if words.contains(&"--list") => {
            if !words.contains(&"--ignored") {
                println!("a_toy_cluster_is_measured: test");
            }
        }
        _ => a_toy_cluster_is_measured(),
    }
}

fn a_toy_cluster_is_measured() {
    let report = measured(&[]);
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.reasons);
    assert_eq!((report.load.submitted, report.load.admitted), (1_000, 1_000));
    assert_eq!((report.load.resubmitted, report.load.orphaned), (0, 0));
    assert!((report.throughput.settled_tps - 2_000.0).abs() < 1.0, "{:?}", report.throughput);
    assert!(report.latency_ms.settled.p50 > 0.0 && report.latency_ms.settled_cross_shard.max > 0.0);
    assert_eq!(report.timeline.iter().map(|second| second.settled).sum::<u64>(), 1_000);
    assert!(report.cpu.by_stage["execute"] > 0.0 && report.memory.rss_mb_max["authority-0"] > 0.0);

    let report = measured(&["kill:all@100ms", "restart:0@300ms"]);
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.reasons);
    assert!(report.load.late_sends > 100, "nobody was there for 200 ms: {:?}", report.load);
    assert!(report.latency_ms.settled.max > 150.0, "and latency counts from the intended instant");

    // What a process forgets after it was reported is lost.
    let report = measured(&["kill:0@400ms", "restart:0@450ms", "forget"]);
    assert_eq!(report.verdict, Verdict::Lost, "{:?}", report.reasons);
    println!("a whole benchmark against a toy: ok");
}

/// Runs half a second of load on one authority with two shards.
fn measured(faults: &[&str]) -> Report {
    let folder = tempfile::tempdir().expect("a temporary folder");
    if faults.contains(&"forget") {
        fs::write(folder.path().join(FORGET), "").expect("own folder");
    }
    let options = BenchOptions {
        binary: std::env::current_exe().expect("this program"),
        out: folder.path().to_owned(),
        authorities: 1,
        shards: 2,
        layout: Layout::Node,
        rate: 2_000,
        duration: Duration::from_millis(500),
        cross_shard: 0.25,
        accounts: 200,
        faults: faults.iter().filter_map(|fault| fault.parse().ok()).collect(),
        ..BenchOptions::default()
    };
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let report = runtime.block_on(bench(options, |_| {})).expect("the toy runs");
    let stored = fs::read(folder.path().join("report.json")).expect("written");
    assert_eq!(serde_json::from_slice::<Report>(&stored).expect("a report"), report);
    assert_eq!(folder.path().join("cluster").exists(), report.verdict != Verdict::Pass);
    report
}

/// What the toy's process reads of its configuration.
struct Toy {
    genesis: Genesis,
    shards: Vec<Books>,
    outcomes: BTreeMap<TransactionId, Progress>,
    block: BlockIndex,
    journal: File,
}

/// The records of a shard.
struct Books {
    balances: BTreeMap<Address, u64>,
    records: Vec<Record>,
}

impl Toy {
    fn open(genesis: Genesis, data: &Path, forgets: bool) -> Self {
        fs::create_dir_all(data).expect("own folder");
        let path = data.join("journal");
        let known = fs::read(&path).unwrap_or_default();
        if forgets {
            let _ = fs::remove_file(&path);
        }
        let journal = OpenOptions::new().create(true).append(true).open(&path).expect("own folder");
        let shards = genesis.shards.iter().map(|shard| Books::new(&genesis, shard)).collect();
        let mut toy = Self { genesis, shards, outcomes: BTreeMap::new(), block: BlockIndex(0), journal };
        // A transaction that was cut off was never answered.
        for chunk in known.chunks_exact(fresnel_types::limits::TRANSACTION_BYTES) {
            if !forgets {
                toy.execute(&[codec::decode(chunk).expect("own bytes")]);
            }
        }
        toy
    }

    fn submit(&mut self, transactions: &[SignedTransaction]) -> Vec<Option<RejectionCode>> {
        let fresh: Vec<bool> =
            transactions.iter().map(|signed| !self.outcomes.contains_key(&signed.transaction.id())).collect();
        for (signed, _) in transactions.iter().zip(&fresh).filter(|(_, fresh)| **fresh) {
            self.journal.write_all(&codec::encode(signed)).expect("own folder");
        }
        self.execute(
            &transactions
                .iter()
                .zip(&fresh)
                .filter(|(_, fresh)| **fresh)
                .map(|(signed, _)| signed.clone())
                .collect::<Vec<_>>(),
        );
        fresh.into_iter().map(|fresh| (!fresh).then_some(RejectionCode::Duplicate)).collect()
    }

    /// Each transaction a block of its own; the destination's block comes right behind it.
    fn execute(&mut self, transactions: &[SignedTransaction]) {
        for signed in transactions {
            let transaction = &signed.transaction;
            let Action::Transfer { recipient, amount } = transaction.action else {
                panic!("the toy cluster takes transfers");
            };
            let sender = transaction.sender.address();
            let shard_of = |address: &Address| self.genesis.shards.of_prefix(address.prefix());
            let (home, away) = (shard_of(&sender), shard_of(&recipient));
            self.block = self.block.next();
            let source = &mut self.shards[home.index()];
            *source.balances.entry(sender).or_default() -= amount.0 + transaction.fee.0;
            if home == away {
                *source.balances.entry(recipient).or_default() += amount.0;
            }
            source.close(self.block, transaction.fee, |pairs| {
                if home != away {
                    pairs[away.index()].sent.add(amount);
                }
            });
            let block = self.block;
            if home != away {
                self.block = self.block.next();
                let destination = &mut self.shards[away.index()];
                *destination.balances.entry(recipient).or_default() += amount.0;
                destination.close(self.block, Amount(0), |pairs| pairs[home.index()].consumed.add(amount));
            }
            let (level, outcome) = (Level::Settled, Some(Outcome::Success));
            let id = transaction.id();
            self.outcomes.insert(id, Progress { transaction: id, level, outcome, block, bounced: false });
        }
    }

    fn answer(&self, role: Role, query: &Query) -> Answer {
        match (role, query) {
            (Role::Beacon, Query::Status) => Answer::Beacon(BeaconStatus {
                accused: 0,
                resuming: false,
                round: Round(1),
                commit: CommitIndex(1),
                digest: CommitDigest::default(),
                floor: Round(0),
            }),
            (Role::Beacon, Query::Commits(_)) => {
                Answer::Commits(vec![(CommitIndex(1), CommitDigest::default())])
            }
            (Role::Worker(shard), Query::Status) => Answer::Worker(WorkerStatus {
                shard,
                commit: CommitIndex(1),
                executed: self.block,
                certified: Certified::default(),
                pending: 0,
                in_flight: 0,
                diverged: None,
            }),
            (Role::Worker(shard), Query::Records(from)) => {
                let records = &self.shards[shard.index()].records;
                Answer::Records(
                    records.iter().filter(|record| record.block >= *from).take(100).cloned().collect(),
                )
            }
            (Role::Worker(_), Query::Transaction(id)) => Answer::Transaction(self.outcomes.get(id).copied()),
            _ => Answer::Unsupported,
        }
    }
}

impl Books {
    fn new(genesis: &Genesis, shard: ShardId) -> Self {
        let balances = genesis
            .accounts
            .iter()
            .filter(|account| genesis.shards.of_prefix(account.address.prefix()) == shard)
            .map(|account| (account.address, account.amount.0))
            .collect();
        let first = Record {
            epoch: Epoch(0),
            shard,
            block: BlockIndex(0),
            log: LogDigest::default(),
            position: 0,
            earlier: Root::default(),
            state: StateRoot::default(),
            outbox: Root::default(),
            results: Root::default(),
            supply: Amount(0),
            burned: Amount(0),
            pairs: vec![Pair::default(); genesis.shards.count()],
        };
        let mut books = Self { balances, records: vec![first] };
        books.records[0].supply = books.supply();
        books
    }

    fn supply(&self) -> Amount {
        Amount(self.balances.values().sum())
    }

    fn close(&mut self, block: BlockIndex, fee: Amount, change: impl FnOnce(&mut Vec<Pair>)) {
        let mut record = self.records.last().expect("the first is always there").clone();
        record.block = block;
        record.position += 1;
        record.supply = self.supply();
        record.burned.0 += fee.0;
        change(&mut record.pairs);
        self.records.push(record);
    }
}

/// The toy's process: reads the files of the cluster and answers clients until it is killed.
fn serve(config: &Path) {
    let folder = config.parent().expect("a file in a folder");
    let table = |path: &Path| -> toml::Table {
        fs::read_to_string(path).expect("the cluster's file").parse().expect("TOML")
    };
    let config = table(config);
    let path = |key: &str| folder.join(config[key].as_str().expect("a path"));
    let genesis = Genesis::from_bytes(&fs::read(path("genesis")).expect("a genesis")).expect("valid");
    let topology = table(&path("topology"));
    let address = topology["process"][0]["client_address"].as_str().expect("an address").to_owned();
    let data: PathBuf = path("data");
    let forgets = folder.ancestors().any(|folder| folder.join(FORGET).exists());
    let chain = genesis.chain();
    let roles: Vec<Role> = genesis.shards.iter().map(Role::Worker).chain([Role::Beacon]).collect();
    let toy = Arc::new(Mutex::new(Toy::open(genesis, &data, forgets)));
    fs::write(data.join("stats.json"), r#"{"rss_bytes_max": 5000000, "threads": {}}"#).expect("own folder");
    thread::spawn(exit_when_asked);
    let listener = TcpListener::bind(address).expect("its own port");
    for stream in listener.incoming() {
        let (stream, toy, roles) = (stream.expect("a client"), Arc::clone(&toy), roles.clone());
        let stats = data.join("stats.json");
        thread::spawn(move || {
            let hello = Hello { chain, roles, plane: Plane::Bulk };
            let _ = session(stream, &hello, &toy, &stats);
        });
    }
}

/// A process that stops in order ends with 0.
fn exit_when_asked() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("one thread");
    runtime.block_on(async {
        let mut asked = signal(SignalKind::terminate()).expect("signals");
        asked.recv().await;
    });
    std::process::exit(0);
}

fn session(mut stream: TcpStream, hello: &Hello, toy: &Mutex<Toy>, stats: &Path) -> std::io::Result<()> {
    stream.write_all(&hello_frame(hello))?;
    loop {
        let mut header = [0; HEADER_BYTES];
        stream.read_exact(&mut header)?;
        let header = Header::parse(&header).expect("a good client");
        let mut body = vec![0; header.body_bytes];
        stream.read_exact(&mut body)?;
        if header.kind.is_none() {
            continue;
        }
        let mut toy = toy.lock().expect("nobody panics");
        let replies = match header.message(&body).expect("a good client") {
            Message::Submit { request, transactions } => {
                let results = toy.submit(&transactions);
                let news = transactions.iter().map(|signed| toy.outcomes[&signed.transaction.id()]).collect();
                let used =
                    format!(r#"{{"rss_bytes_max": 5000000, "threads": {{"worker-0": {}}}}}"#, toy.block.0);
                fs::write(stats, used)?;
                vec![Message::Admission { request, results, retry_after: 0 }, Message::Progress(news)]
            }
            Message::Query { request, query } => {
                vec![Message::Answer { request, answer: toy.answer(header.to, &query) }]
            }
            other => panic!("clients do not say {:?}", other.kind()),
        };
        drop(toy);
        for reply in replies {
            stream.write_all(&message_frame(header.to, Role::Client, &reply))?;
        }
    }
}

/// A file in the folder of a run whose toy forgets everything when it is restarted.
const FORGET: &str = "forget";
