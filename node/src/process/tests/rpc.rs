//! Whole processes with their real machines, asked by JSON-RPC: the chain has one authority, which commits alone.

use fresnel_client::{Checker, Ending, RpcClient, RpcError, Wallet};
use fresnel_types::{
    Address, Outcome, Proof, TransactionId,
    action::{Action, BankAction, Bytes, KvOperation},
    genesis::Allocation,
    leaves::Savings,
    rpc::{Code, Encoded, Failure, LeafInfo, LeafName, ProvenStep, ReadLevel, TransactionInfo},
    status::{Level, Progress, WorkerStatus},
};
use serde_json::{Value, json};

use super::*;
use crate::{Config, Node, keys};

/// An authority with real machines.
struct Network {
    cluster: Cluster,
    nodes: Vec<Option<Node>>,
    client: Runtime,
}

impl Network {
    /// Two shards; `layout` has the roles of each process.
    fn start(layout: &[&[&str]]) -> Self {
        let mut cluster = Cluster::new(2, &[layout]);
        let funded = (1..=4).map(|number| wallet(number).address());
        let mut accounts: Vec<Allocation> =
            funded.map(|address| Allocation { address, amount: Amount(1_000) }).collect();
        accounts.sort_by_key(|account| account.address);
        cluster.genesis.accounts = accounts;
        for process in &mut cluster.topology.processes {
            process.rpc_address = Some(free_address());
        }
        let folder = cluster.folder.path();
        fs::write(folder.join("genesis.bin"), cluster.genesis.to_bytes()).expect("own folder");
        fs::write(folder.join("topology.toml"), cluster.topology.to_toml()).expect("own folder");
        keys::store(&folder.join("consensus.key"), &seed(0, 15)).expect("own folder");
        let mut network = Self {
            nodes: Vec::new(),
            client: runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .expect("a runtime"),
            cluster,
        };
        for (place, key) in network.cluster.keys.iter().enumerate() {
            let path = network.cluster.folder.path().join(format!("network-{place}.key"));
            keys::store(&path, key).expect("own folder");
        }
        for place in 0..layout.len() {
            let node = network.node(place);
            network.nodes.push(Some(node));
        }
        network
    }

    fn node(&self, place: usize) -> Node {
        let process = &self.cluster.topology.processes[place];
        let roles: Vec<String> = process.roles.iter().map(|role| roles::name(*role)).collect();
        let mut table = toml::toml! {
            genesis = "genesis.bin"
            topology = "topology.toml"
            consensus_key = "consensus.key"
            authority = 0
            verify_threads = 1
        };
        table.insert("data".to_owned(), place.to_string().into());
        table.insert("network_key".to_owned(), format!("network-{place}.key").into());
        table.insert("rpc_address".to_owned(), self.address(place).into());
        table.insert("roles".to_owned(), roles.into());
        let config = Config::from_table(table, self.cluster.folder.path()).expect("a configuration");
        Node::start(&config, None).expect("a free process")
    }

    fn address(&self, place: usize) -> &str {
        self.cluster.topology.processes[place].rpc_address.as_deref().expect("each has one")
    }

    async fn connect(&self, place: usize) -> RpcClient {
        RpcClient::connect(self.address(place)).await.expect("it listens")
    }

    /// A payment, signed for this chain.
    fn payment(&self, from: u8, nonce: u64, to: Address) -> SignedTransaction {
        self.signed(from, nonce, Action::Transfer { recipient: to, amount: Amount(5) })
    }

    /// Anything, signed for this chain.
    fn signed(&self, from: u8, nonce: u64, action: Action) -> SignedTransaction {
        let wallet = Wallet::new(self.cluster.genesis.chain(), SigningKey::from_bytes(&[100 + from; 32]));
        wallet.sign(Nonce(nonce), action, Amount(1), Timestamp(self.horizon()))
    }

