//! A twin, what is known of its past, and what must hold of each step that it takes.

use serde_json::Value;
use twinthing::{
    protocol::{Problem, Timestamp},
    twin::{Commit, Event, Moment, Outcome, Presence, Record, Refusal, Rules, Twin},
};

use super::{change::Change, form::is_answered, past::Past, script::passed, upd::Upd};

/// What a twin that holds nothing has, and what trns and a longer version may add to a full one.
const SLACK_BYTES: usize = 400;

/// What a manager is to one thing.
pub(super) struct Stage {
    twin: Twin,
    past: Past,
    now: Timestamp,
    pub(super) session: i64,
    pub(super) rules: Rules,
    /// Whether the limit was lowered while there was a twin, so that it may be above.
    lowered: bool,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self {
            twin: Twin::new(),
            past: Past::default(),
            now: Timestamp(1_700_000_000_000_000_000),
            session: 1,
            rules: Rules::default(),
            lowered: false,
        }
    }

    pub(super) fn wait(&mut self, step_ns: i64) {
        self.now = Timestamp(passed(self.now.0, step_ns));
    }

    pub(super) fn limit(&mut self, bytes: usize) {
        self.lowered |= bytes < self.rules.twin_limit && self.twin.exists();
        self.rules.twin_limit = bytes;
    }

    /// Rule 9: what was stored is all there is.
    pub(super) fn restart(&mut self) {
        if self.twin.exists() {
            self.twin = Twin::from_record(&self.twin.to_record()).unwrap();
        } else {
            self.twin = Twin::new();
            self.past = Past::default();
        }
    }

    fn upd(&self) -> Upd {
        Upd::read(&self.twin.to_payload(self.session), self.twin.exists())
    }

    /// Says whether the twin took the event.
    pub(super) fn step(&mut self, event: &Event, query: Option<Value>) -> bool {
        let moment = Moment { now: self.now, session: self.session, rules: &self.rules };
        let result = self.twin.apply(event.clone(), &moment);
        let (before, stored) = (self.upd(), self.twin.to_record());
        if self.twin.exists() {
            is_read_back(&self.twin, &stored, &before, self.session);
            let again = Twin::from_record(&stored).unwrap().apply(event.clone(), &moment);
            let outcome = |result: Result<(Twin, Outcome), Refusal>| result.map(|(_, o)| o);
            assert_eq!(outcome(again), outcome(result.clone()), "after a restart");
        }
        match result {
            Ok((twin, outcome)) => {
                self.twin = twin;
                self.took(event, &before, &stored, &outcome);
                true
            }
            Err(refusal) => {
                is_refused_rightly(event, &refusal, &before, &self.rules);
                let (code, message) = (refusal.code(), refusal.to_string());
                is_answered(&Problem { query, code, message });
                false
            }
        }
    }

    fn took(&mut self, event: &Event, before: &Upd, stored: &Record, outcome: &Outcome) {
        let (record, after) = (self.twin.to_record(), self.upd());
        is_counted(event, before, &after, outcome);
        is_committed(event, before, (stored, &record), outcome, self.twin.exists());
        let change = Change {
            before,
            after: &after,
            outcome,
            now: self.now,
            session: self.session,
            rules: &self.rules,
        };
        let (told, retry) = change.follow(event, &mut self.past);
        assert_eq!(change.told(&self.twin.to_payload(self.session)), told, "{event:?}");
        assert_eq!(outcome.retry, retry, "{event:?} {after:?}");
        if after.exists() {
            after.is_dated(before, self.now.0);
        }
        self.is_there_as_known();
        self.fits(&after);
    }

    /// Presence is that of the session in which it was learnt.
    fn is_there_as_known(&self) {
        for session in [self.past.session, self.session, self.session + 1] {
            let presence = self.past.presence(session);
            assert_eq!(self.twin.presence(session), presence);
            let online = match presence {
                Presence::Online if self.twin.exists() => "true",
                Presence::Offline if self.twin.exists() => "false",
                Presence::Online | Presence::Offline | Presence::Unknown => "null",
            };
            let payload = self.twin.to_payload(session);
            assert!(payload.ends_with(&format!(r#","online":{online}}}"#)), "{payload}");
        }
    }

    /// A twin is bounded, with what is open of it or will be.
    fn fits(&mut self, after: &Upd) {
        self.lowered &= self.twin.exists();
        let bytes = after.bytes + self.past.paths_bytes(&after.desired);
        let most = self.rules.twin_limit + SLACK_BYTES;
        assert!(self.lowered || bytes <= most || !self.twin.exists(), "{bytes} of {most} bytes");
    }
}

fn is_read_back(twin: &Twin, record: &Record, upd: &Upd, session: i64) {
    let again = Twin::from_record(record).unwrap();
    assert_eq!(&again.to_record(), record);
    assert_eq!(again.to_payload(session), twin.to_payload(session));
    assert_eq!((again.version(), again.revision()), (twin.version(), twin.revision()));
    assert_eq!(record.unsettled, !upd.desired.state.is_empty());
}

fn is_refused_rightly(event: &Event, refusal: &Refusal, before: &Upd, rules: &Rules) {
    let version = match event {
        Event::Set { version, .. } => version.filter(|version| *version != before.version),
        Event::Reported(_) => None,
        Event::Connected
        | Event::Gone
        | Event::Get
        | Event::Delete
        | Event::Resumed { .. }
        | Event::RetryDue(_) => panic!("{event:?} is refused"),
    };
    match refusal {
        Refusal::Version { is, asked } => {
            assert_eq!((Some(*asked), *is), (version, before.version));
        }
        Refusal::TooLarge { bytes, limit } => {
            assert_eq!((version, *limit), (None, rules.twin_limit));
            assert!(bytes > limit);
        }
    }
}

/// The version counts what changed the documents, which only SETs, reports and DEL do.
fn is_counted(event: &Event, before: &Upd, after: &Upd, outcome: &Outcome) {
    let changed = before.states() != after.states();
    match event {
        Event::Delete => {
            assert_eq!(after.version, 0);
            return;
        }
        Event::Set { version, .. } => {
            assert!(version.is_none_or(|version| version == before.version));
        }
        Event::Reported(_) => {}
        Event::Get => assert_eq!((before, outcome.commit.as_ref()), (after, None)),
        Event::Connected | Event::Gone | Event::Resumed { .. } | Event::RetryDue(_) => {
            assert!(!changed);
        }
    }
    assert_eq!(after.version, before.version + u64::from(changed), "{before:?} {after:?}");
}

/// What differs from what was stored is committed, under the next revision, and nothing else is.
fn is_committed(
    event: &Event,
    before: &Upd,
    (was, is): (&Record, &Record),
    outcome: &Outcome,
    exists: bool,
) {
    let mut same_revision = is.clone();
    same_revision.revision = was.revision;
    let wanted = if *event == Event::Delete {
        before.exists().then_some(Commit::Delete)
    } else {
        (exists && same_revision != *was).then(|| Commit::Put(Box::new(is.clone())))
    };
    assert_eq!(outcome.commit, wanted, "{event:?} {was:?} {is:?}");
    assert_eq!(is.revision, was.revision + u64::from(wanted.is_some()));
}
