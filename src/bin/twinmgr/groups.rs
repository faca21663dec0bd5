//! `twinmgr groups` and `twinmgr members`: what the broker's access table says of groups.

use std::process::ExitCode;

use twinthing::{
    protocol::GroupName,
    store::{self, Decision, Target},
};

use super::{Failure, poison::print};

/// A line for each group.
pub(crate) fn list(target: &Target) -> Result<ExitCode, Failure> {
    let groups = store::groups(target)?;
    if groups.is_empty() {
        print(&format!("{target}: no row of mqtt_acl names a group (GRP/…/TPC/#)\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let line = |(name, members): (GroupName, usize)| {
        let things = if members == 1 { "thing" } else { "things" };
        format!("{name}  {members} {things}\n")
    };
    print(&groups.into_iter().map(line).collect::<String>())?;
    Ok(ExitCode::SUCCESS)
}

/// A line for each member; with an explanation, one for each thing that a row names.
pub(crate) fn members(
    target: &Target,
    group: &GroupName,
    explains: bool,
) -> Result<ExitCode, Failure> {
    let membership = store::members(target, group)?;
    if !explains {
        print(&membership.members().map(|id| format!("{id}\n")).collect::<String>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut lines = String::new();
    for (id, Decision { is_member, row }) in &membership.decided {
        let (verdict, made) =
            if *is_member { ("member", "allows") } else { ("no member", "denies") };
        lines += &format!("{id}  {verdict}  row {row} of mqtt_acl {made} it\n");
    }
    for skipped in &membership.skipped {
        lines += &format!("row {} of mqtt_acl is passed over: {}\n", skipped.row, skipped.reason);
    }
    if lines.is_empty() {
        lines = format!("{target}: no row of mqtt_acl is about GRP/{group}/TPC/#\n");
    }
    print(&lines)?;
    Ok(ExitCode::SUCCESS)
}
