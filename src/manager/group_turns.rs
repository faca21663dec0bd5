//! How the members of groups take SETs: some at a time, each SET before what came later, and what comes of it.

use actix::prelude::*;

use super::{
    Handling, Router,
    group_sets::{GroupSet, Taken},
    groups::res,
};
use crate::{
    mqtt::{Done, Poison},
    protocol::{Code, Problem, ThingId},
};

/// The most members that have their turn at once, over all SETs, until what they are told is acknowledged. More
/// would keep what others are told waiting, and gain nothing.
const PLACES: usize = 200;

impl Router {
    /// Hands a thing the SETs that came before the message of this number, if it is a member and has not had them.
    pub(super) fn take_sets_before(&mut self, id: &ThingId, number: u64, ctx: &mut Context<Self>) {
        for happened in self.groups.sets.take_before(id, number) {
            self.hand_on(id.clone(), happened, ctx);
            if let Some(entry) = self.things.get(id) {
                entry.sets.taken += 1;
                self.groups.places += 1;
            }
        }
    }

    /// Lets members take the SETs whose turn it is, as many at once as there are places.
    pub(super) fn go_on_with_sets(&mut self, ctx: &mut Context<Self>) {
        while self.groups.places < PLACES {
            let may = |id: &ThingId| !self.recovering.contains_key(id);
            let Some((id, number)) = self.groups.sets.next(may) else { return };
            if self.has_ended(&id) {
                // What it had comes first.
                self.bury(id, None);
            } else {
                self.take_sets_before(&id, number + 1, ctx);
            }
        }
    }

    /// Gives places back.
    pub(super) fn leave_places(&mut self, places: usize) {
        self.groups.places = self.groups.places.saturating_sub(places);
    }

    /// Takes in what a member made of a SET, if the entry of this number is one.
    pub(super) fn has_taken(&mut self, number: u64, id: &ThingId, taken: Taken) -> bool {
        let is_one = self.groups.sets.has(number);
        if let Some(set) = self.groups.sets.finished(number, id, taken) {
            self.tell_outcome(set);
        }
        is_one
    }

    /// Has a thing take SETs again that it had when its actor ended; gives the numbers that are of no SET.
    pub(super) fn put_back_sets(&mut self, id: &ThingId, numbers: Vec<u64>) -> Vec<u64> {
        let (sets, others) = numbers.into_iter().partition(|number| self.groups.sets.has(*number));
        let sets: Vec<u64> = sets;
        sets.iter().for_each(|number| self.groups.sets.put_back(*number, id));
        others
    }

    /// A SET is over: says what came of it, to who wants to know, and that its entry is dealt with.
    pub(super) fn tell_outcome(&mut self, set: GroupSet) {
        let GroupSet { group, place, query, respond, outcome, poison, .. } = set;
        let number = place.number;
        self.counters.group_sets += 1;
        if let Some(query) = query {
            let payload = outcome.to_payload(&query);
            let room = self.shared.as_ref().map_or(usize::MAX, |shared| shared.room());
            if payload.len() <= room {
                self.publish(res(group), payload.into_bytes().into(), respond, Some(number));
            } else {
                let message = format!(
                    "{} of {} members have it; who they are has {} bytes, more than go to the broker in one packet \
                     ({room})",
                    outcome.changed.len() + outcome.unchanged.len(),
                    outcome.members,
                    payload.len(),
                );
                let problem = Problem { query: Some(query), code: Code::TooLarge, message };
                self.publish_problem(res(group), &problem, respond, Some(number));
            }
        } else if let Some(first) = outcome.refused.first() {
            log::warn!(
                "GRP/{group}/TWIN/SET: {} did not take it, {first} first",
                outcome.refused.len()
            );
        }
        match poison {
            Some(reason) => self.peers.poison.do_send(Poison { number, reason }),
            None => self.peers.done.do_send(Done(number)),
        }
    }
}

/// What a member made of a SET, by what its actor says.
pub(super) fn taken(result: &Handling) -> Taken {
    match result {
        Handling::Applied { changed: false } => Taken::Unchanged,
        // What is in the twin already was new to it before the manager ended.
        Handling::Applied { changed: true } | Handling::Repeated => Taken::Changed,
        Handling::Refused | Handling::Bad(_) | Handling::Unstorable => Taken::Refused,
        Handling::Poisoned(reason) => Taken::Poisoned(reason.clone()),
    }
}
