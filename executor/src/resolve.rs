//! What of a batch can be done before its block: hashing its transactions and finding its accounts.
//!
//! Both cost several times what the transfer itself costs, and neither depends on what accounts hold. A place once
//! found stays right for good; an account that was not there then is looked for again when the block executes.

use std::sync::Arc;

use fresnel_types::{
    Action, Address, ShardId, Shards, SignedTransaction, StateKey, TransactionId, leaves::Account,
};

use crate::{
    slots::{Place, UNKNOWN},
    table::Directory,
};

/// Resolves batches for the executor that it came from, also while that executes.
#[derive(Clone)]
pub struct Resolver {
    shard: ShardId,
    shards: Shards,
    directory: Arc<Directory>,
}

/// The transactions of a batch with their ids and the places of their accounts.
pub struct ResolvedBatch {
    directory: Arc<Directory>,
    pub(crate) operations: Vec<Operation>,
    /// The accounts that had no place.
    pub(crate) missing: Vec<Missing>,
}

/// A transaction's id and the places of its accounts.
#[derive(Clone, Copy)]
pub(crate) struct Operation {
    pub(crate) id: TransactionId,
    pub(crate) sender: Place,
    /// [`UNKNOWN`] also when the recipient is in another shard.
    pub(crate) recipient: Place,
}

/// A key without a place when its batch was resolved.
pub(crate) struct Missing {
    pub(crate) key: StateKey,
    pub(crate) operation: usize,
    pub(crate) role: Role,
}

/// Whose key it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Sender,
    Recipient,
}

impl Resolver {
    pub(crate) fn new(shard: ShardId, shards: Shards, directory: Arc<Directory>) -> Self {
        Self { shard, shards, directory }
    }

    /// Hashes the transactions of a batch and finds the places of their accounts.
    pub fn resolve(&self, batch: &[SignedTransaction]) -> ResolvedBatch {
        let mut operations = Vec::with_capacity(batch.len());
        let mut keys = Vec::with_capacity(2 * batch.len());
        for SignedTransaction { transaction, .. } in batch {
            operations.push(Operation { id: transaction.id(), sender: UNKNOWN, recipient: UNKNOWN });
            keys.push(Account::key(&transaction.sender.address()));
            keys.extend(self.local_recipient(&transaction.action).map(|owner| Account::key(&owner)));
        }
        let mut places = Vec::with_capacity(keys.len());
        self.directory.find_all(&keys, &mut places);
        let mut missing = Vec::new();
        let mut found = keys.iter().zip(places);
        for (number, (operation, signed)) in operations.iter_mut().zip(batch).enumerate() {
            let mut take = |role| {
                let (key, place) = found.next().expect("each transaction asked for its own keys");
                if place == UNKNOWN {
                    missing.push(Missing { key: *key, operation: number, role });
                }
                place
            };
            operation.sender = take(Role::Sender);
            if self.local_recipient(&signed.transaction.action).is_some() {
                operation.recipient = take(Role::Recipient);
            }
        }
        ResolvedBatch { directory: self.directory.clone(), operations, missing }
    }

    fn local_recipient(&self, action: &Action) -> Option<Address> {
        let Action::Transfer { recipient, .. } = action else { return None };
        (self.shards.of_prefix(recipient.prefix()) == self.shard).then_some(*recipient)
    }
}

impl ResolvedBatch {
    /// Whether the places are those of this directory.
    pub(crate) fn is_of(&self, directory: &Arc<Directory>) -> bool {
        Arc::ptr_eq(&self.directory, directory)
    }
}
