//! What a device keeps of its state, by examples.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    device::{By, StateError, kept::Kept},
    protocol::{Report, Trn},
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Lamp {
    on: bool,
    level: u8,
    #[serde(default)]
    scene: Option<String>,
}

fn lamp() -> Kept<Lamp> {
    Kept::new(Lamp { on: false, level: 40, scene: None }).unwrap()
}

fn asked(payload: &Value) -> Report {
    Report::parse(payload.to_string().as_bytes(), 10_000).unwrap()
}

/// Gives by whom it was changed, and how.
fn ask_at(kept: &mut Kept<Lamp>, now: Instant, payload: Value) -> Vec<(By, Value)> {
    let most_100 = |now: &Lamp, wanted: &mut Lamp| {
        if wanted.level > 100 {
            wanted.level = now.level;
        }
    };
    kept.ask(asked(&payload), now, false, &most_100).unwrap();
    let changes = kept.take_changes().into_iter();
    changes.map(|change| (change.by, Value::Object(change.delta))).collect()
}

fn ask(kept: &mut Kept<Lamp>, payload: Value) -> Vec<(By, Value)> {
    ask_at(kept, Instant::now(), payload)
}

fn reported(kept: &mut Kept<Lamp>) -> Value {
    kept.report(1).map_or(Value::Null, |report| serde_json::from_str(&report.to_payload()).unwrap())
}

fn set_level(kept: &mut Kept<Lamp>, level: u8) {
    assert!(kept.update(Lamp { level, ..kept.state().clone() }).unwrap());
    kept.take_changes();
}

#[test]
fn an_answer_carries_the_trn_and_what_is_as_asked_changed_or_not() {
    let mut kept = lamp();
    let changes = ask(&mut kept, json!({"delta": {"trn": 7, "on": true, "level": 40}}));
    assert_eq!(changes, [(By::Asked, json!({"on": true}))]);
    assert_eq!(reported(&mut kept), json!({"delta": {"trn": 7, "on": true, "level": 40}}));
    assert_eq!(kept.report(2), None);
}

#[test]
fn what_is_refused_is_left_out_and_what_is_made_something_else_is_told() {
    let mut kept = lamp();
    ask(&mut kept, json!({"delta": {"trn": 7, "on": true, "level": 200, "colour": "red"}}));
    assert_eq!(reported(&mut kept), json!({"delta": {"trn": 7, "on": true}}));
    let halve = |_: &Lamp, wanted: &mut Lamp| wanted.level /= 2;
    let mut ask = |payload| kept.ask(asked(&payload), Instant::now(), false, &halve).unwrap();
    ask(json!({"delta": {"trn": 8, "level": 80}}));
    // 40 is what it was, and neither as asked nor new.
    assert_eq!(reported(&mut kept), json!({"delta": {"trn": 8}}));
    let mut ask = |payload| kept.ask(asked(&payload), Instant::now(), false, &halve).unwrap();
    ask(json!({"delta": {"trn": 9, "level": 60}}));
    assert_eq!(reported(&mut kept), json!({"delta": {"trn": 9, "level": 30}}));
}

#[test]
fn null_removes_what_is_optional() {
    let mut kept = lamp();
    ask(&mut kept, json!({"delta": {"trn": 1, "scene": "night"}}));
    assert_eq!(kept.state().scene.as_deref(), Some("night"));
    reported(&mut kept);
    ask(&mut kept, json!({"delta": {"trn": 2, "scene": null}}));
    assert_eq!(kept.state().scene, None);
    assert_eq!(reported(&mut kept), json!({"delta": {"trn": 2, "scene": null}}));
}

#[test]
fn a_state_that_is_given_back_takes_nothing_away_unless_the_author_says_so() {
    let back = json!({"state": {"trn": 5, "on": true, "n": {"x": 1}}});
    let mut kept = Kept::new(json!({"on": false, "new": 1, "n": {"y": 1}})).unwrap();
    let give = |removes, kept: &mut Kept<Value>| {
        kept.ask(asked(&back), Instant::now(), removes, &|_, _| {}).unwrap();
        kept.state().clone()
    };
    assert_eq!(give(false, &mut kept), json!({"on": true, "new": 1, "n": {"x": 1, "y": 1}}));
    assert_eq!(kept.whole(1).trn.map(Trn::get), Some(5));
    assert_eq!(give(true, &mut kept), json!({"on": true, "n": {"x": 1}}));
}

