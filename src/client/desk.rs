//! The actor that keeps the requests of a client until they are answered, and passes on what is listened to.

use std::{collections::BTreeMap, time::Duration};

use actix::prelude::*;
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};

use super::{
    ClientError,
    listening::{Listening, Note},
};
use crate::{
    mqtt::{Got, HangUp, Heard, Letter, Runner, Subscribe, Unsubscribe, Version, Wire},
    protocol::{ThingId, TwinUpdate},
};

/// How long until a GET is repeated that came before a SET was done: by MQTT 3.1.1 only.
const AGAIN: Duration = Duration::from_millis(500);

/// What is asked, and how its answer is known.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// In words, for an error.
    pub(super) what: String,
    /// Where it goes: `TNG/<id>/TWIN` or `GRP/<group>/TWIN`.
    pub(super) twin: String,
    /// What of it.
    pub(super) verb: Verb,
    /// What it says, without `query`.
    pub(super) payload: Map<String, Value>,
}

/// What a question wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// An answer on RES.
    Get,
    /// That it is committed: the twin.
    Set,
    /// That it is committed: the outcome of a group.
    GroupSet,
    /// Whether there was a twin.
    Delete,
}

impl Verb {
    fn levels(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Set | Self::GroupSet => "SET",
            Self::Delete => "DEL",
        }
    }

    /// Whether it does the same to be done twice, whatever others ask meanwhile.
    fn may_be_repeated(self) -> bool {
        self == Self::Get
    }
}

/// The answer as it came, or why there is none.
pub(super) type Answer = Result<Map<String, Value>, ClientError>;

struct Pending {
    question: Question,
    patience: Duration,
    /// The letters that the broker has not taken, by their numbers.
    untaken: BTreeMap<u64, Letter>,
    tell: oneshot::Sender<Answer>,
}

/// Who asks for a client.
pub(super) struct Desk {
    id: ThingId,
    version: Version,
    wire: Addr<Wire>,
    is_up: bool,
    was_up: bool,
    /// Why there is no connection, as far as is known.
    trouble: Option<String>,
    /// Why the broker does not let us hear answers by MQTT 5.
    deaf: Option<String>,
    /// Who waits for a connection.
    waiting: Vec<oneshot::Sender<Result<(), ClientError>>>,
    /// The number of the last letter, question or subscription.
    number: u64,
    pending: BTreeMap<u64, Pending>,
    /// Which question a letter is of; others are published by themselves.
    letters: BTreeMap<u64, Of>,
    listening: Listening,
    /// The thread lives as long as this.
    _runner: Runner,
}

enum Of {
    Question(u64),
    Own(oneshot::Sender<Result<(), ClientError>>),
}

impl Desk {
    pub(super) fn new(id: ThingId, version: Version, wire: Addr<Wire>, runner: Runner) -> Self {
        Self {
            id,
            version,
            wire,
            is_up: false,
            was_up: false,
            trouble: None,
            deaf: None,
            waiting: Vec::new(),
            number: 0,
            pending: BTreeMap::new(),
            letters: BTreeMap::new(),
            listening: Listening::default(),
            _runner: runner,
        }
    }

    /// The filter for what this client is answered by MQTT 5.
    pub(super) fn answers(id: &ThingId) -> String {
        format!("TNG/{id}/TPC/RES/TWIN")
    }

    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// The text by which a question is known: nobody else's is the same.
    fn token(&self, number: u64) -> String {
        format!("{}/{number}", self.id)
    }

    fn number_of(&self, token: &str) -> Option<u64> {
        token.strip_prefix(self.id.as_str())?.strip_prefix('/')?.parse().ok()
    }

    fn letters(&mut self, number: u64, question: &Question) -> BTreeMap<u64, Letter> {
        let token = self.token(number);
        let mut said = vec![(question.verb, question.payload.clone())];
        if question.verb == Verb::Set && self.version == Version::V3 {
            // Nothing ties a twin that is told to who asked. What is asked after it is answered after it.
            said.push((Verb::Get, Map::from_iter([("select".to_owned(), json!(["*"]))])));
        }
        let mut letters = BTreeMap::new();
        for (verb, mut payload) in said {
            payload.insert("query".to_owned(), Value::from(token.as_str()));
            let letter = Letter {
                number: self.next_number(),
                topic: format!("{}/{}", question.twin, verb.levels()),
                payload: Value::Object(payload).to_string().into_bytes(),
                answer_to: (self.version == Version::V5)
                    .then(|| (Self::answers(&self.id), token.clone().into_bytes())),
            };
            self.letters.insert(letter.number, Of::Question(number));
            letters.insert(letter.number, letter);
        }
        letters
    }

