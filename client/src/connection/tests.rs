//! The client against toy servers over loopback: what it asks, what it keeps, and what it makes of nonsense.

use fresnel_types::{
    Amount, BlockIndex, Outcome, Timestamp, TransactionId,
    status::{Level, WorkerStatus},
};
use tokio::net::TcpListener;

use super::*;
use crate::Wallet;

const CHAIN: ChainId = ChainId([5; 32]);
const SHARD: ShardId = ShardId(1);

/// A process that hosts the worker of shard 1: admits everything but a transfer of 13, tells that the rest settled, and
/// knows one account.
async fn worker() -> SocketAddr {
    serve(|mut stream| async move {
        greet(&mut stream, CHAIN).await;
        while let Some((header, message)) = receive(&mut stream).await {
            assert_eq!((header.from, header.to), (Role::Client, Role::Worker(SHARD)));
            for reply in replies(message) {
                send(&mut stream, &reply).await;
            }
        }
    })
    .await
}

fn replies(message: Message) -> Vec<Message> {
    match message {
        Message::Submit { request, transactions } => {
            let unlucky = |signed: &SignedTransaction| {
                matches!(
                    signed.transaction.action,
                    fresnel_types::Action::Transfer { amount: Amount(13), .. }
                )
            };
            let results = transactions
                .iter()
                .map(|signed| unlucky(signed).then_some(RejectionCode::Overloaded))
                .collect();
            let news: Vec<Progress> = transactions
                .iter()
                .filter(|signed| !unlucky(signed))
                .map(|signed| news(signed.transaction.id()))
                .collect();
            // News may overtake the admission.
            vec![Message::Progress(news), Message::Admission { request, results, retry_after: 7_000 }]
        }
        Message::Query { request, query } => {
            let answer = match query {
                Query::Account(_) => Answer::Account {
                    block: BlockIndex(4),
                    account: Some(Account { balance: Amount(9), nonce_base: 2, nonce_bits: 0b10 }),
                },
                Query::Status => Answer::Worker(WorkerStatus {
                    shard: SHARD,
                    commit: fresnel_types::CommitIndex(1),
                    executed: BlockIndex(4),
                    certified: fresnel_types::commit::Certified::default(),
                    pending: 0,
                    in_flight: 0,
                    diverged: None,
                }),
                _ => Answer::Unsupported,
            };
            vec![Message::Answer { request, answer }]
        }
        other => panic!("clients do not say {:?}", other.kind()),
    }
}

fn news(transaction: TransactionId) -> Progress {
    let (outcome, block) = (Some(Outcome::Success), BlockIndex(4));
    Progress { transaction, level: Level::Settled, outcome, block, bounced: false }
}

async fn serve<F: Future<Output = ()> + Send + 'static>(
    session: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(session(stream));
        }
    });
    address
}

async fn greet(stream: &mut TcpStream, chain: ChainId) {
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header).await.expect("a greeting");
    let header = Header::parse(&header).expect("well formed");
    assert_eq!(header.kind, None);
    let mut body = vec![0; header.body_bytes];
    stream.read_exact(&mut body).await.expect("a body");
    let hello: Hello = codec::decode(&body).expect("a greeting");
    assert_eq!((hello.roles, hello.plane), (vec![], Plane::Bulk));
    let hello = Hello { chain, roles: vec![Role::Worker(SHARD)], plane: Plane::Bulk };
    stream.write_all(&hello_frame(&hello)).await.expect("open");
}

async fn receive(stream: &mut TcpStream) -> Option<(Header, Message)> {
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header).await.ok()?;
    let header = Header::parse(&header).expect("well formed");
    let mut body = vec![0; header.body_bytes];
    stream.read_exact(&mut body).await.ok()?;
    Some((header, header.message(&body).expect("well formed")))
}

async fn send(stream: &mut TcpStream, message: &Message) {
    // The client may be gone already.
    let _ = stream.write_all(&message_frame(Role::Worker(SHARD), Role::Client, message)).await;
}

fn transfers(count: u64, amount: u64) -> Vec<SignedTransaction> {
    let wallet = Wallet::new(CHAIN, fresnel_crypto::SigningKey::from_bytes(&[3; 32]));
    let transfer =
        |nonce| wallet.transfer(Nonce(nonce), Address([9; 32]), Amount(amount), Amount(1), Timestamp(99));
    (0..count).map(transfer).collect()
}

#[tokio::test]
async fn submissions_are_admitted_and_their_news_kept() {
    let mut client = Client::connect(worker().await, CHAIN).await.expect("it greets");
    assert_eq!(client.roles(), [Role::Worker(SHARD)]);
    let good = transfers(3, 1);
    let admission = client.submit(SHARD, good.clone()).await.expect("it answers");
    assert_eq!(admission.results, [None; 3]);
    let refused = client.submit(SHARD, transfers(1, 13)).await.expect("it answers");
    assert_eq!(refused.results, [Some(RejectionCode::Overloaded)]);
    assert_eq!(refused.retry_after, Duration::from_millis(7));
    assert!(refused.request > admission.request);
    let told: Vec<TransactionId> =
        client.progress().await.expect("open").iter().map(|news| news.transaction).collect();
    assert_eq!(told, good.iter().map(|signed| signed.transaction.id()).collect::<Vec<_>>());
}

