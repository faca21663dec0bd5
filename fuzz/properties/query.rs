//! Section 4 of the protocol. The first line is what a thing reported, the rest a query about its twin.

use serde_json::{Map, Value, json};
use twinthing::{
    protocol::{Column, DEFAULT_PAYLOAD_LIMIT, GetRequest, Part, Query, Step},
    twin::{Candidate, Record, Rows, Selection, query_answer},
};

/// Checks what has to hold. Says how many rows a well-formed query finds; of one that is none, nothing is found.
pub fn check(input: &[u8]) -> Option<usize> {
    let line = input.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (reported, request) = input.split_at(line);
    let reported = serde_json::from_slice::<Map<String, Value>>(reported).unwrap_or_default();
    let record = record(&Value::Object(reported));
    let request = request.strip_prefix(b"\n").unwrap_or(request);
    match GetRequest::parse(request, DEFAULT_PAYLOAD_LIMIT) {
        Ok(GetRequest::Plain { .. }) => None,
        Ok(GetRequest::Query { asked, query }) => {
            let written: Map<String, Value> = serde_json::from_slice(request).unwrap();
            assert_eq!(query.as_ref(), written.get("query"));
            Some(is_answered(&asked, query.as_ref(), &written, &record))
        }
        Err(problem) => {
            assert!(matches!(problem.code.number(), 400 | 413 | 422), "{problem:?}");
            assert!(!problem.message.is_empty(), "{problem:?}");
            assert!(!problem.message.contains(char::is_control), "{problem:?}");
            None
        }
    }
}

fn record(reported: &Value) -> Record {
    Record {
        reported: reported.to_string(),
        reported_meta: r#"{"timestamp":1}"#.to_owned(),
        desired: r#"{"trn":1,"on":true}"#.to_owned(),
        desired_meta: r#"{"timestamp":1,"trn":1,"on":1}"#.to_owned(),
        declined: "{}".to_owned(),
        declined_meta: "{}".to_owned(),
        version: 3,
        revision: 3,
        sent: "{}".to_owned(),
        online: None,
        session: 0,
        unsettled: true,
    }
}

fn is_answered(
    asked: &Query,
    mark: Option<&Value>,
    written: &Map<String, Value>,
    record: &Record,
) -> usize {
    let candidate = Candidate::new("lamp", record, Some(false));
    let row = |query: &Query| Selection::new(query, None).row(candidate).unwrap();
    let found = row(asked);
    let opposite = negated(written);
    assert_ne!(found.is_some(), row(&opposite).is_some(), "a where and its negation");
    let everything = written.iter().filter(|(name, _)| *name != "where");
    let everything = everything.map(|(name, value)| (name.clone(), value.clone())).collect();
    let values = row(&Query::from_object(&everything).unwrap()).unwrap();
    assert!(found.is_none() || found.as_ref() == Some(&values));
    assert_eq!(values.len(), asked.outputs.len());
    for (output, value) in asked.outputs.iter().zip(&values) {
        if let Column::In(part, path) = &output.column {
            assert_eq!(*value, walked(record, *part, path), "{}", output.name);
        }
    }
    let rows = Vec::from_iter(found);
    let answer = query_answer(asked, mark, &[&Rows::of(asked, &rows)]);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["query"], mark.cloned().unwrap_or_else(|| json!(0)));
    assert!(answer["res"].is_array() || answer["res"].is_object());
    rows.len()
}

fn negated(written: &Map<String, Value>) -> Query {
    let condition = written.get("where").cloned().unwrap_or_else(|| json!({}));
    let mut request = written.clone();
    request.insert("where".to_owned(), json!({"not": condition}));
    // A query that the fuzzer makes is too short for a thousand conditions.
    Query::from_object(&request).unwrap()
}

/// What is at a path, in a document that was read as a whole.
fn walked(record: &Record, part: Part, path: &[Step]) -> Value {
    let text = match part {
        Part::Reported => &record.reported,
        Part::ReportedMeta => &record.reported_meta,
        Part::Desired => &record.desired,
        Part::DesiredMeta => &record.desired_meta,
        Part::Declined => &record.declined,
        Part::DeclinedMeta => &record.declined_meta,
    };
    let mut value: Value = serde_json::from_str(text).unwrap();
    for step in path {
        value = match step {
            Step::Member(name) => value.get(name).cloned(),
            Step::Element(index) => value.get(*index).cloned(),
        }
        .unwrap_or_default();
    }
    value
}
