//! Rows of `twin`, as they go in and as they come out.

use diesel::prelude::*;

use super::{Applied, Row, connection::MultiBackend, schema::twin};
use crate::{protocol::ThingId, twin::Record};

/// A row on its way in.
#[derive(Insertable)]
#[diesel(table_name = twin, treat_none_as_default_value = false)]
pub(super) struct NewTwin<'a> {
    client_id: &'a str,
    reported: &'a str,
    reported_meta: &'a str,
    desired: &'a str,
    desired_meta: &'a str,
    declined: &'a str,
    declined_meta: &'a str,
    version: i64,
    revision: i64,
    applied_epoch: i64,
    applied_number: i64,
    sent: &'a str,
    online: Option<bool>,
    session: i64,
    unsettled: bool,
    untold: bool,
}

impl<'a> NewTwin<'a> {
    pub(super) fn new(
        id: &'a ThingId,
        record: &'a Record,
        revision: u64,
        applied: Applied,
    ) -> Self {
        Self {
            client_id: id.as_str(),
            reported: &record.reported,
            reported_meta: &record.reported_meta,
            desired: &record.desired,
            desired_meta: &record.desired_meta,
            declined: &record.declined,
            declined_meta: &record.declined_meta,
            version: column(record.version),
            revision: column(revision),
            applied_epoch: applied.epoch,
            applied_number: column(applied.number),
            sent: &record.sent,
            online: record.online,
            session: record.session,
            unsettled: record.unsettled,
            // Somebody is told of each change, and it is for who tells to say when that is done.
            untold: true,
        }
    }
}

/// A row on its way out. What the original left null, be it SQL's or JSON's, or empty
/// is an empty object.
#[derive(Queryable, Selectable)]
#[diesel(table_name = twin, check_for_backend(MultiBackend))]
pub(super) struct StoredTwin {
    pub(super) client_id: String,
    reported: Option<String>,
    reported_meta: Option<String>,
    desired: Option<String>,
    desired_meta: Option<String>,
    declined: Option<String>,
    declined_meta: Option<String>,
    version: i64,
    revision: i64,
    applied_epoch: i64,
    applied_number: i64,
    sent: Option<String>,
    online: Option<bool>,
    session: i64,
    unsettled: bool,
    untold: bool,
}

impl From<StoredTwin> for Row {
    fn from(twin: StoredTwin) -> Self {
        Self {
            record: Record {
                reported: object(twin.reported),
                reported_meta: object(twin.reported_meta),
                desired: object(twin.desired),
                desired_meta: object(twin.desired_meta),
                declined: object(twin.declined),
                declined_meta: object(twin.declined_meta),
                version: count(twin.version),
                revision: count(twin.revision),
                sent: object(twin.sent),
                online: twin.online,
                session: twin.session,
                unsettled: twin.unsettled,
            },
            applied: Applied { epoch: twin.applied_epoch, number: count(twin.applied_number) },
            untold: twin.untold,
        }
    }
}

pub(super) fn object(document: Option<String>) -> String {
    let is_nothing = |text: &str| matches!(text.trim(), "" | "null");
    document.filter(|text| !is_nothing(text)).unwrap_or_else(|| "{}".to_owned())
}

/// Counts rise by one at a time: none comes near the end of a column.
pub(super) fn column(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// No count is below zero, whatever somebody wrote into the row.
pub(super) fn count(column: i64) -> u64 {
    u64::try_from(column).unwrap_or(0)
}
