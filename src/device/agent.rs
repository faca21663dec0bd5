//! The actor between a device's state and its connection.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use actix::prelude::*;
use tokio::sync::{oneshot, watch};

use super::{
    AppMessage, By, Change, Event, Shared, State,
    kept::{Applied, Filter},
};
use crate::{
    mqtt::{Got, HangUp, Heard, Letter, Runner, Wire},
    protocol::{
        AppTopic, DEFAULT_PAYLOAD_LIMIT, GroupName, GroupTopic, Report, ThingId, ThingTopic, Topic,
    },
};

/// How long a device that is closed waits for the broker to take its last reports.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How long after LC/ON a manager may take to give the state back. The protocol gives as long to the defaults of a reboot.
const GIVEN_BACK: Duration = Duration::from_secs(5);

type Observer<T> = Box<dyn Fn(&Event<T>) + Send>;
type Listener = Box<dyn Fn(&AppMessage) + Send>;

/// What an author says of a device.
pub(super) struct Author<T: State> {
    pub(super) filter: Arc<Filter<T>>,
    pub(super) observers: Vec<Observer<T>>,
    pub(super) topics: Vec<(AppTopic, Listener)>,
    pub(super) groups: Vec<(GroupName, Listener)>,
    pub(super) interval: Duration,
    pub(super) removes: bool,
}

impl<T: State> Default for Author<T> {
    fn default() -> Self {
        Self {
            filter: Arc::new(|_, _| {}),
            observers: Vec::new(),
            topics: Vec::new(),
            groups: Vec::new(),
            interval: Duration::ZERO,
            removes: false,
        }
    }
}

/// Why a message of a device's own is not with the broker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSaid {
    /// There is no connection, or it was lost before the broker said that it has it.
    #[error("the device is not connected")]
    Offline,
    /// The broker will not take it.
    #[error("{0}")]
    Refused(String),
}

/// Speaks for a device.
pub(super) struct Agent<T: State> {
    id: ThingId,
    wire: Addr<Wire>,
    shared: Arc<Shared<T>>,
    author: Author<T>,
    online: watch::Sender<bool>,
    /// The number of the last letter.
    number: u64,
    /// Who waits for which letter to be taken.
    waiting: HashMap<u64, oneshot::Sender<Result<(), NotSaid>>>,
    reported: Option<Instant>,
    /// Whether a report waits for the interval to pass.
    is_due: bool,
    /// Ends the time in which a manager gives a state back.
    given_back: Option<SpawnHandle>,
    closing: Option<Option<oneshot::Sender<()>>>,
    /// The thread lives as long as this.
    _runner: Runner,
}

impl<T: State> Agent<T> {
    pub(super) fn new(
        id: ThingId,
        wire: Addr<Wire>,
        shared: Arc<Shared<T>>,
        author: Author<T>,
        online: watch::Sender<bool>,
        runner: Runner,
    ) -> Self {
        Self {
            id,
            wire,
            shared,
            author,
            online,
            number: 0,
            waiting: HashMap::new(),
            reported: None,
            is_due: false,
            given_back: None,
            closing: None,
            _runner: runner,
        }
    }

    fn is_online(&self) -> bool {
        *self.online.borrow()
    }

    fn emit(&self, event: Event<T>) {
        for observer in &self.author.observers {
            if catch_unwind(AssertUnwindSafe(|| observer(&event))).is_err() {
                log::error!("an observer of device {} panicked", self.id);
            }
        }
        // Nobody has to fetch them.
        self.shared.events.send(event).ok();
    }

    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn send(&self, number: u64, topic: String, payload: impl Into<Vec<u8>>) {
        self.wire.do_send(Letter { number, topic, payload: payload.into(), answer_to: None });
    }

    fn own(&self, kind: ThingTopic) -> String {
        Topic::Thing(self.id.clone(), kind).to_string()
    }

