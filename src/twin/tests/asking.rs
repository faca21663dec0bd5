//! Rules 2, 3 and 5: SETs, and the numbers they get.

use super::*;

#[test]
fn a_set_is_desired_and_sent_under_a_trn_above_every_other() {
    let mut stage = reporting(json!({"trn": 41, "on": false}));
    stage.set(json!({"on": true}));
    assert_eq!(stage.desired(), json!({"trn": 42, "on": true}));
    assert_eq!(stage.told(), [json!("UPD"), json!({"delta": {"trn": 42, "on": true}})]);
    assert_eq!(stage.part("version"), 2);
}

#[test]
fn what_is_pending_goes_along_with_the_next_set() {
    let mut stage = reporting(json!({"trn": 1, "on": false, "temp": 1}));
    stage.set(json!({"on": true})).set(json!({"temp": 9}));
    assert_eq!(stage.told()[1], json!({"delta": {"trn": 3, "on": true, "temp": 9}}));
}

#[test]
fn what_the_thing_already_reports_is_not_asked_for() {
    let mut stage = reporting(json!({"trn": 1, "on": true, "net": {"ip": "a"}}));
    stage.set(json!({"on": true, "net": {"ip": "a"}, "gone": null, "net2": {"x": null}}));
    assert_eq!(stage.told(), [json!("UPD")]);
    assert_eq!((stage.desired(), &stage.last.commit), (json!({}), &None));
    stage.set(json!({"on": true, "net": {"ip": "b"}}));
    assert_eq!(stage.desired(), json!({"trn": 2, "net": {"ip": "b"}}));
}

#[test]
fn what_is_open_is_asked_for_although_the_thing_reports_it() {
    let mut stage = reporting(json!({"trn": 1, "on": false}));
    stage.set(json!({"on": true})).set(json!({"on": false}));
    assert_eq!(stage.desired(), json!({"trn": 3, "on": false}));
}

#[test]
fn what_was_asked_and_not_sent_can_be_taken_back() {
    let mut stage = reporting(json!({"trn": 1, "on": false, "temp": 1}));
    stage.off().set(json!({"on": true})).set(json!({"on": false}));
    assert_eq!(stage.desired(), json!({"trn": 2}));
    assert_eq!((stage.part("version"), stage.told()), (json!(3), vec![json!("UPD")]));
    stage.set(json!({"on": true, "temp": 2})).set(json!({"on": false}));
    assert_eq!(stage.desired(), json!({"trn": 4, "temp": 2}));
}

#[test]
fn what_stands_in_declined_is_asked_for_although_the_thing_reports_it() {
    let mut stage = reporting(json!({"trn": 1, "temp": 20}));
    stage.set(json!({"temp": 90})).report(json!({"delta": {"trn": 2, "temp": 60}}));
    assert_eq!(stage.declined(), json!({"temp": 90}));
    stage.set(json!({"temp": 60}));
    assert_eq!(stage.desired(), json!({"trn": 3, "temp": 60}));
    stage.report(json!({"delta": {"trn": 3, "temp": 60}}));
    assert_eq!((stage.desired(), stage.declined()), (json!({"trn": 3}), json!({})));
}

#[test]
fn what_a_restored_thing_reported_before_is_asked_for() {
    let mut stage = reporting(json!({"trn": 4, "on": true}));
    stage.on().set(json!({"on": true}));
    assert_eq!(stage.desired(), json!({"trn": 5, "on": true}));
    stage.report(json!({"delta": {"trn": 5, "on": true}})).set(json!({"on": true}));
    assert_eq!(stage.desired(), json!({"trn": 5}));
}

#[test]
fn a_set_that_changes_nothing_changes_nothing_at_all() {
    let mut stage = reporting(json!({"trn": 1}));
    stage.set(json!({"temp": 20, "a": {"b": null, "c": {}}}));
    let before = stage.twin.clone();
    stage.wait(1).set(json!({"temp": 20.0, "a": {"c": {}}}));
    assert_eq!((stage.told(), &stage.last.commit), (vec![json!("UPD")], &None));
    assert_eq!(stage.twin, before);
    stage.set(json!({}));
    assert_eq!(stage.twin, before);
}

