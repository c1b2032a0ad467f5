//! What `fresnel --version` prints.

/// Version of the package, commit and target it was built from and for.
pub(crate) const LINE: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("FRESNEL_COMMIT"), ", ", env!("FRESNEL_TARGET"), ")");
