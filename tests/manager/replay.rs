//! What an earlier life of the manager left: what is done of it is not done again, what may not have been told is.

use std::time::Duration;

use serde_json::{Value, json};
use twinthing::{
    manager::ManagerSettings,
    mqtt::Respond,
    protocol::ThingId,
    store::{Applied, Row},
    twin::{Event, Moment, Rules, Twin},
};

use crate::tapes::{Service, Tape, settings};

fn id(id: &str) -> ThingId {
    id.parse().unwrap()
}

/// The events of a life before this one, in session 1, and the row that it left.
fn row(number: u64, events: Vec<Event>) -> Row {
    let mut twin = Twin::new();
    let rules = Rules::default();
    let now = twinthing::mqtt::now();
    for event in events {
        let moment = Moment { now, session: 1, rules: &rules };
        twin = twin.apply(event, &moment).unwrap().0;
    }
    Row { record: twin.to_record(), applied: Applied { epoch: 0, number }, untold: true }
}

fn report(payload: Value) -> Event {
    let payload = payload.to_string();
    Event::Reported(twinthing::protocol::Report::parse(payload.as_bytes(), 1000).unwrap())
}

fn set(members: Value) -> Event {
    let Value::Object(members) = members else { panic!("{members} is no object") };
    Event::Set { members: members.into(), version: None }
}

/// A service whose database has these rows; those named may not have been told.
fn service(rows: Vec<(&str, Row)>, untold: &[&str]) -> Service {
    let tape = Tape::default();
    tape.lock().unwrap().rows = rows.into_iter().map(|(name, row)| (id(name), row)).collect();
    let untold = untold.iter().map(|name| id(name)).collect();
    Service::start_with(ManagerSettings { untold, ..settings() }, tape)
}

fn lamp() -> Row {
    row(11, vec![report(json!({"state": {"trn": 1, "on": false}})), set(json!({"on": true}))])
}

#[actix_rt::test]
async fn what_is_in_the_twin_already_is_not_applied_again_and_what_is_behind_it_is() {
    let mut service = service(vec![("lamp", lamp())], &[]);
    service.leave_from(10);
    service.send("TNG/lamp/STATE/UPD", json!({"state": {"trn": 1, "on": false}}));
    service.send("TNG/lamp/TWIN/SET", json!({"set": {"on": true}}));
    service.send("TNG/lamp/TWIN/SET", json!({"set": {"level": 3}}));
    service.until("all three", |heard| heard.done.len() == 3).await;
    let told = service.on("TNG/lamp/TWIN/UPD");
    let versions: Vec<_> = told.iter().map(|twin| twin["version"].clone()).collect();
    assert_eq!(versions, [2, 3], "the SET that was done is answered from the twin as it is");
    assert_eq!(told[1]["desired"], json!({"trn": 3, "on": true, "level": 3}));
    let sent = service.on("TNG/lamp/STATE/SET");
    assert_eq!(sent, [json!({"delta": {"trn": 3, "on": true, "level": 3}})], "no old wish anew");
}

#[actix_rt::test]
async fn a_client_is_answered_again_where_it_wants_its_answer() {
    let mut service = service(vec![("lamp", lamp())], &[]);
    service.leave_from(11);
    let respond = Respond { topic: "TNG/c/TPC/RES/1".parse().unwrap(), correlation: None };
    service.send_for("TNG/lamp/TWIN/SET", json!({"set": {"on": true}}), Some(respond));
    service.until("the answer", |heard| heard.done == [11]).await;
    assert_eq!(service.on("TNG/c/TPC/RES/1")[0]["version"], 2);
    assert_eq!(service.tape.lock().unwrap().entries, [Some(11), Some(11)]);
}

