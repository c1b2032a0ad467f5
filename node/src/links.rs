//! Links to the other processes: per pair one connection for each plane, dialled by the process that comes first in the
//! topology, again and again until it stands.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use fresnel_types::{
    AuthorityIndex, ChainId, Input, PublicKey,
    frame::{BODY_BYTES_MAX, Hello, Role},
    message::Plane,
};
use rustls::{ClientConfig, ServerConfig, pki_types::CertificateDer};
use tokio::{
    io::{AsyncRead, AsyncWrite, BufReader, BufWriter},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{
    clock::Clock,
    counters::{Counters, Reports, add, count},
    limits::{
        HANDSHAKE_TIMEOUT, HANDSHAKES_MAX, LINK_BYTES_MAX, LINK_FRAMES_MAX, LINK_LIFE_MIN,
        LINK_UNHANDLED_BYTES_MAX, REDIAL_DELAY_MAX, REDIAL_DELAY_MIN,
    },
    roles,
    router::Router,
    stream::{
        Closer, Frame, Outbound, Stopping, StreamError, pump, read_frame, read_hello, same_chain, tune,
        write_hello,
    },
    tls,
    verify::{Lanes, Work},
};

/// Another process, and the links to it as far as they stand.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) authority: AuthorityIndex,
    /// Ascending.
    pub(crate) roles: Vec<Role>,
    pub(crate) key: PublicKey,
    pub(crate) address: String,
    links: Mutex<[Option<Link>; 2]>,
    established: AtomicU64,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct Link {
    number: u64,
    outbound: Outbound,
    closer: Closer,
}

impl Peer {
    pub(crate) fn new(
        authority: AuthorityIndex,
        roles: Vec<Role>,
        key: PublicKey,
        address: String,
        counters: Arc<Counters>,
    ) -> Self {
        let links = Mutex::default();
        Self { authority, roles, key, address, links, established: AtomicU64::new(0), counters }
    }

    /// Queues a frame for the link of a plane. Without a link it is lost; machines send again once they are connected.
    /// A bulk link that is full loses the frame, a control link that is full is closed.
    pub(crate) fn send(&self, plane: Plane, frame: Frame) {
        let links = self.links.lock().expect("nobody panics with the lock held");
        let Some(link) = &links[plane as usize] else { return count(&self.counters.unlinked_dropped) };
        let bytes = frame.len();
        if link.outbound.offer(frame) {
            count(&self.counters.link_frames_out);
            add(&self.counters.link_bytes_out, bytes);
        } else if plane == Plane::Bulk {
            count(&self.counters.bulk_dropped);
        } else if link.closer.close(StreamError::Overflow) {
            count(&self.counters.control_overflows);
        }
    }

    /// Lets go of the links: what waits is still written, nothing can be added.
    pub(crate) fn hang_up(&self) {
        *self.links.lock().expect("nobody panics with the lock held") = [None, None];
    }

    /// Puts a new link in the place of an old one; its number, and whether both planes are linked now.
    fn establish(&self, plane: Plane, outbound: Outbound, closer: Closer) -> (u64, bool) {
        let mut links = self.links.lock().expect("nobody panics with the lock held");
        let number = self.established.fetch_add(1, Relaxed);
        if let Some(old) = links[plane as usize].replace(Link { number, outbound, closer }) {
            old.closer.close(StreamError::Replaced);
        }
        (number, links.iter().all(Option::is_some))
    }

    fn lose(&self, plane: Plane, number: u64) {
        let mut links = self.links.lock().expect("nobody panics with the lock held");
        links[plane as usize].take_if(|link| link.number == number);
    }
}

/// What all links of a process share.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) chain: ChainId,
    pub(crate) authority: AuthorityIndex,
    /// The roles of this process, ascending.
    pub(crate) roles: Vec<Role>,
    /// Processes that this one dials.
    pub(crate) dialled: Vec<(Arc<Peer>, Arc<ClientConfig>)>,
    /// Processes that dial this one.
    pub(crate) accepted: Vec<Arc<Peer>>,
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) router: Arc<Router>,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) clock: Clock,
    pub(crate) stopping: Stopping,
}

