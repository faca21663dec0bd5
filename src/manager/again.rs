//! What is done again: after a start, what may not have been told; and after the end of an actor, what it had.

use std::collections::BTreeSet;

use actix::prelude::*;

use super::{
    Happened, Router,
    group_sets::Taken,
    things::{Entry, UnderWay},
};
use crate::{
    mqtt::{Arrived, HandOnAgain, Poison, Replayed},
    protocol::{ThingId, Timestamp},
    store::{ForgetBefore, Told},
    twin::Event,
};

/// A thing whose actor has ended, until what that had has come again.
#[derive(Debug)]
pub(super) struct Recovering {
    /// The numbers of what is to come again.
    expected: BTreeSet<u64>,
    /// What came meanwhile, in order.
    waiting: Vec<Arrived>,
}

impl Router {
    /// Whether the thing's actor has ended, which only a panic outside of the rules makes it do.
    pub(super) fn has_ended(&mut self, id: &ThingId) -> bool {
        self.things.get(id).is_some_and(|entry| !entry.actor.connected())
    }

    /// Lets go of an actor that has ended, and has what it had handed on again, to another one; if that happens
    /// once more, all of it is set aside.
    pub(super) fn bury(&mut self, id: ThingId, last: Option<u64>) {
        let Some(entry) = self.things.get(&id) else { return };
        let under_way = entry.under_way.drain(..).flat_map(UnderWay::into_numbers);
        let waiting = entry.waiting.drain(..).flat_map(Happened::into_numbers);
        let behind = entry.flood.numbers().into_iter().chain(last);
        let numbers = under_way.chain(waiting).chain(behind).collect::<Vec<_>>();
        let (restoring, places) = (entry.restoring, entry.sets.taken);
        log::error!("{id}: its actor has ended, with {} messages", numbers.len());
        self.things.forget(&id);
        self.leave_places(places);
        if self.buried.insert(id.clone()) {
            // Groups' SETs are at hand: a thing takes them before what comes later.
            let numbers = self.put_back_sets(&id, numbers);
            if !numbers.is_empty() {
                let expected = numbers.iter().copied().collect();
                self.recovering.insert(id.clone(), Recovering { expected, waiting: Vec::new() });
                self.peers.again.do_send(HandOnAgain(numbers));
            }
        } else {
            let recovering = self.recovering.remove(&id).map(|recovering| recovering.waiting);
            let behind = recovering.into_iter().flatten().map(|message| message.place.number);
            for number in numbers.into_iter().chain(behind) {
                let reason = "the actor of its thing has ended twice".to_owned();
                if !self.has_taken(number, &id, Taken::Poisoned(reason.clone())) {
                    self.peers.poison.do_send(Poison { number, reason });
                }
            }
        }
        // What it had committed it may not have told.
        self.untold.insert(id);
        for _ in 0..restoring {
            self.next_restore();
        }
    }

    /// Whether a message may be dealt with now: not while others that came before it are on their way again.
    pub(super) fn has_its_turn(&mut self, id: &ThingId, message: &Arrived) -> bool {
        let Some(recovering) = self.recovering.get_mut(id) else { return true };
        let is_again = recovering.expected.remove(&message.place.number);
        if !is_again {
            recovering.waiting.push(message.clone());
        }
        is_again
    }

    /// Goes on with what waited for messages that were on their way again, once all of these have come.
    pub(super) fn go_on_after(&mut self, id: &ThingId, ctx: &mut Context<Self>) {
        let has_come = |recovering: &Recovering| recovering.expected.is_empty();
        if !self.recovering.get(id).is_some_and(has_come) {
            return;
        }
        let waiting = self.recovering.remove(id).map(|recovering| recovering.waiting);
        for message in waiting.into_iter().flatten() {
            self.route(message, ctx);
        }
    }

    /// Finds actors that have ended while they had something to do, and nothing new came for them.
    pub(super) fn look_for_ended(&mut self) {
        let ended = self.things.busy().filter(|(_, entry)| !entry.actor.connected());
        let ended: Vec<_> = ended.map(|(id, _)| id.clone()).collect();
        for id in ended {
            self.bury(id, None);
        }
    }

    /// Has twins told that an earlier life may not have told, as many as may be now.
    pub(super) fn tell_untold(&mut self, now: Timestamp, session: i64, ctx: &mut Context<Self>) {
        while self.is_up && self.is_replayed && self.allowance.has_one() {
            let Some(id) = self.untold.pop_first() else { break };
            self.allowance.take_one();
            self.send(id, resumed(now, session, true), ctx);
        }
    }

    /// Has written down that the thing's twin is told, once all of it is.
    pub(super) fn check_told(&mut self, id: &ThingId) {
        if self.untold.contains(id) {
            return;
        }
        if let Some(revision) = self.things.get(id).and_then(Entry::take_told) {
            self.peers.told.do_send(Told { id: id.clone(), revision });
        }
    }
}

/// The event of a start, or of a lost session.
pub(super) fn resumed(at: Timestamp, session: i64, untold: bool) -> Happened {
    own(Event::Resumed { untold }, at, session)
}

/// An event that no message brings.
pub(super) fn own(event: Event, at: Timestamp, session: i64) -> Happened {
    Happened { place: None, event, ask: None, at, session, merged: Vec::new() }
}

impl Handler<Replayed> for Router {
    type Result = ();

    fn handle(&mut self, Replayed: Replayed, _: &mut Self::Context) {
        self.is_replayed = true;
        self.peers.forget.do_send(ForgetBefore(self.settings.epoch));
    }
}
