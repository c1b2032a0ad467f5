//! Blocks: receipts are applied, transactions execute by the engine or one after the other, and leaves say what came of it.

use std::sync::Arc;

use fresnel_types::{
    Address, Amount, Genesis, Outcome, Parameters, PeerCounters, Receipt, ShardId, Shards, StateKey,
    TransactionId, WriteSet,
    leaves::{Account, EXISTS, PairLeaf, TotalsLeaf, words_from_bytes},
    merkle,
    proof::results_leaves,
};

use crate::{
    block::{BlockInput, BlockOutput},
    engine::{self, Counter, Engine, Metrics},
    programs::{Calls, Ended, Home},
    resolve::{ResolvedBatch, Resolver},
    slots::{UNKNOWN, exists},
    table::Table,
    values::LongValues,
};

mod receipts;

/// The leaves of one shard, and what blocks do to them.
pub struct Executor {
    shard: ShardId,
    shards: Shards,
    window: u64,
    account_minimum: Amount,
    /// Accounts and all that programs keep.
    accounts: Table,
    long_values: LongValues,
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
                executor.restore_leaf(&key, &value);
            }
        }
        executor
    }

    /// The account of `owner`, if it was opened.
    pub fn account(&self, owner: &Address) -> Option<Account> {
        self.accounts.find(&Account::key(owner)).and_then(|place| self.accounts.get(place))
    }

    /// The accounts of `owners`, in order.
    pub fn accounts(&self, owners: &[Address]) -> Vec<Option<Account>> {
        let keys = fresnel_types::identities::state_keys(owners, Account::NAME);
        let mut places = Vec::with_capacity(owners.len());
        self.accounts.directory().find_all(&keys, &mut places);
        let opened = |place| if place == UNKNOWN { None } else { self.accounts.get(place) };
        places.into_iter().map(opened).collect()
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
        let place = self.accounts.find(key)?;
        let value = self.accounts.value(place);
        exists(&value).then(|| self.long_values.leaf(place, &value).to_vec())
    }

    /// From now on, `engine` executes the transactions of blocks. Results do not depend on it.
    pub fn set_engine(&mut self, engine: Engine) {
        self.engine = Some(engine);
    }

    /// How many threads execute transactions.
    pub fn threads(&self) -> usize {
        self.engine.as_ref().map_or(1, Engine::threads)
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
            batch.len() == resolved.ids.len() && resolved.is_of(self.accounts.directory())
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
            results: merkle::root(results_leaves(&outcomes, &applied)),
            outcomes,
            applied,
            outbox,
            writes: self.take_writes(&before),
            totals: self.totals.leaf,
            pairs: self.pairs.iter().map(|pair| pair.leaf.own).collect(),
        }
    }

    /// Finds again what was not there when its batch was resolved. What may be opened gets a place; then all that is
    /// only looked for has one, if it can be there in this block.
    fn place_missing(&mut self, resolved: &mut [ResolvedBatch]) {
        for opens in [true, false] {
            for batch in &mut *resolved {
                for missing in batch.missing.iter().filter(|one| one.opens == opens) {
                    batch.places[missing.at] = if opens {
                        self.accounts.place(&missing.key)
                    } else {
                        self.accounts.find(&missing.key).unwrap_or(UNKNOWN)
                    };
                }
            }
        }
    }

    /// Takes in a leaf that an earlier executor wrote and that is none of the shard's own.
    fn restore_leaf(&mut self, key: &StateKey, leaf: &[u8]) {
        let place = self.accounts.open(key);
        let value = match words_from_bytes(leaf) {
            Some([one, two, three]) => [one, two, three | EXISTS],
            None => self.long_values.restore(place, leaf),
        };
        self.accounts.slots().get(place).set_value(&value);
    }

    fn empty(shard: ShardId, shards: Shards, parameters: &Parameters) -> Self {
        let pair = |other| Book { key: PairLeaf::key(shards, shard, other), leaf: PairLeaf::default() };
        Self {
            shard,
            shards,
            window: parameters.window,
            account_minimum: parameters.account_minimum,
            accounts: Table::default(),
            long_values: LongValues::default(),
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

    /// Executes the transactions, and then does in order what their outcomes say about the shard as a whole.
    fn transact(
        &mut self,
        input: &BlockInput<'_>,
        resolved: &[ResolvedBatch],
        outbox: &mut [Vec<Receipt>],
    ) -> Vec<(TransactionId, Outcome)> {
        let used = || resolved.iter().flat_map(ResolvedBatch::iter);
        let transactions = || input.batches.iter().copied().flatten();
        let home = Home { shard: self.shard, shards: self.shards };
        let mut calls = Calls::new(home, self.account_minimum, used().count());
        for (signed, (_, places)) in transactions().zip(used()) {
            calls.push(input.opened, signed, places);
        }
        let mut windows: Vec<Counter> = self
            .pairs
            .iter()
            .map(|pair| Counter { value: pair.leaf.outstanding(), limit: self.window })
            .collect();
        let calls = Arc::new(calls);
        let codes = match &mut self.engine {
            Some(engine) => engine.run(&mut self.accounts, &calls, &mut windows),
            None => engine::run_alone(&*calls, &mut self.accounts, &mut windows),
        };
        let mut outcomes = Vec::with_capacity(codes.len());
        for ((signed, (id, _)), code) in transactions().zip(used()).zip(codes) {
            let ended = Ended::of(code);
            self.settle(id, &signed.transaction, &ended, outbox);
            outcomes.push((id, ended.outcome));
        }
        let executed = transactions().zip(outcomes.iter().map(|(_, outcome)| *outcome));
        let accounts = &self.accounts;
        self.long_values.take(&calls, executed, |place| accounts.value(place));
        outcomes
    }

    /// Adds what comes from outside the shard, opening the account where needed.
    fn credit(&mut self, key: StateKey, amount: Amount) {
        let place = self.accounts.place(&key);
        let mut account = self.accounts.get(place).unwrap_or_default();
        account.balance.0 += amount.0;
        self.accounts.set(place, &account);
        self.totals.leaf.supply.0 += amount.0;
    }

    /// What programs changed, the pairs that differ from `before`, and the totals.
    fn take_writes(&mut self, before: &[PairLeaf]) -> WriteSet {
        let changed = self.pairs.iter().zip(before).filter(|(pair, before)| pair.leaf != **before);
        let mut books: Vec<(StateKey, Vec<u8>)> =
            changed.map(|(pair, _)| (pair.key, pair.leaf.to_bytes())).collect();
        books.push((self.totals.key, self.totals.leaf.to_bytes()));
        books.sort_unstable_by_key(|(key, _)| *key);
        let mut books = books.into_iter().peekable();
        let mut writes = WriteSet::default();
        let changed = self.accounts.take_changed();
        for (place, slot) in self.accounts.loaded_ahead(&changed) {
            let (key, value) = (slot.key(), slot.value());
            assert!(exists(&value), "what a block wrote exists");
            while let Some((key, value)) = books.next_if(|(book, _)| *book < key) {
                writes.push(key, Some(&value));
            }
            writes.push(key, Some(&self.long_values.leaf(place, &value)));
        }
        books.for_each(|(key, value)| writes.push(key, Some(&value)));
        writes
    }
}

#[cfg(test)]
mod tests;
