//! The rows as mosquitto's `acl_file`, and passwords as in its `password_file`.
//!
//! mosquitto looks at what is denied to a user, then at what is allowed to it, then at the patterns, which are for
//! everybody, denials first again. What cannot be told it exactly is told so that it allows less, never more.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use super::{
    Action, EVERYBODY, Row,
    filter::{filled_in, intersect, is_filter, is_place},
};

/// A row that mosquitto cannot be told as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row {row}: {reason}")]
pub struct NotExported {
    /// The row's id.
    pub row: i64,
    /// What becomes of it, and why.
    pub reason: String,
}

/// The rows as mosquitto's `acl_file`, by user name, and those that are told otherwise than they stand, or not at all: then
/// mosquitto allows less.
///
/// mosquitto knows users and no client ids in this file: a row that names a client id is for the user of that name, as
/// things have it here.
///
/// ```
/// use twinthing::rights::{Action, Row, acl_file};
///
/// let row = |id, action, topic: &str| Row {
///     id,
///     allows: Some(true),
///     action: Some(action),
///     client_id: Some("lamp".into()),
///     username: None,
///     address: None,
///     topic: topic.into(),
/// };
/// let rows = [row(1, Action::Publish, "TNG/lamp/LC/ON"), row(2, Action::All, "TNG/lamp/TPC/#")];
/// let (text, left_out) = acl_file(&rows)?;
/// assert_eq!(text, "user lamp\ntopic write TNG/lamp/LC/ON\ntopic readwrite TNG/lamp/TPC/#\n");
/// assert!(left_out.is_empty());
/// # Ok::<(), Vec<twinthing::rights::NotExported>>(())
/// ```
///
/// # Errors
/// The rows that deny what mosquitto cannot be told to deny: without them it would allow more.
pub fn acl_file(rows: &[Row]) -> Result<(String, Vec<NotExported>), Vec<NotExported>> {
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_by_key(|row| row.id);
    let names: BTreeSet<&str> =
        rows.iter().filter_map(|row| row.name()).filter(|name| *name != EVERYBODY).collect();
    let (mut told, mut fatal) = (Vec::new(), Vec::new());
    let mut users: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut everybody = Vec::new();
    for (place, row) in rows.iter().enumerate() {
        let (name, rule) = match rule(row) {
            Ok(rule) => rule,
            Err(reason) if row.allows == Some(true) => {
                told.push(NotExported { row: row.id, reason: format!("left out: {reason}") });
                continue;
            }
            // It denies nothing.
            Err(reason) if row.allows.is_none() => {
                told.push(NotExported { row: row.id, reason: format!("left out: {reason}") });
                continue;
            }
            Err(reason) => {
                fatal.push(NotExported { row: row.id, reason });
                continue;
            }
        };
        if row.allows == Some(false) {
            let before = rows.get(..place).unwrap_or_default();
            told.extend(more_denied(row, before).map(|reason| NotExported { row: row.id, reason }));
        }
        if name != EVERYBODY {
            users.entry(name).or_default().push(format!("topic {}", rule.for_user(name)));
            continue;
        }
        everybody.push(format!("pattern {}", rule.for_everybody()));
        // What is denied to everybody comes before what is allowed to one.
        if row.allows == Some(false) {
            for name in &names {
                users.entry(name).or_default().push(format!("topic {}", rule.for_user(name)));
            }
        }
    }
    if !fatal.is_empty() {
        return Err(fatal);
    }
    let mut text = String::new();
    for (user, lines) in users {
        // Writing to a string does not fail.
        writeln!(text, "user {user}\n{}", lines.join("\n")).unwrap_or_default();
    }
    everybody.into_iter().for_each(|line| text.push_str(&format!("{line}\n")));
    Ok((text, told))
}

/// What a line says, but for whom.
struct Rule {
    word: &'static str,
    topic: String,
}

impl Rule {
    fn for_user(&self, name: &str) -> String {
        format!("{} {}", self.word, filled_in(&self.topic, name))
    }

    /// The name in its place is the user's: a client id is what its client says.
    fn for_everybody(&self) -> String {
        format!("{} {}", self.word, filled_in(&self.topic, "%u"))
    }
}

/// For whom a row is, and what it says; or why mosquitto cannot be told.
fn rule(row: &Row) -> Result<(&str, Rule), String> {
    let allows = row.allows.ok_or("it neither allows nor denies")?;
    let action = row.action.ok_or("it does not say what it is about")?;
    if row.address.as_deref().is_some_and(|address| !address.is_empty()) {
        return Err("mosquitto knows no addresses".to_owned());
    }
    let name = row.name().ok_or("it names nobody")?;
    let other = row.username.as_deref().filter(|other| !other.is_empty());
    if other.is_some_and(|other| other != name) {
        return Err(
            "it names a client id and another user name, and mosquitto knows users only".into()
        );
    }
    if name.trim() != name || name.contains(char::is_control) {
        return Err("its name cannot stand on a line".to_owned());
    }
    let topic = row.topic.strip_prefix("eq ").unwrap_or(&row.topic);
    if row.topic.starts_with("eq ") && topic.contains(['+', '#']) {
        return Err("mosquitto cannot be told a filter to the letter".to_owned());
    }
    let has_part = |level: &str| !is_place(level) && (level.contains("%c") || level.contains("%u"));
    if name == EVERYBODY && topic.split('/').any(has_part) {
        return Err("mosquitto would put a name into a part of a level".to_owned());
    }
    if !is_filter(&filled_in(topic, "name")) {
        return Err(format!("{topic:?} is no filter"));
    }
    let word = match (allows, action) {
        (false, _) => "deny",
        (true, Action::Publish) => "write",
        (true, Action::Subscribe) => "read",
        (true, Action::All) => "readwrite",
    };
    Ok((name, Rule { word, topic: topic.to_owned() }))
}

