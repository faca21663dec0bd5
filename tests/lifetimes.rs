//! One database and more than one life of the manager: what was said in one counts in the next.
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

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::{Value, json};
use support::{
    client::Client,
    database::Database,
    on_both_databases,
    site::{PATIENCE, Site, pair, topics},
};

on_both_databases!(
    a_thing_that_comes_back_after_a_restart_gets_its_state_and_what_it_missed_once_each,
    a_thing_that_comes_back_and_is_not_in_memory_gets_its_state_and_what_it_missed_once_each,
    what_is_published_while_no_manager_runs_is_handled_at_the_next_start_in_order,
    whoever_saw_an_update_finds_that_state_after_the_manager_was_killed,
    a_delta_that_was_not_answered_is_sent_again_after_a_restart,
    versions_and_presence_go_on_after_a_restart,
    what_the_broker_took_before_a_sigterm_is_in_the_twins,
    a_sigterm_under_load_loses_nothing_that_the_broker_took,
);

/// A lamp that is known, offline, and asked for light.
fn ask_an_absent_lamp(site: &mut Site) {
    site.report("lamp", &json!({"trn": 1, "on": false, "level": 40}));
    site.say("lamp", "LC/OFF", &json!({"online": 0}));
    site.set("lamp", &json!({"on": true}));
    let said = site.said("lamp");
    assert_eq!(topics(&said), ["TNG/lamp/TWIN/UPD"; 2], "an absent thing is sent nothing");
    assert_eq!((&said[1].1["online"], &said[1].1["version"]), (&json!(false), &json!(2)));
}

/// The lamp comes back, gets what it should and nothing else, and does it.
fn come_back_and_answer(site: &mut Site) {
    site.say("lamp", "LC/ON", &json!({"online": 1}));
    assert_eq!(
        site.said("lamp"),
        [
            pair("TNG/lamp/STATE/SET", json!({"state": {"trn": 1, "on": false, "level": 40}})),
            pair("TNG/lamp/STATE/SET", json!({"delta": {"trn": 2, "on": true}})),
        ]
    );
    site.say("lamp", "STATE/UPD", &json!({"delta": {"trn": 2, "on": true}}));
    let said = site.said("lamp");
    assert_eq!(topics(&said), ["TNG/lamp/TWIN/UPD"]);
    let twin = &said[0].1;
    assert_eq!(twin["desired"], json!({"trn": 2}));
    assert_eq!(twin["reported"], json!({"trn": 2, "on": true, "level": 40}));
    assert_eq!((&twin["version"], &twin["online"]), (&json!(3), &json!(true)));
    site.say("lamp", "LC/ON", &json!({"online": 1}));
    let state = json!({"state": {"trn": 2, "on": true, "level": 40}});
    assert_eq!(site.said("lamp"), [pair("TNG/lamp/STATE/SET", state)], "it is settled");
}

fn a_thing_that_comes_back_after_a_restart_gets_its_state_and_what_it_missed_once_each(
    database: &Database,
) {
    let mut site = Site::start(database, &[]);
    ask_an_absent_lamp(&mut site);
    site.restart();
    assert_eq!(site.quiet(Duration::from_millis(300)), [], "a start alone tells nobody anything");
    come_back_and_answer(&mut site);
}

fn a_thing_that_comes_back_and_is_not_in_memory_gets_its_state_and_what_it_missed_once_each(
    database: &Database,
) {
    let mut site = Site::start(database, &[("TWIN_IDLE", "0")]);
    ask_an_absent_lamp(&mut site);
    site.wait_for_cache(0);
    come_back_and_answer(&mut site);
}

fn what_is_published_while_no_manager_runs_is_handled_at_the_next_start_in_order(
    database: &Database,
) {
    let mut site = Site::start(database, &[]);
    site.end();
    for number in 0..100 {
        for id in ["a", "b"] {
            let report = json!({"delta": {"number": number}});
            site.client.send(&format!("TNG/{id}/STATE/UPD"), report.to_string());
        }
    }
    site.client.flush();
    site.program.start_again();
    site.ready();
    let mut said = site.said("a");
    said.extend(site.said("b"));
    for id in ["a", "b"] {
        let topic = format!("TNG/{id}/TWIN/UPD");
        let of_it = said.iter().filter(|(on, _)| *on == topic).map(|(_, twin)| twin);
        let told: Vec<_> = of_it.map(|t| (&t["version"], &t["reported"]["number"])).collect();
        let wanted: Vec<_> = (0..100).map(|n| (json!(n + 1), json!(n))).collect();
        assert_eq!(told, wanted.iter().map(|(v, n)| (v, n)).collect::<Vec<_>>(), "{id}");
    }
}

fn whoever_saw_an_update_finds_that_state_after_the_manager_was_killed(database: &Database) {
    let mut site = Site::start(database, &[]);
    let mut number = 0;
    for seen_before_the_kill in [1, 7, 40] {
        for _ in 0..100 {
            number += 1;
            site.client.send("TNG/a/STATE/UPD", json!({"delta": {"n": number}}).to_string());
        }
        let mut seen = Value::Null;
        for _ in 0..seen_before_the_kill {
            seen = site.client.expect("TNG/a/TWIN/UPD", PATIENCE).json();
        }
        site.program.kill();
        while let Some(told) = site.client.recv(Duration::from_millis(100)) {
            if told.topic == "TNG/a/TWIN/UPD" {
                seen = told.json();
            }
        }
        site.client.flush();
        site.program.start_again();
        site.ready();
        let twin = site.twin("a");
        for place in ["/version", "/reported/n"] {
            let value = |twin: &Value| twin.pointer(place).unwrap().as_u64().unwrap();
            assert!(value(&twin) >= value(&seen), "{place}: seen {seen}, found {twin}");
        }
    }
}