    /// An instant some minutes ahead.
    #[expect(clippy::disallowed_methods, reason = "a wallet says until when its transaction is valid")]
    fn horizon(&self) -> u64 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        u64::try_from(now.as_micros()).expect("before the year 586,000") + 600_000_000
    }

    /// What is answered to a POST: status code and body.
    async fn post(&self, place: usize, body: &str) -> (u16, String) {
        self.http(place, "POST", "application/json", body).await
    }

    async fn http(&self, place: usize, method: &str, kind: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address(place)).await.expect("it listens");
        let length = body.len();
        let head = format!(
            "{method} / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {kind}\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("loopback");
        // Who is refused by its length alone is not read to the end.
        let _ = stream.write_all(body.as_bytes()).await;
        let mut response = Vec::new();
        let _ = stream.read_to_end(&mut response).await;
        let response = String::from_utf8(response).expect("text");
        let (head, body) = response.split_once("\r\n\r\n").expect("a head and a body");
        (head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status code"), body.to_owned())
    }

    /// The error of a call over HTTP: number, symbol, and whether trying again helps.
    async fn fails(&self, place: usize, method: &str, params: Value) -> (i64, String, bool) {
        let call = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        let (status, body) = self.post(place, &call.to_string()).await;
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(answer["id"], 7, "{body}");
        let error = &answer["error"];
        let code = error["data"]["code"].as_str().unwrap_or_default().to_owned();
        (error["code"].as_i64().expect(&body), code, error["data"]["retry"].as_bool().unwrap_or_default())
    }

    fn stop(mut self) {
        for node in self.nodes.drain(..).flatten() {
            node.shutdown().expect("nothing failed");
        }
    }
}

fn wallet(number: u8) -> Wallet {
    Wallet::new(ChainId::default(), SigningKey::from_bytes(&[100 + number; 32]))
}

/// One of the funded wallets whose account is in `shard`.
fn of_shard(shard: u16) -> u8 {
    let shards = Shards::new(2).expect("a power of two");
    (1..=4).find(|number| wallet(*number).shard(shards) == ShardId(shard)).expect("each shard has one")
}

fn code(error: RpcError) -> Option<Code> {
    error.code()
}

