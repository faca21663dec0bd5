//! Looks through a database that was taken over, once: somebody should know which of its twins cannot be read.

use diesel::{QueryResult, prelude::*};
use log::warn;

use super::{Row, connection::Db, rows::StoredTwin, schema::twin};
use crate::{protocol::ThingId, twin::Twin};

/// How many rows are read at once.
const PAGE: i64 = 500;

/// How many ids are named.
const NAMED: usize = 1000;

/// The migration that the tables of TwinMgr have not seen.
const FIRST_OF_OURS: &str = "0002_what_the_rules_need";

/// Names the twins that cannot be read, if these migrations have just made the tables ours. They are left as they are.
pub(super) fn look_through(db: &mut Db, ran: &[String]) -> QueryResult<()> {
    if !ran.iter().any(|name| name == FIRST_OF_OURS) {
        return Ok(());
    }
    let (mut after, mut unreadable, mut impossible) = (String::new(), Vec::new(), Vec::new());
    loop {
        let page: Vec<StoredTwin> = twin::table
            .filter(twin::client_id.gt(&after))
            .select(StoredTwin::as_select())
            .order(twin::client_id)
            .limit(PAGE)
            .load(db)?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.client_id);
        for stored in page {
            let id = stored.client_id.clone();
            if id.parse::<ThingId>().is_err() {
                impossible.push(format!("{id:?}"));
            } else if Twin::from_record(&Row::from(stored).record).is_err() {
                unreadable.push(id);
            }
        }
    }
    name(
        "twins cannot be read, and are left as they are",
        &unreadable,
        "; a TWIN/GET of one says why",
    );
    name("rows have ids that no thing can have, and are left as they are", &impossible, "");
    Ok(())
}

fn name(what: &str, ids: &[String], more: &str) {
    if !ids.is_empty() {
        let named: Vec<_> = ids.iter().take(NAMED).map(String::as_str).collect();
        let rest = if ids.len() > NAMED { ", …" } else { "" };
        warn!("{} {what}: {}{rest}{more}", ids.len(), named.join(", "));
    }
}
