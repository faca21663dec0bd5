//! One manager for one database: a lock that the database gives, or a file beside it.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    sync::atomic::{AtomicI64, Ordering},
};

use diesel::{
    QueryResult, RunQueryDsl,
    dsl::sql,
    mysql::MysqlConnection,
    sql_types::{BigInt, Nullable, Text},
};

use super::{StoreError, Target, connection::Db};

/// The lock's name on a MySQL server, where names are the whole server's.
const NAME: &str = "CONCAT('twinmgr:', MD5(DATABASE()))";

/// Keeps a second manager away for as long as it and the connection live.
#[derive(Debug)]
pub(super) struct Lock {
    /// Beside an SQLite file.
    _file: Option<File>,
    /// The connection that last held a server's lock for us; 0 for none.
    holder: AtomicI64,
}

impl Lock {
    /// Takes what can be taken without a connection.
    pub(super) fn new(target: &Target) -> Result<Self, StoreError> {
        let file = match target {
            Target::Sqlite(path) => Some(lock_file(target, path)?),
            Target::MySql(_) => None,
        };
        Ok(Self { _file: file, holder: AtomicI64::new(0) })
    }

    /// Takes the lock on this connection, from an earlier one of ours if need be.
    ///
    /// That one is ended first, and with it whatever it was still about to commit.
    pub(super) fn take(&self, target: &Target, db: &mut Db) -> Result<(), StoreError> {
        let Db::MySql(db) = db else { return Ok(()) };
        match self.take_from_server(db) {
            Ok(None) => Ok(()),
            Ok(Some(holder)) => Err(StoreError::Locked { target: target.clone(), holder }),
            Err(error) => Err(StoreError::of_query(target, error)),
        }
    }

    /// Takes the server's lock, or says who has it.
    fn take_from_server(&self, db: &mut MysqlConnection) -> QueryResult<Option<String>> {
        let mine: i64 = diesel::select(sql::<BigInt>("CONNECTION_ID()")).get_result(db)?;
        let mut taken = take_within(db, 1)?;
        let holder = if taken { None } else { holder(db)? };
        if let Some(id) = holder
            && id == self.holder.load(Ordering::Acquire)
        {
            // It may have ended by itself just now: then there is nothing to end.
            diesel::sql_query(format!("KILL {id}")).execute(db).ok();
            taken = take_within(db, 3)?;
        }
        if !taken {
            return Ok(Some(describe(db, holder)));
        }
        self.holder.store(mine, Ordering::Release);
        Ok(None)
    }
}

fn take_within(db: &mut MysqlConnection, seconds: u32) -> QueryResult<bool> {
    let query = format!("CAST(GET_LOCK({NAME}, {seconds}) AS SIGNED)");
    let taken: Option<i64> = diesel::select(sql::<Nullable<BigInt>>(&query)).get_result(db)?;
    Ok(taken == Some(1))
}

fn holder(db: &mut MysqlConnection) -> QueryResult<Option<i64>> {
    let query = format!("CAST(IS_USED_LOCK({NAME}) AS SIGNED)");
    diesel::select(sql::<Nullable<BigInt>>(&query)).get_result(db)
}

fn describe(db: &mut MysqlConnection, holder: Option<i64>) -> String {
    let Some(id) = holder else { return "which has just left".to_owned() };
    let query = format!(
        "(SELECT CONCAT(USER, '@', HOST) FROM information_schema.PROCESSLIST WHERE ID = {id})"
    );
    match diesel::select(sql::<Nullable<Text>>(&query)).get_result::<Option<String>>(db) {
        Ok(Some(who)) => format!("connection {id} of {who}"),
        Ok(None) | Err(_) => format!("connection {id}"),
    }
}

fn lock_file(target: &Target, database: &Path) -> Result<File, StoreError> {
    let path = beside(database);
    let of_file = |error| StoreError::of_file(target, &error);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(of_file)?;
    }
    let file = File::options().create(true).append(true).open(&path).map_err(of_file)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked {
            target: target.clone(),
            holder: format!("it has locked {}", path.display()),
        }),
        Err(TryLockError::Error(error)) => Err(of_file(error)),
    }
}

fn beside(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}
