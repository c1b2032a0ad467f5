//! Values as they are written on the command line by several subcommands.

use std::time::Duration;

use fresnel_loadgen::faults::parse_duration;
use fresnel_types::action::Bytes;

/// A whole number of seconds or milliseconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| format!("{text:?} is no duration: 20s or 1500ms"))
}

/// Text, or bytes in hex behind `hex:`.
pub(crate) fn bytes(text: &str) -> Result<Bytes, String> {
    match text.strip_prefix("hex:") {
        None => Ok(Bytes(text.as_bytes().to_vec())),
        Some(digits) => {
            hex::decode(digits).map(Bytes).map_err(|error| format!("{digits:?} is no hex: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_text_or_hex() {
        assert_eq!(bytes("name").map(|bytes| bytes.0), Ok(b"name".to_vec()));
        assert_eq!(bytes("hex:00ff").map(|bytes| bytes.0), Ok(vec![0, 255]));
        assert!(bytes("hex:0").is_err());
    }
}
