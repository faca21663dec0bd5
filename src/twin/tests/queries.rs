//! Queries over twins as they are stored: examples, pandas' own shapes, and agreement with a slow and obvious
//! evaluator that reads the request as it was written.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::{
    protocol::Query,
    twin::{Candidate, Record, Rows, SelectError, Selection, query_answer},
};

/// The documents of a twin at version 4, whose thing is online.
fn record(reported: &Value, desired: &Value) -> Record {
    let text = |value: &Value| value.to_string();
    Record {
        reported: text(reported),
        reported_meta: text(&json!({"timestamp": 5, "temp": 5})),
        desired: text(desired),
        desired_meta: text(&json!({"timestamp": 6})),
        declined: text(&json!({})),
        declined_meta: text(&json!({"timestamp": 7})),
        version: 4,
        revision: 9,
        sent: "{}".to_owned(),
        online: None,
        session: 0,
        unsettled: false,
    }
}

fn query(request: &Value) -> Query {
    Query::from_object(request.as_object().unwrap()).unwrap()
}

/// The row of the lamp, asked as a member of the group `hall`.
fn row(request: &Value, record: &Record) -> Option<Vec<Value>> {
    let candidate = Candidate::new("lamp", record, Some(true));
    Selection::new(&query(request), Some("hall")).row(candidate).unwrap()
}

fn lamp() -> Record {
    let reported = json!({
        "trn": 3, "temp": 20.5, "on": true, "name": "Lämp", "rgb": [1, [2, {"x": 3}]], "null": null,
        "net": {"ip": "1.2.3.4", "a.b": {"c": 1}}, "big": 9_007_199_254_740_993_u64,
    });
    record(&reported, &json!({"trn": 3}))
}

#[test]
fn a_path_leads_to_what_is_there_and_to_null_where_nothing_is() {
    let lamp = lamp();
    for (column, value) in [
        ("clientId", json!("lamp")),
        ("groupId", json!("hall")),
        ("version", json!(4)),
        ("online", json!(true)),
        ("desired", json!({"trn": 3})),
        ("desiredMeta.timestamp", json!(6)),
        ("reported.temp", json!(20.5)),
        ("reported.net", json!({"ip": "1.2.3.4", "a.b": {"c": 1}})),
        ("reported.net.\"a.b\".c", json!(1)),
        ("reported.rgb", json!([1, [2, {"x": 3}]])),
        ("reported.rgb[1][1].x", json!(3)),
        ("reported.rgb[0]", json!(1)),
        ("reported.rgb[2]", Value::Null),
        ("reported.rgb.x", Value::Null),
        ("reported[0]", Value::Null),
        ("reported.net[0]", Value::Null),
        ("reported.temp.x", Value::Null),
        ("reported.name.x", Value::Null),
        ("reported.null.x", Value::Null),
        ("reported.nothing.x[4]", Value::Null),
        ("declined.x", Value::Null),
    ] {
        assert_eq!(row(&json!({"select": [column]}), &lamp), Some(vec![value]), "{column}");
    }
    let select =
        json!(["reported.net.ip", "reported.net", "reported.rgb[1][0]", "reported.rgb[0]"]);
    let values = json!(["1.2.3.4", {"ip": "1.2.3.4", "a.b": {"c": 1}}, 2, 1]);
    assert_eq!(row(&json!({"select": select}), &lamp).map(Value::from), Some(values));
}