    fn finish(&mut self, number: u64, answer: Answer) {
        let Some(pending) = self.pending.remove(&number) else { return };
        self.letters.retain(|_, of| !matches!(of, Of::Question(of) if *of == number));
        if self.version == Version::V3 {
            let over = self.listening.leave(&answers_of(&pending.question.twin));
            self.unsubscribe(over);
        }
        // Who no longer waits needs no answer.
        pending.tell.send(answer).ok();
    }

    fn unsubscribe(&self, filters: Vec<String>) {
        if !filters.is_empty() {
            self.wire.do_send(Unsubscribe(filters));
        }
    }

    /// Connected: what was not taken is sent, and what may have been answered unheard is asked again.
    fn come(&mut self, kept: bool, refused: &[(String, String)]) {
        let is_missed = self.was_up && !kept;
        (self.is_up, self.was_up, self.trouble) = (true, true, None);
        self.listening.all_ready(refused);
        self.deaf = None;
        self.be_refused(refused);
        // Who no longer waits does not mind.
        self.waiting.drain(..).for_each(|waiting| drop(waiting.send(Ok(()))));
        if is_missed {
            self.listening.tell_all(&Note::Gap);
        }
        let numbers: Vec<u64> = self.pending.keys().copied().collect();
        for number in numbers {
            let Some(pending) = self.pending.get(&number) else { continue };
            let is_whole = pending.untaken.is_empty() && is_missed;
            let question = pending.question.clone();
            if is_whole && !question.verb.may_be_repeated() {
                self.finish(number, Err(ClientError::Unsure { what: question.what }));
                continue;
            }
            if is_whole {
                let letters = self.letters(number, &question);
                if let Some(pending) = self.pending.get_mut(&number) {
                    pending.untaken = letters;
                }
            }
            self.send(number);
        }
    }

    /// Answers that would come by these subscriptions will not.
    fn be_refused(&mut self, refused: &[(String, String)]) {
        for (filter, line) in refused {
            let all = *filter == Self::answers(&self.id);
            if all {
                self.deaf = Some(line.clone());
            }
            let is_of = |pending: &Pending| all || answers_of(&pending.question.twin) == *filter;
            let numbers: Vec<u64> = self
                .pending
                .iter()
                .filter(|(_, pending)| is_of(pending))
                .map(|(number, _)| *number)
                .collect();
            for number in numbers {
                self.finish(number, Err(ClientError::Refused(line.clone())));
            }
        }
    }

    /// Sends what the broker has not taken of this question.
    fn send(&self, number: u64) {
        if let Some(pending) = self.pending.get(&number)
            && self.is_up
        {
            pending.untaken.values().for_each(|letter| self.wire.do_send(letter.clone()));
        }
    }

    fn hear(&mut self, got: Got, ctx: &mut Context<Self>) {
        let is_mine = got.topic == Self::answers(&self.id);
        if is_mine || (self.version == Version::V3 && got.topic.ends_with("/TWIN/RES")) {
            self.answer(&got, ctx);
        }
        if !is_mine {
            self.listening.pass_on(got);
        }
    }

    fn answer(&mut self, got: &Got, ctx: &mut Context<Self>) {
        let Ok(Value::Object(payload)) = serde_json::from_slice(&got.payload) else { return };
        let token = match &got.correlation {
            Some(correlation) => String::from_utf8_lossy(correlation).into_owned(),
            None => payload.get("query").and_then(Value::as_str).unwrap_or_default().to_owned(),
        };
        let Some(number) = self.number_of(&token) else { return };
        let Some(pending) = self.pending.get(&number) else { return };
        if let Some(error) = payload.get("error") {
            let code = error.get("code").and_then(Value::as_u64).unwrap_or_default();
            // By MQTT 3.1.1 a SET waits for the database, and what asks after it does not.
            if code == 503 && pending.question.verb == Verb::Set {
                return self.ask_again(number, ctx);
            }
            let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
            let (what, message) = (pending.question.what.clone(), message.to_owned());
            return self.finish(number, Err(ClientError::Answer { what, code, message }));
        }
        if self.version == Version::V3 && pending.question.verb == Verb::Set {
            return self.look_whether_it_is_set(number, payload, ctx);
        }
        self.finish(number, Ok(payload));
    }

