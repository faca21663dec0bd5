//! Where answers go, and how they look there.

use std::io::{self, Write};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use terminal_size::{Width, terminal_size_of};

use super::{Failure, document};

/// A thing's id.
pub(crate) const NAME: Style = Style::new().bold();
/// What a thing says it is.
pub(crate) const REPORTED: Style = AnsiColor::Green.on_default();
/// What is asked of it.
pub(crate) const DESIRED: Style = AnsiColor::Yellow.on_default();
/// What it did not do.
pub(crate) const DECLINED: Style = AnsiColor::Red.on_default();
/// That it is there.
pub(crate) const ONLINE: Style = AnsiColor::Cyan.on_default();
/// What matters less.
pub(crate) const ASIDE: Style = Style::new().dimmed();
/// What does not matter more than anything else.
pub(crate) const PLAIN: Style = Style::new();

/// Standard output. When nobody reads it any more, the rest is not written, and what was begun is done all the same.
pub(crate) struct Output {
    /// For people: colours are left out where they are of no use, or not wanted (`NO_COLOR`).
    shown: AutoStream<io::Stdout>,
    is_gone: bool,
}

impl Output {
    pub(crate) fn new() -> Self {
        Self { shown: AutoStream::auto(io::stdout()), is_gone: false }
    }

    /// Writes a line for people, which may be several.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), Failure> {
        let line = format!("{line}\n");
        self.write(|out| out.shown.write_all(line.as_bytes()))
    }

    /// Writes JSON that serde has written, and a line end.
    pub(crate) fn json(&mut self, json: &str) -> Result<(), Failure> {
        self.raw(format!("{}\n", document::safe_json(json)).as_bytes())
    }

    /// Writes what programs read, as it is: it has its line ends already.
    pub(crate) fn raw(&mut self, text: &[u8]) -> Result<(), Failure> {
        self.write(|_| io::stdout().write_all(text))
    }

    /// Whether nobody reads it any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone
    }

    fn write(&mut self, write: impl FnOnce(&mut Self) -> io::Result<()>) -> Result<(), Failure> {
        if self.is_gone {
            return Ok(());
        }
        match write(self).and_then(|()| io::stdout().flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.is_gone = true,
            Err(error) => return Err(Failure::Output(error)),
            Ok(()) => {}
        }
        Ok(())
    }
}

/// Says something beside the answer, on standard error.
pub(crate) fn remark(text: &str) {
    let mut err = io::stderr().lock();
    for line in text.lines() {
        // Where nobody hears it, there is nobody to tell that either.
        writeln!(err, "twinctl: {}", document::safe(line)).unwrap_or_default();
    }
}

/// How many places a line has; none if nobody looks at it.
pub(crate) fn width() -> Option<usize> {
    terminal_size_of(io::stdout()).map(|(Width(width), _)| usize::from(width))
}

/// A text in a style.
pub(crate) fn painted(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// A thing's id, or another name that somebody else has given.
pub(crate) fn named(name: &str) -> String {
    painted(NAME, &document::safe(name))
}
