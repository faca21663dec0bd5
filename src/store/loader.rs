//! Loads gathered the way commits are: what came while one query ran goes together into the next.

use std::{
    collections::{HashMap, VecDeque},
    time::Instant,
};

use actix::Recipient;

use super::{
    Load, Loaded,
    lane::{Lane, Report},
    reader::{Found, Read, Reader},
};
use crate::protocol::ThingId;

/// The most twins in one query.
const BATCH: usize = 500;

/// Keeps what is to be loaded until it is.
pub(super) struct Loader {
    pub(super) lane: Lane<Reader>,
    waiting: HashMap<ThingId, Vec<Recipient<Loaded>>>,
    /// The waiting, in the order in which they came.
    order: VecDeque<ThingId>,
    under_way: HashMap<ThingId, Vec<Recipient<Loaded>>>,
}

impl Loader {
    pub(super) fn new(lane: Lane<Reader>) -> Self {
        Self { lane, waiting: HashMap::new(), order: VecDeque::new(), under_way: HashMap::new() }
    }

    pub(super) fn put(&mut self, Load { id, reply, .. }: Load) {
        self.wait(id, vec![reply]);
    }

    fn wait(&mut self, id: ThingId, replies: Vec<Recipient<Loaded>>) {
        let waiting = self.waiting.entry(id.clone()).or_default();
        if waiting.is_empty() {
            self.order.push_back(id);
        }
        waiting.extend(replies);
    }

    /// Starts the next query, unless one is under way.
    pub(super) fn next(&mut self, now: Instant) {
        if !self.lane.is_ready(now) || self.order.is_empty() {
            return;
        }
        let ids: Vec<ThingId> = self.order.drain(..self.order.len().min(BATCH)).collect();
        for id in &ids {
            self.under_way.extend(self.waiting.remove_entry(id));
        }
        self.lane.give(Read::Twins(ids), now);
    }

    /// Takes in what came of a query.
    pub(super) fn finished(&mut self, report: Report<Reader>, now: Instant) {
        match self.lane.finish(report, now) {
            Some((_, Ok(Found::Twins(mut rows, deleted)))) => {
                for (id, replies) in self.under_way.drain() {
                    let row = rows.remove(id.as_str());
                    let deleted = deleted.get(id.as_str()).copied();
                    for reply in replies {
                        reply.do_send(Loaded { id: id.clone(), row: row.clone(), deleted });
                    }
                }
            }
            Some((
                _,
                Ok(Found::Unsettled(_) | Found::Members(_) | Found::Part(_) | Found::Pong),
            ))
            | None => {}
            Some((_, Err(_))) => self.put_back(),
        }
    }

    fn put_back(&mut self) {
        for (id, replies) in std::mem::take(&mut self.under_way) {
            self.wait(id, replies);
        }
    }

    /// Gives a query up that takes too long; it is tried again on another connection.
    pub(super) fn abandon(&mut self, now: Instant) {
        if self.lane.abandon(now).is_some() {
            self.put_back();
        }
    }
}
