//! The bytes of a leaf's value: short ones, such as an account's, stand beside the key, so that a leaf is one cache line
//! and no allocation of its own.

/// Bytes of any number.
pub(super) enum Value {
    Short { length: u8, bytes: [u8; SHORT] },
    Long(Box<[u8]>),
}

impl Value {
    pub(super) fn new(bytes: &[u8]) -> Self {
        if bytes.len() > SHORT {
            return Self::Long(bytes.into());
        }
        let mut short = [0; SHORT];
        short[..bytes.len()].copy_from_slice(bytes);
        Self::Short { length: bytes.len() as u8, bytes: short }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Short { length, bytes } => &bytes[..usize::from(*length)],
            Self::Long(bytes) => bytes,
        }
    }

    /// Replaces the bytes; those of the same length stay where they are.
    pub(super) fn set(&mut self, new: &[u8]) {
        match self {
            Self::Long(bytes) if bytes.len() == new.len() => bytes.copy_from_slice(new),
            _ => *self = Self::new(new),
        }
    }
}

impl Default for Value {
    fn default() -> Self {
        Self::new(&[])
    }
}

/// What fits beside a key in a cache line with length and kind.
const SHORT: usize = 30;
