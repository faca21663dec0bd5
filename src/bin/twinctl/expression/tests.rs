//! What expressions mean, and what is said of those that are none.

use proptest::{prelude::*, sample::select};
use serde_json::json;

use super::*;

fn read(text: &str) -> Value {
    parse(text).unwrap_or_else(|error| panic!("{error}"))
}

/// What a person is shown.
fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

/// The error without the text and the caret.
fn message(text: &str) -> String {
    parse(text).unwrap_err().message
}

fn value(text: &str) -> Value {
    read(&format!("reported.x = {text}"))["value"].clone()
}

/// A comparison with 1.
fn is(name: &str) -> Value {
    json!({"column": format!("reported.{name}"), "op": "=", "value": 1})
}

#[test]
fn no_expression_holds_of_everything() {
    for text in ["", " ", "\t\n "] {
        assert_eq!(read(text), json!({}));
    }
}

#[test]
fn each_operator_is_read_in_any_case() {
    for op in ["=", "!=", "<>", "<", "<=", ">", ">=", "LIKE", "NOT LIKE"] {
        let condition = json!({"column": "reported.x", "op": op, "value": 5});
        for text in [op, &op.to_lowercase(), &op.replace(' ', "\n ")] {
            assert_eq!(read(&format!("reported.x {text} 5")), condition, "{text}");
        }
    }
    assert_eq!(read("reported.x == 1"), is("x"));
    for (text, op) in [("in", "IN"), ("NOT\tIN", "NOT IN")] {
        let condition = json!({"column": "reported.x", "op": op, "value": [1, "b", true]});
        for list in ["(1, 'b', true)", "[1,\"b\",TRUE]", "( 1 ,'b' , true )"] {
            assert_eq!(read(&format!("reported.x {text} {list}")), condition, "{text} {list}");
        }
        let empty = json!({"column": "reported.x", "op": op, "value": []});
        assert_eq!(read(&format!("reported.x {text} ()")), empty);
    }
    for (text, op) in [("is null", "IS NULL"), ("IS not Null", "IS NOT NULL")] {
        let condition = json!({"column": "reported.x", "op": op});
        assert_eq!(read(&format!("reported.x {text}")), condition, "{text}");
    }
}

#[test]
fn nothing_needs_white_space_but_words() {
    let in_list = json!({"column": "reported.a[0]", "op": "IN", "value": [1]});
    let is_text = json!({"column": "reported.b", "op": "LIKE", "value": "x"});
    let expected = json!({"and": [{"not": in_list}, {"or": [is_text, is("c")]}]});
    assert_eq!(read("not(reported.a[0]in[1])and(reported.b like'x'or reported.c=1)"), expected);
}

#[test]
fn a_number_stays_as_it_is_written() {
    for number in ["0", "-0", "1.50", "-12.5e-3", "1e+400", "123456789012345678901234567890.10"] {
        assert_eq!(value(number).to_string(), number);
    }
    // The library has its own way with exponents; the value is the same.
    assert_eq!(value("1E5").to_string(), "1e+5");
}

