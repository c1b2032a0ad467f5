//! Making and signing transactions.

use fresnel_crypto::SigningKey;
use fresnel_types::{
    Action, Address, Amount, ChainId, Nonce, PublicKey, ShardId, Shards, SignedTransaction, Timestamp,
    Transaction, leaves::Account, limits::NONCE_WINDOW,
};

/// A key with the chain on which it signs. Knows no nonces: which are free shows in the account.
#[derive(Clone, Debug)]
pub struct Wallet {
    key: SigningKey,
    public: PublicKey,
    address: Address,
    chain: ChainId,
}

impl Wallet {
    /// A wallet that signs for `chain`.
    pub fn new(chain: ChainId, key: SigningKey) -> Self {
        let public = PublicKey::of(&key);
        Self { key, public, address: public.address(), chain }
    }

    /// Its account.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Its public key.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// The shard in which its account lives; transactions go to workers of this shard.
    pub fn shard(&self, shards: Shards) -> ShardId {
        shards.of_prefix(self.address.prefix())
    }

    /// A signed transfer. `nonce` is any one that the account accepts.
    pub fn transfer(
        &self,
        nonce: Nonce,
        recipient: Address,
        amount: Amount,
        fee: Amount,
        valid_until: Timestamp,
    ) -> SignedTransaction {
        self.sign(nonce, Action::Transfer { recipient, amount }, fee, valid_until)
    }

    /// A signed transaction that does anything.
    pub fn sign(
        &self,
        nonce: Nonce,
        action: Action,
        fee: Amount,
        valid_until: Timestamp,
    ) -> SignedTransaction {
        self.unsigned(nonce, action, fee, valid_until).sign(&self.key)
    }

    /// The same before it is signed.
    pub fn unsigned(&self, nonce: Nonce, action: Action, fee: Amount, valid_until: Timestamp) -> Transaction {
        Transaction { chain: self.chain, sender: self.public, nonce, fee, valid_until, action }
    }
}

/// The lowest nonces that `account` accepts, at most `count` and at most what its window has left.
pub(crate) fn free_nonces(account: &Account, count: usize) -> Vec<Nonce> {
    (account.nonce_base..account.nonce_base.saturating_add(NONCE_WINDOW))
        .map(Nonce)
        .filter(|&nonce| account.accepts(nonce))
        .take(count)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_is_signed_for_the_chain_by_the_sender() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let wallet = Wallet::new(ChainId([1; 32]), key.clone());
        let signed = wallet.transfer(Nonce(3), Address([9; 32]), Amount(5), Amount(1), Timestamp(8));
        assert_eq!(signed, signed.transaction.clone().sign(&key));
        assert_eq!(signed.transaction.sender.address(), wallet.address());
        assert_eq!((signed.transaction.chain, signed.transaction.nonce), (ChainId([1; 32]), Nonce(3)));
    }

    #[test]
    fn free_nonces_skip_the_used_ones() {
        let mut account = Account::default();
        for nonce in [0, 1, 3] {
            account.burn(Nonce(nonce));
        }
        assert_eq!(free_nonces(&account, 3), [Nonce(2), Nonce(4), Nonce(5)]);
        assert_eq!(free_nonces(&account, 1_000).len(), 63);
    }
}
