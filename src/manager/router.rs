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
    Ask, Counters, Happened, ManagerSettings, Peers, Shared,
    again::{Recovering, own, resumed},
    allowance::Allowance,
    counters::Stats,
    decode::{Asked, Decoded, decode},
    groups::Groups,
    nag::Nag,
    own_state::OwnState,
    restores::Restores,
    retries::Retries,
    things::{Sets, Things, give_back},
    twin_actor::TwinActor,
};
use crate::{
    mqtt::{self, Arrived, Parked},
    protocol::{ThingId, ThingTopic, Timestamp, Topic},
    store::ListUnsettled,
    twin::Event,
};

/// How often planned things are looked at.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// How often the manager tells how many twins there are, at most.
pub(super) const OWN_STATE: Duration = Duration::from_secs(1);

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
    pub(super) groups: Groups,
    /// Things of which something waits because they report too often.
    slowed: BTreeSet<ThingId>,
    pub(super) retries: Retries,
    pub(super) nag: Nag,
    pub(super) own: OwnState,
    pub(super) told_own: Option<OwnState>,
    pub(super) counters: Counters,
    pub(super) told_stats: Option<Stats>,
    pub(super) session: Option<i64>,
    /// Whether the broker is there: while it is not, nothing is sent again.
    pub(super) is_up: bool,
    pub(super) away: bool,
    pub(super) resuming: Resuming,
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
pub(super) struct Resuming {
    /// Things of the page that have not been looked at.
    pub(super) page: VecDeque<ThingId>,
    /// How many pages are on their way from the database. Only the last one asked for counts.
    pub(super) asked: usize,
}

impl Router {
    /// A router that knows of no thing yet.
    #[must_use]
    pub fn new(settings: ManagerSettings, peers: Peers) -> Self {
        Self {
            things: Things::new(settings.thing_rate),
            groups: Groups::default(),
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
        if self.is_behind_a_set(&message) {
            self.hold(message);
        } else {
            self.route_now(message, ctx);
        }
    }

    /// Takes a message on whose turn it is.
    pub(super) fn route_now(&mut self, message: Arrived, ctx: &mut Context<Self>) {
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
            Topic::Group(group, kind) => self.about_group(group, kind, message, ctx),
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
                    of_group: false,
                });
                self.take_sets_before(&id, place.number, ctx);
                let place = Some(place);
                self.hand_on(id, Happened { place, event, ask, at, session, merged: vec![] }, ctx);
            }
            Err(problem) => {
                let topic = Topic::Thing(id, ThingTopic::TwinRes);
                self.answer_problem(topic, &problem, respond, place.number);
            }
        }
    }

    /// Sends on what a message brings, behind what an earlier life of the manager may not have told.
    pub(super) fn hand_on(&mut self, id: ThingId, happened: Happened, ctx: &mut Context<Self>) {
        let is_new = happened.place.is_some_and(|place| place.epoch >= self.settings.epoch);
        if is_new && self.untold.remove(&id) {
            self.send(id.clone(), resumed(happened.at, happened.session, true), ctx);
        }
        self.send(id, happened, ctx);
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
        if entry.flood.passes(&happened, now) {
            self.take_on(&id, happened);
        } else {
            if let Some(number) = entry.flood.put(happened) {
                self.counters.merged += 1;
                self.peers.parked.do_send(Parked(number));
            }
            self.let_through(id, now);
        }
        if self.things.len() > self.settings.cache {
            self.things.retire(moment, self.settings.idle, self.settings.cache);
        }
    }

    /// Takes on what a thing's rate lets through.
    fn let_through(&mut self, id: ThingId, now: Timestamp) {
        while let Some(happened) = self.things.get(&id).and_then(|entry| entry.flood.next(now)) {
            self.take_on(&id, happened);
        }
        if self.things.get(&id).is_none_or(|entry| entry.flood.is_empty()) {
            self.slowed.remove(&id);
        } else {
            self.slowed.insert(id);
        }
    }

    /// Hands an event to the thing's actor, unless it is a restore, or behind one, whose turn has not come.
    fn take_on(&mut self, id: &ThingId, happened: Happened) {
        let Some(entry) = self.things.get(id) else { return };
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

    pub(super) fn shared(&mut self, ctx: &mut Context<Self>) -> Rc<Shared> {
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
            give_back(&mut entry.waiting);
            return;
        }
    }

    /// Gives back the places of a thing's group SETs once all of them is told.
    pub(super) fn check_sets(&mut self, id: &ThingId) {
        let Some(entry) = self.things.get(id) else { return };
        if entry.sets.untold == 0 && entry.sets.finished == entry.sets.taken {
            let Sets { taken, .. } = std::mem::take(&mut entry.sets);
            self.leave_places(taken);
        }
    }

    /// Gives back the places of a thing's restores once all of them is told.
    pub(super) fn check_restored(&mut self, id: &ThingId) {
        let Some(entry) = self.things.get(id) else { return };
        if entry.restore_untold > 0 || entry.under_way.iter().any(|under_way| under_way.restores) {
            return;
        }
        for _ in 0..std::mem::take(&mut entry.restoring) {
            self.next_restore();
        }
    }

    /// Sends again what is due, and goes on looking at unsettled things.
    pub(super) fn tick(&mut self, ctx: &mut Context<Self>) {
        // What is planned goes by the clock that never jumps.
        let (now, moment) = (mqtt::now(), Instant::now());
        for id in self.slowed.clone() {
            self.let_through(id, now);
        }
        self.groups_tick(ctx);
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

    pub(super) fn ask_unsettled(&mut self, after: Option<ThingId>, ctx: &mut Context<Self>) {
        self.resuming.asked += 1;
        let reply = ctx.address().recipient();
        self.peers.unsettled.do_send(ListUnsettled { after, limit: PAGE, reply });
    }
}
