//! The cluster: hosts, network, clients and faults around one queue of events.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

use fresnel_crypto::Verifier;
use fresnel_types::{
    AuthorityIndex, BlockIndex, ClientId, CommitIndex, Effect, Input, LogEntry, Message, Party, Timestamp,
    encode,
};

use crate::{
    Options, Report, Violation, Workers,
    adversaries::{self, Adversaries},
    disk::SimDisk,
    faults::{self, Fault, Moment},
    host::{self, Disks, Host, Stepped},
    invariants::{Broken, Monitor, hold},
    latency::Probe,
    machines::Setup,
    network::Network,
    random::Random,
    scheduler::Scheduler,
    workload::{Submission, Workload},
};

/// Simulates what `options` say.
///
/// # Errors
/// The first invariant that does not hold; a panic of a machine counts as one.
pub fn run(options: Options) -> Result<Report, Box<Violation>> {
    let mut cluster = Cluster::new(&options);
    match cluster.guarded(Cluster::run) {
        Ok(()) => Ok(cluster.report()),
        Err(broken) => Err(Box::new(Violation {
            invariant: broken.invariant,
            what: broken.what,
            at: cluster.elapsed(),
            faults: faults::draw(&options, heal_after(&options)),
            adversaries: adversaries::draw(&options),
            options,
        })),
    }
}

pub use measuring::measure;
pub use syncing::{Lie, SyncReport, Syncing, sync};

/// Microseconds after the start at which all faults are over.
fn heal_after(options: &Options) -> u64 {
    options.duration / 4 * 3
}

mod checks;
mod links;
mod measuring;
mod parcel;
mod striking;
mod syncing;
mod witnessing;

use self::{parcel::Parcel, striking::Armed, witnessing::Witnesses};

enum Event {
    Start(usize),
    /// For a process that was started so many times.
    Step(usize, u64),
    Tick(usize, u64),
    Release(usize, u64),
    Checkpointed(usize, u64),
    /// Within an authority a message is for the process that ran when it was sent.
    Deliver {
        to: usize,
        from: Party,
        parcel: Rc<Parcel>,
        incarnation: Option<u64>,
    },
    Submit(Submission),
    Hear {
        client: ClientId,
        authority: AuthorityIndex,
        message: Box<Message>,
    },
    Clients,
    Reconnect,
    Fault(Fault),
    /// With the last certified block of every shard when they were frozen.
    Thaw(Vec<Party>, Vec<BlockIndex>),
    /// A worker loses all that it kept.
    Erase(Party),
    Mend(Vec<(AuthorityIndex, AuthorityIndex)>),
    Healed,
    CheckProgress,
    CheckEnd,
}

struct Cluster {
    setup: Setup,
    start: Timestamp,
    scheduler: Scheduler<Event>,
    hosts: Vec<Host>,
    index: BTreeMap<Party, usize>,
    /// The second hosts of adversaries that have a twin, after all others.
    twins: BTreeMap<Party, usize>,
    adversaries: Adversaries,
    network: Network,
    workload: Workload,
    monitor: Monitor,
    witnesses: Witnesses,
    verifier: Verifier,
    random: Random,
    /// Microseconds of a sync, by authority.
    sync_time: Vec<u64>,
    trace: blake3::Hasher,
    report: Report,
    /// The last commit of anybody when the faults ended.
    healed: Option<(Timestamp, CommitIndex)>,
    finished: bool,
    /// Crashes that wait for their moment.
    armed: Vec<Armed>,
    /// Processes that stand still, with what would have happened to them meanwhile.
    frozen: BTreeMap<usize, Vec<Event>>,
    /// What measures, in a run that is for that.
    probe: Option<Probe>,
    /// What happens to a worker that has no state, in a run that is for that.
    syncing: Option<syncing::Scenario>,
}

impl Cluster {
    fn new(options: &Options) -> Self {
        let mut cluster = Self::of(Setup::new(options));
        cluster.schedule(options);
        cluster
    }

