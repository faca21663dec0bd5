//! What the manager says, with what a lost connection made it say again taken out.
//!
//! Whoever resumes a session sends again what was not acknowledged: the last few messages, all of them, in their
//! order, up to the very last. So a repetition begins only where a connection was lost, and is, message by message
//! and byte for byte, what came before, through to its end. What begins like that and goes on otherwise is new from
//! its first message on.

use std::collections::BTreeSet;

use super::super::log::Entry;

/// How far back a repetition may begin: more than the manager and the broker leave unacknowledged together.
const REACH: usize = 400;

/// Takes messages in the order in which they were heard, and gives each new one once.
#[derive(Default)]
pub struct Stream {
    /// The entries of all new messages.
    new: Vec<usize>,
    /// Those which may be a repetition.
    held: Vec<usize>,
    /// Where in `new` the next one stands, if they are one.
    places: BTreeSet<usize>,
    /// Whether a connection was lost, so that a repetition may begin.
    parted: bool,
    /// Whether the manager is back since: it repeats before it says anything new.
    joined: bool,
    repeated: usize,
}

impl Stream {
    /// A connection was lost, the manager's or the tap's.
    pub fn part(&mut self) {
        (self.parted, self.joined) = (true, false);
    }

    /// The manager is connected.
    pub fn join(&mut self) {
        self.joined = true;
    }

    /// Takes the message of this entry: the entries that are now known to be new.
    pub fn take(&mut self, log: &[Entry], entry: usize) -> Vec<usize> {
        let mut known = Vec::new();
        let mut places = self.next_places(log, entry);
        if places.is_empty() {
            known = self.flush();
            places = self.next_places(log, entry);
        }
        if places.is_empty() {
            self.new.push(entry);
            known.push(entry);
            self.parted &= !self.joined;
        } else if places.contains(&self.new.len()) {
            self.repeated += self.held.len() + 1;
            self.held.clear();
            self.places.clear();
        } else {
            self.held.push(entry);
            self.places = places;
        }
        known
    }

    /// Where a repetition stands after this message: nowhere if it is none.
    fn next_places(&self, log: &[Entry], entry: usize) -> BTreeSet<usize> {
        let is_same = |place: &usize| {
            self.new.get(*place).is_some_and(|new| log[*new].event == log[entry].event)
        };
        let goes_on = self.places.iter().copied();
        // One that was broken off begins again at something that it had not passed for good.
        let reached = self.places.last().map_or(self.new.len(), |place| place + 1);
        let begins = self.new.len().saturating_sub(REACH)..reached;
        let begins = begins.filter(|_| self.parted);
        goes_on.chain(begins).filter(is_same).map(|place| place + 1).collect()
    }

    /// What was held back and has not become a repetition.
    pub fn flush(&mut self) -> Vec<usize> {
        self.places.clear();
        self.new.extend(&self.held);
        std::mem::take(&mut self.held)
    }

    /// How many messages were repetitions.
    pub fn repeated(&self) -> usize {
        self.repeated
    }
}
