//! What clients ask of a twin, GET, SET and DEL: alone knows the members of these requests, and what
//! stands for one that is left out.

use serde_json::{Map, Value, json};

use super::{
    Bad, Problem, Query,
    object::{parse_object, wrong_type},
    whole_number,
};

/// What a client wishes: the payload of a thing's `TWIN/SET`.
///
/// ```
/// use twinthing::protocol::SetRequest;
///
/// let request = SetRequest::parse(br#"{"delta":{"trn":9,"alarm":null},"query":"q1"}"#, 1024)?;
/// assert!(request.members["alarm"].is_null(), "it is to be removed");
/// assert!(!request.members.contains_key("trn"), "the manager gives one");
/// # Ok::<(), twinthing::protocol::Problem>(())
/// ```
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
    /// ```
    /// use twinthing::protocol::{Problem, SetRequest};
    ///
    /// let request = SetRequest::parse(br#"{"set":{"on":true},"version":4}"#, 1024)?;
    /// assert!(request.members.contains_key("on"));
    /// assert_eq!(request.version, Some(4));
    /// # Ok::<(), Problem>(())
    /// ```
    ///
    /// # Errors
    /// The [`Problem`] to answer with: 400 or 413.
    pub fn parse(payload: &[u8], limit: usize) -> Result<Self, Problem> {
        let mut object = parse_object(payload, limit).map_err(|bad| bad.asked_by(None))?;
        let query = object.remove("query");
        Self::from_object(object, query)
    }

    /// Reads what a payload holds besides its `query`.
    pub(super) fn from_object(
        object: Map<String, Value>,
        query: Option<Value>,
    ) -> Result<Self, Problem> {
        match Self::members_of(object) {
            Ok((members, version)) => Ok(Self { members, version, query }),
            Err(bad) => Err(bad.asked_by(query)),
        }
    }

    fn members_of(
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
///
/// ```
/// use twinthing::protocol::{GetRequest, ThingTopic};
///
/// let answered_on = match GetRequest::parse(br#"{"GET":1}"#, 1024)? {
///     GetRequest::Plain { .. } => ThingTopic::TwinUpd,
///     GetRequest::Query { .. } => ThingTopic::TwinRes,
/// };
/// assert_eq!(answered_on, ThingTopic::TwinUpd);
/// # Ok::<(), twinthing::protocol::Problem>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GetRequest {
    /// The twin as it stands, on `TWIN/UPD`.
    Plain {
        /// By what the client knows its request.
        query: Option<Value>,
    },
    /// A query, to be answered on `TWIN/RES`.
    Query {
        /// What is asked.
        asked: Box<Query>,
        /// By what the client knows its request.
        query: Option<Value>,
    },
}

impl GetRequest {
    /// Reads the payload of a thing's `TWIN/GET`; an empty one is `{}`. With `select`, `as`, `where` or `orient` it
    /// is a query.
    ///
    /// ```
    /// use twinthing::protocol::{GetRequest, Problem};
    ///
    /// let request = GetRequest::parse(br#"{"select":["version"]}"#, 1024)?;
    /// assert!(matches!(request, GetRequest::Query { query: None, .. }));
    /// # Ok::<(), Problem>(())
    /// ```
    ///
    /// # Errors
    /// The [`Problem`] to answer with: 400, 413 or 422.
    pub fn parse(payload: &[u8], limit: usize) -> Result<Self, Problem> {
        if payload.is_empty() {
            return Ok(Self::Plain { query: None });
        }
        let mut object = parse_object(payload, limit).map_err(|bad| bad.asked_by(None))?;
        let query = object.remove("query");
        let asks = ["select", "as", "where", "orient"].iter().any(|key| object.contains_key(*key));
        if !asks {
            return Ok(Self::Plain { query });
        }
        match Query::from_object(&object) {
            Ok(asked) => Ok(Self::Query { asked: Box::new(asked), query }),
            Err(error) => Err(Problem { query, code: error.code(), message: error.to_string() }),
        }
    }
}

/// Reads the payload of `TWIN/DEL`, an object or nothing, for its `query`.
///
/// ```
/// use twinthing::protocol::{Problem, parse_delete};
///
/// let query = parse_delete(br#"{"query":"mine"}"#, 1024)?;
/// assert_eq!(query, Some("mine".into()));
/// # Ok::<(), Problem>(())
/// ```
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
///
/// ```
/// use twinthing::protocol::delete_answer;
///
/// assert_eq!(delete_answer(Some(&"mine".into()), true), r#"{"deleted":true,"query":"mine"}"#);
/// assert_eq!(delete_answer(None, false), r#"{"deleted":false,"query":0}"#);
/// ```
#[must_use]
pub fn delete_answer(query: Option<&Value>, deleted: bool) -> String {
    json!({"query": query.cloned().unwrap_or_else(|| json!(0)), "deleted": deleted}).to_string()
}

/// The payload of a `STATE/GET`.
///
/// ```
/// use twinthing::protocol::state_get;
///
/// assert_eq!(state_get(), r#"{"GET":1}"#);
/// ```
#[must_use]
pub fn state_get() -> &'static str {
    r#"{"GET":1}"#
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::{Code, Report};

    fn set(payload: &str) -> Result<SetRequest, String> {
        SetRequest::parse(payload.as_bytes(), 1000).map_err(|problem| problem.to_payload())
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
        for payload in [r#"{"select":["clientId"],"query":1}"#, r#"{"where":{},"query":1}"#] {
            let request = GetRequest::parse(payload.as_bytes(), 100).unwrap();
            assert!(matches!(request, GetRequest::Query { query: Some(q), .. } if q == 1));
        }
        let problem = GetRequest::parse(br#"{"select":["a"],"query":1}"#, 100).unwrap_err();
        assert_eq!((problem.code, problem.query), (Code::Unprocessable, Some(json!(1))));
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