/// The proof that news carry.
fn proof_of(info: &TransactionInfo) -> Proof {
    info.proof.clone().expect("it was asked for").0
}

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_payment_is_submitted_followed_and_proven() {
    let network = Network::start(&[&["beacon", "worker-0", "worker-1"]]);
    network.client.block_on(async {
        let client = network.connect(0).await;
        let info = client.chain_info().await.expect("it answers");
        assert_eq!((info.chain, info.shards), (network.cluster.genesis.chain(), 2));
        assert_eq!(info.supply, Amount(4_000));

        let (payer, payee) = (of_shard(0), wallet(of_shard(1)).address());
        let payment = network.payment(payer, 0, payee);
        let mut commits = client.subscribe_commits(Some(CommitIndex(1))).await.expect("a subscription");
        let submitted = client.tx_submit(payment.clone()).await.expect("admitted");
        assert_eq!((submitted.transaction, submitted.shard), (payment.transaction.id(), ShardId(0)));
        assert!(!submitted.known);
        let mut news = client.tx_subscribe(submitted.transaction, false).await.expect("a subscription");
        let settled = client.tx_wait(submitted.transaction, Level::Settled, PATIENCE).await.expect("settled");
        assert_eq!(settled.progress.outcome, Some(Outcome::Success));
        assert_eq!(client.tx_get(submitted.transaction).await.expect("known"), settled);
        assert!(client.tx_submit(payment).await.expect("known").known, "again does no harm");

        let mut levels = Vec::new();
        while levels.last() != Some(&Level::Settled) {
            let told = news.next().await.expect("until it is settled").expect("readable");
            levels.push(told.progress.level);
        }
        assert!(levels.is_sorted_by(|a, b| a < b), "{levels:?}");
        for index in 1..20 {
            let news = commits.next().await.expect("it goes on").expect("readable");
            assert_eq!(news.index, CommitIndex(index), "no gap");
            let commit = client.chain_commit(Some(news.index)).await.expect("kept");
            assert_eq!((commit.index, commit.digest), (news.index, news.digest));
        }
        assert!(client.chain_commit(None).await.expect("the last").index >= CommitIndex(19));

        // What was settled is in the certified state of both shards.
        let mut checker = Checker::new(network.cluster.genesis.clone()).expect("there are random numbers");
        for (address, balance, nonce) in [(wallet(payer).address(), 994, 1), (payee, 1_005, 0)] {
            let executed = client.account_get(address, ReadLevel::Executed).await.expect("it answers");
            let certain = client.account_get(address, ReadLevel::Final).await.expect("it answers");
            for answer in [executed, certain] {
                let account = answer.account.expect("funded");
                assert_eq!((account.balance, account.nonce), (Amount(balance), nonce));
            }
            let answer = client.account_proof(address).await.expect("it answers");
            let account = answer.account.clone().expect("funded");
            assert_eq!(account.balance, Amount(balance));
            let proof = answer.proof.0;
            let proven = checker.check_account(&address, &proof).expect("it holds").expect("it exists");
            assert_eq!((proven.balance, proof.record.block), (account.balance, answer.block));
            let attested = proof.attestation();
            assert_eq!((attested.block, attested.record), (answer.certified.block, answer.certified.record));
            assert!(checker.check_account(&Address([9; 32]), &proof).is_err(), "it is nobody else's");
        }
        let nobody = client.account_proof(Address([9; 32])).await.expect("it answers");
        assert_eq!(nobody.account, None);
        assert_eq!(checker.check_account(&Address([9; 32]), &nobody.proof.0), Ok(None));

        let shards = client.shard_list().await.expect("it answers");
        let prefixes: Vec<&str> = shards.iter().map(|shard| shard.first_prefix.as_str()).collect();
        assert_eq!(prefixes, ["00000000", "80000000"]);
        assert!(shards.iter().all(|shard| shard.worker.is_some()), "{shards:?}");
        let status = client.node_status().await.expect("it answers");
        let names: Vec<&str> = status.machines.iter().map(|machine| machine.machine.as_str()).collect();
        assert_eq!(names, ["beacon", "worker-0", "worker-1"]);
        assert!(status.machines[0].beacon.as_ref().is_some_and(|beacon| beacon.commit >= CommitIndex(19)));
    });
    network.stop();
}

