//! Which twins are told of.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{
    Column, MAX_PATTERN, MAX_QUERY_PARTS, Pattern, QueryError, Scalar, shown, text, too_many,
};
use crate::protocol::object::type_name;

/// What has to hold of a twin.
///
/// ```
/// use twinthing::protocol::{Column, Condition, Query, Test};
///
/// let request = r#"{"where":{"not":{"column":"online","op":"is null"}}}"#;
/// let query = Query::from_object(&serde_json::from_str(request)?)?;
/// let unknown = Condition::Is(Column::Online, Test::Null);
/// assert_eq!(query.condition, Condition::Not(Box::new(unknown)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Each of these; there may be none.
    All(Vec<Self>),
    /// One of these at least; there may be none.
    Any(Vec<Self>),
    /// Not this.
    Not(Box<Self>),
    /// This, of a column's value.
    Is(Column, Test),
}

/// What is asked of a value. One of another type than what it is compared with passes no test but `IS NULL` and
/// `IS NOT NULL`.
///
/// ```
/// use twinthing::protocol::{Condition, Query, Test};
///
/// let request = r#"{"where":{"column":"version","op":"IN","value":[1,1.0,2]}}"#;
/// let query = Query::from_object(&serde_json::from_str(request)?)?;
/// let Condition::Is(_, Test::In(values)) = query.condition else { return Err("no list".into()) };
/// assert_eq!(values.len(), 2, "1 and 1.0 are one value");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// `=`
    Equal(Scalar),
    /// `!=` and `<>`
    Unequal(Scalar),
    /// `<`
    Less(Scalar),
    /// `<=`
    AtMost(Scalar),
    /// `>`
    Greater(Scalar),
    /// `>=`
    AtLeast(Scalar),
    /// `LIKE`
    Like(Pattern),
    /// `NOT LIKE`
    NotLike(Pattern),
    /// `IN`
    In(HashSet<Scalar>),
    /// `NOT IN`
    NotIn(HashSet<Scalar>),
    /// `IS NULL`: null, or not there.
    Null,
    /// `IS NOT NULL`
    NotNull,
}

/// The operators as an error lists them.
pub(super) const OPERATORS: [&str; 13] = [
    "=",
    "!=",
    "<>",
    "<",
    "<=",
    ">",
    ">=",
    "LIKE",
    "NOT LIKE",
    "IN",
    "NOT IN",
    "IS NULL",
    "IS NOT NULL",
];

impl Condition {
    /// Reads a `where`.
    pub(super) fn parse(value: &Value) -> Result<Self, QueryError> {
        let mut left = Left { conditions: MAX_QUERY_PARTS, pattern: MAX_PATTERN };
        condition("where", value, &mut left)
    }
}

/// How much a `where` may still have.
struct Left {
    conditions: usize,
    /// Characters of patterns.
    pattern: usize,
}

/// Payloads are nested at most 100 deep, and so are conditions.
fn condition(place: &str, value: &Value, left: &mut Left) -> Result<Condition, QueryError> {
    let rest = left.conditions.checked_sub(1);
    left.conditions = rest.ok_or_else(|| too_many("where", "conditions"))?;
    let Value::Object(object) = value else {
        return Err(QueryError::wrong_type(place, value, "an object"));
    };
    let form = |what: String| QueryError::Form { place: place.to_owned(), what };
    let Some((first, inner)) = object.iter().next() else { return Ok(Condition::All(Vec::new())) };
    if let Some(unknown) = object
        .keys()
        .find(|key| !matches!(key.as_str(), "column" | "op" | "value" | "and" | "or" | "not"))
    {
        return Err(form(format!("holds {:?}", shown(unknown))));
    }
    match (first.as_str(), object.len()) {
        ("and", 1) => Ok(Condition::All(conditions(&format!("{place}.and"), inner, left)?)),
        ("or", 1) => Ok(Condition::Any(conditions(&format!("{place}.or"), inner, left)?)),
        ("not", 1) => {
            Ok(Condition::Not(Box::new(condition(&format!("{place}.not"), inner, left)?)))
        }
        _ if ["and", "or", "not"].iter().any(|key| object.contains_key(*key)) => {
            Err(form("holds more than one condition".to_owned()))
        }
        _ => comparison(place, object, left),
    }
}

