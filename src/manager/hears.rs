//! What the router hears of those it has something done by.

use std::time::Instant;

use actix::prelude::*;

use super::{
    DatabaseAway, Finished, Handling, Router, SignOfLife,
    group_turns::taken,
    router::{OWN_STATE, TICK},
    things::UnderWay,
};
use crate::{
    mqtt::{About, Acked, Arrived, AsksFirst, Done, Link, Poison},
    store::{Health, SaveSession, Unsettled},
};

impl Actor for Router {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(TICK, Self::tick);
        ctx.run_interval(OWN_STATE, |router, ctx| {
            router.own_state_tick();
            router.look_for_ended();
            router.look_for_ended_groups(ctx);
        });
        ctx.run_interval(self.settings.stats, |router, ctx| router.stats_tick(ctx));
    }
}

impl Handler<Arrived> for Router {
    type Result = ();

    fn handle(&mut self, message: Arrived, ctx: &mut Self::Context) {
        self.route(message, ctx);
    }
}

impl Handler<SignOfLife> for Router {
    type Result = ();

    fn handle(&mut self, SignOfLife: SignOfLife, _: &mut Self::Context) {}
}

impl Handler<Finished> for Router {
    type Result = ();

    fn handle(&mut self, finished: Finished, ctx: &mut Self::Context) {
        let taken = taken(&finished.result);
        let Finished { id, generation, published, told, retry, things, result } = finished;
        self.own.things = self.own.things.saturating_add_signed(things);
        self.counters.told += published as u64;
        let mut poison = None;
        match result {
            Handling::Applied { .. } => self.counters.applied += 1,
            Handling::Repeated => self.counters.repeated += 1,
            Handling::Poisoned(reason) => {
                self.counters.poisoned += 1;
                poison = Some(reason);
            }
            Handling::Unstorable => self.counters.unstorable += 1,
            Handling::Refused => self.counters.errors += 1,
            Handling::Bad(reason) => self.complain(&id, &reason),
        }
        self.retries.follow(&id, retry, Instant::now());
        // What an actor said that has ended is not about what its successor has under way.
        let entry = self.things.get(&id).filter(|entry| entry.generation == generation);
        let Some(entry) = entry else { return };
        entry.untold += published;
        entry.told = told.or(entry.told);
        if let Some(under_way) = entry.finish() {
            let UnderWay { restores, is_set, .. } = under_way;
            if restores {
                entry.restore_untold = entry.untold;
            }
            if is_set {
                entry.sets.finished += 1;
                entry.sets.untold = entry.untold;
            }
            for number in under_way.into_numbers() {
                if is_set && self.has_taken(number, &id, taken.clone()) {
                    continue;
                }
                match poison.clone() {
                    Some(reason) => self.peers.poison.do_send(Poison { number, reason }),
                    None => self.peers.done.do_send(Done(number)),
                }
            }
        }
        self.check_told(&id);
        self.check_restored(&id);
        self.check_sets(&id);
        self.place(ctx);
    }
}

impl Handler<Acked> for Router {
    type Result = ();

    fn handle(&mut self, Acked(about): Acked, ctx: &mut Self::Context) {
        let (id, generation) = match about {
            About::Thing { id, generation } => (id, generation),
            About::Query(number) => return self.answer_is_told(number),
        };
        let entry = self.things.get(&id).filter(|entry| entry.generation == generation);
        if let Some(entry) = entry {
            entry.untold = entry.untold.saturating_sub(1);
            entry.restore_untold = entry.restore_untold.saturating_sub(1);
            entry.sets.untold = entry.sets.untold.saturating_sub(1);
        }
        self.check_told(&id);
        self.check_restored(&id);
        self.check_sets(&id);
        self.go_on_with_sets(ctx);
    }
}

impl Handler<Link> for Router {
    type Result = ();

    /// A new session, or the first: each unsettled thing is looked at.
    fn handle(&mut self, link: Link, ctx: &mut Self::Context) {
        self.is_up = matches!(link, Link::Up { .. });
        let Link::Up { session, maximum_packet } = link else { return };
        let most = maximum_packet.and_then(|most| usize::try_from(most).ok());
        self.shared(ctx).maximum_packet.set(most.unwrap_or(usize::MAX));
        if self.session == Some(session) {
            return;
        }
        self.session = Some(session);
        self.peers.session.do_send(SaveSession(session));
        self.resuming.page.clear();
        self.ask_unsettled(None, ctx);
    }
}

impl Handler<Unsettled> for Router {
    type Result = ();

    fn handle(&mut self, Unsettled(page): Unsettled, _: &mut Self::Context) {
        self.resuming.asked = self.resuming.asked.saturating_sub(1);
        if self.resuming.asked == 0 {
            self.resuming.page.extend(page);
        }
    }
}

impl Handler<Health> for Router {
    type Result = ();

    fn handle(&mut self, health: Health, ctx: &mut Self::Context) {
        self.away = matches!(health, Health::Away(_));
        self.peers.asks_first.do_send(AsksFirst(self.away));
        if self.away {
            for (_, entry) in self.things.busy() {
                entry.actor.do_send(DatabaseAway);
            }
            self.tell_groups_of_absence(ctx);
        }
    }
}