#[tokio::test]
async fn questions_are_answered() {
    let mut client = Client::connect(worker().await, CHAIN).await.expect("it greets");
    let account = client.account(SHARD, Address([9; 32])).await.expect("it answers").expect("it exists");
    assert_eq!(account.balance, Amount(9));
    let nonces = client.nonces(SHARD, Address([9; 32]), 2).await.expect("it answers");
    assert_eq!(nonces, [Nonce(2), Nonce(4)]);
    let status = client.query(Role::Worker(SHARD), Query::Status).await.expect("it answers");
    assert!(matches!(status, Answer::Worker(status) if status.executed == BlockIndex(4)));
    let elsewhere = client.query(Role::Beacon, Query::Status).await;
    assert!(matches!(elsewhere, Err(ClientError::NoSuchRole(Role::Beacon))));
    let crowd = client.submit(SHARD, transfers(SUBMISSION_MAX as u64 + 1, 1)).await;
    assert!(matches!(crowd, Err(ClientError::TooMany(_))));
}

#[tokio::test]
async fn the_halves_stream_many_submissions_at_once() {
    let (mut requests, mut events) = Client::connect(worker().await, CHAIN).await.expect("it greets").split();
    let sent = tokio::spawn(async move {
        let chunk = transfers(SUBMISSION_MAX as u64, 1);
        for _ in 0..40 {
            requests.submit(SHARD, chunk.clone()).await.expect("open");
        }
        requests.ask(Role::Worker(SHARD), Query::Status).await.expect("open");
        requests
    });
    let (mut admitted, mut told) = (0, 0);
    loop {
        match events.next().await {
            Event::Admission(admission) => admitted += admission.results.len(),
            Event::Progress(news) => told += news.len(),
            Event::Answer { request, .. } => {
                assert_eq!(request, 41);
                break;
            }
            Event::Closed(error) => panic!("{error}"),
        }
    }
    assert_eq!((admitted, told), (40 * SUBMISSION_MAX, 40 * SUBMISSION_MAX));
    drop(sent.await.expect("it sends all"));
    assert!(matches!(events.next().await, Event::Closed(ClientError::Closed)), "the other side hangs up too");
}

#[tokio::test]
async fn a_server_that_does_not_read_fills_the_queue_and_nothing_else() {
    let address = serve(|mut stream| async move {
        greet(&mut stream, CHAIN).await;
        std::future::pending::<()>().await;
    })
    .await;
    let (mut requests, _events) = Client::connect(address, CHAIN).await.expect("it greets").split();
    let chunk = transfers(SUBMISSION_MAX as u64, 1);
    let refused = async {
        loop {
            if let Err(error) = requests.try_submit(SHARD, chunk.clone()) {
                return error;
            }
            tokio::task::yield_now().await;
        }
    };
    let error = timeout(Duration::from_secs(20), refused).await.expect("sockets hold a few megabytes");
    assert!(matches!(error, ClientError::Full), "{error}");
}

#[tokio::test]
async fn other_chains_and_nonsense_are_typed_errors() {
    let other = serve(|mut stream| async move { greet(&mut stream, ChainId([6; 32])).await }).await;
    assert!(matches!(
        Client::connect(other, CHAIN).await,
        Err(ClientError::WrongChain { theirs: ChainId([6, ..]), .. })
    ));
    let garbage = serve(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        std::future::pending::<()>().await;
    })
    .await;
    assert!(matches!(Client::connect(garbage, CHAIN).await, Err(ClientError::Frame(_))));
    let rude = serve(|mut stream| async move {
        send(&mut stream, &Message::Progress(vec![])).await;
        std::future::pending::<()>().await;
    })
    .await;
    assert!(matches!(Client::connect(rude, CHAIN).await, Err(ClientError::NoHello)));
    let confused = serve(|mut stream| async move {
        greet(&mut stream, CHAIN).await;
        send(&mut stream, &Message::Proposing(fresnel_types::Round(1))).await;
        std::future::pending::<()>().await;
    })
    .await;
    let (_requests, mut events) = Client::connect(confused, CHAIN).await.expect("it greets").split();
    assert!(matches!(events.next().await, Event::Closed(ClientError::Unexpected(Kind::Proposing))));
    let gone = serve(|mut stream| async move { greet(&mut stream, CHAIN).await }).await;
    let mut client = Client::connect(gone, CHAIN).await.expect("it greets");
    let asked = client.query(Role::Worker(SHARD), Query::Status).await;
    assert!(matches!(asked, Err(ClientError::Closed | ClientError::Io(_))), "{asked:?}");
}