#[test]
fn what_can_be_taken_away_is_though_something_else_cannot_or_does_not_fit() {
    let mut kept = lamp();
    ask(&mut kept, json!({"delta": {"scene": "night"}}));
    let back = asked(&json!({"state": {"on": "yes", "level": 10}}));
    kept.ask(back, Instant::now(), true, &|_, _| {}).unwrap();
    assert_eq!(kept.state(), &Lamp { on: false, level: 10, scene: None });
    ask(&mut kept, json!({"delta": {"scene": "night"}}));
    // It cannot be without a level.
    let back = asked(&json!({"state": {"on": true}}));
    kept.ask(back, Instant::now(), true, &|_, _| {}).unwrap();
    assert_eq!(kept.state(), &Lamp { on: true, level: 10, scene: None });
}

#[test]
fn what_the_device_itself_changed_is_not_undone_by_a_state_that_is_given_back_late_or_again() {
    let mut kept = lamp();
    // Before LC/ON or after it.
    set_level(&mut kept, 50);
    kept.come(1);
    kept.update(Lamp { scene: Some("day".into()), ..kept.state().clone() }).unwrap();
    let late = Instant::now() + Duration::from_secs(60);
    let back = json!({"state": {"trn": 5, "on": true, "level": 10, "scene": "night"}});
    ask_at(&mut kept, late, back.clone());
    let own = Lamp { on: true, level: 50, scene: Some("day".into()) };
    assert_eq!(kept.state(), &own);
    // It is said once more, for the manager does not know it.
    assert_eq!(
        Value::Object(kept.whole(2).members),
        json!({"on": true, "level": 50, "scene": "day"})
    );
    for seconds in [0, 4, 3600] {
        let changes = ask_at(&mut kept, late + Duration::from_secs(seconds), back.clone());
        assert_eq!((kept.state(), changes), (&own, vec![]));
    }
    // Nor after a connection more.
    set_level(&mut kept, 60);
    kept.lost();
    kept.come(3);
    ask_at(&mut kept, late + Duration::from_secs(7200), json!({"state": {"level": 10}}));
    assert_eq!(kept.state().level, 60);
}

#[test]
fn what_somebody_has_asked_for_since_may_be_given_back() {
    let mut kept = lamp();
    set_level(&mut kept, 50);
    kept.update(Lamp { on: true, ..kept.state().clone() }).unwrap();
    // One is changed, the other is so already; what is refused is still its own.
    ask(&mut kept, json!({"delta": {"trn": 6, "level": 51, "on": true, "scene": 5}}));
    ask(&mut kept, json!({"state": {"trn": 6, "level": 7, "on": false}}));
    assert_eq!(kept.state(), &Lamp { on: false, level: 7, scene: None });
    set_level(&mut kept, 50);
    ask(&mut kept, json!({"delta": {"trn": 7, "level": 200}}));
    ask(&mut kept, json!({"state": {"trn": 7, "level": 7}}));
    assert_eq!(kept.state().level, 50);
}

#[test]
fn a_state_that_nobody_can_give_back_is_a_command_and_done_whole() {
    let mut kept = lamp();
    kept.come(1);
    set_level(&mut kept, 50);
    let first = Instant::now();
    let back = json!({"state": {"trn": 5, "on": true, "level": 10}});
    assert_eq!(ask_at(&mut kept, first, back), [(By::Restored, json!({"on": true}))]);
    // So soon after the first one it is taken for another of them.
    let soon = first + Duration::from_millis(4900);
    assert_eq!(ask_at(&mut kept, soon, json!({"state": {"trn": 6, "level": 11}})), []);
    let later = first + Duration::from_secs(5);
    let command = json!({"state": {"trn": 7, "level": 12}});
    assert_eq!(ask_at(&mut kept, later, command), [(By::Asked, json!({"level": 12}))]);
    assert_eq!(kept.whole(2).trn, Trn::new(7));
    // It was asked for: it may be given back from now on.
    let again = json!({"state": {"trn": 6, "level": 13}});
    assert_eq!(ask_at(&mut kept, later, again), [(By::Restored, json!({"level": 13}))]);
    // Its answer has the trn that it came with; the device knows of a later one all the same.
    assert_eq!(kept.whole(3).trn, Trn::new(6));
    assert_eq!(kept.whole(4).trn, Trn::new(7));
}

