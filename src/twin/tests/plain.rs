//! Documents for the model, as plain JSON: leaves are paths, and a patch is what RFC 7396 says.

use std::collections::BTreeMap;

use serde_json::Map;

use super::*;
use crate::protocol::same_value;

pub(super) type Path = Vec<String>;

/// A state, and when each leaf of it was set.
#[derive(Clone, Debug)]
pub(super) struct Doc {
    pub(super) state: Value,
    pub(super) times: BTreeMap<Path, i64>,
    trn: Option<(u64, i64)>,
    pub(super) timestamp: i64,
}

impl Doc {
    pub(super) fn new() -> Self {
        Self { state: json!({}), times: BTreeMap::new(), trn: None, timestamp: 0 }
    }

    pub(super) fn trn(&self) -> Option<u64> {
        self.trn.map(|(trn, _)| trn)
    }

    pub(super) fn set_trn(&mut self, trn: u64, now: i64) {
        if self.trn() != Some(trn) {
            self.trn = Some((trn, now));
            self.timestamp = now;
        }
    }

    /// Takes a new state; what is in it as before keeps its time and the way it was written.
    pub(super) fn become_state(&mut self, state: Value, now: i64) -> bool {
        let old: BTreeMap<_, _> = leaves(&self.state).into_iter().collect();
        self.times = leaves(&state)
            .into_iter()
            .map(|(path, value)| {
                let same = old.get(&path).is_some_and(|was| same_value(was, &value));
                let time = self.times.get(&path).copied().filter(|_| same).unwrap_or(now);
                (path, time)
            })
            .collect();
        let changed = !same_value(&self.state, &state);
        if changed {
            self.timestamp = now;
        }
        self.state = state;
        changed
    }

    pub(super) fn is_settled(&self) -> bool {
        self.state == json!({})
    }

    pub(super) fn on_the_wire(&self) -> Value {
        let mut state = self.state.clone();
        if let Some(trn) = self.trn() {
            state["trn"] = json!(trn);
        }
        state
    }

    pub(super) fn meta(&self) -> Value {
        let mut meta = self.times_of(&mut vec![], &self.state);
        meta["timestamp"] = json!(self.timestamp);
        if let Some((_, at)) = self.trn {
            meta["trn"] = json!(at);
        }
        meta
    }

    fn times_of(&self, path: &mut Path, value: &Value) -> Value {
        let Value::Object(members) = value else { return json!(self.times[path]) };
        let mut times = json!({});
        for (name, value) in members {
            path.push(name.clone());
            times[name] = self.times_of(path, value);
            path.pop();
        }
        times
    }
}

/// The members that are no object, or an empty one.
pub(super) fn leaves(value: &Value) -> Vec<(Path, Value)> {
    let mut found = vec![];
    for (name, value) in value.as_object().unwrap() {
        if value.as_object().is_some_and(|members| !members.is_empty()) {
            for (mut path, leaf) in leaves(value) {
                path.insert(0, name.clone());
                found.push((path, leaf));
            }
        } else {
            found.push((vec![name.clone()], value.clone()));
        }
    }
    found
}

pub(super) fn at<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| value.as_object()?.get(name))
}

/// Takes a leaf out of a patch; an object that is emptied by that vanishes.
pub(super) fn remove(patch: &mut Value, path: &[String]) {
    let (name, rest) = path.split_first().unwrap();
    let Some(members) = patch.as_object_mut() else { return };
    if rest.is_empty() {
        members.remove(name);
    } else if let Some(member) = members.get_mut(name)
        && member.is_object()
    {
        remove(member, rest);
        if *member == json!({}) {
            members.remove(name);
        }
    }
}

/// Puts a leaf into a patch.
pub(super) fn put(patch: &mut Value, path: &[String], leaf: &Value) {
    let (name, rest) = path.split_first().unwrap();
    if !patch.is_object() {
        *patch = json!({});
    }
    if rest.is_empty() {
        patch[name] = leaf.clone();
    } else {
        put(&mut patch[name], rest, leaf);
    }
}

pub(super) fn overlap(one: &[String], other: &[String]) -> bool {
    one.iter().zip(other).all(|(a, b)| a == b)
}

/// RFC 7396, but what is equal stays as it was written.
pub(super) fn merge_patch(target: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else {
        return if same_value(target, patch) { target.clone() } else { patch.clone() };
    };
    let mut members = target.as_object().cloned().unwrap_or_default();
    for (name, value) in patch {
        if value.is_null() {
            members.remove(name);
        } else {
            let merged = merge_patch(members.get(name).unwrap_or(&Value::Null), value);
            members.insert(name.clone(), merged);
        }
    }
    Value::Object(members)
}

/// A whole state, as far as it is as before written as before.
pub(super) fn replace(before: Option<&Value>, now: &Value) -> Value {
    let Value::Object(members) = now else {
        return before.filter(|before| same_value(before, now)).unwrap_or(now).clone();
    };
    let own = |name: &str| before.and_then(|before| before.get(name));
    members
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.clone(), replace(own(name), value)))
        .collect()
}

/// A later patch over an earlier one. `null` is a value, and what was pending as no object would
/// have done away with what the thing has.
pub(super) fn ask_over(pending: Option<&Value>, asked: &Value, reported: Option<&Value>) -> Value {
    match (pending, asked) {
        (Some(Value::Object(pending)), Value::Object(asked)) => {
            let mut all = pending.clone();
            for (name, asked) in asked {
                let reported = reported.and_then(|reported| reported.get(name));
                all.insert(name.clone(), ask_over(pending.get(name), asked, reported));
            }
            Value::Object(all)
        }
        (Some(_), Value::Object(_)) => exactly(asked, reported),
        (Some(pending), asked) if same_value(pending, asked) => pending.clone(),
        (_, asked) => asked.clone(),
    }
}

/// The patch that makes exactly this of what is reported.
fn exactly(asked: &Value, reported: Option<&Value>) -> Value {
    let (Value::Object(members), Some(Value::Object(reported))) = (asked, reported) else {
        return asked.clone();
    };
    let mut all = Map::new();
    for (name, asked) in members {
        all.insert(name.clone(), exactly(asked, reported.get(name)));
    }
    for name in reported.keys() {
        all.entry(name.clone()).or_insert(Value::Null);
    }
    Value::Object(all)
}

/// Whether the state has a leaf as asked. An empty object asks for an object.
pub(super) fn has(state: &Value, path: &[String], asked: &Value) -> bool {
    match (asked, at(state, path)) {
        (Value::Null, found) => found.is_none(),
        (Value::Object(_), found) => found.is_some_and(Value::is_object),
        (asked, found) => found.is_some_and(|found| same_value(found, asked)),
    }
}

/// Whether a delta says of a leaf that it is as asked. Taken: the removal of what is above it says
/// that it is removed, a value in the place of that does not.
pub(super) fn carries(delta: &Value, path: &[String], asked: &Value) -> bool {
    let mut here = delta;
    for name in path {
        match here.as_object() {
            Some(members) => match members.get(name) {
                Some(member) => here = member,
                None => return false,
            },
            None => return asked.is_null() && here.is_null(),
        }
    }
    if asked.is_object() { here.is_object() } else { same_value(here, asked) }
}
