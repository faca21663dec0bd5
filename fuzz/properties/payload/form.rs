//! Sections 1 and 7 of the protocol: what is taken for a payload, and how what is not is answered.

use serde::de::IgnoredAny;
use serde_json::{Value, json};
use twinthing::protocol::{
    Bad, Code, DEFAULT_PAYLOAD_LIMIT, GetRequest, MAX_DEPTH, Problem, Report, ReportKind,
    SetRequest, Trn, delete_answer, parse_delete,
};

use super::json::{Object, depth};

/// What JSON's library keeps for itself, which no payload may hold however it is written.
const RESERVED: &str = "$serde_json::private::";

/// Reads the payload as each kind there is.
pub(super) fn check(payload: &[u8]) {
    let limit = DEFAULT_PAYLOAD_LIMIT;
    let report = Report::parse(payload, limit);
    let set = SetRequest::parse(payload, limit);
    let get = GetRequest::parse(payload, limit);
    let delete = parse_delete(payload, limit);
    is_taken_if_it_is_an_object_within_the_limits(payload, delete.as_ref().err());
    what_is_no_object_is_answered_alike(&report, &set, &get, &delete);
    for problem in [set.as_ref().err(), get.as_ref().err(), delete.as_ref().err()] {
        problem.inspect(|problem| is_answered(problem));
    }
    if let Ok(query) = &delete {
        get_and_delete_agree(payload, &get, query.as_ref());
    }
    if let Ok(report) = &report {
        is_read_again(report);
    }
    if let Ok(set) = &set {
        is_asked_again(set);
    }
    if !payload.is_empty() {
        is_too_large_below_its_length(payload);
    }
}

fn is_taken_if_it_is_an_object_within_the_limits(payload: &[u8], refused: Option<&Problem>) {
    if payload.is_empty() || payload.len() > DEFAULT_PAYLOAD_LIMIT {
        return;
    }
    let text = std::str::from_utf8(payload).ok();
    let json = text.filter(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    let object = json.filter(|json| json.trim_start().starts_with('{'));
    match refused {
        None => {
            let value: Value = serde_json::from_str(object.unwrap()).unwrap();
            assert!(depth(&value) <= MAX_DEPTH);
            assert!(!value.to_string().contains(RESERVED), "{value}");
        }
        Some(Problem { code: Code::TooLarge, .. }) => {
            let brackets = payload.iter().filter(|byte| matches!(byte, b'{' | b'[')).count();
            assert!(brackets > MAX_DEPTH);
        }
        // An escape may be that of half a character, or spell what is reserved.
        Some(problem) => {
            let is_fine =
                object.is_some_and(|text| !text.contains("\\u") && !text.contains(RESERVED));
            assert!(!is_fine, "{}", problem.message);
        }
    }
}

/// What is no object is told to a client and to the log in the same words.
fn what_is_no_object_is_answered_alike(
    report: &Result<Report, Bad>,
    set: &Result<SetRequest, Problem>,
    get: &Result<GetRequest, Problem>,
    delete: &Result<Option<Value>, Problem>,
) {
    let Err(bad) = report else {
        assert!(delete.is_ok());
        return;
    };
    match bad {
        Bad::Missing(_) | Bad::WrongType { .. } => assert!(delete.is_ok()),
        Bad::TooLarge { .. }
        | Bad::TooDeep
        | Bad::NotJson(_)
        | Bad::NotObject(_)
        | Bad::Reserved => {
            let told = Problem { query: None, code: bad.code(), message: bad.to_string() };
            assert_eq!(set.as_ref(), Err(&told));
            for problem in [get.as_ref().err(), delete.as_ref().err()].into_iter().flatten() {
                assert_eq!(problem, &told);
            }
        }
    }
}

/// The answer to what is wrong by its form alone, as JSON.
pub(super) fn is_answered(problem: &Problem) {
    let answer: Value = serde_json::from_str(&problem.to_payload()).unwrap();
    let error = json!({"code": problem.code.number(), "message": problem.message});
    assert_eq!(answer, json!({"query": problem.query, "error": error}));
    assert!(matches!(problem.code.number(), 400 | 409 | 413 | 422), "{answer}");
    assert!(!problem.message.is_empty() && !problem.message.contains(char::is_control), "{answer}");
}

fn get_and_delete_agree(payload: &[u8], get: &Result<GetRequest, Problem>, query: Option<&Value>) {
    let object: Object = serde_json::from_slice(payload).unwrap_or_default();
    let asks = ["select", "as", "where", "orient"].iter().any(|name| object.contains_key(*name));
    assert_eq!(query, object.get("query"));
    let query = query.cloned();
    match get {
        Ok(GetRequest::Plain { query: own }) => assert!(!asks && *own == query),
        Ok(GetRequest::Query { query: own, .. }) => assert!(asks && *own == query),
        // What is wrong with a query is looked at in `query.rs`.
        Err(problem) => assert!(asks && problem.query == query),
    }
    for deleted in [true, false] {
        let answer: Value = serde_json::from_str(&delete_answer(query.as_ref(), deleted)).unwrap();
        let query = query.clone().unwrap_or_else(|| json!(0));
        assert_eq!(answer, json!({"query": query, "deleted": deleted}));
    }
}

/// A report as text is the same report: nothing in it is lost, its numbers stay as they were written.
fn is_read_again(report: &Report) {
    assert!(!report.members.contains_key("trn"));
    assert!(report.trn.is_none_or(|trn| trn <= Trn::MAX));
    let mut members = report.members.clone();
    if let Some(trn) = report.trn {
        members.insert("trn".to_owned(), json!(trn.get()));
    }
    let kind = match report.kind {
        ReportKind::Delta => "delta",
        ReportKind::State => "state",
    };
    let text = json!({ kind: members }).to_string();
    assert_eq!(Report::parse(text.as_bytes(), usize::MAX).as_ref(), Ok(report), "{text}");
}

fn is_asked_again(set: &SetRequest) {
    assert!(!set.members.contains_key("trn"));
    let mut request = Object::new();
    request.insert("set".to_owned(), json!(set.members));
    set.version.map(|version| request.insert("version".to_owned(), json!(version)));
    set.query.clone().map(|query| request.insert("query".to_owned(), query));
    let text = json!(request).to_string();
    assert_eq!(SetRequest::parse(text.as_bytes(), usize::MAX).as_ref(), Ok(set), "{text}");
}

fn is_too_large_below_its_length(payload: &[u8]) {
    let (bytes, limit) = (payload.len(), payload.len() - 1);
    assert_eq!(Report::parse(payload, limit), Err(Bad::TooLarge { bytes, limit }));
    let codes = [
        SetRequest::parse(payload, limit).unwrap_err().code,
        GetRequest::parse(payload, limit).unwrap_err().code,
        parse_delete(payload, limit).unwrap_err().code,
    ];
    assert_eq!(codes, [Code::TooLarge; 3]);
}
