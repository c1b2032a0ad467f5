//! The `fresnel` binary.
fn main() {}
