//! What an event must have told and planned: rules 6 to 8 and 11, and of rules 3 and 4 what is sent.

use serde_json::{Value, json};
use twinthing::{
    protocol::{ReportKind, Timestamp},
    twin::{Event, Outcome, Presence, Retry, Rules, Tell},
};

use super::{past::Past, reports, sets, upd::Upd};

/// What an event made of a twin.
pub(super) struct Change<'a> {
    pub(super) before: &'a Upd,
    pub(super) after: &'a Upd,
    pub(super) outcome: &'a Outcome,
    pub(super) now: Timestamp,
    pub(super) session: i64,
    pub(super) rules: &'a Rules,
}

impl Change<'_> {
    /// What has to be told and planned. What was known of the past becomes what is known now.
    pub(super) fn follow(&self, event: &Event, past: &mut Past) -> (Vec<Value>, Retry) {
        let upd = || vec![json!("UPD")];
        let was = past.presence(self.session);
        match event {
            Event::Get => return (upd(), Retry::AsPlanned),
            Event::Delete => {
                *past = Past::default();
                let deleted = self.outcome.commit.is_some();
                return (vec![json!({"deleted": deleted})], Retry::Never);
            }
            Event::Connected
            | Event::Gone
            | Event::Reported(_)
            | Event::Set { .. }
            | Event::Resumed { .. }
            | Event::RetryDue(_) => past.set_presence(was, self.session),
        }
        match event {
            Event::Connected => self.connected(past),
            Event::Gone => self.gone(past),
            Event::Reported(report) => {
                past.set_presence(Presence::Online, self.session);
                let asks = !past.has_reported && report.kind == ReportKind::Delta;
                let passed_over = reports::check(report, self, past);
                past.has_reported |= !passed_over;
                let mut told = upd();
                told.extend(asks.then(|| json!("GET")));
                let settled = self.has_settled();
                self.send(told, past, was == Presence::Offline, settled)
            }
            Event::Set { members, .. } => {
                sets::check(members, self, past);
                let settled = self.has_settled();
                self.send(upd(), past, false, settled)
            }
            Event::Resumed { .. } => self.send(vec![], past, true, false),
            Event::RetryDue(attempt) => self.again(*attempt, past),
            Event::Get | Event::Delete => unreachable!("dealt with above"),
        }
    }

    fn is_unsettled(&self) -> bool {
        !self.after.desired.state.is_empty()
    }

    /// Whether this left nothing to ask.
    fn has_settled(&self) -> bool {
        !self.before.desired.state.is_empty() && !self.is_unsettled()
    }

    fn delta(&self) -> Value {
        json!({"delta": self.after.desired.on_the_wire()})
    }

    /// Rule 6.
    fn connected(&self, past: &mut Past) -> (Vec<Value>, Retry) {
        past.connected(self.now, self.session);
        if !past.has_reported {
            assert_eq!(self.before.parts(), self.after.parts());
            return (vec![json!("GET")], Retry::AsPlanned);
        }
        past.restored = Some(self.before.reported.trn);
        if self.is_unsettled() && past.sent {
            past.renewed(&self.after.desired);
        } else {
            assert_eq!(self.before.parts(), self.after.parts());
        }
        let state = json!({"state": self.after.reported.on_the_wire()});
        self.send(vec![state], past, false, false)
    }

    /// Rule 7.
    fn gone(&self, past: &mut Past) -> (Vec<Value>, Retry) {
        assert_eq!(self.before.parts(), self.after.parts());
        if past.may_be_late_will(self.now, self.rules) {
            past.set_presence(Presence::Unknown, self.session);
            return self.send(vec![], past, false, false);
        }
        past.set_presence(Presence::Offline, self.session);
        (vec![], Retry::Never)
    }

    /// Rule 8.
    fn again(&self, attempt: u32, past: &Past) -> (Vec<Value>, Retry) {
        assert_eq!(self.before.parts(), self.after.parts());
        let waits = self.is_unsettled() && past.sent && self.may_hear(past);
        let next = attempt + 1;
        if !waits {
            return (vec![], Retry::Never);
        }
        let retry = if next > self.rules.retries {
            Retry::Never
        } else {
            Retry::After(self.rules.retry * 2_u32.pow(attempt), next)
        };
        (vec![self.delta()], retry)
    }

    fn may_hear(&self, past: &Past) -> bool {
        past.has_reported && past.presence(self.session) != Presence::Offline
    }

    /// A delta that has not been sent is, if it may be heard. The wait for an answer begins then, or
    /// when the thing is heard `anew`.
    fn send(
        &self,
        mut told: Vec<Value>,
        past: &mut Past,
        anew: bool,
        settled: bool,
    ) -> (Vec<Value>, Retry) {
        let hears = self.is_unsettled() && self.may_hear(past);
        let first = Retry::After(self.rules.retry, 1);
        if hears && !past.sent {
            past.sent(&self.after.desired);
            told.push(self.delta());
            return (told, first);
        }
        let retry = if settled {
            Retry::Never
        } else if hears && anew {
            first
        } else {
            Retry::AsPlanned
        };
        (told, retry)
    }

    /// What was told, the twin as `"UPD"`.
    pub(super) fn told(&self, upd: &str) -> Vec<Value> {
        let told = self.outcome.tell.iter().map(|tell| match tell {
            Tell::Twin(payload) => {
                assert_eq!(payload, upd);
                json!("UPD")
            }
            Tell::Deleted(deleted) => json!({"deleted": deleted}),
            Tell::AskState => json!("GET"),
            Tell::ToThing(payload) => serde_json::from_str(payload).unwrap(),
        });
        told.collect()
    }
}
