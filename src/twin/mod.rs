//! The twin: what a thing reported, what is desired of it, what it declined, and the rules that
//! move them. Pure: time is an argument, and what follows from an event is returned.
//!
//! The only place that knows the rules of `docs/protocol.md`. [`Twin::apply`] is the way in: an
//! [`Event`] and a [`Moment`] give the next twin and an [`Outcome`], or a [`Refusal`]. What is to be
//! told is text by then; whom it reaches, and when, is the service's business.

mod ask;
mod document;
mod event;
mod ledger;
mod members;
mod orient;
mod record;
mod rules;
mod select;
mod sending;
mod tree;

#[cfg(test)]
mod tests;

pub use event::{Commit, Event, Moment, Outcome, Refusal, Retry, Rules, Tell};
pub use orient::{Rows, query_answer};
pub use record::{Corrupt, Record};
pub use select::{Candidate, SelectError, Selection};

use document::Document;
use ledger::Ledger;

/// What the manager holds for a thing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Twin {
    reported: Document,
    desired: Document,
    declined: Document,
    version: u64,
    revision: u64,
    ledger: Ledger,
    presence: Presence,
    session: i64,
}

/// Whether a thing is connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// It is.
    Online,
    /// It is not: what is asked of it is held.
    Offline,
    /// Messages that would have told may have been missed.
    #[default]
    Unknown,
}

impl Presence {
    /// As it is told: true, false, or none for not known.
    #[must_use]
    pub fn online(self) -> Option<bool> {
        match self {
            Self::Online => Some(true),
            Self::Offline => Some(false),
            Self::Unknown => None,
        }
    }
}

impl Twin {
    /// The twin of a thing that nobody has heard of.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How often the documents changed; 0 if there is no twin.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How often anything changed that has to be stored.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The twin with its next revision above this one, which somebody may have tried to store.
    #[must_use]
    pub fn above(mut self, revision: u64) -> Self {
        self.revision = self.revision.max(revision);
        self
    }

    /// Whether there is a twin: a thing that was only heard to come and go has none.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.version > 0 || self.reported.trn.is_some()
    }

    /// Whether the thing is connected, as far as is known in this session at the broker.
    #[must_use]
    pub fn presence(&self, session: i64) -> Presence {
        if self.session == session { self.presence } else { Presence::Unknown }
    }

    /// The payload of `TWIN/UPD`.
    #[must_use]
    pub fn to_payload(&self, session: i64) -> String {
        if !self.exists() {
            return UNKNOWN.to_owned();
        }
        self.to_record().to_payload(session)
    }
}

/// The answer about a thing of which there is no twin.
const UNKNOWN: &str = r#"{"desired":{},"desiredMeta":{},"reported":{},"reportedMeta":{},"declined":{},"declinedMeta":{},"version":0,"online":null}"#;
