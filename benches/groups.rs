//! What groups cost: `cargo bench --bench groups`.
//!
//! On each database: a query with a condition over 1,000, 10,000 and 100,000 members, beside the time in which the
//! database alone hands over the same rows; a SET over 1,000 and 10,000 members, until its outcome is told; and how
//! long an update of others takes while queries over 100,000 twins are answered one after the other, and without
//! them, by turns in one run.
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

/// How often each query and each SET is timed; the middle one counts.
const TIMES: usize = 7;

fn main() {
    for (name, database) in [("SQLite", Database::Sqlite), ("MariaDB", Database::mariadb())] {
        println!("{name}");
        for members in [1_000, 10_000, 100_000] {
            query(&database, members);
        }
        for members in [1_000, 10_000] {
            set(&database, members);
        }
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

/// The middle one of some times.
fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Finds one in ten, and tells two values of it.
fn question() -> Value {
    json!({
        "select": ["clientId", "reported.temp"],
        "where": {"column": "reported.temp", "op": ">=", "value": 90},
    })
}

fn query(database: &Database, members: usize) {
    let site = site(database, members);
    let mut client = Client::connect(site.broker.port());
    client.subscribe(&["GRP/all/TWIN/RES"]);
    let mut direct = Direct::to(&site.url);
    let (mut queries, mut alone) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let begin = Instant::now();
        client.send("GRP/all/TWIN/GET", question().to_string());
        let answer = client.expect("GRP/all/TWIN/RES", PATIENCE * 3).json();
        queries.push(begin.elapsed());
        assert_eq!(answer["res"].as_array().unwrap().len(), members / 10);
        let begin = Instant::now();
        assert_eq!(direct.documents(), members);
        alone.push(begin.elapsed());
    }
    let (query, alone) = (middle(queries), middle(alone));
    println!(
        "  query over {members:>7} members: {:>8.1} ms; the database alone hands over the rows in {:>7.1} ms: {:.1} times",
        query.as_secs_f64() * 1e3,
        alone.as_secs_f64() * 1e3,
        query.as_secs_f64() / alone.as_secs_f64(),
    );
}

fn set(database: &Database, members: usize) {
    let mut site = site(database, members);
    let mut times = Vec::new();
    for round in 0..TIMES {
        let begin = Instant::now();
        site.client.send("GRP/all/TWIN/SET", json!({"set": {"n": round}, "query": 1}).to_string());
        let answer =
            site.client.drain_until(PATIENCE * 3, |message| message.topic == "GRP/all/TWIN/RES");
        times.push(begin.elapsed());
        let updates = answer.iter().filter(|message| message.topic.ends_with("/TWIN/UPD")).count();
        let outcome = answer.last().unwrap().json();
        assert_eq!(
            (updates, outcome["set"]["changed"].as_array().unwrap().len()),
            (members, members)
        );
    }
    let time = middle(times).as_secs_f64();
    println!(
        "  SET over   {members:>7} members: {:>8.1} ms: {:.0} members in a second",
        time * 1e3,
        members as f64 / time
    );
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
