//! The authenticated state of a shard: tree, root, proofs.
