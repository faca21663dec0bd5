//! The broker's users and what they may do: `twinmgr user`, `grant`, `revoke` and `acl`, beside a manager that may be at work.

use diesel::{
    QueryResult, QueryableByName, RunQueryDsl,
    connection::SimpleConnection,
    mysql::Mysql,
    sql_query,
    sql_types::{BigInt, Nullable, Text},
    sqlite::Sqlite,
};

use super::{
    StoreError, Target, acl,
    connection::{Db, open},
    start::in_time,
};
use crate::{
    protocol::ThingId,
    rights::{By, Hashed, Right, Role, Row},
};

/// One who may connect to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user name.
    pub name: String,
    /// Whether EMQX lets it do anything.
    pub is_superuser: bool,
    /// Whether its password is known as mosquitto keeps it.
    pub is_for_mosquitto: bool,
}

/// What was done to the access table, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What was added.
    pub added: Vec<Right>,
    /// What was there.
    pub kept: Vec<Right>,
    /// The rows that were removed.
    pub removed: Vec<Row>,
    /// By what the rows name whoever it is.
    pub by_username: bool,
}

/// All rows of the access table, in their order.
///
/// # Errors
/// [`StoreError`] if the database cannot be reached, or its table has neither of EMQX's layouts.
pub fn rows(target: &Target) -> Result<Vec<Row>, StoreError> {
    work(target, |db, _| acl::all(db).map_err(Fail::Query))
}

/// Adds the rows that this role needs and that are not there, all of them or none.
///
/// # Errors
/// [`StoreError`], as for [`rows`].
pub fn grant(
    target: &Target,
    id: &ThingId,
    role: &Role,
    is_dry: bool,
) -> Result<Changes, StoreError> {
    let (id, wanted, by) = (id.clone(), role.rights(id), role.by());
    transaction(target, move |db| {
        let by = acl::names_by(db, by)?;
        let rows = acl::all(db)?;
        let mut changes = Changes { by_username: by == By::Username, ..Changes::default() };
        for right in wanted {
            if rows.iter().any(|row| is_row_of(row, by, &id, &right)) {
                changes.kept.push(right);
                continue;
            }
            if !is_dry {
                acl::insert(db, by, &id, &right)?;
            }
            changes.added.push(right);
        }
        Ok(changes)
    })
}

/// Removes the rows that this role has, and nothing that only looks alike. Of a client for whom no groups and things are
/// named it is all that a client may have; the row by which it is answered goes with the last of them.
///
/// # Errors
/// [`StoreError`], as for [`rows`].
pub fn revoke(
    target: &Target,
    id: &ThingId,
    role: &Role,
    is_dry: bool,
) -> Result<Changes, StoreError> {
    let (id, unwanted, by) = (id.clone(), role.rights(id), role.by());
    // Whether all of it is meant.
    let of_client = match role {
        Role::Client { groups, things, all_things } => {
            Some(groups.is_empty() && things.is_empty() && !all_things)
        }
        Role::Device | Role::Member(_) | Role::Manager => None,
    };
    transaction(target, move |db| {
        let by = acl::names_by(db, by)?;
        let rows = acl::all(db)?;
        let is_it = |row: &Row| unwanted.iter().any(|right| is_row_of(row, by, &id, right));
        let mut removed: Vec<Row> = rows.iter().filter(|row| is_it(row)).cloned().collect();
        if let Some(all) = of_client {
            let is_own = |row: &&Row| {
                let right = row.action.map(|action| Right { action, topic: row.topic.clone() });
                right.is_some_and(|right| is_row_of(row, by, &id, &right))
            };
            let kind = |row: &Row| Role::is_of_client(&id, &row.topic);
            let own: Vec<&Row> =
                rows.iter().filter(is_own).filter(|row| kind(row).is_some()).collect();
            let goes = |row: &Row| all || removed.iter().any(|removed| removed.id == row.id);
            let is_last = own.iter().all(|row| kind(row) == Some(true) || goes(row));
            let gone: Vec<Row> = own
                .into_iter()
                .filter(|row| if kind(row) == Some(true) { is_last } else { goes(row) })
                .cloned()
                .collect();
            removed = gone;
        }
        if !is_dry {
            removed.iter().try_for_each(|row| acl::delete(db, row.id))?;
        }
        Ok(Changes { removed, by_username: by == By::Username, ..Changes::default() })
    })
}

/// Whether this row allows exactly this, to whoever it is.
fn is_row_of(row: &Row, by: By, id: &ThingId, right: &Right) -> bool {
    let none = |name: &Option<String>| name.as_deref().is_none_or(str::is_empty);
    let (own, other) = match by {
        By::ClientId => (&row.client_id, &row.username),
        By::Username => (&row.username, &row.client_id),
    };
    row.allows == Some(true)
        && row.action == Some(right.action)
        && row.topic == right.topic
        && own.as_deref() == Some(id.as_str())
        && none(other)
        && none(&row.address)
}