#[test]
fn each_operator_finds_values_of_its_own_type_only() {
    let lamp = lamp();
    for (column, op, value, holds) in [
        ("reported.temp", "=", json!(20.5), true),
        ("reported.temp", "=", json!(2.05e1), true),
        ("reported.temp", "=", json!("20.5"), false),
        ("reported.temp", "!=", json!("20.5"), false),
        ("reported.temp", "<>", json!(20), true),
        ("reported.temp", "<", json!(100), true),
        ("reported.temp", "<=", json!(20.5), true),
        ("reported.temp", ">", json!(20.5), false),
        ("reported.temp", ">=", json!(-20.5), true),
        ("reported.big", "=", json!(9_007_199_254_740_992_u64), false),
        ("reported.big", ">", json!(9_007_199_254_740_992_u64), true),
        ("reported.temp", ">", json!("1"), false),
        ("reported.name", ">", json!("Lamp"), true),
        ("reported.name", "<", json!("lamp"), true),
        ("reported.name", "like", json!("L_m%"), true),
        ("reported.name", "not like", json!("L_m%"), false),
        ("reported.name", "Not Like", json!("l%"), true),
        ("reported.temp", "like", json!("%"), false),
        ("reported.temp", "not like", json!("a"), false),
        ("reported.on", "=", json!(true), true),
        ("reported.on", "=", json!(1), false),
        ("reported.on", "!=", json!(false), true),
        ("reported.on", "in", json!([true, 1]), true),
        ("reported.on", "in", json!([1, "true"]), false),
        ("reported.on", "not in", json!([false]), true),
        ("reported.on", "not in", json!([1]), false),
        ("reported.temp", "in", json!([1, 20.50, "x"]), true),
        ("reported.temp", "not in", json!([1, 2]), true),
        ("reported.temp", "in", json!([]), false),
        ("reported.temp", "not in", json!([]), false),
        ("reported.null", "=", json!(0), false),
        ("reported.null", "!=", json!(0), false),
        ("reported.nothing", "not in", json!([0]), false),
        ("reported.net", "!=", json!(0), false),
        ("reported.rgb", "=", json!("[1]"), false),
        ("reported.null", "is null", json!(5), true),
        ("reported.nothing", "IS NULL", Value::Null, true),
        ("reported.net", "IS NULL", Value::Null, false),
        ("reported.net", "is not null", Value::Null, true),
        ("clientId", "like", json!("%amp"), true),
        ("groupId", "=", json!("hall"), true),
        ("version", ">=", json!(4), true),
        ("online", "=", json!(true), true),
    ] {
        let request = json!({"where": {"column": column, "op": op, "value": value}});
        assert_eq!(row(&request, &lamp).is_some(), holds, "{request}");
        let request = json!({"where": {"not": request["where"]}});
        assert_eq!(row(&request, &lamp).is_none(), holds, "{request}");
    }
}

#[test]
fn conditions_are_put_together_in_two_valued_logic() {
    let lamp = lamp();
    let (yes, no) = (
        json!({"column": "version", "op": "=", "value": 4}),
        json!({"column": "version", "op": "=", "value": 5}),
    );
    for (condition, holds) in [
        (json!({}), true),
        (json!({"and": []}), true),
        (json!({"or": []}), false),
        (json!({"not": {}}), false),
        (json!({"and": [yes, yes]}), true),
        (json!({"and": [yes, no]}), false),
        (json!({"or": [no, yes]}), true),
        (json!({"or": [no, no]}), false),
        (json!({"not": {"or": [no, {"and": [yes, {"not": no}]}]}}), false),
    ] {
        assert_eq!(row(&json!({"where": condition}), &lamp).is_some(), holds, "{condition}");
    }
}

#[test]
fn a_document_that_is_no_json_is_an_error_only_if_it_is_asked_for() {
    let broken = Record { reported: "{\"a\":".to_owned(), ..lamp() };
    let candidate = Candidate::new("lamp", &broken, None);
    let asked = |column: &str| {
        Selection::new(&query(&json!({"select": [column]})), None).row(candidate).is_ok()
    };
    assert!(asked("desired") && asked("clientId"));
    assert!(!asked("reported") && !asked("reported.a.b"));
}

