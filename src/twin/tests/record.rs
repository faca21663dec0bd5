//! Twins as text, and back.

use super::*;

fn busy() -> Stage {
    let mut stage = reporting(json!({"trn": 3, "a": {"b": 1, "e": {}}, "l": [1, {"x": null}]}));
    stage.set(json!({"a": {"b": 2}, "x": null, "y": {}})).report(json!({"delta": {"trn": 4}}));
    stage.wait(9).on().set(json!({"l": 7, "a": {"b": 5}}));
    stage
}

#[test]
fn a_twin_read_back_is_the_twin_that_was_stored() {
    let stage = busy();
    let record = stage.twin.to_record();
    assert_eq!(Twin::from_record(&record).unwrap(), stage.twin);
    assert!(record.unsettled && record.online == Some(true));
    assert!(record.revision > record.version);
}

/// Word for word: a thing's numbers are told as it wrote them, and times of the twin's own come before those of members.
#[test]
fn a_twin_is_told_as_it_is_stored() {
    let mut stage = stage();
    let payload = br#"{"state":{"trn":3,"n":1e+400,"timestamp":-0.0,"q\"":[1.50,null]}}"#;
    stage.apply(Event::Reported(Report::parse(payload, 1000).unwrap()));
    stage.set(json!({"n": {"é": true}}));
    let told = |online: &str| {
        let documents = concat!(
            r#"{"desired":{"trn":4,"n":{"é":true}},"desiredMeta":{"timestamp":T,"trn":T,"n":{"é":T}},"#,
            r#""reported":{"trn":3,"n":1e+400,"q\"":[1.50,null],"timestamp":-0.0},"#,
            r#""reportedMeta":{"timestamp":T,"trn":T,"n":T,"q\"":T},"declined":{},"declinedMeta":{"timestamp":T},"#,
            r#""version":2,"online":"#
        );
        format!("{}{online}}}", documents.replace(":T", &format!(":{}", stage.now.0)))
    };
    assert_eq!(stage.twin.to_payload(1), told("true"));
    assert_eq!(stage.twin.to_payload(2), told("null"), "in another session");
    let Some(Tell::Twin(payload)) = stage.last.tell.first() else { panic!("{:?}", stage.last) };
    assert_eq!(*payload, told("true"));
}

#[test]
fn a_record_of_the_original_is_read_as_it_stands() {
    for sent in ["", "{}"] {
        read_as_it_stands(sent);
    }
}

fn read_as_it_stands(sent: &str) {
    let mut record = busy().twin.to_record();
    record.sent = sent.to_owned();
    record.reported = r#"{"trn":7,"on":true}"#.into();
    record.reported_meta = r#"{"timestamp":5,"on":3}"#.into();
    record.desired = r#"{"trn":9,"on":false}"#.into();
    record.desired_meta = "{}".into();
    let mut stage = stage();
    stage.twin = Twin::from_record(&record).unwrap();
    assert_eq!(stage.part("reportedMeta"), json!({"timestamp": 5, "trn": 5, "on": 3}));
    assert_eq!(stage.part("desiredMeta"), json!({"timestamp": 0, "trn": 0, "on": 0}));
    stage.apply(Event::Resumed { untold: false });
    assert_eq!(stage.told(), [json!({"delta": {"trn": 9, "on": false}})]);
    stage.set(json!({"x": 1}));
    assert_eq!(stage.desired()["trn"], json!(10));
}

#[test]
fn a_record_that_is_no_twin_says_which_column() {
    let mut record = busy().twin.to_record();
    record.declined = "[]".into();
    assert_eq!(
        Twin::from_record(&record).unwrap_err().to_string(),
        "column declined is not what a twin has there: invalid type: sequence, expected a map at line 1 column 0"
    );
}
