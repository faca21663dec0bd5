//! What a twin's actor tells, and where: on the thing's topics, and where a client wants it.

use std::sync::Arc;

use super::{Ask, twin_actor::TwinActor};
use crate::{
    mqtt::{About, Destination, Publish},
    protocol::{Code, Problem, Query, ThingTopic, Topic, delete_answer, state_get},
    twin::{Candidate, Rows, SelectError, Selection, Tell, query_answer},
};

impl TwinActor {
    /// Where and how something is told, as it follows from an entry of the inbox.
    pub(super) fn publish(
        &self,
        tell: Tell,
        ask: Option<&Ask>,
        entry: Option<u64>,
    ) -> Vec<Publish> {
        let query = ask.and_then(|ask| ask.query.as_ref());
        match tell {
            Tell::Twin(payload) => {
                let select = ask.and_then(|ask| Some((ask, ask.select.as_deref()?)));
                let (topic, payload, what) = match select {
                    Some((ask, select)) => match self.selected(ask, select) {
                        Ok(answer) => (ThingTopic::TwinRes, answer, "answer"),
                        Err(error) => {
                            let code = match error {
                                SelectError::TooLarge => Code::TooLarge,
                                SelectError::Document(_) => Code::Unavailable,
                            };
                            return self.problem(ask, code, error.to_string(), entry);
                        }
                    },
                    None => (ThingTopic::TwinUpd, payload, "twin"),
                };
                match ask {
                    Some(ask) if !ask.of_group && payload.len() > self.common.room() => {
                        let message = format!(
                            "the {what} has {} bytes, more than go to the broker in one packet ({})",
                            payload.len(),
                            self.common.room()
                        );
                        self.problem(ask, Code::TooLarge, message, entry)
                    }
                    ask => self.answer(topic, payload, ask, entry),
                }
            }
            Tell::Deleted(deleted) => {
                self.answer(ThingTopic::TwinRes, delete_answer(query, deleted), ask, entry)
            }
            Tell::AskState => {
                self.answer(ThingTopic::StateGet, state_get().to_owned(), None, entry)
            }
            Tell::ToThing(payload) => self.answer(ThingTopic::StateSet, payload, None, entry),
        }
    }

    /// The answer to a query: one row, or none.
    fn selected(&self, ask: &Ask, select: &Query) -> Result<String, SelectError> {
        let record = self.twin.to_record();
        let online = self.twin.presence(ask.session).online();
        let candidate = Candidate::new(self.id.as_str(), &record, online);
        let row = || Selection::new(select, None).row(candidate);
        let row = if self.twin.exists() { row()? } else { None };
        let rows = Rows::of(select, row.as_slice());
        Ok(query_answer(select, ask.query.as_ref(), &[&rows]))
    }

    pub(super) fn problem(
        &self,
        ask: &Ask,
        code: Code,
        message: String,
        entry: Option<u64>,
    ) -> Vec<Publish> {
        if ask.of_group {
            log::debug!("{}: not taken: {message}", self.id);
            return Vec::new();
        }
        let problem = Problem { query: ask.query.clone(), code, message };
        self.answer(ThingTopic::TwinRes, problem.to_payload(), Some(ask), entry)
    }

    /// The same on the thing's topic and, if the client wants it there, on its response topic.
    fn answer(
        &self,
        topic: ThingTopic,
        payload: String,
        ask: Option<&Ask>,
        entry: Option<u64>,
    ) -> Vec<Publish> {
        let payload: Arc<[u8]> = payload.into_bytes().into();
        let topic = Destination::Topic(Topic::Thing(self.id.clone(), topic));
        let respond = ask.and_then(|ask| ask.respond.clone()).map(Destination::Response);
        let about = Some(About::Thing { id: self.id.clone(), generation: self.generation });
        let publish = |to| Publish { to, payload: payload.clone(), about: about.clone(), entry };
        [Some(topic), respond].into_iter().flatten().map(publish).collect()
    }
}
