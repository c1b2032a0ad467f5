//! The JSON-RPC calls of a process, over one WebSocket.

use std::time::Duration;

use fresnel_types::{
    Address, BlockIndex, CommitIndex, ShardId, SignedTransaction, TransactionId,
    rpc::{
        AccountAnswer, AccountParams, ChainInfo, Code, CommitInfo, CommitNews, CommitParams, CommitsParams,
        Encoded, ErrorData, LeafAnswer, LeafName, LeafParams, LeafProofAnswer, LeafProofParams, NodeStatus,
        Nothing, ProofAnswer, ProofParams, ProvenStep, ReadLevel, ShardInfo, SubmitParams, Submitted,
        SubscribeParams, TransactionInfo, TransactionParams, TransactionProofAnswer, TransactionProofParams,
        WAIT_MILLIS_MAX, WaitParams,
    },
    status::Level,
};
use jsonrpsee_core::{
    ClientError as CallError,
    client::{ClientT, Subscription, SubscriptionClientT},
    traits::ToRpcParams,
};
use jsonrpsee_ws_client::{WsClient, WsClientBuilder};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};

use crate::limits::{ANSWER_TIMEOUT, CONNECT_TIMEOUT};

/// A connection that takes any number of calls at the same time.
#[derive(Debug)]
pub struct RpcClient(WsClient);

/// Why a call gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// The process answered so.
    #[error("{sentence}")]
    Refused {
        /// The code of the JSON-RPC error.
        number: i32,
        /// What went wrong as a symbol, unless the request was none at all.
        data: Option<ErrorData>,
        /// For people.
        sentence: String,
    },
    /// No answer came, or an unreadable one.
    #[error("the call failed")]
    Failed(#[source] CallError),
}

impl RpcError {
    /// The symbol of what went wrong, if the process said one.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused { data, .. } => data.map(|data| data.code),
            Self::Failed(_) => None,
        }
    }
}

impl From<CallError> for RpcError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Call(error) => Self::Refused {
                number: error.code(),
                data: error.data().and_then(|data| serde_json::from_str(data.get()).ok()),
                sentence: error.message().to_owned(),
            },
            other => Self::Failed(other),
        }
    }
}

impl RpcClient {
    /// Connects to `address`, host and port.
    ///
    /// # Errors
    /// When nobody answers in time.
    pub async fn connect(address: &str) -> Result<Self, RpcError> {
        let builder = WsClientBuilder::new()
            .connection_timeout(CONNECT_TIMEOUT)
            .request_timeout(Duration::from_millis(WAIT_MILLIS_MAX) + ANSWER_TIMEOUT);
        Ok(Self(builder.build(format!("ws://{address}")).await?))
    }

    /// What the chain is.
    ///
    /// # Errors
    /// As every call: [`RpcError`].
    pub async fn chain_info(&self) -> Result<ChainInfo, RpcError> {
        self.call("chain_info", &Nothing {}).await
    }

    /// A commit; by default the last.
    ///
    /// # Errors
    /// As every call; also when it is not kept.
    pub async fn chain_commit(&self, index: Option<CommitIndex>) -> Result<CommitInfo, RpcError> {
        self.call("chain_commit", &CommitParams { index }).await
    }

    /// All shards.
    ///
    /// # Errors
    /// As every call.
    pub async fn shard_list(&self) -> Result<Vec<ShardInfo>, RpcError> {
        self.call("shard_list", &Nothing {}).await
    }

    /// The machines of the process.
    ///
    /// # Errors
    /// As every call.
    pub async fn node_status(&self) -> Result<NodeStatus, RpcError> {
        self.call("node_status", &Nothing {}).await
    }

    /// An account.
    ///
    /// # Errors
    /// As every call.
    pub async fn account_get(&self, address: Address, level: ReadLevel) -> Result<AccountAnswer, RpcError> {
        self.call("account_get", &AccountParams { address, level, not_before: None }).await
    }

    /// An account, not of a state before that after `not_before`.
    ///
    /// # Errors
    /// As every call; also when the asked authority has not come that far.
    pub async fn account_get_from(
        &self,
        address: Address,
        level: ReadLevel,
        not_before: BlockIndex,
    ) -> Result<AccountAnswer, RpcError> {
        self.call("account_get", &AccountParams { address, level, not_before: Some(not_before) }).await
    }

    /// An account with a proof, which [`Checker`](crate::Checker) checks.
    ///
    /// # Errors
    /// As every call.
    pub async fn account_proof(&self, address: Address) -> Result<ProofAnswer, RpcError> {
        self.call("account_proof", &ProofParams { address }).await
    }

