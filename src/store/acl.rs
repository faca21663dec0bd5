//! The broker's access table, in each layout in which EMQX has it. The manager reads it; what is written to it somebody
//! asked for by `twinmgr grant`, `revoke` or `user rm`.

use diesel::{
    QueryResult, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Binary, Nullable, Text},
};

use super::{AclRow, Membership, connection::Db, twins};
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
    topic: Option<Vec<u8>>,
}

impl From<Stored> for AclRow {
    fn from(row: Stored) -> Self {
        let is = |value: &Option<String>, words: &[&str]| {
            value.as_deref().is_some_and(|value| words.contains(&value.to_lowercase().as_str()))
        };
        let allows = is(&row.permission, &["allow", "1"]);
        // SQLite checks no text: what is none names nobody.
        let text =
            |bytes: Option<Vec<u8>>| bytes.map(|text| String::from_utf8(text).unwrap_or_default());
        Self {
            id: row.id,
            allows: (allows || is(&row.permission, &["deny", "0"])).then_some(allows),
            subscribes: is(&row.action, &["subscribe", "all", "1", "3"]),
            client_id: text(row.clientid),
            username: text(row.username),
            topic: text(row.topic).unwrap_or_default(),
        }
    }
}

/// The rows about a group's members, or about all groups', perhaps with others that are about neither.
pub(super) fn rows(db: &mut Db, group: Option<&GroupName>) -> QueryResult<Vec<AclRow>> {
    let layout = layout(db)?;
    let query = |text: &str, integer: &str| {
        let (permission, action, client_id) = layout.columns();
        // All that goes in here is ours; what a message brings is bound.
        format!(
            "SELECT CAST(id AS {integer}) AS id, CAST({permission} AS {text}) AS permission, \
             CAST({action} AS {text}) AS action, CAST({client_id} AS {text}) AS clientid, \
             CAST(username AS {text}) AS username, CAST(topic AS {text}) AS topic \
             FROM mqtt_acl WHERE topic {} ORDER BY id",
            if group.is_some() { "IN (?, ?)" } else { "LIKE ? OR topic LIKE ?" }
        )
    };
    let filter = group.map_or_else(|| "GRP/%/TPC/#".to_owned(), |name| format!("GRP/{name}/TPC/#"));
    let exact = format!("eq {filter}");
    let rows: Vec<Stored> = match db {
        Db::MySql(db) => sql_query(query("CHAR", "SIGNED"))
            .bind::<Text, _>(filter)
            .bind::<Text, _>(exact)
            .load(db),
        Db::Sqlite(db) => sql_query(query("TEXT", "INTEGER"))
            .bind::<Text, _>(filter)
            .bind::<Text, _>(exact)
            .load(db),
    }?;
    Ok(rows.into_iter().map(AclRow::from).collect())
}

#[derive(QueryableByName)]
struct StoredAll {
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

impl From<StoredAll> for Row {
    fn from(row: StoredAll) -> Self {
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

/// All rows, in order of id.
pub(super) fn all(db: &mut Db) -> QueryResult<Vec<Row>> {
    let names = columns(db)?;
    let layout = layout_of(&names)?;
    let address = names.iter().map(String::as_str).find(|name| name.starts_with("ipaddr"));
    let address = address.unwrap_or("NULL");
    let query = |text: &str, integer: &str| {
        let (permission, action, client_id) = layout.columns();
        format!(
            "SELECT CAST(id AS {integer}) AS id, CAST({permission} AS {text}) AS permission, \
             CAST({action} AS {text}) AS action, CAST({client_id} AS {text}) AS clientid, \
             CAST(username AS {text}) AS username, CAST({address} AS {text}) AS address, \
             CAST(topic AS {text}) AS topic FROM mqtt_acl ORDER BY id"
        )
    };
    let rows: Vec<StoredAll> = match db {
        Db::MySql(db) => sql_query(query("CHAR", "SIGNED")).load(db),
        Db::Sqlite(db) => sql_query(query("TEXT", "INTEGER")).load(db),
    }?;
    Ok(rows.into_iter().map(Row::from).collect())
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
pub(super) fn known(db: &mut Db, rows: &[AclRow]) -> QueryResult<Vec<ThingId>> {
    if rows.iter().any(AclRow::names_everybody) { twins::ids(db) } else { Ok(Vec::new()) }
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
