//! The listener for clients: plain TCP, frames of submissions and questions in, results and news out.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use fresnel_types::{
    AuthorityIndex, ChainId, ClientId,
    frame::{Hello, Role},
    message::Plane,
};
use tokio::{
    io::{AsyncRead, BufReader, BufWriter},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};

use crate::{
    clock::monotonic_nanos,
    counters::{Counters, Reports, count},
    limits::{
        CLIENT_BYTES_MAX, CLIENT_FRAME_BYTES_MAX, CLIENT_FRAMES_MAX, CLIENT_UNHANDLED_BYTES_MAX,
        EVICTION_TIMEOUT, HANDSHAKE_TIMEOUT, HANDSHAKES_MAX, REDIAL_DELAY_MIN,
    },
    queue::LaneQueue,
    roles,
    router::Router,
    stream::{
        Frame, Outbound, Stopping, StreamError, Waiting, pump, read_frame, read_hello, same_chain, tune,
        write_hello,
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
        let link = Arc::new(ClientLink::new(id, outbound));
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
    pub(crate) places: Places,
}

/// The places of the listener, and who has them.
#[derive(Debug)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    /// Connections that have not said yet what they are.
    strangers: Arc<Semaphore>,
    taken: Mutex<BTreeMap<ClientId, Arc<ClientLink>>>,
    /// For how long one must have been silent to be sent away.
    idle_min: Duration,
}

impl Places {
    /// So many places; who has been silent for `idle_min` may have to go.
    pub(crate) fn new(count: usize, idle_min: Duration) -> Self {
        let strangers = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        Self { free: Arc::new(Semaphore::new(count)), strangers, taken: Mutex::default(), idle_min }
    }

    /// A place, for which whoever has been silent for the longest has to go if there is no other; none when all are busy.
    async fn acquire(&self, counters: &Counters) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(place);
        }
        let oldest = {
            let taken = self.taken.lock().expect("nobody panics with the lock held");
            let spoke = |link: &&Arc<ClientLink>| link.spoke.load(Relaxed);
            taken.values().filter(|link| !link.closer.is_closed()).min_by_key(spoke).cloned()
        }?;
        let silent = monotonic_nanos().saturating_sub(oldest.spoke.load(Relaxed));
        if Duration::from_nanos(silent) < self.idle_min {
            return None;
        }
        if oldest.closer.close(StreamError::Evicted) {
            count(&counters.clients_evicted);
        }
        timeout(EVICTION_TIMEOUT, Arc::clone(&self.free).acquire_owned()).await.ok()?.ok()
    }

    fn take(&self, link: &Arc<ClientLink>) {
        self.taken.lock().expect("nobody panics with the lock held").insert(link.id, Arc::clone(link));
    }

    fn leave(&self, client: ClientId) {
        self.taken.lock().expect("nobody panics with the lock held").remove(&client);
    }
}

