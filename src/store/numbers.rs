//! The manager's own numbers.

use diesel::{dsl::DuplicatedKeys, prelude::*};

use super::{connection::Db, schema::twin_manager};

/// The session at the broker.
pub(super) const SESSION: &str = "session";

/// The last start of a manager.
pub(super) const EPOCH: &str = "epoch";

/// Nothing in itself: it is written to see whether the database takes anything.
pub(super) const PROBE: &str = "probe";

/// Reads a number; 0 if it was never kept.
pub(super) fn get(db: &mut Db, name: &str) -> QueryResult<i64> {
    let value = twin_manager::table.find(name).select(twin_manager::value).first(db).optional()?;
    Ok(value.unwrap_or(0))
}

/// The names of all numbers that are kept.
pub(super) fn names(db: &mut Db) -> QueryResult<Vec<String>> {
    twin_manager::table.select(twin_manager::name).load(db)
}

/// Keeps a number.
pub(super) fn put(db: &mut Db, name: &str, value: i64) -> QueryResult<()> {
    let row = (twin_manager::name.eq(name), twin_manager::value.eq(value));
    let insert = diesel::insert_into(twin_manager::table).values(row);
    match db {
        Db::MySql(db) => insert
            .on_conflict(DuplicatedKeys)
            .do_update()
            .set(twin_manager::value.eq(value))
            .execute(db),
        Db::Sqlite(db) => insert
            .on_conflict(twin_manager::name)
            .do_update()
            .set(twin_manager::value.eq(value))
            .execute(db),
    }
    .map(drop)
}
