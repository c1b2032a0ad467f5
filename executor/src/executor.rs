//! The serial engine: one transaction after the other, on typed leaves in memory.

use fresnel_types::{
    Action, Address, Amount, FailureCode, Genesis, Outcome, Parameters, PeerCounters, Receipt, ReceiptKind,
    Sequence, ShardId, Shards, StateKey, Timestamp, Transaction, TransactionId, WriteSet,
    leaves::{Account, PairLeaf, TotalsLeaf},
    transaction::VoidCode,
};

use crate::{
    block::{Applied, BlockInput, BlockOutput, results_root},
    table::{Place, Table},
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
                executor.accounts.open(key, Account::from_bytes(&value));
            }
        }
        executor
    }

    /// The account of `owner`, if it was opened.
    pub fn account(&self, owner: &Address) -> Option<Account> {
        self.accounts.find(&Account::key(owner)).map(|place| *self.accounts.get(place))
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
        self.accounts.find(key).map(|place| self.accounts.get(place).to_bytes())
    }

    /// Executes a block.
    pub fn execute(&mut self, input: &BlockInput<'_>) -> BlockOutput {
        let before: Vec<PairLeaf> = self.pairs.iter().map(|pair| pair.leaf).collect();
        let mut outbox = vec![Vec::new(); self.shards.count()];
        input.peers.iter().for_each(|counters| self.note(counters));
        let applied = input
            .receipts
            .iter()
            .map(|(source, receipt)| self.apply(*source, receipt, &mut outbox[source.index()]))
            .collect::<Vec<_>>();
        let mut outcomes = Vec::with_capacity(input.batches.iter().map(|batch| batch.len()).sum());
        for signed in input.batches.iter().copied().flatten() {
            let id = signed.transaction.id();
            outcomes.push((id, self.transact(input.opened, id, &signed.transaction, &mut outbox)));
        }
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
            ReceiptKind::Request { sender, recipient, amount } => {
                let key = Account::key(&recipient);
                let pair = &mut self.pairs[source.index()].leaf.own;
                pair.consumed.add(amount);
                if amount < self.account_minimum && self.accounts.find(&key).is_none() {
                    let code = FailureCode::BelowAccountMinimum;
                    emitted.push(Receipt {
                        sequence: Sequence(pair.emitted()),
                        transaction: receipt.transaction,
                        kind: ReceiptKind::Bounce { recipient: sender, amount, code },
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

    fn transact(
        &mut self,
        opened: Timestamp,
        id: TransactionId,
        transaction: &Transaction,
        outbox: &mut [Vec<Receipt>],
    ) -> Outcome {
        if transaction.valid_until < opened {
            return Outcome::Void(VoidCode::Expired);
        }
        let sender = transaction.sender.address();
        let Some(place) = self.accounts.find(&Account::key(&sender)) else {
            return Outcome::Void(VoidCode::Fee);
        };
        let account = self.accounts.get(place);
        if !account.accepts(transaction.nonce) {
            return Outcome::Void(VoidCode::Nonce);
        }
        if account.balance < transaction.fee {
            return Outcome::Void(VoidCode::Fee);
        }
        let account = self.accounts.change(place);
        account.balance.0 -= transaction.fee.0;
        account.burn(transaction.nonce);
        self.totals.leaf.supply.0 -= transaction.fee.0;
        self.totals.leaf.burned.0 += transaction.fee.0;
        let Action::Transfer { recipient, amount } = transaction.action;
        match self.transfer(id, (place, sender), recipient, amount, outbox) {
            Ok(()) => Outcome::Success,
            Err(code) => Outcome::Failed(code),
        }
    }

    fn transfer(
        &mut self,
        id: TransactionId,
        (place, sender): (Place, Address),
        recipient: Address,
        amount: Amount,
        outbox: &mut [Vec<Receipt>],
    ) -> Result<(), FailureCode> {
        if self.accounts.get(place).balance < amount {
            return Err(FailureCode::InsufficientBalance);
        }
        let destination = self.shards.of_prefix(recipient.prefix());
        if destination == self.shard {
            let key = Account::key(&recipient);
            let Some(found) = self.accounts.find(&key).or_else(|| {
                (amount >= self.account_minimum).then(|| self.accounts.open(key, Account::default()))
            }) else {
                return Err(FailureCode::BelowAccountMinimum);
            };
            self.accounts.change(place).balance.0 -= amount.0;
            self.accounts.change(found).balance.0 += amount.0;
            return Ok(());
        }
        let pair = &mut self.pairs[destination.index()].leaf;
        if pair.outstanding() >= self.window {
            return Err(FailureCode::WindowFull);
        }
        outbox[destination.index()].push(Receipt {
            sequence: Sequence(pair.own.emitted()),
            transaction: id,
            kind: ReceiptKind::Request { sender, recipient, amount },
        });
        pair.own.sent.add(amount);
        self.accounts.change(place).balance.0 -= amount.0;
        self.totals.leaf.supply.0 -= amount.0;
        Ok(())
    }

    /// Adds what comes from outside the shard, opening the account where needed.
    fn credit(&mut self, key: StateKey, amount: Amount) {
        let place = match self.accounts.find(&key) {
            Some(place) => place,
            None => self.accounts.open(key, Account::default()),
        };
        self.accounts.change(place).balance.0 += amount.0;
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
