//! The broker's access table, in each layout in which EMQX has it. The manager reads it; what is written to it somebody
//! asked for by `twinmgr grant`, `revoke` or `user rm`.

use diesel::{
    QueryResult, QueryableByName, RunQueryDsl, sql_query,
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

#[derive(QueryableByName)]
struct Stored {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Nullable<Text>)]
    permission: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    action: Option<String>,
    #[diesel(sql_type = Nullable<Binary>)]
    clientid: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    username: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    address: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    topic: Option<Vec<u8>>,
}

impl From<Stored> for Row {
    fn from(row: Stored) -> Self {
        let word = |value: Option<String>| value.unwrap_or_default().to_lowercase();
        // SQLite checks no text: what is none names nobody.
        let text =
            |bytes: Option<Vec<u8>>| bytes.map(|text| String::from_utf8(text).unwrap_or_default());
        Self {
            id: row.id,
            allows: match word(row.permission).as_str() {
                "allow" | "1" => Some(true),
                "deny" | "0" => Some(false),
                _ => None,
            },
            action: match word(row.action).as_str() {
                "subscribe" | "1" => Some(Action::Subscribe),
                "publish" | "2" => Some(Action::Publish),
                "all" | "3" => Some(Action::All),
                _ => None,
            },
            client_id: text(row.clientid),
            username: text(row.username),
            address: text(row.address),
            topic: text(row.topic).unwrap_or_default(),
        }
    }
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
    Ok(rows.into_iter().map(Row::from).collect())
}

/// All rows, in order of id.
pub(super) fn all(db: &mut Db) -> QueryResult<Vec<Row>> {
    let query = sql_query(select(db, "")?);
    let rows: Vec<Stored> = match db {
        Db::MySql(db) => query.load(db),
        Db::Sqlite(db) => query.load(db),
    }?;
    Ok(rows.into_iter().map(Row::from).collect())
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
