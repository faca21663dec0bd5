//! No payload, however wrong, ends or hangs the manager, or changes a twin.
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

use support::{
    attack::{THINGS, attack},
    broker::Broker,
    client::Client,
    database::{Database, Direct},
    hostile::Hears,
    program::Twinmgr,
};

/// How many payloads each topic is tried with, on each database.
const PAYLOADS: usize = 10_000;

#[test]
fn hostile_payloads_change_nothing_on_sqlite() {
    attack_on(&Database::Sqlite);
}

#[test]
fn hostile_payloads_change_nothing_on_mariadb() {
    attack_on(&Database::mariadb());
}

fn attack_on(database: &Database) {
    let broker = Broker::start();
    let folder = tempfile::tempdir().unwrap();
    let url = database.fresh_url(folder.path());
    let mut program = Twinmgr::start_in(folder, broker.port(), &url, &[]);
    program.ready(&mut Client::connect(broker.port()));
    // Each id is a group's name as well, and all things are its members: what is taken for a SET changes them.
    let mut direct = Direct::to(&url);
    THINGS.iter().for_each(|group| direct.join(group, &THINGS));
    attack(broker.port(), program.id(), PAYLOADS * Hears::ALL.len());
}
