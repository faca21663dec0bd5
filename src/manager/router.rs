//! Takes each message to the one it is for, and knows which twins are in memory.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::prelude::*;

use super::{
    Ask, Counters, DatabaseAway, Finished, Handling, Happened, ManagerSettings, Peers, Shared,
    again::{Recovering, own, resumed},
    allowance::Allowance,
    counters::Stats,
    decode::{Asked, Decoded, decode},
    nag::Nag,
    own_state::OwnState,
    restores::Restores,
    retries::Retries,
    things::{Things, UnderWay},
    twin_actor::TwinActor,
};
use crate::{
    mqtt::{self, About, Acked, Arrived, AsksFirst, Done, Link, Parked, Poison},
    protocol::{ThingId, ThingTopic, Timestamp, Topic},
    store::{Health, ListUnsettled, SaveSession, Unsettled},
    twin::Event,
};

/// How often planned things are looked at.
const TICK: Duration = Duration::from_millis(100);

/// How often the manager tells how many twins there are, at most.
const OWN_STATE: Duration = Duration::from_secs(1);

/// How many unsettled things are asked of the database at once.
const PAGE: usize = 500;

/// The middle of the service.
#[derive(Debug)]
pub struct Router {
    pub(super) settings: ManagerSettings,
    pub(super) peers: Peers,
    pub(super) shared: Option<Rc<Shared>>,
    pub(super) things: Things,
    restores: Restores,
    /// Things of which something waits because they report too often.
    slowed: BTreeSet<ThingId>,
    retries: Retries,
    pub(super) nag: Nag,
    pub(super) own: OwnState,
    pub(super) told_own: Option<OwnState>,
    pub(super) counters: Counters,
    pub(super) told_stats: Option<Stats>,
    pub(super) session: Option<i64>,
    /// Whether the broker is there: while it is not, nothing is sent again.
    pub(super) is_up: bool,
    pub(super) away: bool,
    resuming: Resuming,
    /// Things whose last change, in an earlier life, may not have been told: each is told again, before
    /// anything new of it, or once what was left in the inbox is over.
    pub(super) untold: BTreeSet<ThingId>,
    pub(super) is_replayed: bool,
    /// Things whose actor has ended by itself.
    pub(super) buried: BTreeSet<ThingId>,
    pub(super) recovering: BTreeMap<ThingId, Recovering>,
    /// The last generation that an actor could be of.
    generation: u64,
    /// How many deltas may be sent again, or unsettled things looked at, now.
    pub(super) allowance: Allowance,
}

/// The look at each unsettled thing after a start, or after the session was lost.
#[derive(Debug, Default)]
struct Resuming {
    /// Things of the page that have not been looked at.
    page: VecDeque<ThingId>,
    /// How many pages are on their way from the database. Only the last one asked for counts.
    asked: usize,
}

impl Router {
    /// A router that knows of no thing yet.
    #[must_use]
    pub fn new(settings: ManagerSettings, peers: Peers) -> Self {
        Self {
            things: Things::new(settings.thing_rate),
            slowed: BTreeSet::new(),
            restores: Restores::new(settings.restores),
            retries: Retries::default(),
            nag: Nag::default(),
            own: OwnState::new(settings.things),
            told_own: None,
            counters: Counters::default(),
            told_stats: None,
            session: None,
            is_up: false,
            away: false,
            resuming: Resuming::default(),
            untold: settings.untold.iter().cloned().collect(),
            is_replayed: false,
            buried: BTreeSet::new(),
            recovering: BTreeMap::new(),
            generation: 0,
            allowance: Allowance::new(settings.retry_rate),
            shared: None,
            settings,
            peers,
        }
    }

    pub(super) fn route(&mut self, message: Arrived, ctx: &mut Context<Self>) {
        match message.topic.clone() {
            Topic::Thing(id, kind) if id == self.settings.id => self.about_me(kind, &message),
            Topic::Thing(id, _) if self.has_ended(&id) => {
                self.bury(id, Some(message.place.number));
            }
            Topic::Thing(id, kind) => {
                if self.has_its_turn(&id, &message) {
                    self.about_thing(id.clone(), kind, message, ctx);
                    self.go_on_after(&id, ctx);
                }
            }
            Topic::Group(name, kind) => self.about_group(&name, kind, &message),
        }
    }

