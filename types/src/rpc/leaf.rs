//! What programs keep beside accounts, as callers name it and as it is shown to them.

use serde::{Deserialize, Serialize};

use super::{ProofFile, ReadLevel, text};
use crate::{
    Address, Amount, BlockIndex, ShardId, StateKey, StateRoot,
    action::Bytes,
    commit::Certified,
    leaves::{Holding, InWords, Savings, Token, Value},
};

/// A leaf by what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LeafName {
    /// A named value.
    Value {
        /// Whose.
        owner: Address,
        /// Which.
        name: Bytes,
    },
    /// A customer's savings.
    Savings {
        /// Whose.
        owner: Address,
    },
    /// A token.
    Token {
        /// By its issuer.
        issuer: Address,
    },
    /// What somebody has of a token.
    Holding {
        /// Whose.
        owner: Address,
        /// By its issuer.
        issuer: Address,
    },
}

/// What a leaf says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeafInfo {
    /// A named value.
    Value {
        /// What it is.
        hex: Bytes,
        /// Whether others than the owner may change it.
        shared: bool,
    },
    /// A customer's savings.
    Savings {
        /// How much.
        #[serde(with = "text")]
        balance: Amount,
    },
    /// A token.
    Token {
        /// How many there are.
        #[serde(with = "text")]
        minted: Amount,
        /// How many there may ever be.
        #[serde(with = "text")]
        cap: Amount,
        /// Mintings so far.
        mintings: u64,
        /// Whether anybody of the issuer's shard mints.
        open: bool,
    },
    /// What somebody has of a token.
    Holding {
        /// How many.
        #[serde(with = "text")]
        balance: Amount,
        /// The number of the last minting that gave some to this holder, plus 1; 0 if none did.
        minting: u64,
    },
}

impl LeafName {
    /// Where it stands.
    pub fn key(&self) -> StateKey {
        match self {
            Self::Value { owner, name } => Value::key(owner, &name.0),
            Self::Savings { owner } => Savings::key(owner),
            Self::Token { issuer } => Token::key(issuer),
            Self::Holding { owner, issuer } => Holding::key(owner, issuer),
        }
    }

    /// What the bytes under its key say, if they are of its kind.
    pub fn read(&self, leaf: &[u8]) -> Option<LeafInfo> {
        match self {
            Self::Value { .. } => Value::from_leaf(leaf)
                .map(|Value { shared, bytes }| LeafInfo::Value { hex: Bytes(bytes), shared }),
            Self::Savings { .. } => {
                Savings::from_leaf(leaf).map(|Savings { balance }| LeafInfo::Savings { balance })
            }
            Self::Token { .. } => Token::from_leaf(leaf).map(|Token { minted, cap, mintings, open }| {
                LeafInfo::Token { minted: Amount(minted), cap: Amount(cap), mintings, open }
            }),
            Self::Holding { .. } => Holding::from_leaf(leaf)
                .map(|Holding { balance, minting }| LeafInfo::Holding { balance: Amount(balance), minting }),
        }
    }
}

/// What `leaf_get` takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeafParams {
    /// Which.
    pub leaf: LeafName,
    /// Of which state.
    #[serde(default)]
    pub level: ReadLevel,
    /// As for `account_get`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<BlockIndex>,
}

/// What `leaf_get` gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeafAnswer {
    /// Where it stands.
    pub key: StateKey,
    /// The shard that holds it.
    pub shard: ShardId,
    /// Of which state.
    pub level: ReadLevel,
    /// After which block.
    pub block: BlockIndex,
    /// What it says, if it exists.
    pub found: Option<LeafInfo>,
}

/// What `leaf_proof` takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeafProofParams {
    /// Which.
    pub leaf: LeafName,
}

/// What `leaf_proof` gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeafProofAnswer {
    /// Where it stands.
    pub key: StateKey,
    /// The shard that holds it.
    pub shard: ShardId,
    /// After which block.
    pub block: BlockIndex,
    /// What it says, if it exists.
    pub found: Option<LeafInfo>,
    /// The root of the state that has it.
    pub state: StateRoot,
    /// What a quorum attested; it commits to `state`, as `proof` shows.
    pub certified: Certified,
    /// All that ties it to the committee of the genesis: the bytes of a file with a proof.
    pub proof: ProofFile,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_are_named_and_shown_as_people_write_them() {
        let owner = Address([7; 32]);
        let hex = "07".repeat(32);
        for (name, json, leaf, shown) in [
            (
                LeafName::Value { owner, name: Bytes(vec![0xab]) },
                format!(r#"{{"value":{{"owner":"{hex}","name":"ab"}}}}"#),
                Value { shared: true, bytes: vec![1, 2] }.to_leaf(),
                r#"{"value":{"hex":"0102","shared":true}}"#,
            ),
            (
                LeafName::Savings { owner },
                format!(r#"{{"savings":{{"owner":"{hex}"}}}}"#),
                Savings { balance: Amount(u64::MAX) }.to_leaf().to_vec(),
                r#"{"savings":{"balance":"18446744073709551615"}}"#,
            ),
            (
                LeafName::Token { issuer: owner },
                format!(r#"{{"token":{{"issuer":"{hex}"}}}}"#),
                Token { minted: 1, cap: 2, mintings: 3, open: false }.to_leaf().to_vec(),
                r#"{"token":{"minted":"1","cap":"2","mintings":3,"open":false}}"#,
            ),
            (
                LeafName::Holding { owner, issuer: owner },
                format!(r#"{{"holding":{{"owner":"{hex}","issuer":"{hex}"}}}}"#),
                Holding { balance: 4, minting: 5 }.to_leaf().to_vec(),
                r#"{"holding":{"balance":"4","minting":5}}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&name).expect("JSON"), json);
            assert_eq!(serde_json::from_str::<LeafName>(&json).expect("a name"), name);
            let found = name.read(&leaf).expect("of its kind");
            assert_eq!(serde_json::to_string(&found).expect("JSON"), shown);
            assert_eq!(serde_json::from_str::<LeafInfo>(shown).expect("a leaf"), found);
        }
        assert_eq!(LeafName::Savings { owner }.read(&[1, 2]), None);
    }
}
