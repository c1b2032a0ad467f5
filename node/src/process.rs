//! Starting and stopping: everything that runs is made in one place and stopped in the reverse order, so that nothing
//! that was taken in is lost and nothing leaves that is not durable.

use std::{
    collections::{BTreeMap, BTreeSet},
    io, mem,
    num::NonZeroUsize,
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender};
use fresnel_crypto::{SigningKey, Verifier};
use fresnel_log::{Log, LogError, Options};
use fresnel_state::CheckpointStore;
use fresnel_types::{
    AuthorityIndex, Entries, Input, Machine, Party, PublicKey, Timestamp, ablation::Part,
    checkpoint::Restored, frame::Role, rpc::ChainInfo, verify::Rules,
};
use rustls::{ClientConfig, ServerConfig};
use tokio::{
    runtime::{self, Runtime},
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use crate::{
    DataError, Endpoints, LogFilter, NodeError, Process, StoreError, Topology,
    admin::Admin,
    checkpoints::{self, AlternatingStore, Keeper, Publisher, Work},
    clock::Clock,
    counters::{Counters, Reports, count},
    data::{DataDirectory, Identity},
    disk::{FileDisk, make_folder},
    driver::Driver,
    error_chain,
    gates::Gates,
    inbox::{Inbox, Item},
    ingest::{Clients, Ingest, Places},
    limits::{CHECKPOINT_ROOM_BYTES, CLIENT_IDLE_MIN, CLIENTS_MAX, DRAIN_TIMEOUT, LOG_ROOM_FILES},
    links::{Links, Peer, bind},
    node::expect_key,
    roles,
    router::{Postman, Router, are_acquainted},
    rpc::Rpc,
    stats::{self, Ledger},
    stream::{Stopping, ordered},
    tls::Credentials,
    verify::Lanes,
};

/// What a process is started with, whatever its machines are.
pub(crate) struct Setup {
    pub(crate) rules: Arc<Rules>,
    pub(crate) topology: Topology,
    pub(crate) network_key: SigningKey,
    pub(crate) authority: AuthorityIndex,
    pub(crate) roles: Vec<Role>,
    pub(crate) data: PathBuf,
    pub(crate) admin_address: Option<String>,
    /// Where JSON-RPC is answered, and what it says of the chain.
    pub(crate) rpc: Option<(String, ChainInfo)>,
    pub(crate) log_filter: Option<Arc<LogFilter>>,
    pub(crate) log_retained: u64,
    pub(crate) verify_threads: Option<usize>,
}

/// Everything that runs. Also what was started so far when starting fails half-way.
#[derive(Debug)]
pub(crate) struct Running {
    endpoints: Endpoints,
    runtime: Option<Runtime>,
    stopping: watch::Sender<bool>,
    lanes: Arc<Lanes>,
    lane_threads: Vec<(String, JoinHandle<()>)>,
    drivers: Vec<(String, JoinHandle<Result<(), LogError>>)>,
    /// They end once their drivers have.
    keepers: Vec<(String, JoinHandle<Result<(), StoreError>>)>,
    router: Arc<Router>,
    peers: Vec<Arc<Peer>>,
    /// Dropping the sender lets the thread write a last time and end.
    stats: Option<(Sender<()>, JoinHandle<()>)>,
    ends: Ends,
    /// Released last.
    data: Option<DataDirectory>,
}

impl Running {
    /// Starts a process whose machines `open` makes from what they kept.
    pub(crate) fn start(setup: &Setup, open: impl Open) -> Result<Self, NodeError> {
        let clock = Clock::start();
        let own = setup.topology.position(setup.authority, &setup.roles)?;
        let process = &setup.topology.processes[own];
        expect_key("network", &setup.network_key, process.network_key)?;
        let identity = Identity { chain: setup.rules.chain, authority: setup.authority };
        let data = DataDirectory::open(&setup.data, &identity)?;

        let ledger = Arc::new(Ledger::default());
        let runtime = runtime::Builder::new_multi_thread()
            .thread_name("net")
            .worker_threads(NET_THREADS)
            .enable_all()
            .on_thread_stop({
                let ledger = Arc::clone(&ledger);
                move || ledger.record_this_thread()
            })
            .build()?;
        let entered = runtime.enter();
        let listen =
            |address: &str| bind(address).map_err(|error| NodeError::Bind(address.to_owned(), error));
        let (peer_listener, peer) = listen(&process.peer_address)?;
        let (client_listener, client) = listen(&process.client_address)?;
        let admin = setup.admin_address.as_deref().map(listen).transpose()?;
        if let Some((_, address)) = &admin
            && !address.ip().is_loopback()
        {
            return Err(NodeError::AdminExposed(*address));
        }

        let rpc = match &setup.rpc {
            Some((address, info)) => Some((listen(address)?, info.clone())),
            None => None,
        };

        let counters = Arc::new(Counters::default());
        let peers: Vec<Arc<Peer>> =
            setup.topology.processes.iter().map(|process| peer_of(process, &counters)).collect();
        let (router, receivers) = router(setup, own, &peers, &counters);
        let ends = Ends { ledger: Arc::clone(&ledger), notify: Arc::new(Notify::new()) };
        let mut lane_threads = Vec::new();
        let threads = setup
            .verify_threads
            .unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZeroUsize::get));
        let lanes = Lanes::start(threads, &setup.rules, &counters, &router.gates, verifier, |name, body| {
            lane_threads.push((name.clone(), spawn(name, &ends, body)?));
            Ok(())
        })?;
        let machines = setup.roles.len() as u64;
        counters.space.reserve(machines * LOG_ROOM_FILES * SEGMENT_BYTES + CHECKPOINT_ROOM_BYTES);
        let (stop_stats, stats_stopped) = crossbeam_channel::bounded(0);
        let stats = stats::start(
            data.path().join("stats.json"),
            Arc::clone(&ledger),
            Arc::clone(&counters),
            stats_stopped,
        )?;
        let (stopping, stopped) = Stopping::new();
        let mut running = Self {
            endpoints: Endpoints {
                peer,
                client,
                admin: admin.as_ref().map(|(_, address)| *address),
                rpc: rpc.as_ref().map(|((_, address), _)| *address),
            },
            runtime: None,
            stopping,
            lanes: Arc::new(lanes),
            lane_threads,
            drivers: Vec::new(),
            keepers: Vec::new(),
            router,
            peers,
            stats: Some((stop_stats, stats)),
            ends,
            data: None,
        };
        running.open_machines(setup, &data, receivers, clock, open)?;
        running.data = Some(data);

        let reports = Arc::new(Reports::new(clock));
        let (dialled, accepted, server) = running.links(setup, own)?;
        let links = Links {
            chain: setup.rules.chain,
            authority: setup.authority,
            roles: ordered(&process.roles),
            dialled,
            accepted,
            server,
            router: Arc::clone(&running.router),
            lanes: Arc::clone(&running.lanes),
            counters: Arc::clone(&counters),
            reports: Arc::clone(&reports),
            clock,
            stopping: stopped.clone(),
        };
        Arc::new(links).start(peer_listener);
        if let Some((listener, _)) = admin {
            let filter = setup.log_filter.clone();
            let admin = Admin::new(Arc::clone(&running.router), ledger, verifier()?, filter);
            spawn_listener("admin listener", admin.serve(listener, stopped.clone()), &reports);
        }
        if let Some(((listener, _), info)) = rpc {
            let (router, lanes) = (&running.router, &*running.lanes);
            let rpc = Rpc::new(info, &setup.topology, own, setup.authority, router, lanes);
            spawn_listener("RPC listener", rpc.serve(listener, stopped.clone()), &reports);
        }
        let ingest = Ingest {
            chain: setup.rules.chain,
            authority: setup.authority,
            roles: ordered(&process.roles),
            router: Arc::clone(&running.router),
            lanes: Arc::clone(&running.lanes),
            reports,
            stopping: stopped,
            places: Places::new(CLIENTS_MAX, CLIENT_IDLE_MIN),
        };
        tokio::spawn(Arc::new(ingest).accept(client_listener));
        drop(entered);
        running.runtime = Some(runtime);
        tracing::info!(authority = %setup.authority, %peer, %client, "running");
        Ok(running)
    }

    /// Where it listens.
    pub(crate) fn endpoints(&self) -> Endpoints {
        self.endpoints
    }

    /// Where the links live.
    pub(crate) fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("a started process has its runtime until it stops")
    }

    /// Waits until a thread ends before it was asked to.
    pub(crate) async fn failed(&self) {
        self.ends.notify.notified().await;
    }

    /// Stops everything that was started. The second time there is nothing left to stop.
    pub(crate) fn stop(&mut self) -> Result<(), NodeError> {
        let mut result = Ok(());
        // Nothing more comes in.
        self.stopping.send_replace(true);
        self.lanes.stop();
        for (name, thread) in mem::take(&mut self.lane_threads) {
            result = result.and(thread.join().map_err(|_| NodeError::Panicked(name)));
        }
        // Machines handle what has come in, and wait for nothing else.
        self.router.counters.space.stop();
        for inbox in self.router.local.values() {
            inbox.stop();
        }
        for (name, thread) in mem::take(&mut self.drivers) {
            let end = thread.join().map_err(|_| NodeError::Panicked(name.clone()));
            result = result.and(end.and_then(|end| end.map_err(|error| NodeError::Log(name, error))));
        }
        for (name, thread) in mem::take(&mut self.keepers) {
            let end = thread.join().map_err(|_| NodeError::Panicked(name.clone()));
            result = result.and(end.and_then(|end| end.map_err(|error| NodeError::Checkpoints(name, error))));
        }
        // What they said goes out.
        self.peers.iter().for_each(|peer| peer.hang_up());
        self.router.clients.hang_up();
        if let Some(runtime) = self.runtime.take() {
            let gone = async {
                while Arc::strong_count(&self.lanes) > 1 {
                    sleep(DRAIN_POLL).await
                }
            };
            // A connection that takes nothing is given up.
            let _ = runtime.block_on(async { timeout(DRAIN_TIMEOUT, gone).await });
            runtime.shutdown_timeout(DRAIN_TIMEOUT);
        }
        if let Some((stop, thread)) = self.stats.take() {
            drop(stop);
            result = result.and(thread.join().map_err(|_| NodeError::Panicked("stats".to_owned())));
        }
        self.data = None;
        result
    }

    fn open_machines(
        &mut self,
        setup: &Setup,
        data: &DataDirectory,
        receivers: Receivers,
        clock: Clock,
        mut open: impl Open,
    ) -> Result<(), NodeError> {
        let keeps = !setup.rules.leaves_out(Part::Store);
        for (role, party, inbox) in receivers {
            let name = roles::name(role);
            let mut store = match party {
                Party::Worker(..) => Some(open_checkpoints(&name, data)?),
                Party::Beacon(_) | Party::Client(_) => None,
            };
            let mut lost = false;
            let (machine, log) = loop {
                let error = match restore(role, &name, store.as_ref(), lost, data, clock, &mut open) {
                    Ok(opened) => break opened,
                    Err(error) => error,
                };
                let error_text = error_chain(&error);
                let machine = &name;
                if error.is_damaged_checkpoint() && store.as_mut().is_some_and(AlternatingStore::reject) {
                    tracing::error!(
                        machine,
                        error_text,
                        "the newest checkpoint is given up, the one before is tried"
                    );
                } else if !lost && store.is_some() && error.is_lost_state() {
                    tracing::error!(
                        machine,
                        error_text,
                        "no checkpoint is left, the state is fetched from peers"
                    );
                    lost = true;
                } else {
                    return Err(error);
                }
                count(&self.router.counters.checkpoints_rejected);
            };
            let checkpoints = match (store, role) {
                (Some(store), Role::Worker(shard)) => {
                    let shards = setup.rules.shards;
                    let publisher = Publisher::new(data.published(&name), shards, shard);
                    let publisher = publisher.map_err(|error| DataError::Io(data.published(&name), error))?;
                    Some(self.start_keeper(&name, party, store, publisher, keeps, clock)?)
                }
                _ => None,
            };
            let outlet = Postman::new(Arc::clone(&self.router), party, verifier()?);
            let counters = Arc::clone(&self.router.counters);
            let log_retained = setup.log_retained;
            let driver = Driver {
                machine,
                log,
                recalled: Vec::new(),
                keeps,
                log_retained,
                checkpoints,
                inbox,
                outlet,
                clock,
                counters,
            };
            let thread = spawn(name.clone(), &self.ends, move || driver.run())?;
            self.drivers.push((name, thread));
        }
        Ok(())
    }

    /// Starts the keeper of a worker's checkpoints; where it takes them.
    fn start_keeper(
        &mut self,
        name: &str,
        party: Party,
        store: AlternatingStore,
        publisher: Publisher,
        keeps: bool,
        clock: Clock,
    ) -> Result<Sender<Work>, NodeError> {
        let (sender, work) = checkpoints::channel();
        let inbox = self.router.local[&party].clone();
        let counters = Arc::clone(&self.router.counters);
        let keeper = Keeper { store, keeps, publisher, work, inbox, clock, counters };
        let name = format!("keep-{name}");
        self.keepers.push((name.clone(), spawn(name, &self.ends, move || keeper.run())?));
        Ok(sender)
    }

    /// Who is dialled and how, who is accepted and how.
    fn links(&self, setup: &Setup, own: usize) -> Result<LinkEnds, NodeError> {
        let tls = |error: rustls::Error| NodeError::Tls(error.to_string());
        let credentials =
            Credentials::new(&setup.network_key).map_err(|error| NodeError::Tls(error.to_string()))?;
        let (accepted, rest) = self.peers.split_at(own);
        let dialled = rest[1..]
            .iter()
            .map(|peer| Ok((Arc::clone(peer), credentials.dial(peer.key).map_err(tls)?)))
            .collect::<Result<_, NodeError>>()?;
        let keys: BTreeSet<PublicKey> = accepted.iter().map(|peer| peer.key).collect();
        Ok((dialled, accepted.to_vec(), credentials.accept(keys).map_err(tls)?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!(%error, "failed before it was stopped");
        }
    }
}

