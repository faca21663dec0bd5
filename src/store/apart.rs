//! Work on a connection of its own, beside a manager that may be at work.

use diesel::{
    QueryResult, RunQueryDsl, connection::SimpleConnection, mysql::Mysql, sql_query,
    sql_types::Text, sqlite::Sqlite,
};

use super::{
    StoreError, Target,
    connection::{Db, open},
    start::in_time,
};

/// Executes a statement with these texts in its places.
pub(super) fn execute(db: &mut Db, sql: &str, texts: &[&str]) -> QueryResult<()> {
    match db {
        Db::MySql(db) => {
            let mut query = sql_query(sql).into_boxed::<Mysql>();
            for text in texts {
                query = query.bind::<Text, _>((*text).to_owned());
            }
            query.execute(db)
        }
        Db::Sqlite(db) => {
            let mut query = sql_query(sql).into_boxed::<Sqlite>();
            for text in texts {
                query = query.bind::<Text, _>((*text).to_owned());
            }
            query.execute(db)
        }
    }
    .map(drop)
}

/// Why nothing was done.
pub(super) enum Fail {
    Query(diesel::result::Error),
    Store(StoreError),
}

/// Does something on a connection of its own.
pub(super) fn work<T: Send + 'static>(
    target: &Target,
    work: impl FnOnce(&mut Db, &Target) -> Result<T, Fail> + Send + 'static,
) -> Result<T, StoreError> {
    in_time(target, |target| {
        if let Target::Sqlite(path) = target
            && let Err(error) = std::fs::metadata(path)
        {
            // Opening it would make it.
            return Err(StoreError::of_file(target, &error));
        }
        let mut db = open(target)?;
        work(&mut db, target).map_err(|fail| match fail {
            Fail::Query(error) => StoreError::of_query(target, error),
            Fail::Store(error) => error,
        })
    })
}

pub(super) fn transaction<T: Send + 'static>(
    target: &Target,
    change: impl FnOnce(&mut Db) -> QueryResult<T> + Send + 'static,
) -> Result<T, StoreError> {
    work(target, |db, _| in_transaction(db, change).map_err(Fail::Query))
}

/// All of it, or nothing. SQLite is asked for its lock at once: a manager may be writing.
pub(super) fn in_transaction<T>(
    db: &mut Db,
    change: impl FnOnce(&mut Db) -> QueryResult<T>,
) -> QueryResult<T> {
    let begin = match db {
        Db::MySql(_) => "START TRANSACTION",
        Db::Sqlite(_) => "BEGIN IMMEDIATE",
    };
    db.batch_execute(begin)?;
    match change(db) {
        Ok(done) => db.batch_execute("COMMIT").map(|()| done),
        Err(error) => {
            // The first error says more than one of undoing it; the connection ends, and with it the transaction.
            db.batch_execute("ROLLBACK").unwrap_or_default();
            Err(error)
        }
    }
}
