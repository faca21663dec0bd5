//! Ten thousand things at once: all are heard, all are given back what they were and what they missed.
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
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{
    client::{Client, Message},
    database::Database,
    on_both_databases,
    site::Site,
    tell::tell,
    wait_for,
};

on_both_databases!(ten_thousand_things_report_and_are_restored);

/// How many things there are.
const THINGS: usize = 10_000;
/// How many connections speak for them.
const CONNECTIONS: usize = 4;
/// How many messages of a connection the broker may not have acknowledged.
const IN_FLIGHT: usize = 100;
/// The longest wait for all that one step brings.
const PATIENCE: Duration = Duration::from_secs(60);

/// Only one at a time: its figures are printed.
static ALONE: Mutex<()> = Mutex::new(());

fn ten_thousand_things_report_and_are_restored(database: &Database) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut site = Site::start(database, &[]);
    let (name, before) = (name(database), site.program.memory_kib());
    let from = Instant::now();
    speak(&site, |id| vec![("STATE/UPD", json!({"state": {"trn": 1, "place": id}}))]);
    let updates = collect(&mut site, THINGS, |message| message.topic.ends_with("/TWIN/UPD"));
    let time = from.elapsed();
    for (id, updates) in updates.iter().enumerate() {
        assert_eq!(updates.len(), 1, "of thing {id}");
        assert_eq!(updates[0].1["reported"], json!({"trn": 1, "place": id}));
        assert_eq!(updates[0].1["version"], 1);
    }
    wait_for("all rows", PATIENCE, || (site.own_state()["things"] == THINGS).then_some(()));
    let after = site.program.memory_kib();
    tell(&format!(
        "{name}: {THINGS} things report once in {:.2} s: {:.0} updates/s; {before} KiB of memory before, {} more after",
        time.as_secs_f64(),
        THINGS as f64 / time.as_secs_f64(),
        after.saturating_sub(before),
    ));
    restore_all(&mut site, name);
}

fn name(database: &Database) -> &'static str {
    match database {
        Database::Sqlite => "SQLite",
        Database::MariaDb(_) | Database::SharedMariaDb => "MariaDB",
    }
}

/// All go, are asked for something, and come back at once.
fn restore_all(site: &mut Site, name: &str) {
    speak(site, |id| {
        vec![("LC/OFF", json!({"online": 0})), ("TWIN/SET", json!({"set": {"wish": id}}))]
    });
    collect(site, THINGS, |message| message.topic.ends_with("/TWIN/UPD"));
    let from = Instant::now();
    speak(site, |_| vec![("LC/ON", json!({"online": 1}))]);
    let sent = collect(site, 2 * THINGS, |message| message.topic.ends_with("/STATE/SET"));
    let time = from.elapsed();
    for (id, sent) in sent.into_iter().enumerate() {
        let sent: Vec<_> = sent.into_iter().map(|(_, payload)| payload).collect();
        let state = json!({"state": {"trn": 1, "place": id}});
        assert_eq!(sent, [state, json!({"delta": {"trn": 2, "wish": id}})], "thing {id}");
    }
    tell(&format!(
        "{name}: {THINGS} things are restored in {:.2} s: {:.0}/s; {} KiB of memory",
        time.as_secs_f64(),
        THINGS as f64 / time.as_secs_f64(),
        site.program.memory_kib(),
    ));
    let rest = site.quiet(Duration::from_millis(500));
    let rest: Vec<_> = rest.iter().filter(|(topic, _)| !topic.contains("/LC/")).collect();
    assert!(rest.is_empty(), "{rest:?}");
}

/// Has every thing say this, over a few connections.
fn speak(site: &Site, what: impl Fn(usize) -> Vec<(&'static str, Value)> + Copy + Send + Sync) {
    let port = site.broker.port();
    thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            scope.spawn(move || {
                let mut client = Client::connect(port);
                for id in (connection..THINGS).step_by(CONNECTIONS) {
                    for (levels, payload) in what(id) {
                        client.send(&format!("TNG/n{id}/{levels}"), payload.to_string());
                    }
                    client.flush_to(IN_FLIGHT);
                }
                client.flush();
            });
        }
    });
}

/// So many messages of a kind, sorted by thing.
fn collect(
    site: &mut Site,
    count: usize,
    is_wanted: impl Fn(&Message) -> bool,
) -> Vec<Vec<(String, Value)>> {
    let mut sorted = vec![Vec::new(); THINGS];
    let deadline = Instant::now() + PATIENCE;
    for seen in 0..count {
        let message = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = site.client.recv(left);
            let message = message.unwrap_or_else(|| panic!("{seen} of {count} in {PATIENCE:?}"));
            if is_wanted(&message) {
                break message;
            }
        };
        let id = message.topic.split('/').nth(1).unwrap().trim_start_matches('n');
        let id: usize = id.parse().unwrap();
        sorted[id].push((message.topic.clone(), message.json()));
    }
    sorted
}
