//! How much longer others wait while one thing floods: `cargo bench --bench flood`.
//!
//! Updates of ten things, one at a time, are timed from their report to TWIN/UPD, with and without a thing beside
//! them that reports some 2000 times in a second and may do so 100 times. Both are timed by turns, in one run.
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

use serde_json::json;
use support::{
    client::Client,
    database::Database,
    site::{PATIENCE, Site},
    wait_for,
};

/// Prints how long others wait beside a flood, and without one, by turns in one run.
fn main() {
    const ROUNDS: usize = 4;
    let mut site = Site::start(&Database::Sqlite, &[("TWIN_THING_RATE", "100")]);
    let port = site.broker.port();
    let (mut quiet, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        quiet.extend(latencies(&mut site));
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let flood = {
            let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
            thread::spawn(move || flood(port, &stop, &sent))
        };
        // What may come at once is over.
        wait_for("the flood", PATIENCE, || (sent.load(Ordering::Relaxed) > 1500).then_some(()));
        beside.extend(latencies(&mut site));
        stop.store(true, Ordering::Relaxed);
        flood.join().unwrap();
        site.twin("flood");
    }
    let ratio =
        percentile(&mut beside, 0.99).as_secs_f64() / percentile(&mut quiet, 0.99).as_secs_f64();
    println!("an update of others without a flood: {}", shown(&mut quiet));
    println!("an update of others beside a flood:  {}", shown(&mut beside));
    println!("p99 beside a flood is {ratio:.2} times that without");
}

/// One thing reports on and on, some 2000 times in a second: 20 at once, and then nothing for 10 ms.
fn flood(port: u16, stop: &AtomicBool, sent: &AtomicUsize) {
    let mut client = Client::connect(port);
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..20 {
            let number = sent.fetch_add(1, Ordering::Relaxed);
            client.send("TNG/flood/STATE/UPD", json!({"delta": {"n": number}}).to_string());
        }
        client.quiet(Duration::from_millis(10));
        client.flush();
    }
}

/// How long each of some updates of other things takes, from the report to TWIN/UPD.
fn latencies(site: &mut Site) -> Vec<Duration> {
    let mut client = Client::connect(site.broker.port());
    client.subscribe(&["TNG/+/TWIN/UPD"]);
    let wanted = |id: usize| format!("TNG/calm{id}/TWIN/UPD");
    let update = |client: &mut Client, id: usize, number: u64| {
        let from = Instant::now();
        let report = json!({"delta": {"n": number}}).to_string();
        client.send(&format!("TNG/calm{id}/STATE/UPD"), report);
        client.expect(&wanted(id), PATIENCE);
        from.elapsed()
    };
    (0..300).map(|turn| update(&mut client, turn % 10, fastrand::u64(..1 << 50))).collect()
}

fn percentile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * share) as usize]
}

fn shown(times: &mut [Duration]) -> String {
    let [middle, late] = [0.5, 0.99].map(|share| percentile(times, share).as_secs_f64() * 1e3);
    format!("p50 {middle:.1} ms, p99 {late:.1} ms")
}
