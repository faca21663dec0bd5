//! The pure core by itself: `cargo bench --bench core`; `scripts/counts.sh` counts the instructions instead, which
//! repeat from run to run.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark fails by panicking"
)]

use std::{hint::black_box, sync::Arc};

use criterion::Criterion;
use serde_json::{Value, json};
use twinthing::{
    protocol::{Query, Report, SetRequest, Timestamp},
    twin::{Candidate, Event, Moment, Record, Rows, Rules, Selection, Twin, query_answer},
};

/// How often a case runs while its instructions are counted.
const COUNTED: usize = 100;

/// What is measured, by name.
struct Case {
    name: &'static str,
    work: Box<dyn Fn()>,
}

fn main() {
    let given: Vec<String> = std::env::args().skip(1).collect();
    match given.first().map(String::as_str) {
        Some("--names") => cases().iter().for_each(|case| println!("{}", case.name)),
        Some("--count") => {
            let name = given.get(1).map(String::as_str).unwrap_or_default();
            let cases = cases();
            let case = cases.iter().find(|case| case.name == name);
            let case = case.unwrap_or_else(|| panic!("no case is called {name:?}"));
            // Once before it counts: what is made for the first time is there.
            (case.work)();
            counted(&case.work);
        }
        _ => {
            let mut criterion = Criterion::default().configure_from_args();
            for case in cases() {
                criterion.bench_function(case.name, |bencher| bencher.iter(&case.work));
            }
            criterion.final_summary();
        }
    }
}

/// What callgrind counts the instructions of.
#[inline(never)]
fn counted(work: &dyn Fn()) {
    for _ in 0..COUNTED {
        work();
    }
}

fn cases() -> Vec<Case> {
    let case = |name, work: Box<dyn Fn()>| Case { name, work };
    vec![
        case("report-of-1-member-of-5", report(5, 1)),
        case("report-of-1-member-of-100", report(100, 1)),
        case("merge-of-50-members-into-100", report(100, 50)),
        case("set-of-1-member-of-5", set()),
        case("set-settled-by-its-report", settled()),
        case("record-of-5-members", record()),
        case("query-over-1000-documents", query()),
    ]
}

fn moment(rules: &Rules, now: i64) -> Moment<'_> {
    Moment { now: Timestamp(now), session: 1, rules }
}

fn state(members: usize, value: usize) -> Value {
    let mut state = json!({});
    for number in 0..members {
        state[format!("member{number:03}")] = json!(value);
    }
    state
}

fn apply(twin: &Twin, event: Event, now: i64) -> Twin {
    let (twin, outcome) = twin.apply(event, &moment(&Rules::default(), now)).unwrap();
    black_box(outcome);
    twin
}

fn parsed(payload: &str) -> Event {
    Event::Reported(Report::parse(payload.as_bytes(), 1 << 20).unwrap())
}

/// A twin whose thing is there and has told so many members.
fn twin(members: usize) -> Twin {
    let mut state = state(members, 0);
    state["trn"] = json!(1);
    let twin = apply(&Twin::new(), parsed(&json!({"state": state}).to_string()), 1);
    apply(&twin, Event::Connected, 2)
}

/// From the payload to the twin that has it, and what is told of it.
fn report(members: usize, changed: usize) -> Box<dyn Fn()> {
    let (twin, payload) = (twin(members), json!({"delta": state(changed, 1)}).to_string());
    Box::new(move || drop(black_box(apply(&twin, parsed(&payload), 3))))
}

fn set_event(payload: &str) -> Event {
    let request = SetRequest::parse(payload.as_bytes(), 1 << 20).unwrap();
    Event::Set { members: Arc::new(request.members), version: request.version }
}

fn set() -> Box<dyn Fn()> {
    let twin = twin(5);
    Box::new(move || {
        drop(black_box(apply(&twin, set_event(r#"{"set":{"member001":7}}"#), 3)));
    })
}

fn settled() -> Box<dyn Fn()> {
    let twin = apply(&twin(5), set_event(r#"{"set":{"member001":7}}"#), 3);
    Box::new(move || {
        drop(black_box(apply(&twin, parsed(r#"{"delta":{"trn":2,"member001":7}}"#), 4)));
    })
}

fn record() -> Box<dyn Fn()> {
    let twin = twin(5);
    Box::new(move || drop(black_box(twin.to_record())))
}

/// One in ten is told, with two of its values.
fn query() -> Box<dyn Fn()> {
    let request = json!({
        "select": ["clientId", "reported.member001"],
        "where": {"column": "reported.member001", "op": ">=", "value": 90},
    });
    let query = Query::from_object(request.as_object().unwrap()).unwrap();
    let document = |number: usize| {
        let payload = json!({"state": state(5, number % 100)}).to_string();
        apply(&Twin::new(), parsed(&payload), 1).to_record()
    };
    let records: Vec<Record> = (0..1000).map(document).collect();
    Box::new(move || {
        let selection = Selection::new(&query, Some("all"));
        let mut rows = Rows::behind(0, &query);
        for record in &records {
            let row = selection.row(Candidate::new("thing", record, None)).unwrap();
            row.iter().for_each(|row| rows.push(row));
        }
        black_box(query_answer(&query, None, &[&rows]));
    })
}
