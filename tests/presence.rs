//! Who is there and who is asked, through a real broker: sessions, wills, retained messages, responses.
#![cfg(feature = "manager")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{
    broker::Broker,
    client::{Client, Message},
    database::Database,
    site::{PATIENCE, Site, pair, topics},
    wait_for,
};

/// A lamp that is known and offline, and is asked for light.
fn ask_an_absent_lamp(site: &mut Site) {
    site.report("lamp", &json!({"trn": 1, "on": false}));
    site.say("lamp", "LC/OFF", &json!({"online": 0}));
    site.set("lamp", &json!({"on": true}));
    let said = site.said("lamp");
    assert_eq!(topics(&said), ["TNG/lamp/TWIN/UPD"; 2]);
    assert_eq!(said[1].1["online"], false);
}

/// Restarts the broker, and waits until the manager is back. What it says meanwhile is heard.
fn restart_broker(site: &mut Site) {
    site.broker.stop();
    site.broker.run();
    site.client = Client::connect(site.broker.port());
    site.client.subscribe_to_others();
    site.ready();
}

#[test]
fn a_broker_that_forgets_the_session_makes_things_not_known_and_has_what_is_held_sent() {
    let broker = Broker::start_with("autosave_interval 0\npersistent_client_expiration 1d");
    let mut site = Site::start_at(broker, &Database::Sqlite, &[]);
    ask_an_absent_lamp(&mut site);
    site.report("other", &json!({"n": 1}));
    assert_eq!(site.twin("other")["online"], true);
    site.broker.stop();
    std::fs::remove_file(site.broker.folder().join("mosquitto.db")).unwrap();
    site.broker.run();
    site.client = Client::connect(site.broker.port());
    site.client.subscribe_to_others();
    let delta = json!({"delta": {"trn": 2, "on": true}});
    assert_eq!(site.client.expect("TNG/lamp/STATE/SET", PATIENCE).json(), delta);
    site.ready();
    assert_eq!(site.said("lamp"), [], "it is sent once");
    for id in ["lamp", "other"] {
        assert_eq!(site.twin(id)["online"], Value::Null, "{id}");
    }
    site.say("lamp", "LC/ON", &json!({"online": 1}));
    let said = site.said("lamp");
    let state = json!({"state": {"trn": 1, "on": false}});
    let again = json!({"delta": {"trn": 3, "on": true}});
    assert_eq!(said, [pair("TNG/lamp/STATE/SET", state), pair("TNG/lamp/STATE/SET", again)]);
}

#[test]
fn a_broker_that_keeps_the_session_changes_nothing_by_its_restart() {
    let mut site = Site::start(&Database::Sqlite, &[]);
    ask_an_absent_lamp(&mut site);
    site.report("other", &json!({"n": 1}));
    site.said("other");
    restart_broker(&mut site);
    assert_eq!(site.quiet(Duration::from_millis(500)), []);
    assert_eq!(site.twin("lamp")["online"], false);
    assert_eq!(site.twin("other")["online"], true);
}

