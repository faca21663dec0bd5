//! Who is a member of which group, by the broker's access tables, and what groups are asked.
//!
//! The tables are asked of the database when somebody wants to know, at most once a second for each group: so a
//! change in them is seen within a second, and a group that nobody asks for costs nothing. Whom `$all` names, the things
//! that have a twin, is asked each time: who has seen a new twin's update finds it in the group.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use actix::prelude::*;
use serde_json::Value;

use super::{Common, DatabaseAway, nag::Nag, twin_actor::AWAY};
use crate::{
    mqtt::{self, About, Destination, Publish, Respond},
    protocol::{Code, GroupName, GroupTopic, Problem, Query, ThingId, Topic},
    store::{AclRow, ListMembers, Members, Select, SelectFault, Selected},
    twin::query_answer,
};

/// How long is believed what the tables said.
const FRESH: Duration = Duration::from_secs(1);

/// The most bytes of answers that are made or on their way to the broker at once. What one may become is kept free for it.
const ANSWERS: usize = 256 << 20;

/// How long a group is remembered that nobody asks for.
const IDLE: Duration = Duration::from_secs(60);

/// Who the members of a group are, or why that is not known.
pub(super) type Known = Result<Arc<[ThingId]>, String>;

/// A query of a group's members.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct GroupGet {
    /// The number of the message in the inbox.
    pub(super) number: u64,
    pub(super) group: GroupName,
    pub(super) query: Arc<Query>,
    /// By what the client knows it.
    pub(super) mark: Option<Value>,
    pub(super) session: i64,
    pub(super) respond: Option<Respond>,
}

/// The broker has one more of the publishes that answer a query.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct AnswerTold(pub(super) u64);

/// A query of a group's members is answered.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Answered {
    pub(super) number: u64,
    /// Whether with an error.
    pub(super) is_error: bool,
}

/// Asks who a SET is for.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct AskMembers {
    /// The number of the SET in the inbox.
    pub(super) number: u64,
    pub(super) group: GroupName,
}

/// Who a SET is for.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct MembersOf {
    pub(super) number: u64,
    pub(super) members: Known,
}

/// Knows the groups that are in use.
pub(super) struct GroupActor {
    /// The manager is a thing without a twin, and so nobody's member.
    me: ThingId,
    common: Common,
    members_of: Recipient<MembersOf>,
    answered: Recipient<Answered>,
    groups: HashMap<GroupName, Group>,
    /// Queries whose members are known, and who these are, until there is room for what they may be answered.
    ready: VecDeque<(GroupGet, Arc<[ThingId]>)>,
    /// Queries that the database is asked, by number, and the room that is kept free for them.
    selecting: BTreeMap<u64, (GroupGet, usize)>,
    /// Answers that the broker has not acknowledged, by number: how many publishes, and of how many bytes.
    untold: HashMap<u64, (usize, usize)>,
    /// The bytes of both.
    taken: usize,
    last_ticket: u64,
    nag: Nag,
}

/// A group that somebody has asked for.
struct Group {
    /// Who its members are, and when that was asked. Not for a group of everybody: that changes with the twins.
    known: Option<(Instant, Known)>,
    /// The rows about a group of everybody, and when they were asked for.
    rows: Option<(Instant, Arc<[AclRow]>)>,
    /// What is being asked.
    asked: Option<Asked>,
    /// Who waits for that, and since when.
    waiting: Vec<(Instant, Waiting)>,
    /// Rows that were complained about.
    said: HashSet<i64>,
    last_used: Instant,
}

/// A question that the database has not answered.
#[derive(Clone, Copy)]
struct Asked {
    ticket: u64,
    at: Instant,
    /// Since when the rows are known by which it is answered.
    rows_at: Instant,
    is_urgent: bool,
}

enum Waiting {
    Get(GroupGet),
    Set(u64),
}

impl GroupActor {
    /// Knows no group yet. Who a SET is for goes to `members_of`, and what is answered to `answered`.
    pub(super) fn new(
        me: ThingId,
        common: Common,
        members_of: Recipient<MembersOf>,
        answered: Recipient<Answered>,
    ) -> Self {
        Self {
            me,
            common,
            members_of,
            answered,
            groups: HashMap::new(),
            ready: VecDeque::new(),
            selecting: BTreeMap::new(),
            untold: HashMap::new(),
            taken: 0,
            last_ticket: 0,
            nag: Nag::default(),
        }
    }

