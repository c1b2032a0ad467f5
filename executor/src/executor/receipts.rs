//! What crosses the shard's border: receipts consumed before the transactions of a block, and emitted after them, in order.

use fresnel_types::{
    Address, Amount, FailureCode, Outcome, Receipt, ReceiptKind, Sequence, ShardId, Transaction,
    TransactionId,
    action::{Asset, Payment},
    leaves::{Account, Holding},
    proof::Applied,
};

use super::Executor;
use crate::{
    programs::Ended,
    slots::{load, store},
};

impl Executor {
    /// Consumes a receipt: whatever it says has a defined end.
    ///
    /// A request that cannot be credited goes back. A bounce can always be: whoever sent something has the account or holding
    /// that it came from, because no program removes a leaf and a used nonce keeps an account for ever; and no balance
    /// overflows, because it is a part of the supply, or of a token's cap. So nothing is ever kept in suspense. A program that
    /// removed leaves would change nothing: what comes back opens them again.
    pub(super) fn apply(
        &mut self,
        source: ShardId,
        receipt: &Receipt,
        emitted: &mut Vec<Receipt>,
    ) -> Applied {
        assert_ne!(source, self.shard, "a shard owes itself nothing");
        let cursor = self.pairs[source.index()].leaf.own.cursor();
        assert_eq!(
            receipt.sequence.0, cursor,
            "X2: receipts of shard {source} are consumed once and in order"
        );
        let value = receipt.kind.value();
        let mut bounced = None;
        match receipt.kind {
            ReceiptKind::Request { sender, recipient, amount, asset } => {
                self.pairs[source.index()].leaf.own.consumed.add(value);
                if let Err(code) = self.receive(&recipient, amount, asset) {
                    let pair = &mut self.pairs[source.index()].leaf.own;
                    emitted.push(Receipt {
                        sequence: Sequence(pair.emitted()),
                        transaction: receipt.transaction,
                        kind: ReceiptKind::Bounce { recipient: sender, amount, asset, code },
                    });
                    pair.bounced.add(value);
                    bounced = Some(code);
                }
            }
            ReceiptKind::Bounce { recipient, amount, asset, .. } => {
                self.pairs[source.index()].leaf.own.returned.add(value);
                match asset {
                    // Its account exists, since it sent the request; if it did not, it would be opened all the same.
                    Asset::Native => self.credit(Account::key(&recipient), amount),
                    Asset::Token(issuer) => self
                        .hold(&recipient, &issuer, amount)
                        .expect("there are never more of a token than its cap, wherever they are"),
                }
            }
        }
        Applied { source, sequence: receipt.sequence, transaction: receipt.transaction, bounced }
    }

    /// Credits what a request brings, or says why it cannot be.
    fn receive(&mut self, recipient: &Address, amount: Amount, asset: Asset) -> Result<(), FailureCode> {
        match asset {
            Asset::Native => {
                let key = Account::key(recipient);
                let opened = || self.accounts.find(&key).and_then(|place| self.accounts.get(place)).is_some();
                if amount < self.account_minimum && !opened() {
                    return Err(FailureCode::BelowAccountMinimum);
                }
                self.credit(key, amount);
                Ok(())
            }
            // The sender paid for the leaf, whether there is one or not.
            Asset::Token(issuer) => self.hold(recipient, &issuer, amount),
        }
    }

    /// Adds to what somebody has of a token.
    fn hold(&mut self, owner: &Address, issuer: &Address, amount: Amount) -> Result<(), FailureCode> {
        let key = Holding::key(owner, issuer);
        let held = self.accounts.find(&key).and_then(|place| load::<Holding>(&self.accounts.value(place)));
        let mut held = held.unwrap_or_default();
        held.balance = held.balance.checked_add(amount.0).ok_or(FailureCode::Overflow)?;
        let place = self.accounts.place(&key);
        self.accounts.set_value(place, &store(&held));
        Ok(())
    }

    /// Burns what a transaction that executed paid for itself and for new leaves, and sends what leaves the shard.
    pub(super) fn settle(
        &mut self,
        id: TransactionId,
        transaction: &Transaction,
        ended: &Ended,
        outbox: &mut [Vec<Receipt>],
    ) {
        if matches!(ended.outcome, Outcome::Void(_)) {
            return;
        }
        let totals = &mut self.totals.leaf;
        let burned = transaction.fee.0 + ended.leaves * self.account_minimum.0;
        totals.supply.0 -= burned;
        totals.burned.0 += burned;
        let Some(Payment { recipient, asset, amount }) = transaction.action.payment() else { return };
        let destination = self.shards.of_prefix(recipient.prefix());
        if ended.outcome != Outcome::Success || destination == self.shard {
            return;
        }
        let pair = &mut self.pairs[destination.index()].leaf.own;
        let sender = transaction.sender.address();
        let kind = ReceiptKind::Request { sender, recipient, amount, asset };
        outbox[destination.index()].push(Receipt {
            sequence: Sequence(pair.emitted()),
            transaction: id,
            kind,
        });
        pair.sent.add(kind.value());
        totals.supply.0 -= kind.value().0;
    }
}
