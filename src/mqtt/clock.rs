//! The clock: all other code is given the time.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::protocol::Timestamp;

/// The present time. Everything else takes time as an argument.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
