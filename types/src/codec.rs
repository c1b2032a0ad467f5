//! Bytes of every type, in the layout of bincode 1 (fixed-width little-endian integers, u64 lengths, u32 tags),
//! written and read by wincode. Reading is total: any bytes give a value or an error, at most [`LIMIT`] bytes are
//! accepted, none may be left over. The layout has one encoding per value, so decoding and encoding again gives the
//! same bytes and an id computed either way is the same.

use wincode::{
    SchemaReadOwned, SchemaWrite,
    config::{self, Configuration},
    int_encoding::{FixInt, LittleEndian},
    len::BincodeLen,
};

/// The most bytes one encoded value may have (64 MiB): a genesis with 1.6 million accounts. Frames have tighter limits.
pub const LIMIT: usize = 64 << 20;

/// The configuration of wincode that gives bincode's layout within [`LIMIT`].
pub type Layout = Configuration<true, LIMIT, BincodeLen, LittleEndian, FixInt, u32, LIMIT>;

/// Why bytes are not a value.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// More bytes than any value may have.
    #[error("{0} bytes are more than the limit of {LIMIT}")]
    TooLong(usize),
    /// Bytes without the type's shape, or bytes left over.
    #[error("malformed bytes")]
    Malformed(#[source] wincode::ReadError),
}

/// The bytes of `value`.
pub fn encode<T: SchemaWrite<Layout, Src = T>>(value: &T) -> Vec<u8> {
    config::serialize(value, Layout::new()).expect(
        "encoding into a growing buffer fails only beyond the codec's limit, and what we send, store or hash is cut \
         to fit before",
    )
}

/// Appends the bytes of `value`.
pub fn encode_into<T: SchemaWrite<Layout, Src = T>>(bytes: &mut Vec<u8>, value: &T) {
    bytes.reserve(encoded_len(value));
    config::serialize_into(bytes, value, Layout::new()).expect("as in `encode`");
}

/// The number of bytes [`encode`] gives.
pub fn encoded_len<T: SchemaWrite<Layout, Src = T>>(value: &T) -> usize {
    let size = config::serialized_size(value, Layout::new()).expect("as in `encode`");
    usize::try_from(size).expect("below the limit, which is a usize")
}

/// Reads a value from exactly `bytes`.
///
/// # Errors
/// When `bytes` are too many or not the bytes of a `T`.
pub fn decode<T: SchemaReadOwned<Layout, Dst = T>>(bytes: &[u8]) -> Result<T, CodecError> {
    if bytes.len() > LIMIT {
        return Err(CodecError::TooLong(bytes.len()));
    }
    config::deserialize_exact(bytes, Layout::new()).map_err(CodecError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_bincodes() {
        let value: (u16, Vec<u8>, Option<u64>) = (0x0102, vec![9, 8], Some(7));
        let bytes = encode(&value);
        assert_eq!(hex::encode(&bytes), "02010200000000000000090801070000000000000000"[..42].to_owned());
        assert_eq!(decode::<(u16, Vec<u8>, Option<u64>)>(&bytes).expect("own bytes"), value);
    }

    #[test]
    fn left_over_truncated_and_lying_lengths_are_errors() {
        let bytes = encode(&vec![1_u64, 2]);
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(matches!(decode::<Vec<u64>>(&longer), Err(CodecError::Malformed(_))));
        assert!(matches!(decode::<Vec<u64>>(&bytes[..20]), Err(CodecError::Malformed(_))));
        assert!(matches!(decode::<Vec<u64>>(&[0xff; 8]), Err(CodecError::Malformed(_))));
        assert!(matches!(decode::<Vec<u8>>(&vec![0; LIMIT + 1]), Err(CodecError::TooLong(_))));
    }
}
