//! Who may add what: expiry, duplicates, nonces, fee bonds and quotas. All of it is a hint to spare the order useless
//! transactions; nothing here ever refuses a peer's batch.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fresnel_types::{
    Address, ClientId, RejectionCode, Timestamp, Transaction, TransactionId, leaves::Account,
};

use crate::{Batching, limits::REMEMBERED_MAX};

/// A pending transaction as the quotas know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) id: TransactionId,
    pub(crate) sender: Address,
    /// None after a restart.
    pub(crate) client: Option<ClientId>,
    pub(crate) fee: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sender {
    count: usize,
    fees: u64,
}

/// What is pending.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    pending: BTreeSet<TransactionId>,
    senders: BTreeMap<Address, Sender>,
    clients: BTreeMap<ClientId, usize>,
    ordered: BTreeSet<TransactionId>,
    /// The same, oldest first.
    ordered_queue: VecDeque<TransactionId>,
}

/// The instant at which a transaction is judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Horizon {
    /// Valid until earlier is expired.
    pub(crate) earliest: Timestamp,
    /// Valid until later is too far ahead.
    pub(crate) latest: Timestamp,
}

impl Admission {
    /// Admits a transaction or says why not.
    pub(crate) fn admit(
        &mut self,
        limits: &Batching,
        horizon: Horizon,
        client: ClientId,
        transaction: &Transaction,
        account: &dyn Fn(&Address) -> Option<Account>,
    ) -> Result<Member, RejectionCode> {
        if transaction.valid_until < horizon.earliest || transaction.valid_until > horizon.latest {
            return Err(RejectionCode::Expired);
        }
        let id = transaction.id();
        if self.pending.contains(&id) || self.ordered.contains(&id) {
            return Err(RejectionCode::Duplicate);
        }
        let sender = transaction.sender.address();
        let Some(account) = account(&sender) else {
            return Err(RejectionCode::Unfunded);
        };
        if !account.accepts(transaction.nonce) {
            return Err(RejectionCode::Nonce);
        }
        let bond = self.senders.get(&sender).copied().unwrap_or_default();
        let fees = bond.fees.checked_add(transaction.fee.0).filter(|fees| *fees <= account.balance.0);
        if fees.is_none() {
            return Err(RejectionCode::Unfunded);
        }
        if bond.count >= limits.pending_per_sender_max
            || self.clients.get(&client).is_some_and(|count| *count >= limits.pending_per_client_max)
        {
            return Err(RejectionCode::Quota);
        }
        if self.pending.len() >= limits.pending_max {
            return Err(RejectionCode::Overloaded);
        }
        let member = Member { id, sender, client: Some(client), fee: transaction.fee.0 };
        self.add(&member);
        Ok(member)
    }

    /// Counts a transaction without judging it.
    pub(crate) fn add(&mut self, member: &Member) {
        self.pending.insert(member.id);
        let sender = self.senders.entry(member.sender).or_default();
        sender.count += 1;
        sender.fees = sender.fees.saturating_add(member.fee);
        if let Some(client) = member.client {
            *self.clients.entry(client).or_default() += 1;
        }
    }

    /// A pending transaction is ordered: its places are free, its id is remembered for a while.
    pub(crate) fn release(&mut self, member: &Member) {
        self.pending.remove(&member.id);
        if let Some(sender) = self.senders.get_mut(&member.sender) {
            sender.count -= 1;
            sender.fees = sender.fees.saturating_sub(member.fee);
            if sender.count == 0 {
                self.senders.remove(&member.sender);
            }
        }
        if let Some(client) = member.client
            && let Some(count) = self.clients.get_mut(&client)
        {
            *count -= 1;
            if *count == 0 {
                self.clients.remove(&client);
            }
        }
        self.remember(member.id);
    }

    /// Refuses a transaction, which is ordered, for a while.
    pub(crate) fn remember(&mut self, transaction: TransactionId) {
        if self.ordered.insert(transaction) {
            self.ordered_queue.push_back(transaction);
            if self.ordered_queue.len() > REMEMBERED_MAX {
                let oldest = self.ordered_queue.pop_front().expect("just filled");
                self.ordered.remove(&oldest);
            }
        }
    }

    /// Transactions admitted and not ordered.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }
}
