//! Accounts in memory, programs, execution of blocks.
