//! Open-loop load: each transaction has an instant at which it ought to be sent, fixed before anything runs, and its
//! latency counts from that instant, however late it was sent. So a cluster that stalls cannot hide it by slowing us
//! down (coordinated omission).
//!
//! One task drives: every few milliseconds it sends what is due, and in between takes what the links bring. What
//! became of each transaction is kept by the `tracker`, which knows no sockets and no clock.

mod link;
mod schedule;
mod summary;
mod tracker;

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use fresnel_client::{ClientError, Event, Requests};
use fresnel_types::{
    AuthorityIndex, ShardId, SignedTransaction,
    frame::Role,
    limits::SUBMISSION_MAX,
    status::{Answer, Query},
};
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior, interval},
};

pub(crate) use self::{
    schedule::Schedule,
    summary::{Distribution, Summary},
    tracker::{Entry, Micros, Tracker},
};

use self::{
    link::{Link, LinkEvent},
    tracker::Worker,
};
use crate::{
    Cluster, Fault, Stage, environment,
    limits::{EVENTS_PER_TURN, EVENTS_WAITING, POLL_INTERVAL, POLLS_PER_TICK, STALL_MAX, TICK},
    workload::Pool,
};

/// What a load gave.
pub(crate) struct Outcome {
    /// What became of every transaction.
    pub(crate) tracker: Tracker,
    /// How many were reported ordered or later, did not end, and are unknown to every worker that was asked.
    pub(crate) absent: u64,
    /// Whether something was open when we stopped waiting.
    pub(crate) gave_up: bool,
    /// What the machine gave, one per second from the start of the load on.
    pub(crate) samples: Vec<Sample>,
}

/// What has been used at an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// From the start of the load.
    pub(crate) second: u64,
    /// CPU time of all processes so far, in microseconds.
    pub(crate) cluster_us: u64,
    /// CPU time of the load generator so far, in microseconds.
    pub(crate) client_us: u64,
    /// Memory that all processes hold.
    pub(crate) rss_bytes: u64,
    /// Disk that all processes hold.
    pub(crate) disk_bytes: u64,
}

impl Sample {
    fn take(second: u64, cluster: &Cluster) -> Result<Self> {
        let cluster_us = cluster.usage().iter().flat_map(|(_, usage)| usage.threads.values()).sum();
        Ok(Self {
            second,
            cluster_us,
            client_us: environment::own_cpu_us()?,
            rss_bytes: cluster.rss_bytes(),
            disk_bytes: cluster.disk_bytes(),
        })
    }
}

/// What a load puts up with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For how long at most it waits for what is on its way once all was sent.
    pub(crate) drain_max: Duration,
    /// How often a transaction that nobody admitted is sent before its refusal counts as final.
    pub(crate) attempts_max: u8,
}

/// Sends the pool as scheduled, lets the faults happen, and waits until everything is at its end, nothing goes on, or
/// the patience is over.
pub(crate) async fn run(
    pool: Pool,
    cluster: &mut Cluster,
    schedule: &Schedule,
    faults: &[Fault],
    patience: Patience,
    progress: &impl Fn(Stage),
) -> Result<Outcome> {
    let (events, incoming) = mpsc::channel(EVENTS_WAITING);
    let mut links = Vec::new();
    for (number, endpoint) in cluster.endpoints().into_iter().enumerate() {
        let shards: Vec<ShardId> = endpoint
            .roles
            .iter()
            .filter_map(|role| match role {
                Role::Worker(shard) => Some(*shard),
                Role::Beacon | Role::Client => None,
            })
            .collect();
        if !shards.is_empty() {
            let chain = cluster.genesis().chain();
            let task = Link::keep(number, endpoint.address, chain, endpoint.roles, events.clone());
            links.push((
                number,
                Peer {
                    authority: endpoint.authority,
                    shards,
                    requests: None,
                    flights: Flights::default(),
                    _task: task,
                },
            ));
        }
    }
    let authorities = cluster.genesis().authorities.len() as u16;
    let mut driver = Driver {
        tracker: Tracker::new(pool.plan, pool.ids, pool.window, authorities, schedule.clone())
            .giving_up_after(patience.attempts_max),
        transactions: pool.transactions,
        links: links.into_iter().collect(),
        incoming,
    };
    driver.wait_for_links().await;
    driver.drive(cluster, faults, patience.drain_max, progress).await
}

