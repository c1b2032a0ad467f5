//! What clients may do on the client listener.

use super::*;

struct TestClient {
    stream: TcpStream,
}

impl TestClient {
    async fn connect(cluster: &Cluster) -> Self {
        let address = &cluster.topology.processes[0].client_address;
        let mut stream = TcpStream::connect(address).await.expect("open");
        let hello = Hello { chain: cluster.genesis.chain(), roles: vec![], plane: Plane::Bulk };
        write_hello(&mut stream, &hello).await.expect("open");
        let answer = read_hello(&mut stream).await.expect("an answer");
        assert_eq!(answer.roles, ordered(&cluster.topology.processes[0].roles));
        Self { stream }
    }

    async fn ask(&mut self, to: Role, message: &Message) -> (Role, Message) {
        self.stream.write_all(&message_frame(Role::Client, to, message)).await.expect("open");
        let budget = Arc::new(Semaphore::new(1 << 20));
        let answer = timeout(Duration::from_secs(5), read_frame(&mut self.stream, &budget, 1 << 20));
        let answer = answer.await.expect("in time").expect("open");
        assert_eq!(answer.header.to, Role::Client);
        (answer.header.from, answer.header.message(&answer.body).expect("a message"))
    }
}

fn payment(cluster: &Cluster, nonce: u64) -> SignedTransaction {
    let key = seed(9, 9);
    let transaction = Transaction {
        chain: cluster.genesis.chain(),
        sender: PublicKey::of(&key),
        nonce: Nonce(nonce),
        fee: Amount(0),
        valid_until: Timestamp(u64::MAX),
        action: Action::Transfer { recipient: PublicKey::of(&key).address(), amount: Amount(1) },
    };
    transaction.sign(&key)
}

fn one() -> Cluster {
    Cluster::new(1, &[&[&["beacon", "worker-0"]]])
}

#[test]
fn submissions_are_checked_one_by_one_and_questions_answered() {
    let cluster = one();
    let mut running = cluster.start(0).expect("a free process");
    let worker = Role::Worker(ShardId(0));
    running.runtime().block_on(async {
        let mut client = TestClient::connect(&cluster).await;
        let mut forged = payment(&cluster, 1);
        forged.signature.0[40] ^= 1;
        let mut foreign = payment(&cluster, 2);
        foreign.transaction.chain = ChainId([1; 32]);
        let transactions = vec![payment(&cluster, 0), forged, foreign];
        let submit = Message::Submit { request: 7, transactions };
        let results = vec![None, Some(RejectionCode::BadSignature), Some(RejectionCode::WrongChain)];
        let expected = Message::Admission { request: 7, results, retry_after: 0 };
        assert_eq!(client.ask(worker, &submit).await, (worker, expected));

        let query = Message::Query { request: 8, query: Query::Status };
        let expected = Message::Answer { request: 8, answer: Answer::Transaction(None) };
        assert_eq!(client.ask(Role::Beacon, &query).await, (Role::Beacon, expected));

        let absent = Role::Worker(ShardId(3));
        let results = vec![Some(RejectionCode::WrongShard); 3];
        let expected = Message::Admission { request: 7, results, retry_after: 0 };
        assert_eq!(client.ask(absent, &submit).await, (absent, expected));
        let expected = Message::Answer { request: 8, answer: Answer::Unsupported };
        assert_eq!(client.ask(absent, &query).await, (absent, expected));
    });
    running.stop().expect("nothing failed");
}

#[test]
fn submissions_checked_together_keep_apart() {
    let cluster = one();
    let mut running = cluster.start(0).expect("a free process");
    let worker = Role::Worker(ShardId(0));
    running.runtime().block_on(async {
        let mut client = TestClient::connect(&cluster).await;
        let mut frames = Vec::new();
        for request in 0..20 {
            let mut transactions = vec![payment(&cluster, 2 * request), payment(&cluster, 2 * request + 1)];
            transactions[1].signature.0[40] ^= u8::from(request == 11);
            frames.extend(message_frame(Role::Client, worker, &Message::Submit { request, transactions }));
        }
        client.stream.write_all(&frames).await.expect("open");
        let budget = Arc::new(Semaphore::new(1 << 20));
        for request in 0..20 {
            let answer = read_frame(&mut client.stream, &budget, 1 << 20).await.expect("open");
            let bad = (request == 11).then_some(RejectionCode::BadSignature);
            let expected = Message::Admission { request, results: vec![None, bad], retry_after: 0 };
            assert_eq!(answer.header.message(&answer.body).expect("a message"), expected);
        }
    });
    running.stop().expect("nothing failed");
}

#[test]
fn a_client_that_breaks_the_rules_is_gone_and_no_other() {
    let cluster = one();
    let mut running = cluster.start(0).expect("a free process");
    running.runtime().block_on(async {
        let address = &cluster.topology.processes[0].client_address;
        let mut stream = TcpStream::connect(address).await.expect("open");
        let hello = Hello { chain: ChainId([1; 32]), roles: vec![], plane: Plane::Bulk };
        write_hello(&mut stream, &hello).await.expect("open");
        assert_eq!(read_hello(&mut stream).await.expect("the reason").chain, cluster.genesis.chain());
        expect_closed(&mut stream).await;

        let mut good = TestClient::connect(&cluster).await;
        let mut oversized = message_frame(Role::Client, Role::Beacon, &status(1));
        oversized[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        let misplaced = message_frame(Role::Client, Role::Beacon, &status(1));
        for bad in [vec![0xff; HEADER_BYTES], oversized, misplaced] {
            let mut client = TestClient::connect(&cluster).await;
            client.stream.write_all(&bad).await.expect("open");
            expect_closed(&mut client.stream).await;
        }
        let gone = || {
            let heard = cluster.heard.lock().expect("no test panics with it");
            let is = |input: &Input| matches!(input, Input::Disconnected(_));
            heard.iter().filter(|(own, input)| *own == beacon(0) && is(input)).count()
        };
        assert!(eventually(|| gone() == 3), "machines are told");
        good.ask(Role::Beacon, &Message::Query { request: 1, query: Query::Status }).await;
        assert_eq!(gone(), 3);
    });
    running.stop().expect("nothing failed");
}

#[test]
fn a_client_that_does_not_read_is_disconnected() {
    let cluster = one();
    let mut running = cluster.start(0).expect("a free process");
    running.runtime().block_on(async {
        let mut client = TestClient::connect(&cluster).await;
        let query =
            message_frame(Role::Client, Role::Beacon, &Message::Query { request: 1, query: Query::Status });
        // Answers fill the socket's buffers, then the queue, then the process has enough.
        let frames = query.repeat(1_000);
        let write = async { while client.stream.write_all(&frames).await.is_ok() {} };
        timeout(Duration::from_secs(20), write).await.expect("disconnected in time");
    });
    running.stop().expect("nothing failed");
    let counters = running.router.counters.all();
    assert!(counters.contains(&("client_overflows", 1)), "{counters:?}");
}
