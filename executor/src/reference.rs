//! The programs once more, in plain code from their documentation: maps instead of places, all shards in one, one transaction
//! after the other, changes made as they come and undone by going back to a copy.
//!
//! It is what [`Executor`](crate::Executor) is compared with in tests, and what simulations replay their logs with; nothing else
//! uses it.

use std::collections::BTreeMap;

use fresnel_types::{
    Action, Address, Amount,
    FailureCode::{self, *},
    Outcome, ShardId, Shards, SignedTransaction, StateKey, Timestamp,
    action::{Asset, BankAction, KvOperation, TokenAction},
    leaves::{Account, Holding, InWords, Savings, Token, Value},
    transaction::VoidCode,
};

/// What everybody has, in all shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    shards: Shards,
    /// The least credit that opens an account, and what a leaf costs that is none.
    minimum: u64,
    /// The shard whose transactions execute.
    home: ShardId,
    /// How many requests it may still send to each shard.
    room: Vec<u64>,
    accounts: BTreeMap<Address, Account>,
    savings: BTreeMap<Address, u64>,
    values: BTreeMap<(Address, Vec<u8>), Value>,
    tokens: BTreeMap<Address, Token>,
    holdings: BTreeMap<(Address, Address), Holding>,
    /// By shard.
    burned: Vec<u64>,
}

type Result<T = ()> = std::result::Result<T, FailureCode>;

impl Reference {
    /// Nobody has anything.
    pub fn new(shards: Shards, account_minimum: Amount) -> Self {
        Self {
            shards,
            minimum: account_minimum.0,
            home: ShardId(0),
            room: vec![0; shards.count()],
            accounts: BTreeMap::new(),
            savings: BTreeMap::new(),
            values: BTreeMap::new(),
            tokens: BTreeMap::new(),
            holdings: BTreeMap::new(),
            burned: vec![0; shards.count()],
        }
    }

    /// Gives an account what it has at the start of a chain.
    pub fn fund(&mut self, owner: Address, balance: Amount) {
        self.accounts.insert(owner, Account { balance, ..Account::default() });
    }

    /// The transactions that follow are of this shard, which may send so many requests to each.
    pub fn enter(&mut self, home: ShardId, room: Vec<u64>) {
        (self.home, self.room) = (home, room);
    }

    /// What a shard has burned so far.
    pub fn burned(&self, shard: ShardId) -> Amount {
        Amount(self.burned[shard.index()])
    }

    /// The sum of all balances of a shard, savings included.
    pub fn supply(&self, shard: ShardId) -> Amount {
        let accounts = self.accounts.iter().map(|(owner, account)| (owner, account.balance.0));
        let all = accounts.chain(self.savings.iter().map(|(owner, balance)| (owner, *balance)));
        Amount(all.filter(|(owner, _)| self.shard_of(owner) == shard).map(|(_, balance)| balance).sum())
    }

    /// All leaves of a shard but its own books.
    pub fn leaves(&self, shard: ShardId) -> BTreeMap<StateKey, Vec<u8>> {
        let is_there = |owner: &Address| self.shard_of(owner) == shard;
        let accounts = self
            .accounts
            .iter()
            .filter(|(owner, _)| is_there(owner))
            .map(|(owner, one)| (Account::key(owner), one.to_bytes()));
        let savings = self.savings.iter().filter(|(owner, _)| is_there(owner)).map(|(owner, balance)| {
            (Savings::key(owner), Savings { balance: Amount(*balance) }.to_leaf().to_vec())
        });
        let values = self
            .values
            .iter()
            .filter(|((owner, _), _)| is_there(owner))
            .map(|((owner, name), value)| (Value::key(owner, name), value.to_leaf()));
        let tokens = self
            .tokens
            .iter()
            .filter(|(issuer, _)| is_there(issuer))
            .map(|(issuer, token)| (Token::key(issuer), token.to_leaf().to_vec()));
        let holdings = self
            .holdings
            .iter()
            .filter(|((owner, _), _)| is_there(owner))
            .map(|((owner, issuer), held)| (Holding::key(owner, issuer), held.to_leaf().to_vec()));
        accounts.chain(savings).chain(values).chain(tokens).chain(holdings).collect()
    }

    /// A request of another shard arrives.
    ///
    /// # Errors
    /// Why it is sent back.
    pub fn receive(&mut self, recipient: Address, amount: Amount, asset: Asset) -> Result {
        if let Asset::Token(issuer) = asset {
            self.holdings.entry((recipient, issuer)).or_default().balance += amount.0;
            return Ok(());
        }
        if !self.accounts.contains_key(&recipient) && amount.0 < self.minimum {
            return Err(BelowAccountMinimum);
        }
        self.accounts.entry(recipient).or_default().balance.0 += amount.0;
        Ok(())
    }

