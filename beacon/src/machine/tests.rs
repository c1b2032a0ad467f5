//! Scenarios: small clusters in one process.
