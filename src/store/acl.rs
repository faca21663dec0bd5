//! The broker's access table, in each layout in which EMQX has it. The manager reads it; what is written to it somebody
//! asked for by `twinmgr grant`, `revoke` or `user rm`.

use diesel::{
    QueryResult, QueryableByName, RunQueryDsl,
    backend::Backend,
    deserialize::{self, FromSql},
    row::{Field, NamedRow},
    sql_query,
    sql_types::{BigInt, Binary, Nullable, Text},
};

use super::{Membership, connection::Db, directory::names_everybody, twins};
use crate::{
    protocol::{GroupName, ThingId},
    rights::{Action, By, Right, Row},
};

/// How a table says what a row allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// EMQX 4's: `allow` 0 or 1, `access` 1 to subscribe, 2 to publish, 3 for both.
    Four,
    /// EMQX 5's: `permission` allow or deny, `action` publish, subscribe or all. One of its forms has no `clientid`.
    Five {
        /// Whether it has.
        has_client_id: bool,
    },
}

impl Layout {
    /// Where it says whether it allows, what, and to whom by client id.
    fn columns(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Four => ("allow", "access", "clientid"),
            Self::Five { has_client_id: true } => ("permission", "action", "clientid"),
            Self::Five { has_client_id: false } => ("permission", "action", "NULL"),
        }
    }
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

/// A row as [`select`] reads it.
struct Stored(Row);

impl<B: Backend> QueryableByName<B> for Stored
where
    i64: FromSql<BigInt, B>,
    Option<String>: FromSql<Nullable<Text>, B>,
    Option<Vec<u8>>: FromSql<Nullable<Binary>, B>,
{
    /// By place: there may be a row for each of a hundred thousand things.
    fn build<'a>(row: &impl NamedRow<'a, B>) -> deserialize::Result<Self> {
        let word = |at| value::<B, Text, String>(row, at).map(Option::unwrap_or_default);
        // SQLite checks no text: what is none names nobody.
        let text = |at| -> deserialize::Result<Option<String>> {
            let bytes = value::<B, Binary, Vec<u8>>(row, at)?;
            Ok(bytes.map(|text| String::from_utf8(text).unwrap_or_default()))
        };
        let id = diesel::row::Row::get(row, 0).ok_or("a row without an id")?;
        Ok(Self(Row {
            id: FromSql::<BigInt, B>::from_nullable_sql(id.value())?,
            allows: is(&word(1)?, &[(&["allow", "1"], true), (&["deny", "0"], false)]),
            action: is(
                &word(2)?,
                &[
                    (&["subscribe", "1"], Action::Subscribe),
                    (&["publish", "2"], Action::Publish),
                    (&["all", "3"], Action::All),
                ],
            ),
            client_id: text(3)?,
            username: text(4)?,
            address: text(5)?,
            topic: text(6)?.unwrap_or_default(),
        }))
    }
}

/// The value at a place; none if it is null.
fn value<'a, B, T, V>(row: &impl NamedRow<'a, B>, at: usize) -> deserialize::Result<Option<V>>
where
    B: Backend,
    Option<V>: FromSql<Nullable<T>, B>,
    T: diesel::sql_types::SqlType<IsNull = diesel::sql_types::is_nullable::NotNull>,
{
    match diesel::row::Row::get(row, at) {
        Some(field) => FromSql::from_nullable_sql(field.value()),
        None => Ok(None),
    }
}

/// What a word stands for, however it is spelled.
fn is<T: Copy>(word: &str, words: &[(&[&str], T)]) -> Option<T> {
    let is_one = |known: &[&str]| known.iter().any(|known| known.eq_ignore_ascii_case(word));
    words.iter().find(|(known, _)| is_one(known)).map(|(_, meaning)| *meaning)
}

/// The rows about a group's members, or about all groups', perhaps with others that are about neither.
pub(super) fn rows(db: &mut Db, group: Option<&GroupName>) -> QueryResult<Vec<Row>> {
    let (filter, matches) = match group {
        Some(name) => (format!("GRP/{name}/TPC/#"), "WHERE topic IN (?, ?)"),
        None => ("GRP/%/TPC/#".to_owned(), "WHERE topic LIKE ? OR topic LIKE ?"),
    };
    let (query, exact) = (select(db, matches)?, format!("eq {filter}"));
    let query = sql_query(query).bind::<Text, _>(filter).bind::<Text, _>(exact);
    let rows: Vec<Stored> = match db {
        Db::MySql(db) => query.load(db),
        Db::Sqlite(db) => query.load(db),
    }?;
    Ok(rows.into_iter().map(|Stored(row)| row).collect())
}

/// All rows, in order of id.
pub(super) fn all(db: &mut Db) -> QueryResult<Vec<Row>> {
    let query = sql_query(select(db, "")?);
    let rows: Vec<Stored> = match db {
        Db::MySql(db) => query.load(db),
        Db::Sqlite(db) => query.load(db),
    }?;
    Ok(rows.into_iter().map(|Stored(row)| row).collect())
}

