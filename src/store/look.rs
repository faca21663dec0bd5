//! Looks into the database beside a manager that may be at work on it: nothing is written, and no lock is taken.

use std::collections::BTreeMap;

use super::{
    AclRow, Membership, StoreError, Target, acl,
    connection::{Db, open},
    start::in_time,
};
use crate::protocol::GroupName;

/// The groups that the broker's access table knows, with how many members each has, in order of name.
///
/// # Errors
/// [`StoreError`] if the database cannot be reached, or its table has neither of EMQX's layouts.
pub fn groups(target: &Target) -> Result<Vec<(GroupName, usize)>, StoreError> {
    look(target, |db| {
        let rows = acl::rows(db, None)?;
        let known = acl::known(db, &rows)?;
        let mut groups = BTreeMap::<GroupName, Vec<AclRow>>::new();
        for row in rows {
            if let Some(group) = row.group() {
                groups.entry(group).or_default().push(row);
            }
        }
        let sizes = groups.into_iter().map(|(group, rows)| {
            let members = Membership::new(&group, &rows, &known).members().count();
            (group, members)
        });
        Ok(sizes.collect())
    })
}

/// The members of a group, and which row of the broker's access table made or unmade each.
///
/// # Errors
/// [`StoreError`] if the database cannot be reached, or its table has neither of EMQX's layouts.
pub fn members(target: &Target, group: &GroupName) -> Result<Membership, StoreError> {
    let group = group.clone();
    look(target, move |db| acl::membership(db, &group))
}

fn look<T: Send + 'static>(
    target: &Target,
    read: impl FnOnce(&mut Db) -> diesel::QueryResult<T> + Send + 'static,
) -> Result<T, StoreError> {
    in_time(target, |target| {
        if let Target::Sqlite(path) = target
            && let Err(error) = std::fs::metadata(path)
        {
            // Opening it would make it.
            return Err(StoreError::of_file(target, &error));
        }
        let mut db = open(target)?;
        read(&mut db).map_err(|error| StoreError::of_query(target, error))
    })
}
