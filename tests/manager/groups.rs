//! What is asked of groups, between tapes: who is to take a SET and when, and what is answered.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use twinthing::{
    manager::ManagerSettings,
    mqtt::{Acked, Respond},
    protocol::ThingId,
    store::{Applied, Health, Row, SelectFault, Selected},
    twin::{Event, Moment, Outcome, Refusal, Rules, Twin},
};

use crate::tapes::{Heard, Service, Tape, answer_list, release, settings};

/// A service in which these are in the group g, and everybody in the group all.
fn service(members: &[&str]) -> Service {
    Service::start_with(settings(), tape(members))
}

fn tape(members: &[&str]) -> Tape {
    let tape = Tape::default();
    tape.lock().unwrap().members.insert("g".to_owned(), Ok(ids(members)));
    tape
}

fn ids(ids: &[&str]) -> Vec<ThingId> {
    ids.iter().map(|id| id.parse().unwrap()).collect()
}

/// The desired members of each twin that was told, in order.
fn desired(service: &Service, id: &str) -> Vec<Value> {
    let twins = service.on(&format!("TNG/{id}/TWIN/UPD"));
    let without_trn = |twin: &Value| {
        let mut desired = twin["desired"].clone();
        desired.as_object_mut().unwrap().remove("trn");
        desired
    };
    twins.iter().map(without_trn).collect()
}

#[actix_rt::test]
async fn a_set_takes_its_place_with_each_member_before_anything_later_is_looked_at() {
    let mut service = service(&["a", "b"]);
    service.tape.lock().unwrap().holds_lists = Some(Vec::new());
    service.send("TNG/a/TWIN/SET", json!({"set": {"first": 1}}));
    service.send("GRP/g/TWIN/SET", json!({"set": {"n": "group"}}));
    service.send("TNG/a/TWIN/SET", json!({"set": {"n": "own"}}));
    service.send("TNG/a/TWIN/GET", "");
    service.send("TNG/stranger/TWIN/SET", json!({"set": {"n": 1}}));
    service.send("GRP/g/TWIN/SET", json!({"set": {"last": true}, "from": ["a"]}));
    service.send("TNG/b/TWIN/SET", json!({"set": {"n": "own"}}));
    service.send("TNG/mgr/TPC/PING", "still there");
    service.until("the PONG", |heard| heard.done.contains(&8)).await;
    assert!(desired(&service, "stranger").is_empty(), "it waits for its turn");
    {
        let mut heard = service.tape.lock().unwrap();
        for list in heard.holds_lists.take().unwrap() {
            answer_list(&heard, list);
        }
    }
    service.all_done().await;
    assert_eq!(
        desired(&service, "a"),
        [
            json!({"first": 1}),
            json!({"first": 1, "n": "group"}),
            json!({"first": 1, "n": "own"}),
            json!({"first": 1, "n": "own"}),
            json!({"first": 1, "n": "own", "last": true}),
        ]
    );
    assert_eq!(desired(&service, "b"), [json!({"n": "group"}), json!({"n": "own"})]);
    assert_eq!(desired(&service, "stranger"), [json!({"n": 1})]);
    assert!(service.on("GRP/g/TWIN/RES").is_empty(), "nobody asked for an outcome");
}

