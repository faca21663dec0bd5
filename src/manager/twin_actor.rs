//! The actor of a single thing. What happens to the thing goes through it in order of arrival, and
//! nobody hears of a change before that is committed.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
};

use actix::prelude::*;

use super::{Ask, Common, DatabaseAway, Finished, Handling, Happened};
use crate::{
    mqtt::Publish,
    protocol::{Code, ThingId},
    store::{Applied, Change, Commit, Committed, Load, Loaded},
    twin::{self, Event, Moment, Outcome, Refusal, Retry, Twin},
};

/// Holds one thing's twin, and what is to be told of it.
#[derive(Debug)]
pub(crate) struct TwinActor {
    pub(super) id: ThingId,
    pub(super) common: Common,
    state: State,
    twin: Twin,
    /// Up to which revision everything is committed, or refused for good.
    committed_revision: u64,
    /// The last inbox entry that was applied.
    applied: Applied,
    /// What is told once its revision is committed, in order.
    held: VecDeque<Held>,
}

#[derive(Debug)]
enum State {
    /// The twin is on its way from the database; what happens meanwhile waits.
    Loading(VecDeque<Happened>),
    Ready,
    /// The row holds no twin. It is left as it is.
    Unreadable(String),
}

/// What an event left to do once it is committed.
#[derive(Debug)]
struct Held {
    revision: u64,
    publishes: Vec<Publish>,
    retry: Retry,
    things: i64,
    result: Handling,
    /// Who asked, while the answer may still become an error.
    ask: Option<Ask>,
    is_get: bool,
}

impl TwinActor {
    /// An actor for this thing; it loads its twin when it starts.
    pub(crate) fn new(id: ThingId, common: Common) -> Self {
        let applied = Applied { epoch: common.epoch, number: 0 };
        Self {
            id,
            common,
            state: State::Loading(VecDeque::new()),
            twin: Twin::new(),
            committed_revision: 0,
            applied,
            held: VecDeque::new(),
        }
    }

    fn take(&mut self, happened: Happened, ctx: &mut Context<Self>) {
        let held = match &mut self.state {
            State::Loading(waiting) => return waiting.push_back(happened),
            State::Ready => self.apply(happened, ctx),
            State::Unreadable(reason) => {
                let reason = reason.clone();
                self.failed(happened.ask, Code::Unavailable, reason, Handling::Unstorable)
            }
        };
        self.held.push_back(held);
        self.release();
    }

    /// Applies an event to a copy: if the core panics, the twin stays as it was.
    fn apply(&mut self, happened: Happened, ctx: &mut Context<Self>) -> Held {
        let Happened { number, event, ask, at, session } = happened;
        let is_get = event == Event::Get;
        if is_get && ask.is_none() {
            return self.failed(None, Code::Unavailable, String::new(), Handling::Applied);
        }
        let moment = Moment { now: at, session, rules: &self.common.rules };
        let apply = self.common.apply;
        match catch_unwind(AssertUnwindSafe(|| apply(&self.twin, event, &moment))) {
            Ok(Ok((twin, outcome))) => {
                if let Some(number) = number {
                    self.applied.number = number;
                }
                self.accept(twin, outcome, ask, is_get, ctx)
            }
            Ok(Err(refusal)) => self.refuse(&refusal, ask),
            Err(_) => {
                log::error!("{}: a message made the rules panic; it is dropped", self.id);
                self.failed(ask, Code::Unavailable, INTERNAL.to_owned(), Handling::Poisoned)
            }
        }
    }

    fn accept(
        &mut self,
        twin: Twin,
        outcome: Outcome,
        ask: Option<Ask>,
        is_get: bool,
        ctx: &mut Context<Self>,
    ) -> Held {
        let things = i64::from(twin.exists()) - i64::from(self.twin.exists());
        self.twin = twin;
        if let Some(commit) = outcome.commit {
            self.commit(commit, !outcome.tell.is_empty(), ctx);
        }
        let publishes = outcome.tell.into_iter().flat_map(|tell| self.publish(tell, ask.as_ref()));
        Held {
            publishes: publishes.collect(),
            revision: self.twin.revision(),
            retry: outcome.retry,
            things,
            result: Handling::Applied,
            ask,
            is_get,
        }
    }

    fn commit(&self, commit: twin::Commit, untold: bool, ctx: &mut Context<Self>) {
        let change = match commit {
            twin::Commit::Put => Change::Put(Box::new(self.twin.to_record())),
            twin::Commit::Delete => Change::Delete,
        };
        self.common.peers.commit.do_send(Commit {
            id: self.id.clone(),
            revision: self.twin.revision(),
            change,
            applied: self.applied,
            untold,
            reply: ctx.address().recipient(),
        });
    }

    fn refuse(&self, refusal: &Refusal, ask: Option<Ask>) -> Held {
        let result = match &ask {
            Some(_) => Handling::Refused,
            None => Handling::Bad(format!("TNG/{}/STATE/UPD: {refusal}", self.id)),
        };
        self.failed(ask, refusal.code(), refusal.to_string(), result)
    }

    /// An event that changed nothing and is answered, if at all, with an error.
    fn failed(&self, ask: Option<Ask>, code: Code, message: String, result: Handling) -> Held {
        let answer = ask.map(|ask| self.problem(&ask, code, message));
        Held {
            revision: self.twin.revision(),
            publishes: answer.into_iter().flatten().collect(),
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
    }

    fn finish(&self, held: Held) {
        let published = held.publishes.len();
        for publish in held.publishes {
            self.common.peers.publish.do_send(publish);
        }
        self.common.finished.do_send(Finished {
            id: self.id.clone(),
            published,
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
            let failed =
                self.failed(held.ask, Code::Unavailable, message.clone(), Handling::Unstorable);
            self.finish(failed);
        }
        self.state = State::Loading(VecDeque::new());
        self.load(ctx);
    }

    fn load(&self, ctx: &mut Context<Self>) {
        let reply = ctx.address().recipient();
        self.common.peers.load.do_send(Load { id: self.id.clone(), reply });
    }
}

/// What a client is told when the core panics on its request.
const INTERNAL: &str = "the manager has a fault; this request was not done";

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

    fn handle(&mut self, Loaded { row, .. }: Loaded, ctx: &mut Self::Context) {
        let State::Loading(waiting) = &mut self.state else { return };
        let waiting = std::mem::take(waiting);
        self.state = State::Ready;
        match row.map(|row| Twin::from_record(&row.record)) {
            None => self.twin = Twin::new().above(self.committed_revision),
            Some(Ok(twin)) => self.twin = twin.above(self.committed_revision),
            Some(Err(corrupt)) => {
                log::error!("twin of {}: {corrupt}; its row is left as it is", self.id);
                self.state = State::Unreadable(format!("the stored twin is unreadable: {corrupt}"));
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
            for publish in self.problem(&ask, Code::Unavailable, AWAY.to_owned()) {
                self.common.peers.publish.do_send(Publish { about: None, ..publish });
            }
        }
    }
}
