//! Rows of `twin`, as they go in and as they come out.

use diesel::prelude::*;

use super::{Applied, Row, connection::MultiBackend, schema::twin};
use crate::{protocol::ThingId, twin::Record};

/// A row on its way in.
pub(super) struct NewTwin<'a> {
    /// Id, reported, desired and declined with their meta, in the order of the columns.
    pub(super) texts: [&'a str; 7],
    /// Version, revision, and the epoch and number of the last entry in it.
    pub(super) counts: [i64; 4],
    pub(super) sent: &'a str,
    pub(super) online: Option<bool>,
    pub(super) session: i64,
    pub(super) unsettled: bool,
    pub(super) untold: bool,
}

impl<'a> NewTwin<'a> {
    pub(super) fn new(
        id: &'a ThingId,
        record: &'a Record,
        revision: u64,
        applied: Applied,
    ) -> Self {
        Self {
            texts: [
                id.as_str(),
                &record.reported,
                &record.reported_meta,
                &record.desired,
                &record.desired_meta,
                &record.declined,
                &record.declined_meta,
            ],
            counts: [
                column(record.version),
                column(revision),
                applied.epoch,
                column(applied.number),
            ],
            sent: &record.sent,
            online: record.online,
            session: record.session,
            unsettled: record.unsettled,
            // Somebody is told of each change, and it is for who tells to say when that is done.
            untold: true,
        }
    }

    /// The bytes of its texts.
    pub(super) fn bytes(&self) -> usize {
        self.texts.iter().map(|text| text.len()).sum::<usize>() + self.sent.len()
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

fn object(document: Option<String>) -> String {
    document.filter(|text| !is_nothing(text)).unwrap_or_else(|| "{}".to_owned())
}

/// Whether a document's text stands for no document.
pub(super) fn is_nothing(text: &str) -> bool {
    matches!(text.trim(), "" | "null")
}

/// Counts rise by one at a time: none comes near the end of a column.
pub(super) fn column(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// No count is below zero, whatever somebody wrote into the row.
pub(super) fn count(column: i64) -> u64 {
    u64::try_from(column).unwrap_or(0)
}