    /// Goes on with a request once it is known who the members are.
    fn want(&mut self, name: GroupName, waiting: Waiting, ctx: &Context<Self>) {
        let now = Instant::now();
        let group = self.groups.entry(name.clone()).or_insert_with(|| Group::new(now));
        group.last_used = now;
        if let Some((asked, known)) = &group.known
            && now.duration_since(*asked) < FRESH
        {
            let known = known.clone();
            return self.go_on(waiting, known, ctx);
        }
        let is_urgent = matches!(waiting, Waiting::Set(_));
        group.waiting.push((now, waiting));
        match &mut group.asked {
            None => {
                self.last_ticket += 1;
                group.ask(self.last_ticket, now);
            }
            Some(asked) if is_urgent && !asked.is_urgent => asked.is_urgent = true,
            Some(_) => return,
        }
        self.send_question(&name, ctx);
    }

    /// Asks the database what is to be asked, ahead of others if a SET waits for it.
    fn send_question(&self, name: &GroupName, ctx: &Context<Self>) {
        let Some(group) = self.groups.get(name) else { return };
        let Some(Asked { ticket, rows_at, at, is_urgent }) = group.asked else { return };
        let rows = group.rows.as_ref().filter(|_| rows_at < at).map(|(_, rows)| Arc::clone(rows));
        let (group, reply) = (name.clone(), ctx.address().recipient());
        self.common.peers.members.do_send(ListMembers { ticket, group, rows, is_urgent, reply });
    }

    fn go_on(&mut self, waiting: Waiting, known: Known, ctx: &Context<Self>) {
        match (waiting, known) {
            (Waiting::Set(number), members) => {
                self.members_of.do_send(MembersOf { number, members })
            }
            (Waiting::Get(get), Ok(members)) => self.select(get, members, ctx),
            (Waiting::Get(get), Err(reason)) => {
                let message = unknown(&get.group, &reason);
                self.fail(get, Code::Unavailable, message);
            }
        }
    }

    fn select(&mut self, get: GroupGet, ids: Arc<[ThingId]>, ctx: &Context<Self>) {
        if ids.is_empty() {
            let nothing = query_answer(&get.query, get.mark.as_ref(), &[]);
            return self.answer(get, nothing.into_bytes().into(), false);
        }
        self.ready.push_back((get, ids));
        self.go_on_selecting(ctx);
    }

    /// Has the database asked as many queries as there is room for what they may be answered.
    fn go_on_selecting(&mut self, ctx: &Context<Self>) {
        let limit = self.common.room();
        while (self.taken == 0 || self.taken + limit <= ANSWERS)
            && let Some((get, ids)) = self.ready.pop_front()
        {
            self.common.peers.select.do_send(Select {
                ticket: get.number,
                query: Arc::clone(&get.query),
                mark: get.mark.clone(),
                group: get.group.clone(),
                ids,
                session: get.session,
                limit,
                reply: ctx.address().recipient(),
            });
            self.taken += limit;
            self.selecting.insert(get.number, (get, limit));
        }
    }

    fn fail(&mut self, get: GroupGet, code: Code, message: String) {
        let problem = Problem { query: get.mark.clone(), code, message };
        self.answer(get, problem.to_payload().into_bytes().into(), true);
    }

    fn answer(&mut self, get: GroupGet, payload: Arc<[u8]>, is_error: bool) {
        let topic = Destination::Topic(Topic::Group(get.group, GroupTopic::TwinRes));
        let respond = get.respond.map(Destination::Response);
        let (number, mut publishes) = (get.number, 0);
        for to in [Some(topic), respond].into_iter().flatten() {
            let (payload, about, entry) =
                (payload.clone(), Some(About::Query(number)), Some(number));
            self.common.peers.publish.do_send(Publish { to, payload, about, entry });
            publishes += 1;
        }
        self.untold.insert(number, (publishes, payload.len()));
        self.taken += payload.len();
        self.answered.do_send(Answered { number, is_error });
    }

    fn forget_idle(&mut self) {
        let now = Instant::now();
        self.groups.retain(|_, group| {
            !group.waiting.is_empty()
                || group.asked.is_some()
                || now.duration_since(group.last_used) < IDLE
        });
    }
}

/// What a client is told of a group whose members the tables do not say.
pub(super) fn unknown(group: &GroupName, reason: &str) -> String {
    format!("who is in group {group} cannot be read: {reason}")
}

impl Group {
    fn new(now: Instant) -> Self {
        let (known, rows, asked, waiting, said) = (None, None, None, Vec::new(), HashSet::new());
        Self { known, rows, asked, waiting, said, last_used: now }
    }

    /// Plans a question, by the rows that are known if they are fresh.
    fn ask(&mut self, ticket: u64, at: Instant) {
        let rows = self.rows.as_ref().map(|(rows_at, _)| *rows_at);
        let rows_at = rows.filter(|rows_at| at.duration_since(*rows_at) < FRESH).unwrap_or(at);
        let is_urgent = self.waiting.iter().any(|(_, waiting)| matches!(waiting, Waiting::Set(_)));
        self.asked = Some(Asked { ticket, at, rows_at, is_urgent });
    }
}

