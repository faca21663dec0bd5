//! The actor of a single thing. What happens to the thing goes through it in order of arrival, and
//! nobody hears of a change before that is committed.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
};

use actix::prelude::*;

use super::{Ask, Common, DatabaseAway, Finished, Handling, Happened, things::give_back};
use crate::{
    mqtt::{Place, Publish},
    protocol::{Code, ThingId},
    store::{Applied, Change, Commit, Committed, Load, Loaded},
    twin::{self, Event, Moment, Outcome, Refusal, Retry, Tell, Twin},
};

/// Holds one thing's twin, and what is to be told of it.
#[derive(Debug)]
pub(crate) struct TwinActor {
    pub(super) id: ThingId,
    pub(super) common: Common,
    state: State,
    pub(super) twin: Twin,
    /// Up to which revision everything is committed, or refused for good.
    committed_revision: u64,
    /// The last inbox entry that was applied. One at or below it comes from an earlier life of the manager.
    applied: Applied,
    pub(super) generation: u64,
    /// Whether commits of an actor before this one may still be under way.
    succeeds: bool,
    /// What is told once its revision is committed, in order.
    held: VecDeque<Held>,
}

#[derive(Debug)]
enum State {
    /// The twin is on its way from the database; what happens meanwhile waits.
    Loading(Vec<Happened>),
    Ready,
    /// The row holds no twin. It is left as it is.
    Unreadable(Box<str>),
}

/// What an event left to do once it is committed.
#[derive(Debug)]
struct Held {
    revision: u64,
    /// The number of the inbox entry that it follows from.
    entry: Option<u64>,
    publishes: Vec<Publish>,
    /// Whether the revision is told by this.
    tells: bool,
    retry: Retry,
    things: i64,
    result: Handling,
    /// Who asked, while the answer may still become an error.
    ask: Option<Ask>,
    is_get: bool,
}

impl TwinActor {
    /// An actor for this thing; it loads its twin when it starts. `succeeds` if another one has ended.
    pub(crate) fn new(id: ThingId, common: Common, generation: u64, succeeds: bool) -> Self {
        Self {
            id,
            common,
            state: State::Loading(Vec::new()),
            twin: Twin::new(),
            committed_revision: 0,
            applied: Applied::default(),
            generation,
            succeeds,
            held: VecDeque::new(),
        }
    }

    fn take(&mut self, happened: Happened, ctx: &mut Context<Self>) {
        let held = match &mut self.state {
            State::Loading(waiting) => return waiting.push(happened),
            State::Ready => self.apply(happened, ctx),
            State::Unreadable(reason) => {
                let (reason, entry) = (reason.to_string(), happened.number());
                self.failed(happened.ask, Code::Unavailable, reason, Handling::Unstorable, entry)
            }
        };
        self.held.push_back(held);
        self.release();
    }

    /// Applies an event to a copy: if the core panics, the twin stays as it was.
    fn apply(&mut self, happened: Happened, ctx: &mut Context<Self>) -> Held {
        let entry = happened.number();
        let Happened { place, event, ask, at, session, .. } = happened;
        // A GET may have overtaken what came before it: its place says nothing of that.
        let applied = place.filter(|_| event != Event::Get).map(applied_by);
        if applied.is_some_and(|applied| applied <= self.applied) {
            return self.repeat(&event, ask.as_ref(), session, entry);
        }
        let is_get = event == Event::Get;
        if is_get && ask.is_none() {
            let nothing = Handling::Applied { changed: false };
            return self.failed(None, Code::Unavailable, String::new(), nothing, entry);
        }
        let tells_again = matches!(event, Event::Resumed { untold: true });
        let moment = Moment { now: at, session, rules: &self.common.rules };
        let apply = self.common.apply;
        match catch_unwind(AssertUnwindSafe(|| apply(&self.twin, event, &moment))) {
            Ok(Ok((twin, outcome))) => {
                self.applied = applied.unwrap_or(self.applied);
                let held = self.accept(twin, outcome, ask, entry, ctx);
                Held { is_get, tells: held.tells || tells_again, ..held }
            }
            Ok(Err(refusal)) => self.refuse(&refusal, ask, entry),
            Err(panic) => {
                log::error!("{}: a message made the rules panic", self.id);
                let poisoned = Handling::Poisoned(words_of(panic.as_ref()));
                self.failed(ask, Code::Unavailable, INTERNAL.to_owned(), poisoned, entry)
            }
        }
    }

