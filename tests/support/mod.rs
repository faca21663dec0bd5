//! The kit of the system tests: a broker, a database, the built program, a client to talk with.
//!
//! A test takes what it needs and lets it fall: whatever was started ends with its value.
#![allow(dead_code, reason = "each test file uses a part of the kit")]

pub mod attack;
pub mod broker;
pub mod client;
pub mod conformance;
pub mod database;
pub mod hostile;
pub mod json;
pub mod mariadb;
pub mod program;
pub mod values;

use std::time::{Duration, Instant};

/// Waits until `ready` gives a value, and gives it; fails after `patience`, naming what was waited for.
pub fn wait_for<T>(what: &str, patience: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} in vain for {what}");
        pause();
    }
}

/// The one place that sleeps: between two looks at a condition.
#[expect(clippy::disallowed_methods, reason = "the pause between two looks at a condition")]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}
