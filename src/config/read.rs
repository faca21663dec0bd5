//! Reads settings one by one and remembers what is wrong with them.

use std::{
    fmt::Display,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use super::settings::{Kind, SETTINGS, Setting};

/// Where settings come from. A test gives a map; no test touches the process's environment.
pub trait Source {
    /// The value of a flag, by the setting's variable.
    fn flag(&self, variable: &str) -> Option<String>;

    /// The value of an environment variable.
    fn variable(&self, name: &str) -> Option<String>;

    /// The content of a file.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn file(&self, path: &Path) -> std::io::Result<String>;
}

/// What is wrong with the settings: a line for each.
#[derive(Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines.join("\n"))]
pub struct ConfigError {
    /// The lines, each naming its setting.
    pub lines: Vec<String>,
}

pub(super) struct Reader<'a> {
    source: &'a dyn Source,
    mistakes: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a dyn Source) -> Self {
        Self { source, mistakes: Vec::new() }
    }

    pub(super) fn finish(self) -> Result<(), ConfigError> {
        if self.mistakes.is_empty() { Ok(()) } else { Err(ConfigError { lines: self.mistakes }) }
    }

    /// Remembers a mistake.
    pub(super) fn wrong<T>(&mut self, variable: &str, what: &str) -> Option<T> {
        self.mistakes.push(format!("{variable}: {what}"));
        None
    }

    /// Whether somebody gave the setting a value.
    pub(super) fn is_given(&self, variable: &str) -> bool {
        let given = self.source.flag(variable).or_else(|| self.source.variable(variable));
        given.is_some_and(|value| !value.is_empty())
    }

    /// What the setting is, if it is set or has a default.
    pub(super) fn text(&mut self, variable: &str) -> Option<String> {
        let set = |value: &String| !value.is_empty();
        let given = self.source.flag(variable).or_else(|| self.source.variable(variable));
        given.filter(set).or_else(|| default(variable))
    }

    /// A secret: the variable, or the file that `NAME_FILE` names.
    pub(super) fn secret(&mut self, variable: &str) -> Option<String> {
        let file_variable = format!("{variable}_FILE");
        let value = self.source.variable(variable).filter(|value| !value.is_empty());
        let path = self.source.variable(&file_variable).filter(|path| !path.is_empty());
        match (value, path) {
            (Some(_), Some(_)) => self
                .wrong(variable, &format!("{file_variable} is set as well; one of them has to go")),
            (Some(value), None) => Some(value),
            (None, Some(path)) => match self.source.file(Path::new(&path)) {
                Ok(content) => Some(content.trim_end_matches(['\r', '\n']).to_owned()),
                Err(error) => self.wrong(&file_variable, &format!("{path}: {error}")),
            },
            (None, None) => None,
        }
    }

    pub(super) fn path(&mut self, variable: &str) -> Option<PathBuf> {
        self.text(variable).map(PathBuf::from)
    }

    /// A file that has to be there.
    pub(super) fn file(&mut self, variable: &str) -> Option<PathBuf> {
        let path = self.path(variable)?;
        match self.source.file(&path) {
            Ok(_) => Some(path),
            Err(error) => self.wrong(variable, &format!("{}: {error}", path.display())),
        }
    }

    /// A whole number in a range.
    pub(super) fn number<N>(&mut self, variable: &str, range: RangeInclusive<N>) -> Option<N>
    where
        N: FromStr<Err: Display> + PartialOrd + Display,
    {
        let text = self.text(variable).unwrap_or_default();
        match text.parse::<N>() {
            Ok(number) if range.contains(&number) => Some(number),
            Ok(_) => self.wrong(
                variable,
                &format!("{text} is not from {} to {}", range.start(), range.end()),
            ),
            Err(error) => self.wrong(variable, &format!("{text:?}: {error}")),
        }
    }

    /// A number that need not be set.
    pub(super) fn optional_number<N>(
        &mut self,
        variable: &str,
        range: RangeInclusive<N>,
    ) -> Option<N>
    where
        N: FromStr<Err: Display> + PartialOrd + Display,
    {
        self.text(variable).and_then(|_| self.number(variable, range))
    }

    /// A span in seconds, with a fraction if need be; at most ten years.
    pub(super) fn seconds(&mut self, variable: &str, least: u32) -> Duration {
        let text = self.text(variable).unwrap_or_default();
        let most = 315_360_000.0;
        match text.parse::<f64>() {
            Ok(seconds) if (f64::from(least)..=most).contains(&seconds) => {
                Duration::from_secs_f64(seconds)
            }
            Ok(_) => {
                let what = format!("{text} s is not from {least} to {most} s");
                self.wrong(variable, &what).unwrap_or_default()
            }
            Err(error) => {
                self.wrong(variable, &format!("{text:?} seconds: {error}")).unwrap_or_default()
            }
        }
    }

    /// Whether a switch is on.
    pub(super) fn flag(&mut self, variable: &str) -> bool {
        match self.text(variable).unwrap_or_default().to_lowercase().as_str() {
            "" | "0" | "false" | "no" | "off" => false,
            "1" | "true" | "yes" | "on" => true,
            other => self
                .wrong(variable, &format!("{other:?} is neither true nor false"))
                .unwrap_or_default(),
        }
    }
}

fn default(variable: &str) -> Option<String> {
    let is_it = |setting: &&Setting| setting.variable == variable && setting.kind == Kind::Value;
    let setting = SETTINGS.iter().find(is_it)?;
    (!setting.default.is_empty()).then(|| setting.default.to_owned())
}
