//! The listener for the operator: is the process up, can it be used, what does it count, and what does it log. Loopback
//! only, since it knows no rights: whoever may log in on the machine may look, and choose what is logged.

use std::{collections::BTreeMap, io, sync::Arc};

use axum::{
    Router as Routes,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use fresnel_crypto::Verifier;
use fresnel_types::{
    BlockIndex, ClientId, Input, Message, Party,
    frame::{HEADER_BYTES, Header, Role},
    status::{Answer, BeaconStatus, Query, WorkerCounts, WorkerStatus},
};
use metrics::{counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde::Serialize;
use tokio::{net::TcpListener, sync::Mutex, time::timeout};

use crate::{
    Stats,
    counters::Counters,
    ingest::Clients,
    limits::{ADMIN_BODY_BYTES_MAX, ADMIN_CONNECTIONS_MAX, ADMIN_PATIENCE, STATUS_TIMEOUT},
    listener::Bounded,
    log_filter::LogFilter,
    roles,
    router::Router,
    stats::{Ledger, rss_bytes},
    stream::{Stopping, Waiting},
    worker_metrics,
};

/// What the operator can see.
pub(crate) struct Admin {
    router: Arc<Router>,
    ledger: Arc<Ledger>,
    /// Also serialises the questions to the machines, so that impatient callers cannot pile them up.
    verifier: Mutex<Verifier>,
    log_filter: Option<Arc<LogFilter>>,
}

impl Admin {
    pub(crate) fn new(
        router: Arc<Router>,
        ledger: Arc<Ledger>,
        verifier: Verifier,
        log_filter: Option<Arc<LogFilter>>,
    ) -> Self {
        Self { router, ledger, verifier: Mutex::new(verifier), log_filter }
    }

    /// Answers until the process stops.
    pub(crate) async fn serve(self, listener: TcpListener, mut stopping: Stopping) -> io::Result<()> {
        let routes = Routes::new()
            .route("/livez", get(async || "up\n"))
            .route("/readyz", get(readiness))
            .route("/metrics", get(exposition))
            .route("/log", get(log_filter).put(set_log_filter))
            .layer(DefaultBodyLimit::max(ADMIN_BODY_BYTES_MAX))
            .with_state(Arc::new(self));
        axum::serve(Bounded::new(listener, ADMIN_CONNECTIONS_MAX, ADMIN_PATIENCE, usize::MAX), routes)
            .with_graceful_shutdown(async move { stopping.asked().await })
            .await
    }

    /// Where every machine of this process is, as far as it says so in time.
    async fn positions(&self) -> BTreeMap<Party, Option<Position>> {
        let mut answers = self.ask_all(&Query::Status).await;
        let position = |party: &Party| (*party, answers.remove(party).and_then(Position::of));
        self.router.local.keys().map(position).collect()
    }

    /// What every worker of this process counted, as far as it says so in time.
    async fn counts(&self) -> BTreeMap<Party, WorkerCounts> {
        let answers = self.ask_all(&Query::Counts).await.into_iter();
        let counts = answers.filter_map(|(party, answer)| match answer {
            Answer::Counts(counts) => Some((party, *counts)),
            _ => None,
        });
        counts.collect()
    }

    /// Asks every machine of this process; who does not answer in time is left out.
    async fn ask_all(&self, query: &Query) -> BTreeMap<Party, Answer> {
        let mut verifier = self.verifier.lock().await;
        let mut visit = Visit::new(&self.router.clients);
        let parties: Vec<Party> = self.router.local.keys().copied().collect();
        let mut answers = BTreeMap::new();
        let mut open = 0;
        for (request, inbox) in (0..).zip(self.router.local.values()) {
            let query = Message::Query { request, query: query.clone() };
            let message = self
                .router
                .rules
                .verify_one(&mut verifier, query)
                .expect("a question is well-formed whatever it asks");
            let from = Party::Client(visit.client);
            // A machine whose inbox is full is as good as silent.
            open += usize::from(inbox.offer(Input::Message { from, message }).is_ok());
        }
        let hear = async {
            while open > 0 {
                let Some((request, answer)) = visit.hear().await else { return };
                if let Some(party) = usize::try_from(request).ok().and_then(|index| parties.get(index)) {
                    answers.insert(*party, answer);
                }
                open -= 1;
            }
        };
        // Who has not answered by then is silent.
        let _ = timeout(STATUS_TIMEOUT, hear).await;
        answers
    }
}

/// Where a machine is.
#[derive(Debug)]
enum Position {
    Beacon(BeaconStatus),
    Worker(WorkerStatus),
}

impl Position {
    fn of(answer: Answer) -> Option<Self> {
        match answer {
            Answer::Beacon(status) => Some(Self::Beacon(status)),
            Answer::Worker(status) => Some(Self::Worker(status)),
            _ => None,
        }
    }
}

/// The place of a client that is no connection, given up when dropped: a caller may leave while machines are asked.
struct Visit<'a> {
    clients: &'a Clients,
    client: ClientId,
    waiting: Waiting,
}

impl<'a> Visit<'a> {
    fn new(clients: &'a Clients) -> Self {
        let (link, waiting) = clients.enter();
        Self { clients, client: link.id, waiting }
    }

    /// The next answer; none when the process stops.
    async fn hear(&mut self) -> Option<(u64, Answer)> {
        loop {
            let frame = self.waiting.next().await?;
            let (header, body) = frame.split_first_chunk::<HEADER_BYTES>()?;
            let message = Header::parse(header).and_then(|header| header.message(body)).ok()?;
            if let Message::Answer { request, answer } = message {
                return Some((request, answer));
            }
        }
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.clients.leave(self.client);
    }
}

/// The body of `/readyz`.
#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    reasons: Vec<Unready>,
}

