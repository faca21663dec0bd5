//! What is told and not written down as told yet: it can wait, for its twin's next commit makes it void.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::protocol::ThingId;

/// The fewest and the most that are written down at once, if there are as many. A commit that comes meanwhile waits.
const PORTION: (usize, usize) = (50, 500);

/// Between these it is one in so many of all that wait.
const PART: usize = 20;

/// So many do not wait any longer, whatever else there is to do. A crash has as many told again.
const MOST: usize = 10_000;

/// How long the first of them waits while there is nothing else to do; and how long if there is a portion of them.
const PAUSE: Duration = Duration::from_millis(200);
const SHORT_PAUSE: Duration = Duration::from_millis(50);

/// How long a portion of them waits while there is: twins that change again meanwhile need it not.
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
        let pause = match is_idle {
            true if self.revisions.len() >= PORTION.0 => SHORT_PAUSE,
            true => PAUSE,
            false => PATIENCE,
        };
        let waited = self.since.is_some_and(|since| now.duration_since(since) >= pause);
        self.revisions.len() >= MOST
            || (!self.revisions.is_empty() && (waited || (is_idle && is_ending)))
    }

    /// A portion of them. The others wait anew.
    pub(super) fn take(&mut self, is_ending: bool, now: Instant) -> Vec<(ThingId, u64)> {
        let part = (self.revisions.len() / PART).clamp(PORTION.0, PORTION.1);
        let portion = if is_ending { PORTION.1 } else { part };
        let ids: Vec<_> = self.revisions.keys().take(portion).cloned().collect();
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
        assert_eq!(tolds.take(false, start), [(id("a"), 3)]);
        assert!(tolds.is_empty() && !tolds.is_due(true, true, start + PAUSE));
    }

    #[test]
    fn many_do_not_wait_and_go_in_portions() {
        let (mut tolds, start) = (Tolds::default(), Instant::now());
        for number in 0..MOST + 1 {
            tolds.put(id(&number.to_string()), 1, start);
        }
        assert!(tolds.is_due(false, false, start));
        assert_eq!(tolds.take(false, start).len(), 500);
        assert!(!tolds.is_due(false, false, start + PAUSE));
        assert!(tolds.is_due(true, false, start + SHORT_PAUSE));
        let portions = || Some(tolds.take(false, start).len());
        let portions: Vec<_> = std::iter::from_fn(portions).take_while(|len| *len > 0).collect();
        assert_eq!(portions.iter().sum::<usize>(), MOST + 1 - 500);
        assert!(portions.is_sorted_by(|one, other| one >= other), "{portions:?}");
        let last = portions.len() - 1;
        (0..MOST).for_each(|number| tolds.put(id(&number.to_string()), 1, start));
        while tolds.revisions.len() > 500 {
            assert_eq!(tolds.take(true, start).len(), 500, "the end does not take its time");
        }
        assert!(portions[..last].iter().all(|len| (50..=500).contains(len)), "{portions:?}");
    }
}