#[actix_rt::test]
async fn a_number_of_another_life_says_nothing_about_those_of_this_one() {
    let mut service = service(vec![("lamp", lamp())], &[]);
    service.is_replayed();
    service.send("TNG/lamp/TWIN/SET", json!({"set": {"level": 1}}));
    service.all_done().await;
    assert_eq!(service.on("TNG/lamp/TWIN/UPD")[0]["version"], 3);
    let applied = service.tape.lock().unwrap().rows[&id("lamp")].applied;
    assert_eq!(applied, Applied { epoch: 1, number: 1 });
}

#[actix_rt::test]
async fn what_may_not_have_been_told_is_told_once_all_that_was_left_is_over() {
    let mut service = service(vec![("lamp", lamp())], &["lamp"]);
    service.leave_from(12);
    service.send("TNG/lamp/STATE/UPD", json!({"delta": {"trn": 2, "on": true}}));
    service.until("the report", |heard| heard.done == [12]).await;
    assert_eq!(service.on("TNG/lamp/TWIN/UPD").len(), 1);
    assert!(service.tape.lock().unwrap().told.is_empty(), "it is not told before it is told again");
    service.is_replayed();
    service.until("it to be told again", |heard| heard.told.len() == 1).await;
    assert_eq!(service.on("TNG/lamp/TWIN/UPD").len(), 2);
    assert!(service.on("TNG/lamp/STATE/SET").is_empty(), "it has been answered");
    assert_eq!(service.tape.lock().unwrap().forgotten, [1]);
}

#[actix_rt::test]
async fn an_unanswered_delta_is_told_again_under_its_old_trn_before_anything_new() {
    let mut service = service(vec![("lamp", lamp())], &["lamp"]);
    service.leave_from(1);
    service.send("TNG/other/LC/ON", "");
    service.until("the other", |heard| heard.done == [1]).await;
    assert!(service.published().iter().all(|(topic, _)| !topic.contains("lamp")));
    service.is_replayed();
    service.send("TNG/lamp/TWIN/SET", json!({"set": {"level": 3}}));
    service.until("both", |heard| heard.done.len() == 2).await;
    assert_eq!(
        service.on("TNG/lamp/STATE/SET"),
        [
            json!({"delta": {"trn": 2, "on": true}}),
            json!({"delta": {"trn": 3, "on": true, "level": 3}})
        ]
    );
    let versions: Vec<_> =
        service.on("TNG/lamp/TWIN/UPD").iter().map(|twin| twin["version"].clone()).collect();
    assert_eq!(versions, [2, 3]);
}

#[actix_rt::test]
async fn a_restore_that_may_not_have_been_told_is_told_again_and_its_defaults_do_not_count() {
    let connected =
        row(11, vec![report(json!({"state": {"trn": 7, "on": true}})), Event::Connected]);
    let mut service = service(vec![("lamp", connected)], &["lamp"]);
    service.is_replayed();
    service.send("TNG/lamp/STATE/UPD", json!({"state": {"trn": 0, "on": false}}));
    service.all_done().await;
    assert_eq!(service.on("TNG/lamp/STATE/SET"), [json!({"state": {"trn": 7, "on": true}})]);
    let told = service.on("TNG/lamp/TWIN/UPD");
    assert!(told.iter().all(|twin| twin["reported"] == json!({"trn": 7, "on": true})), "{told:?}");
}

#[actix_rt::test]
async fn a_thing_that_was_heard_since_its_restore_is_not_restored_again() {
    let heard = row(
        11,
        vec![
            report(json!({"state": {"trn": 7, "on": true}})),
            Event::Connected,
            report(json!({"delta": {"on": false}})),
        ],
    );
    let mut service = service(vec![("lamp", heard)], &["lamp"]);
    service.is_replayed();
    service.until("it is told", |heard| heard.told.len() == 1).await;
    assert_eq!(service.on("TNG/lamp/TWIN/UPD").len(), 1);
    assert!(service.on("TNG/lamp/STATE/SET").is_empty());
    service.send("TNG/lamp/TWIN/GET", "");
    service.all_done().await;
}

