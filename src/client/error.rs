//! What can come of a request instead of its answer.

use std::{io, time::Duration};

use crate::{mqtt::MqttError, protocol::Bad};

/// Why there is no answer, or none as it was hoped for.
///
/// ```
/// use twinthing::client::ClientError;
///
/// fn is_worth_another_try(error: &ClientError) -> bool {
///     match error {
///         // The database is away, or the broker, or nobody has answered.
///         ClientError::Answer { code, .. } => *code == 503,
///         ClientError::Offline(_) | ClientError::Timeout { .. } => true,
///         _ => false,
///     }
/// }
///
/// assert!(is_worth_another_try(&ClientError::Offline("the broker is not reached".into())));
/// assert!(!is_worth_another_try(&ClientError::Closed));
/// ```
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The broker cannot be reached in this way by anybody.
    #[error(transparent)]
    Access(#[from] MqttError),
    /// The system has no thread for it.
    #[error("a thread for the client: {0}")]
    Thread(#[from] io::Error),
    /// The manager answers that it cannot be done, under one of the protocol's codes.
    #[error("{what}: {message} ({code})")]
    Answer {
        /// What was asked.
        what: String,
        /// The code: 400, 404, 409, 413, 422 or 503.
        code: u64,
        /// What is wrong, in the manager's words.
        message: String,
    },
    /// There is no connection, and why: a line.
    #[error("{0}")]
    Offline(String),
    /// The broker does not let us ask, or hear the answer: a line.
    #[error("{0}")]
    Refused(String),
    /// No answer came in time.
    #[error("no answer to {what} within {} s: {why}", after.as_secs_f64())]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        after: Duration,
        /// What is known of the reason.
        why: String,
    },
    /// The connection was lost after the broker had taken the request: it may have been done, or may yet be.
    #[error(
        "the connection was lost before {what} was answered: it may have been done; look at the twin"
    )]
    Unsure {
        /// What was asked.
        what: String,
    },
    /// What is to be asked cannot be written as a JSON object.
    #[error("what is asked is no JSON object: {0}")]
    NotAnObject(String),
    /// The answer is none that a manager gives.
    #[error("the answer to {what} is not understood: {why}")]
    Odd {
        /// What was asked.
        what: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
}

impl ClientError {
    pub(super) fn odd(what: &str, why: impl Into<String>) -> Self {
        Self::Odd { what: what.to_owned(), why: why.into() }
    }

    pub(super) fn bad(what: &str, bad: &Bad) -> Self {
        Self::odd(what, bad.to_string())
    }
}
