//! A question on its way: what it wants, and how far each of its letters has come.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use super::ClientError;
use crate::mqtt::{Letter, Version};

/// After how long without an answer a GET is asked again; the wait doubles each time. A manager that starts anew has
/// forgotten it.
const SILENCE: Duration = Duration::from_secs(5);

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

impl Question {
    /// Where answers come by MQTT 3.1.1.
    pub(super) fn answers(&self) -> String {
        format!("{}/RES", self.twin)
    }

    /// What is published for it. By MQTT 3.1.1 nothing ties a twin that is told to who asked: what is asked after a
    /// SET is answered after it.
    fn parts(&self, version: Version) -> Vec<(Verb, Map<String, Value>)> {
        let mut parts = vec![(self.verb, self.payload.clone())];
        if self.verb == Verb::Set && version == Version::V3 {
            parts.push((Verb::Get, whole()));
        }
        parts
    }
}

/// A query for the whole twin.
fn whole() -> Map<String, Value> {
    Map::from_iter([("select".to_owned(), json!(["*"]))])
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
    /// How it is called in a topic.
    pub(super) fn levels(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Set | Self::GroupSet => "SET",
            Self::Delete => "DEL",
        }
    }
}

/// The answer as it came, or why there is none.
pub(super) type Answer = Result<Map<String, Value>, ClientError>;

/// How far a letter has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Unsent,
    /// It may be with the broker, or not.
    Sent,
    /// The broker has it.
    Taken,
}

#[derive(Debug)]
struct Part {
    verb: Verb,
    letter: Letter,
    stage: Stage,
}

/// A question that is not answered.
pub(super) struct Pending {
    pub(super) question: Question,
    pub(super) patience: Duration,
    /// When it is given up.
    pub(super) deadline: Instant,
    /// When its GET is asked again.
    pub(super) again: Option<Instant>,
    /// Whether the database was away when the GET behind a SET was answered.
    pub(super) was_away: bool,
    repeats: u32,
    parts: BTreeMap<u64, Part>,
    tell: oneshot::Sender<Answer>,
}

/// What a lost connection leaves of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// It goes on.
    All,
    /// It may have been done, or may yet be, and nobody will say so.
    Doubt,
}

impl Pending {
    pub(super) fn new(
        question: Question,
        patience: Duration,
        now: Instant,
        tell: oneshot::Sender<Answer>,
    ) -> Self {
        let deadline = now.checked_add(patience).unwrap_or(now + FOREVER);
        let (again, parts) = (None, BTreeMap::new());
        Self { question, patience, deadline, again, was_away: false, repeats: 0, parts, tell }
    }

    /// Writes its letters. `make` gives each a number and what it is known by.
    pub(super) fn write(
        &mut self,
        version: Version,
        mut make: impl FnMut(String, Map<String, Value>) -> Letter,
    ) {
        for (verb, payload) in self.question.parts(version) {
            self.add(verb, payload, &mut make);
        }
    }

    /// Writes one more GET, of the twin if it is that behind a SET.
    pub(super) fn write_again(
        &mut self,
        mut make: impl FnMut(String, Map<String, Value>) -> Letter,
    ) {
        let payload = match self.question.verb {
            Verb::Get => self.question.payload.clone(),
            Verb::Set | Verb::GroupSet | Verb::Delete => whole(),
        };
        self.add(Verb::Get, payload, &mut make);
    }

    fn add(
        &mut self,
        verb: Verb,
        payload: Map<String, Value>,
        make: &mut impl FnMut(String, Map<String, Value>) -> Letter,
    ) {
        let letter = make(format!("{}/{}", self.question.twin, verb.levels()), payload);
        self.parts.insert(letter.number, Part { verb, letter, stage: Stage::Unsent });
    }

    /// What has not been sent, which is sent now.
    pub(super) fn send(&mut self, now: Instant) -> Vec<Letter> {
        let unsent = self.parts.values_mut().filter(|part| part.stage == Stage::Unsent);
        let mut letters = Vec::new();
        for part in unsent {
            part.stage = Stage::Sent;
            if part.verb == Verb::Get {
                self.again = Some(now + SILENCE * 2_u32.saturating_pow(self.repeats.min(10)));
                self.repeats += 1;
            }
            letters.push(part.letter.clone());
        }
        letters
    }

    /// The broker has this letter.
    pub(super) fn taken(&mut self, letter: u64) {
        if let Some(part) = self.parts.get_mut(&letter) {
            part.stage = Stage::Taken;
        }
    }

    /// What this letter wanted.
    pub(super) fn verb_of(&self, letter: u64) -> Option<Verb> {
        self.parts.get(&letter).map(|part| part.verb)
    }

    /// The numbers of its letters.
    pub(super) fn letters(&self) -> Vec<u64> {
        self.parts.keys().copied().collect()
    }

    /// Whether something of it may be with the broker.
    pub(super) fn is_out(&self) -> bool {
        self.parts.values().any(|part| part.stage != Stage::Unsent)
    }

