//! An entry that was read and is not over, as the line remembers it.

use std::sync::Arc;

use super::{
    Entry, Place,
    class::{Class, bytes},
};
use crate::protocol::Timestamp;

/// What is remembered of an entry while it, or what was published for it, is under way.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) place: Place,
    /// When it came in.
    pub(super) at: Timestamp,
    /// How many bytes of it are in memory, or were.
    pub(super) size: usize,
    /// The entry as long as somebody is at it. One that lies on disk is read again if it is needed later.
    pub(super) entry: Option<Arc<Entry>>,
    pub(super) is_done: bool,
    /// Whether it changes nothing.
    pub(super) asks: bool,
    /// Whether it counts among those that others wait for.
    pub(super) is_counted: bool,
    /// What was published for it and is not acknowledged.
    pub(super) holds: usize,
}

impl Read {
    pub(super) fn new(entry: &Arc<Entry>) -> Self {
        Self {
            place: entry.place,
            at: entry.message.at,
            size: bytes(&entry.message),
            entry: Some(Arc::clone(entry)),
            is_done: false,
            asks: Class::of(&entry.message.topic) == Class::Ask,
            is_counted: true,
            holds: 0,
        }
    }

    /// Whether somebody who waits for what has come until now waits for this: not for a query that takes its time.
    pub(super) fn is_open(&self) -> bool {
        !self.is_done && (self.is_counted || !self.asks)
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_done && self.holds == 0
    }
}
