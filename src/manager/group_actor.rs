//! Who is a member of which group, by the broker's access tables, and what groups are asked.
//!
//! The tables are asked of the database when somebody wants to know, at most once a second for each group: so a
//! change in them is seen within a second, and a group that nobody asks for costs nothing.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use actix::prelude::*;
use serde_json::Value;

use super::{Common, DatabaseAway, nag::Nag, twin_actor::AWAY};
use crate::{
    mqtt::{self, Destination, Publish, Respond},
    protocol::{Code, GroupName, GroupTopic, Problem, Query, ThingId, Topic},
    store::{ListMembers, Members, Select, SelectFault, Selected},
    twin::query_answer,
};

/// How long is believed what the tables said.
const FRESH: Duration = Duration::from_secs(1);

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
    /// Queries that the database is asked, by number.
    selecting: BTreeMap<u64, GroupGet>,
    nag: Nag,
}

/// A group that somebody has asked for.
struct Group {
    /// What the tables said, and when they were asked.
    known: Option<(Instant, Known)>,
    /// When they were asked, if they have not answered.
    asked: Option<Instant>,
    /// Who waits for that, and since when.
    waiting: Vec<(Instant, Waiting)>,
    /// Rows that were complained about.
    said: HashSet<i64>,
    last_used: Instant,
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
        let (groups, selecting, nag) = (HashMap::new(), BTreeMap::new(), Nag::default());
        Self { me, common, members_of, answered, groups, selecting, nag }
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
        group.waiting.push((now, waiting));
        if group.asked.is_none() {
            self.ask(name, now, ctx);
        }
    }

    fn ask(&mut self, name: GroupName, now: Instant, ctx: &Context<Self>) {
        if let Some(group) = self.groups.get_mut(&name) {
            group.asked = Some(now);
        }
        let reply = ctx.address().recipient();
        self.common.peers.members.do_send(ListMembers { group: name, reply });
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
        self.common.peers.select.do_send(Select {
            ticket: get.number,
            query: Arc::clone(&get.query),
            mark: get.mark.clone(),
            group: get.group.clone(),
            ids,
            session: get.session,
            limit: self.common.room(),
            reply: ctx.address().recipient(),
        });
        self.selecting.insert(get.number, get);
    }

    fn fail(&self, get: GroupGet, code: Code, message: String) {
        let problem = Problem { query: get.mark.clone(), code, message };
        self.answer(get, problem.to_payload().into_bytes().into(), true);
    }

    fn answer(&self, get: GroupGet, payload: Arc<[u8]>, is_error: bool) {
        let topic = Destination::Topic(Topic::Group(get.group, GroupTopic::TwinRes));
        let respond = get.respond.map(Destination::Response);
        for to in [Some(topic), respond].into_iter().flatten() {
            let (payload, entry) = (payload.clone(), Some(get.number));
            self.common.peers.publish.do_send(Publish { to, payload, about: None, entry });
        }
        self.answered.do_send(Answered { number: get.number, is_error });
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
        let (known, asked, waiting, said) = (None, None, Vec::new(), HashSet::new());
        Self { known, asked, waiting, said, last_used: now }
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

    /// Who has asked so late that the tables may have changed since they were read has them read again.
    fn handle(&mut self, listed: Members, ctx: &mut Self::Context) {
        let Members { group: name, members, skipped } = listed;
        let Some(group) = self.groups.get_mut(&name) else { return };
        let Some(asked) = group.asked.take() else { return };
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
            members.iter().filter(|id| **id != self.me).cloned().collect()
        };
        let known: Known = members.map(without_me);
        group.known = Some((asked, known.clone()));
        let waiting = std::mem::take(&mut group.waiting);
        let (fresh, late): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(since, _)| since.duration_since(asked) < FRESH);
        if !late.is_empty() {
            group.waiting = late;
            self.ask(name, Instant::now(), ctx);
        }
        for (_, waiting) in fresh {
            self.go_on(waiting, known.clone(), ctx);
        }
    }
}

impl Handler<Selected> for GroupActor {
    type Result = ();

    fn handle(&mut self, selected: Selected, _: &mut Self::Context) {
        let Selected { ticket, result, unreadable } = selected;
        for (id, reason) in unreadable {
            if self.nag.may(&id, mqtt::now()) {
                log::error!("twin of {id}: {reason}; it is left out of what groups are answered");
            }
        }
        // Who is told already that the database is away needs no more.
        let Some(get) = self.selecting.remove(&ticket) else { return };
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
    }
}

impl Handler<DatabaseAway> for GroupActor {
    type Result = ();

    /// Whoever waits for a GET is told so; a SET waits on.
    fn handle(&mut self, DatabaseAway: DatabaseAway, _: &mut Self::Context) {
        let mut gets: Vec<_> = std::mem::take(&mut self.selecting).into_values().collect();
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
