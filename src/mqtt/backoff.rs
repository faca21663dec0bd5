//! How long to wait before the next attempt to connect.

use std::time::Duration;

/// The wait before the first attempt after a lost connection.
const SHORTEST: Duration = Duration::from_millis(200);
/// The longest wait between two attempts.
const LONGEST: Duration = Duration::from_secs(30);
/// The longest wait after a connection that stood only shortly.
const FLAPPING: Duration = Duration::from_secs(2);

/// The waits between attempts: doubling, each with up to half of it taken off by chance.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(SHORTEST)
    }
}

impl Backoff {
    /// How long to wait now.
    pub(super) fn next(&mut self) -> Duration {
        let wait = self.0;
        self.0 = (wait * 2).min(LONGEST);
        wait.mul_f64(1.0 - fastrand::f64() / 2.0)
    }

    /// Connected. One that comes and goes is not to wait as long as for one that was away.
    pub(super) fn ease(&mut self) {
        self.0 = self.0.min(FLAPPING);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_30_s_and_spread_over_half_of_it() {
        let mut backoff = Backoff::default();
        for base_ms in [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000] {
            let wait = backoff.next();
            assert!(wait <= Duration::from_millis(base_ms), "{wait:?}");
            assert!(wait >= Duration::from_millis(base_ms / 2), "{wait:?}");
        }
        backoff.ease();
        assert!(backoff.next() <= FLAPPING);
    }
}