impl Ingest {
    /// Accepts clients until the process stops.
    pub(crate) async fn accept(self: Arc<Self>, listener: TcpListener) {
        let mut stopping = self.stopping.clone();
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
            let Ok(stranger) = Arc::clone(&self.places.strangers).try_acquire_owned() else {
                count(&self.router.counters.clients_turned_away);
                continue;
            };
            let ingest = Arc::clone(&self);
            tokio::spawn(async move {
                match ingest.connection(stream, stranger).await {
                    Err(StreamError::Io(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {}
                    Err(error) => ingest.reports.gave_up(&format!("client {address}"), &error),
                    Ok(()) => {}
                }
            });
        }
    }

    async fn connection(
        &self,
        mut stream: TcpStream,
        stranger: OwnedSemaphorePermit,
    ) -> Result<(), StreamError> {
        tune(&stream)?;
        let handshake = async {
            let hello = read_hello(&mut stream).await?;
            let own = Hello { chain: self.chain, roles: self.roles.clone(), plane: Plane::Bulk };
            // The client shall learn from the answer what was wrong.
            write_hello(&mut stream, &own).await?;
            same_chain(&hello, self.chain)
        };
        timeout(HANDSHAKE_TIMEOUT, handshake).await??;
        let Some(_place) = self.places.acquire(&self.router.counters).await else {
            count(&self.router.counters.clients_turned_away);
            return Ok(());
        };
        drop(stranger);
        let (reader, writer) = stream.into_split();
        count(&self.router.counters.clients);
        let (link, mut waiting) = self.router.clients.enter();
        self.places.take(&link);
        let (client, closer) = (link.id, link.closer.clone());
        let lane = self.lanes.lane(Plane::Bulk, client.0);
        let read = self.read(BufReader::with_capacity(BUFFER_BYTES, reader), link, &lane);
        let mut writer = BufWriter::with_capacity(BUFFER_BYTES, writer);
        let result = pump(read, &mut writer, &mut waiting, &closer, self.stopping.clone()).await;
        self.places.leave(client);
        self.router.clients.leave(client);
        let inboxes = self.router.local.values().cloned().collect();
        // Behind everything that the client said.
        lane.put_client(client, Work::Gone { client, inboxes });
        result
    }

    async fn read(
        &self,
        mut reader: impl AsyncRead + Unpin,
        link: Arc<ClientLink>,
        lane: &LaneQueue,
    ) -> StreamError {
        let budget = Arc::new(Semaphore::new(CLIENT_UNHANDLED_BYTES_MAX));
        loop {
            let arrival = match read_frame(&mut reader, &budget, CLIENT_FRAME_BYTES_MAX).await {
                Ok(arrival) => arrival,
                Err(error) => return error,
            };
            let to = roles::party(self.authority, arrival.header.to)
                .and_then(|party| Some((party, self.router.inbox(party)?.clone())));
            link.spoke.store(monotonic_nanos(), Relaxed);
            lane.put_client(link.id, Work::Client { client: Arc::clone(&link), to, arrival });
        }
    }
}

/// What a client's connection reads or writes at once when there is that much.
const BUFFER_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use tokio::{runtime, time::timeout};

    use super::*;

    /// Who takes a place and leaves it as soon as it is sent away; gives its link and the task that waits.
    async fn enter(
        places: &Arc<Places>,
        clients: &Clients,
        counters: &Counters,
    ) -> Option<(Arc<ClientLink>, tokio::task::JoinHandle<()>)> {
        let place = places.acquire(counters).await?;
        let (link, _) = clients.enter();
        places.take(&link);
        let (places, own) = (Arc::clone(places), Arc::clone(&link));
        let leaves = tokio::spawn(async move {
            while !own.closer.is_closed() {
                sleep(Duration::from_millis(1)).await;
            }
            places.leave(own.id);
            drop(place);
        });
        Some((link, leaves))
    }

    #[test]
    fn whoever_is_idle_for_longest_gives_its_place_and_who_is_busy_keeps_it() {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let idle_min = Duration::from_millis(100);
            let counters = Arc::new(Counters::default());
            let clients = Clients::new(Arc::clone(&counters));
            let places = Arc::new(Places::new(2, idle_min));
            let (first, first_leaves) = enter(&places, &clients, &counters).await.expect("a free place");
            let (second, _) = enter(&places, &clients, &counters).await.expect("a free place");
            assert!(enter(&places, &clients, &counters).await.is_none(), "both are busy");
            sleep(idle_min * 2).await;
            second.spoke.store(monotonic_nanos(), Relaxed);
            let (third, _) = enter(&places, &clients, &counters).await.expect("the place of the first");
            timeout(Duration::from_secs(5), first_leaves).await.expect("in time").expect("no panic");
            assert!(first.closer.is_closed() && !second.closer.is_closed() && !third.closer.is_closed());
            assert_eq!(counters.clients_evicted.load(Relaxed), 1);
            assert!(enter(&places, &clients, &counters).await.is_none(), "all are busy again");
        });
    }
}