#[test]
fn what_another_process_hosts_is_asked_there() {
    let mut network = Network::start(&[&["beacon"], &["worker-0"], &["worker-1"]]);
    let (payer, payee) = (of_shard(1), wallet(of_shard(0)).address());
    let payment = network.payment(payer, 0, payee);
    let (id, signed) = (payment.transaction.id(), payment.transaction.clone());
    network.client.block_on(async {
        let mut checker = Checker::new(network.cluster.genesis.clone()).expect("there are random numbers");
        let (first, beacon) = (network.connect(1).await, network.connect(0).await);
        // Worker 0's process takes what is worker 1's, and the beacon's process what is either's.
        let submitted = first.tx_submit(payment).await.expect("passed on");
        assert_eq!((submitted.transaction, submitted.shard), (id, ShardId(1)));
        let mut news = first.tx_subscribe(id, true).await.expect("passed on");
        let settled = beacon.tx_wait_proven(id, Level::Settled, PATIENCE).await.expect("passed on");
        assert_eq!(settled.shard, ShardId(1));
        assert_eq!(checker.check_settled(&signed, &proof_of(&settled)), Ok(Ending::Done));
        let known = first.tx_get(id).await.expect("passed on");
        assert_eq!(known, TransactionInfo { proof: None, ..settled });
        let mut last = None;
        while last != Some(Level::Settled) {
            let told = news.next().await.expect("until it is settled").expect("readable");
            match told.progress.level {
                Level::Settled => {
                    assert_eq!(checker.check_settled(&signed, &proof_of(&told)), Ok(Ending::Done));
                }
                Level::Final => {
                    assert_eq!(checker.check_final(&signed, &proof_of(&told)), Ok(Outcome::Success));
                }
                _ => assert_eq!(told.proof, None, "nothing is certain yet"),
            }
            last = Some(told.progress.level);
        }
        let mut commits = first.subscribe_commits(None).await.expect("passed on");
        let one = commits.next().await.expect("it goes on").expect("readable");
        let two = commits.next().await.expect("it goes on").expect("readable");
        assert_eq!(two.index, one.index.next());
        assert_eq!(first.chain_commit(Some(one.index)).await.expect("passed on").digest, one.digest);

        for address in [wallet(payer).address(), payee] {
            let answer = beacon.account_proof(address).await.expect("passed on");
            assert!(checker.check_account(&address, &answer.proof.0).expect("it holds").is_some());
        }
        // The payment went from one shard to the other; each step is proven by the process that took it.
        for client in [&first, &beacon] {
            for of in [ProvenStep::Outcome, ProvenStep::Emitted, ProvenStep::Applied] {
                let answer = client.tx_proof(id, ShardId(1), of).await.expect("passed on");
                let shard = if of == ProvenStep::Applied { 0 } else { 1 };
                assert_eq!((answer.shard, answer.block), (ShardId(shard), answer.proof.0.record.block));
                checker.check(&answer.proof.0).expect("it holds");
                let arrived = checker.check_payment(&signed, &answer.proof.0).is_ok();
                assert_eq!(arrived, of == ProvenStep::Applied);
            }
        }
        let shards = beacon.shard_list().await.expect("it answers");
        assert!(shards.iter().all(|shard| shard.worker.is_some()), "{shards:?}");
        let unknown = beacon.tx_get(TransactionId([1; 32])).await.expect_err("nobody knows it");
        assert_eq!(code(unknown), Some(Code::Failed(Failure::UnknownTransaction)));
    });

    network.nodes[2].take().expect("it runs").shutdown().expect("nothing failed");
    network.client.block_on(async {
        let (first, beacon) = (network.connect(1).await, network.connect(0).await);
        for client in [&first, &beacon] {
            let gone = client.account_get(wallet(payer).address(), ReadLevel::Executed).await;
            assert_eq!(
                code(gone.expect_err("its process is down")),
                Some(Code::Failed(Failure::Unreachable))
            );
            let gone = client.tx_get(id).await.expect_err("who knew it is down");
            assert_eq!(code(gone), Some(Code::Failed(Failure::Unreachable)));
        }
        let shards = beacon.shard_list().await.expect("it answers");
        assert!(shards[0].worker.is_some() && shards[1].worker.is_none(), "{shards:?}");
    });
    let node = network.node(2);
    network.nodes[2] = Some(node);
    network.client.block_on(async {
        let first = network.connect(1).await;
        let again = || first.account_get(wallet(payer).address(), ReadLevel::Executed);
        let mut answer = again().await;
        for _ in 0..100 {
            if answer.is_ok() {
                break;
            }
            sleep(Duration::from_millis(50)).await;
            answer = again().await;
        }
        assert!(answer.is_ok(), "the connection is made anew: {answer:?}");
    });
    network.stop();
}

