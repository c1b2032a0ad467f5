//! How the program ends: the exit codes, and which errors lead to which.

use std::{error::Error, io, process::ExitCode};

use fresnel_node::{DataError, KeyError, NodeError, StoreError, TopologyError};
use fresnel_types::genesis::GenesisError;

/// An exit code that scripts may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done as asked.
    Success = 0,
    /// It could not be done.
    Failure = 1,
    /// The arguments, a file or the configuration are wrong; clap uses the same code.
    Usage = 2,
    /// A run came to its end with another verdict than pass, a simulation violated an invariant, a replay gave other
    /// records, or a proof, a snapshot or a data directory does not hold.
    Verdict = 3,
    /// Another process holds the data directory.
    InUse = 4,
    /// No room is left on the disk. Nothing is lost: with room, it goes on where it was.
    DiskFull = 5,
}

/// For `fresnel help`.
pub(crate) const CODES: &str = "\
Exit codes:
  0  done as asked
  1  it could not be done
  2  wrong arguments, or a wrong file or configuration
  3  a benchmark's verdict is not pass, a simulation violated an invariant, a replay gave other records, or a proof,
     a snapshot or a data directory does not hold
  4  another process uses the data directory
  5  no room is left on the disk; with room it goes on where it was";

/// Marks an error as the caller's: wrong input rather than a failed attempt.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Wrong(pub(crate) String);

impl Exit {
    /// The code for an error: what any of its causes says about itself.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        let codes = error.chain().map(|cause| match cause.downcast_ref::<DataError>() {
            Some(DataError::Locked(_)) => Self::InUse,
            Some(DataError::Foreign { .. }) => Self::Usage,
            _ if is_full(cause) => Self::DiskFull,
            _ if is_callers(cause) => Self::Usage,
            _ => Self::Failure,
        });
        // A cause that says what it is counts more than those that do not.
        codes.max_by_key(|code| *code as u8).unwrap_or(Self::Failure)
    }
}

/// Whether the disk has no room.
fn is_full(cause: &(dyn Error + 'static)) -> bool {
    matches!(cause.downcast_ref(), Some(StoreError::Full(_)))
        || cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::StorageFull)
}

/// Whether the caller can mend it, by another argument, file or configuration.
fn is_callers(cause: &(dyn Error + 'static)) -> bool {
    cause.is::<Wrong>()
        || cause.is::<GenesisError>()
        || cause.is::<TopologyError>()
        || cause.is::<KeyError>()
        || matches!(
            cause.downcast_ref::<NodeError>(),
            Some(
                NodeError::Unreadable(..)
                    | NodeError::NoConsensusKey
                    | NodeError::Ablation(_)
                    | NodeError::WrongKey { .. }
                    | NodeError::AdminExposed(..)
            )
        )
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn context_does_not_hide_whose_error_it_is() {
        let error = Err::<(), _>(Wrong("x".to_owned())).context("a").context("b").unwrap_err();
        assert_eq!(Exit::of(&error), Exit::Usage);
        let error = Err::<(), _>(GenesisError::Protocol(9)).context("a").unwrap_err();
        assert_eq!(Exit::of(&error), Exit::Usage);
        assert_eq!(Exit::of(&anyhow::anyhow!("disk on fire")), Exit::Failure);
        let error = NodeError::from(DataError::Locked("data".into()));
        assert_eq!(Exit::of(&error.into()), Exit::InUse);
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = NodeError::from(DataError::Io("data".into(), full));
        assert_eq!(Exit::of(&error.into()), Exit::DiskFull);
    }
}
