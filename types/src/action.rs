//! What transactions do: one action each, of one of the programs that every shard runs.
//!
//! An action touches only what owners of the sender's shard have. A payment to an owner elsewhere leaves as a receipt;
//! whatever else names another shard fails with [`FailureCode::WrongShard`](crate::FailureCode::WrongShard). Whoever
//! makes a leaf that is no account burns the genesis' account minimum beside the fee, so that state costs something
//! whatever it holds; who pays tokens to another shard burns it always, since a leaf may be made there.

use serde::{Deserialize, Serialize, de::Error};
use wincode::{SchemaRead, SchemaWrite};

use crate::{
    Address, Amount,
    limits::{KV_BYTES_MAX, KV_NAME_BYTES_MAX, KV_OPERATIONS_MAX, KV_VALUE_BYTES_MAX},
};

/// What a transaction does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Moves `amount` from the sender to `recipient`, in any shard.
    Transfer {
        /// Who receives.
        recipient: Address,
        /// How much, at least 1.
        amount: Amount,
    },
    /// Reads and writes named values, all or none, in order; at least one operation.
    Kv(Vec<KvOperation>),
    /// A procedure of the bank.
    Bank(BankAction),
    /// Something about tokens.
    Token(TokenAction),
}

/// One step of [`Action::Kv`]. A value belongs to an owner of the sender's shard, by default to the sender. Anybody reads
/// it; others than the owner change it only while it is shared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "snake_case")]
pub enum KvOperation {
    /// Fails unless there is a value.
    Read {
        /// Whose value.
        owner: Option<Address>,
        /// Which.
        name: Bytes,
    },
    /// Writes a value. Only its owner makes a new one.
    Put {
        /// Whose value.
        owner: Option<Address>,
        /// Which.
        name: Bytes,
        /// What it will be.
        value: Bytes,
        /// Whether others may change it from now on; only the owner's word counts.
        shared: bool,
    },
    /// Reads a value of 8 bytes as a little-endian number, and writes the number plus `amount`.
    Add {
        /// Whose value.
        owner: Option<Address>,
        /// Which.
        name: Bytes,
        /// How much more.
        amount: u64,
    },
}

/// The six procedures of SmallBank (Alomari, Cahill, Fekete and Röhm: The Cost of Serializability on Platforms That Use
/// Snapshot Isolation, ICDE 2008). A customer's checking account is the account itself; savings stand in a leaf beside it.
/// Where the original makes or destroys money, here it comes from or goes to an account, and nothing falls below zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "snake_case")]
pub enum BankAction {
    /// Reads both accounts of a customer.
    Balance {
        /// Whose.
        customer: Address,
    },
    /// Pays cash of the sender into a customer's checking account.
    DepositChecking {
        /// Whose.
        customer: Address,
        /// How much, at least 1.
        amount: Amount,
    },
    /// Moves money between the sender's checking account and savings.
    TransactSavings {
        /// How much, at least 1.
        amount: Amount,
        /// Out of the savings rather than into them.
        withdraw: bool,
    },
    /// Moves all that the sender has in both accounts to another customer's checking account.
    Amalgamate {
        /// Whose.
        recipient: Address,
    },
    /// Pays another customer from the sender's checking account. What that lacks comes from the savings, at a penalty of 1,
    /// which the payee gets.
    WriteCheck {
        /// Whom.
        recipient: Address,
        /// How much, at least 1.
        amount: Amount,
    },
    /// Moves money from the sender's checking account to that of another customer, in any shard.
    SendPayment {
        /// Whom.
        recipient: Address,
        /// How much, at least 1.
        amount: Amount,
    },
}

/// What can be done with tokens. An owner can have one token made, which is named by that owner's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "snake_case")]
pub enum TokenAction {
    /// Makes the sender's token; there is none of it yet.
    Create {
        /// How many there may ever be, at least 1.
        cap: u64,
        /// Whether anybody of the issuer's shard mints, rather than the issuer alone.
        open: bool,
    },
    /// Gives the sender new ones and the number of this minting.
    Mint {
        /// By its issuer.
        token: Address,
        /// How many, at least 1.
        amount: u64,
    },
    /// Moves some of the sender's to `recipient`, in any shard.
    Transfer {
        /// By its issuer.
        token: Address,
        /// Who receives.
        recipient: Address,
        /// How many, at least 1.
        amount: u64,
    },
}

/// What a payment is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "snake_case")]
pub enum Asset {
    /// The native asset.
    Native,
    /// A token, by its issuer.
    Token(Address),
}

/// What an action moves to somebody who may be in another shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payment {
    /// To whom.
    pub recipient: Address,
    /// Of what.
    pub asset: Asset,
    /// How much.
    pub amount: Amount,
}

