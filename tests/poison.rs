//! Messages that were set aside, as a person deals with them.
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

use std::{fs, path::Path, process::Command, sync::Arc};

use serde_json::json;
use support::{
    database::Database,
    site::{PATIENCE, Site},
    wait_for,
};
use twinthing::{
    mqtt::{Entry, Incoming, Place},
    protocol::Timestamp,
};

/// Sets a message aside, as the manager does.
fn set_aside(data: &Path, number: u64, topic: &str, payload: &[u8]) {
    let message = Incoming {
        topic: topic.to_owned(),
        payload: payload.into(),
        response_topic: (number == 2).then(|| "TNG/c/TPC/RES/1".to_owned()),
        correlation: None,
        at: Timestamp(1_700_000_000_000_000_000 + number as i64),
        session: 1,
        connection: 0,
    };
    let place = Place { epoch: 7, number };
    let entry = Entry { place, oldest: place, message: Arc::new(message) };
    fs::create_dir_all(data.join("poison")).unwrap();
    let bytes = [b"a fault in the core\n".as_slice(), &entry.to_bytes()].concat();
    fs::write(data.join(format!("poison/7-{number}.poison")), bytes).unwrap();
}

/// Exit code, standard output and error of `twinmgr poison …` on this data folder.
fn poison(data: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_twinmgr"))
        .arg("poison")
        .args(arguments)
        .env_clear()
        .env("TWIN_DATA_DIR", data)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn says(data: &Path, arguments: &[&str], expected: &str) {
    assert_eq!(poison(data, arguments), (0, expected.to_owned(), String::new()));
}

#[test]
fn messages_are_listed_shown_and_dropped_without_a_manager() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let none = format!("{}/poison: no message was set aside\n", data.display());
    says(data, &["ls"], &none);
    set_aside(data, 1, "TNG/lamp/TWIN/SET", br#"{"set":{"boom":1}}"#);
    set_aside(data, 2, "TNG/lamp/STATE/UPD", b"\xff\x00");
    fs::write(data.join("poison/7-3.poison"), "no entry").unwrap();
    says(
        data,
        &["ls"],
        "7-1  2023-11-14T22:13:20Z  TNG/lamp/TWIN/SET  18 bytes  a fault in the core\n\
         7-2  2023-11-14T22:13:20Z  TNG/lamp/STATE/UPD  2 bytes  a fault in the core\n",
    );
    says(
        data,
        &["show", "7-1"],
        "id      7-1\ntopic   TNG/lamp/TWIN/SET\ncame    2023-11-14T22:13:20Z\nreason  a fault in the core\n\n{\"set\":{\"boom\":1}}\n",
    );
    says(
        data,
        &["show", "7-2"],
        "id      7-2\ntopic   TNG/lamp/STATE/UPD\ncame    2023-11-14T22:13:20Z\nreason  a fault in the core\nanswer  TNG/c/TPC/RES/1\n\n\\xff\\x00\n",
    );
    says(data, &["drop", "7-1"], "7-1 is dropped\n");
    says(data, &["retry", "--all"], "7-2 is going to be tried again\n");
    says(
        data,
        &["ls"],
        "7-2  2023-11-14T22:13:20Z  TNG/lamp/STATE/UPD  2 bytes  a fault in the core (is going to be tried again)\n",
    );
    for wrong in [["show", "7-1"], ["drop", "../7-2"], ["retry", "7-9"]] {
        let line = format!(
            "twinmgr: {:?} is none of the messages in {}/poison; poison ls lists them\n",
            wrong[1],
            data.display()
        );
        assert_eq!(poison(data, &wrong), (64, String::new(), line));
    }
    for wrong in [&[][..], &["show"], &["drop"], &["retry"], &["drop", "--all", "7-2"]] {
        assert_eq!(poison(data, wrong).0, 64, "{wrong:?}");
    }
}

#[test]
fn what_is_tried_again_is_taken_by_the_manager_that_runs_or_by_the_next_one() {
    let mut site = Site::start(&Database::Sqlite, &[]);
    let data = site.program.folder().join("data");
    set_aside(&data, 1, "TNG/lamp/TWIN/SET", br#"{"set":{"on":true}}"#);
    says(&data, &["retry", "7-1"], "7-1 is going to be tried again\n");
    let told = site.client.expect("TNG/lamp/TWIN/UPD", PATIENCE).json();
    assert_eq!((&told["version"], &told["desired"]["on"]), (&json!(1), &json!(true)));
    wait_for("an empty folder", PATIENCE, || {
        (fs::read_dir(data.join("poison")).unwrap().count() == 0).then_some(())
    });
    site.end();
    set_aside(&data, 2, "TNG/lamp/TWIN/SET", br#"{"set":{"level":3}}"#);
    says(&data, &["retry", "--all"], "7-2 is going to be tried again\n");
    site.program.start_again();
    let answer = site.client.expect("TNG/c/TPC/RES/1", PATIENCE).json();
    assert_eq!((&answer["version"], &answer["desired"]["level"]), (&json!(2), &json!(3)));
}