    /// By MQTT 3.1.1: the twin that was asked for after a SET.
    fn look_whether_it_is_set(
        &mut self,
        number: u64,
        mut payload: Map<String, Value>,
        ctx: &mut Context<Self>,
    ) {
        let Some(pending) = self.pending.get(&number) else { return };
        let row = payload.get_mut("res").and_then(|rows| rows.get_mut(0)).map(Value::take);
        let Some(Value::Object(row)) = row else { return self.ask_again(number, ctx) };
        let asked = pending.question.payload.get("set").and_then(Value::as_object);
        let twin = TwinUpdate::from_object(row.clone()).unwrap_or_default();
        // It may have gone before, while the database was away; then nothing of what was asked is there.
        if asked.is_some_and(|asked| {
            super::Settled::of(asked, &twin).overtaken == *asked && !asked.is_empty()
        }) {
            return self.ask_again(number, ctx);
        }
        self.finish(number, Ok(row));
    }

    fn ask_again(&mut self, number: u64, ctx: &mut Context<Self>) {
        ctx.run_later(AGAIN, move |desk, _| {
            let Some(pending) = desk.pending.get(&number) else { return };
            let mut question = pending.question.clone();
            (question.verb, question.payload) =
                (Verb::Get, Map::from_iter([("select".to_owned(), json!(["*"]))]));
            let letters = desk.letters(number, &question);
            if let Some(pending) = desk.pending.get_mut(&number) {
                pending.untaken.extend(letters);
            }
            desk.send(number);
        });
    }

    fn taken(&mut self, letter: u64, outcome: Result<(), String>) {
        match self.letters.remove(&letter) {
            None => {}
            Some(Of::Own(tell)) => {
                tell.send(outcome.map_err(ClientError::Refused)).ok();
            }
            Some(Of::Question(number)) => match outcome {
                Ok(()) => {
                    if let Some(pending) = self.pending.get_mut(&number) {
                        pending.untaken.remove(&letter);
                    }
                }
                Err(line) => self.finish(number, Err(ClientError::Refused(line))),
            },
        }
    }

    fn give_up(&mut self, number: u64) {
        let Some(pending) = self.pending.get(&number) else { return };
        let why = match (&self.trouble, self.is_up) {
            (Some(trouble), false) => trouble.clone(),
            (None, false) => "the broker is not connected".to_owned(),
            (_, true) if !pending.untaken.is_empty() => "the broker has not taken it".to_owned(),
            (_, true) => "is a manager at work there, and may it answer?".to_owned(),
        };
        let (what, after) = (pending.question.what.clone(), pending.patience);
        self.finish(number, Err(ClientError::Timeout { what, after, why }));
    }
}

/// Where answers about a twin or a group come by MQTT 3.1.1.
fn answers_of(twin: &str) -> String {
    format!("{twin}/RES")
}

impl Actor for Desk {
    type Context = Context<Self>;
}

impl Handler<Heard> for Desk {
    type Result = ();

    fn handle(&mut self, heard: Heard, ctx: &mut Self::Context) {
        match heard {
            Heard::Up { kept, refused } => self.come(kept, &refused),
            Heard::Down => {
                self.is_up = false;
                // What was published by itself is not tried again.
                self.letters.retain(|_, of| matches!(of, Of::Question(_)));
            }
            Heard::Got(got) => self.hear(got, ctx),
            Heard::Taken(letter) => self.taken(letter, Ok(())),
            Heard::Refused(letter, line) => self.taken(letter, Err(line)),
            Heard::Subscribed(number, refusals) => {
                if number == 0 {
                    self.deaf = None;
                }
                self.be_refused(&refusals);
                let line = refusals.into_iter().next().map(|(_, line)| line);
                self.listening.is_ready(number, line);
                // A question that waited for its own subscription.
                self.send(number);
            }
            Heard::Trouble(line) => {
                for waiting in self.waiting.drain(..) {
                    // Who no longer waits does not mind.
                    waiting.send(Err(ClientError::Offline(line.clone()))).ok();
                }
                self.trouble = Some(line);
            }
        }
    }
}

