//! JSON as the rules see it: leaves, patches, and values that are the same.

use serde_json::{Map, Value};
use twinthing::protocol::same_value;

pub(super) type Object = Map<String, Value>;
pub(super) type Path = Vec<String>;

/// How many objects and arrays stand inside each other.
pub(super) fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Every leaf: what is no object, or one without members.
pub(super) fn leaves(object: &Object) -> Vec<(Path, Value)> {
    let mut found = Vec::new();
    for (name, value) in object {
        match value.as_object().filter(|members| !members.is_empty()) {
            Some(members) => {
                let below = leaves(members).into_iter();
                found.extend(below.map(|(path, leaf)| ([vec![name.clone()], path].concat(), leaf)));
            }
            None => found.push((vec![name.clone()], value.clone())),
        }
    }
    found
}

pub(super) fn at<'a>(object: &'a Object, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let value = object.get(first)?;
    if rest.is_empty() { Some(value) } else { at(value.as_object()?, rest) }
}

/// Whether a state is at the path as a patch with this leaf would make it.
pub(super) fn has(state: &Object, path: &[String], leaf: &Value) -> bool {
    match (leaf, at(state, path)) {
        (Value::Null, there) => there.is_none(),
        (Value::Object(_), there) => there.is_some_and(Value::is_object),
        (leaf, there) => there.is_some_and(|there| same_value(there, leaf)),
    }
}

/// Whether one of two paths leads to the other, or they are the same.
pub(super) fn overlap(one: &[String], other: &[String]) -> bool {
    one.iter().zip(other).all(|(a, b)| a == b)
}

/// RFC 7396.
pub(super) fn merged(target: &Object, patch: &Object) -> Object {
    let mut result = target.clone();
    for (name, value) in patch {
        let own = result.remove(name);
        let new = match value {
            Value::Null => continue,
            Value::Object(patch) => {
                let own = own.as_ref().and_then(Value::as_object);
                Value::Object(merged(own.unwrap_or(&Object::new()), patch))
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => value.clone(),
        };
        result.insert(name.clone(), new);
    }
    result
}

/// Whether a delta speaks of what is at the path: names it, or removes what it is in.
pub(super) fn carries(delta: &Object, path: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else { return true };
    match delta.get(first) {
        None => false,
        Some(Value::Object(members)) => rest.is_empty() || carries(members, rest),
        Some(value) => rest.is_empty() || value.is_null(),
    }
}

pub(super) fn has_null(object: &Object) -> bool {
    object.values().any(|value| value.is_null() || value.as_object().is_some_and(has_null))
}
