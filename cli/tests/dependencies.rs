//! The direction of dependencies, read from `cargo metadata`: who may know whom inside the workspace, and which crates
//! of others the cores must not reach by any path. A violation names the path.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    process::Command,
};

use serde_json::Value;

/// Package name to the names it depends on to run: dev and build dependencies are left out.
type Graph = BTreeMap<String, BTreeSet<String>>;

#[test]
fn workspace_keeps_its_directions() {
    let graph = workspace_graph();
    for name in ALLOWED.iter().map(|(name, _)| package(name)) {
        assert!(graph.contains_key(&name), "{name} is in the workspace");
    }
    assert_eq!(violations(&graph), Vec::<String>::new());
}

#[test]
fn checker_accepts_the_drawn_graph() {
    assert_eq!(violations(&drawn_graph()), Vec::<String>::new());
}

#[test]
fn checker_sees_siblings_that_know_one_another() {
    let mut graph = drawn_graph();
    depend(&mut graph, "fresnel-mempool", "fresnel-state");
    assert_found(&graph, "fresnel-mempool must not reach fresnel-state: fresnel-mempool -> fresnel-state");
}

#[test]
fn checker_sees_a_runtime_behind_a_core() {
    let mut graph = drawn_graph();
    depend(&mut graph, "fresnel-types", "innocent");
    depend(&mut graph, "innocent", "tokio");
    for core in CORES {
        let found = violations(&graph);
        let core = package(core);
        let reaches = core != "fresnel-crypto";
        let named =
            found.iter().any(|violation| violation.starts_with(&format!("{core} must not reach tokio")));
        assert_eq!(named, reaches, "{core}: {found:?}");
    }
    assert_found(
        &graph,
        "fresnel-shard must not reach tokio: fresnel-shard -> fresnel-types -> innocent -> tokio",
    );
}

#[test]
fn checker_sees_node_and_sim_that_know_one_another() {
    let mut graph = drawn_graph();
    depend(&mut graph, "fresnel-sim", "fresnel-node");
    assert_found(&graph, "fresnel-sim must not reach fresnel-node: fresnel-sim -> fresnel-node");
}

#[test]
fn checker_sees_a_crate_it_was_not_told_about() {
    let mut graph = drawn_graph();
    graph.insert("fresnel-utils".to_owned(), BTreeSet::new());
    assert_found(&graph, "fresnel-utils is not in the drawn graph");
}

/// All that is wrong with `graph`, each as a sentence with the path that shows it.
fn violations(graph: &Graph) -> Vec<String> {
    let mut found = Vec::new();
    for name in graph.keys().filter(|name| name.starts_with(PREFIX)) {
        let Some((core, allowed)) = ALLOWED.iter().find(|(known, _)| package(known) == **name) else {
            found.push(format!("{name} is not in the drawn graph"));
            continue;
        };
        let allowed: BTreeSet<String> = allowed.iter().map(|allowed| package(allowed)).collect();
        for (reached, path) in reachable(graph, name) {
            let own = reached.starts_with(PREFIX);
            let forbidden = !own && CORES.contains(core) && OUTSIDE_THE_CORES.contains(&reached.as_str());
            if (own && !allowed.contains(&reached)) || forbidden {
                found.push(format!("{name} must not reach {reached}: {}", path.join(" -> ")));
            }
        }
    }
    found
}

/// Everything `start` depends on, each with a shortest path to it.
fn reachable(graph: &Graph, start: &str) -> BTreeMap<String, Vec<String>> {
    let mut paths = BTreeMap::new();
    let mut queue = VecDeque::from([vec![start.to_owned()]]);
    while let Some(path) = queue.pop_front() {
        let end = path.last().expect("every path starts with `start`");
        for next in graph.get(end).into_iter().flatten() {
            if next != start && !paths.contains_key(next) {
                let mut longer = path.clone();
                longer.push(next.clone());
                paths.insert(next.clone(), longer.clone());
                queue.push_back(longer);
            }
        }
    }
    paths
}

