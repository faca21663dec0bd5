use serde::Serialize;

/// What the manager has done since it started, as published on `TPC/STATS`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Messages handed on by the bridge.
    pub received: u64,
    /// Events applied to twins.
    pub applied: u64,
    /// Publishes about twins.
    pub told: u64,
    /// Client requests answered with an error.
    pub errors: u64,
    /// Reports that were none.
    pub bad_reports: u64,
    /// Messages on which the core panicked.
    pub poisoned: u64,
    /// Messages for others, or on topics that clients do not publish.
    pub ignored: u64,
    /// Deltas sent again.
    pub retried: u64,
    /// Changes lost because the database does not take the twin.
    pub unstorable: u64,
}
