//! What is said to groups, as far as the router has to do with it: a SET takes its place in the queue of each member
//! before anything that came later is looked at.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use actix::prelude::*;
use serde_json::Value;

use super::{
    DatabaseAway, Router,
    group_actor::{
        AnswerTold, Answered, AskMembers, GroupActor, GroupGet, Known, MembersOf, unknown,
    },
    group_sets::{GroupSet, GroupSets, Progress},
    twin_actor::{AWAY, INTERNAL},
};
use crate::{
    mqtt::{Arrived, Done, Parked, Respond},
    protocol::{
        Code, GroupName, GroupSetRequest, GroupTopic, Problem, SetOutcome, SetRequest, ThingId,
        ThingTopic, Topic, parse_group_get,
    },
};

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
    pub(super) sets: GroupSets,
    /// How many places are taken by members who have their turn.
    pub(super) places: usize,
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
}

/// Where a group's requests are answered.
pub(super) fn res(group: GroupName) -> Topic {
    Topic::Group(group, GroupTopic::TwinRes)
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
