//! Transactions: what a sender signs, and every way in which one can end.

use fresnel_crypto::SigningKey;
use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use crate::{
    Action, Amount, ChainId, Nonce, PublicKey, Signature, Timestamp, TransactionId, codec,
    hash::{Domain, hash},
};

/// An unsigned transaction.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Transaction {
    /// The chain it is for.
    pub chain: ChainId,
    /// Whose account pays; its address names the shard.
    pub sender: PublicKey,
    /// Any number in the account's window not used before.
    pub nonce: Nonce,
    /// Burned when the transaction executes, whatever its outcome.
    pub fee: Amount,
    /// Void in blocks that open after this instant of commit time.
    pub valid_until: Timestamp,
    /// What it does.
    pub action: Action,
}

impl Transaction {
    /// Its identity: a hash of the unsigned bytes.
    pub fn id(&self) -> TransactionId {
        TransactionId(hash(Domain::Transaction, &[&codec::encode(self)]))
    }

    /// Signs it.
    pub fn sign(self, key: &SigningKey) -> SignedTransaction {
        let signature = Signature(key.sign(&self.signing_digest()));
        SignedTransaction { transaction: self, signature }
    }

    /// What the signature covers: kind and chain are bound by the domain and the first field.
    pub fn signing_digest(&self) -> [u8; 32] {
        hash(Domain::TransactionSignature, &[&codec::encode(self)])
    }
}

/// A transaction with its sender's signature, not necessarily a good one.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct SignedTransaction {
    /// What was signed.
    pub transaction: Transaction,
    /// By `transaction.sender`.
    pub signature: Signature,
}

/// Why an executed transaction had no effect beyond its fee and nonce.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, SchemaRead, SchemaWrite,
)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The balance after the fee does not cover the amount.
    InsufficientBalance,
    /// The credit would open an account below the genesis' minimum.
    BelowAccountMinimum,
    /// Too much towards the destination shard is not yet settled.
    WindowFull,
    /// It needs something of an owner in another shard, which no receipt brings.
    WrongShard,
    /// What it needs is not there.
    Missing,
    /// What it makes is there already.
    Exists,
    /// The sender may not.
    Forbidden,
    /// A sum would be more than there may be.
    Overflow,
    /// The value is no number of 8 bytes.
    WrongKind,
}

/// How an executed transaction ended. Final once its record is certified; never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It did what it says in its own shard; what it owes elsewhere left as a receipt.
    Success,
    /// It paid its fee and used its nonce.
    Failed(FailureCode),
    /// It left no trace: expired, nonce used or outside the window, fee not covered. Nothing was paid.
    Void(VoidCode),
}

/// Why an ordered transaction was not executed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, SchemaRead, SchemaWrite,
)]
#[serde(rename_all = "snake_case")]
pub enum VoidCode {
    /// `valid_until` passed before its block opened.
    Expired,
    /// The nonce is used already or outside the account's window.
    Nonce,
    /// The balance does not cover the fee.
    Fee,
}

/// Why a worker refuses a transaction at its door. Nothing about it was recorded.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, SchemaRead, SchemaWrite,
)]
#[serde(rename_all = "snake_case")]
pub enum RejectionCode {
    /// Not a transaction: an amount is zero, a limit is exceeded, or the key is of small order.
    Malformed,
    /// Signed for another chain.
    WrongChain,
    /// The sender's account lives in another shard.
    WrongShard,
    /// The signature does not verify.
    BadSignature,
    /// `valid_until` has passed or is too far ahead.
    Expired,
    /// The nonce is used already or outside the account's window.
    Nonce,
    /// The same transaction is known already.
    Duplicate,
    /// The account's balance does not cover its pending fees.
    Unfunded,
    /// Too many transactions of this sender or connection are pending.
    Quota,
    /// The worker is full; try again later or elsewhere.
    Overloaded,
}

impl RejectionCode {
    /// Whether the same bytes may be taken later.
    pub fn retry_helps(self) -> bool {
        matches!(self, Self::Nonce | Self::Unfunded | Self::Quota | Self::Overloaded)
    }
}
