//! How members are typed, and shown: `on=true net.ip=10.0.0.7 rgb=[255,0,0]`.
//!
//! What is shown can be typed. A value is JSON, or, if it is none, a string; a dot in a name goes a level down, and with
//! a backslash before it, it is a dot.

use serde_json::{Map, Value};

use super::Failure;

/// What is asked for by these words, each `MEMBER=VALUE`.
pub(crate) fn members<'a>(
    words: impl IntoIterator<Item = &'a str>,
) -> Result<Map<String, Value>, Failure> {
    let mut members = Map::new();
    for word in words {
        let (name, value) = split(word)?;
        let value = value.ok_or_else(|| {
            let wanted = "wants a value: MEMBER=VALUE; twinctl unset removes a member";
            Failure::Usage(format!("{word:?} {wanted}"))
        })?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        put(&mut members, &name, value, word)?;
    }
    Ok(members)
}

/// What is asked for to have these members gone.
pub(crate) fn removals<'a>(
    words: impl IntoIterator<Item = &'a str>,
) -> Result<Map<String, Value>, Failure> {
    let mut members = Map::new();
    for word in words {
        let (name, value) = split(word)?;
        if value.is_some() {
            return Err(Failure::Usage(format!("{word:?} is not the name of a member alone")));
        }
        put(&mut members, &name, Value::Null, word)?;
    }
    Ok(members)
}

/// The levels of a name, and what stands behind its `=`.
fn split(word: &str) -> Result<(Vec<String>, Option<&str>), Failure> {
    let mut levels = vec![String::new()];
    let mut value = None;
    let mut letters = word.char_indices();
    while let Some((_, letter)) = letters.next() {
        let next = match letter {
            '.' => {
                levels.push(String::new());
                continue;
            }
            '=' => {
                value = Some(letters.as_str());
                break;
            }
            '\\' => match letters.next() {
                Some((_, escaped)) => escaped,
                None => '\\',
            },
            other => other,
        };
        if let Some(level) = levels.last_mut() {
            level.push(next);
        }
    }
    if levels.iter().any(String::is_empty) {
        return Err(Failure::Usage(format!("{word:?} has a name with nothing in it")));
    }
    Ok((levels, value))
}

fn put(
    members: &mut Map<String, Value>,
    path: &[String],
    value: Value,
    word: &str,
) -> Result<(), Failure> {
    let clash = || Failure::Usage(format!("{word:?}: that member is there already"));
    let Some((name, above)) = path.split_last() else { return Err(clash()) };
    let mut object = members;
    for level in above {
        let inner = object.entry(level.clone()).or_insert_with(|| Value::Object(Map::new()));
        object = inner.as_object_mut().ok_or_else(clash)?;
    }
    match object.insert(name.clone(), value) {
        None => Ok(()),
        Some(_) => Err(clash()),
    }
}

/// Each leaf, by its name as it is typed.
pub(crate) fn leaves(document: &Map<String, Value>) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    walk("", document, &mut found);
    found
}

fn walk<'a>(above: &str, object: &'a Map<String, Value>, found: &mut Vec<(String, &'a Value)>) {
    for (name, value) in object {
        let name = format!("{above}{}", escaped(name));
        match value.as_object() {
            Some(inner) if !inner.is_empty() => walk(&format!("{name}."), inner, found),
            Some(_) | None => found.push((name, value)),
        }
    }
}

fn escaped(name: &str) -> String {
    let mut escaped = String::new();
    for letter in name.chars() {
        if ['.', '=', '\\'].contains(&letter) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    safe(&escaped)
}

/// All of a document in a line, without `trn`, which is the protocol's.
pub(crate) fn shown(document: &Map<String, Value>) -> String {
    let is_shown = |(name, _): &(String, &Value)| name != "trn";
    let leaf = |(name, value): (String, &Value)| format!("{name}={}", word(value));
    leaves(document).into_iter().filter(is_shown).map(leaf).collect::<Vec<_>>().join(" ")
}

/// A value as it is typed.
pub(crate) fn word(value: &Value) -> String {
    match value.as_str() {
        Some(text) if is_plain(text) => text.to_owned(),
        Some(_) | None => safe(&value.to_string()),
    }
}

/// Whether a text stands for itself: no JSON, and nothing that a shell or a line would trip over.
fn is_plain(text: &str) -> bool {
    let plain = |letter: char| letter.is_alphanumeric() || "-_.:/@%+".contains(letter);
    !text.is_empty() && text.chars().all(plain) && serde_json::from_str::<Value>(text).is_err()
}

/// A text in which nothing speaks to the terminal.
pub(crate) fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() || is_direction(letter) {
            safe.extend(letter.escape_unicode());
        } else {
            safe.push(letter);
        }
    }
    safe
}