/// Rows that others wrote may spell things as serde_json does not.
#[test]
fn a_document_means_the_same_however_it_is_written() {
    let reported = r#" { "a" : {"b":1, "c":2}, "a":{"c" : 3}, "n":2e1, "m":-0, "long":123456789012345678901,
        "text":"L\u00e4mp", "x\u0079":true, "list":[ 1 , {"y":null} ] } "#;
    let twin = Record { reported: reported.to_owned(), ..lamp() };
    for (column, value) in [
        ("reported.a.b", Value::Null),
        ("reported.a.c", json!(3)),
        ("reported.a", json!({"c": 3})),
        ("reported.text", json!("Lämp")),
        ("reported.xy", json!(true)),
        ("reported.list[1]", json!({"y": null})),
        ("reported.list[1].y", Value::Null),
    ] {
        assert_eq!(row(&json!({"select": [column]}), &twin), Some(vec![value]), "{column}");
    }
    for (column, op, value) in [
        ("reported.n", "=", json!(20)),
        ("reported.n", "<", json!(20.5)),
        ("reported.n", ">", json!(-3)),
        ("reported.m", "=", json!(0)),
        ("reported.long", ">", json!(123_456_789_012_345_678_u64)),
        ("reported.text", "=", json!("Lämp")),
        ("reported.text", "LIKE", json!("L_mp")),
        ("reported.text", "IN", json!(["x", "Lämp"])),
        ("reported.xy", "=", json!(true)),
        ("reported.list[1].y", "IS NULL", Value::Null),
        ("reported.list[0]", "!=", json!(2)),
    ] {
        let condition = json!({"column": column, "op": op, "value": value});
        let request = json!({"select": ["clientId"], "where": condition});
        assert!(row(&request, &twin).is_some(), "{condition}");
        let request = json!({"select": ["clientId"], "where": {"not": condition}});
        assert!(row(&request, &twin).is_none(), "not {condition}");
    }
    for column in ["reported.a", "reported.list", "reported.list[1].y", "reported.nothing"] {
        for op in ["IN", "NOT IN"] {
            let condition = json!({"column": column, "op": op, "value": [1, "x", true]});
            let request = json!({"select": ["clientId"], "where": condition});
            assert!(row(&request, &twin).is_none(), "{condition}");
        }
    }
}

#[test]
fn a_query_that_asks_for_a_large_document_again_and_again_is_too_large() {
    let large = record(&json!({"a": vec![0; 100_000]}), &json!({}));
    let candidate = Candidate::new("lamp", &large, None);
    let asked = |times: usize| {
        let names: Vec<_> = (0..times).map(|n| n.to_string()).collect();
        let request = json!({"select": vec!["reported"; times], "as": names});
        Selection::new(&query(&request), None).row(candidate).map(|row| row.unwrap().len())
    };
    assert_eq!(asked(2).unwrap(), 2);
    assert!(matches!(asked(1000), Err(SelectError::TooLarge)));
    let all = Selection::new(&query(&json!({})), None).row(candidate).unwrap();
    assert_eq!(all.unwrap().len(), 9);
    let looked_at = json!({"column": "reported", "op": "IS NOT NULL"});
    let request = json!({"select": ["clientId"], "where": {"and": vec![looked_at; 999]}});
    assert!(Selection::new(&query(&request), None).row(candidate).unwrap().is_some());
}

#[test]
fn each_shape_is_as_pandas_gives_it() {
    let frames: Value =
        serde_json::from_str(include_str!("../../../tests/orient/frames.json")).unwrap();
    let (mut shapes, mut refused) = (0, 0);
    for frame in frames.as_array().unwrap() {
        let names = frame["columns"].as_array().unwrap();
        let rows: Vec<Vec<Value>> = serde_json::from_value(frame["rows"].clone()).unwrap();
        for (orient, wanted) in frame["shapes"].as_object().unwrap() {
            let select: Vec<_> = (0..names.len()).map(|n| format!("reported[{n}]")).collect();
            let request = json!({"select": select, "as": names, "orient": orient});
            if wanted.get("pandas cannot").is_some() {
                let refusal = Query::from_object(request.as_object().unwrap()).unwrap_err();
                assert!(refusal.to_string().contains("two columns"), "{refusal}");
                refused += 1;
                continue;
            }
            let (query, mark) = (query(&request), json!("q"));
            let text = query_answer(&query, Some(&mark), &[&Rows::of(&query, &rows)]);
            let answer: Value = serde_json::from_str(&text).unwrap();
            let wanted = json!({"query": "q", "res": wanted});
            assert!(crate::protocol::same_value(&answer, &wanted), "{answer}\n{wanted}");
            assert_eq!(in_parts(&query, &mark, &rows), text);
            shapes += 1;
        }
    }
    assert_eq!((shapes, refused), (41, 1), "seven frames in six shapes");
}

