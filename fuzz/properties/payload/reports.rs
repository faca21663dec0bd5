//! Rule 4, and what rule 6 says of reports.

use serde_json::Value;
use twinthing::protocol::{Report, ReportKind, same_value};

use super::{
    change::Change,
    json::{Object, Path, at, carries, has, leaves, merged, overlap},
    past::Past,
};

/// Whether the report is passed over as the defaults of a reboot.
pub(super) fn check(report: &Report, change: &Change<'_>, past: &mut Past) -> bool {
    let Change { before, after, .. } = change;
    let trn = past.counted(report.trn.map(|trn| trn.get()), before.desired.trn);
    let is_state = report.kind == ReportKind::State;
    let rebooting = past.is_rebooting(change.now, change.rules);
    if rebooting && is_state && trn < past.restored.flatten() {
        assert_eq!(before.parts(), after.parts());
        return true;
    }
    if let Some(trn) = trn {
        past.received(trn);
    }
    let lowers = rebooting && !is_state && trn < before.reported.trn;
    let reported_trn = if lowers { None } else { trn };
    assert_eq!(after.reported.trn, reported_trn.or(before.reported.trn));
    if past.restored.is_some_and(|restored| restored.is_none() || trn >= restored) {
        past.restored = None;
    }
    is_merged(report, change);
    let unsettled = !before.desired.state.is_empty();
    let reaches = unsettled && trn.is_some() && trn >= before.desired.trn;
    settles(report, change, past, reaches);
    if reaches && !after.desired.state.is_empty() {
        past.renewed(&after.desired);
    } else {
        assert_eq!(before.desired.trn, after.desired.trn);
    }
    false
}

/// Rule 1.
fn is_merged(report: &Report, change: &Change<'_>) {
    let nothing = Object::new();
    let onto = match report.kind {
        ReportKind::Delta => &change.before.reported.state,
        ReportKind::State => &nothing,
    };
    let wanted = Value::Object(merged(onto, &report.members));
    let is = Value::Object(change.after.reported.state.clone());
    assert!(same_value(&is, &wanted), "{is} is not {wanted}");
}

/// What becomes of each leaf that was desired, and of each that was declined.
fn settles(report: &Report, change: &Change<'_>, past: &Past, reaches: bool) {
    let Change { before, after, .. } = change;
    let answers = reaches && past.sent;
    let (mut settled, mut declined): (Vec<Path>, Vec<(Path, Value)>) = Default::default();
    for (path, leaf) in leaves(&before.desired.state) {
        let is_had = has(&after.reported.state, &path, &leaf);
        let is_carried = report.kind == ReportKind::State || carries(&report.members, &path);
        let is_free = !past.is_open(&path) || after.reported.trn.is_none();
        if is_had && (reaches || is_carried && is_free) {
            settled.push(path);
        } else if answers {
            declined.push((path, leaf));
        } else {
            assert_eq!(at(&after.desired.state, &path), Some(&leaf), "{path:?} stays");
        }
    }
    let left = leaves(&before.desired.state).len() - settled.len() - declined.len();
    assert_eq!(leaves(&after.desired.state).len(), left, "{after:?}");
    let was_declined = leaves(&before.declined.state);
    let goes = |path: &Path, leaf: &Value| {
        has(&after.reported.state, path, leaf)
            || settled.iter().any(|settled| overlap(settled, path))
            || declined.iter().any(|(declined, _)| overlap(declined, path))
    };
    let mut wanted: Vec<_> =
        was_declined.into_iter().filter(|(path, leaf)| !goes(path, leaf)).collect();
    wanted.extend(declined);
    wanted.sort_by(|(one, _), (other, _)| one.cmp(other));
    assert_eq!(leaves(&after.declined.state), wanted);
}
