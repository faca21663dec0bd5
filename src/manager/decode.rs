//! Reads the payloads of messages about things.

use serde_json::Value;

use super::twin_actor::AWAY;
use crate::{
    protocol::{Bad, Code, GetRequest, Problem, Report, SetRequest, ThingTopic, parse_delete},
    twin::Event,
};

/// What a message about a thing is.
#[derive(Debug, PartialEq)]
pub(super) enum Decoded {
    /// An event for the thing's twin and, if a client asks, its query.
    Event(Event, Option<Option<Value>>),
    /// A client's request that is answered with an error.
    Problem(Problem),
    /// A thing's report that is none.
    Bad(Bad),
    /// A message from a manager, or from a client to a thing.
    NotForUs,
}

/// Reads a message about a thing. While the database is `away`, nothing that is stored is told.
pub(super) fn decode(kind: ThingTopic, payload: &[u8], limit: usize, away: bool) -> Decoded {
    let request = match kind {
        ThingTopic::LcOn => return Decoded::Event(Event::Connected, None),
        ThingTopic::LcOff => return Decoded::Event(Event::Gone, None),
        ThingTopic::StateUpd => return report(payload, limit),
        ThingTopic::TwinSet => SetRequest::parse(payload, limit).map(|request| {
            let SetRequest { members, version, query } = request;
            (Event::Set { members, version }, query)
        }),
        ThingTopic::TwinGet => get(payload, limit, away).map(|query| (Event::Get, query)),
        ThingTopic::TwinDel => parse_delete(payload, limit).map(|query| (Event::Delete, query)),
        ThingTopic::Ping
        | ThingTopic::Pong
        | ThingTopic::Stats
        | ThingTopic::StateGet
        | ThingTopic::StateSet
        | ThingTopic::TwinUpd
        | ThingTopic::TwinRes => return Decoded::NotForUs,
    };
    match request {
        Ok((event, query)) => Decoded::Event(event, Some(query)),
        Err(problem) => Decoded::Problem(problem),
    }
}

fn report(payload: &[u8], limit: usize) -> Decoded {
    match Report::parse(payload, limit) {
        Ok(report) => Decoded::Event(Event::Reported(report), None),
        Err(bad) => Decoded::Bad(bad),
    }
}

/// Reads a GET for its query.
pub(super) fn get(payload: &[u8], limit: usize, away: bool) -> Result<Option<Value>, Problem> {
    let problem = |query, code, message: &str| Problem { query, code, message: message.to_owned() };
    match GetRequest::parse(payload, limit)? {
        GetRequest::Plain { query } if away => Err(problem(query, Code::Unavailable, AWAY)),
        GetRequest::Plain { query } => Ok(query),
        GetRequest::Query { query } => Err(problem(query, Code::Unprocessable, NO_QUERIES)),
    }
}

const NO_QUERIES: &str =
    "this manager does not answer queries with select yet; a GET without it asks for the twin";
