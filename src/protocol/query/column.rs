//! What of a twin can be asked for, and the paths into its documents.

use std::str::FromStr;

use super::{QueryError, shown};
use crate::protocol::object::{MAX_DEPTH, RESERVED};

/// Something of a twin that has a value.
///
/// ```
/// use twinthing::protocol::{Column, Part};
///
/// assert_eq!("version".parse(), Ok(Column::Version));
/// let fan: Column = "declined.fan".parse()?;
/// assert!(matches!(fan, Column::In(Part::Declined, path) if path.len() == 1));
/// # Ok::<(), twinthing::protocol::QueryError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// The thing's id.
    ClientId,
    /// The name of the group that is asked.
    GroupId,
    /// How often the documents changed.
    Version,
    /// Whether the thing is connected.
    Online,
    /// One of the documents, or what is in it at a path.
    In(Part, Vec<Step>),
}

/// The six documents of a twin.
///
/// ```
/// use twinthing::protocol::{Column, Part};
///
/// assert_eq!("desiredMeta".parse(), Ok(Column::In(Part::DesiredMeta, Vec::new())));
/// assert!("desiredmeta".parse::<Column>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// What the thing last said it is.
    Reported,
    /// When.
    ReportedMeta,
    /// What is asked of it.
    Desired,
    /// When.
    DesiredMeta,
    /// What it refused.
    Declined,
    /// When.
    DeclinedMeta,
}

impl Part {
    /// Its place among the six, from 0.
    pub(crate) fn place(self) -> usize {
        match self {
            Self::Reported => 0,
            Self::ReportedMeta => 1,
            Self::Desired => 2,
            Self::DesiredMeta => 3,
            Self::Declined => 4,
            Self::DeclinedMeta => 5,
        }
    }
}

/// A step of a path.
///
/// ```
/// use twinthing::protocol::{Column, Part, Step};
///
/// let column: Column = r#"reported."net.1"[0]"#.parse()?;
/// let steps = vec![Step::Member("net.1".into()), Step::Element(0)];
/// assert_eq!(column, Column::In(Part::Reported, steps));
/// # Ok::<(), twinthing::protocol::QueryError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// To a member of an object.
    Member(String),
    /// To an element of an array, counted from 0.
    Element(usize),
}

const PARTS: [(&str, Part); 6] = [
    ("reported", Part::Reported),
    ("reportedMeta", Part::ReportedMeta),
    ("desired", Part::Desired),
    ("desiredMeta", Part::DesiredMeta),
    ("declined", Part::Declined),
    ("declinedMeta", Part::DeclinedMeta),
];

/// The columns that there are, as an error lists them.
pub(super) fn known() -> String {
    let parts: Vec<_> = PARTS.iter().map(|(name, _)| *name).collect();
    format!("clientId, groupId, {}, version, online", parts.join(", "))
}

/// What `*` stands for: all but the group, in this order.
pub(super) fn all() -> impl Iterator<Item = (Column, String)> {
    let parts = PARTS.iter().map(|(name, part)| (Column::In(*part, Vec::new()), *name));
    let first = std::iter::once((Column::ClientId, "clientId"));
    let last = [(Column::Version, "version"), (Column::Online, "online")];
    first.chain(parts).chain(last).map(|(column, name)| (column, name.to_owned()))
}

impl FromStr for Column {
    type Err = QueryError;

    /// Reads `clientId`, `groupId`, `version`, `online`, or a document's name with a path behind it.
    fn from_str(text: &str) -> Result<Self, QueryError> {
        match text {
            "clientId" => return Ok(Self::ClientId),
            "groupId" => return Ok(Self::GroupId),
            "version" => return Ok(Self::Version),
            "online" => return Ok(Self::Online),
            _ => {}
        }
        let end = text.find(['.', '[']).unwrap_or(text.len());
        let (name, path) = text.split_at(end);
        let part = PARTS.iter().find(|(known, _)| *known == name);
        let Some((_, part)) = part else {
            return Err(QueryError::Column { column: shown(text) });
        };
        let steps = steps(path).map_err(|what| QueryError::Path { column: shown(text), what })?;
        Ok(Self::In(*part, steps))
    }
}

fn steps(mut path: &str) -> Result<Vec<Step>, &'static str> {
    let mut steps = Vec::new();
    while !path.is_empty() {
        let (step, rest) = if let Some(rest) = path.strip_prefix('[') {
            element(rest)?
        } else if let Some(rest) = path.strip_prefix(".\"") {
            quoted(rest)?
        } else if let Some(rest) = path.strip_prefix('.') {
            bare(rest)?
        } else {
            return Err("a step begins with . or [");
        };
        steps.push(step);
        if steps.len() > MAX_DEPTH {
            return Err("it has more than 100 steps");
        }
        path = rest;
    }
    Ok(steps)
}

fn element(text: &str) -> Result<(Step, &str), &'static str> {
    let (digits, rest) = text.split_once(']').ok_or("a [ is not closed")?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("between [ and ] stands a number from 0");
    }
    // No array has as many elements as a number that cannot be counted to.
    Ok((Step::Element(digits.parse().unwrap_or(usize::MAX)), rest))
}

/// A name as JSON writes a string.
fn quoted(text: &str) -> Result<(Step, &str), &'static str> {
    let mut escaped = false;
    let end = text.char_indices().find(|(_, sign)| {
        let ends = *sign == '"' && !escaped;
        escaped = *sign == '\\' && !escaped;
        ends
    });
    let (end, _) = end.ok_or("a \" is not closed")?;
    let (name, rest) = text.split_at(end);
    let name = serde_json::from_str(&format!("\"{name}\""));
    let name: String = name.map_err(|_error| "a name in quotes is written as in JSON")?;
    if name.contains(RESERVED) {
        return Err("no member has a reserved name");
    }
    Ok((Step::Member(name), rest.strip_prefix('"').unwrap_or(rest)))
}

fn bare(text: &str) -> Result<(Step, &str), &'static str> {
    let (name, rest) = text.split_at(text.find(['.', '[']).unwrap_or(text.len()));
    if name.is_empty() {
        return Err("a step is empty");
    }
    if name.contains([']', '"']) {
        return Err("a name with . [ ] or \" in it stands in quotes");
    }
    Ok((Step::Member(name.to_owned()), rest))
}
