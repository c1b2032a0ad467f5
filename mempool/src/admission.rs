//! Who may add what: expiry, duplicates, nonces, fee bonds and quotas. All of it is a hint to spare the order useless
//! transactions; nothing here ever refuses a peer's batch.

use std::collections::{BTreeMap, VecDeque};

use fresnel_types::{
    Address, ClientId, IdMap, RejectionCode, SignedTransaction, Timestamp, TransactionId, Verified,
    leaves::Account,
};

use crate::{Batching, limits::REMEMBERED_MAX};

/// A client's transaction, with what it is judged by.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its id.
    pub id: TransactionId,
    /// The address of its sender.
    pub sender: Address,
    /// The sender's account as last executed, if it was opened.
    pub account: Option<Account>,
    /// The transaction.
    pub signed: Verified<SignedTransaction>,
}

/// A pending transaction as the quotas know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) id: TransactionId,
    pub(crate) sender: Address,
    /// None after a restart.
    pub(crate) client: Option<ClientId>,
    pub(crate) fee: u64,
    pub(crate) bytes: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sender {
    count: usize,
    fees: u64,
}

/// How far a transaction that is refused as a duplicate has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Pending,
    Ordered,
}

/// What is pending.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    known: IdMap<TransactionId, Stage>,
    /// How many of them are pending.
    pending: usize,
    /// Bytes of these.
    pending_bytes: usize,
    /// Those that are ordered, oldest first.
    ordered: VecDeque<TransactionId>,
    senders: IdMap<Address, Sender>,
    clients: BTreeMap<ClientId, usize>,
}

/// The instant at which a transaction is judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Horizon {
    /// Valid until earlier is expired.
    pub(crate) earliest: Timestamp,
    /// Valid until later is too far ahead.
    pub(crate) latest: Timestamp,
    /// Whether what is admitted now would wait for too long.
    pub(crate) is_late: bool,
}

impl Admission {
    /// Admits a transaction of so many bytes or says why not.
    pub(crate) fn admit(
        &mut self,
        limits: &Batching,
        horizon: Horizon,
        client: ClientId,
        candidate: &Candidate,
        bytes: usize,
    ) -> Result<Member, RejectionCode> {
        let &Candidate { id, sender, account, ref signed } = candidate;
        let transaction = &signed.transaction;
        // Whatever else holds of it by now, who sends again what is here wants to hear how it goes on.
        if self.known.contains(&id) {
            return Err(RejectionCode::Duplicate);
        }
        if transaction.valid_until < horizon.earliest || transaction.valid_until > horizon.latest {
            return Err(RejectionCode::Expired);
        }
        let Some(account) = account else {
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
        let is_full =
            self.pending >= limits.pending_max || self.pending_bytes + bytes > limits.pending_bytes_max;
        if is_full || horizon.is_late {
            return Err(RejectionCode::Overloaded);
        }
        let member = Member { id, sender, client: Some(client), fee: transaction.fee.0, bytes };
        self.add(&member);
        Ok(member)
    }

    /// Counts a transaction without judging it.
    pub(crate) fn add(&mut self, member: &Member) {
        if self.known.insert(member.id, Stage::Pending) != Some(Stage::Pending) {
            self.pending += 1;
            self.pending_bytes += member.bytes;
        }
        let sender = self.senders.get_or_insert_with(member.sender, Sender::default);
        sender.count += 1;
        sender.fees = sender.fees.saturating_add(member.fee);
        if let Some(client) = member.client {
            *self.clients.entry(client).or_default() += 1;
        }
    }

    /// A pending transaction is ordered: its places are free, its id is remembered for a while.
    pub(crate) fn release(&mut self, member: &Member) {
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
        if self.known.get(&member.id) == Some(&Stage::Pending) {
            self.pending -= 1;
            self.pending_bytes -= member.bytes;
        }
        self.remember(member.id);
    }

    /// Refuses a transaction, which is ordered and not pending, for a while.
    pub(crate) fn remember(&mut self, transaction: TransactionId) {
        if self.known.insert(transaction, Stage::Ordered) == Some(Stage::Ordered) {
            return;
        }
        self.ordered.push_back(transaction);
        if self.ordered.len() > REMEMBERED_MAX {
            let oldest = self.ordered.pop_front().expect("just filled");
            // After a restart an own batch may hold once more what is ordered: then it is pending.
            if self.known.get(&oldest) == Some(&Stage::Ordered) {
                self.known.remove(&oldest);
            }
        }
    }

    /// Transactions admitted and not ordered.
    pub(crate) fn pending(&self) -> usize {
        self.pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// D3.
    #[test]
    fn ids_of_what_is_ordered_are_remembered_within_bounds_the_latest_ones() {
        let id = |number: usize| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&number.to_be_bytes());
            TransactionId(id)
        };
        let mut admission = Admission::default();
        let more = 1_000;
        (0..REMEMBERED_MAX + more).for_each(|number| admission.remember(id(number)));
        let known = |number| admission.known.contains(&id(number));
        assert!((0..more).all(|number| !known(number)));
        assert!((more..REMEMBERED_MAX + more).all(known));
        assert_eq!(admission.ordered.len(), REMEMBERED_MAX);
    }
}