/// Why a process is not ready.
#[derive(Debug, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
enum Unready {
    /// The machine did not say in time where it is.
    Silent { machine: String },
    /// Too little room is left on the disk, so nothing is admitted.
    DiskFull,
    /// The worker's own record differs from the certified one.
    Diverged { machine: String, block: BlockIndex },
}

async fn readiness(State(admin): State<Arc<Admin>>) -> Response {
    let mut reasons = Vec::new();
    for (party, position) in admin.positions().await {
        let machine = roles::name(roles::of(party));
        match position {
            None => reasons.push(Unready::Silent { machine }),
            Some(Position::Worker(WorkerStatus { diverged: Some(block), .. })) => {
                reasons.push(Unready::Diverged { machine, block });
            }
            Some(_) => {}
        }
    }
    if admin.router.counters.space.is_short() {
        reasons.push(Unready::DiskFull);
    }
    let ready = reasons.is_empty();
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::to_string(&Readiness { ready, reasons }).expect("strings and numbers");
    (code, [(CONTENT_TYPE, "application/json")], body).into_response()
}

async fn exposition(State(admin): State<Arc<Admin>>) -> Response {
    let (positions, counts) = (admin.positions().await, admin.counts().await);
    let read = || Ok::<_, io::Error>((Stats::take(&admin.ledger, &admin.router.counters)?, rss_bytes()?));
    match read() {
        Ok((stats, rss)) => {
            let body = render(&stats, rss, &admin.router, &positions, &counts);
            ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], body).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn log_filter(State(admin): State<Arc<Admin>>) -> Response {
    match &admin.log_filter {
        Some(filter) => format!("{}\n", filter.current()).into_response(),
        None => (StatusCode::NOT_FOUND, "the process writes no log of its own\n").into_response(),
    }
}

/// By PUT, which no page of another site can make a browser send unasked.
async fn set_log_filter(State(admin): State<Arc<Admin>>, text: String) -> Response {
    let Some(filter) = &admin.log_filter else { return log_filter(State(admin)).await };
    match filter.set(text.trim()) {
        Ok(()) => log_filter(State(admin)).await,
        Err(reason) => (StatusCode::BAD_REQUEST, format!("{reason}\n")).into_response(),
    }
}

/// Everything as Prometheus reads it. Each call has a recorder of its own: nothing is counted twice, a machine that
/// fell silent leaves no stale values, and processes that share an operating system process do not meet.
fn render(
    stats: &Stats,
    rss: u64,
    router: &Router,
    positions: &BTreeMap<Party, Option<Position>>,
    counts: &BTreeMap<Party, WorkerCounts>,
) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        describe();
        gauge!("fresnel_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        gauge!("fresnel_memory_resident_bytes").set(rss as f64);
        gauge!("fresnel_memory_resident_max_bytes").set(stats.rss_bytes_max as f64);
        for (thread, micros) in &stats.threads {
            gauge!("fresnel_thread_cpu_seconds", "thread" => thread.clone()).set(*micros as f64 / 1e6);
        }
        for (name, count) in &stats.counters {
            counter!(format!("fresnel_{name}_total")).absolute(*count);
        }
        for (party, inbox) in &router.local {
            let machine = roles::name(roles::of(*party));
            gauge!("fresnel_machine_inbox_inputs", "machine" => machine).set(inbox.depth() as f64);
        }
        for ((shard, code), count) in router.counters.rejections.all() {
            worker_metrics::rejected(&roles::name(Role::Worker(shard)), code, count);
        }
        for (name, value) in router.counters.space.gauges() {
            gauge!(format!("fresnel_{name}")).set(value as f64);
        }
        for (party, position) in positions {
            record(&roles::name(roles::of(*party)), position.as_ref());
        }
        for (party, counts) in counts {
            worker_metrics::record(&roles::name(roles::of(*party)), counts);
        }
    });
    handle.render()
}

