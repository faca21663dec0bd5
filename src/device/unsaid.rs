//! Which members of a state the manager may not know: a report is made of what they are when it goes out, so that any
//! number of changes is one report, and one that may have been lost is made good by the next.

use std::{collections::BTreeSet, ops::Bound};

use serde_json::{Map, Value};

use crate::protocol::{Path, leaves, same_value};

/// The paths of the leaves that changed since the manager certainly heard of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Unsaid(BTreeSet<Path>);

impl Unsaid {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn mark(&mut self, path: Path) {
        self.0.insert(path);
    }

    /// What is said of this path is said of all above and below it: none of them is marked any more.
    pub(super) fn unmark(&mut self, path: &[String]) {
        for above in (1..path.len()).filter_map(|end| path.get(..end)) {
            self.0.remove(above);
        }
        let from = self.0.range::<[String], _>((Bound::Included(path), Bound::Unbounded));
        let below: Vec<_> = from.take_while(|marked| marked.starts_with(path)).cloned().collect();
        for path in below {
            self.0.remove(&path);
        }
    }

    /// The same of all that is marked there.
    pub(super) fn unmark_all(&mut self, other: &Self) {
        other.0.iter().for_each(|path| self.unmark(path));
    }

    /// All that is unsaid there is unsaid here.
    pub(super) fn absorb(&mut self, other: &Self) {
        self.0.extend(other.0.iter().cloned());
    }

    /// Marks what differs between two states.
    pub(super) fn mark_changes(&mut self, before: &Map<String, Value>, after: &Map<String, Value>) {
        self.compare(&mut Vec::new(), before, after);
    }

    fn compare(
        &mut self,
        path: &mut Path,
        before: &Map<String, Value>,
        after: &Map<String, Value>,
    ) {
        for name in before.keys().chain(after.keys().filter(|name| !before.contains_key(*name))) {
            path.push(name.clone());
            match (before.get(name), after.get(name)) {
                (Some(Value::Object(before)), Some(Value::Object(after)))
                    if !before.is_empty() && !after.is_empty() =>
                {
                    self.compare(path, before, after);
                }
                (Some(before), Some(after)) if same_value(before, after) => {}
                (before, after) => {
                    self.mark(path.clone());
                    // What was below has to be taken away one by one, should there be an object again.
                    [before, after].into_iter().flatten().for_each(|value| self.below(path, value));
                }
            }
            path.pop();
        }
    }

    fn below(&mut self, path: &Path, value: &Value) {
        if let Value::Object(object) = value {
            self.0.extend(leaves(object).into_iter().map(|leaf| [path.clone(), leaf].concat()));
        }
    }

    /// The merge patch that gives all this the values it has now.
    pub(super) fn patch(&self, now: &Map<String, Value>) -> Map<String, Value> {
        let mut patch = Map::new();
        // A path comes before those below it.
        self.0.iter().for_each(|path| put(&mut patch, path, now));
        patch
    }
}

fn put(patch: &mut Map<String, Value>, path: &[String], now: &Map<String, Value>) {
    let Some((name, rest)) = path.split_first() else { return };
    match now.get(name) {
        None => drop(patch.insert(name.clone(), Value::Null)),
        Some(Value::Object(inner)) if !rest.is_empty() => {
            let patch = patch.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(patch) = patch {
                put(patch, rest, inner);
            }
        }
        Some(value) => drop(patch.insert(name.clone(), value.clone())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::protocol::merge;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    fn unsaid(before: Value, after: Value) -> Value {
        let (before, after) = (object(before), object(after));
        let mut unsaid = Unsaid::default();
        unsaid.mark_changes(&before, &after);
        Value::Object(unsaid.patch(&after))
    }

    #[test]
    fn only_what_differs_is_said() {
        assert_eq!(unsaid(json!({"a": 1, "b": 2.0}), json!({"a": 3, "b": 2})), json!({"a": 3}));
        assert_eq!(unsaid(json!({"a": 1}), json!({})), json!({"a": null}));
        assert_eq!(
            unsaid(json!({"n": {"a": 1, "b": 1}}), json!({"n": {"a": 2, "b": 1}})),
            json!({"n": {"a": 2}})
        );
    }

    #[test]
    fn what_was_below_a_member_is_taken_away_though_it_was_something_else_meanwhile() {
        let (first, then, last) =
            (json!({"n": {"a": 1, "b": 1}}), json!({"n": 5}), json!({"n": {"a": 1}}));
        let mut unsaid = Unsaid::default();
        unsaid.mark_changes(&object(first), &object(then.clone()));
        unsaid.mark_changes(&object(then), &object(last.clone()));
        assert_eq!(Value::Object(unsaid.patch(&object(last))), json!({"n": {"a": 1, "b": null}}));
    }

    #[test]
    fn a_path_is_unmarked_with_what_is_above_and_below_it() {
        let path = |text: &str| text.split('.').map(str::to_owned).collect::<Path>();
        let all = ["n", "n.x", "n.x.a", "n.x.b", "n.xx", "n.y", "m"];
        for (asked, left) in [
            ("n.x", vec!["m", "n.xx", "n.y"]),
            ("n.x.a", vec!["m", "n.x.b", "n.xx", "n.y"]),
            ("n", vec!["m"]),
            ("o", vec!["m", "n", "n.x", "n.x.a", "n.x.b", "n.xx", "n.y"]),
        ] {
            let mut unsaid = Unsaid(all.iter().map(|text| path(text)).collect());
            unsaid.unmark(&path(asked));
            assert_eq!(unsaid, Unsaid(left.into_iter().map(path).collect()), "{asked}");
        }
    }

    fn state() -> impl Strategy<Value = Map<String, Value>> {
        let leaf = prop_oneof![Just(json!(1)), Just(json!(2)), Just(json!("x")), Just(json!([1]))];
        let value = leaf.prop_recursive(3, 12, 3, |inner| {
            proptest::collection::btree_map("[abc]", inner, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect()))
        });
        proptest::collection::btree_map("[abc]", value, 0..4)
            .prop_map(|members| members.into_iter().collect())
    }

    proptest! {
        #[test]
        fn whoever_heard_any_of_the_reports_is_put_right_by_all_that_is_unsaid(
            states in proptest::collection::vec((state(), any::<bool>()), 1..6),
        ) {
            let mut told = states.first().unwrap().0.clone();
            let mut now = told.clone();
            let mut unsaid = Unsaid::default();
            for (next, is_heard) in states {
                unsaid.mark_changes(&now, &next);
                now = next;
                if is_heard {
                    // It arrives, and nobody hears that it did.
                    merge(&mut told, unsaid.patch(&now));
                }
            }
            merge(&mut told, unsaid.patch(&now));
            prop_assert_eq!(Value::Object(told), Value::Object(now));
        }
    }
}