    /// One in which nothing happens by itself.
    fn of(setup: Setup) -> Self {
        let options = &setup.options.clone();
        let start = Timestamp(START);
        let mut random = Random::new(options.seed, "cluster");
        let parties = setup.parties();
        let adversaries = Adversaries::new(options, &setup.chain.keys, setup.rules.clone(), start);
        let twins: Vec<Party> =
            parties.iter().copied().filter(|party| adversaries.has_twin(*party)).collect();
        let host = |party: &Party, which: &str| {
            let disk = |what| SimDisk::new(Random::new(options.seed, &format!("{which}{what} of {party:?}")));
            Host::new(*party, Disks { log: disk("disk"), checkpoints: disk("checkpoints") })
        };
        let hosts = parties
            .iter()
            .map(|party| host(party, ""))
            .chain(twins.iter().map(|party| host(party, "second ")));
        let hosts = hosts.collect();
        let sync_time = (0..options.authorities).map(|_| random.pick(&[100, 100, 400, 4_000])).collect();
        Self {
            network: Network::new(options.authorities, options.links, Random::new(options.seed, "network")),
            workload: Workload::new(options, &setup.chain, start),
            monitor: Monitor::new(&setup.genesis, adversaries.set()).with_replay(&setup.genesis),
            witnesses: Witnesses::default(),
            verifier: Verifier::with_seed(random.bytes()).remembering(SIGNATURES_REMEMBERED),
            index: parties.iter().copied().zip(0..).collect(),
            twins: twins.into_iter().zip(parties.len()..).collect(),
            adversaries,
            scheduler: Scheduler::new(start),
            setup,
            start,
            hosts,
            random,
            sync_time,
            trace: blake3::Hasher::new(),
            report: Report::default(),
            healed: None,
            finished: false,
            armed: Vec::new(),
            frozen: BTreeMap::new(),
            probe: None,
            syncing: None,
        }
    }

    /// Starts everybody, and establishes links again from time to time.
    fn schedule_starts(&mut self) {
        for host in 0..self.hosts.len() {
            let late = self.random.below(STAGGER);
            self.scheduler.after(late, Event::Start(host));
        }
        self.scheduler.after(RECONNECT_INTERVAL, Event::Reconnect);
    }

    /// Puts in all that is known from the beginning.
    fn schedule(&mut self, options: &Options) {
        self.schedule_starts();
        let heal = heal_after(options);
        for event in faults::draw(options, heal) {
            self.scheduler.after(event.at, Event::Fault(event.fault));
        }
        self.scheduler.after(heal + HEALED_LATER, Event::Healed);
        self.scheduler.after(options.duration, Event::CheckEnd);
        if options.workers == Workers::Real {
            self.scheduler.after(CLIENT_INTERVAL, Event::Clients);
        }
    }