    /// What was sent comes back to somebody who must still be there, since nothing is ever removed.
    pub fn give_back(&mut self, recipient: Address, amount: Amount, asset: Asset) {
        let gone = "who sent something has it or has had it";
        match asset {
            Asset::Native => self.accounts.get_mut(&recipient).expect(gone).balance.0 += amount.0,
            Asset::Token(issuer) => {
                self.holdings.get_mut(&(recipient, issuer)).expect(gone).balance += amount.0;
            }
        }
    }

    /// Executes a transaction in a block that opened at `opened`.
    pub fn execute(&mut self, signed: &SignedTransaction, opened: Timestamp) -> Outcome {
        let transaction = &signed.transaction;
        if transaction.valid_until < opened {
            return Outcome::Void(VoidCode::Expired);
        }
        let sender = transaction.sender.address();
        let Some(account) = self.accounts.get_mut(&sender) else { return Outcome::Void(VoidCode::Fee) };
        if !account.accepts(transaction.nonce) {
            return Outcome::Void(VoidCode::Nonce);
        }
        if account.balance < transaction.fee {
            return Outcome::Void(VoidCode::Fee);
        }
        account.burn(transaction.nonce);
        account.balance.0 -= transaction.fee.0;
        self.burned[self.home.index()] += transaction.fee.0;
        let paid = self.clone();
        match self.act(sender, &transaction.action) {
            Ok(()) => Outcome::Success,
            Err(code) => {
                *self = paid;
                Outcome::Failed(code)
            }
        }
    }

    fn act(&mut self, sender: Address, action: &Action) -> Result {
        match action {
            Action::Transfer { recipient, amount }
            | Action::Bank(BankAction::SendPayment { recipient, amount }) => {
                self.pay(sender, amount.0)?;
                if !self.is_here(recipient) {
                    return self.send(recipient);
                }
                if !self.accounts.contains_key(recipient) && amount.0 < self.minimum {
                    return Err(BelowAccountMinimum);
                }
                self.accounts.entry(*recipient).or_default().balance.0 += amount.0;
                Ok(())
            }
            Action::Kv(operations) => {
                operations.iter().try_for_each(|operation| self.operate(sender, operation))
            }
            Action::Bank(action) => self.bank(sender, action),
            Action::Token(action) => self.token(sender, action),
        }
    }

    fn operate(&mut self, sender: Address, operation: &KvOperation) -> Result {
        let owner = operation.owner().unwrap_or(sender);
        if !self.is_here(&owner) {
            return Err(WrongShard);
        }
        let key = (owner, operation.name().to_vec());
        let before = self.values.get(&key).cloned();
        let may_change = |value: &Value| owner == sender || value.shared;
        let after = match operation {
            KvOperation::Read { .. } => before.ok_or(Missing)?,
            KvOperation::Put { value, shared, .. } => {
                match &before {
                    Some(before) if !may_change(before) => return Err(Forbidden),
                    Some(_) => {}
                    None if owner == sender => self.make_leaf(sender)?,
                    None => return Err(Missing),
                }
                Value { shared: owner != sender || *shared, bytes: value.0.clone() }
            }
            KvOperation::Add { amount, .. } => {
                let before = before.ok_or(Missing)?;
                if !may_change(&before) {
                    return Err(Forbidden);
                }
                let number = before.bytes.as_slice().try_into().map_err(|_| WrongKind)?;
                let sum = u64::from_le_bytes(number).checked_add(*amount).ok_or(Overflow)?;
                Value { bytes: sum.to_le_bytes().to_vec(), ..before }
            }
        };
        self.values.insert(key, after);
        Ok(())
    }

