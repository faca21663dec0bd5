//! What clients ask of a group, GET and SET: alone knows the members of these requests, and those of the answer
//! to a SET.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    Bad, GetRequest, Problem, Query, SetRequest, ThingId,
    object::{parse_object, wrong_type},
    whole_number,
};

/// A SET of the members of a group, or of some of them.
///
/// ```
/// use twinthing::protocol::GroupSetRequest;
///
/// let request = GroupSetRequest::parse(br#"{"set":{"alarm":null},"version":3}"#, 1024)?;
/// assert!(request.from.is_empty(), "all members are meant");
/// assert_eq!(request.set.version, Some(3));
/// # Ok::<(), twinthing::protocol::Problem>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSetRequest {
    /// What is asked of each of them.
    pub set: SetRequest,
    /// Whom it is for, each once; all members if it is empty. What is no member's id is refused.
    pub from: BTreeSet<String>,
}

impl GroupSetRequest {
    /// Reads the payload of `GRP/<group>/TWIN/SET`, which may have `limit` bytes.
    ///
    /// ```
    /// use twinthing::protocol::GroupSetRequest;
    ///
    /// let request = GroupSetRequest::parse(br#"{"set":{"on":true},"from":["a"],"query":1}"#, 100).unwrap();
    /// assert!(request.from.contains("a"));
    /// assert_eq!(request.set.members["on"], true);
    /// ```
    ///
    /// # Errors
    /// A [`Problem`] under the request's `query` says what is wrong with it.
    pub fn parse(payload: &[u8], limit: usize) -> Result<Self, Problem> {
        let mut object = parse_object(payload, limit).map_err(|bad| bad.asked_by(None))?;
        let query = object.remove("query");
        let from = match from(&object) {
            Ok(from) => from,
            Err(bad) => return Err(bad.asked_by(query)),
        };
        Ok(Self { set: SetRequest::from_object(object, query)?, from })
    }
}

fn from(object: &Map<String, Value>) -> Result<BTreeSet<String>, Bad> {
    const WANTED: &str = "an array of ids";
    let ids = match object.get("from") {
        None => return Ok(BTreeSet::new()),
        Some(Value::Array(ids)) => ids,
        Some(other) => return Err(wrong_type("from", other, WANTED)),
    };
    let id = |id: &Value| {
        id.as_str().map(str::to_owned).ok_or_else(|| wrong_type("a member of from", id, "a string"))
    };
    ids.iter().map(id).collect()
}

/// Reads the payload of `GRP/<group>/TWIN/GET`: what is asked of the members, and the request's `query`.
///
/// ```
/// use twinthing::protocol::{Query, parse_group_get};
///
/// let (asked, query) = parse_group_get(br#"{"query":5}"#, 1024)?;
/// assert_eq!(*asked, Query::default(), "all there is of every member");
/// assert_eq!(query, Some(5.into()));
/// # Ok::<(), twinthing::protocol::Problem>(())
/// ```
///
/// # Errors
/// A [`Problem`] under the request's `query` says what is wrong with it.
pub fn parse_group_get(
    payload: &[u8],
    limit: usize,
) -> Result<(Box<Query>, Option<Value>), Problem> {
    Ok(match GetRequest::parse(payload, limit)? {
        GetRequest::Query { asked, query } => (asked, query),
        GetRequest::Plain { query } => (Box::new(Query::default()), query),
    })
}

/// What came of a SET of a group: the answer to one that has a `query`.
///
/// ```
/// use twinthing::protocol::SetOutcome;
///
/// let outcome = SetOutcome { members: 1, refused: ["x".to_owned()].into(), ..SetOutcome::default() };
/// let answer: serde_json::Value = serde_json::from_str(&outcome.to_payload(&7.into()))?;
/// assert_eq!(SetOutcome::from_value(&answer["set"]), Some(outcome));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetOutcome {
    /// How many members were addressed.
    pub members: usize,
    /// Members of which something else is desired now.
    pub changed: BTreeSet<ThingId>,
    /// Members of which that was desired already, or who reported it.
    pub unchanged: BTreeSet<ThingId>,
    /// Who is no member, or did not take it: at another version, or too large with it.
    pub refused: BTreeSet<String>,
}

