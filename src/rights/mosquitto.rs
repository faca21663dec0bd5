//! The rows as mosquitto's `acl_file`, and passwords as in its `password_file`.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{Action, EVERYBODY, Row, filter::covers};

/// A row that mosquitto cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row {row}: {reason}")]
pub struct NotExported {
    /// The row's id.
    pub row: i64,
    /// Why.
    pub reason: String,
}

/// The rows as mosquitto's `acl_file`, by user name, and those that it cannot be told.
///
/// mosquitto knows users and no client ids in this file: a row that names a client id is for the user of that name, as
/// things and applications have it here. Its denials come before all it allows, wherever they stand: a denial behind a row
/// that allows some of the same is not told.
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
/// let (text, left_out) = acl_file(&rows);
/// assert_eq!(text, "user lamp\ntopic write TNG/lamp/LC/ON\ntopic readwrite TNG/lamp/TPC/#\n");
/// assert!(left_out.is_empty());
/// ```
#[must_use]
pub fn acl_file(rows: &[Row]) -> (String, Vec<NotExported>) {
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_by_key(|row| row.id);
    let mut left_out = Vec::new();
    let mut users: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut everybody = Vec::new();
    for (place, row) in rows.iter().enumerate() {
        let before = rows.get(..place).unwrap_or_default();
        match line(row, before) {
            Err(reason) => left_out.push(NotExported { row: row.id, reason }),
            Ok(lines) => match row.name() {
                // A pattern is for all users, and this one has no place for a name.
                Some(EVERYBODY) => {
                    everybody
                        .extend(lines.into_iter().map(|line| line.replacen("topic", "pattern", 1)));
                }
                Some(name) => users.entry(name).or_default().extend(lines),
                None => {}
            },
        }
    }
    let mut text = String::new();
    for (user, lines) in users {
        // Writing to a string does not fail.
        writeln!(text, "user {user}\n{}", lines.join("\n")).unwrap_or_default();
    }
    everybody.into_iter().for_each(|line| text.push_str(&format!("{line}\n")));
    (text, left_out)
}

/// The lines for a row, below those for its user.
fn line(row: &Row, before: &[&Row]) -> Result<Vec<String>, String> {
    let allows = row.allows.ok_or("it neither allows nor denies")?;
    let action = row.action.ok_or("it does not say what it is about")?;
    let name = row.name().ok_or("it names nobody; mosquitto knows no addresses")?;
    if name.contains(['\n', '\r']) || row.topic.contains(['\n', '\r']) {
        return Err("it holds a line end".to_owned());
    }
    let topic = row.topic.strip_prefix("eq ").unwrap_or(&row.topic);
    if row.topic.starts_with("eq ") && topic.contains(['+', '#']) {
        return Err("mosquitto cannot be told a filter to the letter".to_owned());
    }
    let mut topic = topic.to_owned();
    for (place, of) in [("${clientid}", "%c"), ("${username}", "%u")] {
        topic = topic.replace(place, of);
    }
    if name != EVERYBODY {
        topic = topic.replace("%c", name).replace("%u", name);
    }
    if allows {
        let word = match action {
            Action::Publish => "write",
            Action::Subscribe => "read",
            Action::All => "readwrite",
        };
        return Ok(vec![format!("topic {word} {topic}")]);
    }
    if action != Action::All {
        return Err("mosquitto cannot deny one of publish and subscribe alone".to_owned());
    }
    let is_touched = |other: &&Row| {
        let same =
            other.name() == Some(EVERYBODY) || other.name() == Some(name) || name == EVERYBODY;
        let theirs = other.topic.strip_prefix("eq ").unwrap_or(&other.topic);
        other.allows == Some(true)
            && same
            && (covers(&topic, theirs, name) || covers(theirs, &topic, name))
    };
    if let Some(other) = before.iter().find(|row| is_touched(row)) {
        return Err(format!("mosquitto would deny what row {} allows before it", other.id));
    }
    Ok(vec![format!("topic deny {topic}")])
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
        let (client_id, topic) = (Some(name.to_owned()), topic.to_owned());
        let (allows, action) = (Some(allows), Some(action));
        Row { id, allows, action, client_id, username: None, address: None, topic }
    }

    #[test]
    fn users_have_their_lines_and_everybody_a_pattern() {
        let rows = [
            row(4, true, "$all", Action::Subscribe, "GRP/ALL/TPC/#"),
            row(2, true, "b", Action::All, "TNG/${clientid}/TPC/#"),
            row(1, true, "a", Action::Publish, "eq x/y"),
            row(3, false, "a", Action::All, "secret/#"),
            row(5, true, "$all", Action::Publish, "TNG/%u/LC/ON"),
        ];
        let (text, left_out) = acl_file(&rows);
        assert_eq!(left_out, []);
        assert_eq!(
            text,
            "user a\ntopic write x/y\ntopic deny secret/#\nuser b\ntopic readwrite TNG/b/TPC/#\n\
             pattern read GRP/ALL/TPC/#\npattern write TNG/%u/LC/ON\n"
        );
    }

    #[test]
    fn what_mosquitto_cannot_be_told_is_named() {
        let mut half = row(4, true, "a", Action::All, "x");
        half.action = None;
        let mut nobody = row(5, true, "", Action::All, "x");
        nobody.address = Some("10.0.0.1".to_owned());
        let rows = [
            row(1, true, "a", Action::Publish, "x/+"),
            row(2, false, "a", Action::All, "x/#"),
            row(3, false, "a", Action::Publish, "y"),
            half,
            nobody,
            row(6, true, "a", Action::All, "eq #"),
            row(7, true, "a\nuser b", Action::All, "#"),
        ];
        let (text, left_out) = acl_file(&rows);
        assert_eq!(text, "user a\ntopic write x/+\n");
        let why: Vec<_> = left_out.iter().map(ToString::to_string).collect();
        assert_eq!(
            why,
            [
                "row 2: mosquitto would deny what row 1 allows before it",
                "row 3: mosquitto cannot deny one of publish and subscribe alone",
                "row 4: it does not say what it is about",
                "row 5: it names nobody; mosquitto knows no addresses",
                "row 6: mosquitto cannot be told a filter to the letter",
                "row 7: it holds a line end",
            ]
        );
    }
}
