//! The manager is killed: whatever the broker counts as delivered is done, once, and told.
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

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, json};
use support::{
    client::Client,
    database::Database,
    mariadb::MariaDb,
    on_both_databases,
    site::{PATIENCE, Site, topics},
    wait_for,
};

on_both_databases!(
    what_the_broker_counts_as_delivered_survives_kill_after_kill,
    each_message_counts_once_however_often_the_manager_is_killed_over_it,
    a_delta_without_an_answer_is_told_at_most_again_under_its_trn_after_a_kill,
    a_deletion_outlives_a_kill_and_nothing_before_it_comes_back,
);

/// How many things report and are asked.
const THINGS: usize = 20;

/// Waits until the broker holds nothing more for the manager: what it said so far is the manager's.
fn wait_until_delivered(site: &mut Site) {
    site.client.flush();
    site.program.ready(&mut Client::connect(site.broker.port()));
}

/// Reports and SETs with rising numbers, all taken by the broker.
fn say_much(site: &mut Site, from: usize, count: usize) {
    for number in from..from + count {
        let id = number % THINGS;
        let report = json!({"delta": {"said": number}}).to_string();
        site.client.send(&format!("TNG/t{id}/STATE/UPD"), report);
        let set = json!({"set": {"asked": number}}).to_string();
        site.client.send(&format!("TNG/t{id}/TWIN/SET"), set);
    }
}

fn what_the_broker_counts_as_delivered_survives_kill_after_kill(database: &Database) {
    const EACH: usize = 400;
    let mut site = Site::start(database, &[("TWIN_RETRY", "1000")]);
    let mut number = 0;
    for round in 0..5 {
        say_much(&mut site, number, EACH);
        number += EACH;
        // Killed at another point each time: from before the first update to in the middle of them.
        for _ in 0..round * 60 {
            site.client.take(PATIENCE, |message| message.topic.ends_with("/TWIN/UPD")).unwrap();
        }
        site.program.kill();
        site.client.flush();
        site.program.start_again();
        site.ready();
    }
    for id in 0..THINGS {
        let last = number - THINGS + id;
        let twin = site.twin(&format!("t{id}"));
        assert_eq!(twin["reported"]["said"], last, "t{id}: {twin}");
        assert_eq!(twin["desired"]["asked"], last, "t{id}: {twin}");
    }
}

fn each_message_counts_once_however_often_the_manager_is_killed_over_it(database: &Database) {
    const REPORTS: usize = 200;
    let mut site = Site::start(database, &[]);
    for number in 0..REPORTS {
        let report = json!({"delta": {"n": number}}).to_string();
        site.client.send("TNG/a/STATE/UPD", report);
        if number % 40 == 39 {
            site.client.flush();
            site.program.kill();
            site.program.start_again();
            site.ready();
        }
    }
    let twin = site.twin("a");
    assert_eq!((&twin["version"], &twin["reported"]["n"]), (&json!(REPORTS), &json!(REPORTS - 1)));
    let mut seen = HashMap::new();
    for message in site.client.quiet(Duration::ZERO) {
        if message.topic == "TNG/a/TWIN/UPD" {
            let twin = message.json();
            let version = twin["version"].as_u64().unwrap();
            let before = seen.entry(version).or_insert_with(|| twin.clone());
            assert_eq!(*before, twin, "two twins of one version");
        }
    }
}

fn a_delta_without_an_answer_is_told_at_most_again_under_its_trn_after_a_kill(database: &Database) {
    let mut site = Site::start(database, &[("TWIN_RETRY", "1000")]);
    site.report("lamp", &json!({"trn": 1, "on": false}));
    site.twin("lamp");
    site.set("lamp", &json!({"on": true}));
    site.client.expect("TNG/lamp/STATE/SET", PATIENCE);
    site.program.kill();
    site.program.start_again();
    site.ready();
    let said = site.said("lamp");
    let sets: Vec<_> = said.iter().filter(|(topic, _)| topic.ends_with("STATE/SET")).collect();
    let delta = json!({"delta": {"trn": 2, "on": true}});
    assert!(sets.iter().all(|(_, payload)| *payload == delta), "{said:?}");
    site.say("lamp", "STATE/UPD", &delta);
    let twin = site.twin("lamp");
    assert_eq!((&twin["desired"], &twin["version"]), (&json!({"trn": 2}), &json!(3)));
    site.restart();
    assert_eq!(
        site.quiet(Duration::from_millis(300)),
        [],
        "an end in order leaves nothing to tell"
    );
}

fn a_deletion_outlives_a_kill_and_nothing_before_it_comes_back(database: &Database) {
    let mut site = Site::start(database, &[]);
    for _ in 0..5 {
        site.report("a", &json!({"trn": 1, "on": false}));
        site.set("a", &json!({"on": true}));
        site.say("a", "TWIN/DEL", &json!({"query": "gone"}));
        let answer = site.client.expect("TNG/a/TWIN/RES", PATIENCE).json();
        assert_eq!(answer, json!({"query": "gone", "deleted": true}));
        site.program.kill();
        site.client.quiet(Duration::ZERO);
        site.program.start_again();
        site.ready();
        let said = site.said("a");
        let again: Vec<_> = topics(&said).into_iter().filter(|t| !t.ends_with("/RES")).collect();
        assert!(again.is_empty(), "{said:?}");
        assert_eq!(site.twin("a")["version"], 0);
    }
    assert_eq!(site.own_state()["things"], 0);
}