/// Makes a machine from what it kept: its checkpoint and its log.
pub(crate) trait Open:
    FnMut(Role, Kept, Entries, Timestamp) -> Result<Box<dyn Machine + Send>, NodeError>
{
}

impl<F> Open for F where F: FnMut(Role, Kept, Entries, Timestamp) -> Result<Box<dyn Machine + Send>, NodeError>
{}

/// What a machine kept besides its log.
#[derive(Debug)]
pub(crate) enum Kept {
    /// Its last checkpoint, if it has taken one.
    Checkpoint(Option<Restored>),
    /// No checkpoint, where there were some: nothing leads to its log.
    Lost,
}

/// A worker's checkpoints.
fn open_checkpoints(name: &str, data: &DataDirectory) -> Result<AlternatingStore, NodeError> {
    let folder = data.checkpoints(name);
    make_folder(&folder).map_err(|error| DataError::Io(folder.clone(), error))?;
    AlternatingStore::open(&folder).map_err(|error| NodeError::Checkpoints(name.to_owned(), error))
}

/// A machine from the newest checkpoint of `store` and its log.
fn restore(
    role: Role,
    name: &str,
    store: Option<&AlternatingStore>,
    lost: bool,
    data: &DataDirectory,
    clock: Clock,
    open: &mut impl Open,
) -> Result<(Box<dyn Machine + Send>, Log<FileDisk>), NodeError> {
    let started = clock.now();
    let load = |store: &AlternatingStore| {
        store.load().map_err(|error| NodeError::Checkpoints(name.to_owned(), error))
    };
    let kept = match store {
        Some(_) if lost => Kept::Lost,
        Some(store) => Kept::Checkpoint(load(store)?),
        None => Kept::Checkpoint(None),
    };
    let loaded = clock.now();
    let checkpoint = match &kept {
        Kept::Checkpoint(restored) => restored.as_ref().map(|restored| restored.block.0),
        Kept::Lost => None,
    };
    let failed = |error| NodeError::Log(name.to_owned(), error);
    let disk = FileDisk::open(&data.log(name)).map_err(|error| failed(error.into()))?;
    let (log, recovered) = Log::open(disk, Options { segment_bytes: SEGMENT_BYTES }).map_err(failed)?;
    let (entries, cut) = (recovered.entries.entries.len(), recovered.cut);
    let read = clock.now();
    let machine = open(role, kept, recovered.entries, clock.now())?;
    let millis = |since: Timestamp, until: Timestamp| until.since(since) / 1_000;
    tracing::info!(
        machine = name,
        ?checkpoint,
        entries,
        ?cut,
        load_ms = millis(started, loaded),
        log_ms = millis(loaded, read),
        replay_ms = millis(read, clock.now()),
        "opened"
    );
    Ok((machine, log))
}

