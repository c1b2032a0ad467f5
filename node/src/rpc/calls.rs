//! What each call does: look at what it takes, ask the machine that knows, here or at a sibling, and put the answer into
//! JSON.

use std::{future::Future, sync::Arc, time::Duration};

use fresnel_types::{
    Address, Attestation, AuthorityIndex, BlockIndex, Evidence, Proof, Record, ShardId, Shards, StateKey,
    TransactionId,
    commit::Certified,
    frame::Role,
    leaves::Account,
    proof::{Claim, Wanted},
    rpc::{
        AccountAnswer, AccountParams, AttestedAnswer, AttestedParams, ChainInfo, Code, CommitInfo,
        CommitParams, DagParams, Encoded, EvidenceAnswer, EvidenceFile, EvidenceInfo, Failure, LeafAnswer,
        LeafParams, LeafProofAnswer, LeafProofParams, MachineStatus, NodeStatus, Nothing, ProofAnswer,
        ProofFile, ProofParams, ProvenStep, ReadLevel, ReceiptProofParams, ShardInfo, SubmitParams,
        Submitted, TransactionInfo, TransactionParams, TransactionProofAnswer, TransactionProofParams,
        WAIT_MILLIS_MAX, WaitParams,
    },
    status::{Answer, Level, Query, Unproven},
};
use jsonrpsee_server::{
    Extensions, RpcModule,
    types::{ErrorObjectOwned, Params},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    Forwarded,
    commits::Commits,
    desk::{Desk, Followed},
    fault::{Fault, Outcome},
    siblings::{Raw, Sibling, Siblings},
    subscriptions,
};
use crate::{
    limits::{RPC_ANSWER_TIMEOUT, RPC_BEHIND_AGAIN, RPC_FOLLOW_AGAIN, RPC_PROOF_TIMEOUT, STATUS_TIMEOUT},
    roles,
};

/// What calls need to know.
pub(super) struct Calls {
    pub(super) desk: Arc<Desk>,
    pub(super) siblings: Siblings,
    pub(super) commits: Arc<Commits>,
    pub(super) info: ChainInfo,
    pub(super) shards: Shards,
    pub(super) authority: AuthorityIndex,
}

/// All methods.
pub(super) fn methods(calls: Calls) -> RpcModule<Calls> {
    let mut module = RpcModule::new(calls);
    let m = &mut module;
    register(m, "rpc.discover", |_, _, Nothing {}| async { Ok(super::document()) });
    register(m, "chain_info", |calls, _, Nothing {}| async move { json(&calls.info) });
    register(m, "chain_commit", |calls, call, params| async move { calls.commit(call, params).await });
    register(m, "shard_list", |calls, call, Nothing {}| async move { calls.shards(&call).await });
    register(m, "node_status", |calls, _, Nothing {}| async move { json(&calls.status().await) });
    register(m, "account_get", |calls, call, params| async move { calls.account(call, params).await });
    register(m, "account_proof", |calls, call, params| async move { calls.proof(call, params).await });
    register(m, "leaf_get", |calls, call, params| async move { calls.leaf(call, params).await });
    register(m, "leaf_proof", |calls, call, params| async move { calls.leaf_proof(call, params).await });
    register(m, "tx_proof", |calls, call, params| async move { calls.transaction_proof(call, params).await });
    register(
        m,
        "receipt_proof",
        |calls, call, params| async move { calls.receipt_proof(call, params).await },
    );
    register(m, "record_attested", |calls, call, params| async move { calls.attested(call, params).await });
    register(m, "evidence", |calls, call, Nothing {}| async move { calls.evidence(call).await });
    register(m, "dag", |calls, call, params| async move { calls.dag(call, params).await });
    register(m, "tx_submit", |calls, call, params| async move { calls.submit(call, params).await });
    register(m, "tx_get", |calls, call, params| async move { calls.transaction(call, params).await });
    register(m, "tx_wait", |calls, call, params| async move { calls.wait(call, params).await });
    subscriptions::register(m);
    module
}

