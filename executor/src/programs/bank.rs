//! `smallbank`: the procedures that stay within a shard. The sixth, a payment, is a transfer.
//!
//! A customer's checking account is the account itself, so that payments and receipts are those of everybody; the savings
//! stand in a leaf beside it, which the first deposit makes.

use fresnel_types::{Address, Amount, FailureCode, action::BankAction, leaves::Savings};

use super::{Payer, Reads, Step, Use};
use crate::{
    engine::View,
    resolve::Wanted,
    slots::{Place, Value, load, store},
};

/// What a procedure takes: its places, and how much.
pub(super) enum Bank {
    Balance { account: Other, savings: Place },
    DepositChecking { customer: Other, amount: Amount },
    TransactSavings { savings: Place, amount: Amount, withdraw: bool },
    Amalgamate { savings: Place, recipient: Other },
    WriteCheck { savings: Place, recipient: Other, amount: Amount },
}

/// The account of another customer.
#[derive(Clone, Copy)]
pub(super) struct Other {
    place: Place,
    is_local: bool,
}

pub(super) fn uses(
    action: &BankAction,
    sender: &Address,
    is_local: impl Fn(&Address) -> bool,
    wanted: &mut Wanted,
) {
    let finds = |owner: &Address| if is_local(owner) { Use::Finds } else { Use::Elsewhere };
    match action {
        BankAction::Balance { customer } => {
            wanted.account(customer, finds(customer));
            wanted.leaf(finds(customer), || Savings::key(customer));
        }
        BankAction::DepositChecking { customer: other, .. }
        | BankAction::SendPayment { recipient: other, .. } => {
            wanted.account(other, finds(other));
        }
        BankAction::TransactSavings { withdraw, .. } => {
            let with = if *withdraw { Use::Finds } else { Use::Opens };
            wanted.leaf(with, || Savings::key(sender));
        }
        BankAction::Amalgamate { recipient } | BankAction::WriteCheck { recipient, .. } => {
            wanted.leaf(Use::Finds, || Savings::key(sender));
            wanted.account(recipient, finds(recipient));
        }
    }
}

impl Bank {
    /// With the places that [`uses`] asked for.
    pub(super) fn new(action: &BankAction, places: &[Place], is_local: impl Fn(&Address) -> bool) -> Self {
        let other = |owner: &Address, place| Other { place, is_local: is_local(owner) };
        match *action {
            BankAction::Balance { customer } => {
                Self::Balance { account: other(&customer, places[0]), savings: places[1] }
            }
            BankAction::DepositChecking { customer, amount }
            | BankAction::SendPayment { recipient: customer, amount } => {
                Self::DepositChecking { customer: other(&customer, places[0]), amount }
            }
            BankAction::TransactSavings { amount, withdraw } => {
                Self::TransactSavings { savings: places[0], amount, withdraw }
            }
            BankAction::Amalgamate { recipient } => {
                Self::Amalgamate { savings: places[0], recipient: other(&recipient, places[1]) }
            }
            BankAction::WriteCheck { recipient, amount } => {
                Self::WriteCheck { savings: places[0], recipient: other(&recipient, places[1]), amount }
            }
        }
    }
}

impl Other {
    /// The place, if the customer is here.
    fn found(self, state: &mut Reads<'_, impl View>) -> Result<Place, FailureCode> {
        if !self.is_local {
            Err(FailureCode::WrongShard)
        } else if state.exists(self.place) {
            Ok(self.place)
        } else {
            Err(FailureCode::Missing)
        }
    }
}

/// What the sender's savings become, and who gets how much.
#[derive(Default)]
pub(super) struct Plan {
    savings: Option<(Place, Value)>,
    credit: Option<(Place, Amount)>,
}

impl Plan {
    fn credit(place: Place, amount: Amount) -> Self {
        Self { savings: None, credit: Some((place, amount)) }
    }

    fn with_savings(self, place: Place, balance: u64) -> Self {
        Self { savings: Some((place, store(&Savings { balance: Amount(balance) }))), ..self }
    }
}

impl Step for Bank {
    type Plan = Plan;

    fn decide(&self, payer: &mut Payer, state: &mut Reads<'_, impl View>) -> Result<Plan, FailureCode> {
        match *self {
            Self::Balance { account, savings } => {
                state.read(savings);
                let place = account.found(state)?;
                state.read(place);
                Ok(Plan::default())
            }
            Self::DepositChecking { customer, amount } => {
                payer.pay(amount.0)?;
                Ok(Plan::credit(customer.found(state)?, amount))
            }
            Self::TransactSavings { savings, amount, withdraw: true } => {
                let before = saved(state, savings).ok_or(FailureCode::Missing)?.balance.0;
                let after = before.checked_sub(amount.0).ok_or(FailureCode::InsufficientBalance)?;
                payer.account.balance.0 += amount.0;
                Ok(Plan::default().with_savings(savings, after))
            }
            Self::TransactSavings { savings, amount, withdraw: false } => {
                let before = saved(state, savings);
                if before.is_none() {
                    payer.pay_leaf()?;
                }
                payer.pay(amount.0)?;
                Ok(Plan::default().with_savings(savings, before.unwrap_or_default().balance.0 + amount.0))
            }
            Self::Amalgamate { savings, recipient } => {
                let saved = saved(state, savings);
                let recipient = recipient.found(state)?;
                let all = payer.account.balance.0 + saved.unwrap_or_default().balance.0;
                payer.account.balance = Amount(0);
                let plan = Plan::credit(recipient, Amount(all));
                Ok(if saved.is_some() { plan.with_savings(savings, 0) } else { plan })
            }
            Self::WriteCheck { savings, recipient, amount } => {
                let recipient = recipient.found(state)?;
                if payer.pay(amount.0).is_ok() {
                    return Ok(Plan::credit(recipient, amount));
                }
                let saved = saved(state, savings).unwrap_or_default().balance.0;
                let drawn = amount.0.checked_add(PENALTY).ok_or(FailureCode::InsufficientBalance)?;
                let lacking = drawn.saturating_sub(payer.account.balance.0);
                let after = saved.checked_sub(lacking).ok_or(FailureCode::InsufficientBalance)?;
                payer.account.balance.0 -= drawn - lacking;
                Ok(Plan::credit(recipient, Amount(drawn)).with_savings(savings, after))
            }
        }
    }

    fn write(plan: Plan, view: &mut impl View) {
        if let Some((place, value)) = plan.savings {
            view.write(place, value);
        }
        if let Some((place, amount)) = plan.credit {
            view.credit(place, amount.0);
        }
    }
}

fn saved(state: &mut Reads<'_, impl View>, savings: Place) -> Option<Savings> {
    state.read(savings).and_then(|value| load(&value))
}

/// What a check costs that the checking account alone does not cover.
const PENALTY: u64 = 1;