    /// Connected: what changed meanwhile is said first, so that the state which is given back has it.
    fn come(&mut self, ctx: &mut Context<Self>) {
        self.report();
        let number = self.next_number();
        self.send(number, self.own(ThingTopic::LcOn), r#"{"online":1}"#);
        self.shared.kept().begin();
        if let Some(earlier) = self.given_back.take() {
            ctx.cancel_future(earlier);
        }
        let over = ctx.run_later(GIVEN_BACK, |agent, _| agent.shared.kept().stand());
        self.given_back = Some(over);
        self.online.send_replace(true);
        self.emit(Event::Online);
    }

    fn go(&mut self) {
        self.shared.kept().lost();
        self.waiting.clear();
        if self.online.send_replace(false) {
            self.emit(Event::Offline);
        }
    }

    /// Says what the manager may not know.
    fn report(&mut self) {
        let number = self.next_number();
        let report = {
            let mut kept = self.shared.kept();
            kept.has_news().then(|| kept.report(number))
        };
        if let Some(report) = report {
            self.tell(number, &report);
        }
    }

    fn tell_whole(&mut self) {
        let number = self.next_number();
        let report = self.shared.kept().whole(number);
        self.tell(number, &report);
    }

    fn tell(&mut self, number: u64, report: &Report) {
        self.reported = Some(Instant::now());
        self.send(number, self.own(ThingTopic::StateUpd), report.to_payload());
    }

    /// Says it now, or when the interval has passed.
    fn report_in_time(&mut self, ctx: &mut Context<Self>) {
        if !self.is_online() || self.is_due {
            return;
        }
        let since = self.reported.map_or(Duration::MAX, |reported| reported.elapsed());
        match self.author.interval.checked_sub(since) {
            None | Some(Duration::ZERO) => self.report(),
            Some(rest) => {
                self.is_due = true;
                ctx.run_later(rest, |agent, _| {
                    agent.is_due = false;
                    if agent.is_online() {
                        agent.report();
                    }
                });
            }
        }
    }

    fn hear(&mut self, got: Got) {
        if got.retained {
            return;
        }
        match got.topic.parse::<Topic>() {
            Ok(Topic::Thing(_, ThingTopic::StateGet)) => self.tell_whole(),
            Ok(Topic::Thing(_, ThingTopic::StateSet)) => self.asked(&got.payload),
            Ok(Topic::Thing(_, ThingTopic::Ping) | Topic::Group(_, GroupTopic::Ping)) => {
                let number = self.next_number();
                self.send(number, self.own(ThingTopic::Pong), got.payload);
            }
            Ok(Topic::Thing(..) | Topic::Group(..)) => {}
            Err(_) => self.pass_on(got),
        }
    }

    /// What is asked is done as far as it can be, and answered once.
    fn asked(&mut self, payload: &[u8]) {
        let asked = match Report::parse(payload, DEFAULT_PAYLOAD_LIMIT) {
            Ok(asked) => asked,
            Err(bad) => return log::warn!("{}: {bad}", self.own(ThingTopic::StateSet)),
        };
        let applied = self.apply(asked);
        let change = {
            let state = self.shared.kept().state().clone();
            let by = if applied.whole { By::Restored } else { By::Asked };
            Change { by, state, delta: applied.delta }
        };
        if applied.whole {
            self.tell_whole()
        } else {
            self.report()
        }
        if !change.delta.is_empty() {
            self.emit(Event::Changed(change));
        }
    }

    fn apply(&self, asked: Report) -> Applied {
        let (filter, removes) = (Arc::clone(&self.author.filter), self.author.removes);
        let attempt = asked.clone();
        let ask = || self.shared.kept().ask(attempt, removes, &*filter);
        match catch_unwind(AssertUnwindSafe(ask)) {
            Ok(Ok(applied)) => return applied,
            Ok(Err(error)) => log::error!("device {} refuses what is asked: {error}", self.id),
            Err(_) => log::error!("the filter of device {} panicked: all is refused", self.id),
        }
        self.shared.kept().refuse(&asked)
    }

    fn pass_on(&self, got: Got) {
        let Ok(topic) = got.topic.parse::<AppTopic>() else { return };
        let message = AppMessage { topic, payload: got.payload };
        let own = self.author.topics.iter().filter(|(topic, _)| *topic == message.topic);
        let group = message.topic.of_group();
        let groups = self.author.groups.iter().filter(|(name, _)| Some(name) == group);
        let listeners = own.map(|(_, call)| call).chain(groups.map(|(_, call)| call));
        for call in listeners {
            if catch_unwind(AssertUnwindSafe(|| call(&message))).is_err() {
                log::error!("a listener of device {} to {} panicked", self.id, message.topic);
            }
        }
    }

    fn settle(&mut self, number: u64, outcome: Result<(), NotSaid>, ctx: &mut Context<Self>) {
        self.shared.kept().taken(number);
        if let Some(tell) = self.waiting.remove(&number) {
            // Who no longer waits needs no answer.
            tell.send(outcome).ok();
        }
        if self.closing.is_some() && self.is_quiet() {
            self.end(ctx);
        }
    }

    fn is_quiet(&self) -> bool {
        self.waiting.is_empty() && self.shared.kept().is_quiet()
    }

    fn end(&mut self, ctx: &mut Context<Self>) {
        let Some(tell) = self.closing.take() else { return };
        if self.online.send_replace(false) {
            self.emit(Event::Offline);
        }
        let hung_up = self.wire.send(HangUp).into_actor(self);
        let then = hung_up.map(move |_, _, ctx: &mut Context<Self>| {
            if let Some(tell) = tell {
                tell.send(()).ok();
            }
            ctx.stop();
        });
        ctx.spawn(then);
    }
}

impl<T: State> Actor for Agent<T> {
    type Context = Context<Self>;
}

impl<T: State> Handler<Heard> for Agent<T> {
    type Result = ();