fn a_delta_that_was_not_answered_is_sent_again_after_a_restart(database: &Database) {
    let mut site = Site::start(database, &[("TWIN_RETRY", "0.5"), ("TWIN_RETRIES", "20")]);
    site.report("lamp", &json!({"trn": 1, "on": false}));
    site.set("lamp", &json!({"on": true}));
    let delta = json!({"delta": {"trn": 2, "on": true}});
    assert_eq!(site.client.expect("TNG/lamp/STATE/SET", PATIENCE).json(), delta);
    site.end();
    site.client.quiet(Duration::ZERO);
    site.program.start_again();
    assert_eq!(site.client.expect("TNG/lamp/STATE/SET", PATIENCE).json(), delta);
    site.say("lamp", "STATE/UPD", &delta);
    let twin = site.twin("lamp");
    assert_eq!((&twin["desired"], &twin["version"]), (&json!({"trn": 2}), &json!(3)));
    assert_eq!(site.quiet(Duration::from_millis(1200)), [], "a settled thing is left alone");
}

fn versions_and_presence_go_on_after_a_restart(database: &Database) {
    let mut site = Site::start(database, &[]);
    for id in ["here", "gone"] {
        site.report(id, &json!({"n": 1}));
    }
    site.say("gone", "LC/OFF", &json!({"online": 0}));
    let before = [site.twin("here"), site.twin("gone")];
    assert_eq!((&before[0]["online"], &before[1]["online"]), (&json!(true), &json!(false)));
    site.restart();
    assert_eq!([site.twin("here"), site.twin("gone")], before);
    for id in ["here", "gone"] {
        site.set(id, &json!({"n": 2}));
        assert_eq!(site.twin(id)["version"], 2);
    }
    site.restart();
    for id in ["here", "gone"] {
        site.report(id, &json!({"n": 3}));
        assert_eq!(site.twin(id)["version"], 3);
    }
    assert_eq!(site.own_state()["things"], 2);
}

/// How many things report in the tests under load.
const THINGS: usize = 20;

/// A report of one of them, with a number that only rises.
fn report(number: usize) -> (String, String) {
    let id = number % THINGS;
    (format!("TNG/t{id}/STATE/UPD"), json!({"delta": {"n": number}}).to_string())
}

/// What each thing reports now.
fn last_numbers(site: &mut Site) -> Vec<usize> {
    let mut number = |id| site.twin(&format!("t{id}"))["reported"]["n"].as_u64().unwrap();
    (0..THINGS).map(|id| usize::try_from(number(id)).unwrap()).collect()
}

fn what_the_broker_took_before_a_sigterm_is_in_the_twins(database: &Database) {
    const REPORTS: usize = 2000;
    let mut site = Site::start(database, &[]);
    for number in 0..REPORTS {
        let (topic, payload) = report(number);
        site.client.send(&topic, payload);
    }
    site.client.flush();
    site.restart();
    assert_eq!(last_numbers(&mut site), (REPORTS - THINGS..REPORTS).collect::<Vec<_>>());
}

fn a_sigterm_under_load_loses_nothing_that_the_broker_took(database: &Database) {
    let mut site = Site::start(database, &[]);
    let mut number = 0;
    for _ in 0..3 {
        let (stop, reporting) = keep_reporting(site.broker.port(), number);
        // The load is on when its first report is told.
        site.client.expect(&format!("TNG/t{}/TWIN/UPD", number % THINGS), PATIENCE);
        site.end();
        stop.store(true, Ordering::Relaxed);
        number = reporting.join().unwrap();
        let told = told_last(&mut site);
        site.program.start_again();
        site.ready();
        let mut now = last_numbers(&mut site);
        for (now, told) in now.iter().zip(told) {
            assert!(*now >= told, "told {told}, and found {now}");
        }
        now.sort_unstable();
        assert_eq!(now, (number - THINGS..number).collect::<Vec<_>>());
    }
}

/// Reports on and on from this number, until it is stopped; gives the number after the last that the
/// broker took.
fn keep_reporting(port: u16, from: usize) -> (Arc<AtomicBool>, JoinHandle<usize>) {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let reporting = thread::spawn(move || {
        let mut things = Client::connect(port);
        let mut number = from;
        while !stopped.load(Ordering::Relaxed) || number < from + THINGS {
            let (topic, payload) = report(number);
            things.publish(&topic, payload);
            number += 1;
        }
        number
    });
    (stop, reporting)
}

/// The last number that was told of each thing.
fn told_last(site: &mut Site) -> Vec<usize> {
    let mut told = vec![0; THINGS];
    for message in site.client.quiet(Duration::ZERO) {
        if message.topic.ends_with("/TWIN/UPD") {
            let number = message.json()["reported"]["n"].as_u64().unwrap();
            let number = usize::try_from(number).unwrap();
            told[number % THINGS] = number;
        }
    }
    told
}
