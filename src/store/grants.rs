//! What somebody may do at the broker: `twinmgr grant`, `revoke` and `acl`.

use super::{
    StoreError, Target, acl,
    apart::{Fail, transaction, work},
};
use crate::{
    protocol::ThingId,
    rights::{By, Right, Role, Row},
};

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
