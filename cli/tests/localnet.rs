//! A cluster of real processes, used as a person would: up, pay within and across shards, look, down.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

/// Stops the cluster also when the test fails.
struct Localnet {
    folder: PathBuf,
    _parent: tempfile::TempDir,
}

#[test]
fn payments_settle_within_and_across_shards_and_a_second_instance_is_refused() {
    let (localnet, up) = Localnet::up();
    assert_eq!(up["endpoints"].as_array().expect("a list").len(), 4);
    let wallet = up["address"].as_str().expect("an address");

    // One recipient in each of the two shards: the top bit of the address tells. Each authority is asked for what it
    // settled itself; another may be a block behind.
    for (recipient, authority, nonce) in [("00".repeat(32), "0", "0"), ("ff".repeat(32), "1", "1")] {
        let settled = json(&localnet.transfer(authority, nonce, &recipient, "5", &["--proof"]));
        assert!(settled["attested_by"].as_array().expect("a list").len() >= 3, "a quorum: {settled}");
        assert_eq!(settled["progress"]["level"], "settled", "{settled}");
        assert_eq!(settled["progress"]["outcome"], "success", "{settled}");
        // Settled means certified; the asked authority's own worker of that shard may still be executing.
        let arrived = || localnet.account(authority, &recipient)["balance"] == "5";
        assert!((0..100).any(|_| arrived() || pause()), "{recipient} was paid");
    }
    let account = localnet.account("1", wallet);
    assert_eq!(account["balance"], (1_000_000_000 - 2 * (5 + 2)).to_string());
    assert_eq!(account["nonce"], 2);

    let proof = ["account", wallet, "--authority", "1", "--proof", "--json"];
    let proven = json(&localnet.fresnel(&proof));
    assert_eq!((&proven["balance"], &proven["nonce"]), (&account["balance"], &account["nonce"]), "{proven}");
    assert!(proven["attested_by"].as_array().expect("a list").len() >= 3, "a quorum: {proven}");
    localnet.proofs(&up, wallet);
    localnet.rpc(&up);
    localnet.programs(wallet);

    // The programs used the nonces 2 to 8.
    let too_much =
        localnet.transfer("2", "9", &"11".repeat(32), "1000000000", &["--proof", "--wait", "final"]);
    assert_eq!(too_much.status.code(), Some(1), "{too_much:?}");
    assert_eq!(json_of(&too_much)["progress"]["outcome"]["failed"], "insufficient_balance");
    assert!(json_of(&too_much)["attested_by"].as_array().is_some_and(|by| by.len() >= 3), "{too_much:?}");
    let again = localnet.transfer("2", "9", &"11".repeat(32), "1", &[]);
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    assert!(String::from_utf8_lossy(&again.stderr).contains("rejected: nonce"), "{again:?}");

    let status = json(&localnet.fresnel(&["status", "--json"]));
    assert_eq!(status.as_array().expect("a list").len(), 12, "{status}");

    let config = localnet.folder.join("authority-0/config.toml");
    let second = localnet.fresnel(&["node", "run", "--config", config.to_str().expect("UTF-8")]);
    assert_eq!(second.status.code(), Some(4), "{second:?}");

    let data = localnet.folder.join("authority-0/data");
    let data = data.to_str().expect("UTF-8");
    let in_use = localnet.fresnel(&["replay", data]);
    assert_eq!(in_use.status.code(), Some(4), "{in_use:?}");
    let down = localnet.fresnel(&["localnet", "down", "--dir", localnet.dir()]);
    assert!(down.status.success(), "the cluster stops in order: {down:?}");
    let replayed = json(&localnet.fresnel(&["replay", data, "--json"]));
    let workers = replayed.as_array().expect("a list");
    assert_eq!(workers.len(), 2, "{replayed}");
    let sum = |field: &str| workers.iter().filter_map(|worker| worker[field].as_u64()).sum::<u64>();
    // The wallet's thirteen; the shard that was paid executed its receipts without one.
    assert_eq!(sum("transactions"), 13, "{replayed}");
    assert!(sum("records") >= 4 && sum("compared") >= 1, "{replayed}");
    assert!(workers.iter().all(|worker| worker["difference"].is_null()), "{replayed}");
}

