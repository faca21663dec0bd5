//! What a topic filter of a row covers.

/// Whether a row's filter covers what is asked: a topic, or for a subscription a filter. As EMQX has it: level by level, `+`
/// covers any one level, also `+` and `#` themselves, and `#` all that are left; behind `eq ` it has to be the same to the
/// letter. `name` takes the places that are kept for whoever asks.
pub(super) fn covers(row: &str, asked: &str, name: &str) -> bool {
    if let Some(exact) = row.strip_prefix("eq ") {
        return exact == asked;
    }
    let own: Vec<String> = row.split('/').map(|level| filled(level, name)).collect();
    let levels: Vec<&str> = asked.split('/').collect();
    // What begins with $ is for those who name it.
    if asked.starts_with('$') && matches!(own.first().map(String::as_str), Some("+" | "#")) {
        return false;
    }
    for (place, level) in own.iter().enumerate() {
        match (level.as_str(), levels.get(place)) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (level, Some(asked)) if level == *asked => {}
            _ => return false,
        }
    }
    own.len() == levels.len()
}

/// The places for a name, in either version's words, when they are a whole level.
fn filled(level: &str, name: &str) -> String {
    match level {
        "%c" | "%u" | "${clientid}" | "${username}" => name.to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_covers_what_is_at_or_below_it() {
        for (row, asked, is) in [
            ("TNG/a/LC/ON", "TNG/a/LC/ON", true),
            ("TNG/a/LC/ON", "TNG/a/LC/OFF", false),
            ("TNG/+/LC/+", "TNG/a/LC/ON", true),
            ("TNG/+/LC/+", "TNG/+/LC/ON", true),
            ("TNG/a/LC/+", "TNG/+/LC/ON", false),
            ("TNG/a/#", "TNG/a", true),
            ("TNG/a/#", "TNG/#", false),
            ("TNG/a/TPC/#", "TNG/a/TPC/#", true),
            ("TNG/+/TWIN/UPD", "#", false),
            ("#", "x/y", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("eq TNG/#", "TNG/#", true),
            ("eq TNG/#", "TNG/a", false),
            ("TNG/%c/LC/ON", "TNG/me/LC/ON", true),
            ("TNG/${username}/LC/ON", "TNG/you/LC/ON", false),
        ] {
            assert_eq!(covers(row, asked, "me"), is, "{row} {asked}");
        }
    }
}
