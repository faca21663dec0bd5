//! What the service has done, in numbers.

use serde::Serialize;

use crate::{mqtt, store};

/// What the manager has done since it started, as published on `TPC/STATS`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Events applied to twins.
    pub applied: u64,
    /// Publishes about twins.
    pub told: u64,
    /// SETs of groups that all their members are through with.
    pub group_sets: u64,
    /// Queries of groups that were answered.
    pub group_queries: u64,
    /// Client requests answered with an error.
    pub errors: u64,
    /// Reports that were none.
    pub bad_reports: u64,
    /// Messages of an earlier life of the manager that were in their twin already.
    pub repeated: u64,
    /// Messages on which the core panicked.
    pub poisoned: u64,
    /// Messages for others, or on topics that clients do not publish.
    pub ignored: u64,
    /// Reports that were merged into another one, for their thing reports too often.
    pub merged: u64,
    /// Deltas sent again.
    pub retried: u64,
    /// Changes lost because the database does not take the twin.
    pub unstorable: u64,
}

/// The payload of `TPC/STATS`: what the service, the store and the bridge have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Stats {
    #[serde(flatten)]
    pub(super) service: Counters,
    #[serde(flatten)]
    pub(super) store: store::Counters,
    #[serde(flatten)]
    pub(super) bridge: mqtt::Counters,
}

impl Stats {
    /// Whether anything moved since these were told. Telling them moves the bridge's own count of
    /// messages, which therefore do not count.
    pub(super) fn moved(&self, told: Option<&Self>) -> bool {
        let quiet = |stats: &Self| {
            let bridge = mqtt::Counters {
                received: 0,
                published: 0,
                acked: 0,
                inbox_entries: 0,
                inbox_bytes: 0,
                inbox_age_ms: 0,
                ..stats.bridge
            };
            (stats.service, stats.store.committed, bridge)
        };
        quiet(self) != told.map_or_else(Default::default, quiet)
    }

    /// What moved since these were told, as a line for people.
    pub(super) fn since(&self, told: Option<&Self>) -> String {
        let told = told.copied().unwrap_or_default();
        let (own, was) = (self.service, told.service);
        let (bridge, then) = (self.bridge, told.bridge);
        let counts = [
            ("received", bridge.received, then.received),
            ("left over from before", bridge.replayed, then.replayed),
            ("done before", own.repeated, was.repeated),
            ("applied", own.applied, was.applied),
            ("merged", own.merged, was.merged),
            ("told", own.told, was.told),
            ("sent again", own.retried, was.retried),
            ("SETs of groups", own.group_sets, was.group_sets),
            ("queries of groups", own.group_queries, was.group_queries),
            ("answered with an error", own.errors, was.errors),
            ("bad reports", own.bad_reports, was.bad_reports),
            ("set aside", own.poisoned, was.poisoned),
            ("not stored", own.unstorable, was.unstorable),
            ("refused by the broker", bridge.refused, then.refused),
            ("connections", bridge.reconnects, then.reconnects),
        ];
        let moved = counts.iter().filter(|(_, now, before)| now > before);
        let moved: Vec<_> =
            moved.map(|(what, now, before)| format!("{} {what}", now - before)).collect();
        let store::Counters { committed, commits, commit_rows_max, commit_ms_max, .. } = self.store;
        let (rows, times) = (committed - told.store.committed, commits - told.store.commits);
        let mut line = moved.join(", ");
        if times > 0 {
            line += &format!(
                "; {rows} committed in {times}, at most {commit_rows_max} at once, {commit_ms_max} ms"
            );
        }
        if bridge.inbox_entries > 0 {
            line += &format!(
                "; inbox: {} messages, {} bytes, the first {} ms old",
                bridge.inbox_entries, bridge.inbox_bytes, bridge.inbox_age_ms
            );
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telling_the_counters_moves_nothing() {
        let still = Stats::default();
        assert!(!still.moved(None));
        let bridge = mqtt::Counters { received: 1, published: 1, acked: 1, ..still.bridge };
        assert!(!Stats { bridge, ..still }.moved(Some(&still)));
        let bridge = mqtt::Counters { ignored_retained: 1, ..still.bridge };
        assert!(Stats { bridge, ..still }.moved(Some(&still)));
        let service = Counters { applied: 1, ..still.service };
        assert!(Stats { service, ..still }.moved(None));
    }

    #[test]
    fn the_counters_are_one_flat_object() {
        let stats = Stats::default();
        let payload = serde_json::to_value(stats).unwrap();
        for name in ["applied", "reconnects", "committed", "inbox_age_ms"] {
            assert_eq!(payload[name], 0, "{name}");
        }
    }

    #[test]
    fn the_line_says_what_moved_and_nothing_else() {
        let before = Stats::default();
        let mut stats = before;
        (stats.bridge.received, stats.service.applied, stats.service.told) = (7, 5, 9);
        assert_eq!(stats.since(None), "7 received, 5 applied, 9 told");
        let later = Stats {
            service: Counters { applied: 6, ..stats.service },
            store: store::Counters {
                committed: 4,
                commits: 2,
                commit_ms: 9,
                commit_rows_max: 3,
                commit_ms_max: 8,
            },
            bridge: mqtt::Counters {
                inbox_entries: 1,
                inbox_bytes: 90,
                inbox_age_ms: 3,
                ..stats.bridge
            },
        };
        assert_eq!(
            later.since(Some(&stats)),
            "1 applied; 4 committed in 2, at most 3 at once, 8 ms; inbox: 1 messages, 90 bytes, the first 3 ms old"
        );
    }
}
