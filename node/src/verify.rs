//! From bytes to checked inputs. Frames are decoded and checked on a few threads, each with its queue, the lane. A
//! connection always uses the same lane, so its messages reach a machine in order. The control plane has lanes of its
//! own: a thousand signatures of transactions never stand before a vote. What clients submit is refused here, unchecked,
//! when its worker is overloaded or when it waited here for too long.
//!
//! What waits together is checked together, signatures of several connections in one equation: a thousand together cost
//! half as much as each fifty apart. Only who once showed a bad
//! signature is checked apart from then on, so that nobody else pays for searching what is bad.

use std::{
    collections::{BTreeMap, BTreeSet},
    io, mem,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use fresnel_crypto::Verifier;
use fresnel_types::{
    ClientId, Input, Message, Party, RejectionCode, ShardId, SignedTransaction, Verified, VerifyError,
    frame::{Header, Role, message_frame},
    limits::{SUBMISSION_MAX, SUBMISSIONS_TOGETHER_MAX},
    message::Plane,
    status::Answer,
    verify::Rules,
};
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    clock::monotonic_nanos,
    counters::{Counters, add, count},
    gates::Gates,
    inbox::Inbox,
    limits::{LANE_AGE_MAX, LANE_GATHERS, LANE_GATHERS_TIMES, ROOM_RETRY, SIGNATURES_REMEMBERED},
    queue::{LaneQueue, Round},
    stream::{Arrival, Closer, Outbound, StreamError},
};

/// Something for a lane.
#[derive(Debug)]
pub(crate) enum Work {
    /// A frame of a peer.
    Peer { from: Party, to: Party, inbox: Inbox, closer: Closer, arrival: Arrival },
    /// A frame of a client, with the machine that it is for when this process hosts it.
    Client { client: Arc<ClientLink>, to: Option<(Party, Inbox)>, arrival: Arrival },
    /// A client is gone; these machines may have known it.
    Gone { client: ClientId, inboxes: Vec<Inbox> },
}

impl Work {
    /// Bytes to be checked.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Peer { arrival, .. } | Self::Client { arrival, .. } => arrival.body.len(),
            Self::Gone { .. } => 0,
        }
    }
}

/// A client's connection.
#[derive(Debug)]
pub(crate) struct ClientLink {
    pub(crate) id: ClientId,
    pub(crate) outbound: Outbound,
    pub(crate) closer: Closer,
    /// When it last said anything, by [`monotonic_nanos`].
    pub(crate) spoke: AtomicU64,
}

impl ClientLink {
    /// An open one.
    pub(crate) fn new(id: ClientId, outbound: Outbound) -> Self {
        Self { id, outbound, closer: Closer::default(), spoke: AtomicU64::new(monotonic_nanos()) }
    }
}

/// The queues of all verify threads.
#[derive(Debug)]
pub(crate) struct Lanes {
    control: Vec<Arc<LaneQueue>>,
    bulk: Vec<Arc<LaneQueue>>,
}

impl Lanes {
    /// Starts `threads` threads for the bulk plane and clients, and a quarter as many, at least one, for the control
    /// plane. `spawn` makes a named thread.
    pub(crate) fn start(
        threads: usize,
        rules: &Arc<Rules>,
        counters: &Arc<Counters>,
        gates: &Arc<Gates>,
        verifier: impl Fn() -> io::Result<Verifier>,
        mut spawn: impl FnMut(String, Box<dyn FnOnce() + Send>) -> io::Result<()>,
    ) -> io::Result<Self> {
        let control = threads.div_ceil(4).max(1);
        let mut queues = Vec::new();
        for index in 0..control + threads.max(1) {
            let queue = Arc::new(LaneQueue::default());
            let waiting = Arc::clone(&queue);
            let fresh = verifier()?;
            // Only on the control plane the same signatures come again.
            let verifier = if index < control { fresh.remembering(SIGNATURES_REMEMBERED) } else { fresh };
            let (rules, counters, gates) = (Arc::clone(rules), Arc::clone(counters), Arc::clone(gates));
            let lane = Lane {
                rules,
                verifier,
                counters,
                gates,
                suspects: BTreeSet::new(),
                submissions: BTreeMap::new(),
            };
            let patience = if index < control { Duration::ZERO } else { LANE_GATHERS };
            spawn(format!("verify-{index}"), Box::new(move || lane.run(&waiting, patience)))?;
            queues.push(queue);
        }
        let bulk = queues.split_off(control);
        Ok(Self { control: queues, bulk })
    }

    /// Lets every thread finish what is in its queue and end.
    pub(crate) fn stop(&self) {
        self.control.iter().chain(&self.bulk).for_each(|queue| queue.stop());
    }

