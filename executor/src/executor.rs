//! Blocks: receipts are applied, transactions execute by the engine or one after the other, and leaves say what came of it.

use std::sync::Arc;

use fresnel_types::{
    Action, Address, Amount, FailureCode, Genesis, Outcome, Parameters, PeerCounters, Receipt, ReceiptKind,
    Sequence, ShardId, Shards, StateKey, Transaction, TransactionId, WriteSet,
    leaves::{Account, PairLeaf, TotalsLeaf},
};

use crate::{
    block::{Applied, BlockInput, BlockOutput, results_root},
    engine::{self, Counter, Engine, Metrics},
    resolve::{Missing, ResolvedBatch, Resolver, Role},
    slots::UNKNOWN,
    table::Table,
    transfer::Transfers,
};

/// The leaves of one shard, and what blocks do to them.
pub struct Executor {
    shard: ShardId,
    shards: Shards,
    window: u64,
    account_minimum: Amount,
    accounts: Table,
    /// One per shard; a pair that nothing passed is zero here and absent from the state.
    pairs: Vec<Book<PairLeaf>>,
    totals: Book<TotalsLeaf>,
    /// Executes transactions where one was given; otherwise they execute one after the other.
    engine: Option<Engine>,
}

/// A leaf of the shard's own, with its key.
#[derive(Clone, Copy)]
struct Book<Leaf> {
    key: StateKey,
    leaf: Leaf,
}

impl Executor {
    /// A shard at the start of a chain, and all leaves that it starts with.
    pub fn genesis(shard: ShardId, genesis: &Genesis) -> (Self, WriteSet) {
        let mut executor = Self::empty(shard, genesis.shards, &genesis.parameters);
        for account in &genesis.accounts {
            if genesis.shards.of_prefix(account.address.prefix()) == shard {
                executor.credit(Account::key(&account.address), account.amount);
            }
        }
        let writes = executor.take_writes(&vec![PairLeaf::default(); genesis.shards.count()]);
        (executor, writes)
    }

    /// A shard with the leaves of an earlier executor.
    pub fn restore(
        shard: ShardId,
        shards: Shards,
        parameters: &Parameters,
        leaves: impl IntoIterator<Item = (StateKey, Vec<u8>)>,
    ) -> Self {
        let mut executor = Self::empty(shard, shards, parameters);
        for (key, value) in leaves {
            if key == executor.totals.key {
                executor.totals.leaf = TotalsLeaf::from_bytes(&value);
            } else if let Some(pair) = executor.pairs.iter_mut().find(|pair| pair.key == key) {
                pair.leaf = PairLeaf::from_bytes(&value);
            } else {
                executor.accounts.open(&key, &Account::from_bytes(&value));
            }
        }
        executor
    }

    /// The account of `owner`, if it was opened.
    pub fn account(&self, owner: &Address) -> Option<Account> {
        self.accounts.find(&Account::key(owner)).and_then(|place| self.accounts.get(place))
    }

    /// This shard's accounts with another.
    pub fn pair(&self, other: ShardId) -> PairLeaf {
        self.pairs[other.index()].leaf
    }

    /// This shard's totals.
    pub fn totals(&self) -> TotalsLeaf {
        self.totals.leaf
    }

    /// The bytes under a key of the state.
    pub fn leaf(&self, key: &StateKey) -> Option<Vec<u8>> {
        if *key == self.totals.key {
            return Some(self.totals.leaf.to_bytes());
        }
        if let Some(pair) = self.pairs.iter().find(|pair| pair.key == *key) {
            return (pair.leaf != PairLeaf::default()).then(|| pair.leaf.to_bytes());
        }
        self.accounts.find(key).and_then(|place| self.accounts.get(place)).map(|account| account.to_bytes())
    }

    /// From now on, `engine` executes the transactions of blocks. Results do not depend on it.
    pub fn set_engine(&mut self, engine: Engine) {
        self.engine = Some(engine);
    }

    /// What the engine did, if there is one.
    pub fn metrics(&self) -> Option<Metrics> {
        self.engine.as_ref().map(Engine::metrics)
    }

    /// What resolves batches for this executor, on any thread, at any time.
    pub fn resolver(&self) -> Resolver {
        Resolver::new(self.shard, self.shards, self.accounts.directory().clone())
    }

    /// Executes a block.
    pub fn execute(&mut self, input: &BlockInput<'_>) -> BlockOutput {
        let resolver = self.resolver();
        self.execute_resolved(input, input.batches.iter().map(|batch| resolver.resolve(batch)).collect())
    }

