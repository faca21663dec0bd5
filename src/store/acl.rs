//! Reads the broker's access table, in each layout in which EMQX has it. It is never written here.

use diesel::{
    QueryResult, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Binary, Nullable, Text},
};

use super::{AclRow, Membership, connection::Db, twins};
use crate::protocol::{GroupName, ThingId};

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
        let (permission, action, client_id) = match layout {
            Layout::Four => ("allow", "access", "clientid"),
            Layout::Five { has_client_id: true } => ("permission", "action", "clientid"),
            Layout::Five { has_client_id: false } => ("permission", "action", "NULL"),
        };
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
    let names: Vec<Name> = match db {
        Db::MySql(db) => sql_query(
            "SELECT column_name AS name FROM information_schema.columns \
             WHERE table_schema = DATABASE() AND table_name = 'mqtt_acl'",
        )
        .load(db),
        Db::Sqlite(db) => sql_query("SELECT name FROM pragma_table_info('mqtt_acl')").load(db),
    }?;
    let has = |wanted: &str| names.iter().any(|column| column.name.eq_ignore_ascii_case(wanted));
    if ["id", "username", "topic"].into_iter().all(has) {
        if has("allow") && has("access") && has("clientid") {
            return Ok(Layout::Four);
        }
        if has("permission") && has("action") {
            return Ok(Layout::Five { has_client_id: has("clientid") });
        }
    }
    let names: Vec<_> = names.iter().map(|column| column.name.as_str()).collect();
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
