//! The JSON object that a payload is: alone knows how large and how deep one may be, and what makes
//! it bad.

use serde_json::{Map, Value};

use super::{Code, Problem};

/// The most bytes of a payload, and of a twin, unless set otherwise: 256 KiB.
///
/// ```
/// use twinthing::protocol::{Bad, DEFAULT_PAYLOAD_LIMIT, Report};
///
/// let payload = format!(r#"{{"delta":{{"log":"{}"}}}}"#, "x".repeat(DEFAULT_PAYLOAD_LIMIT));
/// let report = Report::parse(payload.as_bytes(), DEFAULT_PAYLOAD_LIMIT);
/// assert!(matches!(report, Err(Bad::TooLarge { limit: 262_144, .. })));
/// ```
pub const DEFAULT_PAYLOAD_LIMIT: usize = 256 * 1024;

/// The most objects and arrays inside each other in a payload.
///
/// ```
/// use twinthing::protocol::{Bad, MAX_DEPTH, Report};
///
/// let nested = |depth| format!("{}1{}", r#"{"delta":"#.repeat(depth), "}".repeat(depth));
/// assert!(Report::parse(nested(MAX_DEPTH).as_bytes(), 2000).is_ok());
/// assert_eq!(Report::parse(nested(MAX_DEPTH + 1).as_bytes(), 2000), Err(Bad::TooDeep));
/// ```
pub const MAX_DEPTH: usize = 100;

/// How serde_json marks numbers that it keeps as they were written.
pub(super) const RESERVED: &str = "$serde_json::private::";

/// Why a payload is not what its topic takes.
///
/// ```
/// use twinthing::protocol::Report;
///
/// let error = Report::parse(br#"{"delta":[1,2]}"#, 1024).unwrap_err();
/// assert_eq!(error.to_string(), "delta is an array, not an object");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Bad {
    /// Above the limit, which is configurable.
    #[error("the payload has {bytes} bytes; at most {limit} are taken")]
    TooLarge {
        /// The payload's length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// More objects and arrays inside each other than [`MAX_DEPTH`].
    #[error("the payload is nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// Not JSON.
    #[error("the payload is not JSON: {0}")]
    NotJson(String),
    /// JSON, but no object.
    #[error("the payload is {0}, not a JSON object")]
    NotObject(&'static str),
    /// A name that the JSON library takes for a number of its own.
    #[error("the payload holds {RESERVED:?}, which no member may be called")]
    Reserved,
    /// A member that has to be there is not.
    #[error("the payload has no {0}")]
    Missing(&'static str),
    /// A member has the wrong type.
    #[error("{member} is {found}, not {wanted}")]
    WrongType {
        /// The member.
        member: &'static str,
        /// The type it has.
        found: &'static str,
        /// The type it should have.
        wanted: &'static str,
    },
}

impl Bad {
    /// The code under which a client is told.
    ///
    /// ```
    /// use twinthing::protocol::{Code, Report};
    ///
    /// let too_large = Report::parse(br#"{"delta":{}}"#, 10).unwrap_err();
    /// assert_eq!(too_large.code(), Code::TooLarge);
    /// ```
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::TooLarge { .. } | Self::TooDeep => Code::TooLarge,
            Self::NotJson(_)
            | Self::NotObject(_)
            | Self::Reserved
            | Self::Missing(_)
            | Self::WrongType { .. } => Code::Malformed,
        }
    }

    /// What the client who sent it is told.
    pub(super) fn asked_by(self, query: Option<Value>) -> Problem {
        Problem { query, code: self.code(), message: self.to_string() }
    }
}

/// Reads a JSON object within the limits. Of duplicate members the last counts.
pub(super) fn parse_object(payload: &[u8], limit: usize) -> Result<Map<String, Value>, Bad> {
    if payload.len() > limit {
        return Err(Bad::TooLarge { bytes: payload.len(), limit });
    }
    if depth(payload) > MAX_DEPTH {
        return Err(Bad::TooDeep);
    }
    let text = std::str::from_utf8(payload).map_err(|error| Bad::NotJson(error.to_string()))?;
    if holds_reserved(text) {
        return Err(Bad::Reserved);
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(Bad::NotObject(type_name(&other))),
        Err(error) => Err(Bad::NotJson(error.to_string())),
    }
}

/// Whether the reserved name is there, as it is or spelled with escapes.
fn holds_reserved(text: &str) -> bool {
    text.contains(RESERVED) || (text.contains("\\u") && without_escapes(text).contains(RESERVED))
}

/// The text with a character for each escape by number of one byte. Of others the backslash stays, so
/// that nothing is spelled by what they leave.
fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, escape)) = rest.split_once('\\') {
        plain.push_str(before);
        let digits = escape.strip_prefix('u').and_then(|digits| digits.get(..4));
        let code = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let skipped = code.map_or_else(|| escape.chars().next().map_or(0, char::len_utf8), |_| 5);
        plain.push(code.map_or('\\', char::from));
        rest = escape.get(skipped..).unwrap_or_default();
    }
    plain + rest
}

/// How deep the objects and arrays of a payload go, without parsing it.
fn depth(payload: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut quoted, mut escaped) = (false, false);
    for byte in payload {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

pub(super) fn wrong_type(member: &'static str, found: &Value, wanted: &'static str) -> Bad {
    Bad::WrongType { member, found: type_name(found), wanted }
}

pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