#[test]
fn leaves_are_read_and_proven_and_final_reads_do_not_go_back() {
    let network = Network::start(&[&["beacon", "worker-0"], &["worker-1"]]);
    network.client.block_on(async {
        let mut checker = Checker::new(network.cluster.genesis.clone()).expect("there are random numbers");
        // Asked of the process that hosts the other shard.
        let (owner, client) = (of_shard(1), network.connect(0).await);
        let address = wallet(owner).address();
        let put = KvOperation::Put {
            owner: None,
            name: Bytes(b"name".to_vec()),
            value: Bytes(vec![7; 40]),
            shared: false,
        };
        let save = BankAction::TransactSavings { amount: Amount(50), withdraw: false };
        let mut ids = Vec::new();
        for (nonce, action) in (0..).zip([Action::Kv(vec![put]), Action::Bank(save)]) {
            let signed = network.signed(owner, nonce, action);
            ids.push(client.tx_submit(signed).await.expect("admitted").transaction);
        }
        for id in ids {
            let ended = client.tx_wait(id, Level::Executed, PATIENCE).await.expect("executed");
            assert_eq!(ended.progress.outcome, Some(Outcome::Success));
            // Whoever saw the block is shown nothing older, also where only what is certified counts.
            let (executed, settled) = (ended.progress.block, Level::Final);
            let account =
                client.account_get_from(address, ReadLevel::Final, executed).await.expect("certified soon");
            assert!(account.block >= executed && account.account.expect("funded").nonce > 0, "{executed}");
            client.tx_wait(id, settled, PATIENCE).await.expect("final");
        }
        let value = LeafName::Value { owner: address, name: Bytes(b"name".to_vec()) };
        let savings = LeafName::Savings { owner: address };
        let nothing = LeafName::Token { issuer: address };
        let expected = [
            (value, Some(LeafInfo::Value { hex: Bytes(vec![7; 40]), shared: false })),
            (savings, Some(LeafInfo::Savings { balance: Amount(50) })),
            (nothing, None),
        ];
        for (name, found) in expected {
            for level in [ReadLevel::Executed, ReadLevel::Final] {
                let answer = client.leaf_get(name.clone(), level).await.expect("it answers");
                assert_eq!((answer.key, answer.shard, &answer.found), (name.key(), ShardId(1), &found));
            }
            let answer = client.leaf_proof(name.clone()).await.expect("it answers");
            let proof = answer.proof.0;
            assert_eq!(answer.found, found);
            checker.check(&proof).expect("it holds");
            let leaf = fresnel_client::leaf(&name.key(), &proof).expect("it is of this leaf");
            assert_eq!(leaf.and_then(|leaf| name.read(leaf)), found);
            assert!(fresnel_client::leaf(&Savings::key(&Address([9; 32])), &proof).is_err());
        }
    });
    network.stop();
}

