//! `transfer`: moves an amount to another account, which it may open. The bank's payments are the same.

use fresnel_types::{Amount, FailureCode, ShardId, leaves::Account};

use super::{Payer, Reads, Step};
use crate::{
    engine::View,
    slots::{Place, UNKNOWN, store},
};

pub(super) struct Transfer {
    /// [`UNKNOWN`] when in another shard.
    pub(super) recipient: Place,
    pub(super) destination: ShardId,
    pub(super) amount: Amount,
}

pub(super) enum Plan {
    Opens(Place, Amount),
    Credits(Place, Amount),
    Sends,
}

impl Step for Transfer {
    type Plan = Plan;

    #[inline]
    fn decide(&self, payer: &mut Payer, state: &mut Reads<'_, impl View>) -> Result<Plan, FailureCode> {
        payer.pay(self.amount.0)?;
        if self.recipient == UNKNOWN {
            state.reserve(self.destination)?;
            return Ok(Plan::Sends);
        }
        if state.exists(self.recipient) {
            return Ok(Plan::Credits(self.recipient, self.amount));
        }
        // What opens an account costs nothing but what the account then has.
        let minimum = payer.leaf_price;
        if self.amount < minimum {
            Err(FailureCode::BelowAccountMinimum)
        } else {
            Ok(Plan::Opens(self.recipient, self.amount))
        }
    }

    #[inline]
    fn write(plan: Plan, view: &mut impl View) {
        match plan {
            Plan::Opens(place, balance) => {
                view.write(place, store(&Account { balance, ..Account::default() }))
            }
            Plan::Credits(place, amount) => view.credit(place, amount.0),
            Plan::Sends => {}
        }
    }
}