impl Actor for GroupActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(IDLE, |groups, _| groups.forget_idle());
    }
}

impl Handler<GroupGet> for GroupActor {
    type Result = ();

    fn handle(&mut self, get: GroupGet, ctx: &mut Self::Context) {
        self.want(get.group.clone(), Waiting::Get(get), ctx);
    }
}

impl Handler<AskMembers> for GroupActor {
    type Result = ();

    fn handle(&mut self, AskMembers { number, group }: AskMembers, ctx: &mut Self::Context) {
        self.want(group, Waiting::Set(number), ctx);
    }
}

impl Handler<Members> for GroupActor {
    type Result = ();

    /// Who has asked so late that something may have changed since it was read has it read again.
    fn handle(&mut self, listed: Members, ctx: &mut Self::Context) {
        let Members { ticket, group: name, members, skipped, of_everybody } = listed;
        let Some(group) = self.groups.get_mut(&name) else { return };
        let is_it = |asked: &mut Asked| asked.ticket == ticket;
        let Some(Asked { at, rows_at, .. }) = group.asked.take_if(is_it) else { return };
        for row in skipped.into_iter().filter(|row| group.said.insert(row.row)) {
            log::warn!(
                "row {} of mqtt_acl, about group {name}, counts for nothing: {}",
                row.row,
                row.reason
            );
        }
        if let Err(reason) = &members {
            log::error!("{}", unknown(&name, reason));
        }
        let without_me = |members: Arc<[ThingId]>| {
            if members.binary_search(&self.me).is_err() {
                return members;
            }
            members.iter().filter(|id| **id != self.me).cloned().collect()
        };
        let known: Known = members.map(without_me);
        let is_of_everybody = of_everybody.is_some();
        group.rows = of_everybody.map(|rows| (rows_at, rows));
        group.known = (!is_of_everybody).then(|| (at, known.clone()));
        let serves = |since: Instant| {
            if is_of_everybody { since <= at } else { since.saturating_duration_since(at) < FRESH }
        };
        let waiting = std::mem::take(&mut group.waiting);
        let (served, late): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(since, _)| serves(*since));
        if !late.is_empty() {
            group.waiting = late;
            self.last_ticket += 1;
            group.ask(self.last_ticket, Instant::now());
            self.send_question(&name, ctx);
        }
        for (_, waiting) in served {
            self.go_on(waiting, known.clone(), ctx);
        }
    }
}

impl Handler<Selected> for GroupActor {
    type Result = ();

    fn handle(&mut self, selected: Selected, ctx: &mut Self::Context) {
        let Selected { ticket, result, unreadable } = selected;
        for (id, reason) in unreadable {
            if self.nag.may(&id, mqtt::now()) {
                log::error!("twin of {id}: {reason}; it is left out of what groups are answered");
            }
        }
        // Who is told already that the database is away needs no more.
        let Some((get, limit)) = self.selecting.remove(&ticket) else { return };
        self.taken -= limit;
        match result {
            Ok(payload) => self.answer(get, payload, false),
            Err(fault @ SelectFault::TooLarge(_)) => {
                self.fail(get, Code::TooLarge, fault.to_string())
            }
            Err(fault @ SelectFault::Internal) => {
                log::error!("a query of group {} made the rules panic", get.group);
                self.fail(get, Code::Unavailable, fault.to_string());
            }
        }
        self.go_on_selecting(ctx);
    }
}

impl Handler<AnswerTold> for GroupActor {
    type Result = ();

    fn handle(&mut self, AnswerTold(number): AnswerTold, ctx: &mut Self::Context) {
        // What an actor before this one answered is none of its own.
        let Some((publishes, bytes)) = self.untold.get_mut(&number) else { return };
        *publishes -= 1;
        if *publishes == 0 {
            self.taken -= *bytes;
            self.untold.remove(&number);
            self.go_on_selecting(ctx);
        }
    }
}

impl Handler<DatabaseAway> for GroupActor {
    type Result = ();

    /// Whoever waits for a GET is told so; a SET waits on.
    fn handle(&mut self, DatabaseAway: DatabaseAway, _: &mut Self::Context) {
        let selecting = std::mem::take(&mut self.selecting).into_values();
        let mut gets = Vec::new();
        for (get, limit) in selecting {
            self.taken -= limit;
            gets.push(get);
        }
        gets.extend(self.ready.drain(..).map(|(get, _)| get));
        for group in self.groups.values_mut() {
            for (since, waiting) in std::mem::take(&mut group.waiting) {
                match waiting {
                    Waiting::Get(get) => gets.push(get),
                    Waiting::Set(_) => group.waiting.push((since, waiting)),
                }
            }
        }
        for get in gets {
            self.fail(get, Code::Unavailable, AWAY.to_owned());
        }
    }
}
