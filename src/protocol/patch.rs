//! JSON objects as patches of each other (RFC 7396), by their leaves: for those who hold a plain object, as things and
//! applications do. The twin's own trees carry times, and have their own (`twin/tree.rs`).

use serde_json::{Map, Value};

/// The names that lead to a member.
pub(crate) type Path = Vec<String>;

/// Applies a merge patch: objects merge, null removes, anything else replaces.
pub(crate) fn merge(target: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (name, value) in patch {
        match (target.get_mut(&name), value) {
            (_, Value::Null) => drop(target.remove(&name)),
            (Some(Value::Object(own)), Value::Object(patch)) => merge(own, patch),
            (_, Value::Object(patch)) => {
                let mut own = Map::new();
                merge(&mut own, patch);
                target.insert(name, Value::Object(own));
            }
            (_, value) => drop(target.insert(name, value)),
        }
    }
}

/// The paths of all leaves: members that are no objects, or empty ones.
pub(crate) fn leaves(object: &Map<String, Value>) -> Vec<Path> {
    let mut found = Vec::new();
    walk(&mut Vec::new(), object, &mut found);
    found
}

fn walk(path: &mut Path, object: &Map<String, Value>, found: &mut Vec<Path>) {
    for (name, value) in object {
        path.push(name.clone());
        match value.as_object() {
            Some(inner) if !inner.is_empty() => walk(path, inner, found),
            Some(_) | None => found.push(path.clone()),
        }
        path.pop();
    }
}

/// What stands at the end of a path.
pub(crate) fn at<'a>(object: &'a Map<String, Value>, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let value = object.get(first)?;
    if rest.is_empty() { Some(value) } else { at(value.as_object()?, rest) }
}

/// Takes out every null outside of arrays: to remove a member is to set it to null.
pub(crate) fn without_nulls(object: Map<String, Value>) -> Map<String, Value> {
    let keep = |(name, value)| match value {
        Value::Null => None,
        Value::Object(inner) => Some((name, Value::Object(without_nulls(inner)))),
        leaf @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            Some((name, leaf))
        }
    };
    object.into_iter().filter_map(keep).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn the_examples_of_rfc_7396_hold() {
        for (target, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        ] {
            let mut merged = object(target);
            merge(&mut merged, object(patch));
            assert_eq!(Value::Object(merged), result);
        }
    }

    #[test]
    fn leaves_are_what_is_no_object_or_an_empty_one() {
        let state = object(json!({"a": {"b": 1, "c": {}}, "d": [{"e": 2}]}));
        assert_eq!(leaves(&state), [vec!["a", "b"], vec!["a", "c"], vec!["d"]]);
        assert_eq!(at(&state, &["a".to_owned(), "b".to_owned()]), Some(&json!(1)));
        assert_eq!(at(&state, &["d".to_owned(), "e".to_owned()]), None);
    }

    #[test]
    fn nulls_go_but_for_those_in_arrays() {
        let state = object(json!({"a": null, "b": {"c": null}, "d": [null]}));
        assert_eq!(Value::Object(without_nulls(state)), json!({"b": {}, "d": [null]}));
    }
}
