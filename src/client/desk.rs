//! The actor that keeps the requests of a client until they are answered, and passes on what is listened to.

mod answering;
mod asked;
mod timer;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

use actix::prelude::*;
use serde_json::{Map, Value};
use tokio::sync::oneshot;

pub(super) use self::asked::{Ask, Close, Connected, Leave, Listen, LookAt, Publish, Wake};
use super::{
    ClientError,
    listening::{Listening, Verdict},
    question::{Answer, Left, Pending, Verb},
};
use crate::{
    mqtt::{Access, Heard, Letter, Runner, Unsubscribe, Version, Wire, Withdraw},
    protocol::ThingId,
};

/// Who asks for a client.
pub(super) struct Desk {
    id: ThingId,
    /// Where this client is answered by MQTT 5.
    answers: String,
    version: Version,
    /// By this a token is one of this start: an answer to one before is for nobody.
    start: u64,
    wire: Addr<Wire>,
    is_up: bool,
    was_up: bool,
    /// Why there is no connection, as far as is known, and whether the broker refuses us.
    trouble: Option<(String, bool)>,
    /// Why the broker does not let us hear answers by MQTT 5.
    deaf: Option<String>,
    /// Who waits for a connection.
    waiting: Vec<oneshot::Sender<Result<(), ClientError>>>,
    /// The number of the last letter, question or listener.
    number: u64,
    pending: BTreeMap<u64, Pending>,
    letters: HashMap<u64, Of>,
    /// The twins that are to be told of once more: until the broker has the request.
    looks: BTreeMap<ThingId, Letter>,
    listening: Listening,
    /// How long each listener waits for its subscriptions.
    patience: HashMap<u64, Duration>,
    /// When something has to be looked at: a question, a publish or a listener by its number.
    due: BTreeSet<(Instant, u64)>,
    timer: Option<(Instant, SpawnHandle)>,
    /// The thread lives as long as this.
    _runner: Runner,
}

/// What a letter is for.
enum Of {
    Question(u64),
    Look(ThingId),
    /// It was published by itself, there.
    Own {
        topic: String,
        patience: Duration,
        tell: oneshot::Sender<Result<(), ClientError>>,
    },
}

impl Desk {
    pub(super) fn new(
        id: ThingId,
        answers: String,
        version: Version,
        wire: Addr<Wire>,
        runner: Runner,
    ) -> Self {
        let mut listening = Listening::default();
        if version == Version::V5 {
            // For good, so that nobody else ends it. The wire subscribes to it from the outset.
            listening.hold_for_question(0, answers.clone());
        }
        Self {
            id,
            answers,
            version,
            start: fastrand::u64(..),
            wire,
            is_up: false,
            was_up: false,
            trouble: None,
            deaf: None,
            waiting: Vec::new(),
            number: 0,
            pending: BTreeMap::new(),
            letters: HashMap::new(),
            looks: BTreeMap::new(),
            listening,
            patience: HashMap::new(),
            due: BTreeSet::new(),
            timer: None,
            _runner: runner,
        }
    }

    /// Where a client is answered by MQTT 5: below its user name, for that is what rights are given to, and it may have many
    /// client ids; or else below its client id.
    pub(super) fn answers(access: &Access) -> String {
        let user = access.user.as_deref().and_then(|user| user.parse::<ThingId>().ok());
        let id = &access.client_id;
        match user.filter(|user| user != id) {
            Some(user) => format!("TNG/{user}/TPC/RES/{id}"),
            None => format!("TNG/{id}/TPC/RES/TWIN"),
        }
    }

    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// Makes a letter that can be told from all others by its answer.
    fn letter(&mut self, topic: String, mut payload: Map<String, Value>) -> Letter {
        let number = self.next_number();
        let token = format!("{}/{:x}/{number}", self.id, self.start);
        payload.insert("query".to_owned(), Value::from(token.as_str()));
        let answer_to =
            (self.version == Version::V5).then(|| (self.answers.clone(), token.into_bytes()));
        Letter {
            number,
            topic,
            payload: Value::Object(payload).to_string().into_bytes(),
            answer_to,
        }
    }

