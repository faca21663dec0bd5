//! Connections to either database, set up the way the manager needs them.

use std::{fs, path::Path};

use diesel::{
    MultiConnection, QueryResult, QueryableByName, RunQueryDsl,
    connection::{
        AnsiTransactionManager, Connection, LoadConnection, SimpleConnection, TransactionManager,
    },
    mysql::MysqlConnection,
    r2d2::{ManageConnection, R2D2Connection},
    sql_types,
    sqlite::SqliteConnection,
};

use super::{StoreError, Target, reach};

/// A connection to either database. MySQL stands first, as a MySQL URL could name a file as well.
#[derive(MultiConnection)]
pub(super) enum Db {
    MySql(MysqlConnection),
    Sqlite(SqliteConnection),
}

const MYSQL_SESSION: &str = "SET NAMES utf8mb4; SET SESSION \
    innodb_lock_wait_timeout = 5, lock_wait_timeout = 5, \
    sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION';";

/// The cache of 4 MiB holds ten thousand small twins: while nothing is written a query of them reads no file.
const SQLITE_SESSION: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; \
    PRAGMA synchronous = FULL; PRAGMA cache_size = -4096;";

/// Opens a connection. It may take as long as the server likes.
pub(super) fn open(target: &Target) -> Result<Db, StoreError> {
    let (mut db, session) = match target {
        Target::Sqlite(path) => (open_file(target, path)?, SQLITE_SESSION),
        Target::MySql(url) => {
            reach::identity(target)?;
            let connection = MysqlConnection::establish(url)
                .map_err(|error| StoreError::of_connecting(target, &error))?;
            (Db::MySql(connection), MYSQL_SESSION)
        }
    };
    db.batch_execute(session).map_err(|error| StoreError::of_query(target, error))?;
    if let (Db::MySql(db), true) = (&mut db, target.wants_tls()) {
        require_tls(target, db)?;
    }
    Ok(db)
}

#[derive(QueryableByName)]
struct Status {
    #[diesel(sql_type = sql_types::Text, column_name = "Value")]
    value: String,
}

/// MariaDB's client goes on without TLS if the server has none: that is not what a CA is given for.
fn require_tls(target: &Target, db: &mut MysqlConnection) -> Result<(), StoreError> {
    let ciphers: Vec<Status> = diesel::sql_query("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
        .load(db)
        .map_err(|error| StoreError::of_query(target, error))?;
    if ciphers.iter().all(|cipher| cipher.value.is_empty()) {
        let reason = "it does not speak TLS".to_owned();
        return Err(StoreError::Untrusted { target: target.clone(), reason });
    }
    Ok(())
}

fn open_file(target: &Target, path: &Path) -> Result<Db, StoreError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| StoreError::of_file(target, &error))?;
    }
    // A leading ./ keeps a name from being taken for one of SQLite's own URLs.
    let path = Path::new(".").join(path);
    SqliteConnection::establish(&path.to_string_lossy())
        .map(Db::Sqlite)
        .map_err(|error| StoreError::of_connecting(target, &error))
}

impl Db {
    /// Starts a transaction that may write: one of SQLite's takes its lock now, not halfway.
    pub(super) fn begin(&mut self) -> QueryResult<()> {
        match self {
            Self::MySql(db) => AnsiTransactionManager::begin_transaction(db),
            Self::Sqlite(db) => {
                AnsiTransactionManager::begin_transaction_sql(db, "BEGIN IMMEDIATE")
            }
        }
    }

    /// Ends the transaction the way `result` says, which it hands on.
    pub(super) fn end<T, E: From<diesel::result::Error>>(
        &mut self,
        result: Result<T, E>,
    ) -> Result<T, E> {
        match result {
            Ok(value) => {
                Self::commit_transaction(self)?;
                Ok(value)
            }
            Err(error) => {
                if Self::rollback_transaction(self).is_err() {
                    Self::transaction_manager_status_mut(self).set_in_error();
                }
                Err(error)
            }
        }
    }
}

/// What the pool opens its connections with.
pub(super) struct Opener(pub(super) Target);

impl ManageConnection for Opener {
    type Connection = Db;
    type Error = StoreError;

    fn connect(&self) -> Result<Db, StoreError> {
        open(&self.0)
    }

    fn is_valid(&self, db: &mut Db) -> Result<(), StoreError> {
        db.ping().map_err(|error| StoreError::of_query(&self.0, error))
    }

    fn has_broken(&self, db: &mut Db) -> bool {
        db.is_broken()
    }
}
