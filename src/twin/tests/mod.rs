//! The rules as examples and as laws.

mod agreement;
mod answering;
mod asking;
mod laws;
mod merging;
mod model;
mod plain;
mod presence;
mod queries;
mod record;
mod world;

use std::time::Duration;

use serde_json::{Value, json};

use super::{Commit, Event, Moment, Outcome, Refusal, Retry, Rules, Tell, Twin};
use crate::protocol::{Report, Timestamp};

/// A twin, a clock and the rules: what a manager is to one thing.
#[derive(Clone)]
struct Stage {
    twin: Twin,
    now: Timestamp,
    session: i64,
    rules: Rules,
    last: Outcome,
}

fn stage() -> Stage {
    Stage {
        twin: Twin::new(),
        now: Timestamp(1_700_000_000_000_000_000),
        session: 1,
        rules: Rules::default(),
        last: Outcome { commit: None, tell: vec![], retry: Retry::AsPlanned },
    }
}

/// A thing that has reported this state and is online.
fn reporting(state: Value) -> Stage {
    let mut stage = stage();
    stage.report(json!({"state": state}));
    stage
}

impl Stage {
    fn try_apply(&mut self, event: Event) -> Result<(), Refusal> {
        let moment = Moment { now: self.now, session: self.session, rules: &self.rules };
        let (twin, outcome) = self.twin.apply(event, &moment)?;
        self.twin = twin;
        self.last = outcome;
        if let Some(Commit::Put(record)) = &self.last.commit {
            assert_eq!(**record, self.twin.to_record(), "what is stored is the twin");
        }
        Ok(())
    }

    /// Whether the last event has the twin stored.
    fn puts(&self) -> bool {
        matches!(self.last.commit, Some(Commit::Put(_)))
    }

    fn apply(&mut self, event: Event) -> &mut Self {
        self.try_apply(event).unwrap();
        self
    }

    fn report(&mut self, payload: Value) -> &mut Self {
        let report = Report::parse(payload.to_string().as_bytes(), usize::MAX).unwrap();
        self.apply(Event::Reported(report))
    }

    fn set(&mut self, members: Value) -> &mut Self {
        let Value::Object(mut members) = members else { panic!("a SET is an object") };
        members.remove("trn");
        self.apply(Event::Set { members: members.into(), version: None })
    }

    fn on(&mut self) -> &mut Self {
        self.apply(Event::Connected)
    }

    /// LC/OFF, long enough after LC/ON to be meant.
    fn off(&mut self) -> &mut Self {
        self.wait(6).apply(Event::Gone)
    }

    fn wait(&mut self, seconds: u64) -> &mut Self {
        self.now = self.now + Duration::from_secs(seconds);
        self
    }

    /// The manager's clock is set back.
    fn set_back(&mut self, seconds: i64) -> &mut Self {
        self.now = Timestamp(self.now.0 - seconds * 1_000_000_000);
        self
    }

    /// The manager dies and comes back with what it had stored.
    fn restart(&mut self) -> &mut Self {
        if self.twin.exists() {
            self.twin = Twin::from_record(&self.twin.to_record()).unwrap();
        } else {
            self.twin = Twin::new();
        }
        self
    }

    fn document(&self) -> Value {
        serde_json::from_str(&self.twin.to_payload(self.session)).unwrap()
    }

    fn part(&self, name: &str) -> Value {
        self.document()[name].clone()
    }

    fn reported(&self) -> Value {
        self.part("reported")
    }

    fn desired(&self) -> Value {
        self.part("desired")
    }

    fn declined(&self) -> Value {
        self.part("declined")
    }

    /// What the last event had told, twins as `"UPD"`, the rest as it goes out.
    fn told(&self) -> Vec<Value> {
        self.last
            .tell
            .iter()
            .map(|tell| match tell {
                Tell::Twin(_) => json!("UPD"),
                Tell::Deleted(deleted) => json!({"deleted": deleted}),
                Tell::AskState => json!("GET"),
                Tell::ToThing(payload) => serde_json::from_str(payload).unwrap(),
            })
            .collect()
    }

    fn is_settled(&self) -> bool {
        self.desired().as_object().unwrap().keys().all(|name| name == "trn")
    }
}