    /// Of which letter this is the token.
    fn letter_of(&self, token: &str) -> Option<u64> {
        let rest = token.strip_prefix(self.id.as_str())?.strip_prefix('/')?;
        let (start, number) = rest.split_once('/')?;
        if u64::from_str_radix(start, 16).ok()? != self.start {
            return None;
        }
        number.parse().ok()
    }

    fn why_nothing_comes(&self) -> String {
        match (&self.trouble, self.is_up) {
            (Some((trouble, _)), false) => trouble.clone(),
            (None, false) => "the broker is not connected".to_owned(),
            (_, true) => "the broker has not answered".to_owned(),
        }
    }

    fn give_up(&mut self, number: u64) {
        let Some(pending) = self.pending.get(&number) else { return };
        let mut why = match self.version {
            _ if !self.is_up => self.why_nothing_comes(),
            _ if pending.is_untaken() => "the broker has not taken it".to_owned(),
            Version::V5 => {
                "is a manager at work there, by MQTT 5 as well, and may it answer?".into()
            }
            Version::V3 => "is a manager at work there, and may it answer?".to_owned(),
        };
        if pending.question.verb != Verb::Get && pending.is_out() {
            why.push_str("; it may yet be done");
        }
        let (what, after) = (pending.question.what.clone(), pending.patience);
        self.withdraw(number);
        self.finish(number, Err(ClientError::Timeout { what, after, why }));
    }

    /// What of it is not on its way stays here.
    fn withdraw(&self, number: u64) {
        let letters = self.pending.get(&number).map(Pending::letters).unwrap_or_default();
        letters.into_iter().for_each(|letter| self.wire.do_send(Withdraw(letter)));
    }

    fn finish(&mut self, number: u64, answer: Answer) {
        let Some(pending) = self.pending.remove(&number) else { return };
        for letter in pending.letters() {
            self.letters.remove(&letter);
        }
        self.due.remove(&(pending.deadline, number));
        if let Some(again) = pending.again {
            self.due.remove(&(again, number));
        }
        if self.version == Version::V3 {
            self.let_go(number);
        }
        pending.finish(answer);
    }

    fn doubt(&mut self, number: u64) {
        let Some(pending) = self.pending.get(&number) else { return };
        let what = pending.question.what.clone();
        self.finish(number, Err(ClientError::Unsure { what }));
    }

    fn let_go(&mut self, number: u64) {
        let over = self.listening.let_go(number);
        if !over.is_empty() {
            self.wire.do_send(Unsubscribe(over));
        }
    }

