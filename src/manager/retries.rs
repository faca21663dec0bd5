//! When which delta is sent again. It is kept here, and not with the twin, so that a twin that
//! waits for an answer need not stay in memory.

use std::{
    collections::{BTreeSet, HashMap},
    time::Instant,
};

use crate::{protocol::ThingId, twin::Retry};

/// At most one planned time for each thing.
#[derive(Debug, Default)]
pub(super) struct Retries {
    plan: HashMap<ThingId, (Instant, u32)>,
    order: BTreeSet<(Instant, ThingId)>,
}

impl Retries {
    /// Follows what an event left planned: `now` is when its delta went out.
    pub(super) fn follow(&mut self, id: &ThingId, retry: Retry, now: Instant) {
        match retry {
            Retry::AsPlanned => {}
            Retry::Never => self.forget(id),
            Retry::After(wait, attempt) => {
                self.forget(id);
                // What lies beyond all time never comes.
                let Some(at) = now.checked_add(wait) else { return };
                self.plan.insert(id.clone(), (at, attempt));
                self.order.insert((at, id.clone()));
            }
        }
    }

    /// Takes out the next thing whose time has come.
    pub(super) fn due(&mut self, now: Instant) -> Option<(ThingId, u32)> {
        let (_, id) = self.order.first().filter(|(at, _)| *at <= now)?.clone();
        let attempt = self.plan.get(&id).map_or(1, |(_, attempt)| *attempt);
        self.forget(&id);
        Some((id, attempt))
    }

    fn forget(&mut self, id: &ThingId) {
        if let Some((at, _)) = self.plan.remove(id) {
            self.order.remove(&(at, id.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_earliest_comes_first_and_each_once() {
        let (mut retries, start) = (Retries::default(), Instant::now());
        let id = |id: &str| id.parse::<ThingId>().unwrap();
        retries.follow(&id("a"), Retry::After(Duration::from_nanos(30), 1), start);
        retries.follow(&id("b"), Retry::After(Duration::from_nanos(10), 2), start);
        retries.follow(&id("c"), Retry::After(Duration::from_nanos(5), 1), start);
        retries.follow(&id("c"), Retry::Never, start);
        retries.follow(&id("a"), Retry::AsPlanned, start);
        assert_eq!(retries.due(start + Duration::from_nanos(9)), None);
        assert_eq!(retries.due(start + Duration::from_nanos(40)), Some((id("b"), 2)));
        assert_eq!(retries.due(start + Duration::from_nanos(40)), Some((id("a"), 1)));
        assert_eq!(retries.due(start + Duration::from_nanos(40)), None);
    }

    #[test]
    fn a_new_plan_replaces_the_old_one() {
        let (mut retries, start) = (Retries::default(), Instant::now());
        let id: ThingId = "a".parse().unwrap();
        retries.follow(&id, Retry::After(Duration::from_nanos(30), 3), start);
        retries.follow(&id, Retry::After(Duration::from_nanos(50), 1), start);
        assert_eq!(retries.due(start + Duration::from_nanos(49)), None);
        assert_eq!(retries.due(start + Duration::from_nanos(50)), Some((id, 1)));
    }

    #[test]
    fn what_is_planned_beyond_all_time_never_comes() {
        let (mut retries, start) = (Retries::default(), Instant::now());
        retries.follow(&"a".parse().unwrap(), Retry::After(Duration::MAX, 1), start);
        assert_eq!(retries.due(start + Duration::from_secs(1 << 30)), None);
    }
}