    /// Whether the broker has not taken all of it.
    pub(super) fn is_untaken(&self) -> bool {
        self.parts.values().any(|part| part.stage != Stage::Taken)
    }

    /// The connection is lost. What the broker may not have got is sent again, as MQTT itself does, but for what must
    /// not be done twice.
    pub(super) fn lose(&mut self) -> Left {
        let is_versioned = self.question.payload.contains_key("version");
        let mut left = Left::All;
        for part in self.parts.values_mut().filter(|part| part.stage == Stage::Sent) {
            match part.verb {
                Verb::Get => part.stage = Stage::Unsent,
                Verb::Set | Verb::GroupSet if !is_versioned => part.stage = Stage::Unsent,
                Verb::Set | Verb::GroupSet | Verb::Delete => left = Left::Doubt,
            }
        }
        left
    }

    /// What was answered meanwhile is lost with the session: a GET is asked again.
    pub(super) fn miss(&mut self) -> Left {
        let is_taken = |part: &Part| part.stage == Stage::Taken;
        let has_get = self.parts.values().any(|part| part.verb == Verb::Get);
        if has_get {
            let gets = self.parts.values_mut().filter(|part| part.verb == Verb::Get);
            gets.filter(|part| part.stage == Stage::Taken)
                .for_each(|part| part.stage = Stage::Unsent);
            return Left::All;
        }
        if self.parts.values().any(is_taken) { Left::Doubt } else { Left::All }
    }

    /// Whether nobody waits for the answer any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.tell.is_closed()
    }

    /// Gives the answer.
    pub(super) fn finish(self, answer: Answer) {
        // Who no longer waits needs no answer.
        self.tell.send(answer).ok();
    }
}

/// Longer than anything is waited for.
pub(super) const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(verb: Verb, payload: Value, version: Version) -> Pending {
        let question = Question {
            what: "it".to_owned(),
            twin: "TNG/a/TWIN".to_owned(),
            verb,
            payload: payload.as_object().cloned().unwrap(),
        };
        let (tell, told) = oneshot::channel();
        std::mem::forget(told);
        let mut pending = Pending::new(question, Duration::MAX, Instant::now(), tell);
        let mut number = 0;
        pending.write(version, |topic, payload| {
            number += 1;
            let payload = Value::Object(payload).to_string().into_bytes();
            Letter { number, topic, payload, answer_to: None }
        });
        pending
    }

    fn topics(letters: &[Letter]) -> Vec<&str> {
        letters.iter().map(|letter| letter.topic.as_str()).collect()
    }

    #[test]
    fn what_the_broker_may_not_have_is_sent_again_unless_it_must_not_be_done_twice() {
        let now = Instant::now();
        for (verb, payload, left) in [
            (Verb::Get, json!({}), Left::All),
            (Verb::Set, json!({"set": {"a": 1}}), Left::All),
            (Verb::Set, json!({"set": {"a": 1}, "version": 4}), Left::Doubt),
            (Verb::GroupSet, json!({"set": {"a": 1}}), Left::All),
            (Verb::Delete, json!({}), Left::Doubt),
        ] {
            let mut pending = pending(verb, payload, Version::V5);
            assert_eq!(pending.lose(), Left::All, "nothing was sent");
            assert_eq!(pending.send(now).len(), 1);
            assert_eq!(pending.send(now).len(), 0, "each goes once");
            assert_eq!(pending.lose(), left, "{verb:?}");
            assert_eq!(pending.send(now).len(), usize::from(left == Left::All));
        }
    }

    #[test]
    fn of_what_the_broker_took_only_a_get_is_asked_again_when_the_session_is_lost() {
        let now = Instant::now();
        let mut set = pending(Verb::Set, json!({"set": {"a": 1}}), Version::V5);
        set.send(now);
        set.taken(1);
        assert_eq!((set.lose(), set.miss()), (Left::All, Left::Doubt));
        // By MQTT 3.1.1 it is the GET behind it that is answered.
        let mut set = pending(Verb::Set, json!({"set": {"a": 1}}), Version::V3);
        assert_eq!(topics(&set.send(now)), ["TNG/a/TWIN/SET", "TNG/a/TWIN/GET"]);
        set.taken(1);
        set.taken(2);
        assert_eq!((set.lose(), set.miss()), (Left::All, Left::All));
        assert_eq!(topics(&set.send(now)), ["TNG/a/TWIN/GET"]);
    }

    #[test]
    fn a_get_is_asked_again_at_doubling_intervals() {
        let now = Instant::now();
        let mut get = pending(Verb::Get, json!({}), Version::V5);
        get.send(now);
        assert_eq!(get.again, Some(now + SILENCE));
        get.write_again(|topic, _| Letter {
            number: 9,
            topic,
            payload: Vec::new(),
            answer_to: None,
        });
        get.send(now);
        assert_eq!(get.again, Some(now + SILENCE * 2));
        assert_eq!((get.verb_of(1), get.verb_of(9)), (Some(Verb::Get), Some(Verb::Get)));
    }
}