    /// Connected: what was not taken is sent, and what may have been answered unheard is asked again.
    fn come(&mut self, kept: bool, refused: &[(String, String)], ctx: &mut Context<Self>) {
        let was_up = std::mem::replace(&mut self.was_up, true);
        (self.is_up, self.trouble) = (true, None);
        // Who no longer waits does not mind.
        self.waiting.drain(..).for_each(|waiting| drop(waiting.send(Ok(()))));
        if was_up && !kept {
            let numbers: Vec<u64> = self.pending.keys().copied().collect();
            for number in numbers {
                if self.pending.get_mut(&number).is_some_and(|one| one.miss() == Left::Doubt) {
                    self.doubt(number);
                }
            }
        }
        let verdicts = self.listening.all_answered(refused);
        self.judge(verdicts, ctx);
        if was_up {
            // A broker that kept the session may have had no room for all of it.
            self.listening.tell_gap();
        }
        let numbers: Vec<u64> = self.pending.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.send(number, ctx));
        self.looks.values().for_each(|letter| self.wire.do_send(letter.clone()));
    }

    /// Subscriptions are granted, or refused.
    fn judge(&mut self, verdicts: Vec<Verdict>, ctx: &mut Context<Self>) {
        for (number, verdict) in verdicts {
            match verdict {
                Err(line) if number == 0 => {
                    let numbers: Vec<u64> = self.pending.keys().copied().collect();
                    for number in numbers {
                        self.finish(number, Err(ClientError::Refused(line.clone())));
                    }
                    self.deaf = Some(line);
                }
                Ok(()) if number == 0 => self.deaf = None,
                Err(line) if self.pending.contains_key(&number) => {
                    self.finish(number, Err(ClientError::Refused(line)));
                }
                Ok(()) if self.pending.contains_key(&number) => self.send(number, ctx),
                Err(line) => {
                    if self.listening.tell_refused(number, ClientError::Refused(line)) {
                        self.forget_patience(number);
                        self.let_go(number);
                    }
                }
                Ok(()) => {
                    self.forget_patience(number);
                    if !self.listening.tell_ready(number) {
                        self.let_go(number);
                    }
                }
            }
        }
    }

    /// Its entry in `due` finds nothing any more.
    fn forget_patience(&mut self, number: u64) {
        self.patience.remove(&number);
    }

    /// Sends what of this question has not been sent, if its answer can be heard.
    fn send(&mut self, number: u64, ctx: &mut Context<Self>) {
        if !self.is_up || (self.version == Version::V3 && !self.listening.is_granted(number)) {
            return;
        }
        let Some(pending) = self.pending.get_mut(&number) else { return };
        if pending.is_abandoned() {
            return self.finish(number, Err(ClientError::Closed));
        }
        let before = pending.again;
        for letter in pending.send(Instant::now()) {
            self.wire.do_send(letter);
        }
        let after = pending.again;
        if let Some(before) = before {
            self.due.remove(&(before, number));
        }
        if let Some(after) = after {
            self.look_then(after, number, ctx);
        }
    }

    fn taken(&mut self, letter: u64, outcome: Result<(), String>) {
        match (self.letters.get(&letter), outcome) {
            (None, _) => {}
            (Some(Of::Question(number)), Ok(())) => {
                let number = *number;
                if let Some(pending) = self.pending.get_mut(&number) {
                    pending.taken(letter);
                }
            }
            (Some(Of::Question(number)), Err(line)) => {
                let number = *number;
                self.finish(number, Err(ClientError::Refused(line)));
            }
            (Some(Of::Look(_) | Of::Own { .. }), outcome) => match self.letters.remove(&letter) {
                Some(Of::Look(id)) => {
                    if self.looks.get(&id).is_some_and(|look| look.number == letter) {
                        self.looks.remove(&id);
                    }
                }
                // Who no longer waits does not mind.
                Some(Of::Own { tell, .. }) => {
                    tell.send(outcome.map_err(ClientError::Refused)).ok();
                }
                Some(Of::Question(_)) | None => {}
            },
        }
    }

    fn lose(&mut self) {
        self.is_up = false;
        // What was published by itself is not tried again: who waits for it hears that nobody knows.
        self.letters.retain(|_, of| !matches!(of, Of::Own { .. }));
        let numbers: Vec<u64> = self.pending.keys().copied().collect();
        for number in numbers {
            if self.pending.get_mut(&number).is_some_and(|pending| pending.lose() == Left::Doubt) {
                self.doubt(number);
            }
        }
    }

    fn be_in_trouble(&mut self, line: String, lasting: bool) {
        for waiting in self.waiting.drain(..) {
            // Who no longer waits does not mind.
            waiting.send(Err(offline(&line, lasting))).ok();
        }
        self.trouble = Some((line, lasting));
    }
}

fn offline(line: &str, lasting: bool) -> ClientError {
    if lasting {
        ClientError::Refused(line.to_owned())
    } else {
        ClientError::Offline(line.to_owned())
    }
}

impl Actor for Desk {
    type Context = Context<Self>;
}

impl Handler<Heard> for Desk {
    type Result = ();

    fn handle(&mut self, heard: Heard, ctx: &mut Self::Context) {
        match heard {
            Heard::Up { kept, refused } => self.come(kept, &refused, ctx),
            Heard::Down => self.lose(),
            Heard::Got(got) => self.hear(&got, ctx),
            Heard::Taken(letter) => self.taken(letter, Ok(())),
            Heard::Refused(letter, line) => self.taken(letter, Err(line)),
            Heard::Subscribed(0, refused) => {
                // What was refused before was tried again.
                let verdicts = self.listening.retried(&refused);
                self.judge(verdicts, ctx);
                self.listening.tell_gap();
            }
            Heard::Subscribed(number, refused) => {
                let verdicts = self.listening.answered(number, &refused);
                self.judge(verdicts, ctx);
            }
            Heard::Trouble { line, lasting } => self.be_in_trouble(line, lasting),
        }
    }
}
