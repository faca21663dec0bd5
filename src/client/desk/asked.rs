//! What a desk is asked to do.

use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::{mpsc, oneshot};

use super::{
    super::{
        listening::{Note, Ready},
        question::{Answer, FOREVER, Pending, Question},
    },
    ClientError, Desk, Of, offline,
};
use crate::{
    mqtt::{HangUp, Letter, Subscribe, Version},
    protocol::{ThingId, ThingTopic, Topic},
};

/// Asks a question, and waits for the answer no longer than this.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::client) struct Ask {
    pub(in crate::client) question: Question,
    pub(in crate::client) patience: Duration,
    pub(in crate::client) tell: oneshot::Sender<Answer>,
}

impl Handler<Ask> for Desk {
    type Result = ();

    fn handle(&mut self, Ask { question, patience, tell }: Ask, ctx: &mut Self::Context) {
        if let Some(line) = &self.deaf {
            // Who no longer waits needs no answer.
            return drop(tell.send(Err(ClientError::Refused(line.clone()))));
        }
        let number = self.next_number();
        let answers = question.answers();
        let mut pending = Pending::new(question, patience, Instant::now(), tell);
        pending.write(self.version, |topic, payload| {
            let letter = self.letter(topic, payload);
            self.letters.insert(letter.number, Of::Question(number));
            letter
        });
        let deadline = pending.deadline;
        self.pending.insert(number, pending);
        self.look_then(deadline, number, ctx);
        if self.version == Version::V3 {
            let filters = self.listening.hold_for_question(number, answers);
            if !filters.is_empty() {
                return self.wire.do_send(Subscribe { number, filters });
            }
        }
        self.send(number, ctx);
    }
}

/// Passes on what comes by these filters, once the broker has granted them, for which it has so long.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::client) struct Listen {
    pub(in crate::client) filters: Vec<String>,
    pub(in crate::client) patience: Duration,
    pub(in crate::client) notes: mpsc::Sender<Note>,
    pub(in crate::client) ready: Ready,
}

impl Handler<Listen> for Desk {
    type Result = ();

    fn handle(&mut self, listen: Listen, ctx: &mut Self::Context) {
        let Listen { filters, patience, notes, ready } = listen;
        let number = self.next_number();
        let new = self.listening.hold_for_listener(number, filters, notes, ready);
        if !new.is_empty() {
            self.wire.do_send(Subscribe { number, filters: new });
        } else if self.listening.is_granted(number) {
            return self.judge(vec![(number, Ok(()))], ctx);
        }
        self.patience.insert(number, patience);
        let now = Instant::now();
        self.look_then(now.checked_add(patience).unwrap_or(now + FOREVER), number, ctx);
    }
}

/// Nobody listens any more under this number.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::client) struct Leave(pub(in crate::client) u64);

impl Handler<Leave> for Desk {
    type Result = ();

    fn handle(&mut self, Leave(number): Leave, _: &mut Self::Context) {
        self.let_go(number);
    }
}

/// Has the manager tell of a twin once more, on its `TWIN/UPD`.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::client) struct LookAt(pub(in crate::client) ThingId);

impl Handler<LookAt> for Desk {
    type Result = ();

    /// One that the broker has not taken will be answered after all that happened until now.
    fn handle(&mut self, LookAt(id): LookAt, _: &mut Self::Context) {
        if self.looks.contains_key(&id) {
            return;
        }
        let number = self.next_number();
        let topic = Topic::Thing(id.clone(), ThingTopic::TwinGet).to_string();
        let letter = Letter { number, topic, payload: b"{}".to_vec(), answer_to: None };
        if self.is_up {
            self.wire.do_send(letter.clone());
        }
        self.letters.insert(number, Of::Look(id.clone()));
        self.looks.insert(id, letter);
    }
}

/// Publishes as it is.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::client) struct Publish {
    pub(in crate::client) topic: String,
    pub(in crate::client) payload: Vec<u8>,
    pub(in crate::client) patience: Duration,
    pub(in crate::client) tell: oneshot::Sender<Result<(), ClientError>>,
}

impl Handler<Publish> for Desk {
    type Result = ();

    fn handle(&mut self, publish: Publish, ctx: &mut Self::Context) {
        let Publish { topic, payload, patience, tell } = publish;
        if !self.is_up {
            let error = match &self.trouble {
                Some((line, lasting)) => offline(line, *lasting),
                None => offline("the broker is not connected", false),
            };
            // Who no longer waits does not mind.
            return drop(tell.send(Err(error)));
        }
        let number = self.next_number();
        self.wire.do_send(Letter { number, topic: topic.clone(), payload, answer_to: None });
        self.letters.insert(number, Of::Own { topic, patience, tell });
        let now = Instant::now();
        self.look_then(now.checked_add(patience).unwrap_or(now + FOREVER), number, ctx);
    }
}

/// Answers when there is a connection, or with the reason why there is none.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::client) struct Connected(
    pub(in crate::client) oneshot::Sender<Result<(), ClientError>>,
);

impl Handler<Connected> for Desk {
    type Result = ();

    fn handle(&mut self, Connected(tell): Connected, _: &mut Self::Context) {
        let answer = match &self.trouble {
            _ if self.is_up => Ok(()),
            Some((line, lasting)) => Err(offline(line, *lasting)),
            None => return self.waiting.push(tell),
        };
        // Who no longer waits does not mind.
        tell.send(answer).ok();
    }
}

/// Answers after this time, in whatever runtime one waits for it.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::client) struct Wake(pub(in crate::client) Duration);

impl Handler<Wake> for Desk {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Wake(after): Wake, _: &mut Self::Context) -> Self::Result {
        Box::pin(actix_rt::time::sleep(after.min(FOREVER)))
    }
}

/// Ends the client.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::client) struct Close;

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
