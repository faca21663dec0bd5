//! How what is asked becomes a state of the author's type, member by member where it does not as a whole.

use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};

use super::kept::patched;
use crate::protocol::whole_number;

/// How often is tried at most to make a state of the author's type: a request may have very many members.
const TRIES: usize = 200;

/// The state with as much of the patch as fits the type. `base` is what it goes over: what there is, or nothing if
/// what is not asked for is to go.
pub(super) fn fit<T: DeserializeOwned + Clone>(
    state: &T,
    shown: &Map<String, Value>,
    base: Map<String, Value>,
    patch: Map<String, Value>,
) -> T {
    if let Some(whole) = read(&patched(&base, patch.clone())) {
        return whole;
    }
    let mut fitting = Fitting { best: state.clone(), shown: shown.clone(), tries: TRIES };
    fitting.members(&mut Vec::new(), patch);
    fitting.best
}

struct Fitting<T> {
    best: T,
    /// The members that `best` was read from.
    shown: Map<String, Value>,
    tries: usize,
}

impl<T: DeserializeOwned> Fitting<T> {
    /// Takes each member of the patch that fits by itself, of an object that does not as much as does.
    fn members(&mut self, path: &mut Vec<String>, patch: Map<String, Value>) {
        for (name, value) in patch {
            if self.tries == 0 {
                return;
            }
            self.tries -= 1;
            path.push(name);
            let next = patched(&self.shown, nested(path, value.clone()));
            if let Some(state) = read(&next) {
                (self.best, self.shown) = (state, next);
            } else if let Value::Object(inner) = value {
                self.members(path, inner);
            }
            path.pop();
        }
    }
}

fn nested(path: &[String], value: Value) -> Map<String, Value> {
    let wrap = |inner, name: &String| Value::Object(Map::from_iter([(name.clone(), inner)]));
    let whole = path.iter().rev().fold(value, wrap);
    whole.as_object().cloned().unwrap_or_default()
}

/// A state of the author's type, where 20.0 is 20 as well.
fn read<T: DeserializeOwned>(members: &Map<String, Value>) -> Option<T> {
    let value = Value::Object(members.clone());
    T::deserialize(&value).or_else(|_| T::deserialize(plain(value))).ok()
}

/// The same with each whole number written as one.
fn plain(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(plain_number(number)),
        Value::Array(values) => Value::Array(values.into_iter().map(plain).collect()),
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (name, plain(value))).collect()
        }
        other @ (Value::Null | Value::Bool(_) | Value::String(_)) => other,
    }
}

fn plain_number(number: Number) -> Number {
    let text = number.as_str();
    let (sign, size) = text.strip_prefix('-').map_or((1, text), |size| (-1, size));
    let size = size.parse().ok().and_then(|size| whole_number(&Value::Number(size)));
    match size.map(i128::from) {
        Some(size) => Number::from_i128(sign * size).unwrap_or(number),
        None => number,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Deserialize)]
    struct Lamp {
        on: bool,
        level: u8,
        offset: i8,
        colour: Colour,
        name: Option<String>,
    }

    #[derive(Clone, Debug, PartialEq, Deserialize)]
    struct Colour {
        r: u8,
        g: u8,
    }

    fn lamp() -> (Lamp, Map<String, Value>) {
        let shown = json!({"on": false, "level": 1, "offset": 0, "colour": {"r": 1, "g": 1}});
        (Lamp::deserialize(&shown).unwrap(), shown.as_object().cloned().unwrap())
    }

    fn fitted(patch: Value) -> Lamp {
        let (state, shown) = lamp();
        let base = shown.clone();
        fit(&state, &shown, base, patch.as_object().cloned().unwrap())
    }

    #[test]
    fn members_that_are_not_of_the_type_stay_as_they_are_and_the_others_are_taken() {
        let (before, _) = lamp();
        let after = fitted(json!({"on": true, "level": 300, "colour": {"r": 9, "g": "x"}}));
        assert_eq!(after, Lamp { on: true, colour: Colour { r: 9, g: 1 }, ..before });
    }

    #[test]
    fn a_whole_number_may_be_written_as_a_float() {
        let after = fitted(json!({"level": 20.0, "offset": -2e0, "name": "hall"}));
        assert_eq!((after.level, after.offset, after.name.as_deref()), (20, -2, Some("hall")));
        assert_eq!(fitted(json!({"level": 20.5})).level, 1);
    }

    #[test]
    fn what_is_needed_cannot_be_removed_and_what_is_optional_can() {
        let after = fitted(json!({"on": null, "name": null}));
        assert_eq!(after, lamp().0);
    }

    #[test]
    fn a_request_of_ten_thousand_members_of_the_wrong_type_is_not_tried_one_by_one() {
        let mut patch: Map<String, Value> =
            (0..10_000).map(|n| (format!("a{n}"), json!(n))).collect();
        patch.insert("level".to_owned(), json!("x"));
        assert_eq!(fitted(Value::Object(patch)), lamp().0);
    }
}
