//! The audit: judges a run from the records and commits that its authorities hold.
