//! The values that conditions compare.

use std::cmp::Ordering;

use serde_json::Value;

use crate::protocol::number::Decimal;

/// A value that can be compared with another of its type. Numbers are equal and in order by value, strings by code
/// point; booleans are equal or not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// True or false.
    Bool(bool),
    /// A number of any length.
    Number(Decimal),
    /// A string.
    Text(String),
}

impl Scalar {
    /// The value, unless it is null, an array or an object.
    #[must_use]
    pub fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(Self::Bool(*value)),
            Value::Number(number) => Some(Self::Number(Decimal::of(number.as_str()))),
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// Whether both are of one type.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// How two numbers, or two strings, are in order; none for anything else.
    #[must_use]
    pub fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => Some(one.cmp(other)),
            (Self::Text(one), Self::Text(other)) => Some(one.cmp(other)),
            _ => None,
        }
    }
}
