//! The operator's listener, asked over a socket.

use fresnel_types::{
    BlockIndex, CommitDigest,
    status::{BeaconStatus, WorkerStatus},
};

use super::*;
use crate::{Config, Node, keys};

/// How the worker of a [`Reporter`] process is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Well,
    Diverged,
    Silent,
}

/// Only says where it is. Workers have a mood.
struct Reporter {
    own: Party,
    mood: Arc<Mutex<Mood>>,
}

impl Machine for Reporter {
    fn handle(&mut self, _now: Timestamp, input: Input, effects: &mut Vec<Effect>) {
        let Input::Message { from, message } = input else { return };
        let Message::Query { request, query: Query::Status } = *message else { return };
        let mood = *self.mood.lock().expect("no test panics with it");
        let answer = match self.own {
            Party::Worker(_, shard) if mood != Mood::Silent => Answer::Worker(WorkerStatus {
                shard,
                commit: CommitIndex(8),
                executed: BlockIndex(7),
                certified: Default::default(),
                pending: 5,
                in_flight: 4,
                diverged: (mood == Mood::Diverged).then_some(BlockIndex(7)),
            }),
            Party::Beacon(_) => Answer::Beacon(BeaconStatus {
                accused: 2,
                resuming: false,
                round: Round(30),
                commit: CommitIndex(9),
                digest: CommitDigest::default(),
                floor: Round(3),
            }),
            _ => return,
        };
        effects.push(Effect::Send { to: vec![from], message: Message::Answer { request, answer } });
    }

    fn deadline(&self) -> Option<Timestamp> {
        None
    }
}

fn start(cluster: &Cluster, address: &str, mood: &Arc<Mutex<Mood>>) -> Result<Running, NodeError> {
    start_with(&Setup { admin_address: Some(address.to_owned()), ..cluster.setup(0) }, mood)
}

fn start_with(setup: &Setup, mood: &Arc<Mutex<Mood>>) -> Result<Running, NodeError> {
    Running::start(setup, |role, _, _, _| {
        let own = roles::party(setup.authority, role).expect("a machine");
        Ok(Box::new(Reporter { own, mood: Arc::clone(mood) }))
    })
}

/// Status code and body.
async fn fetch(endpoints: Endpoints, path: &str) -> (u16, String) {
    request(endpoints, &format!("GET {path}"), "").await
}

async fn put(endpoints: Endpoints, path: &str, body: &str) -> (u16, String) {
    request(endpoints, &format!("PUT {path}"), body).await
}