    /// Executes a block whose batches were resolved, in the same order, by a resolver of this executor.
    pub fn execute_resolved(
        &mut self,
        input: &BlockInput<'_>,
        mut resolved: Vec<ResolvedBatch>,
    ) -> BlockOutput {
        let same = |(batch, resolved): (&&[_], &ResolvedBatch)| {
            batch.len() == resolved.operations.len() && resolved.is_of(self.accounts.directory())
        };
        assert!(
            input.batches.len() == resolved.len() && input.batches.iter().zip(&resolved).all(same),
            "a block executes with its own batches as this executor's resolver resolved them"
        );
        let before: Vec<PairLeaf> = self.pairs.iter().map(|pair| pair.leaf).collect();
        let mut outbox = vec![Vec::new(); self.shards.count()];
        input.peers.iter().for_each(|counters| self.note(counters));
        let applied = input
            .receipts
            .iter()
            .map(|(source, receipt)| self.apply(*source, receipt, &mut outbox[source.index()]))
            .collect::<Vec<_>>();
        self.place_missing(&mut resolved);
        let outcomes = self.transact(input, &resolved, &mut outbox);
        self.totals.leaf.next_source = input.next_source;
        BlockOutput {
            results: results_root(&outcomes, &applied),
            outcomes,
            applied,
            outbox,
            writes: self.take_writes(&before),
            totals: self.totals.leaf,
            pairs: self.pairs.iter().map(|pair| pair.leaf.own).collect(),
        }
    }

    /// Finds again the accounts that were not there when their batches were resolved. Every recipient gets a place, for
    /// it may be opened; a sender that has none by then is opened by nobody in this block.
    fn place_missing(&mut self, resolved: &mut [ResolvedBatch]) {
        for role in [Role::Recipient, Role::Sender] {
            for batch in &mut *resolved {
                for Missing { key, operation, .. } in batch.missing.iter().filter(|one| one.role == role) {
                    let operation = &mut batch.operations[*operation];
                    match role {
                        Role::Recipient => operation.recipient = self.accounts.place(key),
                        Role::Sender => operation.sender = self.accounts.find(key).unwrap_or(UNKNOWN),
                    }
                }
            }
        }
    }

    fn empty(shard: ShardId, shards: Shards, parameters: &Parameters) -> Self {
        let pair = |other| Book { key: PairLeaf::key(shards, shard, other), leaf: PairLeaf::default() };
        Self {
            shard,
            shards,
            window: parameters.window,
            account_minimum: parameters.account_minimum,
            accounts: Table::default(),
            pairs: shards.iter().map(pair).collect(),
            totals: Book { key: TotalsLeaf::key(shards, shard), leaf: TotalsLeaf::default() },
            engine: None,
        }
    }

    /// Copies what a usable record of a peer says.
    fn note(&mut self, counters: &PeerCounters) {
        assert_ne!(counters.shard, self.shard, "a shard has no accounts with itself");
        let leaf = &mut self.pairs[counters.shard.index()].leaf;
        assert!(
            counters.block >= leaf.peer_block
                && counters.consumed.count >= leaf.peer_consumed.count
                && counters.bounced.count >= leaf.peer_bounced.count,
            "counters of shard {} fall at its block {}",
            counters.shard,
            counters.block
        );
        leaf.peer_block = counters.block;
        leaf.peer_consumed = counters.consumed;
        leaf.peer_bounced = counters.bounced;
    }

    /// Consumes a receipt: whatever it says has a defined end.
    fn apply(&mut self, source: ShardId, receipt: &Receipt, emitted: &mut Vec<Receipt>) -> Applied {
        assert_ne!(source, self.shard, "a shard owes itself nothing");
        let cursor = self.pairs[source.index()].leaf.own.cursor();
        assert_eq!(
            receipt.sequence.0, cursor,
            "X2: receipts of shard {source} are consumed once and in order"
        );
        let mut bounced = None;
        match receipt.kind {
            ReceiptKind::Request { sender, recipient, amount, asset } => {
                let key = Account::key(&recipient);
                let pair = &mut self.pairs[source.index()].leaf.own;
                pair.consumed.add(amount);
                let opened = || self.accounts.find(&key).and_then(|place| self.accounts.get(place)).is_some();
                if amount < self.account_minimum && !opened() {
                    let code = FailureCode::BelowAccountMinimum;
                    emitted.push(Receipt {
                        sequence: Sequence(pair.emitted()),
                        transaction: receipt.transaction,
                        kind: ReceiptKind::Bounce { recipient: sender, amount, asset, code },
                    });
                    pair.bounced.add(amount);
                    bounced = Some(code);
                } else {
                    self.credit(key, amount);
                }
            }
            ReceiptKind::Bounce { recipient, amount, .. } => {
                self.pairs[source.index()].leaf.own.returned.add(amount);
                // Its account exists, since it sent the request; if it did not, it would be opened all the same.
                self.credit(Account::key(&recipient), amount);
            }
        }
        Applied { source, sequence: receipt.sequence, transaction: receipt.transaction, bounced }
    }