    fn handle(&mut self, heard: Heard, ctx: &mut Self::Context) {
        match heard {
            Heard::Up { .. } => self.come(ctx),
            Heard::Down => {
                self.go();
                self.end(ctx);
            }
            Heard::Got(got) => self.hear(got),
            Heard::Taken(number) => self.settle(number, Ok(()), ctx),
            Heard::Refused(number, why) => {
                self.emit(Event::Trouble(why.clone()));
                self.settle(number, Err(NotSaid::Refused(why)), ctx);
            }
            Heard::Trouble { line, .. } => self.emit(Event::Trouble(line)),
            Heard::Subscribed(..) => {}
        }
    }
}

/// The author has changed the state.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Changed<T>(pub(super) Change<T>);

impl<T: State> Handler<Changed<T>> for Agent<T> {
    type Result = ();

    fn handle(&mut self, Changed(change): Changed<T>, ctx: &mut Self::Context) {
        self.report_in_time(ctx);
        self.emit(Event::Changed(change));
    }
}

/// The author says something of an application's own.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Say {
    pub(super) topic: AppTopic,
    pub(super) payload: Vec<u8>,
    pub(super) tell: oneshot::Sender<Result<(), NotSaid>>,
}

impl<T: State> Handler<Say> for Agent<T> {
    type Result = ();

    fn handle(&mut self, Say { topic, payload, tell }: Say, _: &mut Self::Context) {
        if !self.is_online() {
            tell.send(Err(NotSaid::Offline)).ok();
            return;
        }
        let number = self.next_number();
        self.waiting.insert(number, tell);
        self.send(number, topic.to_string(), payload);
    }
}

/// The device is to end; who asked may wait for it.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Close(pub(super) Option<oneshot::Sender<()>>);

impl<T: State> Handler<Close> for Agent<T> {
    type Result = ();

    fn handle(&mut self, Close(tell): Close, ctx: &mut Self::Context) {
        if self.closing.is_some() {
            return;
        }
        self.closing = Some(tell);
        if self.is_online() {
            self.report();
        }
        if !self.is_online() || self.is_quiet() {
            return self.end(ctx);
        }
        ctx.run_later(LAST_WORDS, Self::end);
    }
}
