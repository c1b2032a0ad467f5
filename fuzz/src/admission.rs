//! What clients, peers and the order do to a mempool, from bytes: whatever they do, quotas hold, refusals say when to come
//! back, what is here is not taken twice, and no batch of a peer is refused for what clients do.

use std::{collections::BTreeSet, sync::Arc};

use fresnel_crypto::{SigningKey, Verifier};
use fresnel_mempool::{Batching, Candidate, Config, Mempool};
use fresnel_types::{
    Ablation, Action, Address, Amount, Authority, AuthorityIndex, Batch, ClientId, CommitIndex, Effect,
    Genesis, LogEntry, Message, Nonce, Order, OrderEvent, OrderedBatch, Parameters, Party, PublicKey,
    RejectionCode, Round, ShardId, Shards, Signature, SignedTransaction, Timestamp, Transaction,
    TransactionId, ablation::Part, genesis::Allocation, leaves::Account, limits::PROTOCOL_VERSION,
    verify::Rules,
};

/// The target.
pub fn admission(bytes: &[u8]) {
    let mut game = Game::new();
    for step in bytes.chunks_exact(4).take(STEPS_MAX) {
        let [what, which, much, when] = *step else { unreachable!("chunks of four") };
        game.now = game.now.plus(u64::from(when) * 4_000);
        match what % 5 {
            0..2 => game.submit(which, much),
            2 => game.peer(which, much),
            3 => game.order(which),
            _ => game.tick(),
        }
        game.check();
    }
}

struct Game {
    rules: Arc<Rules>,
    mempool: Mempool,
    now: Timestamp,
    /// Admitted and not ordered.
    pending: BTreeSet<TransactionId>,
    /// Own batches that are sealed and not ordered, with what is in them.
    sealed: Vec<(fresnel_types::BatchRef, Vec<TransactionId>)>,
    effects: Vec<Effect>,
}

impl Game {
    fn new() -> Self {
        // A chain for benchmarks may leave signatures out: what is tested is what comes after them.
        let without: Ablation = [Part::Signatures].into_iter().collect();
        let rules = Arc::new(Rules::of(&chain()).without(without).expect("for benchmarks"));
        let config = Config {
            authority: AuthorityIndex(0),
            shard: ShardId(0),
            rules: Arc::clone(&rules),
            batching: Batching {
                pending_max: 12,
                pending_per_sender_max: 5,
                pending_per_client_max: 8,
                ..Batching::default()
            },
        };
        Self {
            rules,
            mempool: Mempool::new(config),
            now: Timestamp(1_000_000_000),
            pending: BTreeSet::new(),
            sealed: Vec::new(),
            effects: Vec::new(),
        }
    }

    fn transaction(&self, sender: u8, nonce: u64) -> SignedTransaction {
        let transaction = Transaction {
            chain: self.rules.chain,
            sender: PublicKey::of(&key(sender)),
            nonce: Nonce(nonce),
            fee: Amount(1 + u64::from(sender)),
            valid_until: Timestamp(1_000_000_000).plus(200_000 * (nonce % 8)),
            action: Action::Transfer { recipient: Address([9; 32]), amount: Amount(1) },
        };
        SignedTransaction { transaction, signature: Signature([0; 64]) }
    }

    fn submit(&mut self, which: u8, much: u8) {
        let (sender, client) = (which % 4, ClientId(u64::from(which / 4 % 3)));
        let nonces = (0..=u64::from(much % 4)).map(|step| u64::from(much / 4) + step);
        let signed: Vec<_> = nonces.map(|nonce| self.transaction(sender, nonce)).collect();
        let ids: Vec<_> = signed.iter().map(|signed| signed.transaction.id()).collect();
        let verdicts = self.rules.verify_submission(&mut Verifier::with_seed([0; 32]), ShardId(0), signed);
        let account = Some(Account { balance: Amount(16), ..Account::default() });
        let candidates = verdicts
            .into_iter()
            .zip(&ids)
            .map(|(verdict, &id)| {
                let signed = verdict?;
                let sender = signed.transaction.sender.address();
                Ok(Candidate { id, sender, account, signed })
            })
            .collect();
        let now = self.now;
        let submission = self.mempool.submit(now, client, candidates, now, &mut self.effects);
        assert_eq!(submission.results.len(), ids.len(), "one result per transaction");
        let full = |code: &Option<RejectionCode>| {
            matches!(code, Some(RejectionCode::Overloaded | RejectionCode::Quota))
        };
        assert_eq!(submission.retry_after > 0, submission.results.iter().any(full), "when to come back");
        for (id, result) in ids.into_iter().zip(submission.results) {
            match result {
                None => assert!(self.pending.insert(id), "what is here is not taken twice"),
                Some(RejectionCode::Duplicate) => {}
                Some(_) => assert!(!self.pending.contains(&id), "what is here is a duplicate, whatever else"),
            }
        }
    }

