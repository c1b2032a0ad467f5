//! One connection: the greeting, the two halves with the task behind each, and the sequential client over them.

use std::{collections::VecDeque, future::Future, io, net::SocketAddr, time::Duration};

use fresnel_types::{
    Address, BlockIndex, ChainId, CodecError, Message, Nonce, RejectionCode, ShardId, SignedTransaction,
    codec,
    frame::{FrameError, HEADER_BYTES, Header, Hello, Role, hello_frame, message_frame},
    leaves::Account,
    limits::SUBMISSION_MAX,
    message::{Kind, Plane},
    status::{Answer, Progress, Query},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::timeout,
};

use crate::{
    limits::{ANSWER_TIMEOUT, CONNECT_TIMEOUT, EVENTS_ASIDE, EVENTS_WAITING, FRAMES_WAITING, ROLES_MAX},
    wallet::free_nonces,
};

/// A connection to a process, used by one task: each call waits for what it asked.
#[derive(Debug)]
pub struct Client {
    requests: Requests,
    events: Events,
    roles: Vec<Role>,
    aside: VecDeque<Event>,
}

/// Why a connection is no use, or a request none.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The process cannot be reached, or the connection broke.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// The other side does not speak our frames.
    #[error("the process sent something unreadable")]
    Frame(#[from] FrameError),
    /// The greeting is unreadable.
    #[error("the process sent an unreadable greeting")]
    Hello(#[from] CodecError),
    /// The first frame was none that greets.
    #[error("the process did not greet")]
    NoHello,
    /// The process serves another chain.
    #[error("the process serves chain {theirs}, not {ours}")]
    WrongChain {
        /// The chain asked for.
        ours: ChainId,
        /// The chain served.
        theirs: ChainId,
    },
    /// Nothing came in time.
    #[error("nothing came within {0:?}")]
    Timeout(Duration),
    /// The process sent a kind of message that clients do not take.
    #[error("the process sent {0:?}, which is not for clients")]
    Unexpected(Kind),
    /// The connection ended.
    #[error("the connection is closed")]
    Closed,
    /// The queue of requests is full: the process reads more slowly than we write.
    #[error("too many requests are waiting to be written")]
    Full,
    /// More transactions than one submission takes.
    #[error("{0} transactions in one submission, at most {SUBMISSION_MAX} are allowed")]
    TooMany(usize),
    /// The process does not host the asked machine.
    #[error("the process hosts no {0:?}")]
    NoSuchRole(Role),
    /// The worker has not come as far as what was seen before.
    #[error("the worker has executed block {executed}, and block {wanted} was seen before")]
    Behind {
        /// The last block that it executed.
        executed: BlockIndex,
        /// The block that was seen.
        wanted: BlockIndex,
    },
    /// The answer is to another question.
    #[error("the answer is not one to the question")]
    WrongAnswer,
}

/// What comes from the process.
#[derive(Debug)]
pub enum Event {
    /// The result of a submission.
    Admission(Admission),
    /// News about transactions submitted on this connection.
    Progress(Vec<Progress>),
    /// The answer to the question with this number.
    Answer {
        /// The number of the question.
        request: u64,
        /// What it answers.
        answer: Answer,
    },
    /// The connection ended; nothing comes after this.
    Closed(ClientError),
}

/// The result of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The number of the submission.
    pub request: u64,
    /// One per transaction, in order; `None` is admitted.
    pub results: Vec<Option<RejectionCode>>,
    /// When some are refused for overload: after which time trying again makes sense.
    pub retry_after: Duration,
}

impl Client {
    /// Connects and greets.
    ///
    /// # Errors
    /// When nobody answers in time, or not for `chain`.
    pub async fn connect(address: SocketAddr, chain: ChainId) -> Result<Self, ClientError> {
        within(CONNECT_TIMEOUT, async {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let hello = Hello { chain, roles: Vec::new(), plane: Plane::Bulk };
            stream.write_all(&hello_frame(&hello)).await?;
            let (read, write) = stream.into_split();
            let mut read = BufReader::with_capacity(READ_BYTES, read);
            let theirs = read_hello(&mut read).await?;
            if theirs.chain != chain {
                return Err(ClientError::WrongChain { ours: chain, theirs: theirs.chain });
            }
            let (frames, waiting) = mpsc::channel(FRAMES_WAITING);
            let (events, taken) = mpsc::channel(EVENTS_WAITING);
            tokio::spawn(write_frames(write, waiting));
            tokio::spawn(read_events(read, events));
            Ok(Self {
                requests: Requests { frames, next: 0 },
                events: Events { taken },
                roles: theirs.roles,
                aside: VecDeque::new(),
            })
        })
        .await
    }

    /// The machines that the process hosts.
    pub fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// The two halves, for streaming. Drop both to close the connection.
    pub fn split(self) -> (Requests, Events) {
        (self.requests, self.events)
    }