/// A call as it came.
pub(super) struct Call {
    method: &'static str,
    pub(super) params: Raw,
    /// By a sibling that does not host the machine itself.
    is_forwarded: bool,
}

impl Call {
    pub(super) fn new(method: &'static str, params: &Params<'_>, extensions: &Extensions) -> Self {
        let raw = params.as_str().map(|text| RawValue::from_string(text.to_owned()));
        let params = Raw(raw.map(|raw| raw.expect("the framework took it out of JSON")));
        Self { method, params, is_forwarded: extensions.get::<Forwarded>().is_some() }
    }
}

fn register<P, Fun, Fut>(module: &mut RpcModule<Calls>, method: &'static str, body: Fun)
where
    P: DeserializeOwned + Send,
    Fun: Fn(Arc<Calls>, Call, P) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Outcome> + Send,
{
    let registered = module.register_async_method(method, move |params, calls, extensions| {
        let body = body.clone();
        async move {
            let call = Call::new(method, &params, &extensions);
            let outcome = match parse(method, &params) {
                Ok(asked) => body(calls, call, asked).await,
                Err(fault) => Err(fault),
            };
            outcome.map_err(ErrorObjectOwned::from)
        }
    });
    registered.expect("every method is registered once");
}

pub(super) fn parse<P: DeserializeOwned>(method: &str, params: &Params<'_>) -> Result<P, Fault> {
    serde_json::from_str(params.as_str().unwrap_or("[]"))
        .map_err(|error| Fault::failed(Failure::InvalidParams, format!("{method}: {error}")))
}

fn json(value: &impl Serialize) -> Outcome {
    serde_json::to_value(value).map_err(|error| Fault::failed(Failure::Internal, error.to_string()))
}

pub(super) fn raw(value: &impl Serialize) -> Raw {
    Raw(Some(to_raw_value(value).expect("parameters have numbers and strings")))
}

/// Where a transaction's worker is.
pub(super) enum Place {
    Here(ShardId),
    There(ShardId, Arc<Sibling>),
}

impl Calls {
    async fn commit(&self, call: Call, params: CommitParams) -> Outcome {
        if let Some(sibling) = self.elsewhere(Role::Beacon, &call)? {
            return sibling.call(call.method, call.params, RPC_ANSWER_TIMEOUT).await;
        }
        let index = match params.index {
            Some(index) => index,
            None => self.commits.last(RPC_ANSWER_TIMEOUT).await?,
        };
        match self.desk.ask(Role::Beacon, Query::Commit(index), RPC_ANSWER_TIMEOUT).await? {
            Answer::Commit(Some(commit)) => json(&CommitInfo {
                index,
                digest: commit.digest(),
                previous: commit.previous,
                time: commit.time,
                floor: commit.floor,
                vertices: commit.vertices,
            }),
            Answer::Commit(None) => {
                let sentence = format!("commit {index} is not made yet or not kept any more");
                Err(Fault::failed(Failure::UnknownCommit, sentence))
            }
            _ => Err(other_question()),
        }
    }

    async fn shards(&self, call: &Call) -> Outcome {
        let mut machines = self.status().await.machines;
        if !call.is_forwarded {
            let patience = STATUS_TIMEOUT + RPC_ANSWER_TIMEOUT;
            for (_, outcome) in self.siblings.call_all("node_status", &Raw(None), patience).join_all().await {
                // Those of a process that does not answer have no status.
                if let Ok(status) = outcome
                    && let Ok(status) = serde_json::from_value::<NodeStatus>(status)
                {
                    machines.extend(status.machines);
                }
            }
        }
        let shards = self.shards.iter().map(|shard| {
            let lowest = (u64::from(shard.0) << 32) / self.shards.count() as u64;
            let of_shard =
                |machine: &MachineStatus| machine.worker.clone().filter(|worker| worker.shard == shard);
            let worker = machines.iter().find_map(of_shard);
            ShardInfo { shard, first_prefix: format!("{lowest:08x}"), worker }
        });
        json(&shards.collect::<Vec<_>>())
    }

    async fn status(&self) -> NodeStatus {
        let mut asked = JoinSet::new();
        for role in self.desk.hosted() {
            let desk = Arc::clone(&self.desk);
            asked.spawn(async move { (role, desk.ask(role, Query::Status, STATUS_TIMEOUT).await) });
        }
        let mut answers = asked.join_all().await;
        answers.sort_unstable_by_key(|(role, _)| *role);
        let status = |(role, answer)| {
            let mut status = MachineStatus { machine: roles::name(role), beacon: None, worker: None };
            match answer {
                Ok(Answer::Beacon(beacon)) => status.beacon = Some(beacon),
                Ok(Answer::Worker(worker)) => status.worker = Some(worker),
                _ => {}
            }
            status
        };
        let machines = answers.into_iter().map(status).collect();
        NodeStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            authority: self.authority,
            chain: self.info.chain,
            machines,
        }
    }

    async fn account(&self, call: Call, params: AccountParams) -> Outcome {
        let AccountParams { address, level, not_before } = params;
        let shard = self.shard_of(&address);
        if let Some(sibling) = self.elsewhere(Role::Worker(shard), &call)? {
            return sibling.call(call.method, call.params, RPC_PROOF_TIMEOUT).await;
        }
        let (block, leaf) =
            self.leaf_at(shard, Account::key(&address), level, not_before.unwrap_or_default()).await?;
        let account = leaf.as_deref().map(Account::from_bytes);
        json(&AccountAnswer { address, shard, level, block, account: account.as_ref().map(Into::into) })
    }

    async fn leaf(&self, call: Call, params: LeafParams) -> Outcome {
        let LeafParams { leaf: name, level, not_before } = params;
        let key = name.key();
        let shard = key.shard(self.shards);
        if let Some(sibling) = self.elsewhere(Role::Worker(shard), &call)? {
            return sibling.call(call.method, call.params, RPC_PROOF_TIMEOUT).await;
        }
        let (block, leaf) = self.leaf_at(shard, key, level, not_before.unwrap_or_default()).await?;
        json(&LeafAnswer { key, shard, level, block, found: leaf.and_then(|leaf| name.read(&leaf)) })
    }

    /// The bytes under a key of a shard that this process hosts, after a block that is not before `not_before`.
    async fn leaf_at(
        &self,
        shard: ShardId,
        key: StateKey,
        level: ReadLevel,
        not_before: BlockIndex,
    ) -> Result<(BlockIndex, Option<Vec<u8>>), Fault> {
        let (executed, leaf) = self.executed(shard, key, not_before).await?;
        match level {
            ReadLevel::Executed => Ok((executed, leaf)),
            ReadLevel::Final => {
                let mut proof = self.proven(shard, Wanted::State(vec![key])).await?;
                if proof.record.block < not_before {
                    // That was after the last certified block; what is asked for is certified soon.
                    let wanted = Wanted::Past { block: not_before, keys: vec![key] };
                    proof = self.proven(shard, wanted).await?;
                }
                let block = proof.record.block.max(not_before);
                Ok((block, leaf_of(&key, &proof)?))
            }
        }
    }

    /// The bytes under a key after the last executed block, which must not be before `wanted`.
    async fn executed(
        &self,
        shard: ShardId,
        key: StateKey,
        wanted: BlockIndex,
    ) -> Result<(BlockIndex, Option<Vec<u8>>), Fault> {
        let asked = async {
            loop {
                match self.desk.ask(Role::Worker(shard), Query::Leaf(key), RPC_ANSWER_TIMEOUT).await? {
                    Answer::Leaf { block, value } if block >= wanted => return Ok((block, value)),
                    Answer::Leaf { .. } => sleep(RPC_BEHIND_AGAIN).await,
                    _ => return Err(other_question()),
                }
            }
        };
        timeout(RPC_ANSWER_TIMEOUT, asked).await.unwrap_or_else(|_| {
            let sentence = format!("the worker of shard {shard} has not executed block {wanted} yet");
            Err(Fault::failed(Failure::Behind, sentence))
        })
    }

    async fn proof(&self, call: Call, ProofParams { address }: ProofParams) -> Outcome {
        let shard = self.shard_of(&address);
        if let Some(sibling) = self.elsewhere(Role::Worker(shard), &call)? {
            return sibling.call(call.method, call.params, RPC_PROOF_TIMEOUT).await;
        }
        let key = Account::key(&address);
        let mut proof = self.proven(shard, Wanted::State(vec![key])).await?;
        self.attest(&mut proof).await?;
        let account = leaf_of(&key, &proof)?.as_deref().map(Account::from_bytes);
        json(&ProofAnswer {
            address,
            shard,
            block: proof.record.block,
            account: account.as_ref().map(Into::into),
            state: proof.record.state,
            certified: certified(&proof),
            proof: ProofFile(proof),
        })
    }

    async fn leaf_proof(&self, call: Call, LeafProofParams { leaf: name }: LeafProofParams) -> Outcome {
        let key = name.key();
        let shard = key.shard(self.shards);
        if let Some(sibling) = self.elsewhere(Role::Worker(shard), &call)? {
            return sibling.call(call.method, call.params, RPC_PROOF_TIMEOUT).await;
        }
        let mut proof = self.proven(shard, Wanted::State(vec![key])).await?;
        self.attest(&mut proof).await?;
        json(&LeafProofAnswer {
            key,
            shard,
            block: proof.record.block,
            found: leaf_of(&key, &proof)?.and_then(|leaf| name.read(&leaf)),
            state: proof.record.state,
            certified: certified(&proof),
            proof: ProofFile(proof),
        })
    }

    async fn transaction_proof(&self, call: Call, params: TransactionProofParams) -> Outcome {
        let TransactionProofParams { transaction, shard, of } = params;
        if !self.shards.contains(shard) {
            return Err(Fault::failed(Failure::UnknownShard, format!("there is no shard {shard}")));
        }
        if let Some(sibling) = self.elsewhere(Role::Worker(shard), &call)? {
            return sibling.call(call.method, call.params, RPC_PROOF_TIMEOUT * 2).await;
        }
        let wanted = match of {
            ProvenStep::Outcome => Wanted::Outcome(transaction),
            ProvenStep::Emitted | ProvenStep::Applied => Wanted::Emitted(transaction),
        };
        let proof = match self.proven(shard, wanted).await {
            // What stays in its shard, or fails there, emits nothing, and is applied by its outcome.
            Err(fault) if of == ProvenStep::Applied && fault.code() == Some(UNKNOWN) => {
                self.proven(shard, Wanted::Outcome(transaction)).await?
            }
            other => other?,
        };
        match proof.claim {
            Claim::Emitted { destination, receipt, .. } if of == ProvenStep::Applied => {
                let consumed =
                    ReceiptProofParams { shard: destination, source: shard, sequence: receipt.sequence };
                // A call of its own, which may go on to another sibling even when the first one was passed on.
                let call = Call { method: "receipt_proof", params: raw(&consumed), is_forwarded: false };
                self.receipt_proof(call, consumed).await
            }
            _ => self.answer_with(proof).await,
        }
    }

    /// The proof of news from `Final` on about a transaction of a shard that this process hosts.
    pub(super) async fn proof_of(&self, info: &TransactionInfo) -> Result<ProofFile, Fault> {
        let of =
            if info.progress.level == Level::Settled { ProvenStep::Applied } else { ProvenStep::Outcome };
        let (transaction, shard) = (info.progress.transaction, info.shard);
        let params = TransactionProofParams { transaction, shard, of };
        let call = Call { method: "tx_proof", params: raw(&params), is_forwarded: false };
        let answer = self.transaction_proof(call, params).await?;
        let answer: TransactionProofAnswer = serde_json::from_value(answer)
            .map_err(|error| Fault::failed(Failure::Unreachable, error.to_string()))?;
        Ok(answer.proof)
    }

    async fn receipt_proof(&self, call: Call, params: ReceiptProofParams) -> Outcome {
        if !self.shards.contains(params.shard) {
            return Err(Fault::failed(Failure::UnknownShard, format!("there is no shard {}", params.shard)));
        }
        if let Some(sibling) = self.elsewhere(Role::Worker(params.shard), &call)? {
            return sibling.call(call.method, call.params, RPC_PROOF_TIMEOUT).await;
        }
        let ReceiptProofParams { shard, source, sequence } = params;
        let proof = self.proven(shard, Wanted::Applied { source, sequence }).await?;
        self.answer_with(proof).await
    }

    async fn answer_with(&self, mut proof: Proof) -> Outcome {
        self.attest(&mut proof).await?;
        let Record { shard, block, .. } = proof.record;
        json(&TransactionProofAnswer { shard, block, proof: ProofFile(proof) })
    }

    async fn attested(&self, call: Call, AttestedParams { shard, block, record }: AttestedParams) -> Outcome {
        if let Some(sibling) = self.elsewhere(Role::Beacon, &call)? {
            return sibling.call(call.method, call.params, RPC_ANSWER_TIMEOUT).await;
        }
        let attestation = Attestation { shard, block, record };
        match self.desk.ask(Role::Beacon, Query::Attested(attestation), RPC_ANSWER_TIMEOUT).await? {
            Answer::Attested(attested) => {
                json(&AttestedAnswer { attested: attested.into_iter().map(Encoded).collect() })
            }
            _ => Err(other_question()),
        }
    }

    async fn evidence(&self, call: Call) -> Outcome {
        if let Some(sibling) = self.elsewhere(Role::Beacon, &call)? {
            return sibling.call(call.method, call.params, RPC_ANSWER_TIMEOUT).await;
        }
        match self.desk.ask(Role::Beacon, Query::Evidence, RPC_ANSWER_TIMEOUT).await? {
            Answer::Evidence(evidence) => {
                let info = |evidence: Evidence| EvidenceInfo {
                    authority: evidence.accused(),
                    offence: evidence.offence().to_owned(),
                    round: evidence.round(),
                    evidence: EvidenceFile(evidence),
                };
                json(&EvidenceAnswer { evidence: evidence.into_iter().map(info).collect() })
            }
            _ => Err(other_question()),
        }
    }

    async fn dag(&self, call: Call, DagParams { rounds }: DagParams) -> Outcome {
        if let Some(sibling) = self.elsewhere(Role::Beacon, &call)? {
            return sibling.call(call.method, call.params, RPC_ANSWER_TIMEOUT).await;
        }
        match self.desk.ask(Role::Beacon, Query::Dag(rounds), RPC_ANSWER_TIMEOUT).await? {
            Answer::Dag(view) => json(&view),
            _ => Err(other_question()),
        }
    }

    /// Adds the attestations to a proof: as the own beacon remembers them, wherever it is.
    async fn attest(&self, proof: &mut Proof) -> Result<(), Fault> {
        let Attestation { shard, block, record } = proof.attestation();
        let params = AttestedParams { shard, block, record };
        let call = Call { method: "record_attested", params: raw(&params), is_forwarded: false };
        let answer = self.attested(call, params).await?;
        let answer: AttestedAnswer = serde_json::from_value(answer)
            .map_err(|error| Fault::failed(Failure::Unreachable, error.to_string()))?;
        proof.attested = answer.attested.into_iter().map(|attested| attested.0).collect();
        Ok(())
    }

    /// A proof of a worker of this process, without attestations.
    async fn proven(&self, shard: ShardId, wanted: Wanted) -> Result<Proof, Fault> {
        match self.desk.ask(Role::Worker(shard), Query::Proof(wanted), RPC_PROOF_TIMEOUT).await? {
            Answer::Proof(proof) => Ok(*proof),
            Answer::Unproven(reason) => {
                let sentence = match reason {
                    Unproven::NoRecord => format!("shard {shard} has executed nothing yet"),
                    Unproven::Busy => "too many wait for proofs, or certification lags".to_owned(),
                    Unproven::Diverged => {
                        format!("the worker of shard {shard} diverged; ask another authority")
                    }
                    Unproven::Unknown => {
                        format!("the worker of shard {shard} does not know of it, or not any more")
                    }
                };
                Err(Fault::new(Code::Unproven(reason), sentence))
            }
            _ => Err(other_question()),
        }
    }

    async fn submit(&self, call: Call, SubmitParams { transaction }: SubmitParams) -> Outcome {
        let signed = transaction.0;
        let shard = self.shard_of(&signed.transaction.sender.address());
        if let Some(sibling) = self.elsewhere(Role::Worker(shard), &call)? {
            return sibling.call(call.method, call.params, RPC_ANSWER_TIMEOUT).await;
        }
        let id = signed.transaction.id();
        let known = self.desk.submit(shard, signed, RPC_ANSWER_TIMEOUT).await?;
        json(&Submitted { transaction: id, shard, known })
    }

    async fn transaction(&self, call: Call, params: TransactionParams) -> Outcome {
        let TransactionParams { transaction, shard } = params;
        match self.locate(transaction, shard, &call).await? {
            Place::Here(shard) => {
                let query = Query::Transaction(transaction);
                match self.desk.ask(Role::Worker(shard), query, RPC_ANSWER_TIMEOUT).await? {
                    Answer::Transaction(Some(progress)) => {
                        json(&TransactionInfo { shard, progress, proof: None })
                    }
                    Answer::Transaction(None) => Err(unknown(transaction)),
                    _ => Err(other_question()),
                }
            }
            Place::There(shard, sibling) => {
                let params = raw(&TransactionParams { transaction, shard: Some(shard) });
                sibling.call(call.method, params, RPC_ANSWER_TIMEOUT).await
            }
        }
    }

    async fn wait(&self, call: Call, params: WaitParams) -> Outcome {
        let WaitParams { transaction, level, shard, timeout_ms, proof } = params;
        if proof && level < Level::Final {
            let sentence = "tx_wait: what is not final has no proof";
            return Err(Fault::failed(Failure::InvalidParams, sentence));
        }
        let millis = timeout_ms.unwrap_or(WAIT_MILLIS_MAX);
        if millis > WAIT_MILLIS_MAX {
            let sentence = format!("tx_wait: timeout_ms is at most {WAIT_MILLIS_MAX}");
            return Err(Fault::failed(Failure::InvalidParams, sentence));
        }
        let patience = Duration::from_millis(millis);
        match self.locate(transaction, shard, &call).await? {
            Place::Here(shard) => {
                let mut news = self.news(shard, transaction).await?;
                match timeout(patience, self.reach(&mut news, shard, transaction, level)).await {
                    Ok(reached) => {
                        let mut info = reached?;
                        if proof {
                            info.proof = Some(self.proof_of(&info).await?);
                        }
                        json(&info)
                    }
                    Err(_) => {
                        let last = news.progress().level;
                        let sentence = format!("transaction {transaction} is {last:?} and not {level:?} yet");
                        Err(Fault::failed(Failure::Timeout, sentence))
                    }
                }
            }
            Place::There(shard, sibling) => {
                let params = raw(&WaitParams { shard: Some(shard), ..params });
                let patience = patience + RPC_ANSWER_TIMEOUT;
                let proving = if proof { RPC_PROOF_TIMEOUT * 2 } else { Duration::ZERO };
                sibling.call(call.method, params, patience + proving).await
            }
        }
    }

    /// The sibling that hosts a machine; none when this process does.
    pub(super) fn elsewhere(&self, role: Role, call: &Call) -> Result<Option<Arc<Sibling>>, Fault> {
        if self.desk.hosts(role) {
            return Ok(None);
        }
        let sibling = self.siblings.with(role).filter(|_| !call.is_forwarded);
        sibling.cloned().map(Some).ok_or_else(|| {
            let sentence = format!("no process is known here that hosts {}", roles::name(role));
            Fault::failed(Failure::Unreachable, sentence)
        })
    }

    /// Which worker knows a transaction: that of the shard, if the caller named one.
    pub(super) async fn locate(
        &self,
        transaction: TransactionId,
        shard: Option<ShardId>,
        call: &Call,
    ) -> Result<Place, Fault> {
        if let Some(shard) = shard {
            if !self.shards.contains(shard) {
                return Err(Fault::failed(Failure::UnknownShard, format!("there is no shard {shard}")));
            }
            let sibling = self.elsewhere(Role::Worker(shard), call)?;
            return Ok(sibling.map_or(Place::Here(shard), |sibling| Place::There(shard, sibling)));
        }
        for role in self.desk.hosted() {
            if let Role::Worker(shard) = role
                && let Answer::Transaction(Some(_)) =
                    self.desk.ask(role, Query::Transaction(transaction), RPC_ANSWER_TIMEOUT).await?
            {
                return Ok(Place::Here(shard));
            }
        }
        let mut fault = unknown(transaction);
        if call.is_forwarded {
            return Err(fault);
        }
        let params = raw(&TransactionParams { transaction, shard: None });
        let mut asked = self.siblings.call_all("tx_get", &params, RPC_ANSWER_TIMEOUT);
        while let Some(Ok((sibling, outcome))) = asked.join_next().await {
            match outcome.map(serde_json::from_value::<TransactionInfo>) {
                Ok(Ok(info)) => return Ok(Place::There(info.shard, sibling)),
                Ok(Err(error)) => fault = Fault::failed(Failure::Unreachable, error.to_string()),
                Err(other) if other.code() == Some(Code::Failed(Failure::UnknownTransaction)) => {}
                // Another may know it. If none does, this one might.
                Err(other) => fault = other,
            }
        }
        Err(fault)
    }

    pub(super) async fn news(&self, shard: ShardId, transaction: TransactionId) -> Result<Followed, Fault> {
        let followed = self.desk.follow(shard, transaction, RPC_ANSWER_TIMEOUT).await?;
        followed.ok_or_else(|| unknown(transaction))
    }

    /// The first news at `level` or above.
    pub(super) async fn reach(
        &self,
        news: &mut Followed,
        shard: ShardId,
        transaction: TransactionId,
        level: Level,
    ) -> Result<TransactionInfo, Fault> {
        loop {
            let progress = news.progress();
            if progress.level >= level {
                return Ok(TransactionInfo { shard, progress, proof: None });
            }
            if timeout(RPC_FOLLOW_AGAIN, news.changed()).await.is_err() {
                self.news(shard, transaction).await?;
            }
        }
    }

    fn shard_of(&self, address: &Address) -> ShardId {
        self.shards.of_prefix(address.prefix())
    }
}

const UNKNOWN: Code = Code::Unproven(Unproven::Unknown);

/// What a worker's proof says that a key holds.
fn leaf_of(key: &StateKey, proof: &Proof) -> Result<Option<Vec<u8>>, Fault> {
    let Claim::State { leaves, .. } = &proof.claim else { return Err(other_question()) };
    let (_, value) = leaves.iter().find(|(other, _)| other == key).ok_or_else(other_question)?;
    Ok(value.clone())
}

/// The record that a quorum attested.
fn certified(proof: &Proof) -> Certified {
    let Attestation { block, record, .. } = proof.attestation();
    Certified { block, record }
}

fn unknown(transaction: TransactionId) -> Fault {
    let sentence = format!("transaction {transaction} was not submitted here, or is forgotten");
    Fault::failed(Failure::UnknownTransaction, sentence)
}

fn other_question() -> Fault {
    Fault::failed(Failure::Internal, "a machine answered another question")
}
