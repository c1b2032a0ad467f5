//! How the program ends: the exit codes, and which errors lead to which.

use std::{error::Error, process::ExitCode};

use fresnel_node::{DataError, KeyError, NodeError, TopologyError};
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
    /// A run came to its end with another verdict than pass, a simulation violated an invariant, or a replay gave other
    /// records.
    Verdict = 3,
    /// Another process holds the data directory.
    InUse = 4,
}

/// For `fresnel help`.
pub(crate) const CODES: &str = "\
Exit codes:
  0  done as asked
  1  it could not be done
  2  wrong arguments, or a wrong file or configuration
  3  a benchmark's verdict is not pass, a simulation violated an invariant, or a replay gave other records
  4  another process uses the data directory";

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
            _ if is_callers(cause) => Self::Usage,
            _ => Self::Failure,
        });
        // A cause that says what it is counts more than those that do not.
        codes.max_by_key(|code| *code as u8).unwrap_or(Self::Failure)
    }
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
    }
}
