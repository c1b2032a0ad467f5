//! Clients: each has a funded account, sends transactions of all programs, watches what becomes of them, and resubmits to another authority
//! what is not heard of in time.

mod actions;

use std::collections::BTreeMap;

use fresnel_crypto::SigningKey;
use fresnel_types::{
    Address, Amount, AuthorityIndex, ChainId, ClientId, FailureCode, Message, Nonce, Outcome, PublicKey,
    RejectionCode, ShardId, Shards, SignedTransaction, Timestamp, Transaction, TransactionId,
    status::{Level, Progress},
};

use crate::{
    Options,
    invariants::{Broken, hold},
    options::Chain,
    random::Random,
    scenario::Traffic,
};

/// A submission to a worker.
pub(crate) struct Submission {
    pub(crate) client: ClientId,
    pub(crate) authority: AuthorityIndex,
    pub(crate) shard: ShardId,
    pub(crate) request: u64,
    pub(crate) transactions: Vec<SignedTransaction>,
}

/// All clients.
pub(crate) struct Workload {
    random: Random,
    chain: ChainId,
    authorities: u64,
    shards: Shards,
    traffic: Traffic,
    /// To how many authorities each transaction goes at once.
    copies: u64,
    /// Microseconds between two transactions of one client, on average.
    pause: u64,
    clients: Vec<Client>,
    addresses: Vec<Address>,
    requests: u64,
    pub(crate) counts: Counts,
}

/// What the clients did and heard.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) submitted: u64,
    pub(crate) resubmitted: u64,
    /// Submissions of one transaction to further authorities at the same instant.
    pub(crate) copies: u64,
    pub(crate) finals: u64,
    pub(crate) settled: u64,
    pub(crate) full_windows: u64,
}

struct Client {
    key: SigningKey,
    shard: ShardId,
    nonce: u64,
    next: Timestamp,
    /// What is under way.
    pending: BTreeMap<TransactionId, Pending>,
}

struct Pending {
    signed: SignedTransaction,
    authority: AuthorityIndex,
    level: Option<Level>,
    /// When the client loses patience.
    patience: Timestamp,
    was_final: bool,
}

impl Workload {
    pub(crate) fn new(options: &Options, chain: &Chain, now: Timestamp) -> Self {
        let mut random = Random::new(options.seed, "workload");
        let pause = chain.accounts.len() as u64 * 1_000_000 / options.rate.max(1);
        let shards = chain.genesis.shards;
        let clients = chain
            .accounts
            .iter()
            .map(|key| Client {
                key: key.clone(),
                shard: shards.of_prefix(PublicKey::of(key).address().prefix()),
                nonce: 0,
                next: now.plus(random.below(2 * pause)),
                pending: BTreeMap::new(),
            })
            .collect();
        Self {
            random,
            chain: chain.genesis.chain(),
            authorities: chain.genesis.authorities.len() as u64,
            shards,
            traffic: options.scenario.as_ref().map_or(Traffic::Drawn, |scenario| scenario.traffic),
            copies: options.scenario.as_ref().map_or(1, |scenario| scenario.copies),
            pause,
            clients,
            addresses: chain.genesis.accounts.iter().map(|account| account.address).collect(),
            requests: 0,
            counts: Counts::default(),
        }
    }

    /// Transactions whose end nobody has heard of yet.
    pub(crate) fn unsettled(&self) -> usize {
        self.clients.iter().map(|client| client.pending.len()).sum()
    }

    /// One transaction that is not settled, for a report.
    pub(crate) fn example(&self) -> String {
        let mut pending =
            self.clients.iter().flat_map(|client| client.pending.iter().map(move |entry| (client, entry)));
        pending.next().map_or_else(String::new, |(client, (id, pending))| {
            format!("{id} of shard {}, last at {}, {:?}", client.shard, pending.authority, pending.level)
        })
    }

    /// What the clients submit at `now`; new transactions only while `open`.
    pub(crate) fn tick(&mut self, now: Timestamp, open: bool) -> Vec<Submission> {
        let mut submissions = Vec::new();
        for index in 0..self.clients.len() {
            self.resubmit(now, index, &mut submissions);
            let client = &self.clients[index];
            if open && now >= client.next && client.pending.len() < PENDING_MAX {
                self.submit(now, index, &mut submissions);
            }
        }
        submissions
    }