    fn bank(&mut self, sender: Address, action: &BankAction) -> Result {
        match action {
            BankAction::Balance { customer } => self.customer(customer).map(|_| ()),
            BankAction::DepositChecking { customer, amount } => {
                self.pay(sender, amount.0)?;
                self.customer(customer)?.balance.0 += amount.0;
                Ok(())
            }
            BankAction::TransactSavings { amount, withdraw: true } => {
                let saved = self.savings.get_mut(&sender).ok_or(Missing)?;
                *saved = saved.checked_sub(amount.0).ok_or(InsufficientBalance)?;
                self.customer(&sender)?.balance.0 += amount.0;
                Ok(())
            }
            BankAction::TransactSavings { amount, withdraw: false } => {
                if !self.savings.contains_key(&sender) {
                    self.make_leaf(sender)?;
                }
                self.pay(sender, amount.0)?;
                *self.savings.entry(sender).or_default() += amount.0;
                Ok(())
            }
            BankAction::Amalgamate { recipient } => {
                self.customer(recipient)?;
                let saved = self.savings.get_mut(&sender).map(std::mem::take).unwrap_or_default();
                let checking = std::mem::take(&mut self.customer(&sender)?.balance.0);
                self.customer(recipient)?.balance.0 += saved + checking;
                Ok(())
            }
            BankAction::WriteCheck { recipient, amount } => {
                self.customer(recipient)?;
                let drawn = if self.pay(sender, amount.0).is_ok() {
                    amount.0
                } else {
                    let drawn = amount.0 + 1;
                    let checking = std::mem::take(&mut self.customer(&sender)?.balance.0);
                    let saved = self.savings.get(&sender).copied().unwrap_or_default();
                    let rest = (saved + checking).checked_sub(drawn).ok_or(InsufficientBalance)?;
                    // What the checking account has beyond the check stays: only the penalty can be too much for it.
                    let from_savings = drawn.saturating_sub(checking);
                    self.customer(&sender)?.balance.0 = checking - (drawn - from_savings);
                    assert_eq!(rest, saved - from_savings + self.customer(&sender)?.balance.0);
                    self.savings.insert(sender, saved - from_savings);
                    drawn
                };
                self.customer(recipient)?.balance.0 += drawn;
                Ok(())
            }
            BankAction::SendPayment { .. } => unreachable!("a payment is a transfer"),
        }
    }

    fn token(&mut self, sender: Address, action: &TokenAction) -> Result {
        match action {
            TokenAction::Create { cap, open } => {
                if self.tokens.contains_key(&sender) {
                    return Err(Exists);
                }
                self.make_leaf(sender)?;
                self.tokens.insert(sender, Token { minted: 0, cap: *cap, mintings: 0, open: *open });
                Ok(())
            }
            TokenAction::Mint { token: issuer, amount } => {
                if !self.is_here(issuer) {
                    return Err(WrongShard);
                }
                let token = self.tokens.get_mut(issuer).ok_or(Missing)?;
                if !token.open && *issuer != sender {
                    return Err(Forbidden);
                }
                let minted = token.minted.checked_add(*amount).ok_or(Overflow)?;
                if minted > token.cap {
                    return Err(Overflow);
                }
                token.minted = minted;
                token.mintings += 1;
                let minting = token.mintings;
                if !self.holdings.contains_key(&(sender, *issuer)) {
                    self.make_leaf(sender)?;
                }
                let held = self.holdings.entry((sender, *issuer)).or_default();
                held.balance += amount;
                held.minting = minting;
                Ok(())
            }
            TokenAction::Transfer { token, recipient, amount } => {
                let held = self.holdings.get_mut(&(sender, *token)).ok_or(InsufficientBalance)?;
                held.balance = held.balance.checked_sub(*amount).ok_or(InsufficientBalance)?;
                if !self.is_here(recipient) {
                    self.make_leaf(sender)?;
                    return self.send(recipient);
                }
                if !self.holdings.contains_key(&(*recipient, *token)) {
                    self.make_leaf(sender)?;
                }
                self.holdings.entry((*recipient, *token)).or_default().balance += amount;
                Ok(())
            }
        }
    }

    fn is_here(&self, owner: &Address) -> bool {
        self.shard_of(owner) == self.home
    }

    fn shard_of(&self, owner: &Address) -> ShardId {
        self.shards.of_prefix(owner.prefix())
    }

    fn customer(&mut self, owner: &Address) -> Result<&mut Account> {
        if !self.is_here(owner) {
            return Err(WrongShard);
        }
        self.accounts.get_mut(owner).ok_or(Missing)
    }

    fn pay(&mut self, payer: Address, amount: u64) -> Result {
        let account = self.accounts.get_mut(&payer).ok_or(Missing)?;
        account.balance.0 = account.balance.0.checked_sub(amount).ok_or(InsufficientBalance)?;
        Ok(())
    }

    fn make_leaf(&mut self, payer: Address) -> Result {
        self.pay(payer, self.minimum)?;
        self.burned[self.home.index()] += self.minimum;
        Ok(())
    }

    fn send(&mut self, recipient: &Address) -> Result {
        let destination = self.shard_of(recipient);
        let room = &mut self.room[destination.index()];
        *room = room.checked_sub(1).ok_or(WindowFull)?;
        Ok(())
    }
}