    /// Runs it; a panic of a machine is a broken promise like others.
    fn guarded(&mut self, run: impl FnOnce(&mut Self) -> Result<(), Broken>) -> Result<(), Broken> {
        catch_unwind(AssertUnwindSafe(|| run(self))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(Broken { invariant: "S3", what: format!("panic: {}", text.unwrap_or_default()) })
        })
    }

    fn elapsed(&self) -> u64 {
        self.scheduler.now().since(self.start)
    }

    fn run(&mut self) -> Result<(), Broken> {
        while !self.finished {
            let event = self.scheduler.pop(Timestamp(u64::MAX)).expect("checks are always to come");
            hold!("D3", self.scheduler.len() < EVENTS_MAX, "{} events are under way", self.scheduler.len());
            self.event(event)?;
        }
        Ok(())
    }

    fn event(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::Start(host) => self.start(host)?,
            Event::Step(host, _)
            | Event::Tick(host, _)
            | Event::Release(host, _)
            | Event::Checkpointed(host, _)
                if self.frozen.contains_key(&host) =>
            {
                self.frozen.entry(host).or_default().push(event);
            }
            Event::Step(host, incarnation) if self.is_current(host, incarnation) => self.step(host)?,
            Event::Tick(host, incarnation) if self.is_current(host, incarnation) => {
                if self.hosts[host].tick_at == Some(self.scheduler.now()) {
                    self.hosts[host].tick_at = None;
                    self.step(host)?;
                }
            }
            Event::Release(host, incarnation) if self.is_current(host, incarnation) => self.release(host)?,
            Event::Checkpointed(host, incarnation) if self.is_current(host, incarnation) => {
                self.checkpointed(host);
            }
            Event::Step(..) | Event::Tick(..) | Event::Release(..) | Event::Checkpointed(..) => {}
            Event::Deliver { to, from, parcel, incarnation } => {
                self.deliver(to, from, &parcel, incarnation)?
            }
            Event::Submit(submission) => self.submit(submission),
            Event::Hear { client, authority, message } => self.hear(client, authority, &message)?,
            Event::Clients => self.clients(),
            Event::Reconnect => {
                self.reconnect();
                self.scheduler.after(RECONNECT_INTERVAL, Event::Reconnect);
            }
            Event::Fault(fault) => self.fault(fault),
            Event::Thaw(machines, certified) => self.thaw(&machines, &certified)?,
            Event::Erase(party) => self.erase(party),
            Event::Mend(links) => links.iter().for_each(|(from, to)| self.network.mend(*from, *to)),
            Event::Healed => {
                self.armed.clear();
                self.healed = Some((self.scheduler.now(), self.monitor.commits().1));
                self.scheduler.after(PROGRESS_INTERVAL, Event::CheckProgress);
            }
            Event::CheckProgress => self.check_progress()?,
            Event::CheckEnd => self.check_end()?,
        }
        Ok(())
    }

    fn is_current(&self, host: usize, incarnation: u64) -> bool {
        self.hosts[host].is_up() && self.hosts[host].incarnation == incarnation
    }

    // Processes.

    fn start(&mut self, index: usize) -> Result<(), Broken> {
        let now = self.scheduler.now();
        let host = &mut self.hosts[index];
        if host.is_up() {
            return Ok(());
        }
        let again = host.incarnation > 0;
        let started = match host.start(&self.setup, &mut self.monitor, now) {
            // Others certified what was signed behind the machine's back, and in its log that contradicts its own.
            Err(_) if self.adversaries.contains(host.party) => {
                self.adversaries.deeds.add("machines locked out", 1);
                return Ok(());
            }
            started => started?,
        };
        self.report.restarts += u64::from(again);
        self.report.torn_tails += u64::from(started.torn);
        self.report.restores_from_checkpoint += u64::from(started.from_checkpoint);
        let party = host.party;
        let authority = party.authority().expect("hosts are machines");
        let siblings: Vec<usize> = (0..self.hosts.len())
            .filter(|other| *other != index && self.hosts[*other].party.authority() == Some(authority))
            .filter(|other| self.is_second(*other) == self.is_second(index))
            .collect();
        for sibling in siblings {
            if self.hosts[sibling].is_up() {
                self.connected(sibling, party);
                self.connected(index, self.hosts[sibling].party);
            }
        }
        self.network.break_links(authority);
        self.wake(index);
        self.schedule_tick(index);
        Ok(())
    }

    fn wake(&mut self, index: usize) {
        if self.frozen.contains_key(&index) {
            return;
        }
        let host = &mut self.hosts[index];
        if host.wants_step() {
            host.woken = true;
            let incarnation = host.incarnation;
            self.scheduler.after(0, Event::Step(index, incarnation));
        }
    }

    fn schedule_tick(&mut self, index: usize) {
        let now = self.scheduler.now();
        let host = &mut self.hosts[index];
        if let Some(deadline) = host.deadline() {
            let at = deadline.max(now);
            if host.tick_at != Some(at) {
                host.tick_at = Some(at);
                let incarnation = host.incarnation;
                self.scheduler.at(at, Event::Tick(index, incarnation));
            }
        }
    }

    fn step(&mut self, index: usize) -> Result<(), Broken> {
        let now = self.scheduler.now();
        let stepped = self.hosts[index].step(now)?;
        self.witnessed(index);
        let host = &mut self.hosts[index];
        match stepped {
            Stepped::Failed => self.disk_failed(index),
            Stepped::Idle => self.schedule_tick(index),
            Stepped::Busy { dirty } => {
                let authority = host.party.authority().expect("hosts are machines");
                let incarnation = host.incarnation;
                let mut time = self.random.between(5, 50);
                if dirty {
                    let sync = self.sync_time[authority.index()];
                    time += self.random.between(sync / 2, sync * 2);
                }
                self.scheduler.after(time, Event::Release(index, incarnation));
            }
        }
        Ok(())
    }

    fn release(&mut self, index: usize) -> Result<(), Broken> {
        let party = self.hosts[index].party;
        let armed = self.take_armed(index);
        if let Some(fault) = &armed
            && matches!(fault.moment(), Moment::BeforeSync | Moment::AfterWrites(_))
        {
            self.strike(fault);
            return Ok(());
        }
        let Some(effects) = self.hosts[index].release() else {
            self.disk_failed(index);
            return Ok(());
        };
        for entry in host::entries(&effects) {
            self.monitor.persisted(party, entry)?;
            self.note_sync(party, entry);
            if let Some(probe) = &mut self.probe {
                probe.persisted(self.scheduler.now(), party, entry);
            }
            let completed = matches!(entry, LogEntry::Checkpoint(piece) if piece.last);
            self.report.checkpoints += u64::from(completed);
        }
        self.records(index)?;
        let heard = if armed.is_some() { self.random.index(effects.len() + 1) } else { effects.len() };
        for effect in effects.into_iter().take(heard) {
            match effect {
                Effect::Persist(_) => {}
                Effect::Send { to, message } => self.send(index, &to, message)?,
                Effect::Checkpoint(checkpoint) => {
                    self.hosts[index].begin_checkpoint(&checkpoint)?;
                    let time = self.random.between(1_000, self.setup.keeping.store_time);
                    let incarnation = self.hosts[index].incarnation;
                    self.scheduler.after(time, Event::Checkpointed(index, incarnation));
                }
                Effect::Recall(number) => {
                    self.hosts[index].recall(number)?;
                }
                Effect::Snapshot(task) => self.hosts[index].snapshot(&self.setup, task),
                Effect::Forget(before) => {
                    let keeping = &self.setup.keeping;
                    let retained = match party {
                        Party::Beacon(_) => keeping.beacon_log_retained,
                        Party::Worker(..) | Party::Client(_) => keeping.worker_log_retained,
                    };
                    self.report.log_segments_deleted += self.hosts[index].forget(before, retained)?;
                }
            }
        }
        if let Some(fault) = &armed {
            self.strike(fault);
        }
        self.wake(index);
        self.schedule_tick(index);
        Ok(())
    }

    fn checkpointed(&mut self, index: usize) {
        self.report.checkpoints += 1;
        self.trace(index, b"checkpointed");
        if self.hosts[index].finish_checkpoint() {
            self.wake(index);
        }
    }

    /// The log is of no use any more: the process ends, and what it wrote is as after a loss of power.
    fn disk_failed(&mut self, index: usize) {
        self.report.sync_errors += 1;
        self.frozen.remove(&index);
        self.hosts[index].crash(false);
        self.hosts[index].lose_power();
        self.scheduler.after(RESTART_AFTER_ERROR, Event::Start(index));
    }

    fn records(&mut self, index: usize) -> Result<(), Broken> {
        let host = &mut self.hosts[index];
        let machine = host.machine().expect("it was just released");
        let Some(status) = machine.worker() else { return Ok(()) };
        let party = host.party;
        if self.adversaries.contains(party) {
            return Ok(());
        }
        hold!("E1", status.diverged.is_none(), "{party:?} diverged at block {:?}", status.diverged);
        if status.executed > host.recorded {
            let records = machine.records(host.recorded.next());
            let authority = party.authority().expect("hosts are machines");
            for record in &records {
                self.monitor.record(authority, record)?;
            }
            host.recorded = status.executed;
        }
        Ok(())
    }

    // Messages.

    fn send(&mut self, index: usize, to: &[Party], message: Message) -> Result<(), Broken> {
        let (from, second) = (self.hosts[index].party, self.is_second(index));
        self.monitor.sent(from, &message)?;
        if let Some(probe) = &mut self.probe {
            probe.sent(self.scheduler.now(), &message);
        }
        match &message {
            Message::VertexRequest(wanted) => self.report.fetches += wanted.len() as u64,
            Message::BatchRequest(wanted) => self.report.fetches += wanted.len() as u64,
            Message::CommitRequest(_) => self.report.floors_passed += 1,
            _ => {}
        }
        let authority = from.authority().expect("machines send");
        let parcel = Rc::new(Parcel::new(encode(&message)));
        for &party in to {
            hold!("S1", message.may_pass(from, party), "{from:?} sends {:?} to {party:?}", message.kind());
            if let Party::Client(client) = party {
                let delay = self.random.between(CLIENT_DELAY / 2, CLIENT_DELAY);
                self.scheduler
                    .after(delay, Event::Hear { client, authority, message: Box::new(message.clone()) });
            } else if self.adversaries.contains(from) {
                let now = self.scheduler.now();
                let said = self.adversaries.says(now, from, party, message.clone());
                self.misuse(second, said);
            } else if self.meddles(party) {
                if let Some(message) = self.meddle(from, party, &message) {
                    self.post(from, second, party, &Rc::new(Parcel::new(encode(&message))), 0);
                }
            } else {
                self.post(from, second, party, &parcel, 0);
            }
        }
        Ok(())
    }

    fn deliver(
        &mut self,
        to: usize,
        from: Party,
        parcel: &Parcel,
        incarnation: Option<u64>,
    ) -> Result<(), Broken> {
        let host = &self.hosts[to];
        if !host.is_up() || incarnation.is_some_and(|incarnation| incarnation != host.incarnation) {
            self.report.lost += 1;
            return Ok(());
        }
        self.report.delivered += 1;
        self.trace(to, parcel.digest());
        let message = match self.read(to, from, parcel) {
            Err(_) if self.adversaries.contains(from) => {
                self.adversaries.deeds.add("messages refused", 1);
                return Ok(());
            }
            read => read?,
        };
        let (now, party) = (self.scheduler.now(), self.hosts[to].party);
        let said = self.adversaries.hears(now, party, from, &message);
        self.misuse(self.is_second(to), said);
        self.witness(to, &message);
        self.input(to, Input::Message { from, message });
        Ok(())
    }

    fn input(&mut self, to: usize, input: Input) {
        if self.hosts[to].take(input) {
            self.wake(to);
        }
    }

    fn trace(&mut self, to: usize, bytes: &[u8]) {
        self.trace.update(&self.scheduler.now().0.to_le_bytes());
        self.trace.update(&(to as u64).to_le_bytes());
        self.trace.update(&(bytes.len() as u64).to_le_bytes());
        self.trace.update(bytes);
    }

    fn connected(&mut self, to: usize, party: Party) {
        self.trace(to, format!("connected {party:?}").as_bytes());
        self.input(to, Input::Connected(party));
    }

    /// Tells both sides of every link that lost something and works again.
    fn reconnect(&mut self) {
        for (a, b) in self.network.reconnect() {
            for index in 0..self.hosts.len() {
                let counterpart = match self.hosts[index].party {
                    Party::Beacon(authority) if authority == a => Party::Beacon(b),
                    Party::Worker(authority, shard) if authority == a => Party::Worker(b, shard),
                    _ => continue,
                };
                for other in self.hosts_of(counterpart) {
                    if self.hosts[index].is_up() && self.hosts[other].is_up() {
                        self.connected(index, counterpart);
                        self.connected(other, self.hosts[index].party);
                    }
                }
            }
        }
    }

    // Clients.

    fn clients(&mut self) {
        let now = self.scheduler.now();
        let open = self.elapsed() < heal_after(&self.setup.options) || self.is_young();
        for submission in self.workload.tick(now, open) {
            let delay = self.random.between(CLIENT_DELAY / 2, CLIENT_DELAY);
            self.scheduler.after(delay, Event::Submit(submission));
        }
        self.scheduler.after(CLIENT_INTERVAL, Event::Clients);
    }

    /// Whether there were too few commits for a run of this length.
    fn is_young(&self) -> bool {
        self.monitor.counts().0 < self.setup.options.duration / MICROS_PER_COMMIT
    }

    fn submit(&mut self, submission: Submission) {
        let Submission { client, authority, shard, request, transactions } = submission;
        let to = self.hosts_of(Party::Worker(authority, shard));
        let to = to[client.0 as usize % to.len()];
        if !self.hosts[to].is_up() {
            self.report.lost += 1;
            return;
        }
        self.trace(to, &encode(&transactions));
        let transactions = self.setup.rules.verify_submission(&mut self.verifier, shard, transactions);
        self.input(to, Input::Submit { client, request, transactions });
    }

    fn hear(&mut self, client: ClientId, authority: AuthorityIndex, message: &Message) -> Result<(), Broken> {
        if let Message::Progress(news) = message {
            for progress in news {
                self.monitor.progress(authority, progress)?;
            }
        }
        self.workload.hear(self.scheduler.now(), client, message)
    }
}

/// The first instant: some day in November 2026.
const START: u64 = 1_794_000_000_000_000;

/// Machines of an authority do not start at one instant.
const STAGGER: u64 = 200_000;

const SIBLING_DELAY: u64 = 20;
const CLIENT_DELAY: u64 = 2_000;
const CLIENT_INTERVAL: u64 = 5_000;
const RECONNECT_INTERVAL: u64 = 100_000;
const RESTART_AFTER_ERROR: u64 = 100_000;

/// After the last fault ended everything is up again and connected.
const HEALED_LATER: u64 = STAGGER + RESTART_AFTER_ERROR + 2 * RECONNECT_INTERVAL;

const PROGRESS_INTERVAL: u64 = 50_000;

const SIGNATURES_REMEMBERED: usize = 1 << 18;

/// A run lasts until it has a commit for so many microseconds of its duration, so that slow networks are not tested less:
/// 200 in thirty seconds.
const MICROS_PER_COMMIT: u64 = 150_000;

/// Events under way; a working cluster has some thousands.
const EVENTS_MAX: usize = 500_000;
