//! Values as they are written on the command line by several subcommands.

use std::time::Duration;

use fresnel_loadgen::faults::parse_duration;

/// A whole number of seconds or milliseconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| format!("{text:?} is no duration: 20s or 1500ms"))
}
