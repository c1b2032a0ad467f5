//! Frames on a byte stream, in both directions, for links and clients alike.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use fresnel_types::{
    ChainId, CodecError, VerifyError, decode,
    frame::{FrameError, HEADER_BYTES, Header, Hello, Role, hello_frame},
};
use rustix::net::sockopt;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::{error::Elapsed, timeout},
};

use crate::limits::{
    FRAME_BYTES_MIN, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_QUESTIONS, STALL_TIMEOUT,
};

/// Why a connection was given up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    #[error("the connection broke")]
    Io(#[from] io::Error),
    #[error("the other side took or gave nothing for too long")]
    Stalled(#[from] Elapsed),
    #[error("the other side sent something that is no frame")]
    Frame(#[from] FrameError),
    #[error("the first frame is not a hello")]
    NoHello,
    #[error("the hello is unreadable")]
    Hello(#[source] CodecError),
    #[error("the other side is on chain {0}")]
    Chain(ChainId),
    #[error("the other side is not what the topology says: {0:?}")]
    Unexpected(Hello),
    #[error("a message between machines that may not talk so")]
    Misaddressed,
    #[error("the other side sent a message that no honest one sends")]
    Bad(#[from] VerifyError),
    #[error("the other side does not read what it is sent")]
    Overflow,
    #[error("it was idle, and others wanted its place")]
    Evicted,
    #[error("a newer connection took its place")]
    Replaced,
    #[error("the TLS handshake failed")]
    Tls(#[from] rustls::Error),
    #[error("the process stops")]
    Stopping,
}

/// Prepares a connection: frames leave at once, and a silent other side is noticed.
pub(crate) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_QUESTIONS)?;
    Ok(())
}

/// An encoded frame, shared by all who are sent the same.
pub(crate) type Frame = Arc<Vec<u8>>;

/// A frame as it came, its body unread, with the share of its connection's bytes.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) header: Header,
    pub(crate) body: Vec<u8>,
    pub(crate) share: OwnedSemaphorePermit,
}

/// Closes a connection from outside its task, giving a reason.
#[derive(Clone, Debug, Default)]
pub(crate) struct Closer(Arc<Closing>);

#[derive(Debug, Default)]
struct Closing {
    closed: AtomicBool,
    reason: Mutex<Option<StreamError>>,
    notify: Notify,
}

impl Closer {
    /// Closes; whether it was open before. The first reason counts.
    pub(crate) fn close(&self, reason: StreamError) -> bool {
        let first = !self.0.closed.swap(true, Relaxed);
        if first {
            *self.0.reason.lock().expect("nobody panics with the lock held") = Some(reason);
            self.0.notify.notify_one();
        }
        first
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.closed.load(Relaxed)
    }

    /// Waits until somebody closes, and says why. One task may wait, once.
    async fn closed(&self) -> StreamError {
        self.0.notify.notified().await;
        let reason = self.0.reason.lock().expect("nobody panics with the lock held").take();
        reason.unwrap_or(StreamError::Stopping)
    }
}

/// Tells the tasks of a process that it stops.
#[derive(Clone, Debug)]
pub(crate) struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Not stopping yet, and how to change that.
    pub(crate) fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    pub(crate) fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the process stops.
    pub(crate) async fn asked(&mut self) {
        // Without a sender the process is gone, which is the same.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

/// The end of a connection's outgoing queue that others hold.
#[derive(Clone, Debug)]
pub(crate) struct Outbound {
    frames: mpsc::Sender<Frame>,
    bytes: Arc<AtomicUsize>,
    bytes_max: usize,
}

/// The end that the connection's task empties.
#[derive(Debug)]
pub(crate) struct Waiting {
    frames: mpsc::Receiver<Frame>,
    bytes: Arc<AtomicUsize>,
}

impl Outbound {
    pub(crate) fn new(frames_max: usize, bytes_max: usize) -> (Self, Waiting) {
        let (sender, receiver) = mpsc::channel(frames_max);
        let bytes = Arc::new(AtomicUsize::new(0));
        let waiting = Waiting { frames: receiver, bytes: Arc::clone(&bytes) };
        (Self { frames: sender, bytes, bytes_max }, waiting)
    }

    /// Queues a frame if there is room; whether there was. Never waits.
    pub(crate) fn offer(&self, frame: Frame) -> bool {
        let bytes = frame.len();
        if self.bytes.fetch_add(bytes, Relaxed) <= self.bytes_max && self.frames.try_send(frame).is_ok() {
            return true;
        }
        self.bytes.fetch_sub(bytes, Relaxed);
        false
    }
}

impl Waiting {
    /// The next frame, for a client that is no connection; none once nobody can add to it.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let frame = self.frames.recv().await?;
        self.bytes.fetch_sub(frame.len(), Relaxed);
        Some(frame)
    }
}

/// Serves an established connection until it breaks, is closed, or the process stops: then nothing more is read, and
/// what waits is written until nobody can add to it. `read` takes what comes in and ends only with an error.
pub(crate) async fn pump(
    read: impl Future<Output = StreamError>,
    writer: &mut (impl AsyncWrite + Unpin),
    waiting: &mut Waiting,
    closer: &Closer,
    mut stopping: Stopping,
) -> Result<(), StreamError> {
    let read = async {
        tokio::select! {
            error = read => Err(error),
            () = stopping.asked() => Ok(()),
        }
    };
    let write = async {
        write_frames(writer, waiting).await?;
        Ok(timeout(STALL_TIMEOUT, writer.shutdown()).await??)
    };
    tokio::select! {
        done = async { tokio::try_join!(read, write) } => done.map(|_| ()),
        reason = closer.closed() => Err(reason),
    }
}

async fn write_frames(
    writer: &mut (impl AsyncWrite + Unpin),
    waiting: &mut Waiting,
) -> Result<(), StreamError> {
    while let Some(first) = waiting.frames.recv().await {
        let mut next = Some(first);
        while let Some(frame) = next.take() {
            timeout(STALL_TIMEOUT, writer.write_all(&frame)).await??;
            waiting.bytes.fetch_sub(frame.len(), Relaxed);
            next = waiting.frames.try_recv().ok();
        }
        timeout(STALL_TIMEOUT, writer.flush()).await??;
    }
    Ok(())
}

/// Reads one frame. The body is read only once `budget`, the connection's bytes, has room for it.
pub(crate) async fn read_frame(
    reader: &mut (impl AsyncRead + Unpin),
    budget: &Arc<Semaphore>,
    body_bytes_max: usize,
) -> Result<Arrival, StreamError> {
    let mut header = [0; HEADER_BYTES];
    reader.read_exact(&mut header).await?;
    let header = Header::parse(&header)?;
    let kind = header.kind.ok_or(StreamError::Misaddressed)?;
    if header.body_bytes > body_bytes_max {
        let (bytes, limit) = (header.body_bytes, body_bytes_max);
        return Err(FrameError::Length { kind: kind as u8, bytes, limit }.into());
    }
    let bytes = u32::try_from(header.body_bytes.max(FRAME_BYTES_MIN)).expect("a frame is below 2^32 bytes");
    let share = Arc::clone(budget)
        .acquire_many_owned(bytes)
        .await
        .expect("the budget of a connection is never closed");
    let mut body = vec![0; header.body_bytes];
    timeout(STALL_TIMEOUT, reader.read_exact(&mut body)).await??;
    Ok(Arrival { header, body, share })
}

/// Writes the first frame.
pub(crate) async fn write_hello(
    writer: &mut (impl AsyncWrite + Unpin),
    hello: &Hello,
) -> Result<(), StreamError> {
    writer.write_all(&hello_frame(hello)).await?;
    Ok(writer.flush().await?)
}

/// Reads the first frame.
pub(crate) async fn read_hello(reader: &mut (impl AsyncRead + Unpin)) -> Result<Hello, StreamError> {
    let mut header = [0; HEADER_BYTES];
    reader.read_exact(&mut header).await?;
    let header = Header::parse(&header)?;
    if header.kind.is_some() {
        return Err(StreamError::NoHello);
    }
    let mut body = vec![0; header.body_bytes];
    reader.read_exact(&mut body).await?;
    let mut hello: Hello = decode(&body).map_err(StreamError::Hello)?;
    hello.roles.sort_unstable();
    Ok(hello)
}

/// Whether the other side is on `chain`.
pub(crate) fn same_chain(hello: &Hello, chain: ChainId) -> Result<(), StreamError> {
    if hello.chain == chain { Ok(()) } else { Err(StreamError::Chain(hello.chain)) }
}

/// Roles in the order in which hellos are compared.
pub(crate) fn ordered(roles: &[Role]) -> Vec<Role> {
    let mut roles = roles.to_vec();
    roles.sort_unstable();
    roles
}
