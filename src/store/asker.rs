//! Questions that are not about one twin, one after the other.

use std::{collections::VecDeque, time::Instant};

use super::{
    ListMembers, ListUnsettled, Unsettled,
    lane::{Lane, Report},
    reader::{Found, Read, Reader},
};

/// What is asked, and by whom.
pub(super) enum Question {
    Unsettled(ListUnsettled),
    Members(ListMembers),
}

/// Keeps what is asked until it is answered.
pub(super) struct Asker {
    pub(super) lane: Lane<Reader>,
    /// What is being asked stands first.
    waiting: VecDeque<Question>,
}

impl Asker {
    pub(super) fn new(lane: Lane<Reader>) -> Self {
        Self { lane, waiting: VecDeque::new() }
    }

    pub(super) fn put(&mut self, question: Question) {
        let Question::Members(ListMembers { ticket, is_urgent: true, .. }) = &question else {
            return self.waiting.push_back(question);
        };
        let is_same = |waiting: &Question| matches!(waiting, Question::Members(list) if list.ticket == *ticket);
        let is_asked = self.lane.job().is_some_and(|job| !matches!(job, Read::Ping));
        let first = usize::from(is_asked).min(self.waiting.len());
        match self.waiting.iter().position(is_same) {
            Some(place) if place < first => {}
            place => {
                place.and_then(|place| self.waiting.remove(place));
                self.waiting.insert(first, question);
            }
        }
    }

    /// Asks the first of those who wait, unless something is being asked.
    pub(super) fn next(&mut self, now: Instant) {
        if !self.lane.is_ready(now) {
            return;
        }
        let read = match self.waiting.front() {
            None => return,
            Some(Question::Unsettled(ListUnsettled { after, limit, .. })) => {
                Read::Unsettled { after: after.clone(), limit: *limit }
            }
            Some(Question::Members(ListMembers { ticket, group, rows, .. })) => {
                Read::Members(group.clone(), rows.clone(), *ticket)
            }
        };
        self.lane.give(read, now);
    }

    /// Takes in what came of a question. One that failed stays the first.
    pub(super) fn finished(&mut self, report: Report<Reader>, now: Instant) {
        let Some((_, Ok(found))) = self.lane.finish(report, now) else { return };
        if matches!(found, Found::Pong) {
            return;
        }
        match (self.waiting.pop_front(), found) {
            (Some(Question::Unsettled(list)), Found::Unsettled(ids)) => {
                list.reply.do_send(Unsettled(ids));
            }
            (Some(Question::Members(list)), Found::Members(members)) => {
                list.reply.do_send(members);
            }
            // What is found is what was asked for.
            (Some(Question::Unsettled(_) | Question::Members(_)) | None, _) => {}
        }
    }

    /// Gives a question up that takes too long; it is tried again on another connection.
    pub(super) fn abandon(&mut self, now: Instant) {
        self.lane.abandon(now);
    }
}
