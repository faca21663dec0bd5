//! What can go wrong with the database at the start, for a person to mend.

use std::io;

use diesel::{ConnectionError, result::Error as QueryError};

use super::{
    Target,
    fault::{FULL, Fault, says},
};

/// Why the store does not start. Each variant is something that a person can do something about.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nobody answers there.
    #[error("{target} does not answer: {reason}; start the database, or correct its address")]
    Unreachable {
        /// Where the database should be.
        target: Target,
        /// What happened.
        reason: String,
    },
    /// The database answers and does not let us in.
    #[error("{target} does not let us in: {reason}; correct user, password or grants")]
    Denied {
        /// Where the database is.
        target: Target,
        /// What the database says.
        reason: String,
    },
    /// The server is not shown to be the one that is meant.
    #[error("{target} is not trusted: {reason}; correct the CA file, or the server's certificate")]
    Untrusted {
        /// Where the database is.
        target: Target,
        /// What is missing.
        reason: String,
    },
    /// The database answers and has no such schema.
    #[error("{target} is not there: {reason}; create the schema, or correct its name")]
    NoSchema {
        /// Where the schema should be.
        target: Target,
        /// What the database says.
        reason: String,
    },
    /// The file cannot be made or opened.
    #[error("{target} cannot be opened: {reason}; its folder and the file must be writable")]
    File {
        /// Where the file should be.
        target: Target,
        /// What the system says.
        reason: String,
    },
    /// One database has one manager.
    #[error("{target} is in use by another manager ({holder}); stop that one first")]
    Locked {
        /// Where the database is.
        target: Target,
        /// Who holds it, as far as is known.
        holder: String,
    },
    /// The tables could not be brought to the present form.
    #[error("{target} could not be migrated: {name}: {reason}")]
    Migration {
        /// Where the database is.
        target: Target,
        /// The migration that did not run.
        name: String,
        /// What the database says.
        reason: String,
    },
    /// A hash does not fit into its column.
    #[error(
        "{target}: {column} has room for {width} characters, and this hash has {needed}; take another hash, or: ALTER \
         TABLE mqtt_user MODIFY {column} varchar({needed})"
    )]
    Narrow {
        /// Where the database is.
        target: Target,
        /// The column of `mqtt_user`.
        column: &'static str,
        /// How much it takes.
        width: u64,
        /// How much it would have to.
        needed: u64,
    },
    /// There is no room left.
    #[error("{target} is full: {reason}; make room")]
    DiskFull {
        /// Where the database is.
        target: Target,
        /// What the database says.
        reason: String,
    },
    /// The database refuses something that every manager needs.
    #[error("{target} does not work: {reason}")]
    Broken {
        /// Where the database is.
        target: Target,
        /// What the database says.
        reason: String,
    },
}

impl StoreError {
    /// Sorts what a query at the start ended with.
    pub(super) fn of_query(target: &Target, error: QueryError) -> Self {
        let target = target.clone();
        let reason = error.to_string();
        match Fault::from(error) {
            _ if says(&reason, &FULL) => Self::DiskFull { target, reason },
            _ if says(&reason, &["denied"]) => Self::Denied { target, reason },
            Fault::Lost(reason) => Self::Unreachable { target, reason },
            Fault::Away(reason) | Fault::Refused(reason) => Self::Broken { target, reason },
        }
    }

    /// Sorts what an attempt to connect ended with.
    pub(super) fn of_connecting(target: &Target, error: &ConnectionError) -> Self {
        let (target, reason) = (target.clone(), error.to_string());
        if matches!(target, Target::Sqlite(_)) {
            Self::File { target, reason }
        } else if says(&reason, &["unknown database"]) {
            Self::NoSchema { target, reason }
        } else if says(&reason, &["tls/ssl", "ssl connection"]) {
            Self::Untrusted { target, reason }
        } else if says(&reason, &["denied", "not allowed", "authentication", "is blocked"]) {
            Self::Denied { target, reason }
        } else {
            Self::Unreachable { target, reason }
        }
    }

    /// Sorts what a migration ended with.
    pub(super) fn of_migration(target: &Target, name: &str, reason: String) -> Self {
        let target = target.clone();
        if says(&reason, &FULL) {
            return Self::DiskFull { target, reason };
        }
        Self::Migration { target, name: name.to_owned(), reason }
    }

    /// What the system says of a file or folder.
    pub(super) fn of_file(target: &Target, error: &io::Error) -> Self {
        let (target, reason) = (target.clone(), error.to_string());
        if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return Self::DiskFull { target, reason };
        }
        Self::File { target, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_says_what_where_and_what_to_do() {
        let target = || Target::MySql("mysql://m:secret@db:3306/twins".into());
        let reason = || "Access denied for user 'm'@'host'".to_owned();
        let denied = ConnectionError::BadConnection(reason());
        assert_eq!(
            StoreError::of_connecting(&target(), &denied).to_string(),
            "mysql://db:3306/twins does not let us in: Access denied for user 'm'@'host'; \
             correct user, password or grants"
        );
        let unknown = ConnectionError::BadConnection("Unknown database 'twins'".into());
        assert_eq!(
            StoreError::of_connecting(&target(), &unknown).to_string(),
            "mysql://db:3306/twins is not there: Unknown database 'twins'; \
             create the schema, or correct its name"
        );
        assert_eq!(
            StoreError::of_migration(&target(), "0002_x", "The table 'twin' is full".into())
                .to_string(),
            "mysql://db:3306/twins is full: The table 'twin' is full; make room"
        );
        assert_eq!(
            StoreError::of_migration(&target(), "0002_x", "no such column".into()).to_string(),
            "mysql://db:3306/twins could not be migrated: 0002_x: no such column"
        );
        let odd = QueryError::NotFound;
        assert_eq!(
            StoreError::of_query(&target(), odd).to_string(),
            "mysql://db:3306/twins does not work: Record not found"
        );
    }
}
