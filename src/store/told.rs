//! What is told and not written down as told yet: it can wait, for its twin's next commit makes it void.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::protocol::ThingId;

/// So many are written down at once, whatever else there is to do.
const MOST: usize = 500;

/// How long the first of them waits while there is nothing else to do.
const PAUSE: Duration = Duration::from_millis(200);

/// The newest told revision of each twin of which nothing newer is to be committed.
#[derive(Debug, Default)]
pub(super) struct Tolds {
    revisions: HashMap<ThingId, u64>,
    since: Option<Instant>,
}

impl Tolds {
    pub(super) fn is_empty(&self) -> bool {
        self.revisions.is_empty()
    }

    pub(super) fn put(&mut self, id: ThingId, revision: u64, now: Instant) {
        let known = self.revisions.entry(id).or_default();
        *known = revision.max(*known);
        self.since.get_or_insert(now);
    }

    /// A newer revision is to be committed, whose row says for itself that it is not told.
    pub(super) fn void(&mut self, id: &ThingId) {
        self.revisions.remove(id);
    }

    /// Whether it is time to write some down: there are many, or they wait long enough and nothing else does.
    pub(super) fn is_due(&self, is_idle: bool, is_ending: bool, now: Instant) -> bool {
        let waited = self.since.is_some_and(|since| now.duration_since(since) >= PAUSE);
        self.revisions.len() >= MOST
            || (is_idle && !self.revisions.is_empty() && (waited || is_ending))
    }

    pub(super) fn take(&mut self) -> Vec<(ThingId, u64)> {
        let ids: Vec<_> = self.revisions.keys().take(MOST).cloned().collect();
        let taken = ids.iter().filter_map(|id| self.revisions.remove_entry(id)).collect();
        if self.revisions.is_empty() {
            self.since = None;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: &str) -> ThingId {
        id.parse().unwrap()
    }

    #[test]
    fn what_is_told_waits_until_nothing_else_does_and_a_newer_commit_makes_it_void() {
        let (mut tolds, start) = (Tolds::default(), Instant::now());
        tolds.put(id("a"), 3, start);
        tolds.put(id("a"), 2, start);
        tolds.put(id("b"), 1, start);
        assert!(!tolds.is_due(true, false, start));
        assert!(tolds.is_due(true, true, start));
        assert!(!tolds.is_due(false, false, start + PAUSE));
        assert!(tolds.is_due(true, false, start + PAUSE));
        tolds.void(&id("b"));
        assert_eq!(tolds.take(), [(id("a"), 3)]);
        assert!(tolds.is_empty() && !tolds.is_due(true, true, start + PAUSE));
    }

    #[test]
    fn many_do_not_wait_and_go_in_portions() {
        let (mut tolds, start) = (Tolds::default(), Instant::now());
        for number in 0..MOST + 1 {
            tolds.put(id(&number.to_string()), 1, start);
        }
        assert!(tolds.is_due(false, false, start));
        assert_eq!(tolds.take().len(), MOST);
        assert!(!tolds.is_due(false, false, start + PAUSE));
        assert_eq!(tolds.take().len(), 1);
    }
}
