//! What programs keep in leaves beside accounts.
//!
//! Most leaves are three words, as an account is; only a value longer than two words has more bytes, behind its third
//! word. So the length alone tells the two apart, and an executor restores its words without knowing of which program a
//! leaf is. The lowest bit of the third word is never set in a leaf: in memory it says that there is one.

use crate::{Address, Amount, StateKey, leaves::Account};

/// What most leaves are.
pub type Words = [u64; 3];

/// Bytes of a leaf of three words.
pub const WORDS_BYTES: usize = size_of::<Words>();

/// The bytes of three words.
pub fn words_to_bytes(words: &Words) -> [u8; WORDS_BYTES] {
    let mut bytes = [0; WORDS_BYTES];
    for (to, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
        *to = word.to_le_bytes();
    }
    bytes
}

/// The words in a leaf of three, none in another.
pub fn words_from_bytes(bytes: &[u8]) -> Option<Words> {
    let ([one, two, three], []) = bytes.as_chunks() else { return None };
    let words = [one, two, three].map(|word| u64::from_le_bytes(*word));
    (words[2] & EXISTS == 0).then_some(words)
}

/// The bit of the third word that no leaf sets.
pub const EXISTS: u64 = 1;

/// A kind of leaf that is three words.
pub trait InWords: Sized {
    /// Its words.
    fn to_words(&self) -> Words;

    /// What the words say, if they are of this kind.
    fn from_words(words: Words) -> Option<Self>;

    /// Its bytes in the state.
    fn to_leaf(&self) -> [u8; WORDS_BYTES] {
        words_to_bytes(&self.to_words())
    }

    /// What a leaf says, if it is of this kind.
    fn from_leaf(bytes: &[u8]) -> Option<Self> {
        words_from_bytes(bytes).and_then(Self::from_words)
    }
}

impl InWords for Account {
    fn to_words(&self) -> Words {
        [self.balance.0, self.nonce_base, self.nonce_bits]
    }

    fn from_words([balance, nonce_base, nonce_bits]: Words) -> Option<Self> {
        Some(Self { balance: Amount(balance), nonce_base, nonce_bits })
    }
}

/// What a customer of the bank has beside the account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Savings {
    /// How much, of the native asset.
    pub balance: Amount,
}

impl Savings {
    /// Where the savings of `owner` stand.
    pub fn key(owner: &Address) -> StateKey {
        StateKey::of(owner, b"savings")
    }
}

impl InWords for Savings {
    fn to_words(&self) -> Words {
        [self.balance.0, 0, 0]
    }

    fn from_words(words: Words) -> Option<Self> {
        matches!(words, [_, 0, 0]).then_some(Self { balance: Amount(words[0]) })
    }
}

/// A token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// How many there are.
    pub minted: u64,
    /// How many there may ever be.
    pub cap: u64,
    /// Mintings so far, below 2^62: the number of the next.
    pub mintings: u64,
    /// Whether anybody of the issuer's shard mints.
    pub open: bool,
}

impl Token {
    /// Where the token of `issuer` stands.
    pub fn key(issuer: &Address) -> StateKey {
        StateKey::of(issuer, b"token")
    }
}

impl InWords for Token {
    fn to_words(&self) -> Words {
        [self.minted, self.cap, self.mintings << 2 | u64::from(self.open) << 1]
    }

    fn from_words([minted, cap, mintings_and_open]: Words) -> Option<Self> {
        let (mintings, open) = (mintings_and_open >> 2, mintings_and_open >> 1 & 1 == 1);
        Some(Self { minted, cap, mintings, open })
    }
}

/// What somebody has of a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// How many.
    pub balance: u64,
    /// The number of the last minting that gave some to this holder, plus 1; 0 if none did.
    pub minting: u64,
}

impl Holding {
    /// Where what `owner` has of the token of `issuer` stands.
    pub fn key(owner: &Address, issuer: &Address) -> StateKey {
        StateKey::of(owner, &[b"holding/".as_slice(), &issuer.0].concat())
    }
}

impl InWords for Holding {
    fn to_words(&self) -> Words {
        [self.balance, self.minting, 0]
    }

    fn from_words([balance, minting, rest]: Words) -> Option<Self> {
        (rest == 0).then_some(Self { balance, minting })
    }
}

/// A named value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Whether others than the owner may change it.
    pub shared: bool,
    /// What it is.
    pub bytes: Vec<u8>,
}

/// The third word of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueHead {
    /// Bytes of the value, below 2^62.
    pub length: usize,
    /// As [`Value::shared`].
    pub shared: bool,
}

/// Bytes of the longest value that stands in words.
pub const VALUE_INLINE_MAX: usize = 16;

impl ValueHead {
    /// The word.
    pub fn to_word(self) -> u64 {
        (self.length as u64) << 2 | u64::from(self.shared) << 1
    }

    /// What a word says; the bit of [`EXISTS`] says nothing.
    pub fn from_word(word: u64) -> Self {
        Self { length: (word >> 2) as usize, shared: word >> 1 & 1 == 1 }
    }

