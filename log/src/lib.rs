//! The log: one segmented append-only file of entries, over a disk that can be torn.
//!
//! A machine's log is what it remembers: entries are appended, one sync makes all of them durable, and opening the log
//! gives back a prefix that holds everything ever synced. [`Disk`] is the little that it needs of a file system;
//! `node` implements it with files, `sim` with memory that loses power. [`segment`] states the format and how a torn
//! tail is told from damage.

#![forbid(unsafe_code)]

pub mod disk;
pub mod log;
pub mod segment;

pub use disk::Disk;
pub use log::{Cut, Forgotten, Log, LogError, Options, Recovered};