/// What cargo would build for this machine.
fn workspace_graph() -> Graph {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(["--filter-platform", env!("FRESNEL_TARGET")])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo runs this test, so it is there");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");

    let text = |value: &Value| value.as_str().expect("metadata gives a string here").to_owned();
    let list = |value: &Value| value.as_array().expect("metadata gives a list here").clone();
    let names: BTreeMap<String, String> = list(&metadata["packages"])
        .iter()
        .map(|package| (text(&package["id"]), text(&package["name"])))
        .collect();
    let mut graph = Graph::new();
    for node in list(&metadata["resolve"]["nodes"]) {
        // Two versions of a crate share a name and so a node here, which can only add paths.
        let dependencies = graph.entry(names[&text(&node["id"])].clone()).or_default();
        for dependency in list(&node["deps"]) {
            let is_normal = list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
            if is_normal {
                dependencies.insert(names[&text(&dependency["pkg"])].clone());
            }
        }
    }
    graph
}

/// A graph with exactly the allowed edges, and a runtime where runtimes belong.
fn drawn_graph() -> Graph {
    let mut graph = Graph::new();
    for (name, allowed) in ALLOWED {
        graph.insert(package(name), allowed.iter().map(|allowed| package(allowed)).collect());
    }
    depend(&mut graph, "fresnel-node", "tokio");
    depend(&mut graph, "fresnel-client", "tokio");
    graph
}

fn depend(graph: &mut Graph, from: &str, to: &str) {
    graph.entry(from.to_owned()).or_default().insert(to.to_owned());
}

fn package(name: &str) -> String {
    format!("{PREFIX}{name}")
}

#[track_caller]
fn assert_found(graph: &Graph, expected: &str) {
    let found = violations(graph);
    assert!(found.iter().any(|violation| violation == expected), "expected {expected:?} among {found:#?}");
}

const PREFIX: &str = "fresnel-";

/// The crates without runtime, socket, clock, disk or ambient randomness.
const CORES: [&str; 8] = ["types", "crypto", "mempool", "executor", "state", "crossshard", "beacon", "shard"];

/// Whom each crate may reach, directly or not.
const ALLOWED: [(&str, &[&str]); 15] = [
    ("benches", &["crypto", "types", "executor", "state", "beacon"]),
    ("crypto", &[]),
    ("types", &["crypto"]),
    ("mempool", &["crypto", "types"]),
    ("executor", &["crypto", "types"]),
    ("state", &["crypto", "types"]),
    ("crossshard", &["crypto", "types"]),
    ("beacon", &["crypto", "types"]),
    ("shard", &["crypto", "types", "mempool", "executor", "state", "crossshard"]),
    ("log", &["crypto", "types"]),
    ("node", &["crypto", "types", "mempool", "executor", "state", "crossshard", "beacon", "shard", "log"]),
    ("sim", &["crypto", "types", "mempool", "executor", "state", "crossshard", "beacon", "shard", "log"]),
    ("client", &["crypto", "types", "state"]),
    ("loadgen", &["crypto", "types", "state", "client"]),
    (
        "cli",
        &[
            "crypto",
            "types",
            "mempool",
            "executor",
            "state",
            "crossshard",
            "beacon",
            "shard",
            "log",
            "node",
            "sim",
            "client",
            "loadgen",
        ],
    ),
];

/// Crates of others that bring a runtime, sockets, TLS, a disk format, a log sink, a wall clock or a thread's own
/// randomness. `getrandom` is not among them: crypto makes keys.
const OUTSIDE_THE_CORES: [&str; 26] = [
    "async-std",
    "chrono",
    "crossbeam-channel",
    "futures-executor",
    "hyper",
    "indicatif",
    "jsonrpsee-core",
    "jsonrpsee-server",
    "jsonrpsee-ws-client",
    "librocksdb-sys",
    "memmap2",
    "mio",
    "polling",
    "quinn",
    "rand",
    "rcgen",
    "ring",
    "rocksdb",
    "rustls",
    "smol",
    "socket2",
    "tempfile",
    "time",
    "tokio",
    "tokio-rustls",
    "tracing-subscriber",
];
