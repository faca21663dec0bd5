//! The disk has no more room: under the database, or under the inbox.

use std::time::{Duration, Instant};

use crate::support::{
    broker::Broker,
    database::sqlite_url,
    load::Load,
    program::Twinmgr,
    site::{PATIENCE, Site},
    tmpfs, wait_for,
};

/// How much more memory the manager may take while there is no room.
const MORE_KIB: u64 = 50_000;

#[test]
fn a_full_disk_under_the_database_is_waited_for_and_costs_no_update() {
    let (folder, broker) = (tempfile::tempdir().unwrap(), Broker::start());
    let disk = folder.path().join("database");
    let (url, starter) = (sqlite_url(&disk), tmpfs::command(&disk, 8));
    let program = Twinmgr::start_by(starter, folder, broker.port(), &url, &[]);
    let mut load = Load::on(Site::of(broker, program, url));
    load.pad(2000);
    load.run(100);
    load.listen(Duration::from_millis(300));
    tmpfs::fill(&load.site.program, &disk);
    // What it has of room in its own file it uses first.
    wait_for("a GET to be refused", PATIENCE * 2, || {
        load.run(20);
        tmpfs::fill(&load.site.program, &disk);
        load.is_refused("idle").then_some(())
    });
    let (since, committed_at_most) = (Instant::now(), load.last());
    while since.elapsed() < Duration::from_secs(4) {
        load.run(20);
        load.expect_refusals();
    }
    assert!(load.told_above(committed_at_most).is_empty(), "told and not committed");
    tmpfs::make_room(&load.site.program, &disk);
    load.recover("a full disk under SQLite", Instant::now());
    load.run(100);
    load.check_all();
    let output = load.site.program.output();
    assert_eq!(output.matches(" is away, and is tried again: ").count(), 1, "{output}");
}

#[test]
fn a_full_disk_under_the_inbox_leaves_the_rest_with_the_broker_and_costs_no_update() {
    let (folder, broker) = (tempfile::tempdir().unwrap(), Broker::start());
    let disk = folder.path().join("data");
    let (url, starter) = (sqlite_url(&folder.path().join("database")), tmpfs::command(&disk, 16));
    // So much that 4 MiB are kept free for it.
    let settings = [("TWIN_INBOX_BYTES", "67108864")];
    let program = Twinmgr::start_by(starter, folder, broker.port(), &url, &settings);
    let mut load = Load::on(Site::of(broker, program, url));
    load.run(100);
    load.listen(Duration::from_millis(300));
    let before = load.site.program.memory_kib();
    tmpfs::fill(&load.site.program, &disk);
    // Each takes more than what a page of the file has left.
    load.pad(10_000);
    let line = ": disconnected until the inbox has room, and the broker keeps what comes: No space left on device (os error 28)";
    let said = |load: &Load| load.site.program.output().matches(line).count();
    wait_for("the manager to leave", PATIENCE, || {
        load.run(5);
        (said(&load) > 0).then_some(())
    });
    let last = load.last();
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(4) {
        load.go_on();
    }
    load.site.client.flush();
    assert!(load.told_above(last + 50).is_empty(), "it is not there to hear them");
    assert!(!load.site.client.ping("mgr", Duration::from_millis(100)));
    let more = load.site.program.memory_kib().saturating_sub(before);
    assert!(more < MORE_KIB, "{more} KiB more than the {before} before");
    tmpfs::make_room(&load.site.program, &disk);
    load.recover("a full disk under the inbox", Instant::now());
    load.run(50);
    load.site.ready();
    load.check_all_with_repeats();
    assert_eq!(said(&load), 1);
}