    /// What programs keep beside accounts.
    ///
    /// # Errors
    /// As every call.
    pub async fn leaf_get(&self, leaf: LeafName, level: ReadLevel) -> Result<LeafAnswer, RpcError> {
        self.call("leaf_get", &LeafParams { leaf, level, not_before: None }).await
    }

    /// The same with a proof, which [`Checker`](crate::Checker) checks.
    ///
    /// # Errors
    /// As every call.
    pub async fn leaf_proof(&self, leaf: LeafName) -> Result<LeafProofAnswer, RpcError> {
        self.call("leaf_proof", &LeafProofParams { leaf }).await
    }

    /// A proof of how far a transaction of `shard` has come, which [`Checker`](crate::Checker) checks.
    ///
    /// # Errors
    /// As every call; also when that did not happen, is not certified in time, or is forgotten.
    pub async fn tx_proof(
        &self,
        transaction: TransactionId,
        shard: ShardId,
        of: ProvenStep,
    ) -> Result<TransactionProofAnswer, RpcError> {
        self.call("tx_proof", &TransactionProofParams { transaction, shard, of }).await
    }

    /// Submits a transaction; to submit it again does no harm.
    ///
    /// # Errors
    /// As every call; also when the worker refuses it.
    pub async fn tx_submit(&self, transaction: SignedTransaction) -> Result<Submitted, RpcError> {
        self.call("tx_submit", &SubmitParams { transaction: Encoded(transaction) }).await
    }

    /// The last news about a transaction.
    ///
    /// # Errors
    /// As every call; also when it is not known.
    pub async fn tx_get(&self, transaction: TransactionId) -> Result<TransactionInfo, RpcError> {
        self.call("tx_get", &TransactionParams { transaction, shard: None }).await
    }

    /// Waits until a transaction has come to `level`.
    ///
    /// # Errors
    /// As every call; also when it is not known or does not come so far within `patience`, at most
    /// [`WAIT_MILLIS_MAX`].
    pub async fn tx_wait(
        &self,
        transaction: TransactionId,
        level: Level,
        patience: Duration,
    ) -> Result<TransactionInfo, RpcError> {
        self.wait(transaction, level, patience, false).await
    }

    /// As [`Self::tx_wait`] for `level` [`Level::Final`] or [`Level::Settled`], with a proof of the level that it has reached:
    /// [`Checker::check_final`](crate::Checker::check_final) checks the one,
    /// [`Checker::check_settled`](crate::Checker::check_settled) the other.
    ///
    /// # Errors
    /// As for [`Self::tx_wait`]; also when there is no proof any more.
    pub async fn tx_wait_proven(
        &self,
        transaction: TransactionId,
        level: Level,
        patience: Duration,
    ) -> Result<TransactionInfo, RpcError> {
        self.wait(transaction, level, patience, true).await
    }

    async fn wait(
        &self,
        transaction: TransactionId,
        level: Level,
        patience: Duration,
        proof: bool,
    ) -> Result<TransactionInfo, RpcError> {
        let timeout_ms = Some(u64::try_from(patience.as_millis()).unwrap_or(u64::MAX));
        let params = WaitParams { transaction, level, shard: None, timeout_ms, proof };
        self.call("tx_wait", &params).await
    }

    /// News about a transaction until it is settled. Levels only rise; those passed quickly may be left out. With `proof`,
    /// news from [`Level::Final`] on carry theirs, as for [`Self::tx_wait_proven`].
    ///
    /// # Errors
    /// As every call; also when it is not known.
    pub async fn tx_subscribe(
        &self,
        transaction: TransactionId,
        proof: bool,
    ) -> Result<Subscription<TransactionInfo>, RpcError> {
        let params = raw(&SubscribeParams { transaction, shard: None, proof });
        Ok(self.0.subscribe("tx_subscribe", params, "tx_unsubscribe").await?)
    }

    /// Commits, in order and without a gap, from `from` or the next one on.
    ///
    /// # Errors
    /// As every call.
    pub async fn subscribe_commits(
        &self,
        from: Option<CommitIndex>,
    ) -> Result<Subscription<CommitNews>, RpcError> {
        let params = raw(&CommitsParams { from });
        Ok(self.0.subscribe("chain_subscribeCommits", params, "chain_unsubscribeCommits").await?)
    }

    async fn call<T: DeserializeOwned>(&self, method: &str, params: &impl Serialize) -> Result<T, RpcError> {
        Ok(self.0.request(method, raw(params)).await?)
    }
}

struct Raw(Box<RawValue>);

impl ToRpcParams for Raw {
    fn to_rpc_params(self) -> Result<Option<Box<RawValue>>, serde_json::Error> {
        Ok(Some(self.0))
    }
}

fn raw(params: &impl Serialize) -> Raw {
    Raw(to_raw_value(params).expect("parameters have strings and numbers"))
}
