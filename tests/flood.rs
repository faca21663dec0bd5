//! A thing that reports without pause, and two clients that go by one id.
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

use serde_json::json;
use support::{
    database::Database,
    on_both_databases,
    site::{PATIENCE, Site},
    wait_for,
};

on_both_databases!(a_flood_is_merged_and_nothing_of_it_is_lost);

/// How many reports a flood has.
const FLOOD: usize = 5000;

fn a_flood_is_merged_and_nothing_of_it_is_lost(database: &Database) {
    let mut site = Site::start(database, &[("TWIN_THING_RATE", "50"), ("TWIN_STATS", "1")]);
    for number in 0..FLOOD {
        let report = json!({"delta": {"n": number, format!("m{}", number % 5): number}});
        site.client.send("TNG/flood/STATE/UPD", report.to_string());
        site.client.flush_to(500);
    }
    site.client.flush();
    let last = wait_for("the last report", PATIENCE, || {
        let twin = site.client.take(PATIENCE, |message| message.topic == "TNG/flood/TWIN/UPD");
        let twin = twin.expect("a twin that is told").json();
        (twin["reported"]["n"] == FLOOD - 1).then_some(twin)
    });
    for member in 0..5 {
        assert_eq!(last["reported"][format!("m{member}")], FLOOD - 5 + member);
    }
    let version = last["version"].as_u64().unwrap();
    assert!(version < FLOOD as u64 / 2, "{version} versions");
    let merged = wait_for("the counters", PATIENCE, || {
        let stats = site.client.expect("TNG/mgr/TPC/STATS", PATIENCE).json();
        (stats["inbox_entries"] == 0).then(|| stats["merged"].as_u64().unwrap())
    });
    assert_eq!(merged + version, FLOOD as u64, "each report is merged or has a version");
    let output = site.program.output();
    let line = output.lines().find(|line| line.contains(" merged, ")).expect("a line of counters");
    assert!(line.contains(" INFO ") && line.contains(" committed in "), "{line}");
    site.program.kill();
    site.program.start_again();
    site.ready();
    assert_eq!(site.twin("flood")["version"], version);
}

#[test]
fn two_clients_with_one_id_are_warned_about_once() {
    let mut site = Site::start(&Database::Sqlite, &[]);
    for _ in 0..10 {
        site.say("twice", "LC/OFF", &json!({"online": 0}));
        site.say("twice", "LC/ON", &json!({"online": 1}));
        site.say("double", "STATE/UPD", &json!({"delta": {"trn": 7, "on": true}}));
        site.say("double", "STATE/UPD", &json!({"delta": {"trn": 3, "on": false}}));
        site.say("alone", "STATE/UPD", &json!({"delta": {"trn": 3, "on": false}}));
    }
    site.twin("double");
    site.twin("twice");
    let output = site.program.output();
    let warnings: Vec<_> = output.lines().filter(|line| line.contains(" WARN ")).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].ends_with(
        "double: it reports under trn 7 and 3 by turns: two clients report under this id"
    ));
    assert!(warnings[1].ends_with(
        "twice: it has come 5 times within a minute: two clients with this id push each other off the broker, or its link is bad"
    ));
}