#[test]
fn an_answer_that_was_lost_is_given_with_what_changed_since() {
    let mut kept = lamp();
    ask(&mut kept, json!({"delta": {"trn": 7, "on": true}}));
    reported(&mut kept);
    set_level(&mut kept, 1);
    assert_eq!(kept.report(2).unwrap().to_payload(), r#"{"delta":{"level":1}}"#);
    kept.lost();
    set_level(&mut kept, 2);
    let report = kept.report(3).unwrap().to_payload();
    assert_eq!(report, r#"{"delta":{"level":2,"on":true,"trn":7}}"#);
    assert!(kept.taken(3) && kept.is_quiet());
    kept.lost();
    assert_eq!(kept.report(4), None);
}

#[test]
fn what_was_said_before_the_connection_stood_is_said_again() {
    let mut kept = lamp();
    ask(&mut kept, json!({"delta": {"trn": 7, "on": true}}));
    set_level(&mut kept, 1);
    let early = kept.report(1);
    assert_eq!(kept.come(2), early);
    assert!(!kept.taken(1) && kept.taken(2));
}

#[test]
fn what_the_broker_refuses_goes_out_with_the_next_report() {
    let mut kept = lamp();
    ask(&mut kept, json!({"delta": {"trn": 7, "on": true}}));
    reported(&mut kept);
    set_level(&mut kept, 1);
    kept.report(2);
    kept.refused(1);
    assert!(!kept.is_quiet(), "the other one is on its way");
    kept.refused(2);
    assert!(kept.is_quiet());
    let all = r#"{"delta":{"level":1,"on":true,"trn":7}}"#;
    assert_eq!(kept.report(3).unwrap().to_payload(), all);
    // Something was asked since: that is answered, and not what was asked before.
    ask(&mut kept, json!({"delta": {"trn": 8, "level": 2}}));
    kept.report(4);
    kept.refused(3);
    assert_eq!(kept.come(5).unwrap().to_payload(), r#"{"delta":{"level":2,"on":true,"trn":8}}"#);
}

#[test]
fn a_state_that_is_no_object_has_a_trn_or_does_not_read_back_is_none() {
    for (state, why) in [
        (json!(5), "the state is 5 as JSON, and not an object"),
        (json!({"trn": 5}), "the state has a member called \"trn\", which is the protocol's"),
    ] {
        let error = Kept::new(state).map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), why);
    }
    let mut kept = Kept::new(json!({"a": 1})).unwrap();
    assert!(kept.update(json!([])).is_err());
    assert_eq!(kept.state(), &json!({"a": 1}));

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Scale {
        grams: f64,
        #[serde(default)]
        stable: bool,
    }
    let missing =
        |error| matches!(error, StateError::NotRead(why) if why == "missing field `grams`");
    assert!(missing(Kept::new(Scale { grams: f64::NAN, stable: false }).map(|_| ()).unwrap_err()));
    let mut kept = Kept::new(Scale { grams: 1.0, stable: false }).unwrap();
    assert!(missing(kept.update(Scale { grams: f64::INFINITY, stable: true }).unwrap_err()));
    let too_large = br#"{"delta":{"grams":1e400,"stable":true,"trn":1}}"#;
    let too_large = Report::parse(too_large, 100).unwrap();
    kept.ask(too_large, Instant::now(), false, &|_, _| {}).unwrap();
    assert_eq!(kept.state(), &Scale { grams: 1.0, stable: true });
    assert_eq!(kept.report(1).unwrap().to_payload(), r#"{"delta":{"stable":true,"trn":1}}"#);
}

#[test]
fn changes_wait_in_the_order_in_which_they_were_made_until_nobody_is_there_for_them() {
    let mut kept = lamp();
    kept.update(Lamp { level: 1, ..kept.state().clone() }).unwrap();
    kept.ask(asked(&json!({"delta": {"level": 2}})), Instant::now(), false, &|_, _| {}).unwrap();
    kept.update(Lamp { level: 3, ..kept.state().clone() }).unwrap();
    let changes: Vec<_> = kept.take_changes().into_iter().map(|c| (c.by, c.state.level)).collect();
    assert_eq!(changes, [(By::Device, 1), (By::Asked, 2), (By::Device, 3)]);
    kept.end_changes();
    kept.update(Lamp { level: 4, ..kept.state().clone() }).unwrap();
    assert_eq!(kept.take_changes(), []);
}
