//! What is said to groups, as far as the router has to do with it: a SET takes its place in the queue of each member
//! before anything that came later is looked at.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use actix::prelude::*;
use serde_json::Value;

use super::{
    DatabaseAway, Handling, Router,
    group_actor::{
        AnswerTold, Answered, AskMembers, GroupActor, GroupGet, Known, MembersOf, unknown,
    },
    group_sets::{GroupSet, GroupSets, Progress, Taken},
    twin_actor::{AWAY, INTERNAL},
};
use crate::{
    mqtt::{Arrived, Done, Parked, Poison, Respond},
    protocol::{
        Code, GroupName, GroupSetRequest, GroupTopic, Problem, SetOutcome, SetRequest, ThingId,
        ThingTopic, Topic, parse_group_get,
    },
};

/// The most members that have their turn at once, over all SETs, until what they are told is acknowledged. More
/// would keep what others are told waiting, and gain nothing.
const PLACES: usize = 200;

/// The most SETs that are being done at once. Each message looks for its place among them.
const SETS: usize = 1000;

/// The most turns that all members together may have to have, and the most bytes of all payloads, before another SET gets
/// its place: a thing that says something takes all that is before that at once.
const TURNS: usize = 50_000;
const BYTES: usize = 16 << 20;

/// The most queries that are being answered at once. Others wait as they came.
const GETS: usize = 100;

/// The groups, as the router sees them.
#[derive(Debug, Default)]
pub(super) struct Groups {
    actor: Option<Addr<GroupActor>>,
    /// SETs that wait for who is to take them, or for room, in order.
    placing: VecDeque<Placing>,
    /// What came behind one of them that it concerns, or may concern.
    held: VecDeque<Arrived>,
    sets: GroupSets,
    /// How many places are taken.
    places: usize,
    /// Queries that are being answered, by number.
    gets: BTreeMap<u64, Asked>,
    /// Queries that wait for others to be answered.
    waiting: VecDeque<(GroupName, Arrived)>,
}

/// A SET that waits for who is to take it, and for room.
#[derive(Debug)]
struct Placing {
    group: GroupName,
    message: Arrived,
    /// The members of the group; it may be for some of them only.
    members: Option<Known>,
}

impl Placing {
    fn number(&self) -> u64 {
        self.message.place.number
    }
}

/// Who asked a query.
#[derive(Debug)]
struct Asked {
    group: GroupName,
    mark: Option<Value>,
    respond: Option<Respond>,
}

impl Groups {
    /// Whether the first SET that waits can be given its place.
    fn has_room(&self) -> bool {
        let Some(Placing { message, members: Some(members), .. }) = self.placing.front() else {
            return false;
        };
        let turns = members.as_ref().map_or(0, |members| members.len());
        self.sets.len() == 0
            || (self.sets.len() < SETS
                && self.sets.turns() + turns <= TURNS
                && self.sets.bytes() + message.payload.len() <= BYTES)
    }
}

impl Router {
    /// Whether a message has to wait for a SET before it to have its place: if it is for one of those who may have to take
    /// it, which is anybody as long as that is not known.
    pub(super) fn is_behind_a_set(&self, message: &Arrived) -> bool {
        if self.groups.placing.is_empty() {
            return false;
        }
        let before = |placing: &&Placing| placing.number() < message.place.number;
        let mut before = self.groups.placing.iter().take_while(before);
        match &message.topic {
            Topic::Thing(id, _) if *id == self.settings.id => false,
            // These are told that the database is away.
            Topic::Thing(_, ThingTopic::TwinGet) | Topic::Group(_, GroupTopic::TwinGet)
                if self.away =>
            {
                false
            }
            Topic::Thing(id, _) => {
                // SETs of a group that came soon after one another have the same list of members.
                let mut last: Option<&Arc<[ThingId]>> = None;
                before.any(|placing| match &placing.members {
                    None => true,
                    Some(Err(_)) => false,
                    Some(Ok(members)) => {
                        let is_new = !last.is_some_and(|last| Arc::ptr_eq(last, members));
                        last = Some(members);
                        is_new && members.binary_search(id).is_ok()
                    }
                })
            }
            Topic::Group(group, GroupTopic::TwinGet) => {
                before.any(|placing| placing.group == *group)
            }
            Topic::Group(_, GroupTopic::TwinSet | GroupTopic::TwinRes | GroupTopic::Ping) => false,
        }
    }