#[test]
fn every_bad_request_gets_its_error() {
    let network = Network::start(&[&["beacon", "worker-0", "worker-1"]]);
    network.client.block_on(async {
        let payment = network.payment(1, 0, Address([9; 32]));
        let hex = |signed: &SignedTransaction| json!({ "transaction": Encoded(signed.clone()) });
        let mut forged = payment.clone();
        forged.signature.0[40] ^= 1;
        let mut foreign = payment.clone();
        foreign.transaction.chain = ChainId([1; 32]);
        let mut late = payment.clone();
        late.transaction.valid_until = Timestamp(1);
        let id = TransactionId([1; 32]);
        let params = (-32_602, "invalid_params", false);
        for (method, asked, (number, symbol, retry)) in [
            ("account_got", json!([]), (-32_601, "unknown_method", false)),
            ("account_get", json!([]), params),
            ("account_get", json!({ "address": "12" }), params),
            ("account_get", json!({ "address": Address([9; 32]), "level": "sometime" }), params),
            ("account_get", json!({ "address": Address([9; 32]), "levle": "final" }), params),
            ("account_get", json!([Address([9; 32]), "final", 1, 1]), params),
            ("account_get", json!([Address([9; 32]), "executed", 1_000_000_000]), (2_003, "behind", true)),
            ("chain_info", json!([1]), params),
            ("tx_submit", json!(["zz"]), params),
            ("tx_submit", json!(["00"]), params),
            ("tx_submit", json!(["00".repeat(1_000)]), params),
            ("tx_wait", json!({ "transaction": id, "level": "final", "timeout_ms": 60_001 }), params),
            ("tx_wait", json!({ "transaction": id, "level": "executed", "proof": true }), params),
            ("leaf_get", json!({ "leaf": { "savings": { "issuer": Address([9; 32]) } } }), params),
            ("leaf_proof", json!({ "leaf": { "thing": {} } }), params),
            ("tx_submit", hex(&forged), (1_000, "bad_signature", false)),
            ("tx_submit", hex(&foreign), (1_000, "wrong_chain", false)),
            ("tx_submit", hex(&network.payment(1, 64, Address([9; 32]))), (1_000, "nonce", true)),
            ("tx_get", json!([id]), (1_004, "unknown_transaction", true)),
            ("tx_wait", json!([id, "final"]), (1_004, "unknown_transaction", true)),
            ("tx_get", json!([id, 2]), (1_003, "unknown_shard", false)),
            ("chain_commit", json!([1_000_000_000]), (1_005, "unknown_commit", true)),
            ("tx_subscribe", json!([id]), (1_002, "no_subscriptions", false)),
            ("chain_unsubscribeCommits", json!([1]), (1_002, "no_subscriptions", false)),
            ("account_proof", json!([Address([9; 32])]), (1_001, "no_record", true)),
        ] {
            let expected = (number, symbol.to_owned(), retry);
            assert_eq!(network.fails(0, method, asked.clone()).await, expected, "{method} {asked}");
        }
        assert_eq!(network.fails(0, "tx_submit", hex(&late)).await.0, 1_000);

        // What is no request has the codes of JSON-RPC alone.
        let id = r#""jsonrpc":"2.0","id":1"#;
        let many = format!("[{}]", vec![format!(r#"{{{id},"method":"chain_info"}}"#); 33].join(","));
        for (body, number) in [
            ("{", -32_700),
            ("[1", -32_700),
            (r#"{"id":1}"#, -32_600),
            (r#"{"jsonrpc":"1.0","id":1,"method":"chain_info"}"#, -32_600),
            ("[]", -32_600),
            (&many, -32_010),
        ] {
            let (_, answer) = network.post(0, body).await;
            let answer: Value = serde_json::from_str(&answer).expect("JSON");
            assert_eq!(answer["error"]["code"], number, "{body}: {answer}");
        }
        let batch = format!(r#"[{{{id},"method":"chain_info"}},{{{id},"method":"nothing"}},1]"#);
        let (_, answer) = network.post(0, &batch).await;
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer[0]["result"]["name"], "toys", "{answer}");
        assert_eq!(answer[1]["error"]["data"]["code"], "unknown_method", "{answer}");
        assert_eq!(answer[2]["error"]["code"], -32_600, "{answer}");

        let large = format!(r#"{{{id},"method":"chain_info","params":["{}"]}}"#, "x".repeat(100_000));
        assert_eq!(network.post(0, &large).await.0, 413);
        assert_eq!(network.http(0, "GET", "application/json", "").await.0, 405);
        assert_eq!(network.http(0, "POST", "text/plain", "{}").await.0, 415);

        let client = network.connect(0).await;
        let unknown = client.tx_subscribe(TransactionId([1; 32]), true).await.expect_err("nobody knows it");
        assert_eq!(code(unknown), Some(Code::Failed(Failure::UnknownTransaction)));
        let mut held = Vec::new();
        let refused = loop {
            match client.subscribe_commits(None).await {
                Ok(subscription) => held.push(subscription),
                Err(error) => break error,
            }
        };
        assert_eq!((held.len(), code(refused)), (64, Some(Code::Failed(Failure::TooManySubscriptions))));
        drop(held);
        client.chain_info().await.expect("the connection is as good as before");
    });
    network.stop();
}

#[test]
fn the_document_describes_what_is_there() {
    let network = Network::start(&[&["beacon", "worker-0", "worker-1"]]);
    network.client.block_on(async {
        let call = |method: &str, params: Value| {
            json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string()
        };
        let (_, document) = network.post(0, &call("rpc.discover", json!([]))).await;
        let document: Value = serde_json::from_str(&document).expect("JSON");
        let methods = document["result"]["methods"].as_array().expect("a list").clone();
        let names: Vec<&str> = methods.iter().filter_map(|method| method["name"].as_str()).collect();
        assert_eq!(
            names,
            [
                "rpc.discover",
                "chain_info",
                "chain_commit",
                "shard_list",
                "node_status",
                "account_get",
                "account_proof",
                "leaf_get",
                "leaf_proof",
                "tx_proof",
                "receipt_proof",
                "record_attested",
                "evidence",
                "dag",
                "tx_submit",
                "tx_get",
                "tx_wait",
                "tx_subscribe",
                "chain_subscribeCommits"
            ]
        );
        for method in methods.iter().filter(|method| method["x-unsubscribe"].is_null()) {
            // Asked with a parameter that none has, each names those that it has.
            let name = method["name"].as_str().expect("a name");
            let (_, answer) = network.post(0, &call(name, json!({ "nothing": 1 }))).await;
            let answer: Value = serde_json::from_str(&answer).expect("JSON");
            let sentence = answer["error"]["message"].as_str().expect("refused");
            let known: Vec<&str> = sentence.split('`').skip(3).step_by(2).collect();
            let described: Vec<&str> = method["params"]
                .as_array()
                .expect("a list")
                .iter()
                .filter_map(|param| param["name"].as_str())
                .collect();
            assert_eq!(known, described, "{name}: {sentence}");
        }
    });
    network.stop();
}

/// Knows every transaction as admitted, and is asked for nothing else.
struct Idle {
    own: Party,
}

impl Machine for Idle {
    fn handle(&mut self, _now: Timestamp, input: Input, effects: &mut Vec<Effect>) {
        let Input::Message { from, message } = input else { return };
        let Message::Query { request, ref query } = *message else { return };
        let answer = match (self.own, query) {
            (_, Query::Transaction(transaction) | Query::Follow(transaction)) => {
                Answer::Transaction(Some(Progress {
                    transaction: *transaction,
                    level: Level::Admitted,
                    outcome: None,
                    block: Default::default(),
                    bounced: false,
                }))
            }
            (Party::Worker(_, shard), Query::Status) => Answer::Worker(WorkerStatus {
                shard,
                commit: CommitIndex(0),
                executed: Default::default(),
                certified: Default::default(),
                pending: 0,
                in_flight: 0,
                diverged: None,
            }),
            // A machine that is stuck.
            _ => return,
        };
        effects.push(Effect::Send { to: vec![from], message: Message::Answer { request, answer } });
    }

    fn deadline(&self) -> Option<Timestamp> {
        None
    }
}

#[test]
fn what_does_not_come_in_time_is_an_error_and_stopping_ends_all_that_wait() {
    let cluster = Cluster::new(1, &[&[&["beacon", "worker-0"]]]);
    let address = free_address();
    let info = crate::rpc::chain_info(&cluster.genesis);
    let setup = Setup { rpc: Some((address.clone(), info)), ..cluster.setup(0) };
    let mut running = Running::start(&setup, |role, _, _, _| {
        Ok(Box::new(Idle { own: roles::party(AuthorityIndex(0), role).expect("a machine") }))
    })
    .expect("a free process");
    let client =
        runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let id = TransactionId([1; 32]);
    let (rpc, waits) = client.block_on(async {
        let rpc = Arc::new(RpcClient::connect(&address).await.expect("it listens"));
        let late =
            rpc.tx_wait(id, Level::Final, Duration::from_millis(50)).await.expect_err("it stays admitted");
        assert_eq!(code(late), Some(Code::Failed(Failure::Timeout)));
        let admitted = rpc.tx_wait(id, Level::Admitted, Duration::ZERO).await.expect("it is");
        assert_eq!(admitted.progress.level, Level::Admitted);
        let silent =
            rpc.account_get(Address([1; 32]), ReadLevel::Executed).await.expect_err("nobody answers");
        assert_eq!(code(silent), Some(Code::Failed(Failure::Timeout)));
        let status = rpc.node_status().await.expect("it answers for those that are silent");
        assert!(status.machines[0].beacon.is_none() && status.machines[1].worker.is_some(), "{status:?}");

        let waits = Arc::clone(&rpc);
        let waits = tokio::spawn(async move { waits.tx_wait(id, Level::Final, PATIENCE).await });
        sleep(Duration::from_millis(50)).await;
        (rpc, waits)
    });
    running.stop().expect("nothing failed");
    client.block_on(async {
        let ended =
            timeout(Duration::from_secs(5), waits).await.expect("in time").expect("it does not panic");
        assert!(ended.is_err(), "{ended:?}");
        assert!(rpc.chain_info().await.is_err());
    });
}
