//! Points in time, as the wire shows them. Nothing here reads a clock.

use std::{ops::Add, time::Duration};

/// A point in time: nanoseconds since the Unix epoch, as the meta documents show it.
///
/// It spans the years 1677 to 2262; arithmetic stops at the ends instead of wrapping.
///
/// ```
/// use std::time::Duration;
/// use twinthing::protocol::Timestamp;
///
/// let shown = Timestamp(1_700_000_000_000_000_000);
/// assert_eq!((shown + Duration::from_millis(5)).0, 1_700_000_000_005_000_000);
/// assert_eq!(Timestamp(i64::MAX) + Duration::from_secs(1), Timestamp(i64::MAX));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The time from `earlier` to this one; zero if `earlier` is later, as after a clock jumps back.
    ///
    /// ```
    /// use std::time::Duration;
    /// use twinthing::protocol::Timestamp;
    ///
    /// let (sent, answered) = (Timestamp(2_000), Timestamp(5_000));
    /// assert_eq!(answered.since(sent), Duration::from_micros(3));
    /// assert_eq!(sent.since(answered), Duration::ZERO);
    /// ```
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The time between the two, whichever is earlier.
    ///
    /// ```
    /// use std::time::Duration;
    /// use twinthing::protocol::Timestamp;
    ///
    /// let (ours, theirs) = (Timestamp(9_000), Timestamp(2_000));
    /// assert_eq!(ours.apart(theirs), Duration::from_micros(7));
    /// assert_eq!(theirs.apart(ours), ours.apart(theirs));
    /// ```
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
