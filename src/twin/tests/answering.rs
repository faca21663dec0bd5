//! Rule 4: what reports settle, decline, and leave alone.

use super::*;

fn asked() -> Stage {
    let mut stage = reporting(json!({"trn": 1, "on": false, "temp": 20}));
    stage.set(json!({"on": true, "temp": 90}));
    stage
}

#[test]
fn an_answer_settles_what_it_has_as_asked_and_declines_the_rest() {
    let mut stage = asked();
    stage.report(json!({"delta": {"trn": 2, "on": true, "temp": 60}}));
    assert_eq!(stage.desired(), json!({"trn": 2}));
    assert_eq!(stage.declined(), json!({"temp": 90}));
    assert_eq!(stage.part("declinedMeta")["temp"], json!(stage.now.0));
    assert_eq!(stage.last.retry, Retry::Never);
}

#[test]
fn an_answer_that_says_nothing_of_a_member_declines_it_unless_it_was_so_already() {
    let mut stage = asked();
    stage.report(json!({"delta": {"trn": 2}}));
    assert_eq!(stage.declined(), json!({"on": true, "temp": 90}));
    assert_eq!(stage.part("version"), 3);
}

#[test]
fn a_refused_removal_stands_in_declined_as_null() {
    let mut stage = asked();
    stage.set(json!({"on": null})).report(json!({"delta": {"trn": 3, "temp": 90}}));
    assert_eq!(stage.declined(), json!({"on": null}));
    stage.report(json!({"state": {"trn": 3, "temp": 90}}));
    assert_eq!(stage.declined(), json!({}));
}

#[test]
fn an_answer_to_an_earlier_delta_settles_nothing_that_was_sent_again() {
    let mut stage = reporting(json!({"trn": 1, "on": false, "temp": 20}));
    stage.set(json!({"on": true})).set(json!({"temp": 9}));
    stage.report(json!({"delta": {"trn": 2, "on": true}}));
    assert_eq!(stage.desired(), json!({"trn": 3, "on": true, "temp": 9}));
    assert_eq!(stage.told(), [json!("UPD")]);
    stage.report(json!({"delta": {"trn": 3, "temp": 9}}));
    assert!(stage.is_settled());
    assert_eq!(stage.declined(), json!({}));
}

#[test]
fn a_later_set_is_not_lost_to_the_answer_to_an_earlier_one() {
    let mut stage = reporting(json!({"trn": 1, "on": false}));
    stage.set(json!({"on": true})).set(json!({"on": false})).set(json!({"on": true}));
    stage.report(json!({"delta": {"trn": 2, "on": true}}));
    assert_eq!(stage.desired(), json!({"trn": 4, "on": true}));
    stage.report(json!({"delta": {"trn": 3, "on": false}}));
    stage.report(json!({"delta": {"trn": 4, "on": true}}));
    assert!(stage.is_settled());
}

#[test]
fn a_report_of_the_things_own_settles_what_it_carries_as_asked_once_it_is_not_open() {
    let mut stage = reporting(json!({"trn": 1, "on": false, "temp": 20}));
    stage.off().set(json!({"on": true, "temp": 9}));
    stage.report(json!({"delta": {"on": true, "temp": 8}}));
    assert_eq!(stage.desired(), json!({"trn": 2, "temp": 9}));
    assert_eq!(stage.declined(), json!({}));
    assert_eq!(stage.told(), [json!("UPD"), json!({"delta": {"trn": 2, "temp": 9}})]);
}

#[test]
fn a_report_that_does_not_carry_a_member_does_not_settle_it() {
    let mut stage = reporting(json!({"trn": 4, "on": true, "temp": 1}));
    stage.on().off().set(json!({"on": true, "temp": 2}));
    assert_eq!(stage.desired(), json!({"trn": 5, "on": true, "temp": 2}));
    stage.report(json!({"delta": {"temp": 3}}));
    assert_eq!(stage.desired(), json!({"trn": 5, "on": true, "temp": 2}));
}

#[test]
fn a_state_without_a_member_carries_its_removal() {
    let mut stage = reporting(json!({"trn": 3, "a": 1, "b": {"c": 1}}));
    stage.off().set(json!({"a": null, "b": {"c": null}}));
    stage.report(json!({"state": {"trn": 2, "b": 7}}));
    assert!(stage.is_settled());
}

