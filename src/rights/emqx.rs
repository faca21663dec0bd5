//! The rows as EMQX 5's `acl.conf`.

use super::{Action, EVERYBODY, Row};

/// The rows as rules of EMQX 5's file, in their order, with a denial of all else at its end. What decides nothing is left
/// out.
///
/// ```
/// use twinthing::rights::{Action, Row, acl_conf};
///
/// let row = Row {
///     id: 1,
///     allows: Some(true),
///     action: Some(Action::Publish),
///     client_id: None,
///     username: Some("lamp".into()),
///     address: None,
///     topic: "TNG/lamp/LC/ON".into(),
/// };
/// assert_eq!(
///     acl_conf(&[row]).lines().collect::<Vec<_>>(),
///     [r#"{allow, {username, "lamp"}, publish, ["TNG/lamp/LC/ON"]}."#, "{deny, all}."]
/// );
/// ```
#[must_use]
pub fn acl_conf(rows: &[Row]) -> String {
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_by_key(|row| row.id);
    let mut text: String = rows.into_iter().filter_map(rule).collect();
    text.push_str("{deny, all}.\n");
    text
}

fn rule(row: &Row) -> Option<String> {
    let permission = if row.allows? { "allow" } else { "deny" };
    let action = match row.action? {
        Action::Publish => "publish",
        Action::Subscribe => "subscribe",
        Action::All => "all",
    };
    let term = |what: &str, value: &Option<String>| match value.as_deref() {
        None | Some("" | EVERYBODY) => None,
        Some(value) => Some(format!("{{{what}, {}}}", quoted(value))),
    };
    let all = [&row.client_id, &row.username].into_iter().flatten().any(|name| name == EVERYBODY);
    let terms: Vec<String> = [
        term("clientid", &row.client_id),
        term("username", &row.username),
        term("ipaddr", &row.address),
    ]
    .into_iter()
    .flatten()
    .collect();
    let who = match terms.as_slice() {
        [] if all => "all".to_owned(),
        [] => return None,
        [one] => one.clone(),
        several => format!("{{'and', [{}]}}", several.join(", ")),
    };
    let topic = match row.topic.strip_prefix("eq ") {
        Some(topic) => format!("{{eq, {}}}", quoted(topic)),
        None => quoted(&with_places(&row.topic)),
    };
    Some(format!("{{{permission}, {who}, {action}, [{topic}]}}.\n"))
}

/// The places for a name in EMQX 5's words.
fn with_places(filter: &str) -> String {
    let level = |level| match level {
        "%c" => "${clientid}",
        "%u" => "${username}",
        other => other,
    };
    filter.split('/').map(level).collect::<Vec<_>>().join("/")
}

/// A string of Erlang's.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if letter.is_ascii() && !letter.is_control() => quoted.push(letter),
            other => quoted.push_str(&format!("\\x{{{:x}}}", u32::from(other))),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i64, client: &str, user: &str, topic: &str) -> Row {
        let name = |name: &str| Some(name.to_owned());
        let (client_id, username, topic) = (name(client), name(user), topic.to_owned());
        let action = Some(Action::All);
        Row { id, allows: Some(id % 2 == 1), action, client_id, username, address: None, topic }
    }

    #[test]
    fn whom_a_row_names_together_and_from_where_is_kept() {
        let mut both = row(1, "c", "u", "x%cy/%u");
        both.address = Some("10.0.0.9".to_owned());
        let mut from = row(2, "", "", "x");
        from.address = Some("10.0.0.9".to_owned());
        assert_eq!(
            acl_conf(&[both, from]),
            "{allow, {'and', [{clientid, \"c\"}, {username, \"u\"}, {ipaddr, \"10.0.0.9\"}]}, all, \
             [\"x%cy/${username}\"]}.\n{deny, {ipaddr, \"10.0.0.9\"}, all, [\"x\"]}.\n{deny, all}.\n"
        );
    }

    #[test]
    fn each_kind_of_row_is_a_rule_and_the_end_denies() {
        let rows = [
            row(2, "", "$all", "eq #"),
            row(1, "a\"b", "", "TNG/%c/TPC/#"),
            row(3, "", "é", "x"),
            row(5, "", "", "nobody"),
        ];
        let expected = "{allow, {clientid, \"a\\\"b\"}, all, [\"TNG/${clientid}/TPC/#\"]}.\n\
                        {deny, all, all, [{eq, \"#\"}]}.\n\
                        {allow, {username, \"\\x{e9}\"}, all, [\"x\"]}.\n{deny, all}.\n";
        assert_eq!(acl_conf(&rows), expected);
    }
}