    /// Submits transactions to the worker of `shard` and waits for the result. What comes meanwhile is kept for
    /// [`Self::progress`].
    ///
    /// # Errors
    /// When they are too many, the process hosts no such worker, or the connection fails.
    pub async fn submit(
        &mut self,
        shard: ShardId,
        transactions: Vec<SignedTransaction>,
    ) -> Result<Admission, ClientError> {
        self.must_host(Role::Worker(shard))?;
        let sent = self.requests.submit(shard, transactions).await?;
        self.wait(|event| match event {
            Event::Admission(admission) if admission.request == sent => Ok(admission),
            other => Err(other),
        })
        .await
    }

    /// The next news about submitted transactions, however long it takes.
    ///
    /// # Errors
    /// When the connection ended.
    pub async fn progress(&mut self) -> Result<Vec<Progress>, ClientError> {
        loop {
            let event = match self.aside.pop_front() {
                Some(event) => event,
                None => self.events.next().await,
            };
            match event {
                Event::Progress(news) => return Ok(news),
                Event::Closed(error) => return Err(error),
                Event::Admission(_) | Event::Answer { .. } => {}
            }
        }
    }

    /// Asks a machine and waits for the answer.
    ///
    /// # Errors
    /// When the process hosts no such machine or the connection fails.
    pub async fn query(&mut self, role: Role, query: Query) -> Result<Answer, ClientError> {
        self.must_host(role)?;
        let sent = self.requests.ask(role, query).await?;
        self.wait(|event| match event {
            Event::Answer { request, answer } if request == sent => Ok(answer),
            other => Err(other),
        })
        .await
    }

    /// The account of `address` as the worker of `shard` last executed it; `None` when there is no such account.
    ///
    /// # Errors
    /// As for [`Self::query`].
    pub async fn account(
        &mut self,
        shard: ShardId,
        address: Address,
    ) -> Result<Option<Account>, ClientError> {
        match self.query(Role::Worker(shard), Query::Account(address)).await? {
            Answer::Account { account, .. } => Ok(account),
            _ => Err(ClientError::WrongAnswer),
        }
    }

    /// Up to `count` nonces that the account of `address` accepts, lowest first; none when it does not exist. They are
    /// as of the last executed block: what is still on its way is not seen.
    ///
    /// # Errors
    /// As for [`Self::query`].
    pub async fn nonces(
        &mut self,
        shard: ShardId,
        address: Address,
        count: usize,
    ) -> Result<Vec<Nonce>, ClientError> {
        let account = self.account(shard, address).await?;
        Ok(account.map_or_else(Vec::new, |account| free_nonces(&account, count)))
    }

    fn must_host(&self, role: Role) -> Result<(), ClientError> {
        if self.roles.contains(&role) { Ok(()) } else { Err(ClientError::NoSuchRole(role)) }
    }

    /// Waits for the event that `wanted` takes; keeps news that come meanwhile, and drops answers nobody waits for
    /// any more.
    async fn wait<T>(&mut self, mut wanted: impl FnMut(Event) -> Result<T, Event>) -> Result<T, ClientError> {
        let Self { events, aside, .. } = self;
        within(ANSWER_TIMEOUT, async {
            loop {
                match wanted(events.next().await) {
                    Ok(found) => return Ok(found),
                    Err(Event::Closed(error)) => return Err(error),
                    Err(event @ Event::Progress(_)) => {
                        if aside.len() == EVENTS_ASIDE {
                            aside.pop_front();
                        }
                        aside.push_back(event);
                    }
                    Err(Event::Admission(_) | Event::Answer { .. }) => {}
                }
            }
        })
        .await
    }
}

/// The sending half: encodes requests and queues them for the task that writes. Numbers count up per connection.
#[derive(Debug)]
pub struct Requests {
    frames: mpsc::Sender<Vec<u8>>,
    next: u64,
}

impl Requests {
    /// Queues a submission, waiting for room, and gives its number.
    ///
    /// # Errors
    /// When the transactions are too many or the connection is closed.
    pub async fn submit(
        &mut self,
        shard: ShardId,
        transactions: Vec<SignedTransaction>,
    ) -> Result<u64, ClientError> {
        let (request, frame) = self.submission(shard, transactions)?;
        self.frames.send(frame).await.map_err(|_| ClientError::Closed)?;
        Ok(request)
    }

    /// Queues a submission if there is room, and gives its number.
    ///
    /// # Errors
    /// As for [`Self::submit`], and [`ClientError::Full`] when there is no room.
    pub fn try_submit(
        &mut self,
        shard: ShardId,
        transactions: Vec<SignedTransaction>,
    ) -> Result<u64, ClientError> {
        if self.frames.capacity() == 0 && !self.frames.is_closed() {
            return Err(ClientError::Full);
        }
        let (request, frame) = self.submission(shard, transactions)?;
        self.try_send(frame)?;
        Ok(request)
    }