struct Driver {
    tracker: Tracker,
    /// By number.
    transactions: Vec<SignedTransaction>,
    /// By the number of the process; those that host workers.
    links: BTreeMap<usize, Peer>,
    incoming: mpsc::Receiver<(usize, LinkEvent)>,
}

/// A process with workers.
struct Peer {
    authority: AuthorityIndex,
    shards: Vec<ShardId>,
    /// While the link is up.
    requests: Option<Requests>,
    flights: Flights,
    _task: Link,
}

/// Requests that were not answered. Bounded by the connection: at most what it holds and the process has not answered.
#[derive(Debug, Default)]
struct Flights {
    submissions: BTreeMap<u64, Vec<u32>>,
    questions: BTreeMap<u64, u32>,
}

impl Peer {
    fn hosts(&self, (authority, shard): Worker) -> bool {
        self.authority == authority && self.shards.contains(&shard)
    }
}

impl Driver {
    /// All processes answered before, so that this takes milliseconds; one that died since is missed soon enough.
    async fn wait_for_links(&mut self) {
        let until = Instant::now() + LINKS_MAX;
        while self.links.values().any(|peer| peer.requests.is_none()) {
            match tokio::time::timeout_at(until, self.incoming.recv()).await {
                Ok(Some((number, LinkEvent::Up(requests)))) => {
                    if let Some(peer) = self.links.get_mut(&number) {
                        peer.requests = Some(requests);
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    async fn drive(
        mut self,
        cluster: &mut Cluster,
        faults: &[Fault],
        drain_max: Duration,
        progress: &impl Fn(Stage),
    ) -> Result<Outcome> {
        let mut samples = vec![Sample::take(0, cluster)?];
        let start = Instant::now();
        let load_end = self.tracker.intended(self.transactions.len());
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut faults = faults.iter();
        let mut next_fault = faults.next();
        let mut told = 0;
        // When something last came to its end; the load itself counts as movement.
        let mut moved = (0, load_end);
        let gave_up = loop {
            let now = self.turn(&mut ticks, start, cluster).await;
            while let Some(fault) = next_fault.filter(|fault| micros(fault.at) <= now) {
                cluster.strike(fault)?;
                progress(Stage::Fault(*fault));
                next_fault = faults.next();
            }
            let counts = self.tracker.counts();
            let (ended, open) = (counts.ended, self.tracker.open());
            if told < now / SECOND {
                told = now / SECOND;
                samples.push(Sample::take(told, cluster)?);
                progress(if now < load_end {
                    let (submitted, settled) = (counts.submitted, counts.settled);
                    Stage::Loading { elapsed: Duration::from_micros(now), submitted, settled }
                } else {
                    Stage::Draining { left: open }
                });
            }
            if ended != moved.0 {
                moved = (ended, now.max(load_end));
            }
            if open == 0 && next_fault.is_none() {
                break false;
            }
            if now > moved.1 + micros(STALL_MAX) || now > load_end + micros(drain_max) {
                break open > 0;
            }
        };
        if gave_up {
            self.ask_about_open(&mut ticks, start, cluster).await;
        }
        let absent = self.tracker.absent();
        Ok(Outcome { tracker: self.tracker, absent, gave_up, samples })
    }

    /// Asks every authority in turn about what was reported ordered and did not end.
    async fn ask_about_open(&mut self, ticks: &mut Interval, start: Instant, cluster: &Cluster) {
        let rounds = cluster.genesis().authorities.len() as u32 + 1;
        self.tracker.poll_open(micros(start.elapsed()));
        let until = start.elapsed() + POLL_INTERVAL * rounds;
        while start.elapsed() < until {
            self.turn(ticks, start, cluster).await;
        }
    }

    /// Waits for a tick or for news, does what there is to do, and gives the time.
    async fn turn(&mut self, ticks: &mut Interval, start: Instant, cluster: &Cluster) -> Micros {
        tokio::select! {
            biased;
            _ = ticks.tick() => {
                let now = micros(start.elapsed());
                self.send(now);
                self.ask(now);
                now
            }
            first = self.incoming.recv() => {
                let now = micros(start.elapsed());
                let mut next = first;
                for _ in 0..EVENTS_PER_TURN {
                    let Some((number, event)) = next else { break };
                    self.take(number, event, cluster, now);
                    next = self.incoming.try_recv().ok();
                }
                if let Some((number, event)) = next {
                    self.take(number, event, cluster, now);
                }
                now
            }
        }
    }

    fn send(&mut self, now: Micros) {
        let Self { tracker, transactions, links, .. } = self;
        let due = tracker.due(now, &|worker| is_up(links, worker));
        for ((authority, shard), numbers) in due {
            let peer = links.values_mut().find(|peer| peer.hosts((authority, shard)));
            let Some(Peer { requests: Some(requests), flights, .. }) = peer else {
                tracker.unsent(&numbers);
                continue;
            };
            let mut chunks = numbers.chunks(SUBMISSION_MAX);
            for chunk in chunks.by_ref() {
                let submission = chunk.iter().map(|&number| transactions[number as usize].clone()).collect();
                match requests.try_submit(shard, submission) {
                    Ok(request) => {
                        flights.submissions.insert(request, chunk.to_vec());
                        tracker.sent(authority, chunk, now);
                    }
                    Err(_) => {
                        tracker.unsent(chunk);
                        break;
                    }
                }
            }
            chunks.for_each(|rest| tracker.unsent(rest));
        }
    }

    fn ask(&mut self, now: Micros) {
        let Self { tracker, links, .. } = self;
        for (worker, number) in tracker.polls(now, POLLS_PER_TICK, &|worker| is_up(links, worker)) {
            let peer = links.values_mut().find(|peer| peer.hosts(worker));
            let Some(Peer { requests: Some(requests), flights, .. }) = peer else { continue };
            let query = Query::Transaction(tracker.id(number));
            match requests.try_ask(Role::Worker(worker.1), query) {
                Ok(request) => {
                    flights.questions.insert(request, number);
                }
                // It is asked again soon.
                Err(ClientError::Full) => {}
                Err(_) => return,
            }
        }
    }

    fn take(&mut self, number: usize, event: LinkEvent, cluster: &Cluster, now: Micros) {
        let Self { tracker, links, .. } = self;
        let Some(peer) = links.get_mut(&number) else { return };
        match event {
            LinkEvent::Up(requests) => peer.requests = Some(requests),
            LinkEvent::Down => {
                peer.requests = None;
                peer.flights = Flights::default();
                tracker.broken(peer.authority, &peer.shards, !cluster.is_up(peer.authority), now);
            }
            LinkEvent::Event(Event::Admission(admission)) => {
                if let Some(numbers) = peer.flights.submissions.remove(&admission.request) {
                    let retry_after = micros(admission.retry_after);
                    tracker.admission(&numbers, &admission.results, retry_after, now);
                }
            }
            LinkEvent::Event(Event::Progress(news)) => {
                news.iter().for_each(|news| tracker.progress(news, now));
            }
            LinkEvent::Event(Event::Answer { request, answer }) => {
                if let Some(number) = peer.flights.questions.remove(&request)
                    && let Answer::Transaction(news) = answer
                {
                    tracker.answer(number, news, now);
                }
            }
            // The link turns the end into `Down`.
            LinkEvent::Event(Event::Closed(_)) => {}
        }
    }
}

fn is_up(links: &BTreeMap<usize, Peer>, worker: Worker) -> bool {
    links.values().any(|peer| peer.hosts(worker) && peer.requests.is_some())
}

fn micros(duration: Duration) -> Micros {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

const SECOND: Micros = 1_000_000;

/// For how long the load waits for its links at the start.
const LINKS_MAX: Duration = Duration::from_secs(5);
