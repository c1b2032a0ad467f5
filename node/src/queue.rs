//! What waits for a verify thread. Frames of peers come first, since what they hold is already on its way through the
//! order; those of clients follow, one connection after the other, so that nobody gains by sending more than others. In
//! every round clients get a part all the same, so that peers who send rubbish do not shut them out.
//!
//! Nobody waits to put something in: every connection's bytes are bounded before they get here, and so is their number.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Condvar, Mutex, MutexGuard},
    time::Duration,
};

use fresnel_types::ClientId;

use crate::{
    clock::monotonic_nanos,
    limits::{
        LANE_BUSY, LANE_CLIENTS_BYTES_MIN, LANE_GATHERED_BYTES, LANE_ROUND_BYTES_MAX, LANE_ROUND_FRAMES_MAX,
    },
    verify::Work,
};

/// The queue of one verify thread.
#[derive(Debug, Default)]
pub(crate) struct LaneQueue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    peers: VecDeque<Work>,
    /// Clients with something waiting, the next one first.
    turns: VecDeque<ClientId>,
    clients: BTreeMap<ClientId, VecDeque<Waits>>,
    /// Of all that waits.
    bytes: usize,
    /// The thread lets more come before it takes what is here.
    is_gathering: bool,
    is_stopping: bool,
}

/// A client's, and when it was put here.
#[derive(Debug)]
struct Waits {
    since: u64,
    work: Work,
}

/// What a verify thread takes at once.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// Of peers.
    pub(crate) peers: Vec<Work>,
    /// Of clients, with the microseconds that each has waited.
    pub(crate) clients: Vec<(Work, u64)>,
    /// Nothing will ever come again.
    pub(crate) is_last: bool,
}

impl LaneQueue {
    /// Adds something of a peer.
    pub(crate) fn put_peer(&self, work: Work) {
        let mut waiting = self.lock();
        waiting.bytes += work.bytes();
        waiting.peers.push_back(work);
        self.wake(waiting);
    }

    /// Adds something of a client, behind what it said before.
    pub(crate) fn put_client(&self, client: ClientId, work: Work) {
        let waits = Waits { since: monotonic_nanos(), work };
        let mut waiting = self.lock();
        waiting.bytes += waits.work.bytes();
        let own = waiting.clients.entry(client).or_default();
        own.push_back(waits);
        if own.len() == 1 {
            waiting.turns.push_back(client);
        }
        self.wake(waiting);
    }

    /// Wakes the thread, unless it waits for more than is here.
    fn wake(&self, waiting: MutexGuard<'_, Waiting>) {
        let is_enough = !waiting.is_gathering || waiting.bytes >= LANE_GATHERED_BYTES;
        drop(waiting);
        if is_enough {
            self.filled.notify_one();
        }
    }

    /// Lets the thread take what is here and end.
    pub(crate) fn stop(&self) {
        self.lock().is_stopping = true;
        self.filled.notify_one();
    }

    /// Waits for something and takes as much as is checked together. When it need not wait long, the thread is busy and
    /// first lets more come for as long as `patience`.
    pub(crate) fn take(&self, patience: Duration) -> Round {
        let asked = monotonic_nanos();
        let mut waiting = self.lock();
        while waiting.is_empty() && !waiting.is_stopping {
            waiting = self.filled.wait(waiting).expect("nobody panics with the lock held");
        }
        let idle = monotonic_nanos().saturating_sub(asked);
        if !patience.is_zero() && u128::from(idle) < LANE_BUSY.as_nanos() {
            waiting.is_gathering = true;
            let wants_more =
                |waiting: &mut Waiting| waiting.bytes < LANE_GATHERED_BYTES && !waiting.is_stopping;
            let gathered = self.filled.wait_timeout_while(waiting, patience, wants_more);
            waiting = gathered.expect("nobody panics with the lock held").0;
            waiting.is_gathering = false;
        }
        let (mut round, mut bytes) = (Round::default(), 0);
        while round.peers.len() < LANE_ROUND_FRAMES_MAX
            && bytes < LANE_ROUND_BYTES_MAX
            && let Some(work) = waiting.peers.pop_front()
        {
            bytes += work.bytes();
            round.peers.push(work);
        }
        let least = LANE_ROUND_BYTES_MAX - LANE_CLIENTS_BYTES_MIN;
        let (mut bytes, now) = (bytes.min(least), monotonic_nanos());
        while round.clients.len() < LANE_ROUND_FRAMES_MAX
            && bytes < LANE_ROUND_BYTES_MAX
            && let Some(Waits { since, work }) = waiting.next_client()
        {
            bytes += work.bytes();
            round.clients.push((work, now.saturating_sub(since) / 1_000));
        }
        waiting.bytes -= round.peers.iter().map(Work::bytes).sum::<usize>();
        waiting.bytes -= round.clients.iter().map(|(work, _)| work.bytes()).sum::<usize>();
        round.is_last = waiting.is_stopping && waiting.is_empty();
        round
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("nobody panics with the lock held")
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.peers.is_empty() && self.turns.is_empty()
    }