/// The machines of a process with the ends of their inboxes.
type Receivers = Vec<(Role, Party, Receiver<Item>)>;

type LinkEnds = (Vec<(Arc<Peer>, Arc<ClientConfig>)>, Vec<Arc<Peer>>, Arc<ServerConfig>);

/// Who hears of it when a thread ends.
#[derive(Clone, Debug)]
struct Ends {
    ledger: Arc<Ledger>,
    notify: Arc<Notify>,
}

/// Dropped as the last act of a thread, however it ends.
struct End(Ends);

impl Drop for End {
    fn drop(&mut self) {
        self.0.ledger.record_this_thread();
        self.0.notify.notify_one();
    }
}

fn spawn<T: Send + 'static>(
    name: String,
    ends: &Ends,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let end = End(ends.clone());
    thread::Builder::new().name(name).spawn(move || {
        let _end = end;
        body()
    })
}

fn spawn_listener(
    name: &'static str,
    served: impl Future<Output = io::Result<()>> + Send + 'static,
    reports: &Arc<Reports>,
) {
    let reports = Arc::clone(reports);
    tokio::spawn(async move {
        if let Err(error) = served.await {
            reports.gave_up(name, &error);
        }
    });
}

fn verifier() -> io::Result<Verifier> {
    Verifier::new().map_err(io::Error::other)
}

