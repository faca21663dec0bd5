//! Evaluates queries over twins as they are stored: only the documents that a query names are read, and of these only
//! what it asks for.

mod wanted;

use std::{borrow::Cow, cmp::Ordering};

use serde_json::Value;

use super::Record;
use crate::protocol::{Column, Condition, Part, Query, Scalar, Test, string};
use wanted::{Place, Wanted};

/// A twin that may be told of.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The thing's id.
    pub id: &'a str,
    /// How often the documents changed.
    pub version: u64,
    /// Whether the thing is connected, as far as that is known now.
    pub online: Option<bool>,
    /// The documents as text, in the order of [`Part`]; what the query does not read may be anything.
    pub documents: [&'a str; 6],
}

impl<'a> Candidate<'a> {
    /// The twin of this record.
    #[must_use]
    pub fn new(id: &'a str, record: &'a Record, online: Option<bool>) -> Self {
        let documents = [
            &record.reported,
            &record.reported_meta,
            &record.desired,
            &record.desired_meta,
            &record.declined,
            &record.declined_meta,
        ];
        Self { id, version: record.version, online, documents: documents.map(String::as_str) }
    }
}

/// A query that is ready to be asked of many twins.
#[derive(Debug)]
pub struct Selection<'a> {
    group: Option<&'a str>,
    /// What the condition reads, and what is told of those for whom it holds.
    tested: Places,
    told: Places,
    condition: Tested<'a>,
    outputs: Vec<Source>,
}

/// What is read of each document: each place that is wanted has a number.
#[derive(Debug, Default)]
struct Places {
    documents: [Option<Wanted>; 6],
    count: usize,
    version: bool,
    online: bool,
}

/// Where a column's value is.
#[derive(Clone, Copy, Debug)]
enum Source {
    ClientId,
    GroupId,
    Version,
    Online,
    Place(usize),
}

/// A condition, with the places that its columns are read from.
#[derive(Debug)]
enum Tested<'a> {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Is(Source, &'a Test),
}

/// The places that were read of one twin.
struct Seen<'a> {
    candidate: Candidate<'a>,
    group: Option<&'a str>,
    places: Vec<Place<'a>>,
}

impl Places {
    fn source(&mut self, column: &Column) -> Source {
        match column {
            Column::ClientId => Source::ClientId,
            Column::GroupId => Source::GroupId,
            Column::Version => {
                self.version = true;
                Source::Version
            }
            Column::Online => {
                self.online = true;
                Source::Online
            }
            Column::In(part, path) => {
                let Some(document) = self.documents.get_mut(part.place()) else {
                    return Source::Place(self.count);
                };
                Source::Place(document.get_or_insert_default().add(path, &mut self.count))
            }
        }
    }

    fn reads(&self, part: Part) -> bool {
        self.documents.get(part.place()).is_some_and(Option::is_some)
    }

    /// What is at each place.
    fn read<'t>(&self, documents: &[&'t str; 6]) -> Result<Vec<Place<'t>>, serde_json::Error> {
        let mut places = vec![None; self.count];
        for (wanted, text) in self.documents.iter().zip(documents) {
            if let Some(wanted) = wanted {
                wanted.read(text, &mut places)?;
            }
        }
        Ok(places)
    }
}

impl<'a> Selection<'a> {
    /// Makes a query ready; `group` is the group that is asked, if it is one.
    #[must_use]
    pub fn new(query: &'a Query, group: Option<&'a str>) -> Self {
        let (mut tested, mut told) = (Places::default(), Places::default());
        let condition = Tested::new(&query.condition, &mut tested);
        let outputs = query.outputs.iter().map(|output| told.source(&output.column)).collect();
        Self { group, tested, told, condition, outputs }
    }

    /// Whether the query names something of this document.
    #[must_use]
    pub fn reads(&self, part: Part) -> bool {
        self.tested.reads(part) || self.told.reads(part)
    }

    /// Whether the query names the version.
    #[must_use]
    pub fn reads_version(&self) -> bool {
        self.tested.version || self.told.version
    }

    /// Whether the query names the thing's presence.
    #[must_use]
    pub fn reads_online(&self) -> bool {
        self.tested.online || self.told.online
    }

