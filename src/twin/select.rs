//! Evaluates queries over twins as they are stored: only the documents that a query names are read, and of these only
//! what it asks for.

mod wanted;

use std::collections::HashMap;

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

    /// The values that the query asks for of this twin, in its order; none if its condition does not hold.
    ///
    /// # Errors
    /// If a document that is asked for is no JSON.
    pub fn row(&self, candidate: Candidate<'a>) -> Result<Option<Vec<Value>>, serde_json::Error> {
        let mut documents = HashMap::new();
        for (part, wanted) in &self.wanted {
            documents.insert(*part, wanted.read(text_of(candidate.record, *part))?);
        }
        let seen = Seen { candidate, group: self.group, documents };
        let row = || self.query.outputs.iter().map(|output| seen.value(&output.column));
        Ok(seen.holds(&self.query.condition).then(|| row().collect()))
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
    fn value(&self, column: &Column) -> Value {
        match column {
            Column::ClientId => self.candidate.id.into(),
            Column::GroupId => self.group.into(),
            Column::Version => self.candidate.record.version.into(),
            Column::Online => self.candidate.online.into(),
            Column::In(part, path) => {
                let document = self.documents.get(part);
                document
                    .and_then(|document| wanted::at(document, path))
                    .cloned()
                    .unwrap_or_default()
            }
        }
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
