//! Whether two clients go by the same id: seen by how they push each other off the broker, or by reports that
//! contradict each other.

use std::time::Duration;

use crate::{
    protocol::{Timestamp, Trn},
    twin::Event,
};

/// What counts together happens within this time.
const WITHIN: Duration = Duration::from_secs(60);

/// So often a thing may come within that time. One that is pushed off comes back within seconds.
const COMINGS: u32 = 5;

/// So often its trn may fall. That of a thing rises until it reboots, and then it says LC/ON.
const FALLS: u32 = 3;

/// How often something happened, and since when that is counted.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    since: Timestamp,
    times: u32,
}

impl Count {
    fn happens(&mut self, at: Timestamp) -> u32 {
        if self.times == 0 || at < self.since || at.since(self.since) >= WITHIN {
            *self = Self { since: at, times: 0 };
        }
        self.times += 1;
        self.times
    }
}

/// What is noticed of one thing.
#[derive(Debug, Default)]
pub(super) struct Doubles {
    comings: Count,
    falls: Count,
    last_trn: Option<Trn>,
    is_said: bool,
}

impl Doubles {
    /// Takes note of what a thing says. The first time that it looks like two, says why.
    pub(super) fn note(&mut self, event: &Event, at: Timestamp) -> Option<String> {
        let reason = match event {
            Event::Connected => self.comes(at),
            Event::Reported(report) => report.trn.and_then(|trn| self.reports(trn, at)),
            Event::Gone
            | Event::Set { .. }
            | Event::Get
            | Event::Delete
            | Event::Resumed { .. }
            | Event::RetryDue(_) => None,
        };
        let reason = reason.filter(|_| !self.is_said);
        self.is_said |= reason.is_some();
        reason
    }

    fn comes(&mut self, at: Timestamp) -> Option<String> {
        self.last_trn = None;
        (self.comings.happens(at) >= COMINGS).then(|| {
            format!(
                "it has come {COMINGS} times within a minute: two clients with this id push each other off the broker, or its link is bad"
            )
        })
    }

    fn reports(&mut self, trn: Trn, at: Timestamp) -> Option<String> {
        let last = self.last_trn.replace(trn).filter(|last| trn < *last)?;
        (self.falls.happens(at) >= FALLS).then(|| {
            format!(
                "it reports under trn {} and {} by turns: two clients report under this id",
                last.get(),
                trn.get()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Report;

    fn report(trn: u32) -> Event {
        let payload = format!(r#"{{"delta":{{"trn":{trn}}}}}"#);
        Event::Reported(Report::parse(payload.as_bytes(), 100).unwrap())
    }

    fn at(second: u64) -> Timestamp {
        Timestamp(1) + Duration::from_secs(second)
    }

    #[test]
    fn a_thing_that_comes_again_and_again_within_a_minute_is_told_once() {
        let mut doubles = Doubles::default();
        let said: Vec<_> = (0..20)
            .filter(|second| {
                let gone = doubles.note(&Event::Gone, at(*second));
                doubles.note(&Event::Connected, at(*second)).or(gone).is_some()
            })
            .collect();
        assert_eq!(said, [4]);
    }

    #[test]
    fn a_thing_that_comes_now_and_then_is_one() {
        let mut doubles = Doubles::default();
        for minute in 0..100 {
            for second in [0, 1, 2, 3] {
                assert_eq!(doubles.note(&Event::Connected, at(minute * 60 + second)), None);
            }
        }
    }

    #[test]
    fn a_trn_that_rises_and_falls_by_turns_is_that_of_two() {
        let mut doubles = Doubles::default();
        for _ in 0..2 {
            assert_eq!(doubles.note(&report(7), at(1)), None);
            assert_eq!(doubles.note(&report(3), at(1)), None);
        }
        assert_eq!(doubles.note(&report(7), at(2)), None);
        assert_eq!(
            doubles.note(&report(3), at(2)).unwrap(),
            "it reports under trn 7 and 3 by turns: two clients report under this id"
        );
        assert_eq!(doubles.note(&Event::Connected, at(3)), None);
    }

    #[test]
    fn a_trn_that_falls_at_each_reboot_is_that_of_one() {
        let mut doubles = Doubles::default();
        for reboot in 0..50 {
            let second = reboot * 20;
            assert_eq!(doubles.note(&Event::Connected, at(second)), None);
            for trn in [0, 5, 5, 6] {
                assert_eq!(doubles.note(&report(trn), at(second)), None);
            }
        }
    }
}