    /// The values that the query asks for of this twin, in its order; none if its condition does not hold.
    ///
    /// # Errors
    /// If a document that is looked at is no JSON, or is asked for so often that the row would be much larger than
    /// the twin.
    pub fn row(&self, candidate: Candidate<'a>) -> Result<Option<Vec<Value>>, SelectError> {
        let places = self.tested.read(&candidate.documents)?;
        let mut seen = Seen { candidate, group: self.group, places };
        if !seen.holds(&self.condition) {
            return Ok(None);
        }
        seen.places = self.told.read(&candidate.documents)?;
        let length = |part: usize| candidate.documents.get(part).map_or(0, |text| text.len());
        let read = self.told.documents.iter().enumerate().filter(|(_, wanted)| wanted.is_some());
        let mut room = ROOM + 4 * read.map(|(part, _)| length(part)).sum::<usize>();
        let mut row = Vec::with_capacity(self.outputs.len());
        for output in &self.outputs {
            let text = seen.text(*output);
            // So much the tree takes at least.
            room = room.checked_sub(text.len()).ok_or(SelectError::TooLarge)?;
            let value = serde_json::from_str(&text)?;
            take_room(&value, &mut room).ok_or(SelectError::TooLarge)?;
            row.push(value);
        }
        Ok(Some(row))
    }
}

/// Why there is no row of a twin.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// A document of it cannot be read.
    #[error("a document is not JSON: {0}")]
    Document(#[from] serde_json::Error),
    /// Columns that repeat what is large.
    #[error("the columns of the query hold the twin's documents many times over; ask for fewer")]
    TooLarge,
}

/// What a row may weigh, beyond four times what it is read from.
const ROOM: usize = 4 << 20;

/// Takes what a value weighs, some bytes and its text for each value in it, off the room; none if there is too little.
fn take_room(value: &Value, room: &mut usize) -> Option<()> {
    let text = match value {
        Value::String(text) => text.len(),
        Value::Number(number) => number.as_str().len(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => 0,
    };
    *room = room.checked_sub(16 + text)?;
    match value {
        Value::Array(elements) => elements.iter().try_for_each(|inner| take_room(inner, room)),
        Value::Object(members) => members.iter().try_for_each(|(name, inner)| {
            *room = room.checked_sub(name.len())?;
            take_room(inner, room)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(()),
    }
}

impl<'a> Tested<'a> {
    fn new(condition: &'a Condition, places: &mut Places) -> Self {
        match condition {
            Condition::All(all) => {
                Self::All(all.iter().map(|inner| Self::new(inner, places)).collect())
            }
            Condition::Any(any) => {
                Self::Any(any.iter().map(|inner| Self::new(inner, places)).collect())
            }
            Condition::Not(inner) => Self::Not(Box::new(Self::new(inner, places))),
            Condition::Is(column, test) => Self::Is(places.source(column), test),
        }
    }
}

impl Seen<'_> {
    /// What a column holds, as JSON; null if there is nothing.
    fn text(&self, source: Source) -> Cow<'_, str> {
        let value: Value = match source {
            Source::ClientId => self.candidate.id.into(),
            Source::GroupId => self.group.into(),
            Source::Version => self.candidate.version.into(),
            Source::Online => self.candidate.online.into(),
            Source::Place(place) => {
                return self.places.get(place).copied().flatten().unwrap_or("null").into();
            }
        };
        value.to_string().into()
    }

    fn holds(&self, condition: &Tested<'_>) -> bool {
        match condition {
            Tested::All(all) => all.iter().all(|inner| self.holds(inner)),
            Tested::Any(any) => any.iter().any(|inner| self.holds(inner)),
            Tested::Not(inner) => !self.holds(inner),
            Tested::Is(source, test) => passes(&self.text(*source), test),
        }
    }
}

/// Whether a value, as JSON, passes a test.
fn passes(value: &str, test: &Test) -> bool {
    let scalar = || Scalar::of_json(value);
    match test {
        Test::Null => value == "null",
        Test::NotNull => value != "null",
        Test::Equal(other) => other.is(value) == Some(true),
        Test::Unequal(other) => other.is(value) == Some(false),
        Test::Less(other) => other.order_of(value).is_some_and(Ordering::is_lt),
        Test::AtMost(other) => other.order_of(value).is_some_and(Ordering::is_le),
        Test::Greater(other) => other.order_of(value).is_some_and(Ordering::is_gt),
        Test::AtLeast(other) => other.order_of(value).is_some_and(Ordering::is_ge),
        Test::Like(pattern) => string(value).is_some_and(|text| pattern.matches(&text)),
        Test::NotLike(pattern) => string(value).is_some_and(|text| !pattern.matches(&text)),
        Test::In(list) => scalar().is_some_and(|scalar| list.contains(&scalar)),
        Test::NotIn(list) => scalar().is_some_and(|scalar| {
            !list.contains(&scalar) && list.iter().any(|other| other.is_like(&scalar))
        }),
    }
}
