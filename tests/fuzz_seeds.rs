//! What the fuzz targets check holds for their seeds, without a fuzzer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

#[path = "../fuzz/properties/inbox_entry.rs"]
mod inbox_entry;
#[path = "../fuzz/properties/payload/mod.rs"]
mod payload;
#[path = "../fuzz/properties/query.rs"]
mod query;
#[path = "../fuzz/properties/topic.rs"]
mod topic;

use std::{fs, path::Path};

/// The most seeds of a target, and the most bytes of one: what a fuzzer makes of them is not kept.
const MOST_SEEDS: usize = 30;
const MOST_BYTES: usize = 1024;

#[test]
fn every_seed_of_topic_keeps_the_rules() {
    let (taken, refused): (Vec<_>, Vec<_>) =
        each_seed("topic", topic::check).into_iter().partition(|(_, readings)| *readings > 0);
    assert!(taken.len() >= 10 && refused.len() >= 5, "{taken:?} {refused:?}");
}

#[test]
fn every_seed_of_payload_keeps_the_rules_and_reaches_a_twin() {
    for (name, events) in each_seed("payload", payload::check) {
        assert!(events > 0, "{name} reaches no twin");
    }
}

#[test]
fn every_seed_of_query_keeps_the_rules() {
    let seeds = each_seed("query", query::check);
    let counts =
        [Some(1), Some(0), None].map(|found| seeds.iter().filter(|(_, own)| *own == found).count());
    assert!(counts.iter().all(|count| *count >= 3), "found, not found, and wrong: {counts:?}");
}

#[test]
fn every_seed_of_inbox_entry_keeps_the_rules() {
    let read: usize =
        each_seed("inbox_entry", inbox_entry::check).into_iter().map(|(_, read)| read).sum();
    // A whole file has five, and so has one that lost a head; one that lost an entry has four.
    assert!(read >= 15, "{read} entries are read");
}

/// Each seed's name, and what the check says of it.
fn each_seed<T>(target: &str, check: fn(&[u8]) -> T) -> Vec<(String, T)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!((1..=MOST_SEEDS).contains(&files.len()), "{} seeds", files.len());
    let checked = files.iter().map(|file| {
        let (name, seed) = (file.display().to_string(), fs::read(file).unwrap());
        assert!(seed.len() <= MOST_BYTES, "{name} has {} bytes", seed.len());
        println!("{name}");
        (name, check(&seed))
    });
    checked.collect()
}
