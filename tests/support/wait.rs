//! The wait for a condition: the one place of the kit that sleeps.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Waits until `ready` gives a value, and gives it; fails after `patience`, naming what was waited for.
#[expect(clippy::disallowed_methods, reason = "the pause between two looks at a condition")]
pub fn wait_for<T>(what: &str, patience: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} in vain for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
