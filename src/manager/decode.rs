//! Reads the payloads of messages about things.

use serde_json::Value;

use super::twin_actor::AWAY;
use crate::{
    protocol::{
        Bad, Code, GetRequest, Problem, Query, Report, SetRequest, ThingTopic, parse_delete,
    },
    twin::Event,
};

/// What a message about a thing is.
#[derive(Debug, PartialEq)]
pub(super) enum Decoded {
    /// An event for the thing's twin and, if a client asks, what it asks.
    Event(Event, Option<Asked>),
    /// A client's request that is answered with an error.
    Problem(Problem),
    /// A thing's report that is none.
    Bad(Bad),
    /// A message from a manager, or from a client to a thing.
    NotForUs,
}

/// What a client asks, as far as the answer needs it.
#[derive(Debug, PartialEq)]
pub(super) struct Asked {
    /// By what the client knows its request.
    pub(super) query: Option<Value>,
    /// What it wants to know, if that is not the twin as a whole.
    pub(super) select: Option<Box<Query>>,
}

impl From<Option<Value>> for Asked {
    fn from(query: Option<Value>) -> Self {
        Self { query, select: None }
    }
}

/// Reads a message about a thing. While the database is `away`, nothing that is stored is told.
pub(super) fn decode(kind: ThingTopic, payload: &[u8], limit: usize, away: bool) -> Decoded {
    let request = match kind {
        ThingTopic::LcOn => return Decoded::Event(Event::Connected, None),
        ThingTopic::LcOff => return Decoded::Event(Event::Gone, None),
        ThingTopic::StateUpd => return report(payload, limit),
        ThingTopic::TwinSet => SetRequest::parse(payload, limit).map(|request| {
            let SetRequest { members, version, query } = request;
            (Event::Set { members: members.into(), version }, query.into())
        }),
        ThingTopic::TwinGet => get(payload, limit, away).map(|asked| (Event::Get, asked)),
        ThingTopic::TwinDel => {
            parse_delete(payload, limit).map(|query| (Event::Delete, query.into()))
        }
        ThingTopic::Ping
        | ThingTopic::Pong
        | ThingTopic::Stats
        | ThingTopic::StateGet
        | ThingTopic::StateSet
        | ThingTopic::TwinUpd
        | ThingTopic::TwinRes => return Decoded::NotForUs,
    };
    match request {
        Ok((event, asked)) => Decoded::Event(event, Some(asked)),
        Err(problem) => Decoded::Problem(problem),
    }
}

fn report(payload: &[u8], limit: usize) -> Decoded {
    match Report::parse(payload, limit) {
        Ok(report) => Decoded::Event(Event::Reported(report), None),
        Err(bad) => Decoded::Bad(bad),
    }
}

/// Reads a GET. While the database is `away`, there is no answer.
pub(super) fn get(payload: &[u8], limit: usize, away: bool) -> Result<Asked, Problem> {
    let asked = match GetRequest::parse(payload, limit)? {
        GetRequest::Plain { query } => Asked::from(query),
        GetRequest::Query { query, asked } => Asked { query, select: Some(asked) },
    };
    if away {
        let (code, message) = (Code::Unavailable, AWAY.to_owned());
        return Err(Problem { query: asked.query, code, message });
    }
    Ok(asked)
}