#[test]
fn a_thing_that_vanishes_is_offline_by_its_will() {
    let mut site = Site::start(&Database::Sqlite, &[("TWIN_LATE_WILL", "0")]);
    let mut thing = Client::connect_thing(site.broker.port(), "lamp");
    thing.publish("TNG/lamp/LC/ON", r#"{"online":1}"#);
    thing.publish("TNG/lamp/STATE/UPD", r#"{"state":{"on":false}}"#);
    assert_eq!(site.twin("lamp")["online"], true);
    thing.vanish();
    site.client.expect("TNG/lamp/LC/OFF", PATIENCE);
    let twin = site.twin("lamp");
    assert_eq!((&twin["online"], &twin["version"]), (&json!(false), &json!(1)));
    site.set("lamp", &json!({"on": true}));
    assert_eq!(topics(&site.said("lamp")), ["TNG/lamp/TWIN/UPD"], "it is held");
}

#[test]
fn the_managers_own_will_says_that_it_was_killed() {
    let mut site = Site::start(&Database::Sqlite, &[]);
    site.client.quiet(Duration::ZERO);
    site.program.kill();
    let will = site.client.expect("TNG/mgr/LC/OFF", PATIENCE);
    assert_eq!((will.json(), will.retained), (json!({"online": 0}), false));
    site.program.start_again();
    let back = site.client.expect("TNG/mgr/LC/ON", PATIENCE);
    assert_eq!((back.json(), back.retained), (json!({"online": 1}), false));
    site.ready();
    site.end();
    assert_eq!(site.client.expect("TNG/mgr/LC/OFF", PATIENCE).json(), json!({"online": 0}));
}

#[test]
fn retained_messages_that_the_broker_replays_are_ignored() {
    let broker = Broker::start();
    let mut client = Client::connect(broker.port());
    for (levels, payload) in [
        ("STATE/UPD", r#"{"state":{"n":1}}"#),
        ("TWIN/SET", r#"{"set":{"n":2}}"#),
        ("TWIN/GET", "{}"),
        ("LC/ON", r#"{"online":1}"#),
        ("LC/OFF", r#"{"online":0}"#),
    ] {
        client.publish_retained(&format!("TNG/ghost/{levels}"), payload);
    }
    client.subscribe(&["TNG/ghost/TWIN/+", "TNG/ghost/STATE/SET", "TNG/ghost/STATE/GET"]);
    client.quiet(Duration::from_millis(100));
    let mut site = Site::start_at(broker, &Database::Sqlite, &[]);
    assert_eq!(client.quiet(Duration::from_millis(300)), []);
    assert_eq!(site.own_state()["things"], 0);
    let twin = site.twin("ghost");
    assert_eq!((&twin["version"], &twin["online"]), (&json!(0), &Value::Null));
}

/// Asks with a response topic, and gives what comes on the thing's topic and there.
fn ask(site: &mut Site, topic: &str, payload: &str, answer: &str) -> [Message; 2] {
    const RESPONSE: &str = "TNG/app/TPC/RES/my/answers";
    site.client.request(topic, payload, RESPONSE, b"\x00\xffcorrelation");
    [site.client.expect(answer, PATIENCE), site.client.expect(RESPONSE, PATIENCE)]
}

#[test]
fn every_answer_goes_to_the_response_topic_as_well_with_the_correlation_data() {
    let mut site = Site::start(&Database::Sqlite, &[]);
    site.report("a", &json!({"n": 1}));
    site.said("a");
    for (topic, payload, answer) in [
        ("TNG/a/TWIN/GET", "", "TNG/a/TWIN/UPD"),
        ("TNG/a/TWIN/SET", r#"{"set":{"n":2}}"#, "TNG/a/TWIN/UPD"),
        ("TNG/a/TWIN/SET", r#"{"set":{"n":2},"version":77,"query":5}"#, "TNG/a/TWIN/RES"),
        ("TNG/a/TWIN/SET", "no JSON", "TNG/a/TWIN/RES"),
        ("TNG/a/TWIN/GET", r#"{"select":["reported"],"query":6}"#, "TNG/a/TWIN/RES"),
        ("TNG/a/TWIN/DEL", r#"{"query":7}"#, "TNG/a/TWIN/RES"),
        ("TNG/mgr/TWIN/GET", "{}", "TNG/mgr/TWIN/UPD"),
        ("TNG/mgr/TWIN/SET", r#"{"set":{"n":2}}"#, "TNG/mgr/TWIN/RES"),
        ("GRP/g/TWIN/GET", r#"{"query":8}"#, "GRP/g/TWIN/RES"),
    ] {
        let [own, response] = ask(&mut site, topic, payload, answer);
        assert_eq!(own.json(), response.json(), "{topic} {payload}");
        assert_eq!(response.correlation.as_deref(), Some(&b"\x00\xffcorrelation"[..]), "{topic}");
        assert_eq!(own.correlation, None, "{topic} {payload}");
        assert_eq!((own.qos, own.retained, response.retained), (1, false, false));
    }
    site.client.quiet(Duration::from_millis(200));
}

#[test]
fn a_response_topic_where_a_client_may_not_publish_is_not_obeyed() {
    let mut site = Site::start(&Database::Sqlite, &[]);
    site.report("x", &json!({"n": 1}));
    site.said("x");
    for response in [
        "TNG/x/STATE/SET",
        "TNG/x/STATE/UPD",
        "TNG/x/TWIN/SET",
        "TNG/x/LC/OFF",
        "TNG/x/TPC/RES",
        "TNG/x/TPC/RESULT/1",
        "tng/x/TPC/RES/1",
        "TNG/x/TPC",
        "TNG//TPC/RES/1",
        "GRP/g/TPC/all",
        "anything",
    ] {
        for (topic, payload) in [
            ("TNG/x/TWIN/GET", "{}"),
            ("TNG/x/TWIN/SET", r#"{"set":{"n":1}}"#),
            ("TNG/x/TWIN/SET", "no JSON"),
        ] {
            site.client.request(topic, payload, response, b"1");
            let answer = site.client.recv(PATIENCE).unwrap();
            assert!(answer.topic.starts_with("TNG/x/TWIN/"), "{response}: {answer:?}");
        }
    }
    assert_eq!(site.said("x"), []);
}

#[test]
fn a_manager_whose_broker_comes_later_connects_then() {
    let mut broker = Broker::start();
    broker.stop();
    let folder = tempfile::tempdir().unwrap();
    let url = Database::Sqlite.fresh_url(folder.path());
    let mut program = support::program::Twinmgr::start_in(folder, broker.port(), &url, &[]);
    let complaint = format!("broker 127.0.0.1:{} is not reached", broker.port());
    wait_for("a complaint", PATIENCE, || program.output().contains(&complaint).then_some(()));
    broker.run();
    program.ready(&mut Client::connect(broker.port()));
    assert_eq!(program.output().matches(&complaint).count(), 1, "it is said once");
    assert_eq!(program.terminate(), 0);
}
