//! The committee of an epoch and its arithmetic of stake.

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use crate::{AuthorityIndex, AuthoritySet, PublicKey};

/// A validator: its weight and its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(deny_unknown_fields)]
pub struct Authority {
    /// For people; unique in the committee.
    pub name: String,
    /// Weight in every quorum, at least 1.
    pub stake: u64,
    /// Signs vertices and votes.
    pub consensus_key: PublicKey,
    /// The TLS keys of the authority's processes; any of them speaks for the authority on the network.
    pub network_keys: Vec<PublicKey>,
}

/// The authorities of an epoch with their thresholds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committee {
    authorities: Vec<Authority>,
    total: u64,
}

impl Committee {
    /// `authorities` of a checked genesis: 1 to 256, each with stake, the total within `u64`.
    pub fn new(authorities: Vec<Authority>) -> Self {
        assert!(
            !authorities.is_empty() && authorities.len() <= AuthoritySet::CAPACITY,
            "a committee has 1 to {} authorities",
            AuthoritySet::CAPACITY
        );
        let total = authorities.iter().map(|authority| authority.stake).sum();
        Self { authorities, total }
    }

    /// How many authorities there are.
    pub fn size(&self) -> usize {
        self.authorities.len()
    }

    /// The authority at `index`, if there is one.
    pub fn authority(&self, index: AuthorityIndex) -> Option<&Authority> {
        self.authorities.get(index.index())
    }

    /// All indices, ascending.
    pub fn indices(&self) -> impl DoubleEndedIterator<Item = AuthorityIndex> + ExactSizeIterator + use<> {
        (0..self.authorities.len() as u16).map(AuthorityIndex)
    }

    /// All authorities as a set.
    pub fn all(&self) -> AuthoritySet {
        AuthoritySet::first(self.size())
    }

    /// The stake of `index`, 0 when there is no such authority.
    pub fn stake_of(&self, index: AuthorityIndex) -> u64 {
        self.authority(index).map_or(0, |authority| authority.stake)
    }

    /// The stake of all members of `set`.
    pub fn stake(&self, set: &AuthoritySet) -> u64 {
        set.iter().map(|index| self.stake_of(index)).sum()
    }

    /// The stake of everybody.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// f: the most stake that may be faulty, the largest integer below a third of the total.
    pub fn faulty(&self) -> u64 {
        (self.total - 1) / 3
    }

    /// n − f: two quorums share more than f.
    pub fn quorum(&self) -> u64 {
        self.total - self.faulty()
    }

    /// f + 1: at least one of them is honest.
    pub fn validity(&self) -> u64 {
        self.faulty() + 1
    }

    /// Whether `set` has quorum stake.
    pub fn is_quorum(&self, set: &AuthoritySet) -> bool {
        self.stake(set) >= self.quorum()
    }

    /// Whether `set` holds at least one honest authority.
    pub fn is_valid(&self, set: &AuthoritySet) -> bool {
        self.stake(set) >= self.validity()
    }

    /// The authority that owns `network_key`.
    pub fn by_network_key(&self, network_key: &PublicKey) -> Option<AuthorityIndex> {
        self.indices().find(|index| self.authorities[index.index()].network_keys.contains(network_key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committee(stakes: &[u64]) -> Committee {
        Committee::new(
            stakes
                .iter()
                .enumerate()
                .map(|(index, &stake)| Authority {
                    name: format!("a{index}"),
                    stake,
                    consensus_key: PublicKey([index as u8; 32]),
                    network_keys: vec![],
                })
                .collect(),
        )
    }

    #[test]
    fn thresholds() {
        // (stakes, f, quorum)
        for (stakes, faulty, quorum) in [
            (vec![1], 0, 1),
            (vec![1; 2], 0, 2),
            (vec![1; 3], 0, 3),
            (vec![1; 4], 1, 3),
            (vec![1; 5], 1, 4),
            (vec![1; 6], 1, 5),
            (vec![1; 7], 2, 5),
            (vec![10, 1, 1, 1], 4, 9),
        ] {
            let committee = committee(&stakes);
            assert_eq!((committee.faulty(), committee.quorum()), (faulty, quorum), "{stakes:?}");
            assert!(
                2 * committee.quorum() > committee.total() + committee.faulty(),
                "quorums share an honest one"
            );
        }
    }
}
