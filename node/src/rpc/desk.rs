//! The client inside the process by which RPC calls reach its machines: submissions, questions and news go the same way
//! as those of clients that come over the network. All callers share it; each is told what it asked for.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use fresnel_types::{
    AuthorityIndex, Message, RejectionCode, ShardId, SignedTransaction, TransactionId,
    frame::{HEADER_BYTES, Header, Role, message_frame},
    message::Plane,
    rpc::{Code, Failure},
    status::{Answer, Progress, Query},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch},
    time::timeout,
};

use super::fault::Fault;
use crate::{
    limits::{CLIENT_UNHANDLED_BYTES_MAX, FRAME_BYTES_MIN, RPC_CALLS_MAX, RPC_FOLLOWED_MAX},
    queue::LaneQueue,
    roles,
    router::Router,
    stream::{Arrival, Waiting},
    verify::{ClientLink, Lanes, Work},
};

/// The client.
pub(super) struct Desk {
    router: Arc<Router>,
    authority: AuthorityIndex,
    lane: Arc<LaneQueue>,
    /// Of what was said and is not handled.
    bytes: Arc<Semaphore>,
    calls: Arc<Semaphore>,
    open: Mutex<Open>,
}

/// Who waits for what.
struct Open {
    link: Arc<ClientLink>,
    next: u64,
    replies: BTreeMap<u64, oneshot::Sender<Reply>>,
    followed: BTreeMap<TransactionId, watch::Sender<Option<Progress>>>,
}

enum Reply {
    Answer(Answer),
    Admission { result: Option<RejectionCode>, retry_after: u64 },
}

impl Desk {
    /// Takes a place among the process' clients. `run` must be polled for anything to be heard.
    pub(super) fn new(router: Arc<Router>, authority: AuthorityIndex, lanes: &Lanes) -> (Arc<Self>, Waiting) {
        let (link, waiting) = router.clients.enter();
        let lane = lanes.lane(Plane::Bulk, link.id.0);
        let open = Open { link, next: 0, replies: BTreeMap::new(), followed: BTreeMap::new() };
        let desk = Self {
            router,
            authority,
            lane,
            bytes: Arc::new(Semaphore::new(CLIENT_UNHANDLED_BYTES_MAX)),
            calls: Arc::new(Semaphore::new(RPC_CALLS_MAX)),
            open: Mutex::new(open),
        };
        (Arc::new(desk), waiting)
    }

    /// Hands what machines say to those who wait for it, for as long as the process runs.
    pub(super) async fn run(self: Arc<Self>, mut waiting: Waiting) {
        while let Some(frame) = waiting.next().await {
            let read = frame.split_first_chunk::<HEADER_BYTES>();
            let message = read.and_then(|(header, body)| Header::parse(header).ok()?.message(body).ok());
            self.hear(message.expect("machines of this process say only what can be read"));
            // When more came than was taken in time, some of it is lost: whoever waits must ask again.
            if self.open().link.closer.is_closed() {
                waiting = self.enter_again();
            }
        }
    }

    /// Whether this process hosts the machine.
    pub(super) fn hosts(&self, role: Role) -> bool {
        roles::party(self.authority, role).is_some_and(|party| self.router.local.contains_key(&party))
    }

    /// The machines of this process.
    pub(super) fn hosted(&self) -> impl Iterator<Item = Role> {
        self.router.local.keys().map(|party| roles::of(*party))
    }

    /// Asks a machine of this process.
    pub(super) async fn ask(&self, role: Role, query: Query, patience: Duration) -> Result<Answer, Fault> {
        let reply = self.say(role, patience, |request| Message::Query { request, query }).await?;
        match reply {
            Reply::Answer(answer) => Ok(answer),
            Reply::Admission { .. } => Err(internal("a question was answered as a submission")),
        }
    }

    /// Submits a transaction to a worker of this process; whether it was known before.
    pub(super) async fn submit(
        &self,
        shard: ShardId,
        transaction: SignedTransaction,
        patience: Duration,
    ) -> Result<bool, Fault> {
        let submission = |request| Message::Submit { request, transactions: vec![transaction] };
        match self.say(Role::Worker(shard), patience, submission).await? {
            Reply::Admission { result: None, .. } => Ok(false),
            Reply::Admission { result: Some(RejectionCode::Duplicate), .. } => Ok(true),
            Reply::Admission { result: Some(code), retry_after } => {
                let delay = (retry_after > 0).then(|| retry_after.div_ceil(1_000));
                let sentence = format!("the worker of shard {shard} refuses the transaction");
                Err(Fault::with_delay(Code::Rejected(code), sentence, delay))
            }
            Reply::Answer(_) => Err(internal("a submission was answered as a question")),
        }
    }