    /// The oldest of the client whose turn it is.
    fn next_client(&mut self) -> Option<Waits> {
        let client = self.turns.pop_front()?;
        let own = self.clients.get_mut(&client).expect("who has a turn has something");
        let waits = own.pop_front();
        if own.is_empty() {
            self.clients.remove(&client);
        } else {
            self.turns.push_back(client);
        }
        waits
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fresnel_types::{
        AuthorityIndex, Party,
        frame::{Header, Role},
        message::Kind,
    };
    use tokio::sync::Semaphore;

    use super::*;
    use crate::{
        inbox::Inbox,
        stream::{Arrival, Closer},
    };

    fn arrival(bytes: usize) -> Arrival {
        let budget = Arc::new(Semaphore::new(1));
        let share = budget.try_acquire_owned().expect("one is there");
        let header =
            Header { kind: Some(Kind::Submit), from: Role::Client, to: Role::Beacon, body_bytes: bytes };
        Arrival { header, body: vec![0; bytes], share }
    }

    fn of_client(queue: &LaneQueue, client: u64, bytes: usize) {
        let (outbound, _) = crate::stream::Outbound::new(1, 1);
        let link = Arc::new(crate::verify::ClientLink::new(ClientId(client), outbound));
        queue.put_client(ClientId(client), Work::Client { client: link, to: None, arrival: arrival(bytes) });
    }

    fn of_peer(queue: &LaneQueue, bytes: usize) {
        let party = Party::Beacon(AuthorityIndex(0));
        let (inbox, closer) = (Inbox::new().0, Closer::default());
        queue.put_peer(Work::Peer { from: party, to: party, inbox, closer, arrival: arrival(bytes) });
    }

    fn clients(round: &Round) -> Vec<u64> {
        let number = |(work, _): &(Work, u64)| match work {
            Work::Client { client, .. } => client.id.0,
            Work::Gone { client, .. } => client.0,
            Work::Peer { .. } => panic!("a peer among clients"),
        };
        round.clients.iter().map(number).collect()
    }

    #[test]
    fn who_sends_much_waits_for_its_turn_like_everybody() {
        let queue = LaneQueue::default();
        (0..5).for_each(|_| of_client(&queue, 1, 10));
        of_client(&queue, 2, 10);
        of_client(&queue, 3, 10);
        queue.put_client(ClientId(2), Work::Gone { client: ClientId(2), inboxes: vec![] });
        assert_eq!(
            clients(&queue.take(Duration::ZERO)),
            [1, 2, 3, 1, 2, 1, 1, 1],
            "and what one says stays in order"
        );
    }

    #[test]
    fn a_busy_thread_lets_more_come_and_an_idle_one_does_not() {
        let (queue, patience) = (Arc::new(LaneQueue::default()), Duration::from_secs(600));
        let take = || {
            let queue = Arc::clone(&queue);
            std::thread::spawn(move || queue.take(patience))
        };
        let idle = take();
        std::thread::sleep(10 * LANE_BUSY);
        of_peer(&queue, 10);
        assert_eq!(idle.join().expect("it does not panic").peers.len(), 1);
        of_peer(&queue, 10);
        let busy = take();
        while !queue.lock().is_gathering {
            std::thread::yield_now();
        }
        of_peer(&queue, LANE_GATHERED_BYTES / 2);
        of_client(&queue, 1, LANE_GATHERED_BYTES / 2);
        let round = busy.join().expect("it does not panic");
        assert_eq!((round.peers.len(), round.clients.len()), (2, 1), "until there is enough");
        assert_eq!(queue.lock().bytes, 0);
    }

    #[test]
    fn peers_come_first_and_clients_are_never_shut_out() {
        let queue = LaneQueue::default();
        (0..3).for_each(|_| of_client(&queue, 1, LANE_CLIENTS_BYTES_MIN));
        (0..4).for_each(|_| of_peer(&queue, LANE_ROUND_BYTES_MAX / 2));
        for peers in [2, 2, 0] {
            let round = queue.take(Duration::ZERO);
            assert_eq!((round.peers.len(), round.clients.len(), round.is_last), (peers, 1, false));
        }
        of_peer(&queue, 1);
        of_client(&queue, 1, 1);
        queue.stop();
        let round = queue.take(Duration::ZERO);
        assert_eq!((round.peers.len(), round.clients.len(), round.is_last), (1, 1, true));
    }
}
