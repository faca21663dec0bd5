//! The built program says what the recorded conversations say, on every database.
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

use std::{path::Path, sync::Mutex, thread};

use support::{
    broker::Broker,
    client::Client,
    conformance::{Conversation, Player, read_all},
    database::{Database, Direct},
    program::Twinmgr,
};

/// How many conversations are played at the same time, each with a broker and a manager of its own.
const AT_ONCE: usize = 4;

#[test]
fn every_conversation_goes_as_recorded_on_sqlite() {
    play_all(&Database::Sqlite);
}

#[test]
fn every_conversation_goes_as_recorded_on_mariadb() {
    play_all(&Database::mariadb());
}

fn play_all(database: &Database) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let conversations = read_all(&folder);
    let count = conversations.len();
    let waiting = Mutex::new(conversations);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(conversation) = waiting.lock().unwrap().pop() else { return };
                    if let Err(failure) = play(database, &conversation) {
                        failures.lock().unwrap().push(failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {count}:\n{}", failures.len(), failures.join("\n"));
}

fn play(database: &Database, conversation: &Conversation) -> Result<(), String> {
    let broker = Broker::start();
    let folder = tempfile::tempdir().unwrap();
    let url = database.fresh_url(folder.path());
    let mut program = Twinmgr::start_in(folder, broker.port(), &url, &[]);
    program.ready(&mut Client::connect(broker.port()));
    let mut database = Direct::to(&url);
    for (group, members) in &conversation.groups {
        database.join(group, members);
    }
    let mut player = Player::connect(broker.port(), program.id());
    player.play(conversation).map_err(|mismatch| format!("{mismatch}{}", program.last_words()))
}
