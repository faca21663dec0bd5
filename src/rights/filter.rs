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

/// Whether some topic is covered by both.
pub(super) fn intersect(one: &str, other: &str) -> bool {
    let levels = |filter: &str| -> Vec<String> {
        filter.strip_prefix("eq ").unwrap_or(filter).split('/').map(str::to_owned).collect()
    };
    let (one, other) = (levels(one), levels(other));
    for place in 0.. {
        match (one.get(place).map(String::as_str), other.get(place).map(String::as_str)) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some("+"), Some(_)) | (Some(_), Some("+")) => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
    false
}

/// Whether this can be a filter that a broker takes, written on a line.
pub(super) fn is_filter(filter: &str) -> bool {
    let last = filter.split('/').count();
    let mut levels = filter.split('/').enumerate();
    (1..=65_535).contains(&filter.len())
        && filter.trim() == filter
        && !filter.contains(char::is_control)
        && levels.all(|(place, level)| match level {
            "+" => true,
            "#" => place + 1 == last,
            _ => !level.contains(['+', '#']),
        })
}

/// Whether a level is a place for the name of whoever asks, in either version's words.
pub(super) fn is_place(level: &str) -> bool {
    matches!(level, "%c" | "%u" | "${clientid}" | "${username}")
}

/// The filter with what stands in the places for a name.
pub(super) fn filled_in(filter: &str, name: &str) -> String {
    filter.split('/').map(|level| filled(level, name)).collect::<Vec<_>>().join("/")
}

fn filled(level: &str, name: &str) -> String {
    if is_place(level) { name.to_owned() } else { level.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_meet_where_some_topic_is_in_both() {
        for (one, other, is) in [
            ("TNG/+/LC/ON", "TNG/door/#", true),
            ("TNG/a/LC/ON", "TNG/b/#", false),
            ("a/+", "a/b/c", false),
            ("a/#", "a", true),
            ("#", "x", true),
            ("a/+/c", "a/b/+", true),
            ("eq a/b", "a/+", true),
        ] {
            assert_eq!(intersect(one, other), is, "{one} {other}");
            assert_eq!(intersect(other, one), is, "{other} {one}");
        }
        for (filter, is) in [
            ("a/+/#", true),
            ("", false),
            ("a/#/b", false),
            ("a+", false),
            (" a", false),
            ("a\nb", false),
        ] {
            assert_eq!(is_filter(filter), is, "{filter:?}");
        }
    }

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
