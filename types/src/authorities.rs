//! A set of authorities as a fixed bitmap.

use wincode::{SchemaRead, SchemaWrite};

use crate::AuthorityIndex;

/// A set of authorities; an index is below [`AuthoritySet::CAPACITY`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, SchemaRead, SchemaWrite)]
pub struct AuthoritySet([u64; 4]);

impl AuthoritySet {
    /// The most authorities a committee may have.
    pub const CAPACITY: usize = 256;

    /// The first `count` authorities.
    pub fn first(count: usize) -> Self {
        (0..count).map(|index| AuthorityIndex(u16::try_from(index).expect("at most CAPACITY"))).collect()
    }

    /// Adds `authority`; whether it was absent.
    pub fn insert(&mut self, authority: AuthorityIndex) -> bool {
        let (word, bit) = Self::place(authority);
        let absent = self.0[word] & bit == 0;
        self.0[word] |= bit;
        absent
    }

    /// Removes `authority`; whether it was present.
    pub fn remove(&mut self, authority: AuthorityIndex) -> bool {
        let (word, bit) = Self::place(authority);
        let present = self.0[word] & bit != 0;
        self.0[word] &= !bit;
        present
    }

    /// Whether `authority` is in the set; false for indices beyond the capacity.
    pub fn contains(&self, authority: AuthorityIndex) -> bool {
        authority.index() < Self::CAPACITY && {
            let (word, bit) = Self::place(authority);
            self.0[word] & bit != 0
        }
    }

    /// How many are in the set.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether nobody is in the set.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    /// Those in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & other.0[word]))
    }

    /// Those in this set and not in `other`.
    pub fn difference(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & !other.0[word]))
    }

    /// Those in either set.
    pub fn union(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }

    /// The members, ascending.
    pub fn iter(&self) -> impl Iterator<Item = AuthorityIndex> + use<> {
        let words = self.0;
        (0..4_u16).flat_map(move |word| {
            let mut left = words[usize::from(word)];
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                left &= left.wrapping_sub(1);
                (bit < 64).then(|| AuthorityIndex(word * 64 + bit as u16))
            })
        })
    }

    fn place(authority: AuthorityIndex) -> (usize, u64) {
        assert!(authority.index() < Self::CAPACITY, "authority {authority} is beyond the capacity of a set");
        (authority.index() / 64, 1 << (authority.index() % 64))
    }
}

impl FromIterator<AuthorityIndex> for AuthoritySet {
    fn from_iter<I: IntoIterator<Item = AuthorityIndex>>(members: I) -> Self {
        let mut set = Self::default();
        for member in members {
            set.insert(member);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_set(left in prop::collection::btree_set(0_u16..256, 0..40),
                              right in prop::collection::btree_set(0_u16..256, 0..40)) {
            let set = |members: &BTreeSet<u16>| members.iter().map(|&i| AuthorityIndex(i)).collect::<AuthoritySet>();
            let back = |set: AuthoritySet| set.iter().map(|a| a.0).collect::<BTreeSet<u16>>();
            let (a, b) = (set(&left), set(&right));
            prop_assert_eq!(back(a), left.clone());
            prop_assert_eq!(a.len(), left.len());
            prop_assert_eq!(back(a.union(&b)), left.union(&right).copied().collect::<BTreeSet<_>>());
            prop_assert_eq!(back(a.intersection(&b)), left.intersection(&right).copied().collect::<BTreeSet<_>>());
            prop_assert_eq!(back(a.difference(&b)), left.difference(&right).copied().collect::<BTreeSet<_>>());
        }
    }
}
