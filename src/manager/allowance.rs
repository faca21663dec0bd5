//! How much may be done in a second, whatever there is to do.

use std::time::Duration;

use crate::protocol::Timestamp;

/// So many in a second, and never more than what can be saved up at once.
#[derive(Debug)]
pub(super) struct Allowance {
    rate: u32,
    most: u32,
    /// Below zero if more was taken than there was.
    saved: i64,
    since: Option<Timestamp>,
}

impl Allowance {
    /// Never more than a second's worth at once, and nothing yet.
    pub(super) fn new(rate: usize) -> Self {
        Self { rate: counted(rate), most: counted(rate), saved: 0, since: None }
    }

    /// Never more than `most` at once, and that now.
    pub(super) fn full(rate: usize, most: usize) -> Self {
        let most = counted(most);
        Self { rate: counted(rate), most, saved: i64::from(most), since: None }
    }

    /// Takes in the time that has passed.
    pub(super) fn grow(&mut self, now: Timestamp) {
        let each = Duration::from_secs(1) / self.rate;
        let Some(since) = self.since.filter(|since| *since <= now) else {
            self.since = Some(now);
            return;
        };
        let passed = now.since(since).as_nanos() / each.as_nanos().max(1);
        let new = u32::try_from(passed).unwrap_or(u32::MAX);
        if self.saved.saturating_add(i64::from(new)) >= i64::from(self.most) {
            (self.saved, self.since) = (i64::from(self.most), Some(now));
        } else {
            self.saved += i64::from(new);
            self.since = Some(since + each * new);
        }
    }

    pub(super) fn has_one(&self) -> bool {
        self.saved > 0
    }

    pub(super) fn take_one(&mut self) {
        self.saved = self.saved.saturating_sub(1).max(0);
    }

    /// Takes so many, and owes what there is not: a second's worth at most.
    pub(super) fn take(&mut self, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.saved = self.saved.saturating_sub(count).max(-i64::from(self.rate));
    }
}

/// From 1 to what can be counted.
fn counted(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken_in(rate: usize, seconds: u64) -> usize {
        let mut allowance = Allowance::new(rate);
        let mut taken = 0;
        for tick in 0..=seconds * 10 {
            allowance.grow(Timestamp(0) + Duration::from_millis(100 * tick));
            while allowance.has_one() {
                allowance.take_one();
                taken += 1;
            }
        }
        taken
    }

    #[test]
    fn no_more_are_taken_in_a_time_than_the_rate_allows() {
        for rate in [1, 3, 10, 11, 1000] {
            assert_eq!(taken_in(rate, 10), rate * 10, "{rate}");
        }
    }

    #[test]
    fn what_is_owed_is_a_seconds_worth_at_most() {
        let mut allowance = Allowance::full(10, 100);
        allowance.grow(Timestamp(0));
        allowance.take(1000);
        allowance.grow(Timestamp(0) + Duration::from_millis(900));
        assert!(!allowance.has_one());
        allowance.grow(Timestamp(0) + Duration::from_millis(1100));
        assert!(allowance.has_one());
    }

    #[test]
    fn what_is_saved_is_a_seconds_worth_and_a_clock_that_jumps_back_gives_nothing() {
        let mut allowance = Allowance::new(5);
        allowance.grow(Timestamp(0));
        allowance.grow(Timestamp(0) + Duration::from_secs(100));
        allowance.grow(Timestamp(0));
        assert_eq!(allowance.saved, 5);
    }
}