#[test]
fn a_set_may_ask_for_removal() {
    let mut stage = reporting(json!({"trn": 1, "a": 1, "net": {"ip": "x"}}));
    stage.set(json!({"a": null, "net": {"ip": null}}));
    assert_eq!(stage.desired(), json!({"trn": 2, "a": null, "net": {"ip": null}}));
    stage.report(json!({"delta": {"trn": 2, "a": null, "net": {"ip": null}}}));
    assert_eq!(stage.reported(), json!({"trn": 2, "net": {}}));
    assert!(stage.is_settled());
}

#[test]
fn an_object_over_a_pending_value_carries_null_for_what_it_lacks() {
    let mut stage =
        reporting(json!({"trn": 1, "net": {"ip": "a", "wifi": {"ssid": "s", "on": false}}}));
    stage.set(json!({"net": 5})).set(json!({"net": {"wifi": {"on": true}}}));
    assert_eq!(
        stage.desired(),
        json!({"trn": 3, "net": {"ip": null, "wifi": {"ssid": null, "on": true}}})
    );
}

#[test]
fn an_object_over_a_pending_value_that_was_not_sent_asks_only_for_the_difference() {
    let mut stage = reporting(json!({"trn": 1, "net": {"ip": "a", "x": 1}}));
    stage.off().set(json!({"net": 5})).set(json!({"net": {"ip": "a"}}));
    assert_eq!(stage.desired(), json!({"trn": 3, "net": {"x": null}}));
    stage.set(json!({"net": 5})).set(json!({"net": {"ip": "a", "x": 1}}));
    assert_eq!(stage.desired(), json!({"trn": 4}));
}

#[test]
fn an_object_over_a_pending_value_vanishes_if_nothing_of_it_is_left_to_ask() {
    let mut stage = reporting(json!({"trn": 1, "a": 7}));
    stage.off().set(json!({"a": null})).set(json!({"a": {"x": null}}));
    assert_eq!(stage.desired(), json!({"trn": 2}));
    stage.set(json!({"a": 8})).set(json!({"a": {}}));
    assert_eq!(stage.desired(), json!({"trn": 4, "a": {}}));
}

#[test]
fn a_value_over_a_pending_object_replaces_it() {
    let mut stage = reporting(json!({"trn": 1}));
    stage.set(json!({"net": {"ip": "a", "up": true}})).set(json!({"net": 5}));
    assert_eq!(stage.desired(), json!({"trn": 3, "net": 5}));
}

#[test]
fn an_empty_object_is_asked_for_where_there_is_none() {
    let mut stage = reporting(json!({"trn": 1, "a": 5, "b": {"c": 1}}));
    stage.set(json!({"a": {}, "b": {}}));
    assert_eq!(stage.desired(), json!({"trn": 2, "a": {}}));
    stage.report(json!({"delta": {"trn": 2, "a": {}}}));
    assert!(stage.is_settled());
    assert_eq!(stage.declined(), json!({}));
}

#[test]
fn a_set_provisions_a_twin_ahead_of_its_thing() {
    let mut stage = stage();
    stage.set(json!({"on": true}));
    assert_eq!((stage.told(), stage.puts()), (vec![json!("UPD")], true));
    assert_eq!(stage.desired(), json!({"trn": 1, "on": true}));
    assert_eq!((stage.part("version"), stage.part("online")), (json!(1), Value::Null));
    assert_eq!(stage.part("reportedMeta"), json!({"timestamp": stage.now.0}));
}

#[test]
fn a_set_at_another_version_is_refused() {
    let mut stage = reporting(json!({"on": false}));
    let set = |version| Event::Set { members: Default::default(), version: Some(version) };
    let refusal = stage.try_apply(set(7)).unwrap_err();
    assert_eq!(refusal.to_string(), "the twin is at version 1, not 7");
    assert_eq!(refusal.code().number(), 409);
    stage.try_apply(set(1)).unwrap();
}

#[test]
fn a_set_that_would_make_the_twin_too_large_is_refused() {
    let mut stage = stage();
    stage.rules.twin_limit = 300;
    let members = serde_json::Map::from_iter([("a".to_owned(), json!("x".repeat(300)))]);
    let refusal =
        stage.try_apply(Event::Set { members: members.into(), version: None }).unwrap_err();
    assert_eq!(refusal.code().number(), 413);
    assert!(!stage.twin.exists());
}