    /// Tells a client again what came of its request. Whom else it concerned is told by what is untold.
    fn repeat(&self, event: &Event, ask: Option<&Ask>, session: i64, entry: Option<u64>) -> Held {
        let tell = match event {
            Event::Delete => Some(Tell::Deleted(true)),
            Event::Set { .. } => {
                self.twin.exists().then(|| Tell::Twin(self.twin.to_payload(session)))
            }
            Event::Connected
            | Event::Gone
            | Event::Reported(_)
            | Event::Get
            | Event::Resumed { .. }
            | Event::RetryDue(_) => None,
        };
        // Nobody waits for a member's own answer to its group's SET.
        let tell = tell.filter(|_| ask.is_some_and(|ask| !ask.of_group));
        Held {
            revision: self.twin.revision(),
            entry,
            publishes: tell.map(|tell| self.publish(tell, ask, entry)).unwrap_or_default(),
            tells: false,
            retry: Retry::AsPlanned,
            things: 0,
            result: Handling::Repeated,
            ask: None,
            is_get: false,
        }
    }

    fn accept(
        &mut self,
        twin: Twin,
        outcome: Outcome,
        ask: Option<Ask>,
        entry: Option<u64>,
        ctx: &mut Context<Self>,
    ) -> Held {
        let things = i64::from(twin.exists()) - i64::from(self.twin.exists());
        let before = self.twin.version();
        self.twin = twin;
        let tells = matches!(outcome.commit, Some(twin::Commit::Put(_)));
        if let Some(commit) = outcome.commit {
            self.commit(commit, ctx);
        }
        let publish = |tell| self.publish(tell, ask.as_ref(), entry);
        let publishes = outcome.tell.into_iter().flat_map(publish);
        Held {
            publishes: publishes.collect(),
            revision: self.twin.revision(),
            entry,
            tells,
            retry: outcome.retry,
            things,
            result: Handling::Applied { changed: self.twin.version() != before },
            ask,
            is_get: false,
        }
    }

    fn commit(&self, commit: twin::Commit, ctx: &mut Context<Self>) {
        let change = match commit {
            twin::Commit::Put(record) => Change::Put(record),
            twin::Commit::Delete => Change::Delete,
        };
        self.common.peers.commit.do_send(Commit {
            id: self.id.clone(),
            revision: self.twin.revision(),
            change,
            applied: self.applied,
            reply: ctx.address().recipient(),
        });
    }

    fn refuse(&self, refusal: &Refusal, ask: Option<Ask>, entry: Option<u64>) -> Held {
        let result = match &ask {
            Some(_) => Handling::Refused,
            None => Handling::Bad(format!("TNG/{}/STATE/UPD: {refusal}", self.id)),
        };
        self.failed(ask, refusal.code(), refusal.to_string(), result, entry)
    }

    /// An event that changed nothing and is answered, if at all, with an error.
    fn failed(
        &self,
        ask: Option<Ask>,
        code: Code,
        message: String,
        result: Handling,
        entry: Option<u64>,
    ) -> Held {
        let answer = ask.map(|ask| self.problem(&ask, code, message, entry));
        Held {
            revision: self.twin.revision(),
            entry,
            publishes: answer.into_iter().flatten().collect(),
            tells: false,
            retry: Retry::AsPlanned,
            things: 0,
            result,
            ask: None,
            is_get: false,
        }
    }

    /// Tells what is committed, in order.
    fn release(&mut self) {
        let committed = self.committed_revision;
        while self.held.front().is_some_and(|held| held.revision <= committed)
            && let Some(held) = self.held.pop_front()
        {
            self.finish(held);
        }
        give_back(&mut self.held);
    }

    fn finish(&self, held: Held) {
        let published = held.publishes.len();
        for publish in held.publishes {
            self.common.peers.publish.do_send(publish);
        }
        self.common.finished.do_send(Finished {
            id: self.id.clone(),
            generation: self.generation,
            published,
            told: held.tells.then_some(held.revision),
            retry: held.retry,
            things: held.things,
            result: held.result,
        });
    }