impl Localnet {
    /// A payment of the wallet by way of JSON-RPC, with nothing but HTTP and a signed transfer.
    fn rpc(&self, up: &Value) {
        let key = self.folder.join("wallet.key");
        let to = "22".repeat(32);
        let sign =
            ["transfer", "--key", key.to_str().expect("UTF-8"), "--to", &to, "--amount", "3", "--sign-only"];
        let signed = json(&self.fresnel(&[&sign[..], &["--nonce", "40", "--json"]].concat()));
        let call = |method, params| call(up, method, params);
        assert_eq!(call("chain_info", Value::Null)["chain"], up["chain"]);
        let submitted = call("tx_submit", serde_json::json!({ "transaction": signed["bytes"] }));
        assert_eq!(submitted["transaction"], signed["transaction"]);
        let wait = serde_json::json!({ "transaction": signed["transaction"], "level": "settled" });
        assert_eq!(call("tx_wait", wait)["outcome"], "success");
        let account = call("account_get", serde_json::json!({ "address": to, "level": "final" }));
        assert_eq!(account["account"]["balance"], "3", "{account}");
    }

    /// Seven transactions of the other programs, and what they leave.
    fn programs(&self, wallet: &str) {
        let key = self.folder.join("wallet.key");
        let key = key.to_str().expect("UTF-8");
        let submit = |what: &[&str]| {
            let how = ["--key", key, "--wait", "settled", "--json"];
            let told = json(&self.fresnel(&[&["submit"], what, &how].concat()));
            assert_eq!(told["progress"]["outcome"], "success", "{what:?}: {told}");
        };
        let read = |what: &[&str]| json(&self.fresnel(&[&["read"], what, &["--json"]].concat()));
        let long = "x".repeat(200);
        submit(&["kv", "put", "greeting", "hello", "--shared"]);
        submit(&["kv", "put", "hex:00ff", &long]);
        let greeting = read(&["value", wallet, "greeting", "--proof"]);
        assert_eq!(
            (&greeting["found"]["text"], &greeting["found"]["shared"]),
            (&"hello".into(), &true.into())
        );
        assert!(greeting["attested_by"].as_array().expect("a list").len() >= 3, "a quorum: {greeting}");
        assert_eq!(read(&["value", wallet, "hex:00ff", "--proof"])["found"]["text"], *long);
        assert!(read(&["value", wallet, "nothing", "--proof"])["found"].is_null());

        let file = self.folder.join("savings.proof");
        let kept = format!("--proof={}", file.to_str().expect("UTF-8"));
        submit(&["bank", "save", "500", &kept]);
        let genesis = self.folder.join("genesis.bin");
        let genesis = genesis.to_str().expect("UTF-8");
        let verified = self.fresnel(&["verify-proof", &kept["--proof=".len()..], "--genesis", genesis]);
        assert!(verified.status.success(), "{verified:?}");
        assert_eq!(read(&["savings", wallet])["found"]["balance"], "500");

        submit(&["token", "create", "--cap", "100"]);
        submit(&["token", "mint", "--token", wallet, "--amount", "60"]);
        // One of the two lives in the other shard.
        for recipient in ["00".repeat(32), "ff".repeat(32)] {
            submit(&["token", "transfer", "--token", wallet, "--to", &recipient, "--amount", "7"]);
            let arrived = || read(&["holding", &recipient, wallet])["found"]["balance"] == "7";
            assert!((0..100).any(|_| arrived() || pause()), "{recipient} has tokens");
        }
        let token = read(&["token", wallet, "--proof"]);
        assert_eq!((&token["found"]["minted"], &token["found"]["mintings"]), (&"60".into(), &1.into()));
        assert_eq!(read(&["holding", wallet, wallet])["found"]["balance"], "46");
    }

