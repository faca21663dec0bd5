//! The actor between a device's state and its connection.

mod ending;
mod hearing;

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use actix::prelude::*;
use tokio::sync::{oneshot, watch};

pub(super) use self::ending::Close;
use self::ending::Ending;
use super::{Event, NotSaid, State, author::Author, handle::Shared};
use crate::{
    mqtt::{HangUp, Heard, Letter, Runner, Wire},
    protocol::{AppTopic, Report, ThingId, ThingTopic, Topic},
};

/// The wire, as far as a device speaks to it.
pub(super) struct Speaks {
    pub(super) letters: Recipient<Letter>,
    pub(super) hang_up: Recipient<HangUp>,
}

impl From<Addr<Wire>> for Speaks {
    fn from(wire: Addr<Wire>) -> Self {
        Self { letters: wire.clone().recipient(), hang_up: wire.recipient() }
    }
}

/// Speaks for a device.
pub(super) struct Agent<T: State> {
    id: ThingId,
    wire: Speaks,
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
    /// The last line that was told of what the broker refuses.
    refusal: Option<String>,
    /// The last line that was told of a request that is none.
    bad_request: Option<String>,
    ending: Ending,
    /// The thread lives as long as this.
    _runner: Runner,
}

impl<T: State> Agent<T> {
    pub(super) fn new(
        id: ThingId,
        wire: Speaks,
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
            refusal: None,
            bad_request: None,
            ending: Ending::default(),
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
        self.shared.tell(event);
    }

    /// Tells of all changes so far, in the order in which they were made.
    fn emit_changes(&self) {
        let changes = self.shared.kept().take_changes();
        changes.into_iter().for_each(|change| self.emit(Event::Changed(change)));
    }

    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn send(&self, number: u64, topic: String, payload: impl Into<Vec<u8>>) {
        let letter = Letter { number, topic, payload: payload.into(), answer_to: None };
        self.wire.letters.do_send(letter);
    }

    fn own(&self, kind: ThingTopic) -> String {
        Topic::Thing(self.id.clone(), kind).to_string()
    }

    /// Connected: what changed meanwhile is said first, so that the state which is given back has it.
    fn come(&mut self) {
        let number = self.next_number();
        let report = self.shared.kept().come(number);
        self.tell(number, report);
        let number = self.next_number();
        self.send(number, self.own(ThingTopic::LcOn), r#"{"online":1}"#);
        self.online.send_replace(true);
        self.emit(Event::Online);
    }

    fn go(&mut self) {
        self.shared.kept().lost();
        self.waiting.clear();
        self.show_offline();
    }

    fn show_offline(&self) {
        if self.online.send_replace(false) {
            self.emit(Event::Offline);
        }
    }

    /// Says what the manager may not know.
    fn report(&mut self) {
        let number = self.next_number();
        let report = self.shared.kept().report(number);
        self.tell(number, report);
    }

    fn report_whole(&mut self) {
        let number = self.next_number();
        let report = self.shared.kept().whole(number);
        self.tell(number, Some(report));
    }

    fn tell(&mut self, number: u64, report: Option<Report>) {
        if let Some(report) = report {
            self.reported = Some(Instant::now());
            self.send(number, self.own(ThingTopic::StateUpd), report.to_payload());
        }
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

    /// The broker has taken this letter, or never will.
    fn settle(&mut self, number: u64, outcome: Result<(), NotSaid>, ctx: &mut Context<Self>) {
        if outcome.is_ok() {
            self.shared.kept().taken(number);
        } else {
            self.shared.kept().refused(number);
        }
        if let Some(tell) = self.waiting.remove(&number) {
            // Who no longer waits needs no answer.
            tell.send(outcome).ok();
        }
        self.end_if_quiet(ctx);
    }
}

/// Whether this is another line than the last one, which it is from now on.
fn is_another(line: &str, last: &mut Option<String>) -> bool {
    let is_another = last.as_deref() != Some(line);
    if is_another {
        *last = Some(line.to_owned());
    }
    is_another
}

impl<T: State> Actor for Agent<T> {
    type Context = Context<Self>;
}

impl<T: State> Handler<Heard> for Agent<T> {
    type Result = ();

    fn handle(&mut self, heard: Heard, ctx: &mut Self::Context) {
        match heard {
            // It has said farewell.
            Heard::Up { .. } | Heard::Got(_) if self.ending.is_farewell() => {}
            Heard::Up { .. } => self.come(),
            Heard::Down => {
                self.go();
                self.end_if_quiet(ctx);
            }
            Heard::Got(got) => self.hear(got),
            Heard::Taken(number) => self.settle(number, Ok(()), ctx),
            Heard::Refused(number, why) => {
                if is_another(&why, &mut self.refusal) {
                    self.emit(Event::Trouble(why.clone()));
                }
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
pub(super) struct Changed;

impl<T: State> Handler<Changed> for Agent<T> {
    type Result = ();

    fn handle(&mut self, Changed: Changed, ctx: &mut Self::Context) {
        self.report_in_time(ctx);
        self.emit_changes();
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
