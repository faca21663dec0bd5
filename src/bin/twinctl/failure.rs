//! Why a call comes to nothing, and the exit code for scripts.

use std::io;

use twinthing::client::ClientError;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// What was typed, or what is set, cannot be meant.
    #[error("{0}")]
    Usage(String),
    /// The manager refuses what was asked.
    #[error("{0}")]
    Answer(String),
    /// Broker or manager are not there.
    #[error("{0}")]
    Away(String),
    /// The broker does not allow it.
    #[error("{0}")]
    Denied(String),
    /// What there is to say cannot be said.
    #[error("writing: {0}")]
    Output(io::Error),
}

impl Failure {
    /// After sysexits.h, where it has a number for it.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 64,
            Self::Answer(_) => 65,
            Self::Away(_) => 69,
            Self::Output(_) => 74,
            Self::Denied(_) => 77,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let line = error.to_string();
        match error {
            ClientError::Access(_) | ClientError::NotAnObject(_) => Self::Usage(line),
            // The manager cannot reach its database.
            ClientError::Answer { code: 503, .. } => Self::Away(line),
            ClientError::Answer { .. } => Self::Answer(line),
            ClientError::Refused(_) => Self::Denied(line),
            ClientError::Thread(_)
            | ClientError::Offline(_)
            | ClientError::Timeout { .. }
            | ClientError::Unsure { .. }
            | ClientError::Odd { .. }
            | ClientError::Closed => Self::Away(line),
        }
    }
}