    fn peer(&mut self, which: u8, much: u8) {
        let author = AuthorityIndex(1 + u16::from(which % 3));
        let transactions = vec![self.transaction(which % 4, u64::from(much))];
        let (bytes, name) = Batch { author, shard: ShardId(0), transactions }.seal();
        let known = self.mempool.batch(&name.id).is_some();
        let before = self.effects.len();
        let from = Party::Worker(author, ShardId(0));
        self.mempool.handle(self.now, from, Message::Batch(bytes), &mut self.effects);
        let stored = |effect: &Effect| matches!(effect, Effect::Persist(LogEntry::Batch(_)));
        assert!(known || self.effects[before..].iter().any(stored), "no batch of a peer is refused");
    }

    fn order(&mut self, which: u8) {
        let events = if self.sealed.is_empty() {
            Vec::new()
        } else {
            let (batch, ids) = self.sealed.remove(usize::from(which) % self.sealed.len());
            ids.iter().for_each(|id| assert!(self.pending.remove(id), "only what is pending is in a batch"));
            vec![OrderEvent::Batch(OrderedBatch { author: AuthorityIndex(0), batch })]
        };
        let order = Order {
            shard: ShardId(0),
            commit: CommitIndex(1),
            time: self.now,
            floor: Round(0),
            events,
            certified: Vec::new(),
            lag: u64::from(which % 64),
        };
        self.mempool.order(self.now, &order, &mut self.effects);
    }

    fn tick(&mut self) {
        self.mempool.tick(self.now, &mut self.effects);
        self.mempool.take_offers();
    }

    fn check(&mut self) {
        for effect in self.effects.drain(..) {
            if let Effect::Persist(LogEntry::Batch(bytes)) = effect
                && let Ok(batch) = fresnel_types::decode::<Batch>(&bytes)
                && batch.author == AuthorityIndex(0)
            {
                let ids: Vec<_> = batch.transactions.iter().map(|signed| signed.transaction.id()).collect();
                let (id, count) = (fresnel_types::BatchId::of(&bytes), ids.len() as u32);
                self.sealed.push((fresnel_types::BatchRef { id, count, bytes: bytes.len() as u32 }, ids));
            }
        }
        assert_eq!(self.mempool.pending(), self.pending.len() as u64, "what is pending");
        assert!(self.pending.len() <= 12, "the bound on what is pending");
    }
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed + 1; 32])
}

fn chain() -> Genesis {
    let authority = |seed: u8| Authority {
        name: format!("a{seed}"),
        stake: 1,
        consensus_key: PublicKey::of(&key(50 + seed)),
        network_keys: vec![PublicKey::of(&key(100 + seed))],
    };
    Genesis {
        protocol: PROTOCOL_VERSION,
        name: "fuzz".to_owned(),
        shards: Shards::new(1).expect("a power of two"),
        parameters: Parameters { bench: true, ..Parameters::default() },
        authorities: (0..4).map(authority).collect(),
        accounts: vec![Allocation { address: Address([1; 32]), amount: Amount(5) }],
    }
}

/// Inputs to begin with.
pub fn examples() -> Vec<Vec<u8>> {
    let mix = |seed: u8| {
        let mut state = u32::from(seed).wrapping_mul(2_654_435_761).wrapping_add(1);
        let bytes = (0..256).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        bytes.collect()
    };
    // Submissions alone until all is full; each thing once; and mixtures.
    let full = (0..32).flat_map(|step| [0, step, step * 4, 0]).collect();
    let each = vec![0, 0, 3, 1, 2, 1, 1, 1, 4, 0, 0, 9, 3, 0, 0, 1, 0, 0, 3, 1, 3, 63, 0, 255, 1, 5, 9, 0];
    [full, each].into_iter().chain((0..6).map(mix)).collect()
}

/// Steps that are taken of one input.
const STEPS_MAX: usize = 256;
