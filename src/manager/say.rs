//! What the router says by itself, without a twin: what is wrong, and on which topic.

use std::sync::Arc;

use super::Router;
use crate::{
    mqtt::{self, Arrived, Destination, Done, Publish, Respond},
    protocol::{Bad, Problem, ThingId, Topic},
};

impl Router {
    /// Takes note of what a thing should not have sent, or should not have sent us.
    pub(super) fn bad_payload(&mut self, id: &ThingId, message: &Arrived, bad: &Bad) {
        self.complain(id, &format!("{}: {bad}", message.topic));
        self.peers.done.do_send(Done(message.place.number));
    }

    /// Counts a thing's bad message, and logs one for each thing and minute.
    pub(super) fn complain(&mut self, id: &ThingId, reason: &str) {
        self.counters.bad_reports += 1;
        if self.nag.may(id, mqtt::now()) {
            log::warn!("{reason}; it changes nothing");
        }
    }

    pub(super) fn ignore(&mut self, number: u64) {
        self.counters.ignored += 1;
        self.peers.done.do_send(Done(number));
    }

    pub(super) fn answer_problem(
        &mut self,
        topic: Topic,
        problem: &Problem,
        respond: Option<Respond>,
        number: u64,
    ) {
        self.publish_problem(topic, problem, respond, Some(number));
        self.peers.done.do_send(Done(number));
    }

    pub(super) fn publish_problem(
        &mut self,
        topic: Topic,
        problem: &Problem,
        respond: Option<Respond>,
        entry: Option<u64>,
    ) {
        self.counters.errors += 1;
        self.publish(topic, problem.to_payload().into_bytes().into(), respond, entry);
    }

    /// Publishes what follows from an entry of the inbox, if it follows from one.
    pub(super) fn publish(
        &self,
        topic: Topic,
        payload: Arc<[u8]>,
        respond: Option<Respond>,
        entry: Option<u64>,
    ) {
        let also = respond.map(Destination::Response);
        for to in [Some(Destination::Topic(topic)), also].into_iter().flatten() {
            let payload = payload.clone();
            self.peers.publish.do_send(Publish { to, payload, about: None, entry });
        }
    }
}
