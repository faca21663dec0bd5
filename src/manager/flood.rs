//! A thing that reports without pause is slowed, so that the others are served: what it reports above its
//! rate waits, and is merged into one report as long as it waits. None of it is dropped.
//!
//! A merged report counts as often as it has reports in it. So the further a thing is above its rate, the
//! less often it is dealt with, down to once a second.

use std::collections::VecDeque;

use super::{Happened, allowance::Allowance, things::give_back};
use crate::{protocol::Timestamp, twin::Event};

/// The most events of a thing that wait for its rate. Above that it is handed on at once, so that those which
/// cannot be merged do not fill the line before all twins.
const MOST: usize = 100;

/// The most reports that are merged into one.
const MERGED: usize = 1000;

/// What a thing may report, and what of it waits.
#[derive(Debug)]
pub(super) struct Flood {
    allowance: Allowance,
    waiting: VecDeque<Happened>,
}

impl Flood {
    /// A thing may report `rate` times in a second, and ten times that at once.
    pub(super) fn new(rate: usize) -> Self {
        Self { allowance: Allowance::full(rate, rate.saturating_mul(10)), waiting: VecDeque::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The inbox's numbers of all that waits.
    pub(super) fn numbers(&mut self) -> Vec<u64> {
        self.waiting.drain(..).flat_map(Happened::into_numbers).collect()
    }

    /// Takes in an event of the thing. If that was merged with another that waits, gives the number of this one.
    pub(super) fn put(&mut self, happened: Happened) -> Option<u64> {
        let rest = match (self.waiting.back_mut(), &happened.event) {
            (Some(last), Event::Reported(_)) if last.merged.len() < MERGED => merge(last, happened),
            _ => Some(happened),
        };
        if let Some(rest) = rest {
            self.waiting.push_back(rest);
            return None;
        }
        self.waiting.back()?.merged.last().copied()
    }

    /// Whether an event may go through at once: nothing waits before it, and it need not wait either. Then it counts.
    pub(super) fn passes(&mut self, happened: &Happened, now: Timestamp) -> bool {
        if !self.waiting.is_empty() {
            return false;
        }
        if matches!(happened.event, Event::Reported(_)) {
            self.allowance.grow(now);
            if !self.allowance.has_one() {
                return false;
            }
            self.allowance.take(1 + happened.merged.len());
        }
        true
    }

    /// The next event that need not wait.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<Happened> {
        let is_report = matches!(self.waiting.front()?.event, Event::Reported(_));
        if is_report && self.waiting.len() <= MOST {
            self.allowance.grow(now);
            if !self.allowance.has_one() {
                return None;
            }
        }
        let next = self.waiting.pop_front()?;
        give_back(&mut self.waiting);
        if is_report {
            self.allowance.take(1 + next.merged.len());
        }
        Some(next)
    }
}

/// Merges a report into one that waits; gives it back if that would be another than both after one another.
fn merge(last: &mut Happened, happened: Happened) -> Option<Happened> {
    let Happened { place, event, ask, at, session, merged } = happened;
    match (&mut last.event, event) {
        (Event::Reported(earlier), Event::Reported(later)) if last.session == session => {
            match earlier.merge(later) {
                Ok(()) => {
                    last.merged.extend(last.place.map(|place| place.number));
                    (last.place, last.at) = (place, at);
                    None
                }
                Err(later) => {
                    let event = Event::Reported(later);
                    Some(Happened { place, event, ask, at, session, merged })
                }
            }
        }
        (_, event) => Some(Happened { place, event, ask, at, session, merged }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{mqtt::Place, protocol::Report};

    fn event(number: u64, event: Event) -> Happened {
        let place = Some(Place { epoch: 1, number });
        Happened { place, event, ask: None, at: Timestamp(0), session: 1, merged: Vec::new() }
    }

    fn report(number: u64, payload: &str) -> Happened {
        event(number, Event::Reported(Report::parse(payload.as_bytes(), 1000).unwrap()))
    }

    /// A flood of which the first 10 went through at once.
    fn flood() -> Flood {
        let mut flood = Flood::new(1);
        for number in 0..10 {
            let report = report(number, r#"{"delta":{}}"#);
            if number % 2 == 0 {
                assert!(flood.passes(&report, Timestamp(0)));
            } else {
                flood.put(report);
                assert!(flood.next(Timestamp(0)).is_some());
            }
        }
        flood
    }

    #[test]
    fn what_is_above_the_rate_waits_and_is_merged() {
        let mut flood = flood();
        let above = report(11, r#"{"delta":{"a":1,"b":1}}"#);
        assert!(!flood.passes(&above, Timestamp(0)));
        assert_eq!(flood.put(above), None);
        assert!(!flood.passes(&event(99, Event::Get), Timestamp(0)), "it would overtake");
        assert_eq!(flood.put(report(12, r#"{"delta":{"b":2}}"#)), Some(11));
        assert_eq!(flood.put(report(13, r#"{"delta":{"c":3}}"#)), Some(12));
        assert!(flood.next(Timestamp(0)).is_none());
        let merged = flood.next(Timestamp(0) + Duration::from_secs(1)).unwrap();
        assert_eq!(merged.event, report(0, r#"{"delta":{"a":1,"b":2,"c":3}}"#).event);
        assert_eq!(merged.into_numbers().collect::<Vec<_>>(), [11, 12, 13]);
        assert!(flood.is_empty());
        flood.put(report(14, r#"{"delta":{"a":9}}"#));
        assert!(flood.next(Timestamp(0) + Duration::from_millis(2_900)).is_none(), "three counted");
        assert!(flood.next(Timestamp(0) + Duration::from_millis(3_100)).is_some());
    }

    #[test]
    fn nothing_overtakes_a_report_that_waits_and_what_cannot_be_merged_is_not() {
        let mut flood = flood();
        flood.put(report(11, r#"{"delta":{"trn":1,"a":1}}"#));
        flood.put(report(12, r#"{"delta":{"trn":2,"a":2}}"#));
        flood.put(event(13, Event::Get));
        flood.put(report(14, r#"{"delta":{"trn":2,"a":3}}"#));
        let mut numbers = Vec::new();
        for seconds in 0..3 {
            while let Some(next) = flood.next(Timestamp(0) + Duration::from_secs(seconds)) {
                numbers.push((seconds, next.place.unwrap().number));
            }
        }
        assert_eq!(numbers, [(1, 11), (2, 12), (2, 13)]);
    }

    #[test]
    fn what_cannot_be_merged_does_not_wait_without_end() {
        let mut flood = flood();
        for number in 0..1000 {
            flood.put(report(number, &format!(r#"{{"delta":{{"trn":{number}}}}}"#)));
            while flood.next(Timestamp(0)).is_some() {}
        }
        assert_eq!(flood.numbers().len(), MOST);
    }
}