/// JSON as serde writes it, in which nothing speaks to the terminal: what is escaped here stands in texts alone.
pub(crate) fn safe_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for letter in json.chars() {
        if matches!(letter, '\u{7f}'..='\u{9f}') || is_direction(letter) {
            safe.push_str(&format!("\\u{:04x}", u32::from(letter)));
        } else {
            safe.push(letter);
        }
    }
    safe
}

/// What turns the direction of a line around.
pub(crate) fn is_direction(letter: char) -> bool {
    matches!(letter,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn a_value_is_json_or_else_a_string() {
        let words = [
            "on=true",
            "rgb=[255,0,0]",
            "name=hall",
            "text=\"5\"",
            "none=null",
            "net.ip=10.0.0.7",
            "net.up=false",
            r"a\.b=1",
            "long=123456789012345678901234567890",
            "empty=",
            "formula=a=b",
        ];
        let expected = json!({
            "on": true, "rgb": [255, 0, 0], "name": "hall", "text": "5", "none": null,
            "net": {"ip": "10.0.0.7", "up": false}, "a.b": 1, "empty": "", "formula": "a=b",
        });
        let mut expected = object(expected);
        let long = serde_json::from_str("123456789012345678901234567890").unwrap();
        expected.insert("long".to_owned(), long);
        assert_eq!(members(words).unwrap(), expected);
        assert_eq!(removals(["a.b", "c"]).unwrap(), object(json!({"a": {"b": null}, "c": null})));
    }

    #[test]
    fn what_cannot_be_meant_is_said() {
        for (words, why) in [
            (&["on"][..], "\"on\" wants a value: MEMBER=VALUE; twinctl unset removes a member"),
            (&["=5"], "\"=5\" has a name with nothing in it"),
            (&["a..b=1"], "\"a..b=1\" has a name with nothing in it"),
            (&["a=1", "a=2"], "\"a=2\": that member is there already"),
            (&["a=1", "a.b=2"], "\"a.b=2\": that member is there already"),
        ] {
            assert_eq!(members(words.iter().copied()).unwrap_err().to_string(), why);
        }
        let error = removals(["a=1"]).unwrap_err().to_string();
        assert_eq!(error, "\"a=1\" is not the name of a member alone");
    }

    #[test]
    fn nothing_that_is_shown_speaks_to_the_terminal() {
        let document = object(json!({"a\u{1b}[31m": "\u{1b}]0;x\u{7}", "b": "\u{9b}5n\u{202e}"}));
        assert_eq!(shown(&document), r#"a\u{1b}[31m="\u001b]0;x\u0007" b="\u{9b}5n\u{202e}""#);
        assert_eq!(safe("a\u{61c}b\u{7f}"), r"a\u{61c}b\u{7f}");
    }

    #[test]
    fn json_says_the_same_when_nothing_in_it_speaks_to_the_terminal() {
        let document = json!({"\u{7f}a": "\u{1b}]\u{9d}\u{202e}\u{61c}", "é": "日\n"});
        for json in [document.to_string(), serde_json::to_string_pretty(&document).unwrap()] {
            let safe = safe_json(&json);
            let speaks =
                |letter: char| letter != '\n' && letter.is_control() || is_direction(letter);
            assert!(!safe.contains(speaks), "{safe:?}");
            assert!(safe.contains(r"\u007fa") && safe.contains(r"\u061c"), "{safe}");
            assert_eq!(serde_json::from_str::<Value>(&safe).unwrap(), document);
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_typed(
            names in prop::collection::btree_map("[a-z.=\\\\ é]{1,4}", "[a-z0-9.\" \\[{]{0,4}", 0..5)
        ) {
            let document: Map<String, Value> =
                names.into_iter().map(|(name, value)| (name, Value::from(value))).collect();
            let leaves = leaves(&document);
            let words: Vec<_> =
                leaves.iter().map(|(name, value)| format!("{name}={}", word(value))).collect();
            prop_assert_eq!(members(words.iter().map(String::as_str)).unwrap(), document);
        }
    }
}
