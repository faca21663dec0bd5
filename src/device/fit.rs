//! How what is asked becomes a state of the author's type that the filter agrees to: as a whole, or as much of it as
//! does.

use serde_json::{Map, Value};

use super::{
    State, StateError,
    kept::Filter,
    state::{read, show},
};
use crate::protocol::{Path, merge};

/// How many members are read at most to find out which of them fit, unless there are very many: all of them may be
/// wrong.
const ENOUGH: usize = 1_000_000;
/// How often each is, if there are very many.
const EACH: usize = 64;

/// A state with as much of a patch as fits, and how it is shown.
pub(super) struct Fitted<T> {
    pub(super) state: T,
    pub(super) shown: Map<String, Value>,
    /// What was wrong with what the filter made of all that fits the type.
    pub(super) wrong: Option<StateError>,
}

/// The state with as much of the patch as fits the type, and as the filter wants it. What has the filter make of it what
/// is no state is refused as well.
pub(super) fn fit<T: State>(
    state: &T,
    shown: &Map<String, Value>,
    patch: Map<String, Value>,
    filter: &Filter<T>,
) -> Fitted<T> {
    let as_read = |wanted: T| show(&wanted).ok().map(|shown| (wanted, shown));
    let (mut wanted, _) = as_much(state, shown, patch.clone(), &as_read);
    filter(state, &mut wanted);
    let error = match show(&wanted) {
        Ok(shown) => return Fitted { state: wanted, shown, wrong: None },
        Err(error) => error,
    };
    let as_filtered = |mut wanted: T| {
        filter(state, &mut wanted);
        as_read(wanted)
    };
    let (state, shown) = as_much(state, shown, patch, &as_filtered);
    Fitted { state, shown, wrong: Some(error) }
}

type Shown<T> = (T, Map<String, Value>);

fn as_much<T: State>(
    state: &T,
    shown: &Map<String, Value>,
    patch: Map<String, Value>,
    make: &dyn Fn(T) -> Option<Shown<T>>,
) -> Shown<T> {
    let left = ENOUGH.saturating_add(EACH.saturating_mul(size_of(shown) + size_of(&patch)));
    let best = (state.clone(), shown.clone());
    let mut fitting = Fitting { best, members: shown.clone(), make, left };
    fitting.take(&mut Vec::new(), patch.into_iter().collect());
    fitting.best
}

struct Fitting<'a, T> {
    best: Shown<T>,
    /// The members that it was read from.
    members: Map<String, Value>,
    make: &'a dyn Fn(T) -> Option<Shown<T>>,
    /// How many members may still be read.
    left: usize,
}

impl<T: State> Fitting<'_, T> {
    /// Takes these members of the object at this path, or if they do not fit together what fits of either half. What
    /// does not fit by itself is refused, of an object what does not in it.
    fn take(&mut self, path: &mut Path, mut members: Vec<(String, Value)>) {
        if members.is_empty() || self.left == 0 || self.fits(nested(path, &members)) {
            return;
        }
        if members.len() > 1 {
            let rest = members.split_off(members.len() / 2);
            self.take(path, members);
            self.take(path, rest);
        } else if let Some((name, Value::Object(inner))) = members.pop() {
            path.push(name);
            self.take(path, inner.into_iter().collect());
            path.pop();
        }
    }

    fn fits(&mut self, patch: Map<String, Value>) -> bool {
        let mut members = self.members.clone();
        merge(&mut members, patch);
        self.left = self.left.saturating_sub(size_of(&members));
        let Some(made) = read(&members).ok().and_then(self.make) else { return false };
        (self.best, self.members) = (made, members);
        true
    }
}

fn nested(path: &[String], members: &[(String, Value)]) -> Map<String, Value> {
    let wrap = |inner, name: &String| Map::from_iter([(name.clone(), Value::Object(inner))]);
    path.iter().rev().fold(members.iter().cloned().collect(), wrap)
}

fn size_of(members: &Map<String, Value>) -> usize {
    members.values().map(size).sum()
}

