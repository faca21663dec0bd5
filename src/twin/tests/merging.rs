//! Rule 1, rule 12, and the documents of section 2.

use super::*;

/// Each row of the table in RFC 7396, appendix A, that can be the state of a thing: original,
/// patch, result.
const RFC_7396: &[(&str, &str, &str)] = &[
    (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
    (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
    (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
    (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
    (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
    (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
    (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
    (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
    (r#"{"a":"foo"}"#, r#"{"b":[null]}"#, r#"{"a":"foo","b":[null]}"#),
    ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
];

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_delta_merges_as_rfc_7396_has_it() {
    for (original, patch, result) in RFC_7396 {
        let mut stage = reporting(value(original));
        stage.report(json!({"delta": value(patch)}));
        assert_eq!(stage.reported(), value(result), "{original} {patch}");
    }
}

#[test]
fn a_state_replaces_what_was_reported() {
    let mut stage = reporting(json!({"trn": 1, "a": 1, "net": {"ip": "x", "up": true}}));
    stage.report(json!({"state": {"trn": 2, "net": {"ip": "y", "down": null}}}));
    assert_eq!(stage.reported(), json!({"trn": 2, "net": {"ip": "y"}}));
}

#[test]
fn a_scalar_may_become_an_object_and_the_reverse() {
    let mut stage = reporting(json!({"a": 1, "b": {"c": 1}}));
    stage.report(json!({"delta": {"a": {"x": {"y": 2}}, "b": 7}}));
    assert_eq!(stage.reported(), json!({"a": {"x": {"y": 2}}, "b": 7}));
    assert_eq!(stage.part("reportedMeta")["a"]["x"]["y"], json!(stage.now.0));
    assert_eq!(stage.part("reportedMeta")["b"], json!(stage.now.0));
}

#[test]
fn each_leaf_has_the_time_at_which_it_was_last_set() {
    let mut stage = reporting(json!({"trn": 1, "a": 1, "b": {"c": 1, "d": {}}}));
    let first = stage.now.0;
    stage.wait(10).report(json!({"delta": {"trn": 2, "a": 1.0, "b": {"c": 2}}}));
    let second = stage.now.0;
    assert_eq!(
        stage.part("reportedMeta"),
        json!({"timestamp": second, "trn": second, "a": first, "b": {"c": second, "d": {}}})
    );
    assert_eq!(stage.part("declinedMeta"), json!({"timestamp": first}));
}

#[test]
fn a_member_called_timestamp_works_like_any_other() {
    let mut stage = reporting(json!({"timestamp": 5}));
    assert_eq!(stage.reported(), json!({"timestamp": 5}));
    assert_eq!(stage.part("reportedMeta"), json!({"timestamp": stage.now.0}));
    stage.set(json!({"timestamp": {"x": 6}}));
    assert_eq!(stage.desired(), json!({"trn": 1, "timestamp": {"x": 6}}));
    stage.restart();
    assert_eq!(stage.desired(), json!({"trn": 1, "timestamp": {"x": 6}}));
}

#[test]
fn a_report_that_changes_nothing_is_answered_and_not_stored() {
    let mut stage = reporting(json!({"trn": 1, "a": 20}));
    stage.report(json!({"delta": {"trn": 1, "a": 20.0}}));
    assert_eq!((&stage.last.commit, stage.told()), (&None, vec![json!("UPD")]));
    assert_eq!(stage.part("version"), 1);
}

#[test]
fn a_report_that_changes_nothing_creates_no_twin() {
    let mut stage = stage();
    stage.report(json!({"state": {}}));
    assert_eq!((&stage.last.commit, stage.told()), (&None, vec![json!("UPD")]));
    assert_eq!(
        stage.document(),
        json!({"desired": {}, "desiredMeta": {}, "reported": {}, "reportedMeta": {},
               "declined": {}, "declinedMeta": {}, "version": 0, "online": null})
    );
}

#[test]
fn a_trn_alone_is_committed_and_raises_no_version() {
    let mut stage = reporting(json!({"trn": 1, "a": 1}));
    stage.report(json!({"delta": {"trn": 2}}));
    assert_eq!((stage.puts(), stage.told()), (true, vec![json!("UPD")]));
    assert_eq!((stage.part("version"), stage.reported()), (json!(1), json!({"trn": 2, "a": 1})));
}

#[test]
fn a_report_that_would_make_the_twin_too_large_changes_nothing() {
    let mut stage = reporting(json!({"a": 1}));
    stage.rules.twin_limit = 1000;
    let before = stage.twin.clone();
    let report =
        Report::parse(json!({"delta": {"b": "x".repeat(1000)}}).to_string().as_bytes(), usize::MAX);
    let refusal = stage.try_apply(Event::Reported(report.unwrap())).unwrap_err();
    assert_eq!(refusal.to_string(), "the twin would have 1274 bytes; at most 1000 are allowed");
    assert_eq!(stage.twin, before);
}

#[test]
fn a_twin_that_is_deleted_starts_anew_with_the_next_report() {
    let mut stage = reporting(json!({"trn": 5, "a": 1}));
    let revision = stage.twin.revision();
    stage.apply(Event::Delete);
    assert_eq!(stage.last.commit, Some(Commit::Delete));
    assert_eq!(stage.told(), [json!({"deleted": true})]);
    assert!(stage.twin.revision() > revision);
    stage.apply(Event::Delete);
    assert_eq!((&stage.last.commit, stage.told()), (&None, vec![json!({"deleted": false})]));
    stage.report(json!({"delta": {"b": 2}}));
    assert_eq!((stage.reported(), stage.part("version")), (json!({"b": 2}), json!(1)));
    assert_eq!(stage.told(), [json!("UPD"), json!("GET")]);
}