impl Action {
    /// What it moves to somebody who may be in another shard, if it is of that kind.
    pub fn payment(&self) -> Option<Payment> {
        match *self {
            Self::Transfer { recipient, amount }
            | Self::Bank(BankAction::SendPayment { recipient, amount }) => {
                Some(Payment { recipient, asset: Asset::Native, amount })
            }
            Self::Token(TokenAction::Transfer { token, recipient, amount }) => {
                Some(Payment { recipient, asset: Asset::Token(token), amount: Amount(amount) })
            }
            Self::Kv(_) | Self::Bank(_) | Self::Token(_) => None,
        }
    }

    /// Whether it keeps within the limits that its bytes alone decide.
    pub fn is_well_formed(&self) -> bool {
        match self {
            Self::Transfer { amount, .. }
            | Self::Bank(
                BankAction::DepositChecking { amount, .. }
                | BankAction::TransactSavings { amount, .. }
                | BankAction::WriteCheck { amount, .. }
                | BankAction::SendPayment { amount, .. },
            ) => amount.0 > 0,
            Self::Bank(BankAction::Balance { .. } | BankAction::Amalgamate { .. }) => true,
            Self::Token(
                TokenAction::Create { cap: amount, .. }
                | TokenAction::Mint { amount, .. }
                | TokenAction::Transfer { amount, .. },
            ) => *amount > 0,
            Self::Kv(operations) => {
                (1..=KV_OPERATIONS_MAX).contains(&operations.len())
                    && operations.iter().all(KvOperation::is_well_formed)
                    && operations.iter().map(KvOperation::bytes).sum::<usize>() <= KV_BYTES_MAX
            }
        }
    }
}

impl KvOperation {
    /// Whose value, if not the sender's.
    pub fn owner(&self) -> Option<Address> {
        match self {
            Self::Read { owner, .. } | Self::Put { owner, .. } | Self::Add { owner, .. } => *owner,
        }
    }

    /// Of which name.
    pub fn name(&self) -> &[u8] {
        match self {
            Self::Read { name, .. } | Self::Put { name, .. } | Self::Add { name, .. } => &name.0,
        }
    }

    fn is_well_formed(&self) -> bool {
        let fits = match self {
            Self::Put { value, .. } => value.0.len() <= KV_VALUE_BYTES_MAX,
            Self::Read { .. } | Self::Add { .. } => true,
        };
        fits && (1..=KV_NAME_BYTES_MAX).contains(&self.name().len())
    }

    fn bytes(&self) -> usize {
        self.name().len()
            + match self {
                Self::Put { value, .. } => value.0.len(),
                Self::Read { .. } | Self::Add { .. } => 0,
            }
    }
}

/// Any bytes; hex where people read them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, SchemaRead, SchemaWrite)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        hex::decode(String::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(name: usize, value: usize) -> KvOperation {
        KvOperation::Put {
            owner: None,
            name: Bytes(vec![1; name]),
            value: Bytes(vec![2; value]),
            shared: false,
        }
    }

    #[test]
    fn limits_are_where_they_are_said_to_be() {
        let well = |operations: &[KvOperation]| Action::Kv(operations.to_vec()).is_well_formed();
        assert!(!well(&[]));
        assert!(!well(&[put(0, 1)]));
        assert!(well(&[put(KV_NAME_BYTES_MAX, KV_VALUE_BYTES_MAX)]));
        assert!(well(&[put(1, 0)]), "an empty value is one");
        assert!(!well(&[put(KV_NAME_BYTES_MAX + 1, 1)]));
        assert!(!well(&[put(1, KV_VALUE_BYTES_MAX + 1)]));
        assert!(well(&vec![put(1, 1); KV_OPERATIONS_MAX]));
        assert!(!well(&vec![put(1, 1); KV_OPERATIONS_MAX + 1]));
        let quarter = KV_BYTES_MAX / 4;
        assert!(well(&vec![put(24, quarter - 24); 4]));
        assert!(!well(&[
            put(24, quarter - 24),
            put(24, quarter - 24),
            put(24, quarter - 24),
            put(25, quarter - 24)
        ]));
    }

    #[test]
    fn nothing_moves_nothing() {
        let (one, recipient) = (Amount(1), Address([1; 32]));
        let zero = Amount(0);
        let bad = [
            Action::Transfer { recipient, amount: zero },
            Action::Bank(BankAction::DepositChecking { customer: recipient, amount: zero }),
            Action::Bank(BankAction::TransactSavings { amount: zero, withdraw: true }),
            Action::Bank(BankAction::WriteCheck { recipient, amount: zero }),
            Action::Bank(BankAction::SendPayment { recipient, amount: zero }),
            Action::Token(TokenAction::Create { cap: 0, open: true }),
            Action::Token(TokenAction::Mint { token: recipient, amount: 0 }),
            Action::Token(TokenAction::Transfer { token: recipient, recipient, amount: 0 }),
        ];
        assert!(bad.iter().all(|action| !action.is_well_formed()));
        let paid = Action::Bank(BankAction::SendPayment { recipient, amount: one }).payment();
        assert_eq!(paid, Some(Payment { recipient, asset: Asset::Native, amount: one }));
        assert_eq!(Action::Bank(BankAction::WriteCheck { recipient, amount: one }).payment(), None);
    }
}
