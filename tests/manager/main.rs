//! The service between tapes: a broker and a database that only record what they are told.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

mod groups;
mod replay;
mod tapes;

use std::time::Duration;

use serde_json::{Value, json};
use tapes::{Heard, Service, Tape, answer, keep, release, settings};
use twinthing::{
    manager::ManagerSettings,
    mqtt::Respond,
    protocol::ThingId,
    store::{Health, Row},
    twin::{Event, Moment, Outcome, Refusal, Rules, Twin},
};

#[actix_rt::test]
async fn nothing_is_told_before_it_is_committed_and_then_in_order() {
    let mut service = Service::start(settings());
    service.tape.lock().unwrap().holds_commits = true;
    service.send("TNG/a/STATE/UPD", json!({"state": {"trn": 1, "n": 1}}));
    service.send("TNG/a/TWIN/SET", json!({"set": {"n": 2}}));
    service.send("TNG/a/TWIN/GET", "{}");
    service.send("TNG/mgr/TPC/PING", "still there");
    service.until("the PONG", |heard| heard.published.len() == 1).await;
    service.until("both commits", |heard| heard.waiting.len() == 2).await;
    assert_eq!(service.published(), [("TNG/mgr/TPC/PONG".into(), "still there".into())]);
    release(&service.tape);
    service.all_done().await;
    let versions: Vec<_> =
        service.on("TNG/a/TWIN/UPD").iter().map(|twin| twin["version"].clone()).collect();
    assert_eq!(versions, [1, 2, 2]);
    assert_eq!(service.on("TNG/a/STATE/SET"), [json!({"delta": {"trn": 2, "n": 2}})]);
}

fn panics_on_boom(
    twin: &Twin,
    event: Event,
    moment: &Moment<'_>,
) -> Result<(Twin, Outcome), Refusal> {
    if let Event::Set { members, .. } = &event {
        assert!(!members.contains_key("boom"), "a fault in the core");
    }
    twin.apply(event, moment)
}

#[actix_rt::test]
async fn a_panic_in_the_core_costs_that_message_and_nothing_else() {
    let mut service = Service::start(ManagerSettings { apply: panics_on_boom, ..settings() });
    service.send("TNG/a/STATE/UPD", json!({"state": {"n": 1}}));
    service.send("TNG/a/TWIN/SET", json!({"set": {"boom": 1, "n": 5}, "query": 7}));
    service.send("TNG/a/TWIN/SET", json!({"set": {"n": 2}}));
    service.send("TNG/b/STATE/UPD", json!({"state": {"n": 1}}));
    service.until("all but the second", |heard| heard.done.len() == 3).await;
    assert_eq!(
        service.on("TNG/a/TWIN/RES"),
        [json!({"query": 7, "error": {"code": 503,
            "message": "the manager has a fault; this request was not done"}})]
    );
    let last = service.on("TNG/a/TWIN/UPD").pop().unwrap();
    assert_eq!(
        (last["desired"].clone(), last["version"].clone()),
        (json!({"trn": 1, "n": 2}), json!(2))
    );
    assert_eq!(service.on("TNG/b/TWIN/UPD").len(), 1);
    let heard = service.tape.lock().unwrap();
    assert_eq!(heard.done, [1, 3, 4]);
    assert_eq!(heard.poison, [(2, "a fault in the core".to_owned())], "it is set aside");
}

