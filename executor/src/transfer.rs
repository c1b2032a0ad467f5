//! The program of a shard: every transaction pays its fee, uses its nonce, and then transfers.
//!
//! What of a transfer leaves the shard is not done here but in order afterwards, from the outcomes: receipts, and the
//! sums of fees and of value. Only whether the window of a pair has room must be known at once, and that is a counter.

use fresnel_types::{
    Action, Amount, FailureCode, Nonce, Outcome, ShardId, Shards, SignedTransaction, Timestamp,
    leaves::Account, transaction::VoidCode,
};

use crate::{
    engine::{Program, View},
    resolve::Operation,
    slots::{Place, UNKNOWN, to_account, to_value},
};

/// The transactions of a block, as far as they concern accounts.
pub(crate) struct Transfers {
    account_minimum: Amount,
    transfers: Vec<Transfer>,
}

struct Transfer {
    sender: Place,
    /// [`UNKNOWN`] when in another shard.
    recipient: Place,
    destination: ShardId,
    is_expired: bool,
    nonce: Nonce,
    fee: Amount,
    amount: Amount,
}

impl Transfers {
    pub(crate) fn new(account_minimum: Amount, count: usize) -> Self {
        Self { account_minimum, transfers: Vec::with_capacity(count) }
    }

    /// Appends a transaction of a block that opened at `opened`.
    pub(crate) fn push(
        &mut self,
        shards: Shards,
        opened: Timestamp,
        signed: &SignedTransaction,
        places: &Operation,
    ) {
        let transaction = &signed.transaction;
        let (recipient, amount, known) = match transaction.action {
            Action::Transfer { recipient, amount } => (recipient, amount, true),
            Action::Kv(_) | Action::Bank(_) | Action::Token(_) => (Default::default(), Amount(0), false),
        };
        self.transfers.push(Transfer {
            sender: places.sender,
            recipient: places.recipient,
            destination: shards.of_prefix(recipient.prefix()),
            is_expired: transaction.valid_until < opened || !known,
            nonce: transaction.nonce,
            fee: transaction.fee,
            amount,
        });
    }

    /// The outcome that an execution encoded.
    pub(crate) fn outcome(code: u64) -> Outcome {
        OUTCOMES[code as usize]
    }
}

impl Program for Transfers {
    fn count(&self) -> usize {
        self.transfers.len()
    }

    #[inline]
    fn places(&self, transaction: usize) -> impl Iterator<Item = Place> {
        let transfer = &self.transfers[transaction];
        [transfer.sender, transfer.recipient].into_iter().filter(|place| *place != UNKNOWN)
    }

    #[inline]
    fn execute(&self, transaction: usize, view: &mut impl View) -> u64 {
        encode(self.transfers[transaction].execute(self.account_minimum, view))
    }
}

impl Transfer {
    #[inline]
    fn execute(&self, account_minimum: Amount, view: &mut impl View) -> Outcome {
        if self.is_expired {
            return Outcome::Void(VoidCode::Expired);
        }
        if self.sender == UNKNOWN {
            return Outcome::Void(VoidCode::Fee);
        }
        let Some(mut account) = to_account(&view.read(self.sender)) else {
            return Outcome::Void(VoidCode::Fee);
        };
        if !account.accepts(self.nonce) {
            return Outcome::Void(VoidCode::Nonce);
        }
        if account.balance < self.fee {
            return Outcome::Void(VoidCode::Fee);
        }
        account.balance.0 -= self.fee.0;
        account.burn(self.nonce);
        let result = self.transfer(&mut account, account_minimum, view);
        result.map_or_else(Outcome::Failed, |()| Outcome::Success)
    }

    /// Moves the amount. The sender's account, which paid its fee already, is written whatever comes of it.
    #[inline]
    fn transfer(
        &self,
        account: &mut Account,
        account_minimum: Amount,
        view: &mut impl View,
    ) -> Result<(), FailureCode> {
        let is_local = self.recipient != UNKNOWN;
        let covered = account.balance >= self.amount;
        let opens = covered && is_local && !view.exists(self.recipient);
        let result = if !covered {
            Err(FailureCode::InsufficientBalance)
        } else if opens && self.amount < account_minimum {
            Err(FailureCode::BelowAccountMinimum)
        } else if !is_local && !view.reserve(self.destination.index(), 1) {
            Err(FailureCode::WindowFull)
        } else {
            account.balance.0 -= self.amount.0;
            Ok(())
        };
        view.write(self.sender, to_value(account));
        result?;
        if opens {
            let opened = Account { balance: self.amount, ..Account::default() };
            view.write(self.recipient, to_value(&opened));
        } else if is_local {
            view.credit(self.recipient, self.amount.0);
        }
        Ok(())
    }
}

fn encode(outcome: Outcome) -> u64 {
    match outcome {
        Outcome::Success => 0,
        Outcome::Failed(FailureCode::InsufficientBalance) => 1,
        Outcome::Failed(FailureCode::BelowAccountMinimum) => 2,
        Outcome::Failed(FailureCode::WindowFull) => 3,
        Outcome::Void(VoidCode::Expired) => 4,
        Outcome::Void(VoidCode::Nonce) => 5,
        Outcome::Void(VoidCode::Fee) => 6,
        Outcome::Failed(_) => 7,
    }
}

/// By code.
const OUTCOMES: [Outcome; 7] = [
    Outcome::Success,
    Outcome::Failed(FailureCode::InsufficientBalance),
    Outcome::Failed(FailureCode::BelowAccountMinimum),
    Outcome::Failed(FailureCode::WindowFull),
    Outcome::Void(VoidCode::Expired),
    Outcome::Void(VoidCode::Nonce),
    Outcome::Void(VoidCode::Fee),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_outcomes_are_one_to_one() {
        for (code, outcome) in (0..).zip(OUTCOMES) {
            assert_eq!(encode(outcome), code);
            assert_eq!(Transfers::outcome(code), outcome);
        }
    }
}
