//! Lines that a test prints for people.

use std::{
    io::{Write, stderr},
    time::Duration,
};

/// Shows a line also when the test passes, unlike `eprintln!`.
pub fn tell(line: &str) {
    writeln!(stderr().lock(), "{line}").unwrap();
}

/// Shows how long it took from the end of a fault until something said after it was told.
pub fn tell_recovery(fault: &str, time: Duration) {
    tell(&format!("recovery after {fault}: {:.2} s", time.as_secs_f64()));
}