impl SetOutcome {
    /// Reads the member `set` of an answer; none if it is no outcome.
    ///
    /// ```
    /// use serde_json::json;
    /// use twinthing::protocol::SetOutcome;
    ///
    /// let set = json!({"members": 2, "changed": ["a"], "unchanged": ["b"], "refused": []});
    /// let outcome = SetOutcome::from_value(&set).unwrap();
    /// assert!(outcome.unchanged.contains("b"));
    /// ```
    #[must_use]
    pub fn from_value(set: &Value) -> Option<Self> {
        let members = usize::try_from(whole_number(set.get("members")?)?).ok()?;
        let list = |name: &str| set.get(name).and_then(Value::as_array);
        let ids = |name: &str| -> Option<BTreeSet<ThingId>> {
            list(name)?.iter().map(|id| id.as_str()?.parse().ok()).collect()
        };
        let text = |id: &Value| id.as_str().map(str::to_owned);
        let refused = list("refused")?.iter().map(text).collect::<Option<_>>()?;
        Some(Self { members, changed: ids("changed")?, unchanged: ids("unchanged")?, refused })
    }

    /// The payload of `GRP/<group>/TWIN/RES`.
    ///
    /// ```
    /// use twinthing::protocol::SetOutcome;
    ///
    /// let outcome = SetOutcome { members: 1, changed: ["a".parse().unwrap()].into(), ..SetOutcome::default() };
    /// assert_eq!(
    ///     outcome.to_payload(&7.into()),
    ///     r#"{"query":7,"set":{"changed":["a"],"members":1,"refused":[],"unchanged":[]}}"#
    /// );
    /// ```
    #[must_use]
    pub fn to_payload(&self, query: &Value) -> String {
        let ids = |ids: &BTreeSet<ThingId>| Value::from_iter(ids.iter().map(ThingId::as_str));
        json!({
            "query": query,
            "set": {
                "members": self.members,
                "changed": ids(&self.changed),
                "unchanged": ids(&self.unchanged),
                "refused": Vec::from_iter(&self.refused),
            },
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::{Code, Orient};

    fn set(payload: &str) -> Result<GroupSetRequest, Problem> {
        GroupSetRequest::parse(payload.as_bytes(), 1000)
    }

    #[test]
    fn a_set_is_for_all_members_or_for_those_that_it_names_each_once() {
        for payload in [r#"{"set":{"a":1}}"#, r#"{"delta":{"a":1},"from":[]}"#] {
            let request = set(payload).unwrap();
            assert!(request.from.is_empty() && request.set.query.is_none(), "{payload}");
            assert_eq!(request.set.members["a"], 1);
        }
        let request = set(r#"{"set":{},"from":["b","a","b","no/id"],"version":3,"query":null}"#);
        let request = request.unwrap();
        assert_eq!(Vec::from_iter(&request.from), ["a", "b", "no/id"]);
        assert_eq!((request.set.version, request.set.query), (Some(3), Some(Value::Null)));
    }

    #[test]
    fn a_bad_set_is_answered_under_its_query() {
        for (payload, code, message) in [
            (r#"{"set":{},"from":"a","query":7}"#, 400, "from is a string, not an array of ids"),
            (r#"{"set":{},"from":null,"query":7}"#, 400, "from is null, not an array of ids"),
            (
                r#"{"set":{},"from":[1],"query":7}"#,
                400,
                "a member of from is a number, not a string",
            ),
            (r#"{"from":[],"query":7}"#, 400, "the payload has no set, delta or state"),
            (r#"{"set":[],"query":7}"#, 400, "set is an array, not an object"),
        ] {
            let problem = set(payload).unwrap_err();
            let (number, query) = (problem.code.number(), problem.query.unwrap());
            assert_eq!((number, problem.message.as_str(), query), (code, message, json!(7)));
        }
    }

    #[test]
    fn a_get_without_a_query_asks_for_everything() {
        for payload in ["", "{}", r#"{"GET":1}"#] {
            let (asked, query) = parse_group_get(payload.as_bytes(), 100).unwrap();
            assert_eq!((*asked, query), (Query::default(), None), "{payload}");
        }
        assert_eq!(Query::default(), Query::from_object(&Map::new()).unwrap());
        let (asked, query) = parse_group_get(br#"{"orient":"split","query":1}"#, 100).unwrap();
        assert_eq!((asked.orient, query), (Orient::Split, Some(json!(1))));
        assert_eq!(parse_group_get(b"[]", 100).unwrap_err().code, Code::Malformed);
    }

    proptest! {
        #[test]
        fn no_payload_makes_a_parser_panic(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
            let set = GroupSetRequest::parse(&payload, 200).is_ok();
            let get = parse_group_get(&payload, 200).is_ok();
            prop_assert!(!(set || get) || payload.len() <= 200);
        }
    }
}
