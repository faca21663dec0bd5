//! The rules read a second time: a slow and obvious twin, straight from the text of the protocol.
//!
//! What is open is a table of paths. Where the text is silent, a comment says what is taken.

use std::collections::BTreeMap;

use super::{
    plain::{
        Doc, Path, ask_over, at, carries, has, leaves, merge_patch, overlap, put, remove, replace,
    },
    *,
};
use crate::{
    protocol::{ReportKind, same_value},
    twin::Presence,
};

const LAST_TRN: u64 = 0x7fff_ffff;
const FIVE_SECONDS: i64 = 5_000_000_000;
const THIRTY_SECONDS: i64 = 30_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Delta {
    Held,
    Sent,
}

/// What was sent back at LC/ON, until the thing reports at or above it.
#[derive(Clone, Copy, Debug)]
struct Restored {
    trn: Option<u64>,
    at: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) reported: Doc,
    pub(super) desired: Doc,
    declined: Doc,
    pub(super) version: u64,
    pub(super) exists: bool,
    has_reported: bool,
    highest: u64,
    /// After the trn started again: a report's above desired's counts as absent.
    wrapped: bool,
    open: BTreeMap<Path, u64>,
    delta: Delta,
    restored: Option<Restored>,
    presence: Presence,
    session: i64,
    connected_at: Option<i64>,
    /// When the delta is sent again, and for which time.
    pub(super) plan: Option<(i64, u32)>,
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            reported: Doc::new(),
            desired: Doc::new(),
            declined: Doc::new(),
            version: 0,
            exists: false,
            has_reported: false,
            highest: 0,
            wrapped: false,
            open: BTreeMap::new(),
            delta: Delta::Sent,
            restored: None,
            presence: Presence::Unknown,
            session: 0,
            connected_at: None,
            plan: None,
        }
    }

    fn presence(&self, session: i64) -> Presence {
        if self.session == session { self.presence } else { Presence::Unknown }
    }

    pub(super) fn document(&self, session: i64) -> Value {
        if !self.exists {
            return json!({"desired": {}, "desiredMeta": {}, "reported": {}, "reportedMeta": {},
                "declined": {}, "declinedMeta": {}, "version": 0, "online": null});
        }
        json!({
            "desired": self.desired.on_the_wire(), "desiredMeta": self.desired.meta(),
            "reported": self.reported.on_the_wire(), "reportedMeta": self.reported.meta(),
            "declined": self.declined.on_the_wire(), "declinedMeta": self.declined.meta(),
            "version": self.version,
            "online": match self.presence(session) {
                Presence::Online => json!(true),
                Presence::Offline => json!(false),
                Presence::Unknown => Value::Null,
            },
        })
    }

    /// Of documents never set, the time is that of the twin's creation.
    fn create(&mut self, now: i64) {
        if !self.exists {
            self.exists = true;
            for doc in [&mut self.reported, &mut self.desired, &mut self.declined] {
                doc.timestamp = now;
            }
        }
    }

    fn new_trn(&mut self, now: i64) {
        if self.highest >= LAST_TRN {
            self.highest = 0;
            self.wrapped = true;
            // Their old numbers say nothing any more; they go by what is sent anew.
            for trn in self.open.values_mut() {
                *trn = 1;
            }
        }
        self.highest += 1;
        self.desired.set_trn(self.highest, now);
        self.delta = Delta::Held;
    }

    fn send(&mut self, tell: &mut Vec<Value>, now: i64) {
        self.plan_retry(now, 1);
        let trn = self.desired.trn().unwrap();
        for (path, _) in leaves(&self.desired.state) {
            self.open.insert(path, trn);
        }
        self.delta = Delta::Sent;
        tell.push(json!({"delta": self.desired.on_the_wire()}));
    }

    /// After 30 s, then at doubling intervals, five times.
    fn plan_retry(&mut self, now: i64, attempt: u32) {
        let wait = THIRTY_SECONDS << (attempt - 1);
        self.plan = (attempt <= 5).then_some((now + wait, attempt));
    }

    fn is_open(&self, path: &[String]) -> bool {
        self.open.keys().any(|open| overlap(open, path))
    }

    /// Whether a leaf has to be asked for although the thing may report it already.
    fn is_needed(&self, path: &[String], asked: &Value) -> bool {
        let declined = leaves(&self.declined.state);
        !has(&self.reported.state, path, asked)
            || self.is_open(path)
            || declined.iter().any(|(leaf, _)| overlap(leaf, path))
            || self.restored.is_some()
    }

    fn set(&mut self, members: &Value, now: i64, session: i64) -> Vec<Value> {
        let mut desired = ask_over(Some(&self.desired.state), members, Some(&self.reported.state));
        for (path, asked) in leaves(&desired.clone()) {
            if touches(members, &path) && !self.is_needed(&path, &asked) {
                remove(&mut desired, &path);
            }
        }
        // Taken: that a removal below it need not be asked for leaves an object asked for as it is.
        for (path, pending) in leaves(&self.desired.state) {
            let object = json!({});
            let above = |depth| at(members, &path[..depth]).is_some_and(|new| !new.is_object());
            let is_asked = match at(members, &path) {
                None => pending.is_object() && !(1..path.len()).any(above),
                Some(new) => new.is_object(),
            };
            let stays = pending.is_object() && at(members, &path) != Some(&object);
            let is_plain = at(members, &path) == Some(&object) && self.is_needed(&path, &object);
            if is_asked && at(&desired, &path).is_none() && (stays || is_plain) {
                put(&mut desired, &path, &object);
            }
        }
        let mut tell = vec![json!("UPD")];
        if !same_value(&desired, &self.desired.state) {
            self.create(now);
            self.desired.become_state(desired, now);
            self.version += 1;
            if !self.desired.is_settled() {
                self.new_trn(now);
            }
        }
        if self.presence(session) != Presence::Offline {
            self.send_held(&mut tell, now);
        }
        tell
    }

    fn report(&mut self, report: &Report, now: i64, session: i64) -> Vec<Value> {
        let mut tell = vec![json!("UPD")];
        let first = !self.has_reported;
        self.presence = Presence::Online;
        self.session = session;
        let mut trn = report.trn.map(|trn| u64::from(trn.get()));
        if self.wrapped {
            match (trn, self.desired.trn()) {
                (Some(it), Some(desired)) if it > desired => trn = None,
                (Some(_), _) => self.wrapped = false,
                (None, _) => {}
            }
        }
        let is_state = report.kind == ReportKind::State;
        let members = Value::Object(report.members.clone());
        let mut below = false;
        if let Some(restored) = self.restored {
            if trn >= restored.trn {
                self.restored = None;
            } else if now < restored.at + FIVE_SECONDS {
                below = true;
            }
        }
        if below && is_state {
            self.send_held(&mut tell, now);
            return tell;
        }
        let changes = self.apply(is_state, &members, trn.filter(|_| !below), now);
        if let Some(trn) = trn {
            self.highest = self.highest.max(trn);
            self.open.retain(|_, last| *last > trn);
        }
        let changes = self.settle(is_state, &members, trn, now) || changes;
        self.has_reported = true;
        self.version += u64::from(changes);
        if changes || self.reported.trn().is_some() {
            self.create(now);
        }
        if first && !is_state {
            tell.push(json!("GET"));
        }
        self.send_held(&mut tell, now);
        tell
    }

    fn apply(&mut self, is_state: bool, members: &Value, trn: Option<u64>, now: i64) -> bool {
        let state = if is_state {
            replace(Some(&self.reported.state), members)
        } else {
            merge_patch(&self.reported.state, members)
        };
        if !same_value(&state, &self.reported.state) || trn.is_some() {
            self.create(now);
        }
        if let Some(trn) = trn {
            self.reported.set_trn(trn, now);
        }
        self.reported.become_state(state, now)
    }

    /// What a report does to what was asked.
    fn settle(&mut self, is_state: bool, members: &Value, trn: Option<u64>, now: i64) -> bool {
        let (mut desired, mut declined) = (self.desired.state.clone(), self.declined.state.clone());
        let reaches = trn.is_some() && trn >= self.desired.trn() && self.desired.trn().is_some();
        for (path, asked) in leaves(&self.desired.state) {
            let is_had = has(&self.reported.state, &path, &asked);
            let is_settled = if reaches {
                is_had
            } else {
                (is_state && is_had || !is_state && carries(members, &path, &asked))
                    && (!self.is_open(&path) || self.reported.trn().is_none())
            };
            if is_settled {
                remove(&mut desired, &path);
                for (leaf, _) in leaves(&declined.clone()) {
                    if overlap(&leaf, &path) {
                        remove(&mut declined, &leaf);
                    }
                }
            }
        }
        for (leaf, value) in leaves(&declined.clone()) {
            if has(&self.reported.state, &leaf, &value) {
                remove(&mut declined, &leaf);
            }
        }
        let rest = leaves(&desired);
        if reaches && self.delta == Delta::Sent {
            for (path, value) in &rest {
                put(&mut declined, path, value);
            }
            desired = json!({});
        }
        let changed = self.desired.become_state(desired, now);
        let changed = self.declined.become_state(declined, now) || changed;
        if reaches && self.delta == Delta::Sent {
            // Declined once more is set once more.
            for (path, _) in rest.iter().filter(|(_, value)| !value.is_object()) {
                self.declined.times.insert(path.clone(), now);
            }
            self.declined.timestamp = if rest.is_empty() { self.declined.timestamp } else { now };
        }
        if reaches && self.delta == Delta::Held && !self.desired.is_settled() {
            self.new_trn(now);
        }
        changed
    }

    fn send_held(&mut self, tell: &mut Vec<Value>, now: i64) {
        if !self.desired.is_settled() && self.delta == Delta::Held && self.has_reported {
            self.send(tell, now);
        }
    }

    fn connected(&mut self, now: i64, session: i64) -> Vec<Value> {
        self.presence = Presence::Online;
        self.session = session;
        self.connected_at = Some(now);
        if !self.has_reported {
            return vec![json!("GET")];
        }
        let mut tell = vec![json!({"state": self.reported.on_the_wire()})];
        self.restored = Some(Restored { trn: self.reported.trn(), at: now });
        if !self.desired.is_settled() {
            if self.delta == Delta::Sent {
                self.new_trn(now);
            }
            self.send(&mut tell, now);
        }
        tell
    }

    fn gone(&mut self, now: i64, session: i64) -> Vec<Value> {
        let late = self.connected_at.is_some_and(|at| now < at + FIVE_SECONDS);
        self.presence = if late { Presence::Unknown } else { Presence::Offline };
        self.session = session;
        let mut tell = vec![];
        if late {
            self.send_held(&mut tell, now);
        }
        tell
    }

    /// Not known is not offline: what was held is sent, and what was sent waits for its answer.
    fn resumed(&mut self, now: i64, session: i64) -> Vec<Value> {
        let mut tell = vec![];
        if self.presence(session) != Presence::Offline {
            self.send_held(&mut tell, now);
            self.plan_retry(now, 1);
        }
        tell
    }

    fn retry(&mut self, attempt: u32, now: i64) -> Vec<Value> {
        self.plan_retry(now, attempt + 1);
        vec![json!({"delta": self.desired.on_the_wire()})]
    }

    pub(super) fn apply_event(&mut self, event: &Event, now: i64, session: i64) -> Vec<Value> {
        let was_offline = self.presence(session) == Presence::Offline;
        let tell = self.dispatch(event, now, session);
        let waits = !self.desired.is_settled() && self.delta == Delta::Sent;
        if !waits || self.presence(session) == Presence::Offline {
            self.plan = None;
        } else if was_offline && self.plan.is_none() {
            // Taken: one that is heard again is given the full time.
            self.plan_retry(now, 1);
        }
        tell
    }

    fn dispatch(&mut self, event: &Event, now: i64, session: i64) -> Vec<Value> {
        match event {
            Event::Connected => self.connected(now, session),
            Event::Gone => self.gone(now, session),
            Event::Reported(report) => self.report(report, now, session),
            Event::Set { members, .. } => {
                self.set(&Value::Object((**members).clone()), now, session)
            }
            Event::Get => vec![json!("UPD")],
            Event::Delete => {
                let deleted = self.exists;
                *self = Self::new();
                vec![json!({"deleted": deleted})]
            }
            Event::Resumed { .. } => self.resumed(now, session),
            Event::RetryDue(attempt) => self.retry(*attempt, now),
        }
    }
}

/// Whether a SET speaks of a leaf: of it, of something above it, or of an object that ends there.
fn touches(set: &Value, path: &[String]) -> bool {
    let mut here = set;
    for name in path {
        match here.as_object() {
            Some(members) if members.is_empty() => return true,
            Some(members) => match members.get(name) {
                Some(member) => here = member,
                None => return false,
            },
            None => return true,
        }
    }
    true
}
