//! Points in time, as the wire shows them. Nothing here reads a clock.

use std::{ops::Add, time::Duration};

/// A point in time: nanoseconds since the Unix epoch, as the meta documents show it.
///
/// It spans the years 1677 to 2262; arithmetic stops at the ends instead of wrapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The time from `earlier` to this one; zero if `earlier` is later, as after a clock jumps back.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The time between the two, whichever is earlier.
    #[must_use]
    pub fn apart(self, other: Self) -> Duration {
        Duration::from_nanos(self.0.abs_diff(other.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
    }
}
