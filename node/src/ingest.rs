//! The listener for clients: plain TCP, frames of submissions and questions in, results and news out.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use fresnel_types::{
    AuthorityIndex, ChainId, ClientId,
    frame::{Hello, Role},
    message::Plane,
};
use tokio::{
    io::{AsyncRead, BufReader, BufWriter},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time::{sleep, timeout},
};

use crate::{
    counters::{Counters, Reports, count},
    limits::{
        CLIENT_BYTES_MAX, CLIENT_FRAME_BYTES_MAX, CLIENT_FRAMES_MAX, CLIENT_UNHANDLED_BYTES_MAX, CLIENTS_MAX,
        HANDSHAKE_TIMEOUT, REDIAL_DELAY_MIN,
    },
    roles,
    router::Router,
    stream::{
        Closer, Frame, Outbound, Stopping, StreamError, Waiting, pump, read_frame, read_hello, same_chain,
        tune, write_hello,
    },
    verify::{ClientLink, Lanes, Work},
};

/// The connected clients.
#[derive(Debug)]
pub(crate) struct Clients {
    next: AtomicU64,
    links: Mutex<BTreeMap<ClientId, Arc<ClientLink>>>,
    counters: Arc<Counters>,
}

impl Clients {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        Self { next: AtomicU64::new(0), links: Mutex::default(), counters }
    }

    /// Queues a frame for a client, if it is still there. One that does not read is disconnected.
    pub(crate) fn send(&self, client: ClientId, frame: Frame) {
        let links = self.links.lock().expect("nobody panics with the lock held");
        if let Some(link) = links.get(&client)
            && !link.outbound.offer(frame)
            && link.closer.close(StreamError::Overflow)
        {
            count(&self.counters.client_overflows);
        }
    }

    /// Lets go of all clients: what waits is still written, nothing can be added.
    pub(crate) fn hang_up(&self) {
        self.links.lock().expect("nobody panics with the lock held").clear();
    }

    /// A new client, which must leave.
    pub(crate) fn enter(&self) -> (Arc<ClientLink>, Waiting) {
        let id = ClientId(self.next.fetch_add(1, Relaxed));
        let (outbound, waiting) = Outbound::new(CLIENT_FRAMES_MAX, CLIENT_BYTES_MAX);
        let link = Arc::new(ClientLink { id, outbound, closer: Closer::default() });
        self.links.lock().expect("nobody panics with the lock held").insert(id, Arc::clone(&link));
        (link, waiting)
    }

    /// The client is gone.
    pub(crate) fn leave(&self, client: ClientId) {
        self.links.lock().expect("nobody panics with the lock held").remove(&client);
    }
}

/// What all clients' connections share.
#[derive(Debug)]
pub(crate) struct Ingest {
    pub(crate) chain: ChainId,
    pub(crate) authority: AuthorityIndex,
    /// The roles of this process.
    pub(crate) roles: Vec<Role>,
    pub(crate) router: Arc<Router>,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) stopping: Stopping,
}

impl Ingest {
    /// Accepts clients until the process stops.
    pub(crate) async fn accept(self: Arc<Self>, listener: TcpListener) {
        let mut stopping = self.stopping.clone();
        let places = Arc::new(Semaphore::new(CLIENTS_MAX));
        loop {
            let (stream, address) = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        self.reports.gave_up("client listener", &error);
                        sleep(REDIAL_DELAY_MIN).await;
                        continue;
                    }
                },
                () = stopping.asked() => return,
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let ingest = Arc::clone(&self);
            tokio::spawn(async move {
                match ingest.connection(stream).await {
                    Err(StreamError::Io(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {}
                    Err(error) => ingest.reports.gave_up(&format!("client {address}"), &error),
                    Ok(()) => {}
                }
                drop(place);
            });
        }
    }

    async fn connection(&self, mut stream: TcpStream) -> Result<(), StreamError> {
        tune(&stream)?;
        let handshake = async {
            let hello = read_hello(&mut stream).await?;
            let own = Hello { chain: self.chain, roles: self.roles.clone(), plane: Plane::Bulk };
            // The client shall learn from the answer what was wrong.
            write_hello(&mut stream, &own).await?;
            same_chain(&hello, self.chain)
        };
        timeout(HANDSHAKE_TIMEOUT, handshake).await??;
        let (reader, writer) = stream.into_split();
        count(&self.router.counters.clients);
        let (link, mut waiting) = self.router.clients.enter();
        let (client, closer) = (link.id, link.closer.clone());
        let lane = self.lanes.lane(Plane::Bulk, client.0);
        let read = self.read(BufReader::with_capacity(BUFFER_BYTES, reader), link, &lane);
        let mut writer = BufWriter::with_capacity(BUFFER_BYTES, writer);
        let result = pump(read, &mut writer, &mut waiting, &closer, self.stopping.clone()).await;
        self.router.clients.leave(client);
        let inboxes = self.router.local.values().cloned().collect();
        // Behind everything that the client said. The lane is gone only when the process stops.
        let _ = lane.send(Work::Gone { client, inboxes }).await;
        result
    }

    async fn read(
        &self,
        mut reader: impl AsyncRead + Unpin,
        link: Arc<ClientLink>,
        lane: &mpsc::Sender<Work>,
    ) -> StreamError {
        let budget = Arc::new(Semaphore::new(CLIENT_UNHANDLED_BYTES_MAX));
        loop {
            let arrival = match read_frame(&mut reader, &budget, CLIENT_FRAME_BYTES_MAX).await {
                Ok(arrival) => arrival,
                Err(error) => return error,
            };
            let to = roles::party(self.authority, arrival.header.to)
                .and_then(|party| Some((party, self.router.inbox(party)?.clone())));
            let work = Work::Client { client: Arc::clone(&link), to, arrival };
            if lane.send(work).await.is_err() {
                return StreamError::Stopping;
            }
        }
    }
}

/// What a client's connection reads or writes at once when there is that much.
const BUFFER_BYTES: usize = 64 << 10;