    /// Follows a transaction of a worker of this process; none when the worker does not know it. News may be lost, so
    /// whoever waits long calls this again now and then.
    pub(super) async fn follow(
        self: &Arc<Self>,
        shard: ShardId,
        transaction: TransactionId,
        patience: Duration,
    ) -> Result<Option<Followed>, Fault> {
        let receiver = {
            let mut open = self.open();
            if open.followed.len() >= RPC_FOLLOWED_MAX && !open.followed.contains_key(&transaction) {
                return Err(overloaded());
            }
            open.followed.entry(transaction).or_insert_with(|| watch::channel(None).0).subscribe()
        };
        let followed = Followed { desk: Arc::clone(self), transaction, receiver };
        match self.ask(Role::Worker(shard), Query::Follow(transaction), patience).await? {
            Answer::Transaction(Some(progress)) => {
                self.open().tell(progress);
                Ok(Some(followed))
            }
            Answer::Transaction(None) => Ok(None),
            _ => Err(internal("a worker answered another question")),
        }
    }

    async fn say(
        &self,
        role: Role,
        patience: Duration,
        message: impl FnOnce(u64) -> Message,
    ) -> Result<Reply, Fault> {
        let _call = Arc::clone(&self.calls).try_acquire_owned().map_err(|_| overloaded())?;
        let (sender, receiver) = oneshot::channel();
        let (link, request) = {
            let mut open = self.open();
            let request = open.next;
            open.next += 1;
            open.replies.insert(request, sender);
            (Arc::clone(&open.link), request)
        };
        let _asked = Asked { desk: self, request };
        let frame = message_frame(Role::Client, role, &message(request));
        let (header, body) = frame.split_first_chunk::<HEADER_BYTES>().expect("every frame has a header");
        let header = Header::parse(header).expect("own frame");
        let to = roles::party(self.authority, role)
            .and_then(|party| Some((party, self.router.inbox(party)?.clone())));
        let reply = async {
            let share = self.share(body.len()).await;
            let arrival = Arrival { header, body: body.to_vec(), share };
            self.lane.put_client(link.id, Work::Client { client: link, to, arrival });
            receiver.await
        };
        match timeout(patience, reply).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err(Fault::failed(Failure::Timeout, "the answer was lost")),
            Err(_) => {
                let sentence = format!("{} does not answer", roles::name(role));
                Err(Fault::failed(Failure::Timeout, sentence))
            }
        }
    }

    async fn share(&self, bytes: usize) -> OwnedSemaphorePermit {
        let bytes = u32::try_from(bytes.max(FRAME_BYTES_MIN)).expect("a frame is below 2^32 bytes");
        Arc::clone(&self.bytes).acquire_many_owned(bytes).await.expect("nobody closes it")
    }

    fn hear(&self, message: Message) {
        let mut open = self.open();
        let (request, reply) = match message {
            Message::Answer { request, answer } => (request, Reply::Answer(answer)),
            Message::Admission { request, results, retry_after } => {
                let result = results.first().copied().flatten();
                (request, Reply::Admission { result, retry_after })
            }
            Message::Progress(news) => return news.into_iter().for_each(|progress| open.tell(progress)),
            // Machines tell clients nothing else.
            _ => return,
        };
        if let Some(waits) = open.replies.remove(&request) {
            // Whoever asked may be gone.
            let _ = waits.send(reply);
        }
    }

    /// Another place among the clients, since the old one was closed.
    fn enter_again(&self) -> Waiting {
        let (link, waiting) = self.router.clients.enter();
        let old = {
            let mut open = self.open();
            open.replies.clear();
            std::mem::replace(&mut open.link, link)
        };
        self.router.clients.leave(old.id);
        let inboxes = self.router.local.values().cloned().collect();
        self.lane.put_client(old.id, Work::Gone { client: old.id, inboxes });
        waiting
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().expect("nobody panics with the lock held")
    }
}

impl Open {
    fn tell(&mut self, progress: Progress) {
        if let Some(followed) = self.followed.get(&progress.transaction) {
            followed.send_if_modified(|known| {
                let is_news = known.is_none_or(|known| known.level < progress.level);
                if is_news {
                    *known = Some(progress);
                }
                is_news
            });
        }
    }
}

/// A question that is forgotten when nobody waits for its answer any more.
struct Asked<'a> {
    desk: &'a Desk,
    request: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.desk.open().replies.remove(&self.request);
    }
}

/// A transaction that is forgotten when nobody follows it any more.
pub(super) struct Followed {
    desk: Arc<Desk>,
    transaction: TransactionId,
    receiver: watch::Receiver<Option<Progress>>,
}

impl Followed {
    /// The last news.
    pub(super) fn progress(&mut self) -> Progress {
        self.receiver.borrow_and_update().expect("the worker knew it when it was asked")
    }

    /// Waits for news.
    pub(super) async fn changed(&mut self) {
        // The sender goes only after all that follow.
        let _ = self.receiver.changed().await;
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        if let Entry::Occupied(followed) = self.desk.open().followed.entry(self.transaction)
            && followed.get().receiver_count() == 1
        {
            followed.remove();
        }
    }
}

fn overloaded() -> Fault {
    Fault::new(Code::Rejected(RejectionCode::Overloaded), "too many calls wait for this process")
}

fn internal(sentence: &str) -> Fault {
    Fault::failed(Failure::Internal, sentence)
}