/// The answer from parts of two rows each, with empty ones between them.
fn in_parts(query: &Query, mark: &Value, rows: &[Vec<Value>]) -> String {
    let mut parts = vec![Rows::behind(0, query)];
    for (number, chunk) in rows.chunks(2).enumerate() {
        let mut part = Rows::behind(2 * number, query);
        chunk.iter().for_each(|row| part.push(row));
        parts.extend([part, Rows::behind(2 * number + chunk.len(), query)]);
    }
    assert_eq!(parts.iter().map(Rows::count).sum::<usize>(), rows.len());
    query_answer(query, Some(mark), &Vec::from_iter(&parts))
}

#[test]
fn an_answer_is_in_the_order_of_the_query() {
    let asked = query(&json!({"select": ["version", "clientId"], "orient": "columns"}));
    let rows = [vec![json!(1), json!("b")], vec![json!(2), json!("a")]];
    assert_eq!(
        query_answer(&asked, None, &[&Rows::of(&asked, &rows)]),
        r#"{"query":0,"res":{"version":{"0":1,"1":2},"clientId":{"0":"b","1":"a"}}}"#
    );
}

/// The value at a column, from documents that were read as a whole.
fn value_at(column: &str, record: &Record) -> Value {
    match column {
        "clientId" => return json!("lamp"),
        "version" => return json!(4),
        _ => {}
    }
    let (document, path) = column.split_at(column.find(['.', '[']).unwrap_or(column.len()));
    let text = if document == "reported" { &record.reported } else { &record.desired };
    let mut value: Value = serde_json::from_str(text).unwrap();
    for step in path.split(['.', '[']).filter(|step| !step.is_empty()) {
        let index = step.strip_suffix(']').map(|index| index.parse::<usize>().unwrap());
        value = match index {
            Some(index) => value.as_array().and_then(|array| array.get(index).cloned()),
            None => value.as_object().and_then(|object| object.get(step).cloned()),
        }
        .unwrap_or_default();
    }
    value
}

/// What a `where` means, word for word.
fn obvious(condition: &Value, record: &Record) -> bool {
    let condition = condition.as_object().unwrap();
    let all = |inner: &Value| -> Vec<bool> {
        inner.as_array().unwrap().iter().map(|inner| obvious(inner, record)).collect()
    };
    if let Some(inner) = condition.get("and") {
        return all(inner).into_iter().all(|holds| holds);
    }
    if let Some(inner) = condition.get("or") {
        return all(inner).into_iter().any(|holds| holds);
    }
    if let Some(inner) = condition.get("not") {
        return !obvious(inner, record);
    }
    let Some(column) = condition.get("column") else { return true };
    let own = value_at(column.as_str().unwrap(), record);
    let op = condition["op"].as_str().unwrap().to_uppercase();
    let other = condition.get("value").unwrap_or(&Value::Null);
    let compare = |own: &Value, other: &Value| match (own, other) {
        (Value::Number(own), Value::Number(other)) => {
            own.as_f64().unwrap().partial_cmp(&other.as_f64().unwrap())
        }
        (Value::String(own), Value::String(other)) => Some(own.chars().cmp(other.chars())),
        _ => None,
    };
    let equal = |own: &Value, other: &Value| match (own, other) {
        (Value::Bool(own), Value::Bool(other)) => own == other,
        _ => compare(own, other) == Some(std::cmp::Ordering::Equal),
    };
    let kind = |value: &Value| match value {
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Null | Value::Array(_) | Value::Object(_) => 0,
    };
    let alike = |other: &Value| kind(&own) > 0 && kind(&own) == kind(other);
    let list = || other.as_array().unwrap();
    match op.as_str() {
        "IS NULL" => own.is_null(),
        "IS NOT NULL" => !own.is_null(),
        "=" => equal(&own, other),
        "!=" | "<>" => alike(other) && !equal(&own, other),
        "<" => compare(&own, other).is_some_and(|order| order.is_lt()),
        "<=" => compare(&own, other).is_some_and(|order| order.is_le()),
        ">" => compare(&own, other).is_some_and(|order| order.is_gt()),
        ">=" => compare(&own, other).is_some_and(|order| order.is_ge()),
        "IN" => list().iter().any(|other| equal(&own, other)),
        "NOT IN" => list().iter().any(alike) && !list().iter().any(|other| equal(&own, other)),
        op => panic!("no patterns here: {op}"),
    }
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::from),
        (-3_i64..4).prop_map(Value::from),
        (-6_i32..7).prop_map(|half| json!(f64::from(half) / 2.0)),
        "[aAä\u{1f506}]{0,2}".prop_map(Value::from),
    ]
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![4 => scalar(), 1 => Just(Value::Null)];
    let inner = leaf.prop_recursive(3, 20, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map("[abc]", inner, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    });
    proptest::collection::btree_map("[abc]", inner, 0..3)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

