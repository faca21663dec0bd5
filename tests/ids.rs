//! Ids as people give them: each is a thing of its own, and an invalid one is nobody.
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

use std::{thread, time::Duration};

use serde_json::{Value, json};
use support::{
    client::Client,
    database::Database,
    on_both_databases,
    site::{PATIENCE, Site, pair},
};

on_both_databases!(
    ids_that_differ_in_case_or_accents_are_different_twins,
    unusual_ids_survive_a_restart_with_what_they_are_and_what_they_missed,
    an_invalid_id_is_nobody_and_costs_nothing,
);

/// Alike to a collation that folds case, accents, widths or spaces, and yet different.
const ALIKE: &[&str] = &[
    "lamp",
    "Lamp",
    "LAMP",
    "lamp\u{a0}x",
    "lamp x",
    "lampx",
    "e",
    "E",
    "\u{e9}",
    "e\u{301}",
    "\u{c9}",
    "ss",
    "\u{df}",
    "\u{1e9e}",
    "i",
    "I",
    "\u{131}",
    "\u{130}",
    "\u{ff4c}amp",
    "\u{3c3}",
    "\u{3c2}",
    "\u{212b}",
    "\u{c5}",
    "a\u{200b}",
    "a",
    "\u{1f600}",
    "\u{1f601}",
];

/// Ids that break what does not quote, count or escape them.
fn unusual() -> Vec<String> {
    let mut ids = vec!["x".repeat(80), "\u{e9}".repeat(40), "\u{1f680}".repeat(20)];
    ids.extend(
        [
            "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
            "100%",
            "%",
            "%s",
            "%s%n%d",
            "%27",
            "_",
            "'",
            "''",
            "\"",
            "`",
            "\\",
            "\\'",
            "\\\\",
            ";",
            "--",
            "-- ",
            "/*",
            "'; DROP TABLE twin; --",
            "\" OR \"\"=\"",
            "$all",
            "$SYS",
            "${x}",
            "{}",
            "?",
            ":id",
            "@x",
            "a b  c",
            "null",
            "NULL",
            "0",
            "-1",
            "1e9",
            ".",
            "..",
            "*",
            "!\"$%&'()*,-.:;<=>?@[\\]^_`{|}~",
        ]
        .iter()
        .filter(|id| !id.contains('/') && !id.ends_with(' '))
        .map(|id| (*id).to_owned()),
    );
    ids
}

/// Each thing reports its place in the list, after all of them have been spoken for at once.
fn report_places<'a>(site: &mut Site, ids: impl Iterator<Item = &'a str> + Clone) {
    for (place, id) in ids.enumerate() {
        let report = json!({"state": {"trn": 1, "place": place}}).to_string();
        site.client.send(&format!("TNG/{id}/STATE/UPD"), report);
    }
    site.client.flush();
}

/// The twin, without the pause in which nothing else may come.
fn twin(site: &mut Site, id: &str) -> Value {
    let topic = format!("TNG/{id}/TWIN/UPD");
    site.client.quiet(Duration::ZERO);
    site.client.publish(&format!("TNG/{id}/TWIN/GET"), "");
    site.client.expect(&topic, PATIENCE).json()
}

fn ids_that_differ_in_case_or_accents_are_different_twins(database: &Database) {
    let mut site = Site::start(database, &[]);
    report_places(&mut site, ALIKE.iter().copied());
    for (place, id) in ALIKE.iter().enumerate() {
        let told = site.client.expect(&format!("TNG/{id}/TWIN/UPD"), PATIENCE).json();
        assert_eq!(told["reported"], json!({"trn": 1, "place": place}), "{id:?}");
    }
    site.restart();
    for (place, id) in ALIKE.iter().enumerate() {
        let found = twin(&mut site, id);
        assert_eq!(found["reported"], json!({"trn": 1, "place": place}), "{id:?}");
        assert_eq!(found["version"], 1, "{id:?}");
    }
    assert_eq!(site.own_state()["things"], ALIKE.len());
    site.say("LAMP", "TWIN/DEL", &json!({}));
    site.client.expect("TNG/LAMP/TWIN/RES", PATIENCE);
    assert_eq!(twin(&mut site, "LAMP")["version"], 0);
    assert_eq!(twin(&mut site, "lamp")["reported"]["place"], 0);
}

