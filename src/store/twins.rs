//! The queries on twins.

use std::collections::HashMap;

use diesel::prelude::*;

use super::{
    Row,
    connection::Db,
    rows::{NewTwin, StoredTwin, column, count},
    schema::twin,
    upsert,
};
use crate::protocol::ThingId;

/// Puts rows in place of those of a lower revision, and adds those that are new.
pub(super) fn put(db: &mut Db, rows: &[NewTwin<'_>]) -> QueryResult<()> {
    match db {
        Db::MySql(db) => upsert::into_mysql(db, rows),
        Db::Sqlite(db) => upsert::into_sqlite(db, rows),
    }
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