    /// Has a message wait behind a SET that waits for its place.
    pub(super) fn hold(&mut self, message: Arrived) {
        self.groups.held.push_back(message);
    }

    /// Lets go on what need not wait any more.
    fn release(&mut self, ctx: &mut Context<Self>) {
        for message in std::mem::take(&mut self.groups.held) {
            self.route(message, ctx);
        }
    }

    pub(super) fn about_group(
        &mut self,
        group: GroupName,
        kind: GroupTopic,
        message: Arrived,
        ctx: &mut Context<Self>,
    ) {
        match kind {
            GroupTopic::TwinGet => {
                // An answer may take its time: nothing waits for it.
                self.peers.parked.do_send(Parked(message.place.number));
                if self.groups.gets.len() < GETS || self.away {
                    self.get_of_group(group, message, ctx);
                } else {
                    self.groups.waiting.push_back((group, message));
                }
            }
            GroupTopic::TwinSet => self.set_of_group(group, message, ctx),
            GroupTopic::Ping if group.as_str() == "ALL" => {
                let pong = Topic::Thing(self.settings.id.clone(), ThingTopic::Pong);
                self.publish(pong, message.payload, None, None);
                self.peers.done.do_send(Done(message.place.number));
            }
            GroupTopic::Ping | GroupTopic::TwinRes => self.ignore(message.place.number),
        }
    }

    fn get_of_group(&mut self, group: GroupName, message: Arrived, ctx: &mut Context<Self>) {
        let Arrived { place, payload, respond, session, .. } = message;
        let parsed = parse_group_get(&payload, self.settings.payload_limit);
        let (query, mark) = match parsed {
            Ok((_, query)) if self.away => {
                let problem = Problem { query, code: Code::Unavailable, message: AWAY.to_owned() };
                return self.answer_problem(res(group), &problem, respond, place.number);
            }
            Err(problem) => {
                return self.answer_problem(res(group), &problem, respond, place.number);
            }
            Ok(parsed) => parsed,
        };
        let number = place.number;
        let asked = Asked { group: group.clone(), mark: mark.clone(), respond: respond.clone() };
        self.group_actor(ctx).do_send(GroupGet {
            number,
            group,
            query: (*query).into(),
            mark,
            session,
            respond,
        });
        self.groups.gets.insert(number, asked);
    }

    fn set_of_group(&mut self, group: GroupName, message: Arrived, ctx: &mut Context<Self>) {
        let number = message.place.number;
        self.group_actor(ctx).do_send(AskMembers { number, group: group.clone() });
        self.groups.placing.push_back(Placing { group, message, members: None });
    }

    /// The actor that knows the groups: another one, if it has ended, which does again what can be done again.
    pub(super) fn group_actor(&mut self, ctx: &mut Context<Self>) -> Addr<GroupActor> {
        if let Some(actor) = self.groups.actor.as_ref().filter(|actor| actor.connected()) {
            return actor.clone();
        }
        let (me, shared) = (self.settings.id.clone(), self.shared(ctx));
        let (members_of, answered) = (ctx.address().recipient(), ctx.address().recipient());
        let actor = GroupActor::new(me, shared, members_of, answered).start();
        if self.groups.actor.replace(actor.clone()).is_some() {
            log::error!("the actor of groups has ended, with {} queries", self.groups.gets.len());
        }
        for (number, asked) in std::mem::take(&mut self.groups.gets) {
            let Asked { group, mark: query, respond } = asked;
            let problem = Problem { query, code: Code::Unavailable, message: INTERNAL.to_owned() };
            self.answer_problem(res(group), &problem, respond, number);
        }
        for placing in self.groups.placing.iter().filter(|placing| placing.members.is_none()) {
            let (number, group) = (placing.number(), placing.group.clone());
            actor.do_send(AskMembers { number, group });
        }
        actor
    }

    /// Notices that the actor which knows the groups has ended, though nobody asks for it.
    pub(super) fn look_for_ended_groups(&mut self, ctx: &mut Context<Self>) {
        if self.groups.actor.is_some() {
            self.group_actor(ctx);
        }
    }

    /// Takes on queries that waited, as many as there is room for.
    fn go_on_with_gets(&mut self, ctx: &mut Context<Self>) {
        while (self.groups.gets.len() < GETS || self.away)
            && let Some((group, message)) = self.groups.waiting.pop_front()
        {
            self.get_of_group(group, message, ctx);
        }
    }