fn unusual_ids_survive_a_restart_with_what_they_are_and_what_they_missed(database: &Database) {
    let mut site = Site::start(database, &[]);
    let ids = unusual();
    report_places(&mut site, ids.iter().map(String::as_str));
    for id in &ids {
        site.client.send(&format!("TNG/{id}/LC/OFF"), "");
        site.client.send(&format!("TNG/{id}/TWIN/SET"), json!({"set": {"id": id}}).to_string());
    }
    site.client.flush();
    let before: Vec<_> = ids
        .iter()
        .map(|id| site.client.take(PATIENCE, |told| is_asked(told, id)).unwrap().json())
        .collect();
    site.restart();
    assert_eq!(site.own_state()["things"], ids.len());
    for (place, (id, before)) in ids.iter().zip(before).enumerate() {
        assert_eq!(twin(&mut site, id), before, "{id:?}");
        site.client.publish(&format!("TNG/{id}/LC/ON"), "");
        let topic = format!("TNG/{id}/STATE/SET");
        let sent = [(); 2].map(|()| site.client.expect(&topic, PATIENCE).json());
        let state = json!({"state": {"trn": 1, "place": place}});
        assert_eq!(sent, [state, json!({"delta": {"trn": 2, "id": id}})], "{id:?}");
    }
    assert_eq!(site.quiet(Duration::from_millis(200)), []);
}

/// Whether this tells of a thing after it was asked for its id.
fn is_asked(told: &support::client::Message, id: &str) -> bool {
    told.topic == format!("TNG/{id}/TWIN/UPD") && told.json()["version"] == 2
}

fn an_invalid_id_is_nobody_and_costs_nothing(database: &Database) {
    let mut site = Site::start(database, &[]);
    let mut listener = Client::connect(site.broker.port());
    let told = ["TWIN/UPD", "TWIN/RES", "STATE/SET", "STATE/GET"];
    listener.subscribe(&told.map(|levels| format!("TNG/+/{levels}")).each_ref().map(|f| &**f));
    let long = ["x".repeat(81), "\u{e9}".repeat(41), "\u{1f680}".repeat(21)];
    let others = ["", " ", " x", "x ", "\u{1}x", "x\ty", "x\ny", "\u{7f}", "\u{85}x", "\u{feff}\0"];
    for id in long.iter().map(String::as_str).chain(others) {
        for (levels, payload) in [
            ("STATE/UPD", r#"{"state":{"n":1}}"#),
            ("TWIN/SET", r#"{"set":{"n":1}}"#),
            ("TWIN/GET", "{}"),
            ("TWIN/DEL", "{}"),
            ("LC/ON", ""),
        ] {
            attempt(site.broker.port(), &format!("TNG/{id}/{levels}"), payload);
        }
    }
    assert!(site.client.ping("mgr", PATIENCE));
    assert_eq!(listener.quiet(Duration::from_millis(300)), [], "nobody is spoken to");
    site.client.quiet(Duration::ZERO);
    assert_eq!(site.own_state()["things"], 0);
    site.report("x", &json!({"n": 1}));
    let told = site.said("x");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0], pair("TNG/x/TWIN/UPD", twin(&mut site, "x")));
}

/// Publishes under an id that the broker may refuse: then this connection ends, and no harm is done.
fn attempt(port: u16, topic: &str, payload: &str) {
    let (topic, payload) = (topic.to_owned(), payload.to_owned());
    let publishing = thread::spawn(move || Client::connect(port).publish(&topic, payload));
    publishing.join().ok();
}
