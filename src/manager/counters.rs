//! What the service has done, in numbers.

use serde::Serialize;

use crate::mqtt;

/// What the manager has done since it started, as published on `TPC/STATS`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Events applied to twins.
    pub applied: u64,
    /// Publishes about twins.
    pub told: u64,
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

/// The payload of `TPC/STATS`: what the service and the bridge have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Stats {
    #[serde(flatten)]
    pub(super) service: Counters,
    #[serde(flatten)]
    pub(super) bridge: mqtt::Counters,
}

impl Stats {
    /// Whether anything moved since these were told. Telling them moves the bridge's own count of
    /// messages, which therefore do not count.
    pub(super) fn moved(&self, told: Option<&Self>) -> bool {
        let quiet = |stats: &Self| {
            let bridge = mqtt::Counters { received: 0, published: 0, acked: 0, ..stats.bridge };
            (stats.service, bridge)
        };
        quiet(self) != told.map_or_else(Default::default, quiet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telling_the_counters_moves_nothing() {
        let still = Stats { service: Counters::default(), bridge: mqtt::Counters::default() };
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
        let stats = Stats { service: Counters::default(), bridge: mqtt::Counters::default() };
        let payload = serde_json::to_value(stats).unwrap();
        assert_eq!((&payload["applied"], &payload["reconnects"]), (&0.into(), &0.into()));
    }
}
