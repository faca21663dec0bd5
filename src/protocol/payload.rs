use serde_json::{Map, Value, json};

use super::number::whole_number;

/// The most bytes of a payload, and of a twin, unless set otherwise: 256 KiB.
pub const DEFAULT_PAYLOAD_LIMIT: usize = 256 * 1024;

/// The most objects and arrays inside each other in a payload.
pub const MAX_DEPTH: usize = 100;

/// A transaction number: 0 to 2³¹−1, since things in the field read it into 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Trn(u32);

impl Trn {
    /// The highest of them. After it they start again at 1.
    pub const MAX: Self = Self(0x7fff_ffff);

    /// The first that a manager gives out.
    pub const FIRST: Self = Self(1);

    /// The number, if it is in the range.
    #[must_use]
    pub fn new(trn: u32) -> Option<Self> {
        (trn <= Self::MAX.0).then_some(Self(trn))
    }

    /// The trn in a JSON value, if it is by value a whole number in the range.
    #[must_use]
    pub fn from_value(value: &Value) -> Option<Self> {
        whole_number(value).and_then(|whole| u32::try_from(whole).ok()).and_then(Self::new)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

/// The code of an error, as clients see it on `TWIN/RES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// 400: not JSON, not an object, a member of the wrong type or missing.
    Malformed,
    /// 404: nobody there to be asked.
    NotFound,
    /// 409: the twin is at another version.
    Conflict,
    /// 413: larger or deeper than what is taken.
    TooLarge,
    /// 422: understood, and not possible.
    Unprocessable,
    /// 503: the database is away.
    Unavailable,
}

impl Code {
    /// The number of it.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::Unprocessable => 422,
            Self::Unavailable => 503,
        }
    }
}

/// What a client is told when its request could not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The request's `query`, by which the client knows it.
    pub query: Option<Value>,
    /// What kind of problem it is.
    pub code: Code,
    /// What is wrong, where, and what would be right.
    pub message: String,
}

impl Problem {
    /// The payload of `TWIN/RES`.
    ///
    /// ```
    /// use twinthing::protocol::{Code, Problem};
    ///
    /// let problem = Problem { query: None, code: Code::Conflict, message: "gone".into() };
    /// assert_eq!(
    ///     problem.to_payload(),
    ///     r#"{"error":{"code":409,"message":"gone"},"query":null}"#
    /// );
    /// ```
    #[must_use]
    pub fn to_payload(&self) -> String {
        json!({
            "query": self.query,
            "error": {"code": self.code.number(), "message": self.message},
        })
        .to_string()
    }
}

/// Why a payload is not what its topic takes.
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
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::TooLarge { .. } | Self::TooDeep => Code::TooLarge,
            Self::NotJson(_) | Self::NotObject(_) | Self::Missing(_) | Self::WrongType { .. } => {
                Code::Malformed
            }
        }
    }

    fn asked_by(self, query: Option<Value>) -> Problem {
        Problem { query, code: self.code(), message: self.to_string() }
    }
}

/// What a thing says of itself: the payload of `STATE/UPD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether these are changes, or all there is.
    pub kind: ReportKind,
    /// The members, without `trn`.
    pub members: Map<String, Value>,
    /// The trn that came with them; one that is none counts as absent.
    pub trn: Option<Trn>,
}

/// Whether a report holds changes, or all there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportKind {
    /// `delta`: these changed.
    Delta,
    /// `state`: this is all.
    State,
}

impl Report {
    /// Reads the payload of `STATE/UPD`. If both `delta` and `state` are there, `delta` counts.
    ///
    /// ```
    /// use twinthing::protocol::{Report, ReportKind};
    ///
    /// let report = Report::parse(br#"{"delta":{"trn":7,"on":true}}"#, 1024)?;
    /// assert_eq!(report.kind, ReportKind::Delta);
    /// assert_eq!(report.trn.map(|trn| trn.get()), Some(7));
    /// # Ok::<(), twinthing::protocol::Bad>(())
    /// ```
    ///
    /// # Errors
    /// [`Bad`] if the payload is above `limit` bytes, too deep, no JSON object, or holds neither.
    pub fn parse(payload: &[u8], limit: usize) -> Result<Self, Bad> {
        let mut object = parse_object(payload, limit)?;
        let (kind, name) = if object.contains_key("delta") {
            (ReportKind::Delta, "delta")
        } else {
            (ReportKind::State, "state")
        };
        let mut members = match object.remove(name) {
            Some(Value::Object(members)) => members,
            Some(other) => return Err(wrong_type(name, &other, "an object")),
            None => return Err(Bad::Missing("delta and no state")),
        };
        let trn = members.remove("trn").as_ref().and_then(Trn::from_value);
        Ok(Self { kind, members, trn })
    }
}

