//! Things, applications and a manager written with other implementations of MQTT, beside ours.
//!
//! The Python programs run with both major versions of paho-mqtt, each over both versions of MQTT; `scripts/python.sh`
//! makes what they run in.
#![cfg(feature = "manager")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};
use support::{
    broker::Broker,
    database::{Database, Direct},
    library::{access, object},
    lines::Lines,
    site::Site,
};
use twinthing::{
    client::{Client, ThingId, block_on},
    device::{Device, Version},
};

/// The longest wait for anything that another program does.
const PATIENCE: Duration = Duration::from_secs(30);
const PAHOS: [&str; 2] = ["paho-1.6", "paho-2"];
const VERSIONS: [&str; 2] = ["3.1.1", "5"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop")
}

/// One of the programs, with one of the versions of paho-mqtt.
fn python(paho: &str, program: &str) -> Command {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let interpreter = target.join("interop").join(paho).join("bin/python");
    assert!(
        interpreter.exists(),
        "{} is not there: scripts/python.sh makes it",
        interpreter.display()
    );
    let mut command = Command::new(interpreter);
    // No folder of byte code is left among the sources.
    command.arg("-B").arg(folder().join(program)).env("PYTHONUNBUFFERED", "1");
    command
}

/// Each version of paho-mqtt over each version of MQTT.
fn each_way() -> impl Iterator<Item = (&'static str, &'static str)> {
    PAHOS.into_iter().flat_map(|paho| VERSIONS.into_iter().map(move |version| (paho, version)))
}

fn site() -> Site {
    Site::start(&Database::Sqlite, &[("TWIN_LATE_WILL", "0")])
}