fn size(value: &Value) -> usize {
    match value {
        Value::Object(members) => 1 + size_of(members),
        Value::Array(values) => 1 + values.iter().map(size).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Lamp {
        on: bool,
        level: u8,
        offset: i8,
        watts: f64,
        colour: Colour,
        name: Option<String>,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Colour {
        r: u8,
        g: u8,
    }

    fn lamp() -> Lamp {
        let colour = Colour { r: 1, g: 1 };
        Lamp { on: false, level: 1, offset: 0, watts: 3.0, colour, name: None }
    }

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    fn filtered(patch: Value, filter: &Filter<Lamp>) -> Fitted<Lamp> {
        fit(&lamp(), &show(&lamp()).unwrap(), object(patch), filter)
    }

    fn fitted(patch: Value) -> Lamp {
        filtered(patch, &|_, _| {}).state
    }

    #[test]
    fn members_that_are_not_of_the_type_stay_as_they_are_and_the_others_are_taken() {
        let after = fitted(json!({"on": true, "level": 300, "colour": {"r": 9, "g": "x"}}));
        assert_eq!(after, Lamp { on: true, colour: Colour { r: 9, g: 1 }, ..lamp() });
    }

    #[test]
    fn a_whole_number_may_be_written_as_a_float() {
        let after = fitted(json!({"level": 20.0, "offset": -2e0, "name": "hall"}));
        assert_eq!((after.level, after.offset, after.name.as_deref()), (20, -2, Some("hall")));
        assert_eq!(fitted(json!({"level": 20.5})).level, 1);
    }

    #[test]
    fn what_is_needed_cannot_be_removed_and_what_is_optional_can() {
        assert_eq!(fitted(json!({"on": null, "name": null})), lamp());
    }

    #[test]
    fn a_number_that_is_no_finite_float_is_refused_alone() {
        let patch = serde_json::from_str(r#"{"on":true,"watts":1e400,"level":2}"#).unwrap();
        assert_eq!(fitted(patch), Lamp { on: true, level: 2, ..lamp() });
    }

    #[test]
    fn what_has_the_filter_make_no_state_is_refused_alone_and_told() {
        let per_level = |_: &Lamp, wanted: &mut Lamp| {
            wanted.watts = f64::from(wanted.offset) / f64::from(wanted.level);
        };
        let fine = filtered(json!({"level": 2, "offset": 3}), &per_level);
        assert_eq!((fine.state.watts, fine.wrong), (1.5, None));
        let divided = filtered(json!({"on": true, "level": 0}), &per_level);
        assert_eq!(divided.state, Lamp { on: true, watts: 0.0, ..lamp() });
        assert!(matches!(divided.wrong, Some(StateError::NotRead(_))));
        // One that makes none of anything has all refused.
        let never = |_: &Lamp, wanted: &mut Lamp| wanted.watts = f64::NAN;
        let none = filtered(json!({"on": true}), &never);
        assert_eq!((none.state, none.shown), (lamp(), show(&lamp()).unwrap()));
    }

    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Board {
        #[serde(flatten)]
        levels: std::collections::BTreeMap<String, u8>,
    }

    fn board(patch: Map<String, Value>) -> Board {
        fit(&Board::default(), &Map::new(), patch, &|_, _| {}).state
    }

    #[test]
    fn of_a_thousand_members_each_that_fits_is_taken_wherever_the_others_are() {
        let name = |n: u32| format!("a{n:05}");
        let wrong = |n: u32| n.is_multiple_of(90);
        let value = |n: u32| if wrong(n) { json!("x") } else { json!(n % 200) };
        let board = board((0..1000).map(|n| (name(n), value(n))).collect());
        let fits: Vec<_> = (0..1000).filter(|n| !wrong(*n)).map(name).collect();
        assert!(board.levels.into_keys().eq(fits));
    }

    #[test]
    fn a_request_of_which_very_much_is_wrong_is_looked_at_for_a_bounded_time() {
        let many = Board { levels: (0..200).map(|n| (format!("b{n}"), 1)).collect() };
        let patch = (0..2000).map(|n| (format!("a{n}"), json!(2))).collect();
        let shown = show(&many).unwrap();
        let reads = std::cell::Cell::new(0);
        let make = |_: Board| {
            reads.set(reads.get() + 1);
            None
        };
        let best = (many, shown.clone());
        let mut fitting = Fitting { best, members: shown.clone(), make: &make, left: 10_000 };
        fitting.take(&mut Vec::new(), patch);
        assert_eq!(fitting.members, shown);
        assert!((10..50).contains(&reads.get()), "{} times 200 members and more", reads.get());
    }
}