/// What a client wishes: the payload of a thing's `TWIN/SET`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetRequest {
    /// The members asked for, without `trn`; null asks for removal.
    pub members: Map<String, Value>,
    /// The version that the twin has to be at, if the client says so.
    pub version: Option<u64>,
    /// By what the client knows its request.
    pub query: Option<Value>,
}

impl SetRequest {
    /// Reads the payload of `TWIN/SET`: the first there is of `set`, `delta` and `state` counts.
    ///
    /// # Errors
    /// The [`Problem`] to answer with: 400 or 413.
    pub fn parse(payload: &[u8], limit: usize) -> Result<Self, Problem> {
        let mut object = parse_object(payload, limit).map_err(|bad| bad.asked_by(None))?;
        let query = object.remove("query");
        match Self::from_object(object) {
            Ok((members, version)) => Ok(Self { members, version, query }),
            Err(bad) => Err(bad.asked_by(query)),
        }
    }

    fn from_object(
        mut object: Map<String, Value>,
    ) -> Result<(Map<String, Value>, Option<u64>), Bad> {
        let named = ["set", "delta", "state"].into_iter().find(|name| object.contains_key(*name));
        let name = named.ok_or(Bad::Missing("set, delta or state"))?;
        let mut members = match object.remove(name) {
            Some(Value::Object(members)) => members,
            other => return Err(wrong_type(name, &other.unwrap_or_default(), "an object")),
        };
        members.remove("trn");
        let version = match object.get("version") {
            None => None,
            Some(value) => Some(
                whole_number(value)
                    .ok_or_else(|| wrong_type("version", value, "a whole number from 0"))?,
            ),
        };
        Ok((members, version))
    }
}

/// What a client wants to know: the payload of a thing's `TWIN/GET`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GetRequest {
    /// The twin as it stands, on `TWIN/UPD`.
    Plain {
        /// By what the client knows its request.
        query: Option<Value>,
    },
    /// A query with `select`, to be answered on `TWIN/RES`.
    Query {
        /// By what the client knows its request.
        query: Option<Value>,
    },
}

impl GetRequest {
    /// Reads the payload of `TWIN/GET`; an empty one is `{}`.
    ///
    /// # Errors
    /// The [`Problem`] to answer with: 400 or 413.
    pub fn parse(payload: &[u8], limit: usize) -> Result<Self, Problem> {
        if payload.is_empty() {
            return Ok(Self::Plain { query: None });
        }
        let mut object = parse_object(payload, limit).map_err(|bad| bad.asked_by(None))?;
        let query = object.remove("query");
        let asks = ["select", "as", "where", "orient"].iter().any(|key| object.contains_key(*key));
        Ok(if asks { Self::Query { query } } else { Self::Plain { query } })
    }
}

/// Reads the payload of `TWIN/DEL`, an object or nothing, for its `query`.
///
/// # Errors
/// The [`Problem`] to answer with: 400 or 413.
pub fn parse_delete(payload: &[u8], limit: usize) -> Result<Option<Value>, Problem> {
    if payload.is_empty() {
        return Ok(None);
    }
    let mut object = parse_object(payload, limit).map_err(|bad| bad.asked_by(None))?;
    Ok(object.remove("query"))
}

/// The payload that answers a `TWIN/DEL`; a query that was absent is 0.
#[must_use]
pub fn delete_answer(query: Option<&Value>, deleted: bool) -> String {
    json!({"query": query.cloned().unwrap_or_else(|| json!(0)), "deleted": deleted}).to_string()
}