    /// The lane of connection number `connection` on a plane.
    pub(crate) fn lane(&self, plane: Plane, connection: u64) -> Arc<LaneQueue> {
        let lanes = match plane {
            Plane::Control => &self.control,
            Plane::Bulk => &self.bulk,
        };
        Arc::clone(&lanes[(connection % lanes.len() as u64) as usize])
    }
}

struct Lane {
    rules: Arc<Rules>,
    verifier: Verifier,
    counters: Arc<Counters>,
    gates: Arc<Gates>,
    /// Who showed a bad signature: clients as long as they are connected, and parties of the committee.
    suspects: BTreeSet<Party>,
    /// Submissions that are to be checked together, by their shard: clients send for several in turn.
    submissions: BTreeMap<ShardId, Vec<Submission>>,
}

struct Submission {
    client: ClientId,
    request: u64,
    transactions: Vec<SignedTransaction>,
    inbox: Inbox,
    share: OwnedSemaphorePermit,
}

/// A peer's message that waits for its verdict.
struct Pending {
    from: Party,
    inbox: Inbox,
    closer: Closer,
    share: OwnedSemaphorePermit,
}

impl Lane {
    /// Lets work gather for `patience` at most, and only as long as that is a small multiple of what the last check took:
    /// so who has little to check waits for nothing.
    fn run(mut self, queue: &LaneQueue, patience: Duration) {
        let mut took = Duration::ZERO;
        loop {
            let Round { peers, clients, is_last } = queue.take(patience.min(took * LANE_GATHERS_TIMES));
            let started = monotonic_nanos();
            let (mut pending, mut messages) = (Vec::new(), Vec::new());
            for work in peers {
                let Work::Peer { from, to, inbox, closer, arrival } = work else {
                    unreachable!("only links put something among what is of peers");
                };
                let Arrival { header, body, share } = arrival;
                match decoded(&header, &body, from, to) {
                    _ if closer.is_closed() => {}
                    Ok(message) => {
                        pending.push(Pending { from, inbox, closer, share });
                        messages.push(message);
                    }
                    Err(error) => self.refuse(&closer, error),
                }
            }
            self.judge(pending, messages);
            for (work, waited) in clients {
                match work {
                    Work::Client { client, to, arrival } => self.client(&client, to, arrival, waited),
                    Work::Gone { client, inboxes } => {
                        self.submit();
                        self.suspects.remove(&Party::Client(client));
                        inboxes.iter().for_each(|inbox| inbox.put(Input::Disconnected(client), None));
                    }
                    Work::Peer { .. } => unreachable!("links put nothing among what is of clients"),
                }
            }
            self.submit();
            if is_last {
                return;
            }
            took = Duration::from_nanos(monotonic_nanos().saturating_sub(started));
        }
    }

    /// Checks messages together, each suspect's apart, and hands them on.
    fn judge(&mut self, pending: Vec<Pending>, messages: Vec<Message>) {
        let mut rest: Vec<_> = pending.into_iter().zip(messages).collect();
        while let Some((Pending { from, .. }, _)) = rest.first() {
            let (first, suspects) = (*from, &self.suspects);
            let own = |from: &Party| {
                if suspects.contains(&first) { *from == first } else { !suspects.contains(from) }
            };
            let (together, later): (Vec<_>, Vec<_>) =
                rest.into_iter().partition(|(pending, _)| own(&pending.from));
            rest = later;
            let (pending, messages): (Vec<_>, Vec<_>) = together.into_iter().unzip();
            add(&self.counters.peer_messages_checked, messages.len());
            count(&self.counters.peer_checks);
            let verdicts = self.rules.verify(&mut self.verifier, messages);
            for (Pending { from, inbox, closer, share }, verdict) in pending.into_iter().zip(verdicts) {
                match verdict {
                    // What a connection said before its bad message still counts, what it said after does not.
                    _ if closer.is_closed() => {}
                    Ok(message) => inbox.put(Input::Message { from, message }, Some(share)),
                    Err(error) => {
                        self.suspects.insert(from);
                        self.refuse(&closer, error.into());
                    }
                }
            }
        }
    }