fn a_column() -> impl Strategy<Value = String> {
    let path = prop_oneof!["\\.[abc]".prop_map(String::from), "\\[[01]\\]".prop_map(String::from)];
    let document = prop_oneof![Just("reported"), Just("desired")];
    prop_oneof![
        1 => Just("clientId".to_owned()),
        1 => Just("version".to_owned()),
        8 => (document, proptest::collection::vec(path, 0..3))
            .prop_map(|(document, path)| format!("{document}{}", path.concat())),
    ]
}

fn comparison() -> impl Strategy<Value = Value> {
    let equal = prop_oneof![Just("="), Just("!="), Just("<>")];
    let in_order = prop_oneof![Just("<"), Just("<="), Just(">"), Just(">=")];
    let ordered = scalar().prop_filter("booleans have no order", |value| !value.is_boolean());
    let list = proptest::collection::vec(scalar(), 0..4).prop_map(Value::from);
    let test = prop_oneof![
        (equal, scalar()),
        (in_order, ordered),
        (prop_oneof![Just("in"), Just("NOT IN")], list),
        (prop_oneof![Just("IS NULL"), Just("is not null")], Just(Value::Null)),
    ];
    (a_column(), test)
        .prop_map(|(column, (op, value))| json!({"column": column, "op": op, "value": value}))
}

fn condition() -> impl Strategy<Value = Value> {
    prop_oneof![8 => comparison(), 1 => Just(json!({}))].prop_recursive(4, 20, 3, |inner| {
        let some = proptest::collection::vec(inner.clone(), 0..3);
        prop_oneof![
            some.clone().prop_map(|inner| json!({"and": inner})),
            some.prop_map(|inner| json!({"or": inner})),
            inner.prop_map(|inner| json!({"not": inner})),
        ]
    })
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        scalar(),
        Just(Value::Null),
        a_column().prop_map(Value::from),
        prop_oneof![Just("="), Just("in"), Just("like"), Just("*"), Just("split")]
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 30, 4, |inner| {
        let name = prop_oneof![
            "select|as|where|orient|column|op|value|and|or|not".prop_map(String::from),
            any::<String>(),
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(name, inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_where_means_the_obvious(
        reported in document(), desired in document(), condition in condition(),
    ) {
        let record = record(&reported, &desired);
        let request = json!({"select": ["clientId"], "where": condition});
        prop_assert_eq!(row(&request, &record).is_some(), obvious(&condition, &record));
    }

    #[test]
    fn a_select_finds_the_obvious(
        reported in document(), columns in proptest::collection::btree_set(a_column(), 1..6),
    ) {
        let record = record(&reported, &json!({}));
        let wanted: Vec<Value> = columns.iter().map(|column| value_at(column, &record)).collect();
        prop_assert_eq!(row(&json!({"select": columns}), &record), Some(wanted));
    }

    /// Queries are also made of what people could get wrong.
    #[test]
    fn no_query_panics(
        reported in document(), select in anything(), names in anything(), condition in anything(),
        orient in prop_oneof![Just(json!("records")), anything()], without in 0_u8..16,
    ) {
        let members = [("select", select), ("as", names), ("where", condition), ("orient", orient)];
        let request: Map<String, Value> = members
            .into_iter()
            .enumerate()
            .filter(|(bit, _)| without & (1 << bit) == 0)
            .map(|(_, (name, value))| (name.to_owned(), value))
            .collect();
        if let Ok(query) = Query::from_object(&request) {
            let record = record(&reported, &json!({}));
            let candidate = Candidate::new("lamp", &record, None);
            let row = Selection::new(&query, None).row(candidate).unwrap();
            let answer = query_answer(&query, None, &[&Rows::of(&query, row.as_slice())]);
            prop_assert!(serde_json::from_str::<Value>(&answer).is_ok());
        }
    }
}
