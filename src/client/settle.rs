//! What a thing has made of what was asked of it. Pure.

use serde_json::{Map, Value};

use crate::protocol::{Path, TwinUpdate, at, leaves, same_value};

/// What became of the members of a SET: each leaf of it is in one of these.
///
/// ```
/// use serde_json::{Map, json};
/// use twinthing::client::Settled;
///
/// let level = Map::from_iter([("level".to_owned(), json!(200))]);
/// let settled = Settled { declined: level, ..Settled::default() };
/// assert!(settled.is_over() && !settled.is_taken());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// The thing has it as it was asked.
    pub taken: Map<String, Value>,
    /// The thing did not do it.
    pub declined: Map<String, Value>,
    /// The thing has not answered.
    pub open: Map<String, Value>,
    /// Somebody has asked for something else since, or the thing has changed it by itself.
    pub overtaken: Map<String, Value>,
}

impl Settled {
    /// Whether the thing has answered for all of it.
    ///
    /// ```
    /// use twinthing::client::Settled;
    ///
    /// assert!(Settled::default().is_over(), "nothing was asked");
    /// ```
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether the thing has all of it as it was asked.
    ///
    /// ```
    /// use twinthing::client::Settled;
    ///
    /// assert!(Settled::default().is_taken(), "nothing was asked");
    /// ```
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.open.is_empty() && self.declined.is_empty() && self.overtaken.is_empty()
    }

    /// What has become of what was asked by now, as the twin says it. By the manager's own rules: an empty object is there if
    /// any object is, numbers are the same if their values are, and `trn` is not asked for.
    ///
    /// ```
    /// use serde_json::json;
    /// use twinthing::client::{Settled, TwinUpdate, members_of};
    ///
    /// let asked = members_of(&json!({"on": true, "level": 200}))?;
    /// let twin = br#"{"reported":{"on":true,"level":40},"declined":{"level":200}}"#;
    /// let settled = Settled::of(&asked, &TwinUpdate::parse(twin)?);
    /// assert_eq!(settled.taken, members_of(&json!({"on": true}))?);
    /// assert_eq!(settled.declined, members_of(&json!({"level": 200}))?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn of(asked: &Map<String, Value>, twin: &TwinUpdate) -> Self {
        let mut settled = Self::default();
        for path in leaves(asked).into_iter().filter(|path| path.as_slice() != ["trn"]) {
            let Some(value) = at(asked, &path) else { continue };
            let is = |document| at(document, &path).is_some_and(|found| has(found, value));
            let reported = at(&twin.reported, &path);
            let is_as_asked = if value.is_null() { reported.is_none() } else { is(&twin.reported) };
            let place = if is(&twin.desired) {
                &mut settled.open
            } else if touches(&twin.desired, &path) {
                &mut settled.overtaken
            } else if is(&twin.declined) {
                &mut settled.declined
            } else if is_as_asked {
                &mut settled.taken
            } else {
                &mut settled.overtaken
            };
            put(place, &path, value);
        }
        settled
    }
}

/// Whether what is found is what was asked for.
fn has(found: &Value, asked: &Value) -> bool {
    if asked.is_object() { found.is_object() } else { same_value(found, asked) }
}

/// Whether there is anything at the path, or a leaf above it.
fn touches(document: &Map<String, Value>, path: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else { return true };
    match document.get(first) {
        None => false,
        Some(Value::Object(inner)) => inner.is_empty() || touches(inner, rest),
        Some(
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_),
        ) => true,
    }
}

/// Puts a value at the end of a path.
pub(super) fn put(object: &mut Map<String, Value>, path: &Path, value: &Value) {
    let Some((last, above)) = path.split_last() else { return };
    let mut inner = object;
    for name in above {
        let next = inner.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
        match next {
            Value::Object(next) => inner = next,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => return,
        }
    }
    inner.insert(last.clone(), value.clone());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_leaf_is_taken_declined_open_or_overtaken() {
        let twin = json!({
            "reported": {"trn": 4, "a": 1.0, "n": {"x": 0}, "later": 9},
            "desired": {"trn": 4, "n": {"y": 2}, "other": 8},
            "declined": {"b": 2, "gone": null},
        });
        let twin = TwinUpdate::parse(twin.to_string().as_bytes()).unwrap();
        let asked = json!({
            "a": 1, "b": 2, "n": {"y": 2, "z": null}, "gone": null, "other": 7, "later": 3,
        });
        let settled = Settled::of(asked.as_object().unwrap(), &twin);
        let object = |value: Value| value.as_object().cloned().unwrap();
        let expected = Settled {
            taken: object(json!({"a": 1, "n": {"z": null}})),
            declined: object(json!({"b": 2, "gone": null})),
            open: object(json!({"n": {"y": 2}})),
            overtaken: object(json!({"other": 7, "later": 3})),
        };
        assert_eq!(settled, expected);
        assert!(!settled.is_over() && !settled.is_taken());
    }

    #[test]
    fn the_manager_s_rules_hold() {
        let object = |value: Value| value.as_object().cloned().unwrap();
        let settled = |asked: Value, twin: Value| {
            let twin = TwinUpdate::from_object(object(twin)).unwrap();
            let settled = Settled::of(&object(asked), &twin);
            [settled.taken, settled.declined, settled.open, settled.overtaken]
                .map(|part| Value::Object(part).to_string())
        };
        let any_object = settled(json!({"a": {}}), json!({"reported": {"a": {"b": 1}}}));
        assert_eq!(any_object, [r#"{"a":{}}"#, "{}", "{}", "{}"]);
        let no_trn = settled(json!({"trn": 5, "b": 1.0}), json!({"reported": {"trn": 9, "b": 1}}));
        assert_eq!(no_trn, [r#"{"b":1.0}"#, "{}", "{}", "{}"]);
        // Somebody asks for something else by now: an older refusal of the same says nothing.
        let twin = json!({"desired": {"a": 2}, "declined": {"a": 1}});
        assert_eq!(settled(json!({"a": 1}), twin), ["{}", "{}", "{}", r#"{"a":1}"#]);
        for desired in [json!({"a": 3}), json!({"a": {"b": {"c": 1}}}), json!({"a": {}})] {
            let twin = json!({"desired": desired, "reported": {"a": {"b": 1}}});
            let overtaken = [r"{}", "{}", "{}", r#"{"a":{"b":1}}"#];
            assert_eq!(settled(json!({"a": {"b": 1}}), twin), overtaken);
        }
    }

    #[test]
    fn nothing_asked_is_taken() {
        let settled = Settled::of(&Map::new(), &TwinUpdate::default());
        assert!(settled.is_taken());
    }
}
