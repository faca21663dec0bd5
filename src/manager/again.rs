//! What is done again: after a start, what may not have been told; and after the end of an actor, what it had.

use actix::prelude::*;

use super::{Happened, Router, things::Entry};
use crate::{
    mqtt::{HandOnAgain, Poison, Replayed},
    protocol::{ThingId, Timestamp},
    store::{ForgetBefore, Told},
    twin::Event,
};

impl Router {
    /// Whether the thing's actor has ended, which only a panic outside of the rules makes it do.
    pub(super) fn has_ended(&mut self, id: &ThingId) -> bool {
        self.things.get(id).is_some_and(|entry| !entry.actor.connected())
    }

    /// Lets go of an actor that has ended, and has what it had handed on again, to another one; if that happens
    /// once more, all of it is set aside.
    pub(super) fn bury(&mut self, id: ThingId, last: &Happened) {
        let Some(entry) = self.things.get(&id) else { return };
        let under_way = entry.under_way.drain(..).flat_map(|under_way| under_way.numbers);
        let waiting = entry.waiting.drain(..).flat_map(Happened::into_numbers);
        let behind = entry.flood.numbers().into_iter().chain(last.numbers());
        let numbers = under_way.chain(waiting).chain(behind).collect::<Vec<_>>();
        let restoring = std::mem::take(&mut entry.restoring);
        log::error!("{id}: its actor has ended, with {} messages", numbers.len());
        self.things.forget(&id);
        if self.buried.insert(id.clone()) {
            self.peers.again.do_send(HandOnAgain(numbers));
        } else {
            for number in numbers {
                let reason = "the actor of its thing has ended twice".to_owned();
                self.peers.poison.do_send(Poison { number, reason });
            }
        }
        // What it had committed it may not have told.
        self.untold.insert(id);
        for _ in 0..restoring {
            self.next_restore();
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
