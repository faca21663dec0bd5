//! The queries on twins.

use std::collections::HashMap;

use diesel::{
    dsl::{DuplicatedKeys, sql},
    expression::{SqlLiteral, TypedExpressionType},
    mysql::MysqlConnection,
    prelude::*,
    sqlite::SqliteConnection,
};

use super::{
    Row,
    connection::Db,
    rows::{NewTwin, StoredTwin, column, count},
    schema::twin,
};
use crate::protocol::ThingId;

/// The most rows in one statement: SQLite takes 32,766 values, MySQL 65,535, and a row has 16.
const STATEMENT_ROWS: usize = 1000;

/// Puts rows in place of those of a lower revision, and adds those that are new.
pub(super) fn put(db: &mut Db, rows: &[NewTwin<'_>]) -> QueryResult<()> {
    for rows in rows.chunks(STATEMENT_ROWS) {
        match db {
            Db::MySql(db) => put_into_mysql(db, rows)?,
            Db::Sqlite(db) => put_into_sqlite(db, rows)?,
        };
    }
    Ok(())
}

/// Every column as it came if the row is newer than the one that is there, and as it was if not.
///
/// MySQL assigns from left to right: `revision` is last, so that all compare with the old one.
macro_rules! the_newer_row {
    ($newer:ident) => {
        (
            twin::reported.eq($newer(twin::reported)),
            twin::reported_meta.eq($newer(twin::reported_meta)),
            twin::desired.eq($newer(twin::desired)),
            twin::desired_meta.eq($newer(twin::desired_meta)),
            twin::declined.eq($newer(twin::declined)),
            twin::declined_meta.eq($newer(twin::declined_meta)),
            twin::version.eq($newer(twin::version)),
            twin::applied_epoch.eq($newer(twin::applied_epoch)),
            twin::applied_number.eq($newer(twin::applied_number)),
            twin::sent.eq($newer(twin::sent)),
            twin::online.eq($newer(twin::online)),
            twin::session.eq($newer(twin::session)),
            twin::unsettled.eq($newer(twin::unsettled)),
            twin::untold.eq($newer(twin::untold)),
            twin::revision.eq($newer(twin::revision)),
        )
    };
}

fn put_into_sqlite(db: &mut SqliteConnection, rows: &[NewTwin<'_>]) -> QueryResult<usize> {
    diesel::insert_into(twin::table)
        .values(rows)
        .on_conflict(twin::client_id)
        .do_update()
        .set(the_newer_row!(newer_in_sqlite))
        .execute(db)
}

fn put_into_mysql(db: &mut MysqlConnection, rows: &[NewTwin<'_>]) -> QueryResult<usize> {
    diesel::insert_into(twin::table)
        .values(rows)
        .on_conflict(DuplicatedKeys)
        .do_update()
        .set(the_newer_row!(newer_in_mysql))
        .execute(db)
}

/// As a fragment in each column: diesel puts no `WHERE` behind a batch's `DO UPDATE`.
fn newer_in_sqlite<C: Column<SqlType: TypedExpressionType>>(_: C) -> SqlLiteral<C::SqlType> {
    let column = C::NAME;
    sql(&format!("IIF(excluded.revision > twin.revision, excluded.{column}, twin.{column})"))
}

fn newer_in_mysql<C: Column<SqlType: TypedExpressionType>>(_: C) -> SqlLiteral<C::SqlType> {
    let column = C::NAME;
    sql(&format!("IF(VALUES(revision) > revision, VALUES({column}), {column})"))
}

/// Takes away a row of a lower revision, if there is one.
pub(super) fn delete(db: &mut Db, id: &ThingId, revision: u64) -> QueryResult<()> {
    let row = twin::table.find(id.as_str()).filter(twin::revision.lt(column(revision)));
    diesel::delete(row).execute(db).map(drop)
}

/// The rows of these things, by the things' ids.
pub(super) fn load(db: &mut Db, ids: &[ThingId]) -> QueryResult<HashMap<String, Row>> {
    let ids = ids.iter().map(ThingId::as_str);
    let rows: Vec<StoredTwin> =
        twin::table.filter(twin::client_id.eq_any(ids)).select(StoredTwin::as_select()).load(db)?;
    Ok(rows.into_iter().map(|twin| (twin.client_id.clone(), twin.into())).collect())
}

/// The next things in order of id whose twins are not settled; none at the end.
///
/// Rows under ids that no thing can have, which only others can have written, are left out.
pub(super) fn unsettled(
    db: &mut Db,
    after: Option<&ThingId>,
    limit: usize,
) -> QueryResult<Vec<ThingId>> {
    let mut after = after.map_or("", ThingId::as_str).to_owned();
    loop {
        let page: Vec<String> = twin::table
            .filter(twin::unsettled.eq(true).and(twin::client_id.gt(&after)))
            .select(twin::client_id)
            .order(twin::client_id)
            .limit(i64::try_from(limit.max(1)).unwrap_or(i64::MAX))
            .load(db)?;
        let ids: Vec<ThingId> = page.iter().filter_map(|id| id.parse().ok()).collect();
        match page.into_iter().next_back() {
            Some(last) if ids.is_empty() => after = last,
            Some(_) | None => return Ok(ids),
        }
    }
}

/// The things that have a twin, in no order. Rows under ids that no thing can have are left out.
pub(super) fn ids(db: &mut Db) -> QueryResult<Vec<ThingId>> {
    let ids: Vec<String> = twin::table.select(twin::client_id).load(db)?;
    Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
}

/// How many twins there are.
pub(super) fn number(db: &mut Db) -> QueryResult<u64> {
    twin::table.count().get_result(db).map(count)
}