#[test]
fn a_text_is_written_in_either_quotes() {
    for (text, expected) in [
        (r#""""#, ""),
        (r#""it's \"so\" \\ \u00e9\n""#, "it's \"so\" \\ é\n"),
        (r"''", ""),
        (r#"'say "so"'"#, "say \"so\""),
        (r"'it\'s \\ 50\% \n'", r"it's \ 50\% \n"),
        (r"'\\'", r"\"),
        (r"'\\\''", r"\'"),
        (r"'and (or) not'", "and (or) not"),
        ("'two\nlines'", "two\nlines"),
    ] {
        assert_eq!(value(text), json!(expected), "{text}");
    }
}

#[test]
fn a_column_is_kept_as_it_is_written() {
    for column in [
        "clientId",
        "groupId",
        "version",
        "online",
        "declinedMeta",
        "reported.net.ip",
        "reported.rgb[0][12].r",
        r#"reported."a.b ( \"c\" \\ = ".d"#,
        r#"desired."""#,
        "reported.größe-1/%@#",
        "reported.and.not.in",
        "desiredMeta.1",
    ] {
        let condition = json!({"column": column, "op": "=", "value": 1});
        assert_eq!(read(&format!("{column} = 1")), condition);
        assert_eq!(read(&format!("({column}=1)")), condition);
    }
    let id = json!({"column": "clientId", "op": "LIKE", "value": "pico%"});
    assert_eq!(read("id like 'pico%'"), id);
}

#[test]
fn not_binds_more_than_and_and_that_more_than_or() {
    let (a, b, c) = (is("a"), is("b"), is("c"));
    for (text, expected) in [
        ("A and B and C", json!({"and": [a, b, c]})),
        ("A or B OR C", json!({"or": [a, b, c]})),
        ("A or B and C", json!({"or": [a, {"and": [b, c]}]})),
        ("A and B or C", json!({"or": [{"and": [a, b]}, c]})),
        ("(A or B) and C", json!({"and": [{"or": [a, b]}, c]})),
        ("(A and B) and C", json!({"and": [{"and": [a, b]}, c]})),
        ("A and (B and C)", json!({"and": [a, {"and": [b, c]}]})),
        ("not A and B", json!({"and": [{"not": a}, b]})),
        ("Not (A and B)", json!({"not": {"and": [a, b]}})),
        ("not not A", json!({"not": {"not": a}})),
        ("(((A)))", a.clone()),
    ] {
        let written = |text: String, name: &str| {
            text.replace(name, &format!("reported.{} = 1", name.to_lowercase()))
        };
        let expression = ["A", "B", "C"].into_iter().fold(text.to_owned(), written);
        assert_eq!(read(&expression), expected, "{expression}");
    }
}

#[test]
fn an_error_is_shown_under_the_text_with_its_place() {
    assert_eq!(
        error("reported.temp > and online = true"),
        "\
--where: a value is missing after >: write a number, \"text\", true or false
  reported.temp > and online = true
                  ^"
    );
    assert_eq!(
        error("temp > 20"),
        "\
--where: no column is called temp: write reported.temp
  temp > 20
  ^"
    );
    assert_eq!(
        error("reported.on = true and  "),
        "\
--where: a condition is wanted here, not the end: begin with a column, as in reported.temp > 10
  reported.on = true and
                        ^"
    );
}

#[test]
fn the_caret_counts_places_and_the_text_is_on_one_line() {
    assert_eq!(
        error("reported.größe =\n\t'ä' \u{1b} nor"),
        "\
--where: \"and\" or \"or\" is wanted here, not \" \"
  reported.größe =  'ä'   nor
                        ^"
    );
    assert_eq!(
        error("reported.日本 = '\u{202e}e\u{301}' nor"),
        "\
--where: \"and\" or \"or\" is wanted here, not \"nor\"
  reported.日本 = ' e\u{301}' nor
                       ^"
    );
}

#[test]
fn a_long_text_is_shortened_around_the_place() {
    let part = "reported.a = 1 and ";
    assert_eq!(
        error(&format!("{}oops > 1 and {}", part.repeat(5), part.repeat(5))),
        "\
--where: no column is called oops: write reported.oops
  …ted.a = 1 and reported.a = 1 and oops > 1 and reported.a = 1 and r…
                                    ^"
    );
    assert_eq!(
        error(&format!("oops > 1 and {}", part.repeat(5))),
        "\
--where: no column is called oops: write reported.oops
  oops > 1 and reported.a = 1 and reported.a = 1 and reported.a = 1 a…
  ^"
    );
    assert_eq!(
        error(&part.repeat(5)),
        "\
--where: a condition is wanted here, not the end: begin with a column, as in reported.temp > 10
  ….a = 1 and reported.a = 1 and reported.a = 1 and reported.a = 1 and
                                                                      ^"
    );
    let wide = |count| format!("reported.{} = 1 ", "日".repeat(count));
    assert_eq!(
        error(&format!("{}oops", wide(50))),
        format!(
            "\
--where: \"and\" or \"or\" is wanted here, not \"oops\"
  …{} = 1 oops
{:>67}",
            "日".repeat(29),
            "^"
        )
    );
}

#[test]
fn where_a_condition_is_missing_a_column_is_wanted() {
    for (text, found) in [
        ("and online = true", "\"and\""),
        ("(", "the end"),
        ("()", ")"),
        ("not", "the end"),
        ("not or", "\"or\""),
        ("10 < reported.temp", "\"10\""),
        ("-1 = version", "\"-1\""),
        ("\"temp\" > 1", "\""),
        ("true", "\"true\""),
        ("in.x = 1", "\"in.x\""),
        ("= 1", "="),
    ] {
        let hint = "begin with a column, as in reported.temp > 10";
        let expected = format!("a condition is wanted here, not {found}: {hint}");
        assert_eq!(message(text), expected, "{text}");
    }
}

#[test]
fn a_column_that_is_none_is_told_what_could_be_meant() {
    for (text, column, meant) in [
        ("net.ip = 'x'", "net.ip", "reported.net.ip"),
        ("id.x = 1", "id.x", "reported.id.x"),
        ("rgb[0] > 1", "rgb[0]", "reported.rgb[0]"),
        ("clientid = 'x'", "clientid", "clientId"),
        ("Reported.\"a b\" = 1", "Reported.\"a b\"", "reported.\"a b\""),
    ] {
        let expected = format!("no column is called {column}: write {meant}");
        assert_eq!(message(text), expected, "{text}");
    }
    let long = message(&format!("{} = 1", "x".repeat(1000)));
    let (x40, x31) = ("x".repeat(40), "x".repeat(31));
    assert_eq!(long, format!("no column is called {x40}…: write reported.{x31}…"));
}

#[test]
fn a_path_that_is_not_well_formed_is_an_error_at_the_step() {
    let name = "a name is missing after .: write reported.temp or reported.\"a b\"";
    let index = "between [ and ] stands a number from 0: write reported.rgb[0]";
    for (text, offset, expected) in [
        ("reported. = 1", 9, name),
        ("reported.a..b = 1", 11, name),
        ("reported.'a' = 1", 9, name),
        ("reported.[0] = 1", 9, name),
        ("reported.a[] = 1", 11, index),
        ("reported.a[x] = 1", 11, index),
        ("reported.a[-1] = 1", 11, index),
        ("reported.a[0 ] = 1", 11, index),
        ("reported.a[0", 11, index),
        ("reported.\"a = 1", 9, "this \" is not closed"),
        (r#"reported."\x" = 1"#, 9, r#"what stands in " is not as in JSON, where \ is written \\"#),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!((error.message.as_str(), error.offset), (expected, offset), "{text}");
    }
}

#[test]
fn an_operator_that_is_missing_or_none_is_told_which_there_are() {
    for (text, found) in [
        ("online", "the end"),
        ("online and version = 1", "\"and\""),
        ("reported.a ~ 1", "\"~\""),
        ("reported.a contains 'x'", "\"contains\""),
        ("reported.a is true", "\"is\""),
        ("reported.a is not", "\"is\""),
        ("reported.a not between 1", "\"not\""),
        ("reported.a[0]b = 1", "\"b\""),
        ("reported.a [0] = 1", "["),
        ("reported.a] = 1", "]"),
    ] {
        let known = "=, !=, <, <=, >, >=, like, not like, in, not in, is null, is not null";
        let expected = format!("an operator is wanted here, not {found}: write {known}");
        assert_eq!(message(text), expected, "{text}");
    }
}

#[test]
fn and_or_and_not_are_written_as_words() {
    for (text, sign, word) in [
        ("online = true && version = 1", "&&", "and"),
        ("online=true&version=1", "&", "and"),
        ("online && version = 1", "&&", "and"),
        ("online = true || version = 1", "||", "or"),
        ("(online = true | version = 1)", "|", "or"),
        ("!online", "!", "not"),
        ("online = true and !(version = 1)", "!", "not"),
    ] {
        assert_eq!(message(text), format!("{sign} is not known: write {word}"), "{text}");
    }
}

#[test]
fn a_value_that_is_missing_or_none_is_told_how_one_is_written() {
    for (text, before) in [
        ("version >", ">"),
        ("version => 1", "="),
        ("(version = )", "="),
        ("version == or", "="),
        ("reported.a NOT LIKE", "not like"),
        ("reported.a in (, 1)", "in"),
        ("reported.a in (1, )", ","),
        ("reported.a in (", "in"),
    ] {
        let how = "write a number, \"text\", true or false";
        let expected = format!("a value is missing after {before}: {how}");
        assert_eq!(message(text), expected, "{text}");
    }
    for word in
        ["warm", "reported.b", "192.168.0.1", ".5", "5.", "+5", "007", "0x1F", "NaN", "-", "1e"]
    {
        let how = "a number is written as in JSON, a text in quotes";
        let expected = format!("{word} is no value: {how}: \"{word}\"");
        assert_eq!(message(&format!("reported.a = {word} and online = true")), expected);
    }
    let null = "null is compared with nothing: write is null or is not null";
    assert_eq!(message("reported.a = Null"), null);
    assert_eq!(message("reported.a in (1, null)"), null);
}

#[test]
fn lists_stand_after_in_and_nowhere_else() {
    let no_list = "one value is wanted here, not a list: a list stands after in or not in";
    for text in ["version = (1)", "version > [1]", "version in (1, (2))", "version in ([1])"] {
        assert_eq!(message(text), no_list, "{text}");
    }
    for (text, expected) in [
        ("version in 1", "a list is wanted here, not \"1\": write in (1, 2)"),
        ("version Not In", "a list is wanted here, not the end: write not in (1, 2)"),
        ("version in (1 2)", ", or ) is wanted here, not \"2\""),
        ("version in [1)", ", or ] is wanted here, not )"),
        ("version in (1", ", or ) is wanted here, not the end"),
    ] {
        assert_eq!(message(text), expected, "{text}");
    }
}

#[test]
fn a_text_that_is_not_closed_or_escaped_is_an_error_at_its_quote() {
    let escape = r#"what stands in " is not as in JSON, where \ is written \\"#;
    for (text, expected) in [
        ("version = 'a", "this ' is not closed"),
        (r"version = 'a\'", "this ' is not closed"),
        (r#"version = "a'"#, "this \" is not closed"),
        (r#"version = "50\%""#, escape),
        ("version = \"a\nb\"", escape),
        (r#"version = "\ud800""#, escape),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!((error.message.as_str(), error.offset), (expected, 10), "{text}");
    }
}

#[test]
fn behind_a_condition_stands_and_or_or() {
    for (text, expected) in [
        ("version = 1 online = true", "\"and\" or \"or\" is wanted here, not \"online\""),
        ("version = 1)", "\"and\" or \"or\" is wanted here, not )"),
        ("version = 'x''y'", "\"and\" or \"or\" is wanted here, not '"),
        ("version = 1, online = true", "\"and\" or \"or\" is wanted here, not ,"),
        ("version is null null", "\"and\" or \"or\" is wanted here, not \"null\""),
        ("(version = 1", "\"and\", \"or\" or ) is wanted here, not the end"),
        ("(version = 1]", "\"and\", \"or\" or ) is wanted here, not ]"),
    ] {
        assert_eq!(message(text), expected, "{text}");
    }
}

#[test]
fn conditions_are_nested_at_most_90_deep() {
    let too_deep = "conditions are nested deeper than 90";
    let nots = |count: usize| "not ".repeat(count) + "version = 1";
    assert!(parse(&nots(89)).is_ok());
    assert_eq!(message(&nots(90)), too_deep);
    assert_eq!(message(&nots(1_000_000)), too_deep);

    let brackets = |count| "(".repeat(count) + "version = 1" + &")".repeat(count);
    assert_eq!(read(&brackets(90)), read("version = 1"));
    let error = parse(&brackets(91)).unwrap_err();
    assert_eq!((error.message.as_str(), error.offset), (too_deep, 90));
    assert_eq!(message(&"(".repeat(1_000_000)), too_deep);

    // Each of them is an object with an array.
    let rows = |count| "version = 1 and (".repeat(count) + "version = 1" + &")".repeat(count);
    assert!(parse(&rows(44)).is_ok());
    assert_eq!(message(&rows(45)), too_deep);
    // A bracket that is closed again counts no more.
    assert!(parse(&vec![brackets(1); 200].join(" and ")).is_ok());
}

#[test]
fn there_are_at_most_1000_conditions_and_rows_count_as_one() {
    let row = |count| vec!["version = 1"; count].join(" or ");
    assert!(parse(&row(999)).is_ok());
    assert_eq!(message(&row(1000)), "there are more than 1000 conditions in all");
    // Values are no conditions.
    assert!(parse(&format!("version in ({})", vec!["1"; 2000].join(","))).is_ok());
}

/// A condition with a text that is to be read as it.
type Printed = (Value, String);

fn spelled(words: &'static [&'static str]) -> impl Strategy<Value = Printed> {
    let space = select(&[" ", "  ", "\t", "\n"][..]);
    (select(words), any::<bool>(), space).prop_map(|(words, is_lower, space)| {
        let text = if is_lower { words.to_lowercase() } else { words.to_owned() };
        (Value::from(words), text.replace(' ', space))
    })
}

fn column() -> impl Strategy<Value = String> {
    let step = prop_oneof![
        "\\.[^\\s()\\[\\].,\"'=!<>&|]{1,5}",
        "\\[[0-9]{1,3}\\]",
        any::<String>().prop_map(|name| format!(".{}", Value::from(name))),
    ];
    let path = proptest::collection::vec(step, 0..4);
    let columns: Vec<_> = COLUMNS.split(' ').collect();
    (select(columns), path).prop_map(|(first, path)| format!("{first}{}", path.concat()))
}

fn scalar() -> impl Strategy<Value = Printed> {
    let number = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,9})?(e[+-][0-9]{1,3})?",
    ];
    let text = prop_oneof![any::<String>(), "[ab'\"\\\\%_]{0,6}"];
    prop_oneof![
        number.prop_map(|number| (Value::Number(number.parse().unwrap()), number)),
        any::<bool>().prop_map(|value| (Value::from(value), value.to_string())),
        (text, any::<bool>()).prop_map(|(text, is_json)| {
            let single = format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
            let json = Value::from(text);
            let printed = if is_json { json.to_string() } else { single };
            (json, printed)
        }),
    ]
}

fn list() -> impl Strategy<Value = Printed> {
    (proptest::collection::vec(scalar(), 0..4), any::<bool>()).prop_map(|(values, is_round)| {
        let (values, texts): (Vec<_>, Vec<_>) = values.into_iter().unzip();
        let texts = texts.join(", ");
        let text = if is_round { format!("({texts})") } else { format!("[{texts}]") };
        (Value::from(values), text)
    })
}

fn comparison() -> impl Strategy<Value = Printed> {
    let one = spelled(&["=", "!=", "<>", "<", "<=", ">", ">=", "LIKE", "NOT LIKE"]);
    let many = spelled(&["IN", "NOT IN"]);
    let with_value = prop_oneof![(one, scalar()), (many, list())];
    let test = prop_oneof![
        4 => with_value.prop_map(|((op, words), (value, text))| {
            (json!({"op": op, "value": value}), format!("{words} {text}"))
        }),
        1 => spelled(&["IS NULL", "IS NOT NULL"]).prop_map(|(op, words)| (json!({"op": op}), words)),
    ];
    (column(), test).prop_map(|(column, (mut json, text))| {
        let text = format!("{column} {text}");
        json["column"] = Value::from(column);
        (json, text)
    })
}

fn condition() -> impl Strategy<Value = Printed> {
    comparison().prop_recursive(5, 40, 4, |inner| {
        let some = proptest::collection::vec(inner.clone(), 2..5);
        let row = (spelled(&["and", "or"]), some, any::<bool>());
        prop_oneof![
            2 => row.prop_map(|((word, text), parts, is_careful)| {
                // What binds more needs no brackets, but may have them.
                let bare: &[&str] = if is_careful || word == "and" { &[] } else { &["and"] };
                let printed = parts.iter().map(|part| within(part, bare)).collect::<Vec<_>>();
                let parts: Vec<_> = parts.into_iter().map(|(json, _)| json).collect();
                let json = Value::from_iter([(word.as_str().unwrap(), parts)]);
                (json, printed.join(&format!(" {text} ")))
            }),
            1 => inner.prop_map(|part| {
                let text = format!("not {}", within(&part, &[]));
                (json!({"not": part.0}), text)
            }),
        ]
    })
}

/// The text, in brackets if it is a row that must not stand without.
fn within((json, text): &Printed, bare: &[&str]) -> String {
    let is_row =
        ["and", "or"].into_iter().any(|row| json.get(row).is_some() && !bare.contains(&row));
    if is_row { format!("({text})") } else { text.clone() }
}

/// Pieces of expressions in any order.
fn soup() -> impl Strategy<Value = String> {
    let pieces = "reported.a clientId temp . \" ' \\ ( ) [ ] , and or not in like is null true 1 - \
                  1.5e3 'x' = ! < > & | ä 😀 \u{0} [0] .\"b\"";
    let pieces: Vec<_> = pieces.split(' ').chain([" ", " ", " ", " ", "\n", "\u{2003}"]).collect();
    let piece = prop_oneof![9 => select(pieces).prop_map(str::to_owned), 1 => any::<String>()];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// A read expression, or an error whose three lines hold the place.
fn holds(text: &str) -> Result<(), TestCaseError> {
    let Err(error) = parse(text) else { return Ok(()) };
    let shown = error.to_string();
    let [first, line, caret] = shown.split('\n').collect::<Vec<_>>()[..] else {
        return Err(TestCaseError::fail(format!("{shown} has not three lines")));
    };
    prop_assert!(first.starts_with("--where: ") && !first.contains(char::is_control));
    prop_assert!(places(line.chars()) <= MAX_SHOWN + 2, "{}", line);
    prop_assert!(!line.contains(is_direction), "{}", line);
    let found = error.text[error.offset..].chars().next().map(plain);
    // Signs that take no place stand where the next one does.
    let mut column = 0;
    let mut at_caret = line.chars().map(Some).chain([None]).filter(|sign| {
        let is_there = column == caret.len() - 1;
        column += sign.map_or(0, place);
        is_there
    });
    prop_assert!(at_caret.any(|sign| sign == found), "{}", shown);
    prop_assert_eq!(caret.trim_start(), "^");
    Ok(())
}

proptest! {
    #[test]
    fn printing_and_reading_are_inverse((json, text) in condition()) {
        prop_assert_eq!(parse(&text).map_err(|error| TestCaseError::fail(error.to_string()))?, json);
    }

    #[test]
    fn no_text_panics(text in prop_oneof![any::<String>(), "\\PC*", "(?s).*", soup()]) {
        holds(&text)?;
    }

    #[test]
    fn no_part_of_an_expression_panics((_, text) in condition(), from: u16, to: u16) {
        let signs: Vec<_> = text.chars().collect();
        let from = usize::from(from) % (signs.len() + 1);
        let to = from + usize::from(to) % (signs.len() - from + 1);
        let part: String = signs.iter().skip(from).take(to - from).collect();
        holds(&part)?;
    }

    #[test]
    fn what_is_read_fits_into_a_payload(
        around in proptest::collection::vec(select(&["not ", "(", "id='a' or (", "id='b' and "][..]), 0..130),
    ) {
        let around = around.concat();
        let closed = ")".repeat(around.matches('(').count());
        match parse(&format!("{around}id in (1){closed}")) {
            Ok(json) => prop_assert!(size(&json).1 <= MAX_DEPTH),
            Err(error) => prop_assert_eq!(error.message, "conditions are nested deeper than 90"),
        }
    }
}
