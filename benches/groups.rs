//! What queries of large groups cost others: `cargo bench --bench groups`.
//!
//! On each database: how long an update takes while queries over 100,000 twins are answered one after the other, and
//! without them, by turns in one run. How long queries and SETs of groups take themselves is measured by `benches/load`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    missing_docs,
    reason = "a benchmark fails by panicking"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{
    client::Client,
    database::{Database, Direct},
    site::{PATIENCE, Site},
};

fn main() {
    for (name, database) in [("SQLite", Database::Sqlite), ("MariaDB", Database::mariadb())] {
        println!("{name}");
        beside(&database);
    }
}

/// A manager whose database has so many twins of five members, all in one group.
fn site(database: &Database, members: usize) -> Site {
    let site = Site::start(database, &[]);
    let mut direct = Direct::to(&site.url);
    let ids: Vec<String> = (0..members).map(|number| format!("thing{number:06}")).collect();
    direct.join("all", &ids);
    for (chunk, ids) in ids.chunks(1000).enumerate() {
        let row = |(at, id): (usize, &String)| {
            let number = chunk * 1000 + at;
            let reported = json!({
                "trn": 1, "temp": number % 100, "name": format!("number {number}"), "on": true,
                "net": {"ip": "10.0.0.7", "rssi": -60},
            });
            let meta = json!({
                "timestamp": 1, "trn": 1, "temp": 1, "name": 1, "on": 1, "net": {"ip": 1, "rssi": 1},
            });
            format!("('{id}', '{reported}', '{meta}', '{{}}', 0, 1)")
        };
        let rows: Vec<_> = ids.iter().enumerate().map(row).collect();
        let columns = "clientId, reported, reportedMeta, desired, unsettled, version";
        let sql = format!("INSERT INTO twin ({columns}) VALUES {}", rows.join(", "));
        direct.execute(&sql, &sql);
    }
    site
}

/// Finds one in ten, and tells two values of it.
fn question() -> Value {
    json!({
        "select": ["clientId", "reported.temp"],
        "where": {"column": "reported.temp", "op": ">=", "value": 90},
    })
}

fn beside(database: &Database) {
    const ROUNDS: usize = 4;
    let mut site = site(database, 100_000);
    let port = site.broker.port();
    let (mut quiet, mut beside, mut answered) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        quiet.extend(latencies(&mut site));
        let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let asker = {
            let (stop, answers) = (Arc::clone(&stop), Arc::clone(&answers));
            thread::spawn(move || ask_on(port, &stop, &answers))
        };
        beside.extend(latencies(&mut site));
        stop.store(true, Ordering::Relaxed);
        asker.join().unwrap();
        answered += answers.load(Ordering::Relaxed);
    }
    let ratio =
        percentile(&mut beside, 0.5).as_secs_f64() / percentile(&mut quiet, 0.5).as_secs_f64();
    println!("  an update without queries: {}", shown(&mut quiet));
    println!(
        "  an update beside queries over 100000 twins ({answered} answered): {}",
        shown(&mut beside)
    );
    println!("  p50 beside queries is {ratio:.2} times that without");
}

/// Asks a large group one query after the other.
fn ask_on(port: u16, stop: &AtomicBool, answers: &AtomicUsize) {
    let mut client = Client::connect(port);
    client.subscribe(&["GRP/all/TWIN/RES"]);
    while !stop.load(Ordering::Relaxed) {
        client.send("GRP/all/TWIN/GET", question().to_string());
        client.expect("GRP/all/TWIN/RES", PATIENCE * 3);
        answers.fetch_add(1, Ordering::Relaxed);
    }
}

/// How long each of some updates takes, from the report to TWIN/UPD, for two seconds.
fn latencies(site: &mut Site) -> Vec<Duration> {
    let mut client = Client::connect(site.broker.port());
    client.subscribe(&["TNG/+/TWIN/UPD"]);
    let begin = Instant::now();
    let mut times = Vec::new();
    for number in 0_u64.. {
        if begin.elapsed() > Duration::from_secs(2) {
            break;
        }
        let id = number % 10;
        let from = Instant::now();
        client
            .send(&format!("TNG/calm{id}/STATE/UPD"), json!({"delta": {"n": number}}).to_string());
        client.expect(&format!("TNG/calm{id}/TWIN/UPD"), PATIENCE);
        times.push(from.elapsed());
    }
    times
}

fn percentile(times: &mut [Duration], part: f64) -> Duration {
    times.sort();
    times[((times.len() - 1) as f64 * part) as usize]
}

fn shown(times: &mut [Duration]) -> String {
    let each = [0.5, 0.95, 0.99, 1.0].map(|part| percentile(times, part).as_secs_f64() * 1e3);
    let [p50, p95, p99, most] = each;
    format!(
        "p50 {p50:.2} ms, p95 {p95:.2} ms, p99 {p99:.2} ms, at most {most:.1} ms of {}",
        times.len()
    )
}
