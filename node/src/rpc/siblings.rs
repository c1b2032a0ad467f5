//! The other processes of the own authority. A call about a machine that this process does not host is made again at the
//! one that does, which does not pass it on once more.

use std::{sync::Arc, time::Duration};

use fresnel_types::{
    AuthorityIndex,
    frame::Role,
    rpc::{Failure, WAIT_MILLIS_MAX},
};
use jsonrpsee_core::{
    ClientError,
    client::{ClientT, Subscription, SubscriptionClientT},
    traits::ToRpcParams,
};
use jsonrpsee_ws_client::{HeaderMap, HeaderValue, PingConfig, WsClient, WsClientBuilder};
use serde_json::{Value, value::RawValue};
use tokio::{sync::Mutex, task::JoinSet, time::timeout};

use super::fault::{Fault, Outcome};
use crate::{
    Topology,
    limits::{
        HANDSHAKE_TIMEOUT, RPC_ANSWER_BYTES_MAX, RPC_CALLS_MAX, RPC_PING_INTERVAL, RPC_PONG_TIMEOUT,
        RPC_REQUEST_BYTES_MAX,
    },
    roles,
};

/// All of them.
pub(super) struct Siblings(Vec<Arc<Sibling>>);

impl Siblings {
    /// Those of process number `own` of the topology.
    pub(super) fn of(topology: &Topology, own: usize, authority: AuthorityIndex) -> Self {
        let others = topology.processes.iter().enumerate();
        let others = others.filter(|(place, process)| *place != own && process.authority == authority);
        let sibling = |process: &crate::Process| Sibling {
            roles: process.roles.clone(),
            address: process.rpc_address.clone(),
            client: Mutex::new(None),
        };
        Self(others.map(|(_, process)| Arc::new(sibling(process))).collect())
    }

    /// The one that hosts a machine.
    pub(super) fn with(&self, role: Role) -> Option<&Arc<Sibling>> {
        self.0.iter().find(|sibling| sibling.roles.contains(&role))
    }

    /// Makes a call at all that host workers, at the same time. Each gives its outcome when it has one.
    pub(super) fn call_all(
        &self,
        method: &'static str,
        params: &Raw,
        patience: Duration,
    ) -> JoinSet<(Arc<Sibling>, Outcome)> {
        let is_worker = |role: &Role| matches!(role, Role::Worker(_));
        let mut calls = JoinSet::new();
        for sibling in self.0.iter().filter(|sibling| sibling.roles.iter().any(is_worker)) {
            let (sibling, params) = (Arc::clone(sibling), params.clone());
            calls.spawn(async move {
                let outcome = sibling.call(method, params, patience).await;
                (sibling, outcome)
            });
        }
        calls
    }
}

/// A process, with the connection to it when there is one.
pub(super) struct Sibling {
    roles: Vec<Role>,
    address: Option<String>,
    client: Mutex<Option<Arc<WsClient>>>,
}

impl Sibling {
    /// Makes a call there.
    pub(super) async fn call(&self, method: &str, params: Raw, patience: Duration) -> Outcome {
        let call =
            async { self.client().await?.request(method, params).await.map_err(|error| self.fault(error)) };
        timeout(patience, call).await.unwrap_or_else(|_| Err(self.silent()))
    }

    /// Subscribes there.
    pub(super) async fn subscribe(
        &self,
        method: &str,
        params: Raw,
        unsubscribe: &str,
        patience: Duration,
    ) -> Result<Subscription<Value>, Fault> {
        let call = async {
            let client = self.client().await?;
            client.subscribe(method, params, unsubscribe).await.map_err(|error| self.fault(error))
        };
        timeout(patience, call).await.unwrap_or_else(|_| Err(self.silent()))
    }

    /// The connection, made anew when it broke. One caller makes it and the others wait for that.
    async fn client(&self) -> Result<Arc<WsClient>, Fault> {
        let mut place = self.client.lock().await;
        if let Some(client) = place.as_ref().filter(|client| client.is_connected()) {
            return Ok(Arc::clone(client));
        }
        let Some(address) = &self.address else {
            let sentence = format!("the topology gives no rpc_address for {}", self.names());
            return Err(Fault::failed(Failure::Unreachable, sentence));
        };
        let ping = PingConfig::new().ping_interval(RPC_PING_INTERVAL).inactive_limit(RPC_PONG_TIMEOUT);
        let client = WsClientBuilder::new()
            .set_headers(HeaderMap::from_iter([(
                FORWARDED.parse().expect("a valid header"),
                HeaderValue::from_static("1"),
            )]))
            .max_request_size(RPC_REQUEST_BYTES_MAX)
            .max_response_size(RPC_ANSWER_BYTES_MAX)
            .max_concurrent_requests(RPC_CALLS_MAX)
            .connection_timeout(HANDSHAKE_TIMEOUT)
            // Callers have their own, shorter patience.
            .request_timeout(Duration::from_millis(2 * WAIT_MILLIS_MAX))
            .enable_ws_ping(ping)
            .build(format!("ws://{address}"))
            .await
            .map_err(|error| {
                Fault::failed(Failure::Unreachable, format!("{} cannot be reached: {error}", self.names()))
            })?;
        Ok(Arc::clone(place.insert(Arc::new(client))))
    }

    fn fault(&self, error: ClientError) -> Fault {
        match error {
            ClientError::Call(error) => Fault::of(error),
            other => {
                let sentence = format!("{} does not answer: {other}", self.names());
                Fault::failed(Failure::Unreachable, sentence)
            }
        }
    }

    fn silent(&self) -> Fault {
        Fault::failed(Failure::Unreachable, format!("{} does not answer in time", self.names()))
    }

    fn names(&self) -> String {
        let roles: Vec<String> = self.roles.iter().map(|role| roles::name(*role)).collect();
        format!("the process with {}", roles.join(", "))
    }
}

/// Parameters as they came.
#[derive(Clone)]
pub(super) struct Raw(pub(super) Option<Box<RawValue>>);

impl ToRpcParams for Raw {
    fn to_rpc_params(self) -> Result<Option<Box<RawValue>>, serde_json::Error> {
        Ok(self.0)
    }
}

/// The header of connections between siblings.
pub(super) const FORWARDED: &str = "x-fresnel-forwarded";
