//! The queries on what was deleted.

use std::collections::HashMap;

use diesel::{dsl::DuplicatedKeys, prelude::*};

use super::{
    Applied,
    connection::Db,
    rows::{column, count},
    schema::twin_deleted,
};
use crate::protocol::ThingId;

/// Keeps which entry of the inbox deleted a twin.
pub(super) fn put(db: &mut Db, id: &ThingId, applied: Applied) -> QueryResult<()> {
    let Applied { epoch, number } = applied;
    let numbers =
        (twin_deleted::applied_epoch.eq(epoch), twin_deleted::applied_number.eq(column(number)));
    let row = (twin_deleted::client_id.eq(id.as_str()), numbers);
    let insert = diesel::insert_into(twin_deleted::table).values(row);
    match db {
        Db::MySql(db) => insert.on_conflict(DuplicatedKeys).do_update().set(numbers).execute(db),
        Db::Sqlite(db) => {
            insert.on_conflict(twin_deleted::client_id).do_update().set(numbers).execute(db)
        }
    }
    .map(drop)
}

/// Which of these were deleted, and by which entry.
pub(super) fn load(db: &mut Db, ids: &[&ThingId]) -> QueryResult<HashMap<String, Applied>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(String, i64, i64)> = twin_deleted::table
        .filter(twin_deleted::client_id.eq_any(ids.iter().map(|id| id.as_str())))
        .load(db)?;
    let applied = |(id, epoch, number)| (id, Applied { epoch, number: count(number) });
    Ok(rows.into_iter().map(applied).collect())
}

/// Forgets what entries before this epoch deleted.
pub(super) fn forget(db: &mut Db, epoch: i64) -> QueryResult<()> {
    diesel::delete(twin_deleted::table.filter(twin_deleted::applied_epoch.lt(epoch)))
        .execute(db)
        .map(drop)
}