/// Those who may connect, in order of name.
///
/// # Errors
/// [`StoreError`] if the database cannot be reached, or has no table of users.
pub fn users(target: &Target) -> Result<Vec<User>, StoreError> {
    work(target, |db, _| {
        let query = "SELECT mqtt_user.username AS name, CAST(COALESCE(is_superuser, 0) AS {}) AS superuser, \
                     CAST(twin_mosquitto.username IS NOT NULL AS {}) AS mosquitto FROM mqtt_user \
                     LEFT JOIN twin_mosquitto ON twin_mosquitto.username = mqtt_user.username \
                     WHERE mqtt_user.username IS NOT NULL ORDER BY name";
        let found: Vec<Found> = match db {
            Db::MySql(db) => sql_query(query.replace("{}", "SIGNED")).load(db),
            Db::Sqlite(db) => sql_query(query.replace("{}", "INTEGER")).load(db),
        }
        .map_err(Fail::Query)?;
        let user = |found: Found| User {
            name: found.name.unwrap_or_default(),
            is_superuser: found.superuser.unwrap_or_default() != 0,
            is_for_mosquitto: found.mosquitto.unwrap_or_default() != 0,
        };
        Ok(found.into_iter().map(user).collect())
    })
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Nullable<Text>)]
    name: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    superuser: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    mosquitto: Option<i64>,
}

/// The hashes of others than this one, a hundred at the most: EMQX verifies all users in one way.
///
/// # Errors
/// [`StoreError`]
pub fn others_hashes(target: &Target, id: &ThingId) -> Result<Vec<String>, StoreError> {
    #[derive(QueryableByName)]
    struct Kept {
        #[diesel(sql_type = Text)]
        hash: String,
    }
    let id = id.clone();
    work(target, move |db, _| {
        let column = password_column(db).map_err(Fail::Query)?;
        let sql = format!(
            "SELECT {column} AS hash FROM mqtt_user WHERE {column} IS NOT NULL AND {} <> ? LIMIT 100",
            exact(db)
        );
        let query = sql_query(sql).bind::<Text, _>(id.as_str());
        let kept: Vec<Kept> = match db {
            Db::MySql(db) => query.load(db),
            Db::Sqlite(db) => query.load(db),
        }
        .map_err(Fail::Query)?;
        Ok(kept.into_iter().map(|kept| kept.hash).collect())
    })
}

/// Lets one connect: whether it was not there before. If it was, nothing is changed.
///
/// # Errors
/// [`StoreError`], also if the hash does not fit.
pub fn add_user(
    target: &Target,
    id: &ThingId,
    hashed: &Hashed,
    for_mosquitto: &str,
) -> Result<bool, StoreError> {
    put_user(target, id, hashed, for_mosquitto, true)
}

/// Changes a password: whether there is such a user.
///
/// # Errors
/// [`StoreError`], also if the hash does not fit.
pub fn set_password(
    target: &Target,
    id: &ThingId,
    hashed: &Hashed,
    for_mosquitto: &str,
) -> Result<bool, StoreError> {
    put_user(target, id, hashed, for_mosquitto, false)
}

fn put_user(
    target: &Target,
    id: &ThingId,
    hashed: &Hashed,
    for_mosquitto: &str,
    is_new: bool,
) -> Result<bool, StoreError> {
    let (id, hashed, for_mosquitto) = (id.clone(), hashed.clone(), for_mosquitto.to_owned());
    work(target, move |db, target| {
        let column = password_column(db).map_err(Fail::Query)?;
        for (column, text) in [(column, &hashed.hash), ("salt", &hashed.salt)] {
            check_width(db, target, column, text)?;
        }
        in_transaction(db, |db| {
            if has_user(db, &id)? == is_new {
                return Ok(false);
            }
            let now = match db {
                Db::MySql(_) => "NOW()",
                Db::Sqlite(_) => "datetime('now')",
            };
            let sql = if is_new {
                format!(
                    "INSERT INTO mqtt_user ({column}, salt, username, is_superuser, created) \
                     VALUES (?, ?, ?, 0, {now})"
                )
            } else {
                format!("UPDATE mqtt_user SET {column} = ?, salt = ? WHERE {} = ?", exact(db))
            };
            execute(db, &sql, &[&hashed.hash, &hashed.salt, id.as_str()])?;
            execute(db, "DELETE FROM twin_mosquitto WHERE username = ?", &[id.as_str()])?;
            let sql = "INSERT INTO twin_mosquitto (username, password) VALUES (?, ?)";
            execute(db, sql, &[id.as_str(), &for_mosquitto])?;
            Ok(true)
        })
        .map_err(Fail::Query)
    })
}

