//! The values that conditions compare.

use std::{borrow::Cow, cmp::Ordering};

use serde_json::Value;

use crate::protocol::number::Decimal;

/// A value that can be compared with another of its type. Numbers are equal and in order by value, strings by code
/// point; booleans are equal or not.
///
/// ```
/// use serde_json::json;
/// use twinthing::protocol::Scalar;
///
/// assert_eq!(Scalar::of(&json!(25)), Scalar::of(&json!(25.0)));
/// assert_ne!(Scalar::of(&json!(25)), Scalar::of(&json!("25")));
/// ```
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
    ///
    /// ```
    /// use serde_json::json;
    /// use twinthing::protocol::Scalar;
    ///
    /// assert_eq!(Scalar::of(&json!("on")), Some(Scalar::Text("on".into())));
    /// assert_eq!(Scalar::of(&json!(["on"])), None);
    /// ```
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
    ///
    /// ```
    /// use twinthing::protocol::Scalar;
    ///
    /// let text = Scalar::Text("true".into());
    /// assert!(text.is_like(&Scalar::Text("false".into())));
    /// assert!(!text.is_like(&Scalar::Bool(true)));
    /// ```
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// How two numbers, or two strings, are in order; none for anything else.
    ///
    /// ```
    /// use std::cmp::Ordering;
    /// use twinthing::protocol::Scalar;
    ///
    /// let (upper, lower) = (Scalar::Text("Z".into()), Scalar::Text("a".into()));
    /// assert_eq!(upper.order(&lower), Some(Ordering::Less));
    /// assert_eq!(Scalar::Bool(false).order(&Scalar::Bool(true)), None);
    /// ```
    #[must_use]
    pub fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => Some(one.cmp(other)),
            (Self::Text(one), Self::Text(other)) => Some(one.cmp(other)),
            _ => None,
        }
    }

    /// The value that JSON is, unless that is null, an array or an object.
    pub(crate) fn of_json(value: &str) -> Option<Self> {
        match value.as_bytes().first()? {
            b't' | b'f' => value.parse().ok().map(Self::Bool),
            b'"' => string(value).map(|text| Self::Text(text.into_owned())),
            _ => is_number(value).then(|| Self::Number(Decimal::of(value))),
        }
    }

    /// How a value, as JSON, is in order to this: none if it is of another type, or there is no order in it.
    pub(crate) fn order_of(&self, value: &str) -> Option<Ordering> {
        match self {
            Self::Number(own) => is_number(value).then(|| own.order_of(value)),
            Self::Text(own) => string(value).map(|text| text.as_ref().cmp(own)),
            Self::Bool(_) => None,
        }
    }

    /// Whether a value, as JSON, is this; none if it is of another type.
    pub(crate) fn is(&self, value: &str) -> Option<bool> {
        match self {
            Self::Bool(own) => value.parse().ok().map(|value: bool| value == *own),
            Self::Number(_) | Self::Text(_) => self.order_of(value).map(Ordering::is_eq),
        }
    }
}

/// Whether JSON is a number.
fn is_number(value: &str) -> bool {
    value.starts_with(|sign: char| sign == '-' || sign.is_ascii_digit())
}

/// The string that JSON is, if it is one; most hold nothing that has to be read another way.
pub(crate) fn string(value: &str) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(value).ok().map(Cow::Owned)
    } else {
        Some(inner.into())
    }
}