    fn client(&mut self, client: &ClientLink, to: Option<(Party, Inbox)>, arrival: Arrival, waited: u64) {
        let Arrival { header, body, share } = arrival;
        let id = client.id;
        count(&self.counters.client_frames);
        add(&self.counters.client_frames_waited_micros, usize::try_from(waited).unwrap_or(usize::MAX));
        let message = match header.message(&body) {
            _ if client.closer.is_closed() => return,
            Ok(message) => message,
            Err(error) => return self.refuse(&client.closer, error.into()),
        };
        match (message, to) {
            (Message::Submit { request, transactions }, Some((Party::Worker(_, shard), inbox))) => {
                add(&self.counters.submitted, transactions.len());
                if let Some(retry_after) = self.overload(shard, waited) {
                    add(&self.counters.refused_early, transactions.len());
                    let results = vec![Some(RejectionCode::Overloaded); transactions.len()];
                    return reply(client, header.to, &Message::Admission { request, results, retry_after });
                }
                if transactions.len() > SUBMISSION_MAX {
                    let results = vec![Some(RejectionCode::Overloaded); transactions.len()];
                    return reply(
                        client,
                        header.to,
                        &Message::Admission { request, results, retry_after: 0 },
                    );
                }
                let waiting = self.submissions.get(&shard);
                let together: usize =
                    waiting.into_iter().flatten().map(|other| other.transactions.len()).sum();
                let is_suspect = self.suspects.contains(&Party::Client(id));
                if together + transactions.len() > SUBMISSIONS_TOGETHER_MAX || is_suspect {
                    self.submit();
                }
                let submission = Submission { client: id, request, transactions, inbox, share };
                self.submissions.entry(shard).or_default().push(submission);
                if is_suspect {
                    self.submit();
                }
            }
            (Message::Submit { request, transactions }, _) => {
                let results = vec![Some(RejectionCode::WrongShard); transactions.len()];
                reply(client, header.to, &Message::Admission { request, results, retry_after: 0 });
            }
            (message @ Message::Query { .. }, Some((_, inbox))) => {
                self.submit();
                match self.rules.verify_one(&mut self.verifier, message) {
                    Ok(message) => {
                        let from = Party::Client(id);
                        inbox.put(Input::Message { from, message }, Some(share));
                    }
                    Err(error) => self.refuse(&client.closer, error.into()),
                }
            }
            (Message::Query { request, .. }, None) => {
                reply(client, header.to, &Message::Answer { request, answer: Answer::Unsupported });
            }
            _ => self.refuse(&client.closer, VerifyError::Misplaced.into()),
        }
    }

    /// Microseconds after which a submission for `shard` that has waited here that long may be sent again, if it is not
    /// even looked at now: the worker is overloaded, it waited too long, or there is no room on the disk.
    fn overload(&self, shard: ShardId, waited: u64) -> Option<u64> {
        let late = (waited > LANE_AGE_MAX.as_micros() as u64).then_some(waited);
        let short = self.counters.space.is_short().then_some(ROOM_RETRY.as_micros() as u64);
        self.gates.shut(shard).max(late).max(short)
    }

    /// Checks the gathered submissions together and hands them on.
    fn submit(&mut self) {
        for (shard, submissions) in mem::take(&mut self.submissions) {
            self.submit_together(shard, submissions);
        }
    }

    fn submit_together(&mut self, shard: ShardId, submissions: Vec<Submission>) {
        let mut transactions = Vec::new();
        let mut rest = Vec::with_capacity(submissions.len());
        for submission in submissions {
            let Submission { client, request, transactions: own, inbox, share } = submission;
            rest.push((client, request, own.len(), inbox, share));
            transactions.extend(own);
        }
        add(&self.counters.transactions_checked, transactions.len());
        count(&self.counters.transaction_checks);
        let mut verdicts = self.rules.verify_submission(&mut self.verifier, shard, transactions).into_iter();
        for (client, request, count, inbox, share) in rest {
            let transactions: Vec<Result<Verified<SignedTransaction>, RejectionCode>> =
                verdicts.by_ref().take(count).collect();
            if transactions.iter().any(|verdict| matches!(verdict, Err(RejectionCode::BadSignature))) {
                self.suspects.insert(Party::Client(client));
            }
            inbox.put(Input::Submit { client, request, transactions }, Some(share));
        }
    }

    fn refuse(&self, closer: &Closer, error: StreamError) {
        count(&self.counters.bad_messages);
        closer.close(error);
    }
}

fn decoded(header: &Header, body: &[u8], from: Party, to: Party) -> Result<Message, StreamError> {
    let message = header.message(body)?;
    if message.may_pass(from, to) { Ok(message) } else { Err(StreamError::Misaddressed) }
}

/// Answers a client in the name of a machine that this process does not host.
fn reply(client: &ClientLink, from: Role, message: &Message) {
    if !client.outbound.offer(Arc::new(message_frame(from, Role::Client, message))) {
        client.closer.close(StreamError::Overflow);
    }
}

#[cfg(test)]
mod tests;
