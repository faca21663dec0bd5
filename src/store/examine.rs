//! Looks whether a database gives a manager what it needs, beside one that may be at work on it.

use diesel::{
    QueryResult, QueryableByName, RunQueryDsl,
    connection::SimpleConnection,
    sql_query,
    sql_types::{BigInt, Text},
};

use super::{
    StoreError, Target, acl,
    connection::{Db, open},
    migrations, numbers,
    start::in_time,
    twins,
};
use crate::protocol::Timestamp;

/// How far the database's clock may be off.
const CLOCK_S: i64 = 5;

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = Text)]
    version: String,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// Looks whether the database gives the manager what it needs: what is well, and what is not with what to do about it.
///
/// `now` says what our own clock says, and `batch_bytes` the most bytes of one transaction. Nothing is changed, but that the
/// table with the list of migrations is made if there is none.
#[must_use]
pub fn examine(
    target: &Target,
    now: impl Fn() -> Timestamp,
    batch_bytes: usize,
) -> Vec<Result<String, String>> {
    if let Target::Sqlite(path) = target
        && !path.exists()
    {
        return vec![Ok(format!("{target} is not there yet; the first start makes it"))];
    }
    let mut found = Vec::new();
    let looked = in_time(target, open).and_then(|mut db| {
        look(target, &mut db, now, batch_bytes, &mut found)
            .map_err(|error| StoreError::of_query(target, error))
    });
    if let Err(error) = looked {
        found.push(Err(error.to_string()));
    }
    found
}

fn look(
    target: &Target,
    db: &mut Db,
    now: impl Fn() -> Timestamp,
    batch_bytes: usize,
    found: &mut Vec<Result<String, String>>,
) -> QueryResult<()> {
    let version: Vec<Version> = match db {
        Db::MySql(db) => sql_query("SELECT VERSION() AS version").load(db)?,
        Db::Sqlite(db) => sql_query("SELECT 'SQLite ' || sqlite_version() AS version").load(db)?,
    };
    let Some(Version { version }) = version.into_iter().next() else {
        found.push(Err(format!("{target} gives no text; {}", super::start::LOSES_TEXT)));
        return Ok(());
    };
    found.push(Ok(format!("{target} lets us in; it is {version}")));
    let pending = migrations::pending(target, db);
    match pending {
        Ok(pending) if pending.is_empty() => {
            found.push(Ok(format!("its tables are up to date; {} twins are in it", twins::number(db)?)));
            found.push(match may_write(db) {
                Ok(()) => Ok("we may write to them".to_owned()),
                Err(error) => Err(format!("{target} does not let us write: {error}; grant it, or make room")),
            });
        }
        Ok(pending) => found.push(Ok(format!(
            "its tables are not up to date: the next start, or twinmgr migrate, runs {}; that takes CREATE and ALTER",
            pending.join(", ")
        ))),
        Err(error) => found.push(Err(error.to_string())),
    }
    match acl::rows(db, None) {
        Ok(rows) => {
            let groups: std::collections::BTreeSet<_> =
                rows.iter().filter_map(|row| row.group()).collect();
            found.push(Ok(format!(
                "the access table can be read; it knows {} groups",
                groups.len()
            )));
        }
        Err(error) if found.iter().any(Result::is_err) => drop(error),
        Err(error) => found.push(Err(format!("groups cannot be read: {error}"))),
    }
    if let Db::MySql(db) = db {
        look_at_server(target, db, now, batch_bytes, found)?;
    }
    Ok(())
}

/// Writes to each of the tables that are ours, and takes it back.
fn may_write(db: &mut Db) -> QueryResult<()> {
    // No thing has an empty id.
    const WRITES: [&str; 5] = [
        "INSERT INTO twin (clientId) VALUES ('')",
        "UPDATE twin SET version = 2 WHERE clientId = ''",
        "DELETE FROM twin WHERE clientId = ''",
        "INSERT INTO twin_deleted (clientId, applied_epoch, applied_number) VALUES ('', 0, 0)",
        "DELETE FROM twin_deleted WHERE clientId = ''",
    ];
    db.begin()?;
    let written = numbers::put(db, numbers::PROBE, 1)
        .and_then(|()| WRITES.iter().try_for_each(|write| db.batch_execute(write)));
    let taken_back = db.end(Err::<(), _>(diesel::result::Error::RollbackTransaction));
    match (written, taken_back) {
        (Ok(()), Err(diesel::result::Error::RollbackTransaction)) => Ok(()),
        (Err(error), _) | (Ok(()), Err(error)) => Err(error),
        (Ok(()), Ok(())) => Ok(()),
    }
}

fn look_at_server(
    target: &Target,
    db: &mut diesel::MysqlConnection,
    now: impl Fn() -> Timestamp,
    batch_bytes: usize,
    found: &mut Vec<Result<String, String>>,
) -> QueryResult<()> {
    let mut number = |sql: &str| {
        let query = format!("SELECT CAST({sql} AS SIGNED) AS number");
        sql_query(query).get_result::<Number>(db).map(|number| number.number)
    };
    let packet = number("@@max_allowed_packet")?;
    if usize::try_from(packet).is_ok_and(|packet| packet < batch_bytes) {
        found.push(Err(format!(
            "{target} takes statements of {packet} bytes, and a transaction may have {batch_bytes}; raise \
             max_allowed_packet, or lower TWIN_BATCH_BYTES"
        )));
    } else {
        found.push(Ok(format!("it takes statements of {packet} bytes")));
    }
    let off = number("UNIX_TIMESTAMP()")? - now().0 / 1_000_000_000;
    found.push(if off.abs() <= CLOCK_S {
        Ok("its clock and ours agree".to_owned())
    } else {
        Err(format!(
            "{target} has a clock that is {} s {} ours; set both by NTP: times in twins are ours",
            off.abs(),
            if off > 0 { "before" } else { "behind" }
        ))
    });
    Ok(())
}