#[actix_rt::test]
async fn a_twin_that_nobody_asks_for_is_retired_and_comes_back_as_it_was() {
    let mut service = Service::start(ManagerSettings { idle: Duration::ZERO, ..settings() });
    service.send("TNG/a/STATE/UPD", json!({"state": {"trn": 3, "n": 1}}));
    service.send("TNG/a/LC/OFF", "");
    service.send("TNG/a/TWIN/SET", json!({"set": {"n": 2}}));
    service.all_done().await;
    service
        .until("an empty cache", |heard| {
            heard.published.iter().any(|(_, payload)| payload.contains(r#""cache":0,"things":1"#))
        })
        .await;
    service.send("TNG/a/LC/ON", "");
    service.all_done().await;
    assert_eq!(
        service.on("TNG/a/STATE/SET"),
        [json!({"state": {"trn": 3, "n": 1}}), json!({"delta": {"trn": 4, "n": 2}})]
    );
    assert_eq!(service.tape.lock().unwrap().loads, ["a", "a"]);
}

#[actix_rt::test]
async fn a_full_cache_lets_go_of_the_twin_not_used_for_longest_but_never_of_one_at_work() {
    let mut service = Service::start(ManagerSettings { cache: 2, ..settings() });
    service.tape.lock().unwrap().holds_commits = true;
    for id in ["a", "b", "c", "d"] {
        service.send(&format!("TNG/{id}/STATE/UPD"), json!({"state": {"n": 1}}));
    }
    service.until("four commits", |heard| heard.waiting.len() == 4).await;
    release(&service.tape);
    service.all_done().await;
    for id in ["a", "e", "b", "a"] {
        service.send(&format!("TNG/{id}/TWIN/GET"), "");
        service.all_done().await;
    }
    let heard = service.tape.lock().unwrap();
    let loads = heard.loads.concat();
    assert!(loads.starts_with("abcd"), "{loads}");
    assert!(loads.len() > 4 && loads.len() <= 8, "{loads}");
    assert_eq!(heard.published.iter().filter(|(topic, _)| topic.ends_with("TWIN/UPD")).count(), 8);
}

#[actix_rt::test]
async fn no_more_things_are_restored_at_once_than_is_set() {
    let mut service = Service::start(ManagerSettings { restores: 2, ..settings() });
    for id in ["a", "b", "c", "d"] {
        service.send(&format!("TNG/{id}/STATE/UPD"), json!({"state": {"n": 1}}));
    }
    service.all_done().await;
    service.tape.lock().unwrap().holds_acks = true;
    for id in ["a", "b", "c", "d"] {
        service.send(&format!("TNG/{id}/LC/ON"), "");
        service.send(&format!("TNG/{id}/TWIN/GET"), "");
    }
    service.until("two are done", |heard| heard.done.len() == 8).await;
    let restored = |service: &Service| -> Vec<String> {
        let states = service.published().into_iter();
        states.map(|(topic, _)| topic).filter(|topic| topic.ends_with("STATE/SET")).collect()
    };
    assert_eq!(restored(&service), ["TNG/a/STATE/SET", "TNG/b/STATE/SET"]);
    service.acked("b");
    service.acked("b");
    service.until("a third", |heard| heard.done.len() == 10).await;
    assert_eq!(restored(&service)[2..], ["TNG/c/STATE/SET"]);
    for id in ["a", "a", "c", "c"] {
        service.acked(id);
    }
    service.all_done().await;
    assert_eq!(restored(&service)[3..], ["TNG/d/STATE/SET"]);
}

#[actix_rt::test]
async fn while_the_database_is_away_a_get_is_a_503_and_a_set_waits() {
    let mut service = Service::start(settings());
    service.send("TNG/a/STATE/UPD", json!({"state": {"n": 1}}));
    service.all_done().await;
    {
        let mut heard = service.tape.lock().unwrap();
        heard.holds_commits = true;
        heard.holds_loads = Some(vec![]);
    }
    service.send("TNG/a/TWIN/SET", json!({"set": {"n": 2}}));
    service.send("TNG/a/TWIN/GET", json!({"query": 1}));
    service.send("TNG/b/TWIN/GET", json!({"query": 2}));
    service.until("a commit", |heard| heard.waiting.len() == 1).await;
    service.router.do_send(Health::Away("gone".into()));
    service.send("TNG/c/TWIN/GET", json!({"query": 3}));
    let away = |query: i32| json!({"query": query, "error": {"code": 503, "message": "the database is away; ask again later"}});
    service
        .until("three answers", |heard| {
            heard.published.iter().filter(|(topic, _)| topic.ends_with("RES")).count() == 3
        })
        .await;
    assert_eq!(service.on("TNG/a/TWIN/RES"), [away(1)]);
    assert_eq!(service.on("TNG/b/TWIN/RES"), [away(2)]);
    assert_eq!(service.on("TNG/c/TWIN/RES"), [away(3)]);
    service.router.do_send(Health::Here);
    {
        let mut heard = service.tape.lock().unwrap();
        for load in heard.holds_loads.take().unwrap() {
            answer(&heard, load);
        }
    }
    release(&service.tape);
    service.all_done().await;
    assert_eq!(service.on("TNG/a/TWIN/UPD").len(), 2);
    assert_eq!(service.on("TNG/b/TWIN/UPD"), Vec::<Value>::new());
    service.send("TNG/a/TWIN/GET", "");
    service.all_done().await;
    assert_eq!(service.on("TNG/a/TWIN/UPD")[2]["desired"], json!({"trn": 1, "n": 2}));
    assert_eq!(service.tape.lock().unwrap().asks_first, [true, false]);
}

#[actix_rt::test]
async fn a_twin_that_the_database_refuses_goes_back_to_what_is_stored() {
    let mut service = Service::start(settings());
    service.send("TNG/a/STATE/UPD", json!({"state": {"n": 1}}));
    service.all_done().await;
    service.tape.lock().unwrap().refuses = Some("row too odd".into());
    service.send("TNG/a/TWIN/SET", json!({"set": {"n": 2}, "query": 9}));
    service.all_done().await;
    assert_eq!(
        service.on("TNG/a/TWIN/RES"),
        [json!({"query": 9, "error": {"code": 503,
            "message": "the database does not take the twin of a: row too odd"}})]
    );
    assert_eq!(service.on("TNG/a/STATE/SET"), Vec::<Value>::new());
    service.tape.lock().unwrap().refuses = None;
    service.send("TNG/a/TWIN/SET", json!({"set": {"m": 3}}));
    service.all_done().await;
    assert_eq!(service.on("TNG/a/TWIN/UPD")[1]["desired"], json!({"trn": 1, "m": 3}));
    assert!(
        service.tape.lock().unwrap().rows[&"a".parse::<ThingId>().unwrap()].record.revision > 2
    );
}

#[actix_rt::test]
async fn a_row_that_holds_no_twin_is_left_as_it_is() {
    let tape = Tape::default();
    let mut record = Twin::new().to_record();
    record.reported = "{broken".into();
    let row = Row { record, applied: Default::default(), untold: false };
    tape.lock().unwrap().rows.insert("a".parse().unwrap(), row.clone());
    let mut service = Service::start_with(settings(), tape);
    service.send("TNG/a/TWIN/SET", json!({"set": {"n": 2}}));
    service.send("TNG/a/STATE/UPD", json!({"state": {"n": 2}}));
    service.all_done().await;
    let error = service.on("TNG/a/TWIN/RES")[0]["error"].clone();
    assert_eq!(error["code"], 503);
    assert!(error["message"].as_str().unwrap().contains("column reported"), "{error}");
    assert_eq!(service.tape.lock().unwrap().rows[&"a".parse::<ThingId>().unwrap()], row);
}

#[actix_rt::test]
async fn a_delta_without_an_answer_is_sent_again_also_by_a_twin_that_was_retired() {
    let rules = Rules { retry: Duration::from_millis(300), retries: 2, ..Rules::default() };
    let mut service = Service::start(ManagerSettings { rules, idle: Duration::ZERO, ..settings() });
    service.send("TNG/a/STATE/UPD", json!({"state": {"trn": 1, "n": 1}}));
    service.send("TNG/a/TWIN/SET", json!({"set": {"n": 2}}));
    service
        .until("three deltas", |heard| {
            heard.published.iter().filter(|(topic, _)| topic == "TNG/a/STATE/SET").count() == 3
        })
        .await;
    let delta = json!({"delta": {"trn": 2, "n": 2}});
    assert_eq!(service.on("TNG/a/STATE/SET"), [delta.clone(), delta.clone(), delta]);
    assert!(service.tape.lock().unwrap().loads.len() >= 2);
}

#[actix_rt::test]
async fn a_new_session_has_what_was_held_sent_and_the_same_one_does_not() {
    let mut service = Service::start(settings());
    for id in ["a", "b"] {
        service.send(&format!("TNG/{id}/STATE/UPD"), json!({"state": {"trn": 1, "n": 1}}));
        service.send(&format!("TNG/{id}/LC/OFF"), "");
        service.send(&format!("TNG/{id}/TWIN/SET"), json!({"set": {"n": 2}}));
    }
    service.all_done().await;
    let tape = service.tape.clone();
    let again = Service::start_with(settings(), tape.clone());
    again.link(1);
    again.until("the things", |heard| heard.loads.len() == 4).await;
    assert_eq!(again.on("TNG/a/STATE/SET"), Vec::<Value>::new());
    again.link(2);
    again
        .until("both deltas", |heard| {
            heard.published.iter().filter(|(topic, _)| topic.ends_with("STATE/SET")).count() == 2
        })
        .await;
    assert_eq!(again.on("TNG/b/STATE/SET"), [json!({"delta": {"trn": 2, "n": 2}})]);
}

#[actix_rt::test]
async fn an_answer_goes_to_the_response_topic_as_well() {
    let mut service = Service::start(settings());
    let respond = || {
        Some(Respond { topic: "TNG/app/TPC/RES/1".parse().unwrap(), correlation: Some(vec![7]) })
    };
    service.send_for("TNG/a/TWIN/SET", json!({"set": {"n": 2}}), respond());
    service.send_for("TNG/a/TWIN/GET", "", respond());
    service.send_for("TNG/a/TWIN/GET", "nope", respond());
    service.send_for("TNG/a/TWIN/DEL", json!({"query": 4}), respond());
    service.all_done().await;
    let answers = service.on("TNG/app/TPC/RES/1");
    assert_eq!(answers.len(), 4);
    assert!(answers.contains(&service.on("TNG/a/TWIN/UPD")[0]));
    assert!(answers.iter().any(|answer| answer["error"]["code"] == 400));
    assert!(answers.contains(&json!({"query": 4, "deleted": true})));
}

#[actix_rt::test]
async fn the_manager_is_a_thing_without_a_twin() {
    let mut service = Service::start(settings());
    service.send("TNG/mgr/TWIN/SET", json!({"set": {"n": 2}, "query": 1}));
    service.send("TNG/mgr/TWIN/GET", "");
    service.send("TNG/mgr/TWIN/DEL", "");
    service.send("TNG/mgr/STATE/UPD", json!({"state": {"n": 1}}));
    service.send("TNG/mgr/LC/ON", "");
    service.send("TNG/mgr/STATE/SET", json!({"delta": {"trn": 8, "things": 99}}));
    service.send("TNG/mgr/STATE/GET", json!({"GET": 1}));
    service.send("GRP/ALL/TPC/PING", "all");
    service.all_done().await;
    assert_eq!(
        service.on("TNG/mgr/TWIN/RES"),
        [
            json!({"query": 1, "error": {"code": 404, "message": "mgr is the manager, which has no twin"}}),
            json!({"query": 0, "deleted": false}),
        ]
    );
    assert_eq!(service.on("TNG/mgr/TWIN/UPD")[0]["version"], 0);
    let state = json!({"state": {"trn": 8, "things": 0, "cache": 0}});
    let states = service.on("TNG/mgr/STATE/UPD");
    assert_eq!(states[states.len() - 2..], [state.clone(), state]);
    assert!(service.published().contains(&("TNG/mgr/TPC/PONG".into(), "all".into())));
    assert!(service.tape.lock().unwrap().loads.is_empty());
}

#[actix_rt::test]
async fn counters_are_told_when_something_moved_and_not_again() {
    let mut service = Service::start(settings());
    let told = |heard: &Heard| {
        let stats = heard.published.iter().filter(|(topic, _)| topic == "TNG/mgr/TPC/STATS");
        stats.map(|(_, stats)| serde_json::from_str::<Value>(stats).unwrap()).collect::<Vec<_>>()
    };
    service.until("the bridge's", |heard| told(heard).len() == 1).await;
    service.send("TNG/a/STATE/UPD", json!({"state": {"n": 1}}));
    service.send("TNG/a/STATE/UPD", "no report");
    service.until("ours", |heard| told(heard).last().unwrap()["bad_reports"] == 1).await;
    service.until("ours", |heard| told(heard).last().unwrap()["applied"] == 1).await;
    let stats = told(&service.tape.lock().unwrap());
    assert_eq!(stats.last().unwrap()["ignored_retained"], 7);
    assert!(stats.len() <= 3, "{stats:?}");
}

#[actix_rt::test]
async fn a_query_is_answered_where_the_client_wants_it_and_tells_the_thing_nothing() {
    let mut service = Service::start(settings());
    service.send("TNG/a/STATE/UPD", json!({"state": {"trn": 1, "n": 1}}));
    let topic = "TNG/app/TPC/RES/1";
    let respond = Some(Respond { topic: topic.parse().unwrap(), correlation: None });
    let asked = json!({"select": ["clientId", "reported.n", "online"], "query": 5});
    service.send_for("TNG/a/TWIN/GET", asked.clone(), respond);
    service.send("TNG/b/TWIN/GET", asked.clone());
    service.send("TNG/mgr/TWIN/GET", asked);
    service.send("TNG/a/TWIN/GET", json!({"select": ["n"], "query": 6}));
    service.send("TNG/a/TWIN/GET", json!({"where": {"and": {}}, "query": 7}));
    service.all_done().await;
    let row = json!({"query": 5, "res": [{"clientId": "a", "reported.n": 1, "online": true}]});
    let none = vec![json!({"query": 5, "res": []})];
    assert_eq!(service.on(topic), vec![row.clone()]);
    let mut answers = service.on("TNG/a/TWIN/RES");
    answers.sort_by_key(|answer| answer["query"].as_u64());
    assert_eq!(answers[0], row);
    let codes: Vec<_> = answers[1..].iter().map(|answer| &answer["error"]["code"]).collect();
    assert_eq!(codes, [422, 400]);
    assert_eq!(service.on("TNG/b/TWIN/RES"), none);
    assert_eq!(service.on("TNG/mgr/TWIN/RES"), none);
    let told = service.published().into_iter().filter(|(topic, _)| !topic.starts_with("TNG/mgr"));
    let told: Vec<_> = told.map(|(topic, _)| topic).collect();
    assert_eq!(told.len(), 6, "the update, five answers, and nothing to a thing: {told:?}");
}

#[actix_rt::test]
async fn a_refused_twin_goes_back_no_further_than_to_what_was_committed_meanwhile() {
    let mut service = Service::start(settings());
    service.send("TNG/a/STATE/UPD", json!({"state": {"trn": 1, "n": 1}}));
    service.all_done().await;
    service.tape.lock().unwrap().holds_commits = true;
    service.send("TNG/a/STATE/UPD", json!({"delta": {"n": 2}}));
    service.send("TNG/a/STATE/UPD", json!({"delta": {"n": 3}}));
    service.until("both commits", |heard| heard.waiting.len() == 2).await;
    {
        let mut heard = service.tape.lock().unwrap();
        let first = heard.waiting.remove(0);
        keep(&mut heard, first);
    }
    service.until("the first is told", |heard| heard.done.len() == 2).await;
    service.tape.lock().unwrap().refuses = Some("too large".to_owned());
    release(&service.tape);
    service.all_done().await;
    service.tape.lock().unwrap().refuses = None;
    service.send("TNG/a/TWIN/GET", "");
    service.all_done().await;
    let twins = service.on("TNG/a/TWIN/UPD");
    assert_eq!(twins.last().unwrap()["reported"], json!({"trn": 1, "n": 2}));
}

#[actix_rt::test]
async fn a_thing_that_never_stops_talking_does_not_hold_the_place_of_its_restore() {
    let mut service = Service::start(ManagerSettings { restores: 1, ..settings() });
    for id in ["a", "b"] {
        service.send(&format!("TNG/{id}/STATE/UPD"), json!({"state": {"trn": 1, "n": 0}}));
    }
    service.all_done().await;
    service.tape.lock().unwrap().holds_acks = true;
    service.send("TNG/a/LC/ON", "");
    service.send("TNG/b/LC/ON", "");
    service
        .until("a is restored", |heard| {
            heard.published.iter().any(|(topic, _)| topic == "TNG/a/STATE/SET")
        })
        .await;
    for n in 1..20 {
        service.send("TNG/a/STATE/UPD", json!({"delta": {"n": n}}));
        let told = move |heard: &Heard| {
            heard.published.iter().filter(|(topic, _)| topic == "TNG/a/TWIN/UPD").count() > n
        };
        service.until("a is told", told).await;
        // What was told before this is acknowledged, and this is not yet.
        service.acked("a");
    }
    service
        .until("b is restored", |heard| {
            heard.published.iter().any(|(topic, _)| topic == "TNG/b/STATE/SET")
        })
        .await;
}

#[actix_rt::test]
async fn a_flood_of_one_thing_is_merged_and_ends_as_it_said_and_others_are_not_touched() {
    let mut service = Service::start(ManagerSettings { thing_rate: 10, ..settings() });
    for number in 0..1000 {
        let report = json!({"delta": {"n": number, format!("m{}", number % 3): number}});
        service.send("TNG/flood/STATE/UPD", report);
    }
    service.send("TNG/flood/TWIN/SET", json!({"set": {"n": 0}}));
    service.send("TNG/other/STATE/UPD", json!({"state": {"n": 1}}));
    service
        .until("the other is told", |heard| {
            heard.published.iter().any(|(topic, _)| topic == "TNG/other/TWIN/UPD")
        })
        .await;
    service.all_done().await;
    let told = service.on("TNG/flood/TWIN/UPD");
    assert!((101..300).contains(&told.len()), "{} updates of 1000 reports", told.len());
    let last = told.last().unwrap();
    assert_eq!(last["reported"], json!({"n": 999, "m0": 999, "m1": 997, "m2": 998}));
    assert_eq!(last["desired"]["n"], 0, "the SET came after them");
    let row = service.tape.lock().unwrap().rows[&"flood".parse::<ThingId>().unwrap()].clone();
    assert_eq!(row.applied.number, 1001, "all of them are in the row");
    let parked = service.tape.lock().unwrap().parked.len();
    assert!(parked > 700, "{parked} are not waited for");
}

#[actix_rt::test]
async fn everything_that_was_merged_is_poison_if_the_merged_one_is() {
    fn panics_on_reports(
        twin: &Twin,
        event: Event,
        moment: &Moment<'_>,
    ) -> Result<(Twin, Outcome), Refusal> {
        assert!(!matches!(event, Event::Reported(_)), "a report");
        twin.apply(event, moment)
    }
    let given = ManagerSettings { thing_rate: 1, apply: panics_on_reports, ..settings() };
    let mut service = Service::start(given);
    for number in 0..15 {
        service.send("TNG/a/STATE/UPD", json!({"delta": {"n": number}}));
    }
    service.until("all of them", |heard| heard.poison.len() == 15).await;
    let mut numbers: Vec<_> =
        service.tape.lock().unwrap().poison.iter().map(|(number, _)| *number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=15).collect::<Vec<_>>());
}
