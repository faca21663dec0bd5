//! Who may connect to the broker: `twinmgr user`.

use diesel::{
    QueryResult, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Nullable, Text},
};

use super::{
    StoreError, Target, acl,
    apart::{Fail, execute, in_transaction, transaction, work},
    connection::Db,
};
use crate::{
    protocol::ThingId,
    rights::{Hashed, Row},
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
