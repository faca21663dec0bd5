//! What is told and not written down as told yet: it can wait, for its twin's next commit makes it void.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::protocol::ThingId;

/// The most that are written down at once.
const PORTION: usize = 500;

/// So many do not wait any longer, whatever else there is to do. A crash has as many told again.
const MOST: usize = 10_000;

/// How long the first of them waits while there is nothing else to do.
const PAUSE: Duration = Duration::from_millis(200);

/// How long the first of them waits while there is: twins that change again meanwhile need it not.
const PATIENCE: Duration = Duration::from_secs(5);

/// The newest told revision of each twin of which nothing newer is to be committed.
#[derive(Debug, Default)]
pub(super) struct Tolds {
    revisions: HashMap<ThingId, u64>,
    /// When the first of them came, or the last portion was taken.
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
        if self.revisions.is_empty() {
            self.since = None;
        }
    }

    /// Whether it is time to write some down: there are many, or they wait long enough.
    pub(super) fn is_due(&self, is_idle: bool, is_ending: bool, now: Instant) -> bool {
        let pause = if is_idle { PAUSE } else { PATIENCE };
        let waited = self.since.is_some_and(|since| now.duration_since(since) >= pause);
        self.revisions.len() >= MOST
            || (!self.revisions.is_empty() && (waited || (is_idle && is_ending)))
    }

    /// A portion of them. The others wait anew.
    pub(super) fn take(&mut self, now: Instant) -> Vec<(ThingId, u64)> {
        let ids: Vec<_> = self.revisions.keys().take(PORTION).cloned().collect();
        let taken = ids.iter().filter_map(|id| self.revisions.remove_entry(id)).collect();
        self.since = (!self.revisions.is_empty()).then_some(now);
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
        assert!(tolds.is_due(false, false, start + PATIENCE));
        tolds.void(&id("b"));
        assert_eq!(tolds.take(start), [(id("a"), 3)]);
        assert!(tolds.is_empty() && !tolds.is_due(true, true, start + PAUSE));
    }

    #[test]
    fn many_do_not_wait_and_go_in_portions() {
        let (mut tolds, start) = (Tolds::default(), Instant::now());
        for number in 0..MOST + 1 {
            tolds.put(id(&number.to_string()), 1, start);
        }
        assert!(tolds.is_due(false, false, start));
        assert_eq!(tolds.take(start).len(), PORTION);
        assert!(!tolds.is_due(false, false, start + PAUSE));
        assert!(tolds.is_due(true, false, start + PAUSE));
        let portions =
            std::iter::from_fn(|| Some(tolds.take(start).len())).take_while(|len| *len > 0);
        assert_eq!(portions.sum::<usize>(), MOST + 1 - PORTION);
    }
}
