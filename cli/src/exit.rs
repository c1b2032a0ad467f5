//! How the program ends: the exit codes, and which errors lead to which.

use std::process::ExitCode;

/// An exit code that scripts may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done as asked.
    Success = 0,
    /// It could not be done.
    Failure = 1,
    /// The arguments, a file or the configuration are wrong; clap uses the same code.
    Usage = 2,
}

/// For `fresnel help`.
pub(crate) const CODES: &str = "\
Exit codes:
  0  done as asked
  1  it could not be done
  2  wrong arguments, or a wrong file or configuration";

/// Marks an error as the caller's: wrong input rather than a failed attempt.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Wrong(pub(crate) String);

impl Exit {
    /// The code for an error: the first cause that says what it is decides.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        if error.chain().any(|cause| cause.is::<Wrong>()) || error.is::<Wrong>() {
            Self::Usage
        } else {
            Self::Failure
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