fn conditions(place: &str, value: &Value, left: &mut Left) -> Result<Vec<Condition>, QueryError> {
    let Value::Array(values) = value else {
        return Err(QueryError::wrong_type(place, value, "an array of conditions"));
    };
    let one = |(index, value)| condition(&format!("{place}[{index}]"), value, left);
    values.iter().enumerate().map(one).collect()
}

fn comparison(
    place: &str,
    object: &Map<String, Value>,
    left: &mut Left,
) -> Result<Condition, QueryError> {
    let member = |name: &str| {
        object.get(name).ok_or_else(|| QueryError::Form {
            place: place.to_owned(),
            what: format!("has no {name}"),
        })
    };
    let column = text(&format!("{place}.column"), member("column")?)?.parse()?;
    let op = text(&format!("{place}.op"), member("op")?)?;
    let known = op.to_ascii_uppercase();
    let Some(op) = OPERATORS.into_iter().find(|operator| *operator == known) else {
        return Err(QueryError::Operator { op: shown(op), place: place.to_owned() });
    };
    if op == "IS NULL" {
        return Ok(Condition::Is(column, Test::Null));
    }
    if op == "IS NOT NULL" {
        return Ok(Condition::Is(column, Test::NotNull));
    }
    let operand = Operand { op, place, value: member("value")? };
    Ok(Condition::Is(column, operand.test(left)?))
}

/// A value with the operator that is to take it.
struct Operand<'a> {
    op: &'static str,
    place: &'a str,
    value: &'a Value,
}

impl Operand<'_> {
    fn test(&self, left: &mut Left) -> Result<Test, QueryError> {
        Ok(match self.op {
            "=" => Test::Equal(self.scalar()?),
            "!=" | "<>" => Test::Unequal(self.scalar()?),
            "<" => Test::Less(self.in_order()?),
            "<=" => Test::AtMost(self.in_order()?),
            ">" => Test::Greater(self.in_order()?),
            ">=" => Test::AtLeast(self.in_order()?),
            "LIKE" => Test::Like(self.pattern(left)?),
            "NOT LIKE" => Test::NotLike(self.pattern(left)?),
            "IN" => Test::In(self.list()?),
            _ => Test::NotIn(self.list()?),
        })
    }

    fn not(&self, found: &Value, wanted: &'static str) -> QueryError {
        let (op, place) = (self.op, self.place.to_owned());
        QueryError::Operand { op, place, wanted, found: type_name(found) }
    }

    fn scalar(&self) -> Result<Scalar, QueryError> {
        Scalar::of(self.value)
            .ok_or_else(|| self.not(self.value, "a number, a string or a boolean"))
    }

    fn in_order(&self) -> Result<Scalar, QueryError> {
        Scalar::of(self.value)
            .filter(|scalar| !matches!(scalar, Scalar::Bool(_)))
            .ok_or_else(|| self.not(self.value, "a number or a string"))
    }

    fn pattern(&self, left: &mut Left) -> Result<Pattern, QueryError> {
        let text = self.value.as_str().ok_or_else(|| self.not(self.value, "a string"))?;
        let rest = left.pattern.checked_sub(text.chars().count());
        left.pattern = rest.ok_or_else(|| QueryError::TooMany {
            place: "where".to_owned(),
            what: "characters in its patterns",
            limit: MAX_PATTERN,
        })?;
        Ok(Pattern::new(text))
    }

    fn list(&self) -> Result<HashSet<Scalar>, QueryError> {
        let Value::Array(values) = self.value else {
            return Err(self.not(self.value, "an array"));
        };
        let wanted = "an array of numbers, strings and booleans";
        let scalar = |value| Scalar::of(value).ok_or_else(|| self.not(value, wanted));
        values.iter().map(scalar).collect()
    }
}