/// What else mosquitto denies by this denial.
fn more_denied(row: &Row, before: &[&Row]) -> Option<String> {
    if row.action != Some(Action::All) {
        return Some("mosquitto denies both publish and subscribe there".to_owned());
    }
    let is_met = |other: &&&Row| {
        let (own, theirs) = (row.name(), other.name());
        let same = own == theirs || own == Some(EVERYBODY) || theirs == Some(EVERYBODY);
        other.allows == Some(true) && same && intersect(&row.topic, &other.topic)
    };
    let other = before.iter().find(is_met)?;
    Some(format!("mosquitto denies also what row {} allows before it", other.id))
}

/// A line of mosquitto's `password_file`.
///
/// ```
/// let line = twinthing::rights::password_line("lamp", "$7$101$c2FsdA==$aGFzaA==");
/// assert_eq!(line, "lamp:$7$101$c2FsdA==$aGFzaA==\n");
/// ```
#[must_use]
pub fn password_line(user: &str, hash: &str) -> String {
    format!("{user}:{hash}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i64, allows: bool, name: &str, action: Action, topic: &str) -> Row {
        let (username, topic) = (Some(name.to_owned()), topic.to_owned());
        let (allows, action) = (Some(allows), Some(action));
        Row { id, allows, action, client_id: None, username, address: None, topic }
    }

    fn said(of: &[NotExported]) -> Vec<String> {
        of.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn users_have_their_lines_and_everybody_a_pattern() {
        let rows = [
            row(4, true, "$all", Action::Subscribe, "GRP/ALL/TPC/#"),
            row(2, true, "b", Action::All, "TNG/${clientid}/TPC/#"),
            row(1, true, "a", Action::Publish, "eq x/y"),
            row(3, false, "a", Action::All, "secret/#"),
            row(5, true, "$all", Action::Publish, "TNG/%c/LC/ON"),
            row(6, true, "50%cool", Action::Publish, "TNG/50%cool/LC/ON"),
        ];
        let (text, told) = acl_file(&rows).unwrap();
        assert_eq!(told, []);
        assert_eq!(
            text,
            "user 50%cool\ntopic write TNG/50%cool/LC/ON\nuser a\ntopic write x/y\ntopic deny secret/#\nuser b\n\
             topic readwrite TNG/b/TPC/#\npattern read GRP/ALL/TPC/#\npattern write TNG/%u/LC/ON\n"
        );
    }

    #[test]
    fn what_is_denied_to_everybody_is_denied_to_each() {
        let rows = [
            row(1, false, "$all", Action::All, "secret/#"),
            row(2, true, "a", Action::All, "secret/x"),
        ];
        let (text, told) = acl_file(&rows).unwrap();
        assert_eq!(told, []);
        let expected =
            "user a\ntopic deny secret/#\ntopic readwrite secret/x\npattern deny secret/#\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_mosquitto_cannot_be_told_makes_it_allow_less_and_is_named() {
        let mut half = row(4, true, "a", Action::All, "x");
        half.action = None;
        let mut from = row(5, true, "a", Action::All, "x");
        from.address = Some("10.0.0.1".to_owned());
        let mut both = row(8, true, "a", Action::All, "x");
        both.client_id = Some("c".to_owned());
        let rows = [
            row(1, true, "a", Action::Publish, "x/+"),
            row(2, false, "a", Action::All, "x/y"),
            row(3, false, "a", Action::Publish, "y"),
            half,
            from,
            row(6, true, "a", Action::All, "eq #"),
            row(7, true, "a", Action::All, "TNG/#/x"),
            both,
            row(9, true, "a\nuser b", Action::All, "#"),
            row(10, true, "$all", Action::All, "x%cy"),
        ];
        let (text, told) = acl_file(&rows).unwrap();
        assert_eq!(text, "user a\ntopic write x/+\ntopic deny x/y\ntopic deny y\n");
        assert_eq!(
            said(&told),
            [
                "row 2: mosquitto denies also what row 1 allows before it",
                "row 3: mosquitto denies both publish and subscribe there",
                "row 4: left out: it does not say what it is about",
                "row 5: left out: mosquitto knows no addresses",
                "row 6: left out: mosquitto cannot be told a filter to the letter",
                "row 7: left out: \"TNG/#/x\" is no filter",
                "row 8: left out: it names a client id and another user name, and mosquitto knows users only",
                "row 9: left out: its name cannot stand on a line",
                "row 10: left out: mosquitto would put a name into a part of a level",
            ]
        );
    }

    #[test]
    fn a_denial_that_mosquitto_cannot_be_told_is_an_error() {
        let mut from = row(1, false, "$all", Action::All, "x/#");
        from.address = Some("10.0.0.1".to_owned());
        let rows =
            [from, row(2, false, "a", Action::All, ""), row(3, true, "a", Action::All, "x/y")];
        let fatal = acl_file(&rows).unwrap_err();
        assert_eq!(
            said(&fatal),
            ["row 1: mosquitto knows no addresses", "row 2: \"\" is no filter"]
        );
    }
}