    /// Queues a question, waiting for room, and gives its number.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn ask(&mut self, role: Role, query: Query) -> Result<u64, ClientError> {
        let (request, frame) = self.question(role, query);
        self.frames.send(frame).await.map_err(|_| ClientError::Closed)?;
        Ok(request)
    }

    /// Queues a question if there is room, and gives its number.
    ///
    /// # Errors
    /// When the connection is closed, and [`ClientError::Full`] when there is no room.
    pub fn try_ask(&mut self, role: Role, query: Query) -> Result<u64, ClientError> {
        let (request, frame) = self.question(role, query);
        self.try_send(frame)?;
        Ok(request)
    }

    fn submission(
        &mut self,
        shard: ShardId,
        transactions: Vec<SignedTransaction>,
    ) -> Result<(u64, Vec<u8>), ClientError> {
        if transactions.len() > SUBMISSION_MAX {
            return Err(ClientError::TooMany(transactions.len()));
        }
        let request = self.number();
        let message = Message::Submit { request, transactions };
        Ok((request, message_frame(Role::Client, Role::Worker(shard), &message)))
    }

    fn question(&mut self, role: Role, query: Query) -> (u64, Vec<u8>) {
        let request = self.number();
        (request, message_frame(Role::Client, role, &Message::Query { request, query }))
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn try_send(&self, frame: Vec<u8>) -> Result<(), ClientError> {
        self.frames.try_send(frame).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ClientError::Full,
            mpsc::error::TrySendError::Closed(_) => ClientError::Closed,
        })
    }
}

/// The receiving half. Whoever holds it takes what comes; as long as nobody does, the process is not read.
#[derive(Debug)]
pub struct Events {
    taken: mpsc::Receiver<Event>,
}

impl Events {
    /// The next event; [`Event::Closed`] for ever once the connection ended.
    pub async fn next(&mut self) -> Event {
        self.taken.recv().await.unwrap_or(Event::Closed(ClientError::Closed))
    }
}

/// Writes frames until the requests half is dropped or the connection breaks. The reader reports why.
async fn write_frames(mut write: OwnedWriteHalf, mut waiting: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = waiting.recv().await {
        if write.write_all(&frame).await.is_err() {
            return;
        }
    }
    // The process may see the end at once; if it is gone already there is nobody to tell.
    let _ = write.shutdown().await;
}

/// Reads frames until the events half is dropped or the connection breaks.
async fn read_events(mut read: BufReader<OwnedReadHalf>, events: mpsc::Sender<Event>) {
    let mut body = Vec::new();
    loop {
        let event = tokio::select! {
            event = read_event(&mut read, &mut body) => event,
            () = events.closed() => return,
        };
        let ended = event.is_err();
        if events.send(event.unwrap_or_else(Event::Closed)).await.is_err() || ended {
            return;
        }
    }
}

async fn read_event(read: &mut BufReader<OwnedReadHalf>, body: &mut Vec<u8>) -> Result<Event, ClientError> {
    let header = read_frame(read, body).await?;
    match header.message(body)? {
        Message::Admission { request, results, retry_after } => Ok(Event::Admission(Admission {
            request,
            results,
            retry_after: Duration::from_micros(retry_after),
        })),
        Message::Progress(news) => Ok(Event::Progress(news)),
        Message::Answer { request, answer } => Ok(Event::Answer { request, answer }),
        other => Err(ClientError::Unexpected(other.kind())),
    }
}

async fn read_hello(read: &mut BufReader<OwnedReadHalf>) -> Result<Hello, ClientError> {
    let mut body = Vec::new();
    let header = read_frame(read, &mut body).await?;
    if header.kind.is_some() {
        return Err(ClientError::NoHello);
    }
    let hello: Hello = codec::decode(&body)?;
    if hello.roles.len() > ROLES_MAX { Err(ClientError::NoHello) } else { Ok(hello) }
}

async fn read_frame(read: &mut BufReader<OwnedReadHalf>, body: &mut Vec<u8>) -> Result<Header, ClientError> {
    let mut header = [0; HEADER_BYTES];
    if let Err(error) = read.read_exact(&mut header).await {
        return Err(match error.kind() {
            io::ErrorKind::UnexpectedEof => ClientError::Closed,
            _ => error.into(),
        });
    }
    let header = Header::parse(&header)?;
    body.resize(header.body_bytes, 0);
    read.read_exact(body).await?;
    Ok(header)
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    timeout(limit, work).await.unwrap_or(Err(ClientError::Timeout(limit)))
}

/// Bytes read from the socket at once.
const READ_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests;