#[actix_rt::test]
async fn a_set_with_a_query_is_answered_with_what_came_of_each_once_all_is_committed() {
    let mut service = service(&["a", "b", "c", "d"]);
    service.send("TNG/b/TWIN/SET", json!({"set": {"on": true}}));
    service.all_done().await;
    service.tape.lock().unwrap().holds_commits = true;
    let respond =
        Respond { topic: "TNG/app/TPC/RES/x".parse().unwrap(), correlation: Some(b"7".to_vec()) };
    let from = json!(["d", "b", "x", "a", "not/an id", "a"]);
    let payload = json!({"set": {"on": true}, "from": from, "query": {"mine": 1}});
    service.send_for("GRP/g/TWIN/SET", payload, Some(respond));
    service.until("both commits", |heard| heard.waiting.len() == 2).await;
    assert!(service.on("GRP/g/TWIN/RES").is_empty());
    release(&service.tape);
    service.all_done().await;
    let outcome = json!({"query": {"mine": 1}, "set": {
        "members": 3, "changed": ["a", "d"], "unchanged": ["b"], "refused": ["not/an id", "x"],
    }});
    assert_eq!(service.on("GRP/g/TWIN/RES"), std::slice::from_ref(&outcome));
    assert_eq!(service.on("TNG/app/TPC/RES/x"), [outcome]);
    assert!(desired(&service, "c").is_empty() && desired(&service, "x").is_empty());
    let heard = service.tape.lock().unwrap();
    let place = heard.published.iter().position(|(topic, _)| topic == "GRP/g/TWIN/RES").unwrap();
    assert_eq!(heard.entries[place], Some(2), "the inbox keeps the SET until it is answered");
}

#[actix_rt::test]
async fn who_is_at_another_version_does_not_take_it_and_the_others_do() {
    let mut service = service(&["a", "b", "new"]);
    service.send("TNG/a/TWIN/SET", json!({"set": {"n": 1}}));
    service.send("TNG/b/TWIN/SET", json!({"set": {"n": 1}}));
    service.send("TNG/b/TWIN/SET", json!({"set": {"n": 2}}));
    service.send("GRP/g/TWIN/SET", json!({"set": {"on": true}, "version": 1, "query": 1}));
    service.all_done().await;
    let outcome = service.on("GRP/g/TWIN/RES");
    assert_eq!(
        outcome,
        [json!({"query": 1, "set": {
            "members": 3, "changed": ["a"], "unchanged": [], "refused": ["b", "new"],
        }})]
    );
    for id in ["a", "b", "new"] {
        assert!(service.on(&format!("TNG/{id}/TWIN/RES")).is_empty(), "the group's answer says it");
    }
    assert_eq!(desired(&service, "b").last().unwrap(), &json!({"n": 2}));
}

#[actix_rt::test]
async fn a_group_without_members_is_a_404_to_a_set_that_asks_and_nothing_to_one_that_does_not() {
    let mut service = service(&["a"]);
    service.send("GRP/none/TWIN/SET", json!({"set": {"on": true}, "query": null}));
    service.send("GRP/none/TWIN/SET", json!({"set": {"on": true}}));
    service.send("GRP/g/TWIN/SET", json!({"set": {"on": true}, "from": ["x"], "query": 3}));
    service
        .send("GRP/none/TWIN/GET", json!({"query": 4, "orient": "split", "select": ["clientId"]}));
    service.all_done().await;
    assert_eq!(
        service.on("GRP/none/TWIN/RES"),
        [
            json!({"query": null, "error": {"code": 404, "message": "group none has no members"}}),
            json!({"query": 4, "res": {"columns": ["clientId"], "index": [], "data": []}}),
        ]
    );
    let nobody = json!({"members": 0, "changed": [], "unchanged": [], "refused": ["x"]});
    assert_eq!(service.on("GRP/g/TWIN/RES"), [json!({"query": 3, "set": nobody})]);
}

#[actix_rt::test]
async fn a_bad_request_is_answered_on_the_groups_topic() {
    let mut service = service(&["a"]);
    service.send("GRP/g/TWIN/SET", json!({"set": {}, "from": "a", "query": 1}));
    service.send("GRP/g/TWIN/SET", "nope");
    service.send("GRP/g/TWIN/GET", json!({"select": ["group"], "query": 2}));
    service.all_done().await;
    let codes: Vec<_> = service
        .on("GRP/g/TWIN/RES")
        .iter()
        .map(|answer| (answer["query"].clone(), answer["error"]["code"].clone()))
        .collect();
    assert_eq!(codes, [(json!(1), json!(400)), (Value::Null, json!(400)), (json!(2), json!(422))]);
}

