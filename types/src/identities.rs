//! The hashes of many things at once: where a whole batch is at hand, all its ids, digests or addresses cost a
//! fraction of what they cost one by one, and are the same.

use crate::{
    Address, PublicKey, StateKey, Transaction, TransactionId, codec,
    hash::{Domain, hash_all},
};

/// The unsigned bytes of transactions, which their ids and their signing digests are hashes of.
#[derive(Clone, Debug, Default)]
pub struct Unsigned {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Unsigned {
    /// The bytes of these transactions.
    pub fn of<'a>(transactions: impl IntoIterator<Item = &'a Transaction>) -> Self {
        let mut unsigned = Self::default();
        for transaction in transactions {
            codec::encode_into(&mut unsigned.bytes, transaction);
            unsigned.ends.push(unsigned.bytes.len());
        }
        unsigned
    }

    /// The id of each.
    pub fn ids(&self) -> Vec<TransactionId> {
        hash_all(Domain::Transaction, &self.each()).into_iter().map(TransactionId).collect()
    }

    /// What the signature of each covers.
    pub fn signing_digests(&self) -> Vec<[u8; 32]> {
        hash_all(Domain::TransactionSignature, &self.each())
    }

    fn each(&self) -> Vec<&[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end]).collect()
    }
}

/// The accounts that `keys` control.
pub fn addresses<'a>(keys: impl IntoIterator<Item = &'a PublicKey>) -> Vec<Address> {
    let keys: Vec<&[u8]> = keys.into_iter().map(|key| key.0.as_slice()).collect();
    hash_all(Domain::Address, &keys).into_iter().map(Address).collect()
}

/// The places of `name` among what each of `owners` has.
pub fn state_keys(owners: &[Address], name: &[u8]) -> Vec<StateKey> {
    let length = size_of::<Address>() + name.len();
    let mut bytes = Vec::with_capacity(length * owners.len());
    for owner in owners {
        bytes.extend(owner.0);
        bytes.extend(name);
    }
    let inputs: Vec<&[u8]> = bytes.chunks_exact(length).collect();
    let hashes = hash_all(Domain::StateKey, &inputs);
    owners.iter().zip(hashes).map(|(owner, hash)| StateKey::within(owner, hash)).collect()
}

#[cfg(test)]
mod tests {
    use fresnel_crypto::SigningKey;

    use super::*;
    use crate::{Action, Amount, ChainId, Nonce, Timestamp, leaves::Account};

    #[test]
    fn many_at_once_are_what_each_is_alone() {
        let transactions: Vec<Transaction> = (0..50)
            .map(|number| Transaction {
                chain: ChainId([1; 32]),
                sender: PublicKey::of(&SigningKey::from_bytes(&[number; 32])),
                nonce: Nonce(u64::from(number)),
                fee: Amount(1),
                valid_until: Timestamp(9),
                action: Action::Transfer { recipient: Address([number; 32]), amount: Amount(2) },
            })
            .collect();
        let unsigned = Unsigned::of(&transactions);
        let alone: Vec<_> = transactions.iter().map(Transaction::id).collect();
        assert_eq!(unsigned.ids(), alone);
        let alone: Vec<_> = transactions.iter().map(Transaction::signing_digest).collect();
        assert_eq!(unsigned.signing_digests(), alone);
        let owners = addresses(transactions.iter().map(|transaction| &transaction.sender));
        assert!(owners.iter().zip(&transactions).all(|(owner, one)| *owner == one.sender.address()));
        let keys = state_keys(&owners, Account::NAME);
        assert!(keys.iter().zip(&owners).all(|(key, owner)| *key == Account::key(owner)));
        assert!(Unsigned::of([]).ids().is_empty() && state_keys(&[], b"name").is_empty());
    }
}
