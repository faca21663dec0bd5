//! What goes into the rules, and what comes out of them.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};

use super::Record;
use crate::protocol::{Code, DEFAULT_PAYLOAD_LIMIT, Report, Timestamp};

/// The numbers in the rules; the protocol gives their defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The most bytes that a twin may have as `TWIN/UPD`; 256 KiB.
    pub twin_limit: usize,
    /// How long after LC/ON a thing's state may be the defaults of its reboot; 5 s.
    pub reboot: Duration,
    /// How long after LC/ON an LC/OFF may be the will of the connection before; 5 s.
    pub late_will: Duration,
    /// How long a sent delta waits for its answer before it is sent again; 30 s, then doubling.
    pub retry: Duration,
    /// How often a delta is sent again before it waits for the next LC/ON; 5 times.
    pub retries: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            twin_limit: DEFAULT_PAYLOAD_LIMIT,
            reboot: Duration::from_secs(5),
            late_will: Duration::from_secs(5),
            retry: Duration::from_secs(30),
            retries: 5,
        }
    }
}

/// When something happened, and under which rules.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The time.
    pub now: Timestamp,
    /// The session at the broker: presence learnt in another one is not known any more.
    pub session: i64,
    /// The rules.
    pub rules: &'a Rules,
}

/// What happens to a twin.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The thing has connected: LC/ON.
    Connected,
    /// The thing is gone: LC/OFF.
    Gone,
    /// The thing says what it is, or what changed.
    Reported(Report),
    /// A client asks for a change.
    Set {
        /// The members asked for; null asks for removal. Shared, as a group's SET is one for all its members.
        members: Arc<Map<String, Value>>,
        /// The version that the twin has to be at, if the client says so.
        version: Option<u64>,
    },
    /// A client asks for the twin.
    Get,
    /// A client has the twin forgotten.
    Delete,
    /// The manager has started, or has lost its session at the broker.
    Resumed {
        /// Whether what was committed before may not have been told.
        untold: bool,
    },
    /// A delta has waited for its answer for so long that it is sent again, for the n-th time.
    RetryDue(u32),
}

/// What follows from an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// What has to be committed before anything of this is told.
    pub commit: Option<Commit>,
    /// What is told then, in this order.
    pub tell: Vec<Tell>,
    /// What becomes of the sending again of a delta.
    pub retry: Retry,
}

/// What has to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commit {
    /// The twin as it now is.
    Put(Box<Record>),
    /// That there is none.
    Delete,
}

/// What is told, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tell {
    /// All: the twin, on `TWIN/UPD`.
    Twin(String),
    /// The client: whether there was a twin to forget.
    Deleted(bool),
    /// The thing: say what you are. `STATE/GET`.
    AskState,
    /// The thing: be, or change. The payload of `STATE/SET`.
    ToThing(String),
}

/// What becomes of the sending again of a delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// What was planned stays planned.
    AsPlanned,
    /// It is sent again so long after it went out, for the n-th time, unless an answer comes.
    After(Duration, u32),
    /// It is not sent again by itself.
    Never,
}

/// Why an event was not accepted; it changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The client's version is not the twin's.
    #[error("the twin is at version {is}, not {asked}")]
    Version {
        /// The twin's.
        is: u64,
        /// The client's.
        asked: u64,
    },
    /// The twin, with what is open of it or will be, would become larger than is allowed.
    #[error("the twin would have {bytes} bytes; at most {limit} are allowed")]
    TooLarge {
        /// What it would have.
        bytes: usize,
        /// What it may have.
        limit: usize,
    },
}

impl Refusal {
    /// The code under which a client is told.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Version { .. } => Code::Conflict,
            Self::TooLarge { .. } => Code::TooLarge,
        }
    }
}
