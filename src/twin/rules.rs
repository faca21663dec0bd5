//! The rules by which a twin moves: section 3 of `docs/protocol.md`, by the numbers it has there.
//! What is sent to the thing in consequence is in `sending.rs`.

use serde_json::{Map, Value};

use super::{
    Commit, Event, Moment, Outcome, Presence, Refusal, Retry, Tell, Twin,
    ask::{self, Known},
    tree::{self, Leaf, Path},
};
use crate::protocol::{Report, ReportKind, Trn};

impl Twin {
    /// What the twin becomes by an event, and what follows from it.
    ///
    /// # Errors
    /// [`Refusal`] if the event may not be accepted: the twin stays as it is.
    pub fn apply(&self, event: Event, moment: &Moment<'_>) -> Result<(Self, Outcome), Refusal> {
        match event {
            Event::Get => return Ok((self.clone(), self.answer_get(moment))),
            Event::Delete => return Ok(self.deleted()),
            Event::Connected
            | Event::Gone
            | Event::Reported(_)
            | Event::Set { .. }
            | Event::Resumed { .. }
            | Event::RetryDue(_) => {}
        }
        let mut step = Step::new(self.clone(), moment);
        step.forget_presence_of_another_session();
        match event {
            Event::Connected => step.connected(),
            Event::Gone => step.gone(),
            Event::Reported(report) => step.reported(&report),
            Event::Set { members, version } => {
                self.check_version(version)?;
                step.set(&members, self)?;
            }
            Event::Resumed { untold } => step.resumed(untold),
            Event::RetryDue(attempt) => step.retry(attempt),
            Event::Get | Event::Delete => {}
        }
        step.finish(self)
    }

    fn answer_get(&self, moment: &Moment<'_>) -> Outcome {
        let tell = vec![Tell::Twin(self.to_payload(moment.session))];
        Outcome { commit: None, tell, retry: Retry::AsPlanned }
    }

    fn deleted(&self) -> (Self, Outcome) {
        let existed = self.exists();
        let next = Self { revision: self.revision + u64::from(existed), ..Self::new() };
        let commit = existed.then_some(Commit::Delete);
        let tell = vec![Tell::Deleted(existed)];
        (next, Outcome { commit, tell, retry: Retry::Never })
    }

    /// About how many bytes the open leaves take, once what is desired has been sent.
    fn open_size(&self) -> usize {
        self.ledger.size_with(&self.desired.members)
    }

