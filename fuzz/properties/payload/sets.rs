//! Rule 3.

use serde_json::Value;
use twinthing::protocol::same_value;

use super::{
    change::Change,
    json::{Object, Path, at, has, leaves, overlap},
    past::Past,
};

pub(super) fn check(set: &Object, change: &Change<'_>, past: &mut Past) {
    let Change { before, after, .. } = change;
    assert!(after.reported.is_same(&before.reported) && after.declined.is_same(&before.declined));
    let (was, is) = (leaves(&before.desired.state), leaves(&after.desired.state));
    let asked = leaves(set);
    for (path, leaf) in &asked {
        is_asked_if_needed(path, leaf, change, past);
    }
    for (path, leaf) in &was {
        if !asked.iter().any(|(asked, _)| overlap(asked, path)) {
            assert_eq!(at(&after.desired.state, path), Some(leaf), "{path:?} is pending");
        }
    }
    for entry in &is {
        let is_known = was.contains(entry) || asked.contains(entry);
        assert!(is_known || makes_way(entry, change), "{entry:?} was not asked for");
    }
    if was == is || is.is_empty() {
        assert_eq!(before.desired.trn, after.desired.trn);
    } else {
        past.renewed(&after.desired);
    }
}

/// What is asked for is desired, unless the thing reports it and can be relied on.
fn is_asked_if_needed(path: &Path, leaf: &Value, change: &Change<'_>, past: &Past) {
    let Change { before, after, .. } = change;
    let declined = leaves(&before.declined.state);
    let is_needed = past.restored.is_some()
        || past.is_open(path)
        || declined.iter().any(|(declined, _)| overlap(declined, path))
        || !has(&before.reported.state, path, leaf);
    let (was, is) = (at(&before.desired.state, path), at(&after.desired.state, path));
    let is_pending =
        was.is_some_and(|was| same_value(was, leaf) || was.is_object() && leaf.is_object());
    if is_pending {
        assert_eq!(is, was, "{path:?} is asked for already");
    } else if leaf.is_object() {
        assert!(!is_needed || is.is_some_and(Value::is_object), "{path:?} is needed");
    } else {
        assert_eq!(is, is_needed.then_some(leaf), "{path:?}: needed is {is_needed}");
    }
}

/// Whether it is the removal of what an object asked for in place of a pending value does not have.
fn makes_way((path, leaf): &(Path, Value), change: &Change<'_>) -> bool {
    let Change { before, .. } = change;
    let over_a_value =
        |end| at(&before.desired.state, &path[..end]).is_some_and(|pending| !pending.is_object());
    leaf.is_null()
        && at(&before.reported.state, path).is_some()
        && (1..path.len()).any(over_a_value)
}