    /// Whether the value stands in the two other words.
    pub fn is_inline(self) -> bool {
        self.length <= VALUE_INLINE_MAX
    }
}

impl Value {
    /// Where the value `name` of `owner` stands.
    pub fn key(owner: &Address, name: &[u8]) -> StateKey {
        StateKey::of(owner, &[b"kv/".as_slice(), name].concat())
    }

    /// Its bytes in the state.
    pub fn to_leaf(&self) -> Vec<u8> {
        let head = ValueHead { length: self.bytes.len(), shared: self.shared };
        if head.is_inline() {
            words_to_bytes(&inline_words(head, &self.bytes)).to_vec()
        } else {
            long_leaf(head, &self.bytes)
        }
    }

    /// What a leaf says, if it is a value.
    pub fn from_leaf(leaf: &[u8]) -> Option<Self> {
        if let Some(words) = words_from_bytes(leaf) {
            let head = ValueHead::from_word(words[2]);
            let bytes = words_to_bytes(&words);
            let whole =
                head.is_inline() && bytes[head.length..VALUE_INLINE_MAX].iter().all(|byte| *byte == 0);
            return whole.then(|| Self { shared: head.shared, bytes: bytes[..head.length].to_vec() });
        }
        let (head, bytes) = split_long_leaf(leaf)?;
        Some(Self { shared: head.shared, bytes: bytes.to_vec() })
    }
}

/// The words of a value that is short enough.
pub fn inline_words(head: ValueHead, value: &[u8]) -> Words {
    let mut bytes = [0; VALUE_INLINE_MAX];
    bytes[..value.len()].copy_from_slice(value);
    let [one, two] = bytes.as_chunks().0 else { unreachable!("sixteen bytes are two words") };
    [u64::from_le_bytes(*one), u64::from_le_bytes(*two), head.to_word()]
}

/// The leaf of a value that is too long for words.
pub fn long_leaf(head: ValueHead, value: &[u8]) -> Vec<u8> {
    [&head.to_word().to_le_bytes(), value].concat()
}

/// What [`long_leaf`] made, taken apart.
pub fn split_long_leaf(leaf: &[u8]) -> Option<(ValueHead, &[u8])> {
    let (word, bytes) = leaf.split_first_chunk()?;
    let word = u64::from_le_bytes(*word);
    let head = ValueHead::from_word(word);
    (word & EXISTS == 0 && !head.is_inline() && head.length == bytes.len()).then_some((head, bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Values of every length come back, and no leaf of a value is taken for one of three words that is longer.
        #[test]
        fn values_come_back(bytes in prop::collection::vec(any::<u8>(), 0..60), shared in any::<bool>()) {
            let value = Value { shared, bytes };
            let leaf = value.to_leaf();
            prop_assert_eq!(leaf.len() == WORDS_BYTES, value.bytes.len() <= VALUE_INLINE_MAX);
            prop_assert_eq!(Value::from_leaf(&leaf), Some(value));
        }

        /// S3: any bytes are a value with exactly these bytes, or none.
        #[test]
        fn any_bytes_are_one_value_or_none(
            mut leaf in prop::collection::vec(any::<u8>(), 0..60), length in 0_u8..60, like_one in any::<bool>(),
        ) {
            if like_one && leaf.len() >= 24 {
                let long = leaf.len() > 24;
                let head = if long { &mut leaf[..8] } else { &mut leaf[16..24] };
                head.copy_from_slice(&(u64::from(length) << 2).to_le_bytes());
            }
            if let Some(value) = Value::from_leaf(&leaf) {
                prop_assert_eq!(value.to_leaf(), leaf);
            }
        }

        #[test]
        fn words_come_back(balance in any::<u64>(), other in any::<u64>(), number in 0_u64..1 << 62, open in any::<bool>()) {
            let account = Account { balance: Amount(balance), nonce_base: other, nonce_bits: number << 1 };
            prop_assert_eq!(account.to_leaf().to_vec(), account.to_bytes());
            prop_assert_eq!(Account::from_leaf(&account.to_leaf()), Some(account));
            let savings = Savings { balance: Amount(balance) };
            prop_assert_eq!(Savings::from_leaf(&savings.to_leaf()), Some(savings));
            let token = Token { minted: balance, cap: other, mintings: number, open };
            prop_assert_eq!(Token::from_leaf(&token.to_leaf()), Some(token));
            let holding = Holding { balance, minting: other };
            prop_assert_eq!(Holding::from_leaf(&holding.to_leaf()), Some(holding));
        }
    }

    #[test]
    fn every_kind_has_keys_of_its_own() {
        let owner = Address([7; 32]);
        let keys = [
            Account::key(&owner),
            Savings::key(&owner),
            Token::key(&owner),
            Holding::key(&owner, &owner),
            Holding::key(&owner, &Address([8; 32])),
            Value::key(&owner, b"token"),
            Value::key(&owner, b"account"),
            Value::key(&owner, b""),
        ];
        let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
        assert!(keys.iter().all(|key| key.0[..4] == owner.0[..4]));
    }
}