    fn resubmit(&mut self, now: Timestamp, index: usize, submissions: &mut Vec<Submission>) {
        let client = &mut self.clients[index];
        for pending in client.pending.values_mut().filter(|pending| now >= pending.patience) {
            pending.authority = AuthorityIndex(self.random.below(self.authorities) as u16);
            pending.patience = now.plus(PATIENCE);
            self.counts.resubmitted += 1;
            self.requests += 1;
            submissions.push(Submission {
                client: ClientId(index as u64),
                authority: pending.authority,
                shard: client.shard,
                request: self.requests,
                transactions: vec![pending.signed.clone()],
            });
        }
    }

    fn submit(&mut self, now: Timestamp, index: usize, submissions: &mut Vec<Submission>) {
        let sender = PublicKey::of(&self.clients[index].key);
        let action = match self.traffic {
            Traffic::Drawn => actions::draw(&mut self.random, sender.address(), &self.addresses),
            Traffic::Cyclic => {
                let next = (self.clients[index].shard.0 + 1) % self.shards.count() as u16;
                actions::pay(&mut self.random, &self.addresses, |to| {
                    self.shards.of_prefix(to.prefix()) == ShardId(next)
                })
            }
        };
        let authority = AuthorityIndex(self.random.below(self.authorities) as u16);
        let pause = self.random.below(2 * self.pause + 1);
        let client = &mut self.clients[index];
        client.next = now.plus(pause);
        let transaction = Transaction {
            chain: self.chain,
            sender,
            nonce: Nonce(client.nonce),
            fee: Amount(1),
            valid_until: now.plus(VALIDITY),
            action,
        };
        client.nonce += 1;
        let id = transaction.id();
        let signed = transaction.sign(&client.key);
        let patience = now.plus(PATIENCE);
        let pending = Pending { signed: signed.clone(), authority, level: None, patience, was_final: false };
        client.pending.insert(id, pending);
        self.counts.submitted += 1;
        self.requests += 1;
        let shard = client.shard;
        for copy in 0..self.copies.min(self.authorities) {
            let authority = AuthorityIndex(((u64::from(authority.0) + copy) % self.authorities) as u16);
            submissions.push(Submission {
                client: ClientId(index as u64),
                authority,
                shard,
                request: self.requests,
                transactions: vec![signed.clone()],
            });
        }
        self.counts.copies += self.copies.min(self.authorities) - 1;
    }

    /// A worker says something to a client.
    pub(crate) fn hear(&mut self, now: Timestamp, client: ClientId, message: &Message) -> Result<(), Broken> {
        match message {
            Message::Progress(news) => {
                news.iter().try_for_each(|progress| self.progress(now, client, progress))
            }
            Message::Admission { results, .. } => {
                for code in results.iter().flatten() {
                    let sound = !matches!(
                        code,
                        RejectionCode::Malformed
                            | RejectionCode::WrongChain
                            | RejectionCode::WrongShard
                            | RejectionCode::BadSignature
                            | RejectionCode::Expired
                    );
                    hold!("admission", sound, "a sound transaction was rejected as {code:?}");
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn progress(&mut self, now: Timestamp, client: ClientId, progress: &Progress) -> Result<(), Broken> {
        let index = usize::try_from(client.0).expect("clients are counted from 0");
        let Some(pending) = self.clients[index].pending.get_mut(&progress.transaction) else { return Ok(()) };
        pending.patience = now.plus(PATIENCE);
        pending.level = pending.level.max(Some(progress.level));
        if progress.level >= Level::Final && !pending.was_final {
            pending.was_final = true;
            self.counts.finals += 1;
            if progress.outcome == Some(Outcome::Failed(FailureCode::WindowFull)) {
                self.counts.full_windows += 1;
            }
            hold!(
                "E3",
                matches!(progress.outcome, Some(Outcome::Success | Outcome::Failed(_))),
                "{} ends as {:?}, though its nonce is its own, it is funded and has not expired",
                progress.transaction,
                progress.outcome
            );
        }
        let done = match progress.outcome {
            Some(Outcome::Success) => progress.level >= Level::Settled,
            Some(Outcome::Failed(_)) => progress.level >= Level::Final,
            Some(Outcome::Void(_)) | None => false,
        };
        if done {
            self.counts.settled += 1;
            self.clients[index].pending.remove(&progress.transaction);
        }
        Ok(())
    }
}

/// Transactions of one client under way; far fewer than nonces in an account's window.
const PENDING_MAX: usize = 8;

/// How long a client waits for news before it submits elsewhere.
const PATIENCE: u64 = 2_000_000;

/// How long transactions stay valid: longer than any simulation.
const VALIDITY: u64 = 3_000_000_000;
