//! How far something has come that many take part in: on a terminal, in a line that is written over.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

/// How often the line may change.
const PAUSE: Duration = Duration::from_millis(100);

/// The line; none where standard error is no terminal.
pub(crate) struct Progress {
    shown: Option<Instant>,
    is_on: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { shown: None, is_on: io::stderr().is_terminal() }
    }

    /// Says this, unless it has just said something else.
    pub(crate) fn say(&mut self, text: &str) {
        if self.is_on && self.shown.is_none_or(|shown| shown.elapsed() >= PAUSE) {
            self.shown = Some(Instant::now());
            write(&format!("\r{text}\x1b[K"));
        }
    }

    /// Takes the line away, for something that stays.
    pub(crate) fn clear(&mut self) {
        if self.shown.take().is_some() {
            write("\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// It is for the eye alone: if it cannot be written, nothing is lost.
fn write(text: &str) {
    let mut out = io::stderr().lock();
    out.write_all(text.as_bytes()).unwrap_or_default();
    out.flush().unwrap_or_default();
}