fn peer_of(process: &Process, counters: &Arc<Counters>) -> Arc<Peer> {
    Arc::new(Peer::new(
        process.authority,
        ordered(&process.roles),
        process.network_key,
        process.peer_address.clone(),
        Arc::clone(counters),
    ))
}

/// The router of process number `own`, whose machines already know of one another, and the ends of its inboxes.
fn router(
    setup: &Setup,
    own: usize,
    peers: &[Arc<Peer>],
    counters: &Arc<Counters>,
) -> (Arc<Router>, Receivers) {
    let (mut local, mut receivers, mut remote) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
    for (position, peer) in peers.iter().enumerate() {
        for &role in &peer.roles {
            let party = roles::party(peer.authority, role).expect("topologies name beacons and workers");
            if position == own {
                let (inbox, receiver) = Inbox::new();
                local.insert(party, inbox);
                receivers.push((role, party, receiver));
            } else {
                remote.insert(party, Arc::clone(peer));
            }
        }
    }
    for (party, inbox) in &local {
        for other in local.keys().filter(|other| are_acquainted(*party, **other)) {
            inbox.offer(Input::Connected(*other)).expect("an inbox has room for every role of a process");
        }
    }
    let clients = Arc::new(Clients::new(Arc::clone(counters)));
    let counters = Arc::clone(counters);
    let gates = Arc::new(Gates::new(local.keys().copied()));
    (Arc::new(Router { rules: Arc::clone(&setup.rules), local, remote, clients, gates, counters }), receivers)
}

/// The size of a log's files: a few seconds of full load, and room for the largest entry.
pub(crate) const SEGMENT_BYTES: u64 = 32 << 20;

/// Threads for links and clients.
const NET_THREADS: usize = 2;

/// How often it is looked whether all connections are gone.
const DRAIN_POLL: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests;