    fn about_thing(
        &mut self,
        id: ThingId,
        kind: ThingTopic,
        message: Arrived,
        ctx: &mut Context<Self>,
    ) {
        let decoded = match decode(kind, &message.payload, self.settings.payload_limit, self.away) {
            Decoded::Event(event, asked) => Ok((event, asked)),
            Decoded::Problem(problem) => Err(problem),
            Decoded::Bad(bad) => return self.bad_payload(&id, &message, &bad),
            Decoded::NotForUs => return self.ignore(message.place.number),
        };
        let Arrived { place, respond, at, session, .. } = message;
        match decoded {
            Ok((event, asked)) => {
                let ask = asked.map(|Asked { query, select }| Ask {
                    query,
                    select: select.map(Arc::from),
                    session,
                    respond,
                });
                if place.epoch >= self.settings.epoch && self.untold.remove(&id) {
                    self.send(id.clone(), resumed(at, session, true), ctx);
                }
                let place = Some(place);
                self.send(id, Happened { place, event, ask, at, session, merged: vec![] }, ctx);
            }
            Err(problem) => {
                let topic = Topic::Thing(id, ThingTopic::TwinRes);
                self.answer_problem(topic, &problem, respond, place.number);
            }
        }
    }

    /// Sends an event to the thing's actor, at the thing's rate; a restore waits for its turn, and so does what
    /// comes after it.
    pub(super) fn send(&mut self, id: ThingId, happened: Happened, ctx: &mut Context<Self>) {
        let (now, moment) = (happened.at, Instant::now());
        let shared = self.shared(ctx);
        let own = id.clone();
        if self.has_ended(&id) {
            return self.bury(id, happened.number());
        }
        let succeeds = self.buried.contains(&id);
        let start = |generation| {
            Supervisor::start(move |_| TwinActor::new(own, shared, generation, succeeds))
        };
        self.generation += 1;
        let entry = self.things.get_or_start(&id, moment, self.generation, start);
        if happened.place.is_some()
            && let Some(reason) = entry.doubles.note(&happened.event, now)
        {
            log::warn!("{id}: {reason}");
        }
        if let Some(number) = entry.flood.put(happened) {
            self.counters.merged += 1;
            self.peers.parked.do_send(Parked(number));
        }
        self.let_through(id, now);
        if self.things.len() > self.settings.cache {
            self.things.retire(moment, self.settings.idle, self.settings.cache);
        }
    }

    /// Takes on what a thing's rate lets through: usually all that there is, at once.
    fn let_through(&mut self, id: ThingId, now: Timestamp) {
        let Some(entry) = self.things.get(&id) else { return };
        while let Some(happened) = entry.flood.next(now) {
            let restores = happened.event == Event::Connected;
            if !entry.waiting.is_empty() || (restores && !self.restores.enter()) {
                entry.waiting.push_back(happened);
                if restores {
                    self.restores.wait(id.clone());
                }
            } else {
                entry.hand_over(happened);
            }
        }
        if entry.flood.is_empty() {
            self.slowed.remove(&id);
        } else {
            self.slowed.insert(id);
        }
    }

    fn shared(&mut self, ctx: &mut Context<Self>) -> Rc<Shared> {
        let shared = self.shared.get_or_insert_with(|| {
            Rc::new(Shared {
                rules: self.settings.rules.clone(),
                apply: self.settings.apply,
                maximum_packet: Cell::new(usize::MAX),
                peers: self.peers.clone(),
                finished: ctx.address().recipient(),
            })
        });
        shared.clone()
    }

