//! The library without the manager: what a stranger gets who builds a thing with it.
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

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use support::{broker::Broker, lines::Lines, site::PATIENCE};

/// A package of a stranger's with this source, and nothing but what the examples' own words say that it needs.
fn package(folder: &Path, source: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = format!(
        "[package]\nname = \"stranger\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
         serde = {{ version = \"1\", features = [\"derive\"] }}\n\
         twinthing = {{ path = {root:?}, default-features = false }}\n"
    );
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    // The versions that are here already: nothing is fetched.
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    fs::create_dir(folder.join("src")).unwrap();
    fs::copy(source, folder.join("src/main.rs")).unwrap();
}

fn cargo(folder: &Path, arguments: &[&str]) -> Output {
    // What is built for the tests is built for it as well, where it is the same.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).arg("--offline").current_dir(folder).env("CARGO_TARGET_DIR", target);
    // What cargo says to a test is not for another package.
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_stranger_builds_the_lamp_without_manager_and_database() {
    let folder = tempfile::tempdir().unwrap();
    let lamp = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/lamp.rs");
    package(folder.path(), &lamp);
    let tree = text(&cargo(folder.path(), &["tree", "--edges", "normal", "--prefix", "none"]));
    let has = |name: &str| tree.lines().any(|line| line.starts_with(&format!("{name} ")));
    assert!(has("twinthing") && has("paho-mqtt"), "{tree}");
    for name in ["diesel", "libsqlite3-sys", "mysqlclient-sys", "clap", "env_logger", "toml", "csv"]
    {
        assert!(!has(name), "{name} is among what a thing needs:\n{tree}");
    }
    let built = text(&cargo(folder.path(), &["build", "--message-format", "json"]));
    let program: PathBuf = built
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|message| Some(message.get("executable")?.as_str()?.into()))
        .unwrap();
    let broker = Broker::start();
    let port = broker.port().to_string();
    let mut lamp = Lines::start(Command::new(program).args(["lamp", "127.0.0.1", &port]));
    lamp.until(PATIENCE, |line| line == "online");
    let (status, lines) = lamp.end(PATIENCE);
    assert!(status.success(), "{lines:?}");
}
