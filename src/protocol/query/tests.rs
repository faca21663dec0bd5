//! How queries are written, and what is said of those that are wrong.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn parsed(request: Value) -> Result<Query, QueryError> {
    Query::from_object(request.as_object().unwrap())
}

fn error(request: Value) -> (u16, String) {
    let error = parsed(request).unwrap_err();
    (error.code().number(), error.to_string())
}

fn column(text: &str) -> Column {
    text.parse().unwrap()
}

fn member(name: &str) -> Step {
    Step::Member(name.to_owned())
}

#[test]
fn a_column_is_a_name_with_a_path_behind_a_document() {
    assert_eq!(column("clientId"), Column::ClientId);
    assert_eq!(column("groupId"), Column::GroupId);
    for (text, steps) in [
        ("reported", vec![]),
        ("reported.net.ip", vec![member("net"), member("ip")]),
        ("reported.rgb[0]", vec![member("rgb"), Step::Element(0)]),
        ("reported[2][10].x", vec![Step::Element(2), Step::Element(10), member("x")]),
        (r#"reported."a.b".c"#, vec![member("a.b"), member("c")]),
        (r#"reported."say \"so\" \\"[1]"#, vec![member(r#"say "so" \"#), Step::Element(1)]),
        (r#"reported."""#, vec![member("")]),
        ("reported.with space.größe-1'", vec![member("with space"), member("größe-1'")]),
        ("reported[99999999999999999999999]", vec![Step::Element(usize::MAX)]),
    ] {
        assert_eq!(column(text), Column::In(Part::Reported, steps), "{text}");
    }
    assert_eq!(column("declinedMeta.on"), Column::In(Part::DeclinedMeta, vec![member("on")]));
}

#[test]
fn a_column_that_is_none_is_an_error_that_names_it() {
    let known = "known are clientId, groupId, reported, reportedMeta, desired, desiredMeta, \
                 declined, declinedMeta, version, online, and behind the six documents paths like \
                 reported.net.ip, reported.rgb[0] and reported.\"a.b\"";
    for name in
        ["group", "", "Reported", "clientId.x", "version[0]", "reported ", "id; DROP TABLE twin"]
    {
        let message = format!("column {name:?} is not known; {known}");
        assert_eq!(error(json!({"select": [name]})), (422, message));
    }
    for (name, what) in [
        ("reported.", "a step is empty"),
        ("reported..a", "a step is empty"),
        ("reported.a[", "a [ is not closed"),
        ("reported.a[]", "between [ and ] stands a number from 0"),
        ("reported.a[-1]", "between [ and ] stands a number from 0"),
        ("reported.a]", "a name with . [ ] or \" in it stands in quotes"),
        ("reported.a[0]b", "a step begins with . or ["),
        ("reported.\"a", "a \" is not closed"),
        (r#"reported."\x""#, "a name in quotes is written as in JSON"),
    ] {
        let (code, message) = error(json!({"where": {"column": name, "op": "=", "value": 1}}));
        assert_eq!(code, 422);
        assert!(
            message.starts_with(&format!("column {name:?} is not a path: {what}; ")),
            "{message}"
        );
    }
}

#[test]
fn an_output_keeps_its_name_unless_another_stands_at_its_place() {
    let names = |request| -> Vec<String> {
        parsed(request).unwrap().outputs.into_iter().map(|output| output.name).collect()
    };
    let all = [
        "clientId",
        "reported",
        "reportedMeta",
        "desired",
        "desiredMeta",
        "declined",
        "declinedMeta",
        "version",
        "online",
    ];
    for request in
        [json!({}), json!({"select": []}), json!({"select": "*"}), json!({"select": ["*"]})]
    {
        assert_eq!(names(request), all);
    }
    let select = json!(["clientId", "reported.temp", "version"]);
    assert_eq!(names(json!({"select": select, "as": ["id"]})), ["id", "reported.temp", "version"]);
    assert_eq!(names(json!({"select": select, "as": ["a", "b", "c", "d"]})), ["a", "b", "c"]);
    assert_eq!(names(json!({"as": ["id"]}))[..2], ["id", "reported"]);
    assert_eq!(names(json!({"select": ["*", "groupId"]}))[9], "groupId");
}

#[test]
fn what_is_wrong_with_a_query_is_said() {
    for (request, code, message) in [
        (json!({"select": null}), 400, "select is null, not an array of strings"),
        (json!({"select": "reported"}), 400, "select is a string, not an array of strings"),
        (json!({"select": ["clientId", 5]}), 400, "select[1] is a number, not a string"),
        (json!({"as": {}}), 400, "as is an object, not an array of strings"),
        (json!({"as": null}), 400, "as is null, not an array of strings"),
        (json!({"where": null}), 400, "where is null, not an object"),
        (json!({"where": []}), 400, "where is an array, not an object"),
        (json!({"orient": 1}), 400, "orient is a number, not a string"),
        (
            json!({"orient": "Records"}),
            422,
            "orient \"Records\" is not known; known are records, split, index, columns, values, table",
        ),
        (
            json!({"select": ["clientId", "version"], "as": ["version"]}),
            422,
            "two columns of the answer are called \"version\"; rename one with as",
        ),
        (
            json!({"select": ["clientId", "clientId"]}),
            422,
            "two columns of the answer are called \"clientId\"; rename one with as",
        ),
        (
            json!({"select": ["version"], "as": ["index"], "orient": "table"}),
            422,
            "two columns of the answer are called \"index\"; rename one with as",
        ),
        (json!({"select": vec!["version"; 1001]}), 413, "select has more than 1000 columns"),
    ] {
        // A thousand and one columns of one name clash only behind the limit.
        assert_eq!(error(request), (code, message.to_owned()));
    }
}

#[test]
fn what_is_wrong_with_a_condition_is_said_with_its_place() {
    let form = "; a condition is column, op and value, or one of and, or, not";
    let of = |value: Value| json!({"where": {"column": "version", "op": "<", "value": value}});
    let list =
        |op: &str, value: Value| json!({"where": {"column": "version", "op": op, "value": value}});
    for (request, code, message) in [
        (json!({"where": {"column": "version"}}), 400, format!("where has no op{form}")),
        (json!({"where": {"op": "="}}), 400, format!("where has no column{form}")),
        (
            json!({"where": {"column": "version", "op": "="}}),
            400,
            format!("where has no value{form}"),
        ),
        (
            json!({"where": {"and": [{}, {"not": {"or": [{"colum": 1}]}}]}}),
            400,
            format!("where.and[1].not.or[0] holds \"colum\"{form}"),
        ),
        (
            json!({"where": {"and": [], "or": []}}),
            400,
            format!("where holds more than one condition{form}"),
        ),
        (
            json!({"where": {"and": [], "column": "version"}}),
            400,
            format!("where holds more than one condition{form}"),
        ),
        (json!({"where": {"and": {}}}), 400, "where.and is an object, not an array of conditions".into()),
        (json!({"where": {"not": [{}]}}), 400, "where.not is an array, not an object".into()),
        (
            json!({"where": {"column": 1, "op": "=", "value": 1}}),
            400,
            "where.column is a number, not a string".into(),
        ),
        (
            json!({"where": {"column": "version", "op": null, "value": 1}}),
            400,
            "where.op is null, not a string".into(),
        ),
        (
            list("==", json!(1)),
            422,
            "operator \"==\" at where is not known; known are =, !=, <>, <, <=, >, >=, LIKE, \
             NOT LIKE, IN, NOT IN, IS NULL, IS NOT NULL"
                .into(),
        ),
        (
            of(Value::Null),
            422,
            "< at where takes a number or a string, not null; use IS NULL or IS NOT NULL".into(),
        ),
        (of(json!(true)), 422, "< at where takes a number or a string, not a boolean".into()),
        (
            list("=", json!([1])),
            422,
            "= at where takes a number, a string or a boolean, not an array".into(),
        ),
        (list("like", json!(1)), 422, "LIKE at where takes a string, not a number".into()),
        (list("in", json!("a")), 422, "IN at where takes an array, not a string".into()),
        (
            list("not in", json!([1, null])),
            422,
            "NOT IN at where takes an array of numbers, strings and booleans, not null; use IS NULL \
             or IS NOT NULL"
                .into(),
        ),
        (
            list("LIKE", json!("x".repeat(1001))),
            413,
            "where has more than 1000 characters in its patterns".into(),
        ),
        (
            json!({"where": {"or": vec![json!({}); 1000]}}),
            413,
            "where has more than 1000 conditions".into(),
        ),
    ] {
        assert_eq!(error(request), (code, message));
    }
}

#[test]
fn a_query_as_large_as_a_payload_costs_no_more_than_it_may() {
    for path in [".a".repeat(130_000), "[0]".repeat(80_000), ".\"\"".repeat(80_000)] {
        let (code, message) = error(json!({"select": [format!("reported{path}")]}));
        assert_eq!(code, 422);
        assert!(message.contains("it has more than 100 steps"), "{message}");
        assert!(message.len() < 500, "{} bytes", message.len());
    }
    let deepest = format!("reported{}", ".a".repeat(100));
    assert!(deepest.parse::<Column>().is_ok());
    for text in ["\"".repeat(100_000), "\u{1f506}".repeat(50_000)] {
        for request in [
            json!({"select": [text]}),
            json!({"orient": text}),
            json!({"select": ["version", "clientId"], "as": [text, text]}),
            json!({"where": {"column": "version", "op": text, "value": 1}}),
            json!({"where": {text.clone(): 1}}),
        ] {
            assert!(error(request).1.len() < 1000);
        }
    }
    let like = json!({"column": "clientId", "op": "LIKE", "value": "%a".repeat(100)});
    assert!(parsed(json!({"where": {"or": vec![like.clone(); 5]}})).is_ok());
    assert_eq!(error(json!({"where": {"or": vec![like; 6]}})).0, 413);
    assert_eq!(
        error(json!({"select": [r#"reported."\u0024serde_json::private::Number""#]})).0,
        422
    );
}

#[test]
fn a_pattern_stands_for_the_whole_text() {
    for (pattern, text, is_match) in [
        ("abc", "abc", true),
        ("abc", "Abc", false),
        ("a%", "a", true),
        ("%b%", "abc", true),
        ("a_c", "äbc", false),
        ("_bc", "äbc", true),
        ("a%b%c", "a--b-b-c", true),
        ("a%b%c", "a--b-b-", false),
        ("%", "", true),
        ("_", "", false),
        (r"100\%", "100%", true),
        (r"100\%", "100x", false),
        (r"a\_b", "axb", false),
        (r"\\", r"\", true),
        (r"a\x", r"a\x", true),
        (r"a\", r"a\", true),
        ("%_", "", false),
        ("%%__%%", "ab", true),
    ] {
        assert_eq!(Pattern::new(pattern).matches(text), is_match, "{text} LIKE {pattern}");
    }
}

#[test]
fn a_pattern_takes_no_exponential_time() {
    let pattern = Pattern::new(&"%a".repeat(400));
    assert!(!pattern.matches(&("a".repeat(399) + &"b".repeat(20_000))));
    assert!(pattern.matches(&"ab".repeat(20_000).replace("ab", "ba")));
    let gaps = Pattern::new(&format!("%{}c%", "a_".repeat(450)));
    assert!(!gaps.matches(&"a".repeat(200_000)));
}

/// What a pattern means, without a care for time.
fn obvious(pattern: &[char], text: &[char]) -> bool {
    match (pattern, text) {
        ([], text) => text.is_empty(),
        (['%', rest @ ..], text) => (0..=text.len()).any(|skip| obvious(rest, &text[skip..])),
        (['_', rest @ ..], [_, text @ ..]) => obvious(rest, text),
        (['\\', sign @ ('%' | '_' | '\\'), rest @ ..], [first, text @ ..]) => {
            sign == first && obvious(rest, text)
        }
        ([sign, rest @ ..], [first, text @ ..]) => sign == first && obvious(rest, text),
        (_, []) => false,
    }
}

fn signs(text: &str) -> Vec<char> {
    text.chars().collect()
}

proptest! {
    #[test]
    fn a_pattern_means_the_obvious(pattern in r"[ab%_\\]{0,8}", text in r"[ab%_\\]{0,8}") {
        prop_assert_eq!(
            Pattern::new(&pattern).matches(&text),
            obvious(&signs(&pattern), &signs(&text))
        );
    }

    #[test]
    fn no_column_makes_the_parser_panic(text in "(reported)?[a\\[\\]0-9.\"\\\\é ]{0,20}|.*") {
        if let Ok(Column::In(_, steps)) = text.parse::<Column>() {
            prop_assert!(steps.len() <= text.len());
        }
    }

    /// A path that is written with all names in quotes is the one that was meant.
    #[test]
    fn any_member_has_a_path(names in proptest::collection::vec(any::<String>(), 0..5)) {
        let quoted = names.iter().map(|name| format!(".{}", Value::from(name.as_str())));
        let text = format!("desired{}", quoted.collect::<String>());
        let steps = names.into_iter().map(Step::Member).collect();
        prop_assert_eq!(column(&text), Column::In(Part::Desired, steps));
    }

    #[test]
    fn a_long_piece_with_gaps_is_found_where_it_is(
        piece in "[ab_]{1,150}", before in "[ab]{0,70}", behind in "[ab]{0,9}", fill in "[ab]{150}",
        breaks in any::<Option<prop::sample::Index>>(),
    ) {
        let mut inside: Vec<char> =
            piece.chars().zip(fill.chars()).map(|(sign, fill)| if sign == '_' { fill } else { sign }).collect();
        if let Some(at) = breaks {
            inside[at.index(piece.len())] = 'c';
        }
        let text: String = before.chars().chain(inside).chain(behind.chars()).collect();
        for pattern in [format!("%{piece}%"), format!("{piece}%"), format!("%{piece}")] {
            let wanted = obvious(&signs(&pattern), &signs(&text));
            prop_assert_eq!(Pattern::new(&pattern).matches(&text), wanted, "{}", pattern);
        }
    }
}