    /// Lets in whose turn it is, with what waits behind it up to its next restore. Who waited and is
    /// gone leaves the place to the one behind.
    pub(super) fn next_restore(&mut self) {
        while let Some(id) = self.restores.leave() {
            let Some(entry) = self.things.get(&id) else { continue };
            let Some(restore) = entry.waiting.pop_front() else { continue };
            entry.hand_over(restore);
            while entry.waiting.front().is_some_and(|next| next.event != Event::Connected)
                && let Some(next) = entry.waiting.pop_front()
            {
                entry.hand_over(next);
            }
            return;
        }
    }

    /// Gives back the places of a thing's restores once all of them is told.
    fn check_restored(&mut self, id: &ThingId) {
        let Some(entry) = self.things.get(id) else { return };
        if entry.restore_untold > 0 || entry.under_way.iter().any(|under_way| under_way.restores) {
            return;
        }
        for _ in 0..std::mem::take(&mut entry.restoring) {
            self.next_restore();
        }
    }

    /// Sends again what is due, and goes on looking at unsettled things.
    fn tick(&mut self, ctx: &mut Context<Self>) {
        // What is planned goes by the clock that never jumps.
        let (now, moment) = (mqtt::now(), Instant::now());
        for id in self.slowed.clone() {
            self.let_through(id, now);
        }
        let Some(session) = self.session else { return };
        self.allowance.grow(now);
        while self.is_up && self.allowance.has_one() {
            let Some((id, attempt)) = self.retries.due(moment) else { break };
            self.allowance.take_one();
            self.counters.retried += 1;
            let event = Event::RetryDue(attempt);
            self.send(id, own(event, now, session), ctx);
        }
        self.tell_untold(now, session, ctx);
        while self.allowance.has_one() {
            let Some(id) = self.resuming.page.pop_front() else { break };
            self.allowance.take_one();
            if self.resuming.page.is_empty() {
                self.ask_unsettled(Some(id.clone()), ctx);
            }
            self.send(id, resumed(now, session, false), ctx);
        }
        self.things.retire(moment, self.settings.idle, self.settings.cache);
    }

    fn ask_unsettled(&mut self, after: Option<ThingId>, ctx: &mut Context<Self>) {
        self.resuming.asked += 1;
        let reply = ctx.address().recipient();
        self.peers.unsettled.do_send(ListUnsettled { after, limit: PAGE, reply });
    }
}

impl Actor for Router {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(TICK, Self::tick);
        ctx.run_interval(OWN_STATE, |router, _| {
            router.own_state_tick();
            router.look_for_ended();
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

impl Handler<Finished> for Router {
    type Result = ();

    fn handle(&mut self, finished: Finished, _: &mut Self::Context) {
        let Finished { id, generation, published, told, retry, things, result } = finished;
        self.own.things = self.own.things.saturating_add_signed(things);
        self.counters.told += published as u64;
        let mut poison = None;
        match result {
            Handling::Applied => self.counters.applied += 1,
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
        if let Some(UnderWay { numbers, restores }) = entry.under_way.pop_front() {
            if restores {
                entry.restore_untold = entry.untold;
            }
            for number in numbers {
                match poison.clone() {
                    Some(reason) => self.peers.poison.do_send(Poison { number, reason }),
                    None => self.peers.done.do_send(Done(number)),
                }
            }
        }
        self.check_told(&id);
        self.check_restored(&id);
    }
}

impl Handler<Acked> for Router {
    type Result = ();

    fn handle(&mut self, Acked(About { id, generation }): Acked, _: &mut Self::Context) {
        let entry = self.things.get(&id).filter(|entry| entry.generation == generation);
        if let Some(entry) = entry {
            entry.untold = entry.untold.saturating_sub(1);
            entry.restore_untold = entry.restore_untold.saturating_sub(1);
        }
        self.check_told(&id);
        self.check_restored(&id);
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

    fn handle(&mut self, health: Health, _: &mut Self::Context) {
        self.away = matches!(health, Health::Away(_));
        self.peers.asks_first.do_send(AsksFirst(self.away));
        if self.away {
            for (_, entry) in self.things.busy() {
                entry.actor.do_send(DatabaseAway);
            }
        }
    }
}