/// Reads the rows of which this holds, in order of id. All that goes in is ours; what a message brings is bound.
fn select(db: &mut Db, matches: &str) -> QueryResult<String> {
    let names = columns(db)?;
    let (permission, action, client_id) = layout_of(&names)?.columns();
    let address = names.iter().map(String::as_str).find(|name| name.starts_with("ipaddr"));
    let address = address.unwrap_or("NULL");
    let (text, integer) = match db {
        Db::MySql(_) => ("CHAR", "SIGNED"),
        Db::Sqlite(_) => ("TEXT", "INTEGER"),
    };
    Ok(format!(
        "SELECT CAST(id AS {integer}) AS id, CAST({permission} AS {text}) AS permission, \
         CAST({action} AS {text}) AS action, CAST({client_id} AS {text}) AS clientid, \
         CAST(username AS {text}) AS username, CAST({address} AS {text}) AS address, \
         CAST(topic AS {text}) AS topic FROM mqtt_acl {matches} ORDER BY id"
    ))
}

/// By what rows name somebody in this table: by user name where there are no client ids.
pub(super) fn names_by(db: &mut Db, wanted: By) -> QueryResult<By> {
    Ok(match layout(db)? {
        Layout::Five { has_client_id: false } => By::Username,
        Layout::Four | Layout::Five { has_client_id: true } => wanted,
    })
}

/// Writes a row that allows this.
pub(super) fn insert(db: &mut Db, by: By, id: &ThingId, right: &Right) -> QueryResult<()> {
    let who = match by {
        By::ClientId => "clientid",
        By::Username => "username",
    };
    let (columns, values) = match (layout(db)?, right.action) {
        (Layout::Four, Action::Subscribe) => ("allow, access", "1, 1"),
        (Layout::Four, Action::Publish) => ("allow, access", "1, 2"),
        (Layout::Four, Action::All) => ("allow, access", "1, 3"),
        (Layout::Five { .. }, Action::Subscribe) => ("permission, action", "'allow', 'subscribe'"),
        (Layout::Five { .. }, Action::Publish) => ("permission, action", "'allow', 'publish'"),
        (Layout::Five { .. }, Action::All) => ("permission, action", "'allow', 'all'"),
    };
    let query = sql_query(format!(
        "INSERT INTO mqtt_acl ({who}, topic, {columns}) VALUES (?, ?, {values})"
    ));
    let query = query.bind::<Text, _>(id.as_str()).bind::<Text, _>(right.topic.as_str());
    match db {
        Db::MySql(db) => query.execute(db),
        Db::Sqlite(db) => query.execute(db),
    }
    .map(drop)
}

/// Removes a row.
pub(super) fn delete(db: &mut Db, row: i64) -> QueryResult<()> {
    let query = sql_query("DELETE FROM mqtt_acl WHERE id = ?").bind::<BigInt, _>(row);
    match db {
        Db::MySql(db) => query.execute(db),
        Db::Sqlite(db) => query.execute(db),
    }
    .map(drop)
}

/// The members of a group, and how they came to be that.
pub(super) fn membership(db: &mut Db, group: &GroupName) -> QueryResult<Membership> {
    let rows = rows(db, Some(group))?;
    let known = known(db, &rows)?;
    Ok(Membership::new(group, &rows, &known))
}

/// The things that have a twin, if a row names everybody.
pub(super) fn known(db: &mut Db, rows: &[Row]) -> QueryResult<Vec<ThingId>> {
    if rows.iter().any(names_everybody) { twins::ids(db) } else { Ok(Vec::new()) }
}

fn layout(db: &mut Db) -> QueryResult<Layout> {
    layout_of(&columns(db)?)
}

fn columns(db: &mut Db) -> QueryResult<Vec<String>> {
    let names: Vec<Name> = match db {
        Db::MySql(db) => sql_query(
            "SELECT column_name AS name FROM information_schema.columns \
             WHERE table_schema = DATABASE() AND table_name = 'mqtt_acl'",
        )
        .load(db),
        Db::Sqlite(db) => sql_query("SELECT name FROM pragma_table_info('mqtt_acl')").load(db),
    }?;
    Ok(names.into_iter().map(|column| column.name.to_lowercase()).collect())
}

fn layout_of(names: &[String]) -> QueryResult<Layout> {
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    if ["id", "username", "topic"].into_iter().all(has) {
        if has("allow") && has("access") && has("clientid") {
            return Ok(Layout::Four);
        }
        if has("permission") && has("action") {
            return Ok(Layout::Five { has_client_id: has("clientid") });
        }
    }
    let reason = if names.is_empty() {
        "there is no table mqtt_acl; twinmgr migrate makes it".to_owned()
    } else {
        format!(
            "mqtt_acl has neither id, allow, access, clientid, username and topic, as in EMQX 4, nor id, permission, \
             action, username and topic, as in EMQX 5, but {}",
            names.join(", ")
        )
    };
    Err(diesel::result::Error::QueryBuilderError(reason.into()))
}