    /// Tells those who wait for an answer that the database is away.
    pub(super) fn tell_groups_of_absence(&mut self, ctx: &mut Context<Self>) {
        if let Some(actor) = &self.groups.actor {
            actor.do_send(DatabaseAway);
        }
        self.go_on_with_gets(ctx);
        self.release(ctx);
    }

    /// Gives the SETs that wait their places, as far as that can be, and lets go on what came behind them.
    pub(super) fn place(&mut self, ctx: &mut Context<Self>) {
        let mut is_any_placed = false;
        while self.groups.has_room()
            && let Some(Placing { group, message, members }) = self.groups.placing.pop_front()
        {
            is_any_placed = true;
            let (number, respond) = (message.place.number, message.respond.clone());
            let parsed = GroupSetRequest::parse(&message.payload, self.settings.payload_limit);
            let problem = match (parsed, members.unwrap_or_else(|| Ok([].into()))) {
                (Ok(request), Ok(members)) => {
                    self.put_in_place(group, message, request, &members);
                    continue;
                }
                (Err(problem), _) => problem,
                (Ok(request), Err(reason)) => {
                    let message = unknown(&group, &reason);
                    Problem { query: request.set.query, code: Code::Unavailable, message }
                }
            };
            self.answer_problem(res(group), &problem, respond, number);
        }
        if is_any_placed {
            self.release(ctx);
        }
        self.go_on_with_sets(ctx);
    }

    fn put_in_place(
        &mut self,
        group: GroupName,
        message: Arrived,
        request: GroupSetRequest,
        all: &Arc<[ThingId]>,
    ) {
        let Arrived { place, respond, at, session, payload, .. } = message;
        let GroupSetRequest { set, from } = request;
        if all.is_empty() && set.query.is_some() {
            let message = format!("group {group} has no members");
            let problem = Problem { query: set.query, code: Code::NotFound, message };
            return self.answer_problem(res(group), &problem, respond, place.number);
        }
        let is_member = |id: &str| all.binary_search_by(|member| member.as_str().cmp(id)).is_ok();
        let (addressed, refused): (BTreeSet<_>, _) = from.into_iter().partition(|id| is_member(id));
        let members = if addressed.is_empty() && refused.is_empty() {
            Arc::clone(all)
        } else {
            // A member's id is one.
            addressed.iter().filter_map(|id| id.parse().ok()).collect()
        };
        let SetRequest { members: asked, version, query } = set;
        let set = GroupSet {
            group,
            place,
            at,
            session,
            asked: asked.into(),
            bytes: payload.len(),
            version,
            query,
            respond,
            outcome: SetOutcome { members: members.len(), refused, ..SetOutcome::default() },
            members,
            progress: Progress::default(),
            poison: None,
        };
        if set.members.is_empty() {
            return self.tell_outcome(set);
        }
        // It waits for acknowledgements: nothing else may wait for it, or both would wait for ever while there is no
        // connection because too much waits.
        self.peers.parked.do_send(Parked(place.number));
        self.groups.sets.put(set);
    }

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

    /// The broker has one more of the publishes that answer a query.
    pub(super) fn answer_is_told(&self, number: u64) {
        if let Some(actor) = &self.groups.actor {
            actor.do_send(AnswerTold(number));
        }
    }

    /// Goes on with what may have been left waiting.
    pub(super) fn groups_tick(&mut self, ctx: &mut Context<Self>) {
        self.go_on_with_gets(ctx);
        self.place(ctx);
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

    fn tell_outcome(&mut self, set: GroupSet) {
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

/// Where a group's requests are answered.
fn res(group: GroupName) -> Topic {
    Topic::Group(group, GroupTopic::TwinRes)
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

impl Handler<MembersOf> for Router {
    type Result = ();

    fn handle(&mut self, MembersOf { number, members }: MembersOf, ctx: &mut Self::Context) {
        let mut placing = self.groups.placing.iter_mut();
        if let Some(placing) = placing.find(|placing| placing.number() == number) {
            placing.members = Some(members);
            self.place(ctx);
            // Others may have waited only because these were not known.
            self.release(ctx);
        }
    }
}

impl Handler<Answered> for Router {
    type Result = ();

    fn handle(&mut self, Answered { number, is_error }: Answered, ctx: &mut Self::Context) {
        if self.groups.gets.remove(&number).is_some() {
            self.counters.errors += u64::from(is_error);
            self.counters.group_queries += u64::from(!is_error);
            self.peers.done.do_send(Done(number));
            self.go_on_with_gets(ctx);
        }
    }
}