/// The payload of a `STATE/SET` or `STATE/UPD` that holds all there is.
#[must_use]
pub fn state_whole(members: Value) -> String {
    json!({"state": members}).to_string()
}

/// The payload of a `STATE/GET`.
#[must_use]
pub fn state_get() -> &'static str {
    r#"{"GET":1}"#
}

/// Reads a JSON object within the limits. Of duplicate members the last counts.
fn parse_object(payload: &[u8], limit: usize) -> Result<Map<String, Value>, Bad> {
    if payload.len() > limit {
        return Err(Bad::TooLarge { bytes: payload.len(), limit });
    }
    if depth(payload) > MAX_DEPTH {
        return Err(Bad::TooDeep);
    }
    match serde_json::from_slice(payload) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(Bad::NotObject(type_name(&other))),
        Err(error) => Err(Bad::NotJson(error.to_string())),
    }
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

fn wrong_type(member: &'static str, found: &Value, wanted: &'static str) -> Bad {
    Bad::WrongType { member, found: type_name(found), wanted }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn report(payload: &str) -> Result<Report, Bad> {
        Report::parse(payload.as_bytes(), 1000)
    }

    fn set(payload: &str) -> Result<SetRequest, String> {
        SetRequest::parse(payload.as_bytes(), 1000).map_err(|problem| problem.to_payload())
    }

    #[test]
    fn of_delta_and_state_in_a_report_delta_counts() {
        let report = report(r#"{"state":{"trn":9,"a":1},"delta":{"trn":1,"b":2}}"#).unwrap();
        assert_eq!(report.kind, ReportKind::Delta);
        assert_eq!(report.trn, Trn::new(1));
        assert_eq!(Value::Object(report.members), json!({"b": 2}));
    }

    #[test]
    fn a_trn_that_is_none_counts_as_absent() {
        for trn in ["-1", "2147483648", "1.5", "\"3\"", "null", "true", "[1]", "{}", "1e99"] {
            let report = report(&format!(r#"{{"delta":{{"trn":{trn},"a":1}}}}"#)).unwrap();
            assert_eq!((report.trn, report.members.len()), (None, 1), "{trn}");
        }
        for (trn, wanted) in [("0", 0), ("7.0", 7), ("70e-1", 7), ("2147483647", 0x7fff_ffff)] {
            let report = report(&format!(r#"{{"state":{{"trn":{trn}}}}}"#)).unwrap();
            assert_eq!(report.trn, Trn::new(wanted), "{trn}");
        }
    }

    #[test]
    fn a_bad_report_says_what_is_wrong() {
        for (payload, message) in [
            ("", "the payload is not JSON: EOF while parsing a value at line 1 column 0"),
            ("\u{feff}{}", "the payload is not JSON: expected value at line 1 column 1"),
            ("[1]", "the payload is an array, not a JSON object"),
            ("{}", "the payload has no delta and no state"),
            (r#"{"delta":null}"#, "delta is null, not an object"),
            (r#"{"state":[]}"#, "state is an array, not an object"),
            (
                r#"{"delta":{"a":NaN}}"#,
                "the payload is not JSON: expected value at line 1 column 15",
            ),
        ] {
            assert_eq!(report(payload).unwrap_err().to_string(), message);
        }
        assert_eq!(
            Report::parse(b"{\"delta\":{\"a\":\"\xff\"}}", 1000).unwrap_err().code(),
            Code::Malformed
        );
    }

    #[test]
    fn a_payload_above_the_limit_or_too_deep_is_a_413() {
        assert_eq!(
            Report::parse(br#"{"delta":{}}"#, 11).unwrap_err(),
            Bad::TooLarge { bytes: 12, limit: 11 }
        );
        let nested = |depth: usize| {
            format!("{}1{}", "{\"delta\":".repeat(depth), "}".repeat(depth)).into_bytes()
        };
        assert!(Report::parse(&nested(100), 10_000).is_ok());
        assert_eq!(Report::parse(&nested(101), 10_000).unwrap_err(), Bad::TooDeep);
        let brackets = "[".repeat(5000);
        let error = SetRequest::parse(brackets.as_bytes(), 10_000).unwrap_err();
        assert_eq!(
            (error.code, error.message.as_str()),
            (Code::TooLarge, "the payload is nested deeper than 100")
        );
    }

    #[test]
    fn brackets_inside_strings_do_not_nest() {
        let text = format!(r#"{{"delta":{{"a":"{}\"{}"}}}}"#, "[".repeat(200), "{".repeat(200));
        assert!(report(&text).is_ok());
    }

    #[test]
    fn of_set_delta_and_state_in_a_set_the_first_counts() {
        let members = |payload| Value::Object(set(payload).unwrap().members);
        assert_eq!(members(r#"{"state":{"c":3},"delta":{"b":2},"set":{"a":1}}"#), json!({"a": 1}));
        assert_eq!(members(r#"{"state":{"c":3},"delta":{"b":2}}"#), json!({"b": 2}));
        assert_eq!(members(r#"{"state":{"c":3,"trn":9}}"#), json!({"c": 3}));
    }

    #[test]
    fn a_set_may_name_a_version_and_a_query() {
        let request = set(r#"{"set":{},"version":4.0,"query":{"n":[1]}}"#).unwrap();
        assert_eq!((request.version, request.query), (Some(4), Some(json!({"n": [1]}))));
        assert_eq!(set(r#"{"set":{},"query":null}"#).unwrap().query, Some(Value::Null));
    }

    #[test]
    fn a_bad_set_is_answered_under_its_query() {
        for (payload, answer) in [
            (
                r#"{"query":7}"#,
                r#"{"error":{"code":400,"message":"the payload has no set, delta or state"},"query":7}"#,
            ),
            (
                r#"{"set":5,"query":"q"}"#,
                r#"{"error":{"code":400,"message":"set is a number, not an object"},"query":"q"}"#,
            ),
            (
                r#"{"set":{},"version":"1"}"#,
                r#"{"error":{"code":400,"message":"version is a string, not a whole number from 0"},"query":null}"#,
            ),
            (
                r#"{"set":{},"version":null}"#,
                r#"{"error":{"code":400,"message":"version is null, not a whole number from 0"},"query":null}"#,
            ),
            (
                "true",
                r#"{"error":{"code":400,"message":"the payload is a boolean, not a JSON object"},"query":null}"#,
            ),
        ] {
            assert_eq!(set(payload).unwrap_err(), answer);
        }
    }

    #[test]
    fn a_get_is_plain_unless_it_selects() {
        for payload in ["", "{}", r#"{"GET":1}"#] {
            assert_eq!(
                GetRequest::parse(payload.as_bytes(), 100),
                Ok(GetRequest::Plain { query: None })
            );
        }
        assert_eq!(
            GetRequest::parse(br#"{"select":["clientId"],"query":1}"#, 100),
            Ok(GetRequest::Query { query: Some(json!(1)) })
        );
        assert_eq!(GetRequest::parse(b"[]", 100).unwrap_err().code, Code::Malformed);
    }

    #[test]
    fn a_delete_gives_its_query_back() {
        assert_eq!(parse_delete(br#"{"query":3}"#, 100), Ok(Some(json!(3))));
        assert_eq!(parse_delete(b"", 100), Ok(None));
        assert_eq!(parse_delete(b"nope", 100).unwrap_err().code, Code::Malformed);
        assert_eq!(delete_answer(None, false), r#"{"deleted":false,"query":0}"#);
        assert_eq!(delete_answer(Some(&Value::Null), true), r#"{"deleted":true,"query":null}"#);
    }

    #[test]
    fn a_number_comes_back_as_it_was_sent() {
        let text = r#"{"delta":{"a":123456789012345678901234567890.10,"b":1e+400}}"#;
        let delta = json!({"delta": report(text).unwrap().members}).to_string();
        assert_eq!(delta, text);
    }

    proptest! {
        #[test]
        fn no_payload_makes_a_parser_panic(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
            let parsed = (
                Report::parse(&payload, 200).is_ok(),
                SetRequest::parse(&payload, 200).is_ok(),
                GetRequest::parse(&payload, 200).is_ok(),
                parse_delete(&payload, 200).is_ok(),
            );
            prop_assert!(!parsed.0 || payload.len() <= 200);
        }
    }
}
