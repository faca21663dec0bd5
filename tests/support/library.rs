//! What tests of the library for things and applications begin with.

use std::{path::Path, process::Command};

use serde_json::{Map, Value, json};
use twinthing::{
    client::{Access, ThingId, block_on},
    device::{Device, Runner},
};

/// To the broker on this port of 127.0.0.1, under this id.
pub fn access(id: &str, port: u16) -> Access {
    let mut access = Access::new(id, "127.0.0.1").unwrap();
    access.port = port;
    access
}

/// A thing's id.
pub fn id(id: &str) -> ThingId {
    id.parse().unwrap()
}

/// A JSON object.
pub fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

/// A device that is online, and takes everything but a level over 100.
pub fn device(runner: &Runner, name: &str, port: u16) -> Device<Value> {
    let built = Device::build(access(name, port), json!({"on": false, "level": 1}));
    let device = built
        .filter(|now, wanted| {
            if wanted["level"].as_u64().is_none_or(|level| level > 100) {
                wanted["level"] = now["level"].clone();
            }
        })
        .start_on(runner)
        .unwrap();
    block_on(device.online());
    device
}

/// An example that cargo built beside the programs: it does so for `cargo test`, and not for `cargo test --test`.
pub fn example(name: &str) -> Command {
    let target = Path::new(env!("CARGO_BIN_EXE_twinmgr")).parent().unwrap();
    let program = target.join("examples").join(name);
    assert!(program.exists(), "{} is not there: cargo build --examples", program.display());
    Command::new(program)
}
