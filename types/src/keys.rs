//! Public keys, signatures and addresses.

use fresnel_crypto::SigningKey;

use crate::hash::{Domain, hash, hex_bytes};

hex_bytes! {
    /// An ed25519 public key, compressed. Any 32 bytes; whether they are a point shows when a signature is checked.
    PublicKey, 32
}
hex_bytes! {
    /// An ed25519 signature, `R ‖ s`.
    Signature, 64
}
hex_bytes! {
    /// An account: the hash of its public key. Its top bits name its shard.
    Address, 32
}

impl PublicKey {
    /// The public half of `key`.
    pub fn of(key: &SigningKey) -> Self {
        Self(key.public())
    }

    /// The account that this key controls.
    pub fn address(&self) -> Address {
        Address(hash(Domain::Address, &[&self.0]))
    }
}

impl Address {
    /// The bytes that place the account in a shard and its state in the tree.
    pub fn prefix(&self) -> [u8; 4] {
        [self.0[0], self.0[1], self.0[2], self.0[3]]
    }
}
