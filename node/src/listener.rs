//! Listeners for HTTP: so many connections and no more, each given up when it says nothing for too long, and none read
//! faster than it is answered. That last part is for WebSockets, on which a caller could otherwise ask without ever
//! reading what it is told.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use axum::serve::Listener;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep},
};

/// A listener that has room for so many connections and lets others wait.
#[derive(Debug)]
pub(crate) struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
    patience: Duration,
    open_max: usize,
}

impl Bounded {
    /// At most `connections` at a time, each of which may say nothing for as long as `patience`, and is not read while
    /// it has more than `open_max` [`Open`] calls.
    pub(crate) fn new(
        listener: TcpListener,
        connections: usize,
        patience: Duration,
        open_max: usize,
    ) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(connections)), patience, open_max }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await.expect("nobody closes it");
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // Without it answers may come a little later.
        let _ = stream.set_nodelay(true);
        let flow = Arc::new(Flow { open_max: self.open_max, ..Flow::default() });
        let (patience, silence) = (self.patience, Box::pin(sleep(self.patience)));
        (Connection { stream, silence, patience, flow, is_ahead: false, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection with its place.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// Ends when the other side neither said nor took anything for too long.
    silence: Pin<Box<Sleep>>,
    patience: Duration,
    flow: Arc<Flow>,
    /// Something was read, and nobody else had a turn since.
    is_ahead: bool,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    /// A mark for the calls that come over this connection.
    pub(crate) fn open(&self) -> Open {
        Open::of(&self.flow)
    }

    fn stir(&mut self) {
        let end = Instant::now() + self.patience;
        self.silence.as_mut().reset(end);
    }
}

/// Whether a connection shall be read.
#[derive(Debug, Default)]
struct Flow {
    open: AtomicUsize,
    open_max: usize,
    /// The other side takes nothing.
    blocked: AtomicBool,
    reader: Mutex<Option<Waker>>,
}

impl Flow {
    fn is_full(&self) -> bool {
        self.blocked.load(SeqCst) || self.open.load(SeqCst) > self.open_max
    }

    fn wake(&self) {
        if let Some(reader) = self.reader.lock().expect("nobody panics with the lock held").take() {
            reader.wake();
        }
    }
}

/// Held by whatever is done for a connection: while too many are held, it is not read.
#[derive(Debug)]
pub(crate) struct Open(Arc<Flow>);

impl Open {
    fn of(flow: &Arc<Flow>) -> Self {
        flow.open.fetch_add(1, SeqCst);
        Self(Arc::clone(flow))
    }
}

impl Clone for Open {
    fn clone(&self) -> Self {
        Self::of(&self.0)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, SeqCst) == self.0.open_max + 1 {
            self.0.wake();
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.flow.is_full() {
            let waker = context.waker().clone();
            self.flow.reader.lock().expect("nobody panics with the lock held").replace(waker);
        }
        // One read a turn: those who answer what was read come first, so that it does not pile up before them.
        if std::mem::take(&mut self.is_ahead) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        // Looked at again: whoever made room before the waker stood there woke nobody.
        if !self.flow.is_full()
            && let Poll::Ready(result) = Pin::new(&mut self.stream).poll_read(context, buffer)
        {
            self.stir();
            self.is_ahead = true;
            return Poll::Ready(result);
        }
        ready!(self.silence.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if written.is_ready() {
            self.stir();
        }
        if self.flow.blocked.swap(written.is_pending(), SeqCst) && written.is_ready() {
            self.flow.wake();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        runtime,
        time::timeout,
    };

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    /// Runs `test` with both ends of a connection to a listener with this patience and room for two calls.
    fn with_connection<F: Future<Output = ()>>(
        patience: Duration,
        test: impl FnOnce(Connection, TcpStream) -> F,
    ) {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
            let mut listener = Bounded::new(listener, 1, patience, 2);
            let address = listener.local_addr().expect("bound");
            let (theirs, (ours, _)) = tokio::join!(TcpStream::connect(address), listener.accept());
            test(ours, theirs.expect("loopback")).await;
        });
    }

    /// Whether a byte comes before long.
    async fn reads(connection: &mut Connection) -> bool {
        let read = timeout(Duration::from_millis(100), connection.read_u8()).await;
        read.is_ok_and(|byte| byte.is_ok())
    }

    #[test]
    fn who_says_nothing_is_given_up_and_who_speaks_is_not() {
        let patience = Duration::from_millis(300);
        with_connection(patience, |mut ours, mut theirs| async move {
            for _ in 0..4 {
                theirs.write_u8(1).await.expect("open");
                assert_eq!(ours.read_u8().await.expect("open"), 1);
                sleep(patience / 2).await;
            }
            let error = timeout(SOON, ours.read_u8()).await.expect("in time").expect_err("given up");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        });
    }

    #[test]
    fn who_has_too_many_open_calls_is_not_read() {
        with_connection(SOON, |mut ours, mut theirs| async move {
            theirs.write_all(&[1; 8]).await.expect("open");
            let first = ours.open();
            let calls = (first.clone(), first.clone());
            assert!(!reads(&mut ours).await, "three of two");
            let (read, ()) = tokio::join!(timeout(SOON, ours.read_u8()), async { drop(calls.1) });
            assert_eq!(read.expect("who reads is woken").expect("open"), 1);
        });
    }

    #[test]
    fn between_two_reads_others_have_a_turn() {
        with_connection(SOON, |mut ours, mut theirs| async move {
            theirs.write_all(&[1; 32]).await.expect("open");
            let turns = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&turns);
            let others = tokio::spawn(async move {
                loop {
                    counted.fetch_add(1, SeqCst);
                    tokio::task::yield_now().await;
                }
            });
            for read in 0..32 {
                assert_eq!(ours.read_u8().await.expect("open"), 1);
                assert!(turns.load(SeqCst) >= read, "before byte {read}");
            }
            others.abort();
        });
    }

    #[test]
    fn who_takes_nothing_is_not_read() {
        with_connection(SOON, |ours, mut theirs| async move {
            theirs.write_all(&[1; 8]).await.expect("open");
            let (mut reader, mut writer) = tokio::io::split(ours);
            let write = async {
                // Until the buffers between them are full.
                while timeout(Duration::from_millis(100), writer.write_all(&[0; 1 << 16])).await.is_ok() {}
            };
            write.await;
            let read = timeout(Duration::from_millis(100), reader.read_u8()).await;
            assert!(read.is_err(), "it is not read: {read:?}");
            let mut sink = vec![0; 1 << 16];
            let (read, _, _) = tokio::join!(
                timeout(SOON, reader.read_u8()),
                timeout(Duration::from_secs(1), async {
                    while theirs.read(&mut sink).await.is_ok_and(|n| n > 0) {}
                }),
                timeout(Duration::from_secs(1), writer.write_all(&[0; 8])),
            );
            assert_eq!(read.expect("who reads is woken").expect("open"), 1);
        });
    }
}