#[actix_rt::test]
async fn the_manager_is_nobodys_member() {
    let mut service = service(&["a", "mgr"]);
    service.send("GRP/g/TWIN/SET", json!({"set": {"on": true}, "query": 1}));
    service.send("GRP/g/TWIN/SET", json!({"set": {"on": true}, "from": ["mgr"], "query": 2}));
    service.all_done().await;
    let mut answers = service.on("GRP/g/TWIN/RES");
    answers.sort_by_key(|answer| answer["query"].as_u64());
    let sets: Vec<_> = answers.iter().map(|answer| answer["set"].clone()).collect();
    let outcome = |members: usize, changed: &[&str], refused: &[&str]| json!({"members": members, "changed": changed, "unchanged": [], "refused": refused});
    assert_eq!(sets, [outcome(1, &["a"], &[]), outcome(0, &[], &["mgr"])]);
}

#[actix_rt::test]
async fn a_table_that_says_nothing_is_an_error_and_holds_nothing_up() {
    let mut service = service(&[]);
    let unreadable = Err("there is no table mqtt_acl".to_owned());
    service.tape.lock().unwrap().members.insert("g".to_owned(), unreadable);
    service.send("GRP/g/TWIN/SET", json!({"set": {"on": true}}));
    service.send("TNG/a/TWIN/SET", json!({"set": {"on": true}}));
    service.send("GRP/g/TWIN/GET", json!({"query": 3}));
    service.all_done().await;
    let message = "who is in group g cannot be read: there is no table mqtt_acl";
    let error = json!({"code": 503, "message": message});
    assert_eq!(
        service.on("GRP/g/TWIN/RES"),
        [json!({"query": null, "error": error}), json!({"query": 3, "error": error})]
    );
    assert_eq!(desired(&service, "a"), [json!({"on": true})]);
}

#[actix_rt::test]
async fn the_tables_are_asked_once_however_many_ask_for_a_group_within_a_second() {
    let mut service = service(&[]);
    for _ in 0..300 {
        service.send("GRP/g/TWIN/GET", "");
        service.send("GRP/g/TWIN/SET", json!({"set": {"on": true}}));
        service.send("GRP/h/TWIN/GET", "");
    }
    let begin = std::time::Instant::now();
    service.all_done().await;
    let most = 1 + usize::try_from(begin.elapsed().as_secs()).unwrap();
    let heard = service.tape.lock().unwrap();
    for group in ["g", "h"] {
        let asked = heard.lists.values().filter(|asked| *asked == group).count();
        assert!((1..=most).contains(&asked), "{asked} times in {:?}", begin.elapsed());
    }
}

#[actix_rt::test]
async fn a_query_goes_to_the_database_with_the_members_and_its_answer_to_the_client() {
    let mut service = service(&["a", "b"]);
    let respond = Respond { topic: "TNG/app/TPC/RES/x".parse().unwrap(), correlation: None };
    let payload = json!({"select": ["clientId"], "query": [9]});
    let number = service.send_for("GRP/g/TWIN/GET", payload, Some(respond));
    service.send("GRP/g/TWIN/GET", json!({"select": ["reported"], "query": 2}));
    service.until("both queries", |heard| heard.selects.len() == 2).await;
    let selects = std::mem::take(&mut service.tape.lock().unwrap().selects);
    let select = &selects[0];
    assert_eq!((select.ticket, select.session, &*select.ids), (number, 1, &*ids(&["a", "b"])));
    assert_eq!((select.group.as_str(), select.mark.clone()), ("g", Some(json!([9]))));
    assert!(!service.tape.lock().unwrap().done.contains(&number));
    let selected = |ticket, result| Selected { ticket, result, unreadable: Vec::new() };
    let fault = SelectFault::TooLarge("much too large".to_owned());
    select.reply.do_send(selected(number, Ok(b"\"the answer\"".as_slice().into())));
    selects[1].reply.do_send(selected(selects[1].ticket, Err(fault)));
    service.all_done().await;
    let error = json!({"query": 2, "error": {"code": 413, "message": "much too large"}});
    assert_eq!(service.on("GRP/g/TWIN/RES"), [json!("the answer"), error]);
    assert_eq!(service.on("TNG/app/TPC/RES/x"), [json!("the answer")]);
}