#[test]
fn a_trn_at_or_above_a_delta_that_was_not_sent_settles_and_the_rest_is_sent_anew() {
    let mut stage = reporting(json!({"trn": 1, "on": false, "temp": 20}));
    stage.off().set(json!({"on": true, "temp": 9}));
    stage.report(json!({"delta": {"trn": 7, "on": true}}));
    assert_eq!(stage.desired(), json!({"trn": 8, "temp": 9}));
    assert_eq!(stage.declined(), json!({}));
    assert_eq!(stage.told(), [json!("UPD"), json!({"delta": {"trn": 8, "temp": 9}})]);
}

#[test]
fn a_thing_that_never_speaks_of_trn_settles_and_declines_nothing() {
    let mut stage = reporting(json!({"on": false, "temp": 20}));
    stage.set(json!({"on": true, "temp": 90}));
    stage.report(json!({"delta": {"on": true, "temp": 60}}));
    assert_eq!(stage.desired(), json!({"trn": 1, "temp": 90}));
    assert_eq!(stage.declined(), json!({}));
    stage.report(json!({"state": {"on": true, "temp": 90}}));
    assert_eq!(stage.desired(), json!({"trn": 1}));
    assert_eq!(stage.reported(), json!({"on": true, "temp": 90}));
}

#[test]
fn a_report_without_trn_settles_nothing_open_of_a_thing_that_has_spoken_of_trn() {
    let mut stage = asked();
    stage.report(json!({"delta": {"on": true, "temp": 90}}));
    assert_eq!(stage.desired(), json!({"trn": 2, "on": true, "temp": 90}));
    assert_eq!(stage.reported()["trn"], json!(1));
}

#[test]
fn what_comes_to_be_as_once_declined_is_not_declined_any_more() {
    let mut stage = asked();
    stage.report(json!({"delta": {"trn": 2, "on": true, "temp": 60}}));
    let version = stage.part("version");
    stage.report(json!({"delta": {"temp": 90.0}}));
    assert_eq!(stage.declined(), json!({}));
    assert_ne!(stage.part("version"), version);
}

#[test]
fn what_is_settled_at_another_value_is_not_declined_any_more() {
    let mut stage = asked();
    stage.report(json!({"delta": {"trn": 2, "on": true, "temp": 60}}));
    stage.set(json!({"temp": 30})).report(json!({"delta": {"trn": 3, "temp": 30}}));
    assert_eq!(stage.declined(), json!({}));
}

#[test]
fn what_is_settled_above_or_below_a_declined_leaf_clears_it() {
    let mut stage = reporting(json!({"trn": 1, "net": {"ip": "a"}}));
    stage.set(json!({"net": 5})).report(json!({"delta": {"trn": 2}}));
    assert_eq!(stage.declined(), json!({"net": 5}));
    stage.set(json!({"net": {"ip": "b"}})).report(json!({"delta": {"trn": 3, "net": {"ip": "b"}}}));
    assert_eq!(stage.declined(), json!({}));
}

#[test]
fn an_object_emptied_of_leaves_vanishes() {
    let mut stage = reporting(json!({"trn": 1, "a": {"b": {"c": 0}}, "x": 0}));
    stage.off().set(json!({"a": {"b": {"c": 1}}, "x": 1}));
    stage.report(json!({"delta": {"a": {"b": {"c": 1}}}}));
    assert_eq!(stage.desired(), json!({"trn": 2, "x": 1}));
    assert_eq!(stage.part("desiredMeta").get("a"), None);
}

#[test]
fn a_lower_trn_becomes_reporteds() {
    let mut stage = reporting(json!({"trn": 5, "a": 1}));
    stage.report(json!({"delta": {"trn": 3, "a": 2}}));
    assert_eq!(stage.reported(), json!({"trn": 3, "a": 2}));
    stage.report(json!({"delta": {"trn": null, "a": 3}}));
    assert_eq!(stage.reported(), json!({"trn": 3, "a": 3}));
}

#[test]
fn the_first_delta_of_a_thing_asks_for_the_rest_once() {
    let mut stage = stage();
    stage.report(json!({"delta": {"trn": 1, "a": 1}}));
    assert_eq!(stage.told(), [json!("UPD"), json!("GET")]);
    stage.report(json!({"delta": {"trn": 2, "a": 2}}));
    assert_eq!(stage.told(), [json!("UPD")]);
    let whole = reporting(json!({"a": 1}));
    assert_eq!(whole.told(), [json!("UPD")]);
}

#[test]
fn the_first_report_has_what_was_asked_before_it_sent() {
    let mut stage = stage();
    stage.set(json!({"on": true, "a": 1}));
    stage.report(json!({"state": {"trn": 9, "on": true}}));
    assert_eq!(stage.told(), [json!("UPD"), json!({"delta": {"trn": 10, "a": 1}})]);
    assert_eq!(stage.desired(), json!({"trn": 10, "a": 1}));
}
