//! The programs of a shard. Every transaction pays its fee and uses its nonce; then it does what its action says, wholly
//! or not at all.
//!
//! A program first decides, by reading only, and then writes, so that a failure leaves nothing but the fee and the nonce.
//! What leaves the shard is not done here but in order afterwards, from the outcomes: receipts, and the sums of what
//! is burned and sent. Only whether the window of a pair has room must be known at once, and that is a counter.

mod bank;
mod kv;
mod outcome;
mod token;
mod transfer;

use fresnel_types::{
    Action, Address, Amount, FailureCode, Nonce, Outcome, ShardId, Shards, SignedTransaction, Timestamp,
    Transaction, action::BankAction, leaves::Account, transaction::VoidCode,
};

use self::{
    bank::Bank,
    kv::{Kv, Operation, Operations},
    token::Token,
    transfer::Transfer,
};
use crate::{
    engine::{Program, View},
    resolve::Wanted,
    slots::{Place, UNKNOWN, Value, exists, load, store},
};

/// What a transaction does with a leaf that it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Nothing if it is not there.
    Finds,
    /// Makes it, perhaps.
    Opens,
    /// It is in another shard.
    Elsewhere,
}

/// One of the programs: what it does in one transaction.
trait Step {
    /// What it is going to write.
    type Plan;

    /// Reads and decides. What it changes of `payer` stands only if it succeeds.
    fn decide(&self, payer: &mut Payer, state: &mut Reads<'_, impl View>) -> Result<Self::Plan, FailureCode>;

    /// Writes what was decided. The sender's account is written already.
    fn write(plan: Self::Plan, view: &mut impl View);
}

/// What a program may do before it has decided.
struct Reads<'a, V>(&'a mut V);

impl<V: View> Reads<'_, V> {
    /// What stands at a place that may be [`UNKNOWN`], if anything does.
    fn read(&mut self, place: Place) -> Option<Value> {
        if place == UNKNOWN {
            return None;
        }
        let value = self.0.read(place);
        exists(&value).then_some(value)
    }

    /// Whether anything stands there.
    fn exists(&mut self, place: Place) -> bool {
        place != UNKNOWN && self.0.exists(place)
    }

    /// Takes room in the window towards a shard: the last thing that can fail.
    fn reserve(&mut self, destination: ShardId) -> Result<(), FailureCode> {
        if self.0.reserve(destination.index(), 1) { Ok(()) } else { Err(FailureCode::WindowFull) }
    }
}

/// The sender's account, which has paid the fee, and what else it pays.
struct Payer {
    account: Account,
    /// What a leaf costs that is no account.
    leaf_price: Amount,
    leaves: u64,
}

impl Payer {
    fn pay(&mut self, amount: u64) -> Result<(), FailureCode> {
        let rest = self.account.balance.0.checked_sub(amount);
        self.account.balance.0 = rest.ok_or(FailureCode::InsufficientBalance)?;
        Ok(())
    }

    /// Burns what a new leaf costs.
    fn pay_leaf(&mut self) -> Result<(), FailureCode> {
        self.leaves += 1;
        self.pay(self.leaf_price.0)
    }
}

/// What the action of a transaction uses beside the sender's account, in the order in which its program takes the places.
pub(crate) fn uses(
    action: &Action,
    sender: &Address,
    is_local: impl Fn(&Address) -> bool,
    wanted: &mut Wanted,
) {
    match action {
        Action::Transfer { recipient, .. } | Action::Bank(BankAction::SendPayment { recipient, .. }) => {
            let with = if is_local(recipient) { Use::Opens } else { Use::Elsewhere };
            wanted.account(recipient, with);
        }
        Action::Kv(operations) => kv::uses(operations, sender, is_local, wanted),
        Action::Bank(action) => bank::uses(action, sender, is_local, wanted),
        Action::Token(action) => token::uses(action, sender, is_local, wanted),
    }
}

/// The transactions of a block, as far as they concern leaves.
pub(crate) struct Calls {
    home: Home,
    account_minimum: Amount,
    calls: Vec<Call>,
    places: Vec<Place>,
    /// The operations of all calls of that program.
    operations: Vec<Operation>,
}

/// The shard whose block it is, among how many.
#[derive(Clone, Copy)]
pub(crate) struct Home {
    pub(crate) shard: ShardId,
    pub(crate) shards: Shards,
}

struct Call {
    /// The first of its places, that of the sender's account.
    place: u32,
    is_expired: bool,
    nonce: Nonce,
    fee: Amount,
    body: Body,
}

enum Body {
    Transfer(Transfer),
    Kv(Kv),
    Bank(Bank),
    Token(Token),
}

impl Calls {
    pub(crate) fn new(home: Home, account_minimum: Amount, count: usize) -> Self {
        Self {
            home,
            account_minimum,
            calls: Vec::with_capacity(count),
            places: Vec::with_capacity(2 * count),
            operations: Vec::new(),
        }
    }