    /// Goes back to the twin that the database holds: it takes others, but not this one.
    fn revert(&mut self, reason: &str, ctx: &mut Context<Self>) {
        self.committed_revision = self.twin.revision();
        let message = format!("the database does not take the twin of {}: {reason}", self.id);
        for held in std::mem::take(&mut self.held) {
            let (code, entry) = (Code::Unavailable, held.entry);
            let failed = self.failed(held.ask, code, message.clone(), Handling::Unstorable, entry);
            self.finish(failed);
        }
        self.state = State::Loading(Vec::new());
        self.load(ctx);
    }

    fn load(&self, ctx: &mut Context<Self>) {
        let reply = ctx.address().recipient();
        let (id, after_commits) = (self.id.clone(), self.succeeds);
        self.common.peers.load.do_send(Load { id, after_commits, reply });
    }
}

fn applied_by(Place { epoch, number }: Place) -> Applied {
    Applied { epoch, number }
}

/// What a panic said, in one line.
fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without words".to_owned())
}

/// What a client is told when the core panics on its request.
pub(super) const INTERNAL: &str = "the manager has a fault; this request was not done";

/// What a client is told when the database is away.
pub(super) const AWAY: &str = "the database is away; ask again later";

impl Actor for TwinActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if matches!(self.state, State::Loading(_)) {
            self.load(ctx);
        }
    }
}

/// It keeps its twin and what is held through a restart.
impl Supervised for TwinActor {}

impl Handler<Happened> for TwinActor {
    type Result = ();

    fn handle(&mut self, happened: Happened, ctx: &mut Self::Context) {
        self.take(happened, ctx);
    }
}

impl Handler<Loaded> for TwinActor {
    type Result = ();

    fn handle(&mut self, Loaded { row, deleted, .. }: Loaded, ctx: &mut Self::Context) {
        let State::Loading(waiting) = &mut self.state else { return };
        let waiting = std::mem::take(waiting);
        self.state = State::Ready;
        self.applied = row.as_ref().map(|row| row.applied).or(deleted).unwrap_or_default();
        match row.map(|row| Twin::from_record(&row.record)) {
            None => self.twin = Twin::new().above(self.committed_revision),
            Some(Ok(twin)) => self.twin = twin.above(self.committed_revision),
            Some(Err(corrupt)) => {
                log::error!("twin of {}: {corrupt}; its row is left as it is", self.id);
                self.state =
                    State::Unreadable(format!("the stored twin is unreadable: {corrupt}").into());
            }
        }
        self.committed_revision = self.twin.revision();
        for happened in waiting {
            self.take(happened, ctx);
        }
    }
}

impl Handler<Committed> for TwinActor {
    type Result = ();

    /// A refusal of anything but the newest revision says nothing yet: the newest goes for all.
    fn handle(&mut self, Committed { revision, refused, .. }: Committed, ctx: &mut Self::Context) {
        let newest = revision >= self.twin.revision();
        match refused {
            Some(reason) if newest => self.revert(&reason, ctx),
            Some(_) => {}
            None => {
                self.committed_revision = self.committed_revision.max(revision);
                self.release();
            }
        }
    }
}

impl Handler<DatabaseAway> for TwinActor {
    type Result = ();

    /// Whoever waits for a GET is told so; the rest waits on.
    fn handle(&mut self, _: DatabaseAway, _: &mut Self::Context) {
        let mut asked = Vec::new();
        for held in self.held.iter_mut().filter(|held| held.is_get) {
            if let Some(ask) = held.ask.take() {
                held.publishes.clear();
                asked.push(ask);
            }
        }
        if let State::Loading(waiting) = &mut self.state {
            for happened in waiting.iter_mut().filter(|happened| happened.event == Event::Get) {
                asked.extend(happened.ask.take());
            }
        }
        for ask in asked {
            for publish in self.problem(&ask, Code::Unavailable, AWAY.to_owned(), None) {
                self.common.peers.publish.do_send(Publish { about: None, ..publish });
            }
        }
    }
}