async fn request(endpoints: Endpoints, what: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(endpoints.admin.expect("configured")).await.expect("it listens");
    let length = body.len();
    let request = format!(
        "{what} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.expect("loopback");
    let mut response = String::new();
    stream.read_to_string(&mut response).await.expect("an answer");
    let (head, body) = response.split_once("\r\n\r\n").expect("a head and a body");
    (head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status code"), body.to_owned())
}

/// Every sample of an exposition, by name and labels.
fn samples(exposition: &str) -> BTreeMap<&str, f64> {
    let lines = exposition.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').expect("a sample and its value"))
        .map(|(sample, value)| (sample, value.parse().expect("a number")))
        .collect()
}

#[test]
fn readiness_follows_the_machines() {
    let cluster = Cluster::new(1, &[&[&["beacon", "worker-0"]]]);
    let mood = Arc::new(Mutex::new(Mood::Well));
    let mut running = start(&cluster, "127.0.0.1:0", &mood).expect("a free process");
    let endpoints = running.endpoints();
    let ask = |path| running.runtime().block_on(fetch(endpoints, path));
    for (now, code, body) in [
        (Mood::Well, 200, r#"{"ready":true,"reasons":[]}"#),
        (
            Mood::Diverged,
            503,
            r#"{"ready":false,"reasons":[{"reason":"diverged","machine":"worker-0","block":7}]}"#,
        ),
        (Mood::Silent, 503, r#"{"ready":false,"reasons":[{"reason":"silent","machine":"worker-0"}]}"#),
        (Mood::Well, 200, r#"{"ready":true,"reasons":[]}"#),
    ] {
        *mood.lock().expect("no test panics with it") = now;
        assert_eq!(ask("/readyz"), (code, body.to_owned()));
        assert_eq!(ask("/livez"), (200, "up\n".to_owned()), "alive whatever the machines do");
    }
    assert_eq!(ask("/other").0, 404);
    running.stop().expect("nothing failed");
}

#[test]
fn metrics_hold_what_machines_and_process_say() {
    let cluster = Cluster::new(1, &[&[&["beacon", "worker-0"]]]);
    let mood = Arc::new(Mutex::new(Mood::Well));
    let mut running = start(&cluster, "127.0.0.1:0", &mood).expect("a free process");
    let endpoints = running.endpoints();
    let ask = || running.runtime().block_on(fetch(endpoints, "/metrics"));
    let (code, text) = ask();
    let found = samples(&text);
    assert_eq!(code, 200, "{text}");
    for (sample, value) in [
        (r#"fresnel_machine_answers{machine="beacon"}"#, 1.0),
        (r#"fresnel_machine_commit{machine="beacon"}"#, 9.0),
        (r#"fresnel_beacon_round{machine="beacon"}"#, 30.0),
        (r#"fresnel_beacon_floor_round{machine="beacon"}"#, 3.0),
        (r#"fresnel_machine_commit{machine="worker-0"}"#, 8.0),
        (r#"fresnel_worker_executed_block{machine="worker-0"}"#, 7.0),
        (r#"fresnel_worker_pending_transactions{machine="worker-0"}"#, 5.0),
        (r#"fresnel_worker_in_flight_receipts{machine="worker-0"}"#, 4.0),
        (r#"fresnel_worker_diverged{machine="worker-0"}"#, 0.0),
        (concat!("fresnel_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1.0),
        ("fresnel_clients_total", 0.0),
    ] {
        assert_eq!(found.get(sample), Some(&value), "{sample} in {text}");
    }
    assert!(found["fresnel_memory_resident_bytes"] > 1e6, "{text}");
    assert!(found["fresnel_inputs_total"] >= 2.0, "{text}");
    assert!(found.contains_key(r#"fresnel_thread_cpu_seconds{thread="worker-0"}"#), "{text}");
    assert!(found.keys().all(|sample| sample.starts_with("fresnel_")), "{text}");

    *mood.lock().expect("no test panics with it") = Mood::Silent;
    let (_, text) = ask();
    let found = samples(&text);
    assert_eq!(found[r#"fresnel_machine_answers{machine="worker-0"}"#], 0.0, "{text}");
    assert!(!found.contains_key(r#"fresnel_machine_commit{machine="worker-0"}"#), "nothing stale: {text}");
    running.stop().expect("nothing failed");
}

#[test]
fn the_log_filter_is_seen_and_changed_while_the_process_runs() {
    let cluster = Cluster::new(1, &[&[&["beacon", "worker-0"]]]);
    let set = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&set);
    let filter = LogFilter::new("info".to_owned(), move |text| {
        if text.contains('=') {
            return Err("no such filter".to_owned());
        }
        log.lock().expect("no test panics with it").push(text.to_owned());
        Ok(())
    });
    let setup = Setup {
        admin_address: Some("127.0.0.1:0".to_owned()),
        log_filter: Some(Arc::new(filter)),
        ..cluster.setup(0)
    };
    let mood = Arc::new(Mutex::new(Mood::Well));
    let mut running = start_with(&setup, &mood).expect("a free process");
    let endpoints = running.endpoints();
    running.runtime().block_on(async {
        assert_eq!(fetch(endpoints, "/log").await, (200, "info\n".to_owned()));
        assert_eq!(put(endpoints, "/log", "debug\n").await, (200, "debug\n".to_owned()));
        assert_eq!(put(endpoints, "/log", "a=b").await, (400, "no such filter\n".to_owned()));
        assert_eq!(fetch(endpoints, "/log").await, (200, "debug\n".to_owned()));
        assert_eq!(put(endpoints, "/log", &"x".repeat(10_000)).await.0, 413);
    });
    assert_eq!(*set.lock().expect("no test panics with it"), ["debug"]);
    running.stop().expect("nothing failed");

    let mut running = start(&cluster, "127.0.0.1:0", &mood).expect("a free process");
    let endpoints = running.endpoints();
    assert_eq!(running.runtime().block_on(put(endpoints, "/log", "debug")).0, 404);
    running.stop().expect("nothing failed");
}

#[test]
fn an_address_that_others_could_reach_is_refused() {
    let cluster = Cluster::new(1, &[&[&["beacon", "worker-0"]]]);
    let mood = Arc::new(Mutex::new(Mood::Well));
    let error = start(&cluster, "0.0.0.0:0", &mood).expect_err("not loopback");
    assert!(matches!(error, NodeError::AdminExposed(_)), "{error}");
}

#[test]
fn a_chain_of_one_authority_becomes_ready() {
    let cluster = Cluster::new(1, &[&[&["beacon", "worker-0"]]]);
    let file = |name: &str| cluster.folder.path().join(name);
    fs::write(file("genesis.bin"), cluster.genesis.to_bytes()).expect("own folder");
    fs::write(file("topology.toml"), cluster.topology.to_toml()).expect("own folder");
    keys::store(&file("network.key"), &cluster.keys[0]).expect("own folder");
    keys::store(&file("consensus.key"), &seed(0, 15)).expect("own folder");
    fs::write(
        file("node.toml"),
        "genesis = \"genesis.bin\"\ntopology = \"topology.toml\"\ndata = \"data\"\nconsensus_key = \"consensus.key\"\n\
         network_key = \"network.key\"\nauthority = 0\nroles = [\"beacon\", \"worker-0\"]\n\
         admin_address = \"127.0.0.1:0\"\n",
    )
    .expect("own folder");
    let node =
        Node::start(&Config::load(&file("node.toml")).expect("own file"), None).expect("a free process");
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let commits = || {
        let (_, text) = runtime.block_on(fetch(node.endpoints(), "/metrics"));
        samples(&text).get(r#"fresnel_machine_commit{machine="beacon"}"#).copied()
    };
    assert!(eventually(|| commits().is_some_and(|commit| commit > 0.0)), "it commits alone");
    assert_eq!(
        runtime.block_on(fetch(node.endpoints(), "/readyz")),
        (200, r#"{"ready":true,"reasons":[]}"#.to_owned())
    );
    node.shutdown().expect("nothing failed");
}
