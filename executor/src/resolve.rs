//! What of a batch can be done before its block: hashing its transactions and finding the places of what they use.
//!
//! Both cost several times what a transfer itself costs, and neither depends on what stands at the places. A place once
//! found stays right for good; what was not there then is looked for again when the block executes.

use std::sync::Arc;

use fresnel_types::{
    Address, ShardId, Shards, SignedTransaction, StateKey, TransactionId,
    identities::{Unsigned, addresses, state_keys},
    leaves::Account,
};

use crate::{
    programs::{self, Use},
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

/// The transactions of a batch with their ids and the places that they use.
pub struct ResolvedBatch {
    directory: Arc<Directory>,
    pub(crate) ids: Vec<TransactionId>,
    /// The places of all transactions, those of each in the order in which its program asks for them, that of the sender's
    /// account first. [`UNKNOWN`] for what is in another shard.
    pub(crate) places: Vec<Place>,
    /// Per transaction, where its places end.
    pub(crate) ends: Vec<u32>,
    /// What had no place.
    pub(crate) missing: Vec<Missing>,
}

/// A key without a place when its batch was resolved.
pub(crate) struct Missing {
    pub(crate) key: StateKey,
    /// Where in the places of the batch.
    pub(crate) at: usize,
    pub(crate) opens: bool,
}

/// What the transactions of a batch use, collected so that it is hashed and looked up together.
#[derive(Default)]
pub(crate) struct Wanted {
    /// Of accounts only in the end.
    keys: Vec<StateKey>,
    uses: Vec<Use>,
    /// Whose accounts are among them, and where.
    owners: Vec<Address>,
    accounts: Vec<usize>,
}

impl Wanted {
    /// A transaction uses the account of `owner`.
    pub(crate) fn account(&mut self, owner: &Address, with: Use) {
        if with != Use::Elsewhere {
            self.owners.push(*owner);
            self.accounts.push(self.keys.len());
        }
        self.keys.push(StateKey::default());
        self.uses.push(with);
    }

    /// A transaction uses a leaf.
    pub(crate) fn leaf(&mut self, with: Use, key: impl FnOnce() -> StateKey) {
        self.keys.push(if with == Use::Elsewhere { StateKey::default() } else { key() });
        self.uses.push(with);
    }

    fn hash_accounts(&mut self) {
        let keys = state_keys(&self.owners, Account::NAME);
        for (at, key) in self.accounts.iter().zip(keys) {
            self.keys[*at] = key;
        }
    }
}

impl Resolver {
    pub(crate) fn new(shard: ShardId, shards: Shards, directory: Arc<Directory>) -> Self {
        Self { shard, shards, directory }
    }

    /// Hashes the transactions of a batch and finds the places that they use.
    pub fn resolve(&self, batch: &[SignedTransaction]) -> ResolvedBatch {
        let ids = Unsigned::of(batch.iter().map(|signed| &signed.transaction)).ids();
        let senders = addresses(batch.iter().map(|signed| &signed.transaction.sender));
        let mut ends = Vec::with_capacity(batch.len());
        let mut wanted = Wanted::default();
        wanted.keys.reserve(2 * batch.len());
        wanted.uses.reserve(2 * batch.len());
        let is_local = |owner: &Address| self.shards.of_prefix(owner.prefix()) == self.shard;
        for (SignedTransaction { transaction, .. }, sender) in batch.iter().zip(&senders) {
            wanted.account(sender, Use::Finds);
            programs::uses(&transaction.action, sender, is_local, &mut wanted);
            ends.push(u32::try_from(wanted.keys.len()).expect("a batch has few bytes, each key some"));
        }
        wanted.hash_accounts();
        let mut places = Vec::with_capacity(wanted.keys.len());
        self.directory.find_all(&wanted.keys, &mut places);
        let mut missing = Vec::new();
        for (at, (place, with)) in places.iter_mut().zip(&wanted.uses).enumerate() {
            match with {
                Use::Elsewhere => *place = UNKNOWN,
                Use::Finds | Use::Opens if *place == UNKNOWN => {
                    missing.push(Missing { key: wanted.keys[at], at, opens: *with == Use::Opens });
                }
                Use::Finds | Use::Opens => {}
            }
        }
        ResolvedBatch { directory: self.directory.clone(), ids, places, ends, missing }
    }
}

impl ResolvedBatch {
    /// Whether the places are those of this directory.
    pub(crate) fn is_of(&self, directory: &Arc<Directory>) -> bool {
        Arc::ptr_eq(&self.directory, directory)
    }

    /// The transactions: their ids and places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (TransactionId, &[Place])> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let places = starts.zip(&self.ends).map(|(start, end)| &self.places[start as usize..*end as usize]);
        self.ids.iter().copied().zip(places)
    }
}