impl Links {
    /// Starts all tasks within the current runtime.
    pub(crate) fn start(self: Arc<Self>, listener: TcpListener) {
        for (peer, config) in &self.dialled {
            for plane in [Plane::Control, Plane::Bulk] {
                let connector = TlsConnector::from(Arc::clone(config));
                tokio::spawn(Arc::clone(&self).keep(Arc::clone(peer), plane, connector));
            }
        }
        tokio::spawn(self.accept(listener));
    }

    /// Keeps one link standing from the dialling side.
    async fn keep(self: Arc<Self>, peer: Arc<Peer>, plane: Plane, connector: TlsConnector) {
        let mut stopping = self.stopping.clone();
        let mut delay = REDIAL_DELAY_MIN;
        while !stopping.is_asked() {
            let start = self.clock.now();
            match self.dial(&peer, plane, &connector).await {
                Ok(()) => {}
                // Of a process that stays away one line is enough.
                Err(_) if delay > REDIAL_DELAY_MIN => count(&self.counters.links_failed),
                Err(error) => self.give_up(&peer.address, &error),
            }
            if u128::from(self.clock.now().since(start)) >= LINK_LIFE_MIN.as_micros() {
                delay = REDIAL_DELAY_MIN;
            }
            tokio::select! {
                () = sleep(jittered(delay)) => delay = REDIAL_DELAY_MAX.min(delay * 2),
                () = stopping.asked() => {}
            }
        }
    }