#[test]
fn what_came_while_the_database_was_away_is_done_after_a_kill() {
    let Database::MariaDb(mut server) = Database::mariadb() else { unreachable!() };
    let url = server.fresh_schema();
    let mut site = Site::start(&Database::Sqlite, &[("TWIN_DB_URL", url.as_str())]);
    site.report("lamp", &json!({"trn": 1, "on": false}));
    site.twin("lamp");
    server.stop();
    site.set("lamp", &json!({"on": true}));
    say_much(&mut site, 0, 100);
    wait_until_delivered(&mut site);
    site.program.kill();
    server.restart();
    site.client.quiet(Duration::ZERO);
    site.program.start_again();
    site.ready();
    let delta = json!({"delta": {"trn": 2, "on": true}});
    assert_eq!(site.client.expect("TNG/lamp/STATE/SET", PATIENCE).json(), delta);
    for id in 0..THINGS {
        let twin = site.twin(&format!("t{id}"));
        assert_eq!(twin["reported"]["said"], 80 + id);
        assert_eq!(twin["desired"]["asked"], 80 + id);
        assert_eq!(twin["version"], 10);
    }
    let output = site.program.output();
    assert!(
        output.contains(" messages were left in the inbox, and are dealt with first"),
        "{output}"
    );
}

/// The client of a response topic gets its answer even if the manager is killed over it.
#[test]
fn a_response_is_given_after_a_kill() {
    let mut server = MariaDb::start();
    let url = server.fresh_schema();
    let mut site = Site::start(&Database::Sqlite, &[("TWIN_DB_URL", url.as_str())]);
    server.stop();
    site.client.request("TNG/a/TWIN/SET", r#"{"set":{"x":1}}"#, "TNG/c/TPC/RES/7", b"mine");
    wait_until_delivered(&mut site);
    site.program.kill();
    server.restart();
    site.program.start_again();
    let answer = site.client.expect("TNG/c/TPC/RES/7", PATIENCE * 2);
    assert_eq!(answer.correlation.as_deref(), Some(&b"mine"[..]));
    assert_eq!(
        (answer.json()["version"].clone(), answer.json()["desired"].clone()),
        (json!(1), json!({"trn": 1, "x": 1}))
    );
}

#[test]
fn an_inbox_in_memory_loses_what_it_says_it_does_and_keeps_what_was_told() {
    let mut server = MariaDb::start();
    let url = server.fresh_schema();
    let settings = [("TWIN_DB_URL", url.as_str()), ("TWIN_INBOX", "memory")];
    let mut site = Site::start(&Database::Sqlite, &settings);
    site.report("a", &json!({"n": 1}));
    assert_eq!(site.twin("a")["version"], 1);
    server.stop();
    site.report("a", &json!({"n": 2}));
    wait_until_delivered(&mut site);
    site.program.kill();
    server.restart();
    assert!(!site.program.folder().join("data/inbox").exists());
    site.program.start_again();
    site.ready();
    assert_eq!(site.twin("a")["reported"], json!({"n": 1}));
}

#[test]
fn flushing_each_message_works_as_well() {
    let mut site = Site::start(&Database::Sqlite, &[("TWIN_INBOX_SYNC", "always")]);
    say_much(&mut site, 0, 50);
    site.client.flush();
    site.program.kill();
    site.program.start_again();
    site.ready();
    assert_eq!(site.twin("t9")["reported"]["said"], 49);
}

/// A torn inbox, as a loss of power leaves it: the manager starts, says what it cut off, and goes on.
#[test]
fn a_torn_inbox_is_cut_and_the_start_goes_on() {
    let mut server = MariaDb::start();
    let url = server.fresh_schema();
    let mut site = Site::start(&Database::Sqlite, &[("TWIN_DB_URL", url.as_str())]);
    server.stop();
    for number in 0..10 {
        site.report("a", &json!({"n": number}));
    }
    wait_until_delivered(&mut site);
    site.program.kill();
    server.restart();
    let file = site.program.folder().join("data/inbox");
    let mut torn = std::fs::read(&file).unwrap();
    let last = torn.windows(7).rposition(|bytes| bytes == b"twinmsg").unwrap();
    torn[last + 100..].fill(0);
    std::fs::write(&file, torn).unwrap();
    site.program.start_again();
    site.ready();
    let twin = wait_for("the ninth report", PATIENCE, || {
        let twin: Value = site.twin("a");
        (twin["reported"]["n"] == 8).then_some(twin)
    });
    assert_eq!(twin["version"], 9);
    let output = site.program.output();
    assert!(output.contains("/data/inbox was damaged: "), "{output}");
    assert!(output.contains(" entries are whole and are gone on with, "), "{output}");
}