    /// Executes the transactions, and then does in order what their outcomes say about the shard as a whole.
    fn transact(
        &mut self,
        input: &BlockInput<'_>,
        resolved: &[ResolvedBatch],
        outbox: &mut [Vec<Receipt>],
    ) -> Vec<(TransactionId, Outcome)> {
        let operations = || resolved.iter().flat_map(|batch| &batch.operations);
        let transactions = || input.batches.iter().copied().flatten().zip(operations());
        let mut program = Transfers::new(self.account_minimum, operations().count());
        for (signed, operation) in transactions() {
            program.push(self.shards, input.opened, signed, operation);
        }
        let mut windows: Vec<Counter> = self
            .pairs
            .iter()
            .map(|pair| Counter { value: pair.leaf.outstanding(), limit: self.window })
            .collect();
        let codes = match &mut self.engine {
            Some(engine) => engine.run(&mut self.accounts, &Arc::new(program), &mut windows),
            None => engine::run_alone(&program, &mut self.accounts, &mut windows),
        };
        transactions()
            .zip(codes)
            .map(|((signed, operation), code)| {
                let outcome = Transfers::outcome(code);
                self.settle(operation.id, &signed.transaction, outcome, outbox);
                (operation.id, outcome)
            })
            .collect()
    }

    /// Burns the fee of a transaction that executed, and sends what leaves the shard.
    fn settle(
        &mut self,
        id: TransactionId,
        transaction: &Transaction,
        outcome: Outcome,
        outbox: &mut [Vec<Receipt>],
    ) {
        let totals = &mut self.totals.leaf;
        if matches!(outcome, Outcome::Void(_)) {
            return;
        }
        totals.supply.0 -= transaction.fee.0;
        totals.burned.0 += transaction.fee.0;
        let Action::Transfer { recipient, amount } = transaction.action else { return };
        let destination = self.shards.of_prefix(recipient.prefix());
        if outcome == Outcome::Success && destination != self.shard {
            let pair = &mut self.pairs[destination.index()].leaf.own;
            outbox[destination.index()].push(Receipt {
                sequence: Sequence(pair.emitted()),
                transaction: id,
                kind: ReceiptKind::Request {
                    sender: transaction.sender.address(),
                    recipient,
                    amount,
                    asset: fresnel_types::action::Asset::Native,
                },
            });
            pair.sent.add(amount);
            totals.supply.0 -= amount.0;
        }
    }

    /// Adds what comes from outside the shard, opening the account where needed.
    fn credit(&mut self, key: StateKey, amount: Amount) {
        let place = self.accounts.place(&key);
        let mut account = self.accounts.get(place).unwrap_or_default();
        account.balance.0 += amount.0;
        self.accounts.set(place, &account);
        self.totals.leaf.supply.0 += amount.0;
    }

    /// The changed accounts, the pairs that differ from `before`, and the totals.
    fn take_writes(&mut self, before: &[PairLeaf]) -> WriteSet {
        let changed = self.pairs.iter().zip(before).filter(|(pair, before)| pair.leaf != **before);
        let mut books: Vec<(StateKey, Vec<u8>)> =
            changed.map(|(pair, _)| (pair.key, pair.leaf.to_bytes())).collect();
        books.push((self.totals.key, self.totals.leaf.to_bytes()));
        books.sort_unstable_by_key(|(key, _)| *key);
        let mut books = books.into_iter().peekable();
        let mut writes = WriteSet::default();
        for (key, account) in self.accounts.take_changed() {
            while let Some((key, value)) = books.next_if(|(book, _)| *book < key) {
                writes.push(key, Some(&value));
            }
            writes.push(key, Some(&account.to_bytes()));
        }
        books.for_each(|(key, value)| writes.push(key, Some(&value)));
        writes
    }
}

#[cfg(test)]
mod tests;
