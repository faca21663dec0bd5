//! What follows from the rows for one request.

use super::{Action, EVERYBODY, Row, filter::covers};

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask<'a> {
    /// The client id.
    pub client_id: &'a str,
    /// The user name.
    pub username: &'a str,
    /// To publish, or to subscribe.
    pub action: Action,
    /// Where: a topic, or for a subscription a filter.
    pub topic: &'a str,
}

/// Whether it is allowed, and by which row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This row allows it.
    Allowed(Row),
    /// This row denies it.
    Denied(Row),
    /// No row is about it.
    Unknown,
}

impl Verdict {
    /// Whether it is allowed: what no row is about is not.
    ///
    /// ```
    /// assert!(!twinthing::rights::Verdict::Unknown.is_allowed());
    /// ```
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }
}

/// The first row, in order of id, that names who asks, is about what is asked, and allows or denies, decides. A row with
/// both a client id and a user name is for whoever has both; one with an address is passed over. Of a shared subscription
/// (`$share/<name>/<filter>`) it is the filter that counts.
///
/// ```
/// use twinthing::rights::{Action, Ask, Row, Verdict, verdict};
///
/// let row = Row {
///     id: 7,
///     allows: Some(true),
///     action: Some(Action::All),
///     client_id: Some("lamp".into()),
///     username: None,
///     address: None,
///     topic: "TNG/lamp/TPC/#".into(),
/// };
/// let ask = Ask { client_id: "lamp", username: "lamp", action: Action::Publish, topic: "TNG/lamp/TPC/PONG" };
/// assert_eq!(verdict(&[row.clone()], &ask), Verdict::Allowed(row.clone()));
/// assert_eq!(verdict(&[row], &Ask { topic: "TNG/hall/TPC/PONG", ..ask }), Verdict::Unknown);
/// ```
#[must_use]
pub fn verdict(rows: &[Row], ask: &Ask<'_>) -> Verdict {
    let shared = ask.topic.strip_prefix("$share/").and_then(|rest| rest.split_once('/'));
    let topic = shared.map_or(ask.topic, |(_, filter)| filter);
    let decides = |row: &&Row| {
        let names = |name: &Option<String>, own: &str| match name.as_deref() {
            None | Some("") => None,
            Some(name) => Some(name == own || name == EVERYBODY),
        };
        let is_about_asker =
            match (names(&row.client_id, ask.client_id), names(&row.username, ask.username)) {
                (None, None) => false,
                (one, other) => one.unwrap_or(true) && other.unwrap_or(true),
            };
        row.allows.is_some()
            && row.address.as_deref().is_none_or(str::is_empty)
            && is_about_asker
            && row.action.is_some_and(|action| action.covers(ask.action))
            && covers(&row.topic, topic, ask.client_id)
    };
    match rows.iter().filter(decides).min_by_key(|row| row.id) {
        None => Verdict::Unknown,
        Some(row) if row.allows == Some(true) => Verdict::Allowed(row.clone()),
        Some(row) => Verdict::Denied(row.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i64, allows: bool, name: &str, topic: &str) -> Row {
        let topic = topic.to_owned();
        let username = Some(name.to_owned());
        let action = Some(Action::All);
        Row { id, allows: Some(allows), action, client_id: None, username, address: None, topic }
    }

    #[test]
    fn the_first_row_about_it_decides() {
        let rows = [
            row(3, true, "$all", "x/#"),
            row(1, false, "me", "x/secret"),
            row(2, true, "me", "x/+"),
        ];
        let of = |topic| {
            let ask = Ask { client_id: "c", username: "me", action: Action::Publish, topic };
            match verdict(&rows, &ask) {
                Verdict::Allowed(row) => row.id,
                Verdict::Denied(row) => -row.id,
                Verdict::Unknown => 0,
            }
        };
        assert_eq!([of("x/secret"), of("x/y"), of("x/y/z"), of("y")], [-1, 2, 3, 0]);
        assert_eq!(of("$share/us/x/y"), 2);
    }

    #[test]
    fn a_row_that_says_nothing_decides_nothing() {
        let mut half = row(1, true, "me", "x");
        half.allows = None;
        let mut neither = row(2, true, "me", "x");
        neither.action = None;
        let mut from = row(4, true, "me", "x");
        from.address = Some("10.0.0.1".to_owned());
        let mut both = row(5, true, "me", "x");
        both.client_id = Some("other".to_owned());
        let ask = Ask { client_id: "me", username: "me", action: Action::Publish, topic: "x" };
        assert_eq!(verdict(&[from, both], &ask), Verdict::Unknown);
        assert_eq!(verdict(&[half, neither, row(3, true, "", "x")], &ask), Verdict::Unknown);
    }
}
