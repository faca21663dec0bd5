//! What has passed the bridge, in numbers.

use actix::prelude::*;

/// What has passed the bridge since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, MessageResponse)]
pub struct Counters {
    /// Messages that came in, retained ones aside.
    pub received: u64,
    /// Messages that an earlier life of the manager left in the inbox.
    pub replayed: u64,
    /// Of these, those whose topic is none of the protocol's.
    pub ignored_topic: u64,
    /// Retained messages, which are ignored.
    pub ignored_retained: u64,
    /// Response topics that are not obeyed.
    pub ignored_response_topic: u64,
    /// Publishes handed to the broker, repetitions included.
    pub published: u64,
    /// Publishes that the broker has taken.
    pub acked: u64,
    /// Publishes that the broker has refused.
    pub refused: u64,
    /// Connections after the first.
    pub reconnects: u64,
    /// Messages in the inbox at present.
    pub inbox_entries: u64,
    /// Their bytes.
    pub inbox_bytes: u64,
    /// How long the first of them has been there, in milliseconds.
    pub inbox_age_ms: u64,
}

/// Asks the bridge for its [`Counters`].
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Counters")]
pub struct Count;