#[actix_rt::test]
async fn while_the_database_is_away_queries_are_told_so_and_sets_wait() {
    let mut service = service(&["a"]);
    service.send("GRP/g/TWIN/GET", json!({"query": 1}));
    service.until("it is asked", |heard| heard.selects.len() == 1).await;
    service.tape.lock().unwrap().holds_lists = Some(Vec::new());
    service.send("GRP/h/TWIN/GET", json!({"query": 2}));
    service.send("GRP/h/TWIN/SET", json!({"set": {"on": true}, "query": 3}));
    service.send("TNG/a/TWIN/GET", json!({"query": 4}));
    service.router.do_send(Health::Away("gone".to_owned()));
    service.send("GRP/g/TWIN/GET", json!({"query": 5}));
    service.send("TNG/a/TWIN/GET", json!({"query": 6}));
    service.until("all but the SET is done", |heard| heard.done.len() == 5).await;
    let told = |topic: &str| {
        let mut told: Vec<_> = service
            .on(topic)
            .iter()
            .map(|answer| (answer["query"].as_u64().unwrap(), answer["error"]["code"].clone()))
            .collect();
        told.sort_by_key(|(query, _)| *query);
        told
    };
    assert_eq!(told("GRP/g/TWIN/RES"), [(1, json!(503)), (5, json!(503))]);
    assert_eq!(told("GRP/h/TWIN/RES"), [(2, json!(503))]);
    assert_eq!(told("TNG/a/TWIN/RES"), [(4, json!(503)), (6, json!(503))]);
    service.router.do_send(Health::Here);
    {
        let mut heard = service.tape.lock().unwrap();
        heard.members.insert("h".to_owned(), Ok(ids(&["b"])));
        for list in heard.holds_lists.take().unwrap() {
            answer_list(&heard, list);
        }
    }
    service.all_done().await;
    assert_eq!(desired(&service, "b"), [json!({"on": true})]);
}

/// Tells the service that the broker has taken all that was published about things.
fn ack_all(service: &Service) {
    let abouts = std::mem::take(&mut service.tape.lock().unwrap().about);
    for about in abouts.into_iter().flatten() {
        service.router.do_send(Acked(about));
    }
}