#[actix_rt::test]
async fn a_thing_that_owes_its_whole_state_is_asked_again() {
    let asked = row(11, vec![report(json!({"delta": {"on": true}}))]);
    let mut service = service(vec![("lamp", asked)], &["lamp"]);
    service.is_replayed();
    service.until("it is told", |heard| heard.told.len() == 1).await;
    assert_eq!(service.on("TNG/lamp/STATE/GET"), [json!({"GET": 1})]);
}

#[actix_rt::test]
async fn a_deletion_that_was_done_is_answered_again_and_nothing_before_it_comes_back() {
    let mut service = service(vec![], &[]);
    service.tape.lock().unwrap().deleted.insert(id("lamp"), Applied { epoch: 0, number: 12 });
    service.leave_from(10);
    service.send("TNG/lamp/STATE/UPD", json!({"state": {"trn": 1, "on": false}}));
    service.send("TNG/lamp/TWIN/SET", json!({"set": {"on": true}}));
    service.send("TNG/lamp/TWIN/DEL", json!({"query": 5}));
    service.until("all three", |heard| heard.done.len() == 3).await;
    assert_eq!(service.on("TNG/lamp/TWIN/RES"), [json!({"query": 5, "deleted": true})]);
    assert_eq!(service.published().len(), 1, "{:?}", service.published());
    assert!(service.tape.lock().unwrap().rows.is_empty());
}

#[actix_rt::test]
async fn a_twin_counts_as_told_once_the_broker_has_all_of_it() {
    let mut service = Service::start(settings());
    service.tape.lock().unwrap().holds_acks = true;
    service.send("TNG/a/STATE/UPD", json!({"state": {"trn": 1, "n": 1}}));
    service.send("TNG/a/TWIN/SET", json!({"set": {"n": 2}}));
    service.all_done().await;
    assert_eq!(service.published().len(), 3);
    for acknowledged in 0..3 {
        assert!(service.tape.lock().unwrap().told.is_empty(), "after {acknowledged} of 3");
        service.acked("a");
        service.send("TNG/mgr/TPC/PING", acknowledged);
        service.all_done().await;
    }
    assert_eq!(service.tape.lock().unwrap().told, [("a".to_owned(), 2)]);
    service.send("TNG/a/TWIN/GET", "");
    service.all_done().await;
    service.acked("a");
    service.send("TNG/mgr/TPC/PING", "");
    service.all_done().await;
    assert_eq!(service.tape.lock().unwrap().told.len(), 1, "a GET changes nothing");
}

#[actix_rt::test]
async fn what_was_left_does_not_wait_for_the_broker_but_untold_twins_do() {
    let tape = Tape::default();
    tape.lock().unwrap().rows.insert(id("lamp"), lamp());
    let given = ManagerSettings { untold: vec![id("lamp")], ..settings() };
    let mut service = Service::start_unlinked(given, tape);
    service.leave_from(12);
    service.send("TNG/lamp/STATE/UPD", json!({"delta": {"trn": 2, "on": true}}));
    service.until("it is done", |heard| heard.done == [12]).await;
    service.is_replayed();
    // A few ticks without a broker.
    actix_rt::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(service.on("TNG/lamp/TWIN/UPD").len(), 1);
    service.link(1);
    service.until("it is told again", |heard| heard.told.len() == 1).await;
    assert_eq!(service.on("TNG/lamp/TWIN/UPD").len(), 2);
}

#[actix_rt::test]
async fn a_get_that_overtook_what_came_before_it_does_not_make_that_done() {
    let mut service = service(vec![("lamp", lamp())], &[]);
    service.is_replayed();
    service.leave_at(50);
    service.send("TNG/lamp/TWIN/GET", "");
    service.leave_at(7);
    service.send("TNG/lamp/TWIN/SET", json!({"set": {"level": 3}}));
    service.until("both", |heard| heard.done == [50, 7]).await;
    let told = service.on("TNG/lamp/TWIN/UPD");
    assert_eq!((&told[0]["version"], &told[1]["version"]), (&json!(2), &json!(3)));
}
