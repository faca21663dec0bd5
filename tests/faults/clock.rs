//! The clock jumps back by an hour, between two lives of the manager and while it runs.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::json;
use twinthing::mqtt::now;

use crate::support::{
    broker::Broker,
    client::Client,
    database::{Database, Direct},
    load::Load,
    on_both_databases,
    program::Twinmgr,
    site::{PATIENCE, Site},
};

on_both_databases!(
    a_clock_that_jumps_back_between_two_lives_makes_nothing_new_pass_for_old,
    a_clock_that_jumps_back_while_the_manager_runs_is_not_minded,
);

/// Has a program read the time from a file of the test's.
fn library() -> String {
    let folders = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let file = |folder: PathBuf| folder.join("faketime/libfaketimeMT.so.1");
    let found = folders.map(file).find(|file| file.exists());
    let found = found.expect("libfaketime must be installed: apt-get install libfaketime");
    found.display().to_string()
}

/// Sets the program's clock to so many seconds beside ours.
fn set_clock(folder: &Path, seconds: i64) {
    let (file, half) = (folder.join("clock"), folder.join("clock.half"));
    fs::write(&half, format!("{seconds:+}s\n")).unwrap();
    fs::rename(half, file).unwrap();
}

/// A load on a manager whose clock can be set, and a lamp that does not answer.
fn start(database: &Database) -> (Load, Client) {
    let (folder, broker) = (tempfile::tempdir().unwrap(), Broker::start());
    set_clock(folder.path(), 0);
    let url = database.fresh_url(folder.path());
    let (library, file) = (library(), folder.path().join("clock").display().to_string());
    let settings = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME_TIMESTAMP_FILE", &file),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DISABLE_SHM", "1"),
        // Timers go by another clock, which does not jump.
        ("DONT_FAKE_MONOTONIC", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("TWIN_RETRY", "0.3"),
        ("TWIN_RETRIES", "30"),
    ];
    let program = Twinmgr::start_in(folder, broker.port(), &url, &settings);
    let mut lamp = Client::connect(broker.port());
    let mut load = Load::on(Site::of(broker, program, url));
    lamp.subscribe(&["TNG/lamp/STATE/SET"]);
    load.site.report("lamp", &json!({"trn": 1, "on": false}));
    load.site.set("lamp", &json!({"on": true}));
    lamp.expect("TNG/lamp/STATE/SET", PATIENCE);
    load.run(100);
    load.listen(Duration::from_millis(300));
    (load, lamp)
}

/// The clock was set, retries go on, and the lamp settles what was asked.
fn check_clock_and_lamp(load: &mut Load, lamp: &mut Client) {
    lamp.quiet(Duration::ZERO);
    let again = lamp.expect("TNG/lamp/STATE/SET", PATIENCE).json();
    assert_eq!(again, json!({"delta": {"trn": 2, "on": true}}));
    load.site.say("lamp", "STATE/UPD", &again);
    let twin = load.ask("lamp");
    assert_eq!((&twin["desired"], &twin["version"]), (&json!({"trn": 2}), &json!(3)));
    let at = twin["reportedMeta"]["on"].as_i64().unwrap();
    let back = Duration::from_nanos((now().0 - at).unsigned_abs());
    assert!((3590..3700).contains(&back.as_secs()), "its clock is {back:?} beside ours");
}

fn a_clock_that_jumps_back_between_two_lives_makes_nothing_new_pass_for_old(database: &Database) {
    let (mut load, mut lamp) = start(database);
    let direct = Direct::to(&load.site.url).hold();
    let last = load.last();
    (0..50).for_each(|_| load.say_on());
    load.site.client.flush();
    load.site.ready();
    load.listen(Duration::from_millis(100));
    assert!(load.told_above(last).is_empty(), "told and not committed");
    load.site.program.kill();
    drop(direct);
    set_clock(load.site.program.folder(), -3600);
    load.site.program.start_again();
    load.recover("a kill, with the clock an hour back", Instant::now());
    load.run(50);
    check_clock_and_lamp(&mut load, &mut lamp);
    load.check_all_with_repeats();
    let output = load.site.program.output();
    assert!(output.contains(" messages were left in the inbox, and are dealt with first"));
}

fn a_clock_that_jumps_back_while_the_manager_runs_is_not_minded(database: &Database) {
    let (mut load, mut lamp) = start(database);
    set_clock(load.site.program.folder(), -3600);
    load.recover("the clock going back an hour", Instant::now());
    load.run(50);
    check_clock_and_lamp(&mut load, &mut lamp);
    load.check_all();
    // What came in before and after is told apart in the next life as well.
    load.site.restart();
    load.run(50);
    load.check_all();
}
