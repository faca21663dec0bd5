//! Rules 6 to 8, 10 and 11: coming, going, and sending again.

use super::*;

#[test]
fn a_thing_that_comes_back_gets_its_state_and_then_what_it_missed() {
    let mut stage = reporting(json!({"trn": 1, "on": false, "temp": 20}));
    stage.off().set(json!({"on": true})).set(json!({"temp": 5}));
    assert_eq!(stage.told(), [json!("UPD")]);
    stage.on();
    assert_eq!(
        stage.told(),
        [
            json!({"state": {"trn": 1, "on": false, "temp": 20}}),
            json!({"delta": {"trn": 3, "on": true, "temp": 5}}),
        ]
    );
}

#[test]
fn a_settled_thing_that_comes_back_gets_its_state_alone() {
    let mut stage = reporting(json!({"trn": 3, "on": true}));
    let version = stage.part("version");
    stage.off().on();
    assert_eq!(stage.told(), [json!({"state": {"trn": 3, "on": true}})]);
    assert_eq!((stage.part("version"), stage.part("online")), (version, json!(true)));
}

#[test]
fn a_delta_that_had_been_sent_goes_out_with_a_new_trn_at_its_return() {
    let mut stage = reporting(json!({"trn": 1, "on": false}));
    stage.set(json!({"on": true})).off().on();
    assert_eq!(stage.told()[1], json!({"delta": {"trn": 3, "on": true}}));
    assert_eq!((stage.part("version"), stage.puts()), (json!(2), true));
    stage.report(json!({"delta": {"trn": 2, "on": true}}));
    assert!(!stage.is_settled());
    stage.report(json!({"delta": {"trn": 3, "on": true}}));
    assert!(stage.is_settled());
}

#[test]
fn a_thing_that_never_reported_is_asked_and_sent_nothing() {
    let mut stage = stage();
    stage.on();
    assert_eq!((stage.told(), &stage.last.commit), (vec![json!("GET")], &None));
    stage.set(json!({"on": true}));
    assert_eq!(stage.told(), [json!("UPD")]);
    stage.on();
    assert_eq!(stage.told(), [json!("GET")]);
}

#[test]
fn the_defaults_of_a_reboot_change_nothing() {
    for defaults in [json!({"trn": 0, "on": false}), json!({"on": false})] {
        let mut stage = reporting(json!({"trn": 7, "on": true}));
        stage.off().on().wait(4).report(json!({"state": defaults}));
        assert_eq!(stage.reported(), json!({"trn": 7, "on": true}));
        assert_eq!((stage.told(), &stage.last.commit), (vec![json!("UPD")], &None));
        stage.wait(1).report(json!({"state": defaults}));
        assert_eq!(stage.reported()["on"], json!(false), "{defaults}");
    }
}

#[test]
fn what_follows_a_report_at_the_restored_trn_is_no_default() {
    let mut stage = reporting(json!({"trn": 7, "on": true}));
    stage.on().report(json!({"state": {"trn": 7, "on": true}}));
    stage.report(json!({"state": {"trn": 0, "on": false}}));
    assert_eq!(stage.reported(), json!({"trn": 0, "on": false}));
}

#[test]
fn a_delta_below_the_restored_trn_merges_and_does_not_lower_it() {
    let mut stage = reporting(json!({"trn": 7, "on": true}));
    stage.on().report(json!({"delta": {"trn": 1, "temp": 3}}));
    assert_eq!(stage.reported(), json!({"trn": 7, "on": true, "temp": 3}));
    stage.wait(5).report(json!({"delta": {"trn": 2}}));
    assert_eq!(stage.reported()["trn"], json!(2));
}

#[test]
fn a_thing_without_trn_has_no_defaults() {
    let mut stage = reporting(json!({"on": true}));
    stage.on().report(json!({"state": {"on": false}}));
    assert_eq!(stage.reported(), json!({"on": false}));
}

#[test]
fn an_lc_off_right_after_lc_on_makes_the_thing_not_known() {
    let mut stage = reporting(json!({"trn": 1, "on": false}));
    stage.on().wait(4).apply(Event::Gone);
    assert_eq!(stage.part("online"), Value::Null);
    stage.set(json!({"on": true}));
    assert_eq!(stage.told()[1], json!({"delta": {"trn": 2, "on": true}}));
    stage.wait(1).apply(Event::Gone);
    assert_eq!(stage.part("online"), json!(false));
}

#[test]
fn a_clock_that_is_set_back_right_after_lc_on_makes_neither_span_longer() {
    let mut stage = reporting(json!({"trn": 7, "on": true}));
    stage.on().set_back(2).report(json!({"state": {"trn": 0, "on": false}}));
    assert_eq!(stage.reported()["on"], json!(true), "a step that is short ends nothing");
    stage.set_back(3600).report(json!({"state": {"trn": 0, "on": false}}));
    assert_eq!(stage.reported()["on"], json!(false));
    stage.apply(Event::Gone);
    assert_eq!(stage.part("online"), json!(false));
}

