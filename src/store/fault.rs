//! What can go wrong with the database later on, for the store to wait out.

use diesel::result::Error as QueryError;

use super::StoreError;

/// Why something was not done, by what is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection is gone: another one may do.
    Lost(String),
    /// The database takes nothing at present: the same again, later.
    Away(String),
    /// The database does not take this, whatever it does with the rest.
    Refused(String),
}

impl Fault {
    pub(super) fn reason(&self) -> &str {
        let (Self::Lost(reason) | Self::Away(reason) | Self::Refused(reason)) = self;
        reason
    }
}

/// What MySQL, MariaDB and their client say when a connection is no more.
const LOST: [&str; 9] = [
    "gone away",
    "lost connection",
    "connection was killed",
    "can't connect",
    "shutdown in progress",
    "server is shutting down",
    "commands out of sync",
    "timeout waiting for initial",
    "unknown prepared statement",
];

/// What both say when it is not for what was asked of them that they do not do it.
const AWAY: [&str; 16] = [
    "lock wait timeout",
    "try restarting transaction",
    "database is locked",
    "read-only",
    "readonly",
    "read only",
    "disk i/o error",
    "is full",
    "no space left",
    "unable to open database file",
    "execution was interrupted",
    "wsrep",
    "needs to be re-prepared",
    "prepared statement protocol",
    "max_prepared_stmt_count",
    "' resource (current value",
];

/// What both say when there is no room left.
pub(super) const FULL: [&str; 3] = ["is full", "no space left", "errcode: 28"];

/// Whether a text has one of these in it, in whatever case.
pub(super) fn says(reason: &str, signs: &[&str]) -> bool {
    let reason = reason.to_lowercase();
    signs.iter().any(|sign| reason.contains(sign))
}

impl Fault {
    /// Goes by the text: diesel hands on no numbers. What it does not know counts as refused, which
    /// the committer believes only of a database that takes something else at that moment.
    pub(super) fn sort(reason: String) -> Self {
        if says(&reason, &LOST) {
            Self::Lost(reason)
        } else if says(&reason, &AWAY) {
            Self::Away(reason)
        } else {
            Self::Refused(reason)
        }
    }
}

impl From<QueryError> for Fault {
    fn from(error: QueryError) -> Self {
        let reason = error.to_string();
        if matches!(error, QueryError::BrokenTransactionManager) {
            return Self::Lost(reason);
        }
        Self::sort(reason)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Away(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use diesel::result::DatabaseErrorKind;

    use super::*;

    fn fault(text: &str) -> Fault {
        QueryError::DatabaseError(DatabaseErrorKind::Unknown, Box::new(text.to_owned())).into()
    }

    #[test]
    fn a_fault_goes_by_what_is_to_be_done() {
        let lost = "Lost connection to server during query";
        assert_eq!(fault(lost), Fault::Lost(lost.into()));
        let forgotten = "Unknown prepared statement handler (7) given to mysql_stmt_execute";
        assert_eq!(fault(forgotten), Fault::Lost(forgotten.into()));
        for away in [
            "database or disk is full",
            "Can't create more than max_prepared_stmt_count statements (current value: 16382)",
            "User 'twin' has exceeded the 'max_questions' resource (current value: 100)",
            "This command is not supported in the prepared statement protocol yet",
        ] {
            assert_eq!(fault(away), Fault::Away(away.into()));
        }
        let row = "Column 'reported' cannot be null";
        assert_eq!(fault(row), Fault::Refused(row.into()));
    }
}
