//! Answers as they come, and asking once more where none does.

use std::time::{Duration, Instant};

use actix::prelude::*;
use serde_json::{Map, Value};

use super::{
    super::{question::Verb, settle::Settled},
    ClientError, Desk, Of,
};
use crate::{
    mqtt::{Got, Version},
    protocol::TwinUpdate,
};

/// How long until a GET is repeated that came before a SET was done: by MQTT 3.1.1 only.
const AGAIN: Duration = Duration::from_millis(500);

impl Desk {
    /// Asks a GET once more; an answer to an earlier one counts as well.
    pub(super) fn ask_again(&mut self, number: u64, ctx: &mut Context<Self>) {
        let Some(mut pending) = self.pending.remove(&number) else { return };
        if self.is_up {
            pending.again = None;
            pending.write_again(|topic, payload| {
                let letter = self.letter(topic, payload);
                self.letters.insert(letter.number, Of::Question(number));
                letter
            });
        }
        self.pending.insert(number, pending);
        self.send(number, ctx);
    }

    pub(super) fn hear(&mut self, got: &Got, ctx: &mut Context<Self>) {
        let is_answer = match self.version {
            Version::V5 => got.topic == self.answers,
            Version::V3 => got.topic.ends_with("/TWIN/RES"),
        };
        if is_answer {
            self.answer(got, ctx);
        }
        self.listening.pass_on(got);
    }

    pub(super) fn answer(&mut self, got: &Got, ctx: &mut Context<Self>) {
        let Ok(Value::Object(payload)) = serde_json::from_slice(&got.payload) else { return };
        let token = match &got.correlation {
            Some(correlation) => String::from_utf8_lossy(correlation).into_owned(),
            None => payload.get("query").and_then(Value::as_str).unwrap_or_default().to_owned(),
        };
        let Some(letter) = self.letter_of(&token) else { return };
        let Some(Of::Question(number)) = self.letters.get(&letter) else { return };
        let number = *number;
        let Some(pending) = self.pending.get_mut(&number) else { return };
        if self.version == Version::V3 && got.topic != pending.question.answers() {
            return;
        }
        let is_behind =
            pending.question.verb == Verb::Set && pending.verb_of(letter) == Some(Verb::Get);
        if let Some(error) = payload.get("error") {
            let code = error.get("code").and_then(Value::as_u64).unwrap_or_default();
            // A SET waits for the database, and what asks after it does not.
            if code == 503 && is_behind {
                pending.was_away = true;
                return self.ask_soon(number, ctx);
            }
            let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
            let (what, message) = (pending.question.what.clone(), message.to_owned());
            return self.finish(number, Err(ClientError::Answer { what, code, message }));
        }
        if is_behind {
            return self.answer_behind_a_set(number, payload, ctx);
        }
        self.finish(number, Ok(payload));
    }

    /// By MQTT 3.1.1: the twin that was asked for after a SET.
    pub(super) fn answer_behind_a_set(
        &mut self,
        number: u64,
        mut payload: Map<String, Value>,
        ctx: &mut Context<Self>,
    ) {
        let Some(pending) = self.pending.get(&number) else { return };
        let row = payload.get_mut("res").and_then(|rows| rows.get_mut(0)).map(Value::take);
        let row = row.and_then(|row| row.as_object().cloned()).unwrap_or_default();
        if pending.was_away {
            // It may have been read before the SET was done; then nothing of what was asked is there.
            let asked = pending.question.payload.get("set").and_then(Value::as_object);
            let twin = TwinUpdate::from_object(row.clone()).unwrap_or_default();
            let is_undone = |asked| Settled::of(asked, &twin).overtaken == *asked;
            if asked.is_some_and(|asked| !asked.is_empty() && is_undone(asked)) {
                return self.ask_soon(number, ctx);
            }
        }
        self.finish(number, Ok(row));
    }

    pub(super) fn ask_soon(&mut self, number: u64, ctx: &mut Context<Self>) {
        let Some(pending) = self.pending.get_mut(&number) else { return };
        let soon = Instant::now() + AGAIN;
        if let Some(before) = pending.again.replace(soon) {
            self.due.remove(&(before, number));
        }
        self.look_then(soon, number, ctx);
    }
}