/// Asks a question, and waits for the answer no longer than this.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Ask {
    pub(super) question: Question,
    pub(super) patience: Duration,
    pub(super) tell: oneshot::Sender<Answer>,
}

impl Handler<Ask> for Desk {
    type Result = ();

    fn handle(&mut self, Ask { question, patience, tell }: Ask, ctx: &mut Self::Context) {
        if let Some(line) = &self.deaf {
            // Who no longer waits needs no answer.
            return drop(tell.send(Err(ClientError::Refused(line.clone()))));
        }
        let number = self.next_number();
        let untaken = self.letters(number, &question);
        let answers = answers_of(&question.twin);
        self.pending.insert(number, Pending { question, patience, untaken, tell });
        ctx.run_later(patience, move |desk, _| desk.give_up(number));
        if self.version == Version::V3 && self.listening.enter(&answers) {
            return self.wire.do_send(Subscribe { number, filters: vec![answers] });
        }
        self.send(number);
    }
}

/// Passes on what comes by these filters, once the broker has granted them.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Listen {
    pub(super) filters: Vec<String>,
    pub(super) notes: mpsc::UnboundedSender<Note>,
    pub(super) ready: oneshot::Sender<Result<u64, ClientError>>,
}

impl Handler<Listen> for Desk {
    type Result = ();

    fn handle(&mut self, Listen { filters, notes, ready }: Listen, _: &mut Self::Context) {
        let number = self.next_number();
        let new = self.listening.add(number, filters, notes, ready);
        if new.is_empty() {
            self.listening.is_ready(number, None);
        } else {
            self.wire.do_send(Subscribe { number, filters: new });
        }
    }
}

/// Nobody listens any more under this number.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Leave(pub(super) u64);

impl Handler<Leave> for Desk {
    type Result = ();

    fn handle(&mut self, Leave(number): Leave, _: &mut Self::Context) {
        let over = self.listening.remove(number);
        self.unsubscribe(over);
    }
}

/// Publishes as it is.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Publish {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) tell: oneshot::Sender<Result<(), ClientError>>,
}

impl Handler<Publish> for Desk {
    type Result = ();

    fn handle(&mut self, Publish { topic, payload, tell }: Publish, _: &mut Self::Context) {
        if self.is_up {
            let number = self.next_number();
            self.letters.insert(number, Of::Own(tell));
            self.wire.do_send(Letter { number, topic, payload, answer_to: None });
        } else {
            let why = self.trouble.clone();
            let why = why.unwrap_or_else(|| "the broker is not connected".to_owned());
            tell.send(Err(ClientError::Offline(why))).ok();
        }
    }
}

/// Answers when there is a connection, or with the reason why there is none.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Connected(pub(super) oneshot::Sender<Result<(), ClientError>>);

impl Handler<Connected> for Desk {
    type Result = ();

    fn handle(&mut self, Connected(tell): Connected, _: &mut Self::Context) {
        let answer = match &self.trouble {
            _ if self.is_up => Ok(()),
            Some(line) => Err(ClientError::Offline(line.clone())),
            None => return self.waiting.push(tell),
        };
        // Who no longer waits does not mind.
        tell.send(answer).ok();
    }
}

/// Answers after this time, in whatever runtime one waits for it.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Wake(pub(super) Duration);

impl Handler<Wake> for Desk {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Wake(after): Wake, _: &mut Self::Context) -> Self::Result {
        Box::pin(actix_rt::time::sleep(after))
    }
}

/// Ends the client.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Close;

impl Handler<Close> for Desk {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, Close: Close, _: &mut Self::Context) -> Self::Result {
        let hung_up = self.wire.send(HangUp).into_actor(self);
        Box::pin(hung_up.map(|_, desk, ctx: &mut Context<Self>| {
            desk.pending.clear();
            ctx.stop();
        }))
    }
}
