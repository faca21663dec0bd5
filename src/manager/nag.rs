//! Says what is wrong with a thing's reports, but not for each of them.

use std::{collections::HashMap, time::Duration};

use crate::protocol::{ThingId, Timestamp};

/// How long a thing's bad reports are silent after one was logged.
const PAUSE: Duration = Duration::from_secs(60);

/// The most things remembered; while there are so many, others are silent.
const MOST: usize = 10_000;

/// Remembers which things were complained about in the last minute.
#[derive(Debug, Default)]
pub(super) struct Nag {
    last: HashMap<ThingId, Timestamp>,
}

impl Nag {
    /// Whether it is time to complain about this thing.
    pub(super) fn may(&mut self, id: &ThingId, now: Timestamp) -> bool {
        if self.last.get(id).is_some_and(|last| now.since(*last) < PAUSE && *last <= now) {
            return false;
        }
        if self.last.len() >= MOST {
            self.last.retain(|_, last| now.since(*last) < PAUSE);
        }
        if self.last.len() >= MOST {
            return false;
        }
        self.last.insert(id.clone(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_complained_about_once_a_minute() {
        let (mut nag, start) = (Nag::default(), Timestamp(0));
        let id: ThingId = "a".parse().unwrap();
        assert!(nag.may(&id, start));
        assert!(!nag.may(&id, start + Duration::from_secs(59)));
        assert!(nag.may(&"b".parse().unwrap(), start));
        assert!(nag.may(&id, start + Duration::from_secs(60)));
    }

    #[test]
    fn memory_is_bounded_whatever_ids_come() {
        let mut nag = Nag::default();
        for number in 0..MOST + 10 {
            nag.may(&number.to_string().parse().unwrap(), Timestamp(0));
        }
        assert_eq!(nag.last.len(), MOST);
        assert!(nag.may(&"new".parse().unwrap(), Timestamp(0) + PAUSE));
    }
}
