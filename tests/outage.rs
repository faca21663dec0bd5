//! The database goes away under load, hangs, or is not there yet: nothing is lost, nothing told early.
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

use std::time::{Duration, Instant};

use support::{
    broker::Broker, client::Client, load::Load, mariadb::MariaDb, program::Twinmgr, site::PATIENCE,
    wait_for,
};

#[test]
fn a_database_that_goes_away_while_nothing_happens_is_missed_within_seconds() {
    let (mut load, mut server) = Load::on_mariadb(&[]);
    server.stop();
    load.wait_until_noticed();
    load.expect_refusals();
    load.go_on();
    load.listen(Duration::from_millis(300));
    assert!(load.told().is_empty());
    server.restart();
    load.run(50);
    load.check_all();
}

#[test]
fn a_database_that_hangs_for_five_seconds_costs_no_update() {
    let (mut load, server) = Load::on_mariadb(&[("TWIN_COMMIT_TIMEOUT", "2")]);
    load.run(100);
    load.listen(Duration::from_millis(300));
    server.freeze();
    let (since, committed_at_most) = (Instant::now(), load.last());
    load.wait_until_noticed();
    while since.elapsed() < Duration::from_secs(6) {
        load.run(20);
        load.expect_refusals();
    }
    assert!(load.told_above(committed_at_most).is_empty(), "told and not committed");
    server.thaw();
    load.check_all();
}

#[test]
fn a_manager_that_finds_no_database_says_so_once_and_starts_when_it_is_there() {
    let mut server = MariaDb::start();
    let url = server.fresh_schema();
    server.stop();
    let broker = Broker::start();
    let mut program = Twinmgr::start(&broker, &url, &[]);
    let complaints = |program: &Twinmgr| program.output().matches("does not answer").count();
    wait_for("a complaint", PATIENCE, || (complaints(&program) > 0).then_some(()));
    let mut client = Client::connect(broker.port());
    assert!(!client.ping("mgr", Duration::from_secs(5)), "it has nothing to answer with yet");
    let output = program.output();
    assert_eq!(complaints(&program), 1, "{output}");
    assert!(output.contains("; start the database, or correct its address; trying again\n"));
    server.restart();
    program.ready(&mut client);
    client.subscribe(&["TNG/a/TWIN/UPD"]);
    client.publish("TNG/a/STATE/UPD", r#"{"state":{"n":1}}"#);
    assert_eq!(client.expect("TNG/a/TWIN/UPD", PATIENCE).json()["version"], 1);
    assert_eq!(program.terminate(), 0);
}

#[test]
fn a_manager_that_waits_for_its_database_ends_at_once_when_told() {
    let mut server = MariaDb::start();
    let url = server.fresh_schema();
    let broker = Broker::start();
    let complaint = |program: &Twinmgr| {
        wait_for("a complaint", PATIENCE * 2, || {
            program.output().contains("does not answer").then_some(())
        });
    };
    server.freeze();
    let mut program = Twinmgr::start(&broker, &url, &[]);
    wait_for("a start", PATIENCE, || program.output().contains("twinmgr").then_some(()));
    assert_eq!(program.terminate(), 0);
    server.thaw();
    server.stop();
    let mut program = Twinmgr::start(&broker, &url, &[]);
    complaint(&program);
    assert_eq!(program.terminate(), 0);
}

#[test]
fn a_manager_whose_database_hangs_ends_within_ten_seconds_all_the_same() {
    let (mut load, server) = Load::on_mariadb(&[]);
    server.freeze();
    load.run(50);
    load.site.end();
    let output = load.site.program.output();
    assert!(
        output.contains("; it is in the inbox, and is dealt with at the next start"),
        "{output}"
    );
    assert!(load.told().is_empty(), "{:?}", load.told());
    server.thaw();
    load.site.program.start_again();
    load.site.ready();
    load.check_all();
}
