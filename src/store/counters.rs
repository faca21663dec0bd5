//! What was committed, in numbers.

use std::time::Duration;

use actix::prelude::*;

/// What was committed since the store started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, MessageResponse)]
pub struct Counters {
    /// Changes of twins that are in the database; of several that came together the last one.
    pub committed: u64,
    /// The transactions that took.
    pub commits: u64,
    /// The time that those took together, in milliseconds.
    pub commit_ms: u64,
    /// The most changes in one of them, since this was last asked for.
    pub commit_rows_max: u64,
    /// The longest of them, in milliseconds, since this was last asked for.
    pub commit_ms_max: u64,
}

/// Asks the store for its [`Counters`].
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Counters")]
pub struct Count;

/// The counters as they are kept: time more exactly than it is told.
#[derive(Debug, Default)]
pub(super) struct Counted {
    counters: Counters,
    time: Duration,
}

impl Counted {
    /// A transaction of so many rows came to a good end.
    pub(super) fn add(&mut self, rows: usize, time: Duration) {
        let own = &mut self.counters;
        self.time += time;
        own.committed += rows as u64;
        own.commits += 1;
        own.commit_ms = ms(self.time);
        own.commit_rows_max = own.commit_rows_max.max(rows as u64);
        own.commit_ms_max = own.commit_ms_max.max(ms(time));
    }

    /// The counters; what is the most begins anew.
    pub(super) fn take(&mut self) -> Counters {
        let counters = self.counters;
        (self.counters.commit_rows_max, self.counters.commit_ms_max) = (0, 0);
        counters
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_is_that_since_it_was_last_asked_for() {
        let mut counted = Counted::default();
        counted.add(3, Duration::from_micros(1_600));
        counted.add(1, Duration::from_micros(1_600));
        let first = counted.take();
        let expected = Counters {
            committed: 4,
            commits: 2,
            commit_ms: 3,
            commit_rows_max: 3,
            commit_ms_max: 1,
        };
        assert_eq!(first, expected);
        counted.add(1, Duration::ZERO);
        let second = counted.take();
        assert_eq!((second.committed, second.commit_rows_max, second.commit_ms_max), (5, 1, 0));
    }
}
