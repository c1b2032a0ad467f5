//! What peers and strangers may do on the peer listener.

use super::*;

/// The other side of a link, played by the test.
async fn dial(
    cluster: &Cluster,
    to: usize,
    key: &SigningKey,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let process = &cluster.topology.processes[to];
    let config = Credentials::new(key).expect("a key").dial(process.network_key).expect("a configuration");
    let stream = TcpStream::connect(&process.peer_address).await?;
    TlsConnector::from(config).connect(server_name(), stream).await
}

fn hello(cluster: &Cluster, of: usize, plane: Plane) -> Hello {
    Hello { chain: cluster.genesis.chain(), roles: ordered(&cluster.topology.processes[of].roles), plane }
}

async fn link(cluster: &Cluster, plane: Plane) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut stream = dial(cluster, 1, &cluster.keys[0]).await.expect("a known key");
    write_hello(&mut stream, &hello(cluster, 0, plane)).await.expect("open");
    assert_eq!(read_hello(&mut stream).await.expect("an answer"), hello(cluster, 1, plane));
    stream
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), from: Role, to: Role, message: &Message) {
    stream.write_all(&message_frame(from, to, message)).await.expect("open");
    stream.flush().await.expect("open");
}

fn two() -> Cluster {
    Cluster::new(1, &[&[&["beacon", "worker-0"]], &[&["beacon", "worker-0"]]])
}

#[test]
fn a_stranger_does_not_get_past_the_handshake() {
    let cluster = two();
    let mut running = cluster.start(1).expect("a free process");
    running.runtime().block_on(async {
        // In TLS 1.3 the client learns that its certificate was refused when it first reads. The own key of the process
        // is no better than a stranger's: only processes before it in the topology dial it.
        for key in [seed(7, 7), seed(1, 0)] {
            if let Ok(mut stream) = dial(&cluster, 1, &key).await {
                let _ = write_hello(&mut stream, &hello(&cluster, 0, Plane::Control)).await;
                let error = read_hello(&mut stream).await.expect_err("refused");
                assert!(matches!(&error, StreamError::Io(_)), "{error:?}");
            }
        }
        drop(link(&cluster, Plane::Control).await);
    });
    running.stop().expect("nothing failed");
    let counters = running.router.counters.all();
    assert!(counters.contains(&("links_established", 1)), "{counters:?}");
}

#[test]
fn a_listener_with_another_key_is_not_talked_to() {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (dialler, listener_key) = (seed(0, 0), seed(1, 0));
        let server = Credentials::new(&listener_key)
            .expect("a key")
            .accept([PublicKey::of(&dialler)].into())
            .expect("a configuration");
        for (expected, fits) in [(listener_key, true), (seed(2, 0), false)] {
            let (ours, theirs) = tokio::io::duplex(1 << 16);
            let config = Credentials::new(&dialler)
                .expect("a key")
                .dial(PublicKey::of(&expected))
                .expect("a configuration");
            let (connector, acceptor) = (TlsConnector::from(config), TlsAcceptor::from(Arc::clone(&server)));
            let (client, _) = tokio::join!(connector.connect(server_name(), ours), acceptor.accept(theirs));
            assert_eq!(client.is_ok(), fits);
        }
    });
}

#[test]
fn another_chain_and_other_roles_are_refused() {
    let cluster = two();
    let mut running = cluster.start(1).expect("a free process");
    running.runtime().block_on(async {
        let good = hello(&cluster, 0, Plane::Control);
        let other_chain = Hello { chain: ChainId([9; 32]), ..good.clone() };
        let other_roles = Hello { roles: vec![Role::Beacon], ..good };
        for wrong in [other_chain, other_roles] {
            let mut stream = dial(&cluster, 1, &cluster.keys[0]).await.expect("a known key");
            write_hello(&mut stream, &wrong).await.expect("open");
            assert_eq!(
                read_hello(&mut stream).await.expect("the reason"),
                hello(&cluster, 1, Plane::Control)
            );
            expect_closed(&mut stream).await;
        }
    });
    running.stop().expect("nothing failed");
    let counters = running.router.counters.all();
    assert!(counters.contains(&("links_established", 0)), "{counters:?}");
}

#[test]
fn bad_frames_close_their_connection_and_no_other() {
    let cluster = two();
    let mut running = cluster.start(1).expect("a free process");
    let worker = Role::Worker(ShardId(0));
    let oversized = (u32::try_from(BODY_BYTES_MAX).expect("16 MiB") + 100).to_le_bytes();
    let mut huge = message_frame(Role::Beacon, Role::Beacon, &status(1));
    huge[..4].copy_from_slice(&oversized);
    let mut unreadable = message_frame(Role::Beacon, Role::Beacon, &status(1));
    *unreadable.last_mut().expect("a body") = 0xff;
    let require = Message::Require {
        author: AuthorityIndex(0),
        batches: vec![BatchRef { id: BatchId::default(), count: 1, bytes: 1 }],
    };
    let bad = [
        vec![0xff; HEADER_BYTES],
        huge,
        unreadable,
        // Not hosted; not the sender's to say, three times; no batch.
        message_frame(Role::Beacon, Role::Worker(ShardId(9)), &status(1)),
        message_frame(worker, Role::Beacon, &status(1)),
        message_frame(Role::Beacon, worker, &Message::Proposing(Round(1))),
        message_frame(Role::Beacon, worker, &require),
        message_frame(worker, worker, &Message::Batch(vec![1, 2, 3])),
    ];
    running.runtime().block_on(async {
        let mut control = link(&cluster, Plane::Control).await;
        for (round, frame) in (1..).zip(&bad) {
            let mut bulk = link(&cluster, Plane::Bulk).await;
            bulk.write_all(frame).await.expect("open");
            bulk.flush().await.expect("open");
            expect_closed(&mut bulk).await;
            say(&mut control, Role::Beacon, Role::Beacon, &status(100 + round)).await;
            let heard = || cluster.count(beacon(0), beacon(1), &status(100 + round)) == 1;
            assert!(eventually(heard), "after bad frame {round}");
        }
    });
    running.stop().expect("nothing failed");
    let heard = cluster.heard.lock().expect("no test panics with it");
    let connected = |input: &Input| matches!(input, Input::Connected(party) if *party == beacon(0));
    let times = heard.iter().filter(|(own, input)| *own == beacon(1) && connected(input)).count();
    assert_eq!(times, bad.len(), "once per pair of links");
}

#[test]
fn a_newer_link_takes_the_place_of_an_older() {
    let cluster = two();
    let mut running = cluster.start(1).expect("a free process");
    running.runtime().block_on(async {
        let mut old = link(&cluster, Plane::Control).await;
        let mut new = link(&cluster, Plane::Control).await;
        expect_closed(&mut old).await;
        say(&mut new, Role::Beacon, Role::Beacon, &status(5)).await;
        assert!(eventually(|| cluster.count(beacon(0), beacon(1), &status(5)) == 1));
    });
    running.stop().expect("nothing failed");
}