/// Lets one connect no more, and removes every row of the access table that names it: whether there was one, and the rows.
///
/// # Errors
/// [`StoreError`]
pub fn remove_user(target: &Target, id: &ThingId) -> Result<(bool, Vec<Row>), StoreError> {
    let id = id.clone();
    transaction(target, move |db| {
        let had = has_user(db, &id)?;
        let sql = format!("DELETE FROM mqtt_user WHERE {} = ?", exact(db));
        execute(db, &sql, &[id.as_str()])?;
        execute(db, "DELETE FROM twin_mosquitto WHERE username = ?", &[id.as_str()])?;
        let rows = acl::all(db)?;
        let removed: Vec<Row> =
            rows.into_iter().filter(|row| row.name() == Some(id.as_str())).collect();
        removed.iter().try_for_each(|row| acl::delete(db, row.id))?;
        Ok((had, removed))
    })
}

/// The passwords as mosquitto keeps them, by user name, of those who may connect.
///
/// # Errors
/// [`StoreError`]
pub fn mosquitto_passwords(target: &Target) -> Result<Vec<(String, String)>, StoreError> {
    #[derive(QueryableByName)]
    struct Kept {
        #[diesel(sql_type = Text)]
        name: String,
        #[diesel(sql_type = Text)]
        password: String,
    }
    work(target, |db, _| {
        let query = sql_query(
            "SELECT twin_mosquitto.username AS name, twin_mosquitto.password AS password FROM twin_mosquitto \
             JOIN mqtt_user ON mqtt_user.username = twin_mosquitto.username ORDER BY name",
        );
        let kept: Vec<Kept> = match db {
            Db::MySql(db) => query.load(db),
            Db::Sqlite(db) => query.load(db),
        }
        .map_err(Fail::Query)?;
        Ok(kept.into_iter().map(|kept| (kept.name, kept.password)).collect())
    })
}

/// How a name is compared to the letter, whatever the collation of the column.
fn exact(db: &Db) -> &'static str {
    match db {
        Db::MySql(_) => "BINARY username",
        Db::Sqlite(_) => "username",
    }
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = Nullable<BigInt>)]
    number: Option<i64>,
}

fn has_user(db: &mut Db, id: &ThingId) -> QueryResult<bool> {
    let sql = format!("SELECT COUNT(*) AS number FROM mqtt_user WHERE {} = ?", exact(db));
    let query = sql_query(sql).bind::<Text, _>(id.as_str());
    let found: Vec<Number> = match db {
        Db::MySql(db) => query.load(db),
        Db::Sqlite(db) => query.load(db),
    }?;
    Ok(found.iter().any(|found| found.number > Some(0)))
}

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    width: Option<i64>,
}

fn columns(db: &mut Db) -> QueryResult<Vec<Column>> {
    match db {
        Db::MySql(db) => sql_query(
            "SELECT column_name AS name, CAST(character_maximum_length AS SIGNED) AS width \
             FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'mqtt_user'",
        )
        .load(db),
        Db::Sqlite(db) => {
            sql_query("SELECT name, NULL AS width FROM pragma_table_info('mqtt_user')").load(db)
        }
    }
}

/// Where the hash is: EMQX 4 and 5 call it otherwise.
fn password_column(db: &mut Db) -> QueryResult<&'static str> {
    let columns = columns(db)?;
    let has = |wanted: &str| columns.iter().any(|column| column.name.eq_ignore_ascii_case(wanted));
    let others = ["username", "salt", "is_superuser", "created"].into_iter().all(has);
    match (others, has("password_hash"), has("password")) {
        (true, true, _) => Ok("password_hash"),
        (true, false, true) => Ok("password"),
        _ => {
            let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
            let reason = format!(
                "mqtt_user does not have username, password or password_hash, salt, is_superuser and created, as EMQX has \
                 them, but {}",
                if names.is_empty() { "is not there".to_owned() } else { names.join(", ") }
            );
            Err(diesel::result::Error::QueryBuilderError(reason.into()))
        }
    }
}

fn check_width(db: &mut Db, target: &Target, column: &'static str, text: &str) -> Result<(), Fail> {
    let columns = columns(db).map_err(Fail::Query)?;
    let width = columns.iter().find(|found| found.name.eq_ignore_ascii_case(column));
    let width = width.and_then(|found| u64::try_from(found.width?).ok()).unwrap_or(u64::MAX);
    let needed = text.len() as u64;
    if needed <= width {
        return Ok(());
    }
    Err(Fail::Store(StoreError::Narrow { target: target.clone(), column, width, needed }))
}

fn execute(db: &mut Db, sql: &str, texts: &[&str]) -> QueryResult<()> {
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
enum Fail {
    Query(diesel::result::Error),
    Store(StoreError),
}

/// Does something on a connection of its own.
fn work<T: Send + 'static>(
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

fn transaction<T: Send + 'static>(
    target: &Target,
    change: impl FnOnce(&mut Db) -> QueryResult<T> + Send + 'static,
) -> Result<T, StoreError> {
    work(target, |db, _| in_transaction(db, change).map_err(Fail::Query))
}

/// All of it, or nothing. SQLite is asked for its lock at once: a manager may be writing.
fn in_transaction<T>(
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