#[actix_rt::test]
async fn a_large_set_goes_in_portions_and_others_go_between() {
    let names: Vec<String> = (0..1000).map(|number| format!("t{number:04}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut service = service(&names);
    service.tape.lock().unwrap().holds_acks = true;
    service.tape.lock().unwrap().members.insert("small".to_owned(), Ok(ids(&["x", "y"])));
    let told = |heard: &Heard, prefix: &str| {
        heard.published.iter().filter(|(topic, _)| topic.starts_with(prefix)).count()
    };
    service.send("GRP/g/TWIN/SET", json!({"set": {"n": 1}, "query": 1}));
    service.until("a portion", |heard| told(heard, "TNG/t") >= 200).await;
    service.send("TNG/t0999/TWIN/SET", json!({"set": {"n": 2}}));
    service.send("TNG/z/TWIN/SET", json!({"set": {"n": 1}}));
    service.until("both others", |heard| heard.done.len() == 2).await;
    assert_eq!(desired(&service, "t0999"), [json!({"n": 1}), json!({"n": 2})]);
    assert!(told(&service.tape.lock().unwrap(), "TNG/t0") < 300, "the rest waits for the broker");
    service.send("GRP/small/TWIN/SET", json!({"set": {"n": 1}, "query": 2}));
    service.until("both have no place in the line", |heard| heard.parked == [1, 4]).await;
    for _ in 0..100 {
        ack_all(&service);
        service
            .until("the next portion", |heard| heard.about.len() >= 100 || heard.done.len() == 4)
            .await;
        if service.tape.lock().unwrap().done.len() == 4 {
            break;
        }
    }
    service.all_done().await;
    let heard = service.tape.lock().unwrap();
    let at = |topic: &str| heard.published.iter().position(|(on, _)| on == topic).unwrap();
    assert!(at("GRP/small/TWIN/RES") < at("GRP/g/TWIN/RES"), "the small one does not wait");
    assert_eq!(heard.rows.len(), 1003);
    let mut loads = heard.loads.clone();
    loads.dedup();
    assert_eq!(loads.len(), 1003, "each is loaded once");
}

#[actix_rt::test]
async fn what_was_left_of_a_set_is_done_after_a_restart_and_the_rest_not_again() {
    let twin = |event: Event| {
        let (now, rules) = (twinthing::mqtt::now(), Rules::default());
        let moment = Moment { now, session: 1, rules: &rules };
        Twin::new().apply(event, &moment).unwrap().0
    };
    let set = |n: u64| {
        let Value::Object(members) = json!({ "n": n }) else { panic!() };
        Event::Set { members: members.into(), version: None }
    };
    let row = |number, n| Row {
        record: twin(set(n)).to_record(),
        applied: Applied { epoch: 0, number },
        untold: false,
    };
    let tape = tape(&["a", "b", "c"]);
    {
        let mut heard = tape.lock().unwrap();
        // The first has this SET, the second one after it, the third one only what came before.
        for (id, row) in [("a", row(10, 10)), ("b", row(11, 11)), ("c", row(9, 9))] {
            heard.rows.insert(id.parse().unwrap(), row);
        }
    }
    let mut service = Service::start_with(settings(), tape);
    service.leave_from(10);
    service.send("GRP/g/TWIN/SET", json!({"set": {"n": 10}, "query": 1}));
    service.send("TNG/b/TWIN/SET", json!({"set": {"n": 11}}));
    service.until("both are done", |heard| heard.done.len() == 2).await;
    let wanted = BTreeMap::from([("a", 10), ("b", 11), ("c", 10)]);
    for (id, n) in wanted {
        let heard = service.tape.lock().unwrap();
        let row = &heard.rows[&id.parse::<ThingId>().unwrap()];
        let desired: Value = serde_json::from_str(&row.record.desired).unwrap();
        assert_eq!(desired["n"], n, "{id}");
    }
    let outcome = json!({"members": 3, "changed": ["a", "b", "c"], "unchanged": [], "refused": []});
    assert_eq!(service.on("GRP/g/TWIN/RES"), [json!({"query": 1, "set": outcome})]);
    assert_eq!((desired(&service, "a").len(), desired(&service, "c").len()), (0, 1));
}

fn panics_at_three(
    twin: &Twin,
    event: Event,
    moment: &Moment<'_>,
) -> Result<(Twin, Outcome), Refusal> {
    let (next, outcome) = twin.apply(event, moment)?;
    assert!(next.version() != 3, "a fault in the core");
    Ok((next, outcome))
}

#[actix_rt::test]
async fn a_member_at_which_the_core_panics_costs_the_others_nothing_and_the_set_is_set_aside() {
    let settings = ManagerSettings { apply: panics_at_three, ..settings() };
    let mut service = Service::start_with(settings, tape(&["a", "b", "c"]));
    service.send("TNG/b/TWIN/SET", json!({"set": {"n": 1}}));
    service.send("TNG/b/TWIN/SET", json!({"set": {"n": 2}}));
    service.send("GRP/g/TWIN/SET", json!({"set": {"on": true}, "query": 1}));
    service.until("it is set aside", |heard| !heard.poison.is_empty()).await;
    let outcome = json!({"members": 3, "changed": ["a", "c"], "unchanged": [], "refused": ["b"]});
    assert_eq!(service.on("GRP/g/TWIN/RES"), [json!({"query": 1, "set": outcome})]);
    let heard = service.tape.lock().unwrap();
    assert_eq!((heard.done.clone(), heard.poison[0].0, heard.poison.len()), (vec![1, 2], 3, 1));
    assert!(heard.poison[0].1.contains("a fault in the core"), "{:?}", heard.poison);
}

#[actix_rt::test]
async fn a_member_that_the_database_does_not_take_is_refused_and_the_set_is_done() {
    let mut service = service(&["a"]);
    service.tape.lock().unwrap().refuses = Some("too large".to_owned());
    service.send("GRP/g/TWIN/SET", json!({"set": {"on": true}, "query": 1}));
    service.all_done().await;
    let outcome = json!({"members": 1, "changed": [], "unchanged": [], "refused": ["a"]});
    assert_eq!(service.on("GRP/g/TWIN/RES"), [json!({"query": 1, "set": outcome})]);
}

#[actix_rt::test]
async fn queries_take_their_time_and_nothing_waits_for_them() {
    const QUERIES: usize = 300;
    let mut service = service(&["a"]);
    for number in 0..QUERIES {
        service.send("GRP/g/TWIN/GET", json!({"query": number}));
    }
    service.send("TNG/a/STATE/UPD", json!({"state": {"trn": 1}}));
    service.until("the report is done", |heard| heard.done.len() == 1).await;
    service.until("some are asked", |heard| heard.selects.len() == 4).await;
    assert_eq!(service.tape.lock().unwrap().parked.len(), QUERIES, "none has a place in the line");
    let mut answered = 0;
    while answered < QUERIES {
        let selects = std::mem::take(&mut service.tape.lock().unwrap().selects);
        for select in selects {
            let answer = select.mark.unwrap().to_string().into_bytes().into();
            let (ticket, unreadable) = (select.ticket, Vec::new());
            select.reply.do_send(Selected { ticket, result: Ok(answer), unreadable });
            answered += 1;
        }
        service.until("they are done", |heard| heard.done.len() > answered).await;
        service
            .until("the next are asked", |heard| !heard.selects.is_empty() || answered == QUERIES)
            .await;
    }
    let wanted: Vec<_> = (0..QUERIES).map(|number| json!(number)).collect();
    assert_eq!(service.on("GRP/g/TWIN/RES"), wanted);
}

#[actix_rt::test]
async fn a_set_that_asks_for_nothing_new_changes_nobody_though_presence_is_forgotten() {
    let mut service = service(&["a"]);
    service.send("TNG/a/STATE/UPD", json!({"state": {"trn": 1, "on": true}}));
    service.send("TNG/a/TWIN/SET", json!({"set": {"level": 3}}));
    service.all_done().await;
    // What a lost session makes of presence is written down with the next change, and is none of the twin's.
    service.link(2);
    service.session_is(2);
    service.send("GRP/g/TWIN/SET", json!({"set": {"level": 3, "on": true}, "query": 1}));
    service.all_done().await;
    let outcome = json!({"members": 1, "changed": [], "unchanged": ["a"], "refused": []});
    assert_eq!(service.on("GRP/g/TWIN/RES"), [json!({"query": 1, "set": outcome})]);
}

#[actix_rt::test]
async fn no_more_queries_are_asked_than_there_is_room_for_their_answers() {
    let mut service = service(&["a"]);
    service.tape.lock().unwrap().holds_acks = true;
    for number in 0..6 {
        service.send("GRP/g/TWIN/GET", json!({"query": number}));
    }
    service.until("four are asked", |heard| heard.selects.len() == 4).await;
    let selects = std::mem::take(&mut service.tape.lock().unwrap().selects);
    for select in &selects[..2] {
        let answer = vec![b'x'; select.limit].into();
        let (ticket, unreadable) = (select.ticket, Vec::new());
        select.reply.do_send(Selected { ticket, result: Ok(answer), unreadable });
    }
    service.until("they are published", |heard| heard.done.len() == 2).await;
    service.send("TNG/mgr/TPC/PING", "all that is before this has been looked at");
    service.until("the PONG", |heard| heard.done.len() == 3).await;
    assert!(
        service.tape.lock().unwrap().selects.is_empty(),
        "the broker has neither of the answers"
    );
    ack_all(&service);
    service.until("two more are asked", |heard| heard.selects.len() == 2).await;
}
