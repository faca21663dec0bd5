//! Questions that are not about one twin, one after the other.

use std::{collections::VecDeque, time::Instant};

use super::{
    ListUnsettled, Unsettled,
    lane::{Lane, Report},
    reader::{Found, Read, Reader},
};

/// Keeps what is asked until it is answered.
pub(super) struct Asker {
    pub(super) lane: Lane<Reader>,
    waiting: VecDeque<ListUnsettled>,
}

impl Asker {
    pub(super) fn new(lane: Lane<Reader>) -> Self {
        Self { lane, waiting: VecDeque::new() }
    }

    pub(super) fn put(&mut self, list: ListUnsettled) {
        self.waiting.push_back(list);
    }

    /// Asks the first of those who wait, unless something is being asked.
    pub(super) fn next(&mut self, now: Instant) {
        if self.lane.is_ready(now)
            && let Some(ListUnsettled { after, limit, .. }) = self.waiting.front()
        {
            self.lane.give(Read::Unsettled { after: after.clone(), limit: *limit }, now);
        }
    }

    /// Takes in what came of a question. One that failed stays the first.
    pub(super) fn finished(&mut self, report: Report<Reader>, now: Instant) {
        if let Some((_, Ok(Found::Unsettled(ids)))) = self.lane.finish(report, now)
            && let Some(list) = self.waiting.pop_front()
        {
            list.reply.do_send(Unsettled(ids));
        }
    }

    /// Gives a question up that takes too long; it is tried again on another connection.
    pub(super) fn abandon(&mut self, now: Instant) {
        self.lane.abandon(now);
    }
}
