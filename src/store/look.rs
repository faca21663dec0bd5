//! Looks into the database beside a manager that may be at work on it: nothing is written, and no lock is taken.

use std::collections::BTreeSet;

use super::{
    AclRow, Membership, StoreError, Target, acl,
    connection::{Db, open},
    start::in_time,
    twins,
};
use crate::protocol::{GroupName, ThingId};

/// The groups that the broker's access table knows, with how many members each has, in order of name.
///
/// # Errors
/// [`StoreError`] if the database cannot be reached, or its table has neither of EMQX's layouts.
pub fn groups(target: &Target) -> Result<Vec<(GroupName, usize)>, StoreError> {
    look(target, |db| {
        let rows = acl::rows(db, None)?;
        let known = known(db, &rows)?;
        let names: BTreeSet<GroupName> = rows.iter().filter_map(AclRow::group).collect();
        let of = |name: &GroupName| {
            let own = rows.iter().filter(|row| row.group().as_ref() == Some(name));
            own.cloned().collect()
        };
        let sizes = names.into_iter().map(|name| {
            let members = Membership::new(&name, of(&name), &known).members().count();
            (name, members)
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
    look(target, move |db| {
        let rows = acl::rows(db, Some(&group))?;
        let known = known(db, &rows)?;
        Ok(Membership::new(&group, rows, &known))
    })
}

/// The things that have a twin, if a row names everybody.
fn known(db: &mut Db, rows: &[AclRow]) -> diesel::QueryResult<Vec<ThingId>> {
    if rows.iter().any(AclRow::names_everybody) { twins::ids(db) } else { Ok(Vec::new()) }
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
