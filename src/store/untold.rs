//! The queries on what may not have been told.

use diesel::{
    mysql::MysqlConnection,
    prelude::*,
    sql_query,
    sql_types::{BigInt, Text},
    sqlite::SqliteConnection,
};

use super::{connection::Db, rows::column, schema::twin};
use crate::protocol::ThingId;

/// The things whose last change may not have been told, in order of id.
///
/// Rows under ids that no thing can have, which only others can have written, are left out.
pub(super) fn list(db: &mut Db) -> QueryResult<Vec<ThingId>> {
    let ids: Vec<String> = twin::table
        .filter(twin::untold.eq(true))
        .select(twin::client_id)
        .order(twin::client_id)
        .load(db)?;
    Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
}

/// Writes down that these revisions are told. A row that has changed since stays as it is.
pub(super) fn clear(db: &mut Db, told: &[(ThingId, u64)]) -> QueryResult<()> {
    match db {
        Db::Sqlite(db) => clear_in_sqlite(db, told),
        Db::MySql(db) => clear_in_mysql(db, told),
    }
}

/// One statement for each: SQLite is no journey away.
fn clear_in_sqlite(db: &mut SqliteConnection, told: &[(ThingId, u64)]) -> QueryResult<()> {
    for (id, revision) in told {
        let row = twin::table.find(id.as_str()).filter(twin::revision.eq(column(*revision)));
        diesel::update(row).set(twin::untold.eq(false)).execute(db)?;
    }
    Ok(())
}

/// One statement for all.
fn clear_in_mysql(db: &mut MysqlConnection, told: &[(ThingId, u64)]) -> QueryResult<()> {
    if told.is_empty() {
        return Ok(());
    }
    let places = vec!["(?, ?)"; told.len()].join(", ");
    let statement = format!("UPDATE twin SET untold = 0 WHERE (clientId, revision) IN ({places})");
    let mut update = sql_query(statement).into_boxed();
    for (id, revision) in told {
        update = update.bind::<Text, _>(id.as_str()).bind::<BigInt, _>(column(*revision));
    }
    update.execute(db).map(drop)
}