    /// Appends a transaction of a block that opened at `opened`, with its places.
    pub(crate) fn push(&mut self, opened: Timestamp, signed: &SignedTransaction, places: &[Place]) {
        let transaction = &signed.transaction;
        let place = u32::try_from(self.places.len()).expect("the bytes of a block bound what it uses");
        self.places.extend(places);
        let body = self.body(transaction, &places[1..]);
        self.calls.push(Call {
            place,
            is_expired: transaction.valid_until < opened,
            nonce: transaction.nonce,
            fee: transaction.fee,
            body,
        });
    }

    fn body(&mut self, transaction: &Transaction, places: &[Place]) -> Body {
        let Home { shard, shards } = self.home;
        let is_local = |owner: &Address| shards.of_prefix(owner.prefix()) == shard;
        match &transaction.action {
            Action::Transfer { recipient, amount }
            | Action::Bank(BankAction::SendPayment { recipient, amount }) => Body::Transfer(Transfer {
                recipient: places[0],
                destination: shards.of_prefix(recipient.prefix()),
                amount: *amount,
            }),
            Action::Bank(action) => Body::Bank(Bank::new(action, places, is_local)),
            Action::Token(action) => {
                Body::Token(Token::new(action, &transaction.sender, shards, places, is_local))
            }
            Action::Kv(operations) => {
                let sender = transaction.sender.address();
                let first = u32::try_from(self.operations.len()).expect("as for places");
                let with_places = operations.iter().zip(places);
                self.operations.extend(
                    with_places
                        .map(|(operation, place)| Operation::new(operation, &sender, *place, is_local)),
                );
                Body::Kv(Kv { first, count: operations.len() as u32 })
            }
        }
    }

    /// Where a transaction puts values, one entry per operation of its action.
    pub(crate) fn puts(&self, transaction: usize) -> impl Iterator<Item = Option<Place>> {
        let operations = match &self.calls[transaction].body {
            Body::Kv(kv) => kv.of(&self.operations),
            Body::Transfer(_) | Body::Bank(_) | Body::Token(_) => &[],
        };
        operations.iter().map(Operation::puts)
    }
}
/// How an execution ended, as its code says.
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    /// Leaves that it paid for.
    pub(crate) leaves: u64,
}

impl Ended {
    pub(crate) fn of(code: u64) -> Self {
        Self { outcome: outcome::decode(code & 0xff), leaves: code >> 8 }
    }

    fn code(&self) -> u64 {
        outcome::encode(self.outcome) | self.leaves << 8
    }

    fn void(code: VoidCode) -> Self {
        Self { outcome: Outcome::Void(code), leaves: 0 }
    }
}

impl Program for Calls {
    fn count(&self) -> usize {
        self.calls.len()
    }

    #[inline]
    fn places(&self, transaction: usize) -> impl Iterator<Item = Place> {
        let start = self.calls[transaction].place as usize;
        let end = self.calls.get(transaction + 1).map_or(self.places.len(), |next| next.place as usize);
        self.places[start..end].iter().copied().filter(|place| *place != UNKNOWN)
    }

    #[inline]
    fn execute(&self, transaction: usize, view: &mut impl View) -> u64 {
        self.calls[transaction].execute(self, view).code()
    }
}

impl Call {
    #[inline]
    fn execute(&self, all: &Calls, view: &mut impl View) -> Ended {
        if self.is_expired {
            return Ended::void(VoidCode::Expired);
        }
        let sender = all.places[self.place as usize];
        if sender == UNKNOWN {
            return Ended::void(VoidCode::Fee);
        }
        let Some(mut account) = load::<Account>(&view.read(sender)) else {
            return Ended::void(VoidCode::Fee);
        };
        if !account.accepts(self.nonce) {
            return Ended::void(VoidCode::Nonce);
        }
        if account.balance < self.fee {
            return Ended::void(VoidCode::Fee);
        }
        account.balance.0 -= self.fee.0;
        account.burn(self.nonce);
        let payer = Payer { account, leaf_price: all.account_minimum, leaves: 0 };
        match &self.body {
            Body::Transfer(transfer) => step(transfer, sender, payer, view),
            Body::Kv(kv) => step(&Operations(kv.of(&all.operations)), sender, payer, view),
            Body::Bank(bank) => step(bank, sender, payer, view),
            Body::Token(token) => step(token, sender, payer, view),
        }
    }
}

/// Does one step for a sender who has paid the fee.
#[inline]
fn step<S: Step>(program: &S, sender: Place, mut payer: Payer, view: &mut impl View) -> Ended {
    let paid = payer.account;
    match program.decide(&mut payer, &mut Reads(view)) {
        Ok(plan) => {
            view.write(sender, store(&payer.account));
            S::write(plan, view);
            Ended { outcome: Outcome::Success, leaves: payer.leaves }
        }
        Err(code) => {
            view.write(sender, store(&paid));
            Ended { outcome: Outcome::Failed(code), leaves: 0 }
        }
    }
}
