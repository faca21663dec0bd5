//! Where answers go, and how they look there.

use std::io::{self, Write};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use terminal_size::{Width, terminal_size_of};

use super::Failure;

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

/// Standard output; colours are left out where they are of no use, or not wanted (`NO_COLOR`).
pub(crate) struct Output(AutoStream<io::Stdout>);

impl Output {
    pub(crate) fn new() -> Self {
        Self(AutoStream::auto(io::stdout()))
    }

    /// Writes a line, which may be several.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), Failure> {
        Ok(writeln!(self.0, "{line}")?)
    }

    /// Writes what has its line ends already.
    pub(crate) fn text(&mut self, text: &[u8]) -> Result<(), Failure> {
        self.0.write_all(text)?;
        Ok(self.0.flush()?)
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