#[test]
fn a_thing_of_which_nothing_is_known_is_sent_at_once_and_again_at_its_return() {
    let mut stage = reporting(json!({"trn": 1, "on": false}));
    stage.off();
    stage.session = 2;
    assert_eq!(stage.part("online"), Value::Null);
    stage.set(json!({"on": true}));
    assert_eq!(stage.told()[1], json!({"delta": {"trn": 2, "on": true}}));
    stage.on();
    assert_eq!(stage.told()[1], json!({"delta": {"trn": 3, "on": true}}));
}

#[test]
fn what_was_held_is_sent_when_the_session_is_lost() {
    let mut stage = reporting(json!({"trn": 1, "on": false}));
    stage.off().set(json!({"on": true}));
    stage.apply(Event::Resumed { untold: false });
    assert_eq!(stage.told(), Vec::<Value>::new());
    stage.session = 2;
    stage.apply(Event::Resumed { untold: false });
    assert_eq!(stage.told(), [json!({"delta": {"trn": 2, "on": true}})]);
    assert_eq!(stage.last.retry, Retry::After(Duration::from_secs(30), 1));
}

#[test]
fn a_report_shows_that_a_thing_is_online_and_has_what_was_held_sent() {
    let mut stage = reporting(json!({"trn": 5, "on": false}));
    stage.off().set(json!({"on": true})).report(json!({"delta": {"temp": 1}}));
    assert_eq!(stage.part("online"), json!(true));
    assert_eq!(stage.told(), [json!("UPD"), json!({"delta": {"trn": 6, "on": true}})]);
}

#[test]
fn coming_and_going_alone_is_no_twin_and_no_version() {
    let mut stage = stage();
    stage.on();
    assert_eq!(stage.last.commit, None);
    stage.off();
    assert_eq!((&stage.last.commit, stage.part("online")), (&None, Value::Null));
    let mut known = reporting(json!({"a": 1}));
    known.off();
    assert_eq!((known.told(), known.part("version")), (vec![], json!(1)));
    assert_eq!((known.puts(), known.part("online")), (true, json!(false)));
}

#[test]
fn a_delta_without_an_answer_is_sent_again_under_its_trn_at_doubling_intervals() {
    let mut stage = reporting(json!({"trn": 1, "on": false}));
    stage.set(json!({"on": true}));
    let mut waits = Vec::new();
    while let Retry::After(wait, attempt) = stage.last.retry {
        waits.push(wait.as_secs());
        stage.wait(wait.as_secs());
        stage.apply(Event::RetryDue(attempt));
        assert_eq!(stage.told(), [json!({"delta": {"trn": 2, "on": true}})]);
        assert_eq!(stage.last.commit, None);
    }
    assert_eq!(waits, [30, 60, 120, 240, 480]);
    assert_eq!(stage.last.retry, Retry::Never);
}

#[test]
fn nothing_is_sent_again_that_was_answered_or_whose_thing_is_gone() {
    let mut stage = reporting(json!({"trn": 1, "on": false}));
    stage.set(json!({"on": true})).report(json!({"delta": {"trn": 2}}));
    stage.apply(Event::RetryDue(1));
    assert_eq!(stage.told(), Vec::<Value>::new());
    stage.set(json!({"on": true})).off();
    assert_eq!(stage.last.retry, Retry::Never);
    stage.apply(Event::RetryDue(1));
    assert_eq!(stage.told(), Vec::<Value>::new());
    stage.report(json!({"delta": {"temp": 1}}));
    assert_eq!(stage.last.retry, Retry::After(Duration::from_secs(30), 1));
}

#[test]
fn a_start_goes_on_with_what_was_sent_and_not_answered() {
    let mut stage = reporting(json!({"trn": 1, "on": false}));
    stage.set(json!({"on": true})).restart().wait(100).apply(Event::Resumed { untold: false });
    assert_eq!(stage.told(), Vec::<Value>::new());
    assert_eq!(stage.last.retry, Retry::After(Duration::from_secs(30), 1));
}

#[test]
fn a_get_sends_the_thing_nothing_and_stores_nothing() {
    let mut stage = reporting(json!({"trn": 1, "on": false}));
    stage.off().set(json!({"on": true}));
    stage.session = 2;
    let before = stage.twin.clone();
    stage.apply(Event::Get);
    assert_eq!((stage.told(), &stage.last.commit), (vec![json!("UPD")], &None));
    assert_eq!(stage.twin, before);
}

#[test]
fn a_trn_that_counts_as_absent_after_numbering_began_anew_does_not_end_the_time_of_defaults() {
    let mut stage = reporting(json!({"trn": 0x7fff_ffff, "a": 1}));
    stage.on().set(json!({"b": 1}));
    assert_eq!(stage.desired(), json!({"trn": 1, "b": 1}));
    stage.report(json!({"state": {"trn": 0x7fff_ffff, "a": 0}}));
    assert_eq!(stage.reported(), json!({"trn": 0x7fff_ffff, "a": 1}));
}
