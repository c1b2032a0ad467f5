//! The log: one segmented append-only file of entries, over a disk that can be torn.