/// A device of Python's at this site, online.
fn start_device(site: &Site, paho: &str, version: &str, id: &str) -> Lines {
    let port = site.broker.port().to_string();
    let mut command = python(paho, "device.py");
    let mut device = Lines::start(command.args(["127.0.0.1", &port, version, id]));
    device.until_begins(PATIENCE, r#"{"online""#);
    device
}

#[test]
fn a_device_of_python_s_and_its_twin_agree() {
    let site = site();
    let client = Client::connect(access("app", site.broker.port())).unwrap();
    for (paho, version) in each_way() {
        let name = format!("{paho}-{version}");
        let id: ThingId = name.parse().unwrap();
        let mut device = start_device(&site, paho, version, &name);
        block_on(async {
            // It says LC/ON and then its state: the manager may know of it only with that.
            let mut watch = client.watch([id.clone()]).await.unwrap();
            while client.get(&id).await.unwrap().version == 0 {
                watch.next().await.unwrap();
            }
            let twin = client.get(&id).await.unwrap();
            assert_eq!((twin.online, twin.reported["brightness"].clone()), (Some(true), json!(40)));

            let asked = json!({"on": true, "brightness": 200, "name": {"de": "Glühlampe"}});
            let settled = client.set(&id, asked).settled(PATIENCE).await.unwrap();
            assert_eq!(settled.taken, object(json!({"on": true, "name": {"de": "Glühlampe"}})));
            assert_eq!(settled.declined, object(json!({"brightness": 200})));

            client.publish(&format!("TNG/{id}/TPC/PING"), "é\0").await.unwrap();
            device.until_begins(PATIENCE, r#"{"ping""#);

            // While it is away: a change of its own, and something that is asked of it.
            device.say(r#"{"drop": true}"#);
            device.until_begins(PATIENCE, r#"{"dropped""#);
            let mut watch = client.watch([id.clone()]).await.unwrap();
            while client.get(&id).await.unwrap().online != Some(false) {
                watch.next().await.unwrap();
            }
            device.say(r#"{"update": {"scene": "night"}}"#);
            device.until_begins(PATIENCE, r#"{"updated""#);
            client.set(&id, json!({"rgb": [1, 2]})).await.unwrap();
            device.say(r#"{"back": true}"#);
            device.until_begins(PATIENCE, r#"{"online""#);
            device.until(PATIENCE, |line| line.starts_with(r#"{"set""#) && line.contains("[1, 2]"));
            let both = json!({"rgb": [1, 2], "scene": "night"});
            let settled = client.set(&id, &both).settled(PATIENCE).await.unwrap();
            assert_eq!(settled.taken, object(both));
        });
        let (status, lines) = device.end(PATIENCE);
        assert!(status.success(), "{lines:?}");
        assert!(!lines.iter().any(|line| line.starts_with(r#"{"bad""#)), "{lines:?}");

        // It starts anew with its defaults, and is given back what it was.
        let mut device = start_device(&site, paho, version, &name);
        device.until(PATIENCE, |line| line.starts_with(r#"{"set""#) && line.contains("night"));
        block_on(async {
            let is = json!({"on": true, "rgb": [1, 2], "scene": "night"});
            let settled = client.set(&id, &is).settled(PATIENCE).await.unwrap();
            assert_eq!(settled.taken, object(is), "it is all that still");
        });
        assert!(device.end(PATIENCE).0.success());
    }
}

#[test]
fn an_application_of_python_s_asks_the_manager_for_all_it_may() {
    let site = site();
    for (paho, version) in each_way() {
        let name = format!("{paho}-{version}");
        Direct::to(&site.url).join(&name, &[&name]);
        let device = start_device(&site, "paho-2", "5", &name);
        let port = site.broker.port().to_string();
        let mut command = python(paho, "client.py");
        let client = Lines::start(command.args(["127.0.0.1", &port, version, &name, &name]));
        let (status, lines) = client.end(PATIENCE);
        assert!(status.success(), "{paho} over {version}:\n{}", lines.join("\n"));
        let steps = lines.iter().filter(|line| line.starts_with("ok ")).count();
        assert_eq!(steps, if version == "5" { 14 } else { 13 }, "{lines:?}");
        assert!(device.end(PATIENCE).0.success());
    }
}

#[test]
fn a_device_of_ours_gets_along_with_a_manager_of_python_s() {
    for (paho, version) in each_way() {
        let broker = Broker::start();
        let port = broker.port().to_string();
        let mut command = python(paho, "manager.py");
        let mut manager = Lines::start(command.args(["127.0.0.1", &port, version, "lamp", "20"]));
        manager.until_begins(PATIENCE, "ok ready");
        let mut access = access("lamp", broker.port());
        // Each speaks the version that the other does not.
        access.version = if version == "5" { Version::V3 } else { Version::V5 };
        let start = || {
            let state = json!({"on": false, "level": 5, "net": {"up": true}});
            let device = Device::build(access.clone(), state).filter(|now, wanted| {
                if wanted["level"].as_u64().is_none_or(|level| level > 100) {
                    wanted["level"] = now["level"].clone();
                }
            });
            device.start().unwrap()
        };
        let mut play = |commands: &[Value]| {
            for command in commands {
                manager.say(&command.to_string());
                let answer = manager
                    .until(PATIENCE, |line| line.starts_with("ok") || line.starts_with("failed"));
                assert!(answer.starts_with("ok"), "{paho} over {version}: {command}: {answer}");
            }
        };
        let device = start();
        play(&[
            json!({"online": true}),
            json!({"reported": {"on": false, "level": 5, "net": {"up": true}}}),
            json!({"set": {"on": true, "level": 7, "net": {"up": null, "ip": "10.0.0.7"}}}),
            json!({"answered": true}),
            json!({"reported": {"on": true, "level": 7, "net": {"up": null, "ip": "10.0.0.7"}}}),
            json!({"set": {"level": 200, "name": "hall"}}),
            json!({"declined": {"level": 200}}),
            json!({"reported": {"level": 7, "name": "hall"}}),
            json!({"get": true}),
            json!({"ping": "é and \u{1f4a1}"}),
        ]);
        device.update(|state| state["level"] = json!(9)).unwrap();
        play(&[json!({"reported": {"level": 9}})]);
        device.close_blocking();
        play(&[json!({"offline": true}), json!({"set": {"on": false}})]);
        // A new start, with what it is built with: it is given back what it was, and then what was asked.
        let device = start();
        play(&[
            json!({"online": true}),
            json!({"answered": true}),
            json!({"reported": {"on": false, "level": 9, "name": "hall", "net": {"ip": "10.0.0.7"}}}),
        ]);
        assert_eq!(device.state()["level"].as_f64(), Some(9.0));
        device.close_blocking();
        play(&[json!({"offline": true})]);
        let (status, lines) = manager.end(PATIENCE);
        assert!(status.success(), "{lines:?}");
    }
}

#[test]
fn mosquitto_s_own_programs_are_a_thing_and_an_application() {
    let site = site();
    let port = site.broker.port().to_string();
    for (version, steps) in [("mqttv311", 10), ("mqttv5", 11)] {
        let mut command = Command::new("bash");
        let script = command.arg(folder().join("mosquitto.sh")).args(["127.0.0.1", &port, version]);
        let (status, lines) = Lines::start(script).end(PATIENCE);
        assert!(status.success(), "{version}:\n{}", lines.join("\n"));
        let done = lines.iter().filter(|line| line.starts_with("ok")).count();
        assert_eq!(done, steps, "{version}: {lines:?}");
    }
}