    fn check_version(&self, asked: Option<u64>) -> Result<(), Refusal> {
        match asked {
            Some(asked) if asked != self.version => {
                Err(Refusal::Version { is: self.version, asked })
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// One event's way through a twin.
pub(super) struct Step<'a> {
    pub(super) twin: Twin,
    pub(super) moment: &'a Moment<'a>,
    /// Whether a document changed, other than in its trn.
    changed: bool,
    /// Whether the twin is told at the end.
    pub(super) answered: bool,
    pub(super) tell: Vec<Tell>,
    pub(super) retry: Retry,
}

impl<'a> Step<'a> {
    fn new(twin: Twin, moment: &'a Moment<'a>) -> Self {
        Self {
            twin,
            moment,
            changed: false,
            answered: false,
            tell: Vec::new(),
            retry: Retry::AsPlanned,
        }
    }

    /// Counts what changed, and refuses what would make the twin too large.
    fn finish(mut self, before: &Twin) -> Result<(Twin, Outcome), Refusal> {
        let existed = before.exists();
        if self.changed {
            self.twin.version += 1;
        }
        if self.twin.exists() && !existed {
            self.date_creation();
        }
        let has_news = self.twin.exists() && (self.changed || self.twin != *before);
        let record = has_news.then(|| {
            self.twin.revision += 1;
            Box::new(self.twin.to_record())
        });
        if self.answered {
            let session = self.moment.session;
            let payload = match &record {
                Some(record) => record.to_payload(session),
                None => self.twin.to_payload(session),
            };
            self.check_size(&payload, before)?;
            self.tell.insert(0, Tell::Twin(payload));
        }
        let commit = record.map(Commit::Put);
        Ok((self.twin, Outcome { commit, tell: self.tell, retry: self.retry }))
    }

    /// A twin above the limit, which may have been lowered, can only become smaller. What is held
    /// counts as open already, or a thing that comes back would find its twin above the limit.
    fn check_size(&self, payload: &str, before: &Twin) -> Result<(), Refusal> {
        let bytes = payload.len().saturating_add(self.twin.open_size());
        let limit = self.moment.rules.twin_limit;
        let fits = !self.changed || bytes <= limit;
        let was =
            || before.to_payload(self.moment.session).len().saturating_add(before.open_size());
        if fits || bytes < was() { Ok(()) } else { Err(Refusal::TooLarge { bytes, limit }) }
    }

    /// Refuses what is too large by its paths alone before they are made.
    fn check_paths(&self, before: &Twin) -> Result<(), Refusal> {
        if self.twin.open_size() <= self.moment.rules.twin_limit {
            return Ok(());
        }
        self.check_size(&self.twin.to_payload(self.moment.session), before)
    }

    /// A document that was never set has the time of the twin's creation.
    fn date_creation(&mut self) {
        let twin = &mut self.twin;
        for document in [&mut twin.reported, &mut twin.desired, &mut twin.declined] {
            document.timestamp = self.moment.now;
        }
    }

    fn forget_presence_of_another_session(&mut self) {
        self.twin.presence = self.twin.presence(self.moment.session);
        self.twin.session = self.moment.session;
    }

    /// Rule 3.
    fn set(&mut self, members: &Map<String, Value>, before: &Twin) -> Result<(), Refusal> {
        self.answered = true;
        let Twin { reported, desired, declined, ledger, .. } = &mut self.twin;
        let known = Known {
            reported: &reported.members,
            declined: &declined.members,
            ledger,
            unsure: ledger.restored.is_some(),
        };
        if ask::ask(&mut desired.members, members, &known, self.moment.now) {
            self.changed = true;
            self.check_paths(before)?;
            self.twin.desired.timestamp = self.moment.now;
            if self.is_unsettled() {
                self.renew_trn();
            } else {
                self.retry = Retry::Never;
            }
        }
        self.send_unsent();
        Ok(())
    }

    /// Rules 4 and 6.
    fn reported(&mut self, report: &Report) {
        self.answered = true;
        let was = std::mem::replace(&mut self.twin.presence, Presence::Online);
        let trn = self.twin.ledger.counted(report.trn, self.twin.desired.trn());
        if self.is_default_of_reboot(report.kind, trn) {
            self.send_unsent();
            return self.resume_retry(was);
        }
        self.twin.ledger.unheard = false;
        if !self.twin.ledger.reported && report.kind == ReportKind::Delta {
            self.ask_state();
        }
        self.twin.ledger.reported = true;
        if report.kind == ReportKind::State {
            self.twin.ledger.asked = false;
        }
        let lowers = self.is_rebooting() && report.kind == ReportKind::Delta;
        if let Some(trn) = trn {
            self.twin.ledger.receive(trn);
        }
        self.take_in(report, trn.filter(|trn| !(lowers && Some(*trn) < self.twin.reported.trn())));
        if self.twin.ledger.restored.is_some_and(|restored| restored.is_none() || trn >= restored) {
            self.twin.ledger.restored = None;
        }
        self.settle(report, trn);
        self.forgive();
        self.send_unsent();
        self.resume_retry(was);
    }

    /// Whether the thing may be telling the defaults it woke up with.
    fn is_rebooting(&self) -> bool {
        let ledger = &self.twin.ledger;
        ledger.restored.is_some()
            && ledger.connected.is_some_and(|connected| {
                self.moment.now.apart(connected) < self.moment.rules.reboot
            })
    }

    fn is_default_of_reboot(&self, kind: ReportKind, trn: Option<Trn>) -> bool {
        let restored = self.twin.ledger.restored.flatten();
        self.is_rebooting() && kind == ReportKind::State && trn < restored
    }

    /// Makes reported what the thing says.
    fn take_in(&mut self, report: &Report, trn: Option<Trn>) {
        let now = self.moment.now;
        let reported = &mut self.twin.reported;
        let changed = match report.kind {
            ReportKind::Delta => tree::merge(&mut reported.members, &report.members, now),
            ReportKind::State => tree::replace(&mut reported.members, &report.members, now),
        };
        if changed {
            reported.timestamp = now;
            self.changed = true;
        }
        if let Some(trn) = trn {
            reported.set_trn(trn, now);
        }
    }

    /// Rule 4: what the report settles of what is desired, and what it declines.
    fn settle(&mut self, report: &Report, trn: Option<Trn>) {
        let Some(desired_trn) = self.twin.desired.trn().filter(|_| self.is_unsettled()) else {
            return;
        };
        let reaches = trn.is_some_and(|trn| trn >= desired_trn);
        let answers = reaches && self.twin.ledger.sent;
        let desired = std::mem::take(&mut self.twin.desired.members);
        let mut left = desired.clone();
        for (path, leaf) in tree::leaves(&desired) {
            let has = tree::has(&self.twin.reported.members, &path, leaf);
            if has && (reaches || self.settles(report, &path)) {
                self.settled(&mut left, &path);
            } else if answers {
                self.declined(&mut left, &path, leaf);
            }
        }
        if left.len() != desired.len() || left != desired {
            self.twin.desired.timestamp = self.moment.now;
            self.changed = true;
        }
        self.twin.desired.members = left;
        if !self.is_unsettled() {
            self.retry = Retry::Never;
        } else if reaches {
            self.renew_trn();
        }
    }

    /// Whether a report that answers nothing settles this leaf: it carries it, and is not older
    /// than what was last asked.
    fn settles(&self, report: &Report, path: &[String]) -> bool {
        let carries = report.kind == ReportKind::State || tree::carries(&report.members, path);
        let never_spoke_of_trn = self.twin.reported.trn.is_none();
        carries && (never_spoke_of_trn || !self.twin.ledger.is_open(path))
    }

    fn settled(&mut self, desired: &mut tree::Members, path: &Path) {
        tree::take_out(desired, path);
        if tree::take_out(&mut self.twin.declined.members, path) {
            self.twin.declined.timestamp = self.moment.now;
        }
    }

    fn declined(&mut self, desired: &mut tree::Members, path: &Path, leaf: Leaf<'_>) {
        tree::put(&mut self.twin.declined.members, path, leaf, self.moment.now);
        self.twin.declined.timestamp = self.moment.now;
        tree::take_out(desired, path);
    }

    /// What the thing once declined and now has is not declined any more.
    fn forgive(&mut self) {
        let Twin { reported, declined, .. } = &mut self.twin;
        if tree::take_out_all(&mut declined.members, Some(&reported.members)) {
            declined.timestamp = self.moment.now;
            self.changed = true;
        }
    }
}