    async fn dial(
        &self,
        peer: &Arc<Peer>,
        plane: Plane,
        connector: &TlsConnector,
    ) -> Result<(), StreamError> {
        let handshake = async {
            let stream = TcpStream::connect(&peer.address).await?;
            tune(&stream)?;
            let mut stream = connector.connect(tls::server_name(), stream).await?;
            write_hello(&mut stream, &self.hello(plane)).await?;
            let hello = read_hello(&mut stream).await?;
            same_chain(&hello, self.chain)?;
            if hello.roles != peer.roles || hello.plane != plane {
                return Err(StreamError::Unexpected(hello));
            }
            Ok(stream)
        };
        let stream = timeout(HANDSHAKE_TIMEOUT, handshake).await??;
        self.serve(stream, peer, plane).await
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let mut stopping = self.stopping.clone();
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        let acceptor = TlsAcceptor::from(Arc::clone(&self.server));
        loop {
            let place = Arc::clone(&handshakes).acquire_owned().await.expect("never closed");
            let (stream, address) = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        self.reports.gave_up("peer listener", &error);
                        sleep(REDIAL_DELAY_MIN).await;
                        continue;
                    }
                },
                () = stopping.asked() => return,
            };
            let (links, acceptor) = (Arc::clone(&self), acceptor.clone());
            tokio::spawn(async move {
                let result = match timeout(HANDSHAKE_TIMEOUT, links.greet(stream, &acceptor)).await {
                    Err(elapsed) => Err(elapsed.into()),
                    Ok(Err(error)) => Err(error),
                    Ok(Ok((stream, peer, plane))) => {
                        drop(place);
                        links.serve(stream, &peer, plane).await
                    }
                };
                if let Err(error) = result {
                    links.give_up(&address.to_string(), &error);
                }
            });
        }
    }

    /// Finds out who dialled.
    async fn greet(
        &self,
        stream: TcpStream,
        acceptor: &TlsAcceptor,
    ) -> Result<(impl AsyncRead + AsyncWrite + Unpin + use<>, Arc<Peer>, Plane), StreamError> {
        tune(&stream)?;
        let mut stream = acceptor.accept(stream).await?;
        let certificates = stream.get_ref().1.peer_certificates().and_then(<[CertificateDer<'_>]>::first);
        let key = tls::key_of(certificates.ok_or(rustls::Error::NoCertificatesPresented)?)?;
        let hello = read_hello(&mut stream).await?;
        // The other side shall learn from the answer what was wrong.
        write_hello(&mut stream, &self.hello(hello.plane)).await?;
        same_chain(&hello, self.chain)?;
        let peer = self.accepted.iter().find(|peer| peer.key == key && peer.roles == hello.roles);
        match peer {
            Some(peer) => Ok((stream, Arc::clone(peer), hello.plane)),
            None => Err(StreamError::Unexpected(hello)),
        }
    }

    /// Serves an established link until it ends.
    async fn serve(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        peer: &Arc<Peer>,
        plane: Plane,
    ) -> Result<(), StreamError> {
        let (reader, writer) = tokio::io::split(stream);
        let (outbound, mut waiting) = Outbound::new(LINK_FRAMES_MAX, LINK_BYTES_MAX);
        let closer = Closer::default();
        let (number, complete) = peer.establish(plane, outbound, closer.clone());
        count(&self.counters.links_established);
        if complete {
            for party in peer.roles.iter().filter_map(|role| roles::party(peer.authority, *role)) {
                for inbox in self.router.acquainted(party) {
                    inbox.deliver(Input::Connected(party)).await;
                }
            }
        }
        let read = self.read(BufReader::with_capacity(BUFFER_BYTES, reader), peer, plane, &closer);
        let mut writer = BufWriter::with_capacity(BUFFER_BYTES, writer);
        let result = pump(read, &mut writer, &mut waiting, &closer, self.stopping.clone()).await;
        peer.lose(plane, number);
        result
    }

    async fn read(
        &self,
        mut reader: impl AsyncRead + Unpin,
        peer: &Peer,
        plane: Plane,
        closer: &Closer,
    ) -> StreamError {
        let budget = Arc::new(Semaphore::new(LINK_UNHANDLED_BYTES_MAX));
        let lane = self.lanes.lane(plane, u64::from(peer.authority.0));
        loop {
            let arrival = match read_frame(&mut reader, &budget, BODY_BYTES_MAX).await {
                Ok(arrival) => arrival,
                Err(error) => return error,
            };
            count(&self.counters.link_frames_in);
            add(&self.counters.link_bytes_in, arrival.body.len());
            let from = Some(arrival.header.from).filter(|role| peer.roles.contains(role));
            let from = from.and_then(|role| roles::party(peer.authority, role));
            let to = roles::party(self.authority, arrival.header.to);
            let inbox = to.and_then(|to| self.router.inbox(to)).cloned();
            let (Some(from), Some(to), Some(inbox)) = (from, to, inbox) else {
                count(&self.counters.bad_messages);
                return StreamError::Misaddressed;
            };
            let work = Work::Peer { from, to, inbox, closer: closer.clone(), arrival };
            lane.put_peer(work);
        }
    }

    fn hello(&self, plane: Plane) -> Hello {
        Hello { chain: self.chain, roles: self.roles.clone(), plane }
    }

    fn give_up(&self, whom: &str, error: &StreamError) {
        count(&self.counters.links_failed);
        self.reports.gave_up(whom, error);
    }
}

/// A listener for `address`, bound before any runtime thread needs it.
pub(crate) fn bind(address: &str) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let local = listener.local_addr()?;
    Ok((TcpListener::from_std(listener)?, local))
}

/// Between half of `delay` and all of it, so that processes that lost one another do not dial in step.
fn jittered(delay: Duration) -> Duration {
    let mut random = [0; 1];
    // Without randomness the full delay is as good.
    let part = getrandom::fill(&mut random).map_or(u32::from(u8::MAX), |()| u32::from(random[0]));
    delay / 2 + delay / 2 * part / u32::from(u8::MAX)
}

/// What a link reads or writes at once when there is that much.
const BUFFER_BYTES: usize = 64 << 10;
