//! What `fresnel --version` prints.

use std::sync::LazyLock;

use fresnel_crypto::Backend;

/// Version of the package, commit and target it was built from and for, and the instructions by which it verifies
/// signatures on this processor.
pub(crate) fn line() -> &'static str {
    &LINE
}

static LINE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{} ({}, {}, {})",
        env!("CARGO_PKG_VERSION"),
        env!("FRESNEL_COMMIT"),
        env!("FRESNEL_TARGET"),
        Backend::detect().name()
    )
});
