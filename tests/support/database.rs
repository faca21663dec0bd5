//! The databases that a system test runs on, as one thing to ask for an empty one.

use std::path::Path;

use super::mariadb::MariaDb;

/// A kind of database, ready to give empty ones.
pub enum Database {
    /// A file in the program's own folder.
    Sqlite,
    /// A schema on a server that the test started.
    MariaDb(MariaDb),
    /// A schema on the server that all tests of the file share.
    SharedMariaDb,
}

impl Database {
    /// A server of the test's own.
    pub fn mariadb() -> Self {
        Self::MariaDb(MariaDb::start())
    }

    /// The URL of an empty database; a file lies in `folder`.
    pub fn fresh_url(&self, folder: &Path) -> String {
        match self {
            Self::Sqlite => sqlite_url(folder),
            Self::MariaDb(server) => server.fresh_schema(),
            Self::SharedMariaDb => MariaDb::shared().fresh_schema(),
        }
    }
}

/// The URL of the database file in this folder, an absolute path.
pub fn sqlite_url(folder: &Path) -> String {
    format!("sqlite://{}", folder.join("twins.sqlite").display())
}