fn describe() {
    worker_metrics::describe();
    for (name, help) in Counters::DESCRIPTIONS {
        describe_counter!(format!("fresnel_{name}_total"), help.trim());
    }
    for (name, help) in GAUGES {
        describe_gauge!(format!("fresnel_{name}"), *help);
    }
}

/// What is told of the process and of each machine besides counts: name and meaning.
const GAUGES: &[(&str, &str)] = &[
    ("build_info", "Always 1; says which version runs."),
    ("memory_resident_bytes", "Memory that the process holds."),
    ("memory_resident_max_bytes", "The most memory that the process ever held."),
    ("thread_cpu_seconds", "CPU time of the threads of each name since the start."),
    ("disk_short", "Whether too little room is left on the disk, so that nothing is admitted."),
    ("disk_free_bytes", "Room on the disk of the data directory."),
    ("disk_log_bytes", "What the logs take on the disk."),
    ("disk_checkpoint_bytes", "What the checkpoints take on the disk."),
    ("machine_answers", "Whether the machine said in time where it is."),
    ("machine_inbox_inputs", "Inputs that wait for the machine's thread."),
    ("machine_commit", "The last commit of a beacon, or the last that a worker stored."),
    ("beacon_round", "The round of the beacon's last vertex."),
    ("beacon_floor_round", "The floor after the beacon's last commit."),
    ("beacon_accused_authorities", "Authorities against whom the beacon holds evidence of equivocation."),
    ("beacon_resuming", "Whether the beacon signs nothing yet, since its log was empty."),
    ("worker_executed_block", "The last block that the worker executed."),
    ("worker_certified_block", "The block of the last record that the worker knows certified."),
    ("worker_pending_transactions", "Transactions admitted here and not final."),
    ("worker_in_flight_receipts", "Receipts emitted whose end the shard has not seen."),
    ("worker_diverged", "Whether the worker's own record differs from the certified one."),
];

fn record(machine: &str, position: Option<&Position>) {
    let set = |name: &str, value: u64| {
        gauge!(format!("fresnel_{name}"), "machine" => machine.to_owned()).set(value as f64);
    };
    set("machine_answers", u64::from(position.is_some()));
    match position {
        Some(Position::Beacon(status)) => {
            set("machine_commit", status.commit.0);
            set("beacon_round", status.round.0);
            set("beacon_floor_round", status.floor.0);
            set("beacon_accused_authorities", u64::from(status.accused));
            set("beacon_resuming", u64::from(status.resuming));
        }
        Some(Position::Worker(status)) => {
            set("machine_commit", status.commit.0);
            set("worker_executed_block", status.executed.0);
            set("worker_certified_block", status.certified.block.0);
            set("worker_pending_transactions", status.pending);
            set("worker_in_flight_receipts", status.in_flight);
            set("worker_diverged", u64::from(status.diverged.is_some()));
        }
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Names of metrics in a text.
    fn named(text: &str) -> BTreeSet<&str> {
        let is_part = |character: char| character.is_ascii_lowercase() || character == '_';
        let words = text.split(|character| !is_part(character));
        words.filter(|word| word.starts_with("fresnel_")).collect()
    }

    #[test]
    fn every_panel_of_the_dashboard_shows_a_metric_that_is_told() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let counts = WorkerCounts {
            outcomes: vec![(fresnel_types::Outcome::Success, 1)],
            windows: vec![(fresnel_types::ShardId(1), 1, 2)],
            ..WorkerCounts::default()
        };
        metrics::with_local_recorder(&recorder, || {
            describe();
            worker_metrics::record("worker-0", &counts);
            worker_metrics::rejected("worker-0", fresnel_types::RejectionCode::Quota, 1);
        });
        let mut told: BTreeSet<String> = named(&handle.render()).into_iter().map(str::to_owned).collect();
        // Gauges and counters of the process are told whenever they are; their descriptions are what they are told by.
        told.extend(Counters::DESCRIPTIONS.iter().map(|(name, _)| format!("fresnel_{name}_total")));
        told.extend(GAUGES.iter().map(|(name, _)| format!("fresnel_{name}")));
        let board = include_str!("../../deploy/grafana/fresnel.json");
        let shown = named(board);
        let unknown: Vec<_> = shown.iter().filter(|name| !told.contains(**name)).collect();
        assert!(unknown.is_empty() && shown.len() > 20, "{unknown:?} of {shown:?}");
    }
}