fn set_of(members: impl Iterator<Item = (String, Value)>) -> Event {
    Event::Set { members: serde_json::Map::from_iter(members).into(), version: None }
}

#[test]
fn a_thing_that_comes_after_a_large_set_can_report() {
    let mut stage = stage();
    stage.rules.twin_limit = 2000;
    let set = |leaves| set_of((0..leaves).map(|n| (format!("member{n}"), json!(n))));
    let most = (1..).take_while(|n| stage.clone().try_apply(set(*n)).is_ok()).last().unwrap();
    stage.apply(set(most - 3)).report(json!({"state": {"on": true}}));
    assert_eq!(stage.reported(), json!({"on": true}));
    stage.off().set(json!({"late": 1})).on().report(json!({"delta": {"on": false}}));
    assert_eq!(stage.reported(), json!({"on": false}));
}

#[test]
fn a_set_of_many_leaves_far_down_is_refused_before_it_is_written_out() {
    let many: Value = (0..10_000).map(|n| (n.to_string(), json!(1))).collect();
    let name = "a".repeat(1600);
    let down = (0..96).fold(many, |below, _| json!({name.clone(): below}));
    for held in [false, true] {
        let mut stage = reporting(json!({"trn": 1}));
        if held {
            stage.off();
        }
        let refusal = stage.try_apply(set_of([(name.clone(), down.clone())].into_iter()));
        let Refusal::TooLarge { bytes, .. } = refusal.unwrap_err() else { panic!("another") };
        assert!(bytes > 1_000_000_000, "{bytes}");
    }
}

#[test]
fn past_the_end_numbering_starts_again_and_a_higher_trn_counts_as_absent() {
    let mut stage = reporting(json!({"trn": 0x7fff_fffe_u32, "a": 1, "b": 1}));
    stage.set(json!({"a": 2}));
    assert_eq!(stage.desired(), json!({"trn": 0x7fff_ffff_u32, "a": 2}));
    stage.set(json!({"b": 2}));
    assert_eq!(stage.told()[1], json!({"delta": {"trn": 1, "a": 2, "b": 2}}));
    stage.report(json!({"delta": {"trn": 0x7fff_ffff_u32, "a": 2}}));
    assert_eq!(stage.reported()["trn"], json!(0x7fff_fffe_u32));
    assert_eq!(stage.desired(), json!({"trn": 1, "a": 2, "b": 2}));
    stage.restart().report(json!({"delta": {"trn": 1, "a": 2, "b": 2}}));
    assert!(stage.is_settled());
    stage.set(json!({"a": 3}));
    assert_eq!(stage.desired(), json!({"trn": 2, "a": 3}));
    stage.report(json!({"delta": {"trn": 5, "a": 3}})).set(json!({"a": 4}));
    assert_eq!(stage.desired(), json!({"trn": 6, "a": 4}));
}

#[test]
fn a_settled_twin_keeps_its_trn_and_one_never_asked_has_none() {
    let mut stage = reporting(json!({"trn": 1, "on": false}));
    assert_eq!(stage.desired(), json!({}));
    stage.set(json!({"on": true})).report(json!({"delta": {"trn": 2, "on": true}}));
    assert_eq!(stage.desired(), json!({"trn": 2}));
    assert_eq!(stage.told(), [json!("UPD")]);
}

#[test]
fn a_part_asked_over_a_pending_value_is_not_settled_while_the_value_is_open() {
    let mut stage = reporting(json!({"trn": 1, "n": {"x": 1}}));
    stage.set(json!({"n": 5}));
    stage.off().set(json!({"n": {"x": 1}}));
    stage.report(json!({"delta": {"n": {"x": 1}}}));
    assert_eq!(stage.desired(), json!({"trn": 3, "n": {"x": 1}}));
    stage.report(json!({"delta": {"trn": 2, "n": 5}}));
    assert_eq!(stage.desired(), json!({"trn": 3, "n": {"x": 1}}));
}

#[test]
fn what_is_open_does_not_grow_with_what_was_asked_and_replaced() {
    let mut stage = reporting(json!({"trn": 1}));
    for n in 0..100 {
        stage.set(json!({"p": {n.to_string(): 1}}));
        stage.set(json!({"p": 0}));
    }
    assert!(stage.twin.to_record().sent.len() < 200, "{}", stage.twin.to_record().sent);
}
