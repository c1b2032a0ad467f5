//! The listener for JSON-RPC, over HTTP and WebSocket. It decides nothing: each call becomes a submission or a question
//! of the one client that all callers share (`desk`), or is made again at the sibling process that hosts the machine
//! (`siblings`). `calls` and `subscriptions` are what can be asked, `openrpc.json` describes it.

mod calls;
mod commits;
mod desk;
mod fault;
mod siblings;
mod subscriptions;
mod typed;

use std::{io, sync::Arc};

use axum::{
    Router as Routes,
    error_handling::HandleError,
    extract::{Request, connect_info::Connected},
    http::StatusCode,
    middleware::map_request,
    serve::IncomingStream,
};
use fresnel_types::{
    AuthorityIndex, Genesis,
    frame::Role,
    limits::NONCE_WINDOW,
    rpc::{AuthorityInfo, ChainInfo},
};
use jsonrpsee_core::{BoxError, middleware::RpcServiceBuilder};
use jsonrpsee_server::{BatchRequestConfig, PingConfig, ServerBuilder, ServerConfig, stop_channel};
use serde_json::Value;
use tokio::net::TcpListener;

use self::{
    calls::{Calls, methods},
    commits::Commits,
    desk::Desk,
    siblings::{FORWARDED, Siblings},
    typed::Typed,
};
use crate::{
    Topology,
    limits::{
        RPC_ANSWER_BYTES_MAX, RPC_BATCH_MAX, RPC_CONNECTIONS_MAX, RPC_MESSAGES_MAX, RPC_OPEN_CALLS_MAX,
        RPC_PATIENCE, RPC_PING_INTERVAL, RPC_PONG_TIMEOUT, RPC_REQUEST_BYTES_MAX, RPC_SUBSCRIPTIONS_MAX,
    },
    listener::{Bounded, Open},
    router::Router,
    stream::{Stopping, Waiting},
    verify::Lanes,
};

/// What calls are answered with.
pub(crate) struct Rpc {
    calls: Calls,
    waiting: Waiting,
}

impl Rpc {
    /// For process number `own` of the topology.
    pub(crate) fn new(
        info: ChainInfo,
        topology: &Topology,
        own: usize,
        authority: AuthorityIndex,
        router: &Arc<Router>,
        lanes: &Lanes,
    ) -> Self {
        let (desk, waiting) = Desk::new(Arc::clone(router), authority, lanes);
        let calls = Calls {
            siblings: Siblings::of(topology, own, authority),
            commits: Commits::new(Arc::clone(&desk)),
            info,
            shards: router.rules.shards,
            authority,
            desk,
        };
        Self { calls, waiting }
    }

    /// Answers until the process stops.
    pub(crate) async fn serve(self, listener: TcpListener, mut stopping: Stopping) -> io::Result<()> {
        tokio::spawn(Arc::clone(&self.calls.desk).run(self.waiting));
        if self.calls.desk.hosts(Role::Beacon) {
            tokio::spawn(Arc::clone(&self.calls.commits).run());
        }
        let (stop, handle) = stop_channel();
        let methods = ServerBuilder::with_config(config())
            .set_rpc_middleware(RpcServiceBuilder::new().layer_fn(Typed))
            .to_service_builder()
            .build(methods(self.calls), stop);
        let failed = |error: BoxError| async move { (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()) };
        let routes = Routes::new()
            .fallback_service(HandleError::new(methods, failed))
            .layer(map_request(marked))
            .into_make_service_with_connect_info::<Open>();
        let listener = Bounded::new(
            listener,
            RPC_CONNECTIONS_MAX,
            RPC_PATIENCE,
            RPC_OPEN_CALLS_MAX * MARKS_PER_CALL + MARKS_PER_CONNECTION,
        );
        axum::serve(listener, routes)
            .with_graceful_shutdown(async move {
                stopping.asked().await;
                // WebSockets hear of it by this.
                drop(handle);
            })
            .await
    }
}

/// What `chain_info` says of a chain.
pub(crate) fn chain_info(genesis: &Genesis) -> ChainInfo {
    let authorities = genesis.authorities.iter().map(|authority| AuthorityInfo {
        name: authority.name.clone(),
        stake: authority.stake,
        consensus_key: authority.consensus_key,
    });
    ChainInfo {
        chain: genesis.chain(),
        name: genesis.name.clone(),
        protocol: genesis.protocol,
        epoch: genesis.epoch(),
        shards: genesis.shards.into(),
        supply: genesis.supply(),
        account_minimum: genesis.parameters.account_minimum,
        nonce_window: NONCE_WINDOW,
        validity_max: genesis.parameters.validity_max,
        authorities: authorities.collect(),
    }
}

/// The calls, as OpenRPC describes them.
fn document() -> Value {
    serde_json::from_str(include_str!("rpc/openrpc.json")).expect("tests read it")
}

/// In a request: a sibling passes it on.
#[derive(Clone, Copy, Debug)]
struct Forwarded;

async fn marked(mut request: Request) -> Request {
    if request.headers().contains_key(FORWARDED) {
        request.extensions_mut().insert(Forwarded);
    }
    request
}

impl Connected<IncomingStream<'_, Bounded>> for Open {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        stream.io().open()
    }
}

fn config() -> ServerConfig {
    let connections = u32::try_from(RPC_CONNECTIONS_MAX).expect("a small number");
    ServerConfig::builder()
        .max_connections(connections)
        .max_request_body_size(RPC_REQUEST_BYTES_MAX)
        .max_response_body_size(RPC_ANSWER_BYTES_MAX)
        .max_subscriptions_per_connection(RPC_SUBSCRIPTIONS_MAX)
        .set_message_buffer_capacity(RPC_MESSAGES_MAX)
        .set_batch_request_config(BatchRequestConfig::Limit(RPC_BATCH_MAX))
        .enable_ws_ping(PingConfig::new().ping_interval(RPC_PING_INTERVAL).inactive_limit(RPC_PONG_TIMEOUT))
        .build()
}

/// A subscription: how it is asked for, what its news are called, how it is ended.
type Names = (&'static str, &'static str, &'static str);
const PROGRESS: Names = ("tx_subscribe", "tx_progress", "tx_unsubscribe");
const COMMITS: Names = ("chain_subscribeCommits", "chain_commits", "chain_unsubscribeCommits");
const SUBSCRIPTIONS: [Names; 2] = [PROGRESS, COMMITS];

/// How often the framework copies the mark of its connection into a call.
const MARKS_PER_CALL: usize = 4;

/// And into a connection without calls.
const MARKS_PER_CONNECTION: usize = 8;