    /// What happened so far, proven to whoever has the genesis alone.
    fn proofs(&self, up: &Value, wallet: &str) {
        let file = self.folder.join("proof");
        let file = file.to_str().expect("a path in UTF-8");
        let verify = |more: &[&str]| {
            let genesis = self.folder.join("genesis.bin");
            Command::new(env!("CARGO_BIN_EXE_fresnel"))
                .args(["verify-proof", file, "--json", "--genesis"])
                .arg(genesis)
                .args(more)
                .env_clear()
                .output()
                .expect("the binary was built")
        };
        let nobody = format!("{}00", &wallet[..62]);
        let prove = ["prove", "account", wallet, &nobody, "--authority", "1", "--json", "--out", file];
        let proven = json(&self.fresnel(&prove));
        let told = json(&verify(&[]));
        assert_eq!(told, proven);
        let leaves = told["claim"]["state"].as_array().expect("a list");
        let there = |leaf: &Value| leaf["exists"] == true;
        assert_eq!(leaves.iter().filter(|leaf| there(leaf)).count(), 1, "{told}");

        let mut bytes = std::fs::read(file).expect("it was written");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(file, bytes).expect("own folder");
        assert_eq!(verify(&[]).status.code(), Some(3));

        // A payment from shard to shard is proven by the recipient's.
        let key = self.folder.join("wallet.key");
        let key = key.to_str().expect("a path in UTF-8");
        for (recipient, nonce) in [("00".repeat(32), "10"), ("ff".repeat(32), "11")] {
            let what = ["transfer", "--key", key, "--to", &recipient, "--amount", "1", "--nonce", nonce];
            let signed = json(&self.fresnel(&[&what[..], &["--sign-only", "--json"]].concat()));
            let payment = signed["bytes"].as_str().expect("hex");
            let submitted = call(up, "tx_submit", serde_json::json!({ "transaction": payment }));
            let id = submitted["transaction"].as_str().expect("an id");
            let shard = submitted["shard"].to_string();
            call(up, "tx_wait", serde_json::json!({ "transaction": id, "level": "settled" }));
            let prove = ["prove", "transaction", id, "--shard", &shard, "--of", "applied", "--out", file];
            let proven = self.fresnel(&prove);
            assert!(proven.status.success(), "{proven:?}");
            let told = verify(&["--payment", payment]);
            assert!(told.status.success(), "{told:?}");
            json(&self.fresnel(&["prove", "account", wallet, "--out", file, "--json"]));
            assert_eq!(verify(&["--payment", payment]).status.code(), Some(3), "an account is no payment");
        }
    }

    fn up() -> (Self, Value) {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let localnet = Self { folder: parent.path().join("net"), _parent: parent };
        let up = localnet.fresnel(&["localnet", "up", "--dir", localnet.dir(), "--json"]);
        (localnet, json(&up))
    }

    fn dir(&self) -> &str {
        self.folder.to_str().expect("a path in UTF-8")
    }

    fn account(&self, authority: &str, address: &str) -> Value {
        json(&self.fresnel(&["account", address, "--authority", authority, "--json"]))
    }

    fn transfer(&self, authority: &str, nonce: &str, to: &str, amount: &str, more: &[&str]) -> Output {
        let key = self.folder.join("wallet.key");
        let key = key.to_str().expect("a path in UTF-8");
        let what = ["transfer", "--key", key, "--to", to, "--amount", amount, "--fee", "2", "--nonce", nonce];
        self.fresnel(&[&what[..], &["--authority", authority, "--json"], more].concat())
    }

    fn fresnel(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_fresnel"))
            .args(arguments)
            .env("FRESNEL_GENESIS", self.folder.join("genesis.bin"))
            .env("FRESNEL_TOPOLOGY", self.folder.join("topology.toml"))
            .current_dir(self.folder.parent().unwrap_or(Path::new("/")))
            .output()
            .expect("the binary was built")
    }
}

impl Drop for Localnet {
    fn drop(&mut self) {
        // Where the test came to its end, nothing runs any more and this finds nothing.
        self.fresnel(&["localnet", "down", "--dir", self.dir()]);
    }
}

/// What a process answers to a JSON-RPC call.
fn call(up: &Value, method: &str, params: Value) -> Value {
    let address = up["endpoints"][2]["rpc"].as_str().expect("an address");
    let call = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let answer = post(address, &call.to_string());
    assert!(answer["error"].is_null(), "{method}: {answer}");
    answer["result"].clone()
}

/// The answer to a POST of JSON.
fn post(address: &str, body: &str) -> Value {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let length = body.len();
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .expect("loopback");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    serde_json::from_str(body).expect("JSON")
}

/// Waits a little; false, so that it stands behind a condition not yet met.
fn pause() -> bool {
    std::thread::sleep(std::time::Duration::from_millis(50));
    false
}

#[track_caller]
fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    json_of(output)
}

#[track_caller]
fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}
