//! Evaluates queries over twins as they are stored: only the documents that a query names are read, and of these only
//! what it asks for.

mod wanted;

use std::{borrow::Cow, collections::HashMap};

use serde_json::Value;

use super::Record;
use crate::protocol::{Column, Condition, Part, Query, Scalar, Test};
use wanted::Wanted;

/// A twin that may be told of.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The thing's id.
    pub id: &'a str,
    /// The twin.
    pub record: &'a Record,
    /// Whether the thing is connected, as far as that is known now.
    pub online: Option<bool>,
}

/// A query that is ready to be asked of many twins.
#[derive(Debug)]
pub struct Selection<'a> {
    query: &'a Query,
    group: Option<&'a str>,
    /// What is read of each document that the query names.
    wanted: HashMap<Part, Wanted>,
}

/// What was read of one twin: a value for each place that the query names.
struct Seen<'a> {
    candidate: Candidate<'a>,
    group: Option<&'a str>,
    documents: HashMap<Part, Value>,
}

impl<'a> Selection<'a> {
    /// Makes a query ready; `group` is the group that is asked, if it is one.
    #[must_use]
    pub fn new(query: &'a Query, group: Option<&'a str>) -> Self {
        let mut wanted = HashMap::<Part, Wanted>::new();
        let mut want = |column: &Column| {
            if let Column::In(part, path) = column {
                wanted.entry(*part).or_default().add(path);
            }
        };
        query.outputs.iter().for_each(|output| want(&output.column));
        columns_of(&query.condition, &mut want);
        Self { query, group, wanted }
    }

    /// Whether the query names something of this document.
    #[must_use]
    pub fn reads(&self, part: Part) -> bool {
        self.wanted.contains_key(&part)
    }

    /// The values that the query asks for of this twin, in its order; none if its condition does not hold.
    ///
    /// # Errors
    /// If a document that is asked for is no JSON, or is asked for so often that the row would be much larger than
    /// the twin.
    pub fn row(&self, candidate: Candidate<'a>) -> Result<Option<Vec<Value>>, SelectError> {
        let mut documents = HashMap::new();
        for (part, wanted) in &self.wanted {
            documents.insert(*part, wanted.read(text_of(candidate.record, *part))?);
        }
        let seen = Seen { candidate, group: self.group, documents };
        if !seen.holds(&self.query.condition) {
            return Ok(None);
        }
        let mut room = ROOM + 4 * length(candidate.record);
        let mut row = Vec::with_capacity(self.query.outputs.len());
        for output in &self.query.outputs {
            let value = seen.value(&output.column);
            take_room(&value, &mut room).ok_or(SelectError::TooLarge)?;
            row.push(value.into_owned());
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

/// What a row may weigh, beyond four times its twin.
const ROOM: usize = 4 << 20;

/// The bytes of a twin's documents.
fn length(record: &Record) -> usize {
    let Record { reported, reported_meta, desired, desired_meta, declined, declined_meta, .. } =
        record;
    let documents = [reported, reported_meta, desired, desired_meta, declined, declined_meta];
    documents.iter().map(|document| document.len()).sum()
}

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

fn columns_of(condition: &Condition, want: &mut impl FnMut(&Column)) {
    match condition {
        Condition::All(all) | Condition::Any(all) => {
            all.iter().for_each(|inner| columns_of(inner, want));
        }
        Condition::Not(inner) => columns_of(inner, want),
        Condition::Is(column, _) => want(column),
    }
}

fn text_of(record: &Record, part: Part) -> &str {
    match part {
        Part::Reported => &record.reported,
        Part::ReportedMeta => &record.reported_meta,
        Part::Desired => &record.desired,
        Part::DesiredMeta => &record.desired_meta,
        Part::Declined => &record.declined,
        Part::DeclinedMeta => &record.declined_meta,
    }
}

impl Seen<'_> {
    /// What a column holds; null if there is nothing.
    fn value(&self, column: &Column) -> Cow<'_, Value> {
        Cow::Owned(match column {
            Column::ClientId => self.candidate.id.into(),
            Column::GroupId => self.group.into(),
            Column::Version => self.candidate.record.version.into(),
            Column::Online => self.candidate.online.into(),
            Column::In(part, path) => {
                let document = self.documents.get(part);
                let found = document.and_then(|document| wanted::at(document, path));
                return found.map_or(Cow::Owned(Value::Null), Cow::Borrowed);
            }
        })
    }

    fn holds(&self, condition: &Condition) -> bool {
        match condition {
            Condition::All(all) => all.iter().all(|inner| self.holds(inner)),
            Condition::Any(any) => any.iter().any(|inner| self.holds(inner)),
            Condition::Not(inner) => !self.holds(inner),
            Condition::Is(column, test) => passes(&self.value(column), test),
        }
    }
}

/// Whether a value passes a test.
fn passes(value: &Value, test: &Test) -> bool {
    let scalar = || Scalar::of(value);
    let order = |other: &Scalar| scalar().and_then(|scalar| scalar.order(other));
    match test {
        Test::Null => value.is_null(),
        Test::NotNull => !value.is_null(),
        Test::Equal(other) => scalar().as_ref() == Some(other),
        Test::Unequal(other) => {
            scalar().is_some_and(|scalar| scalar.is_like(other) && scalar != *other)
        }
        Test::Less(other) => order(other).is_some_and(|order| order.is_lt()),
        Test::AtMost(other) => order(other).is_some_and(|order| order.is_le()),
        Test::Greater(other) => order(other).is_some_and(|order| order.is_gt()),
        Test::AtLeast(other) => order(other).is_some_and(|order| order.is_ge()),
        Test::Like(pattern) => value.as_str().is_some_and(|text| pattern.matches(text)),
        Test::NotLike(pattern) => value.as_str().is_some_and(|text| !pattern.matches(text)),
        Test::In(list) => scalar().is_some_and(|scalar| list.contains(&scalar)),
        Test::NotIn(list) => scalar().is_some_and(|scalar| {
            !list.contains(&scalar) && list.iter().any(|other| other.is_like(&scalar))
        }),
    }
}
