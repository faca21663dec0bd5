//! A thing's own state, and what its manager has been told of it. Pure: no connection, and time is an argument.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use serde_json::{Map, Value};

use super::{By, Change, State, StateError, fit::fit, state::show, unsaid::Unsaid};
use crate::protocol::{Report, ReportKind, Trn, at, leaves, same_value};

/// How long after the first `state` since LC/ON others may be given back too. The protocol gives as long to the defaults
/// of a reboot.
const GIVING_BACK: Duration = Duration::from_secs(5);

/// What an author says to what is asked: gets the state as it is and as it is wanted, and may change the latter.
pub(super) type Filter<T> = dyn Fn(&T, &mut T) + Send + Sync;

/// The state of a thing, and who knows how much of it.
pub(super) struct Kept<T> {
    state: T,
    /// The same as JSON, without nulls.
    shown: Map<String, Value>,
    /// The trn of what was last asked, or of what was given back since if that is higher.
    trn: Option<Trn>,
    /// The trn that has to be answered.
    owed: Option<Trn>,
    unsaid: Unsaid,
    /// The reports that are on their way, by number.
    flying: VecDeque<Flying>,
    /// What the device itself changed, and nobody has asked for since: for as long as it lives, for a manager that was
    /// away may give back a state from before. It grows with the names of members, not with changes.
    fresh: Unsaid,
    /// When the first `state` since LC/ON came.
    given_back: Option<Instant>,
    /// What observers have not been told, in order. Nothing is kept for them once they have gone.
    changes: Option<Vec<Change<T>>>,
}

struct Flying {
    number: u64,
    said: Unsaid,
    answers: Option<Trn>,
}

impl<T: State> Kept<T> {
    pub(super) fn new(state: T) -> Result<Self, StateError> {
        let shown = show(&state)?;
        Ok(Self {
            state,
            shown,
            trn: None,
            owed: None,
            unsaid: Unsaid::default(),
            flying: VecDeque::new(),
            fresh: Unsaid::default(),
            given_back: None,
            changes: Some(Vec::new()),
        })
    }

    pub(super) fn state(&self) -> &T {
        &self.state
    }

    /// The author changes the state: whether it is another.
    pub(super) fn update(&mut self, state: T) -> Result<bool, StateError> {
        let shown = show(&state)?;
        let changes = self.become_this(By::Device, state, shown);
        self.fresh.absorb(&changes);
        Ok(!changes.is_empty())
    }

    /// The manager asks. What it asks for is taken as far as it fits the author's type and the filter lets it
    /// through; the rest stays as it is. With `removes`, a `state` takes away what it does not have.
    ///
    /// An answer is owed afterwards: [`Self::report`], or [`Self::whole`], gives it.
    ///
    /// # Errors
    /// What was wrong with what the filter made of it. Only what led to that is refused.
    pub(super) fn ask(
        &mut self,
        asked: Report,
        now: Instant,
        removes: bool,
        filter: &Filter<T>,
    ) -> Result<(), StateError> {
        let by = self.hear(&asked, now);
        let Report { kind, members: mut patch, .. } = asked;
        if by == By::Restored {
            put_over(&mut patch, self.fresh.patch(&self.shown));
        }
        let asked = patch.clone();
        if removes && kind == ReportKind::State {
            remove_others(&mut patch, &self.shown);
        }
        let fitted = fit(&self.state, &self.shown, patch, filter);
        let mut settled = self.become_this(by, fitted.state, fitted.shown);
        for path in leaves(&asked) {
            if self.is_as_asked(&asked, &path) {
                self.unsaid.mark(path.clone());
                settled.mark(path);
            }
        }
        if by == By::Asked {
            self.fresh.unmark_all(&settled);
        }
        fitted.wrong.map_or(Ok(()), Err)
    }

    /// Notes when it came and what trn has to be answered, and says whether it is given back or asked.
    ///
    /// A `state` is given back for LC/ON. It comes late if the manager was away, and again if that has started anew, then
    /// with a trn that has been there.
    fn hear(&mut self, asked: &Report, now: Instant) -> By {
        self.owed = asked.trn.or(self.owed);
        if asked.kind == ReportKind::State {
            let first = *self.given_back.get_or_insert(now);
            let known = asked.trn.zip(self.trn).is_some_and(|(trn, known)| trn <= known);
            if known || now.saturating_duration_since(first) < GIVING_BACK {
                self.trn = self.trn.max(asked.trn);
                return By::Restored;
            }
        }
        self.trn = asked.trn.or(self.trn);
        By::Asked
    }

    fn is_as_asked(&self, asked: &Map<String, Value>, path: &[String]) -> bool {
        match (at(asked, path), at(&self.shown, path)) {
            (Some(Value::Null) | None, found) => found.is_none(),
            (Some(asked), found) => found.is_some_and(|found| same_value(asked, found)),
        }
    }

    /// Gives what is different now, which is unsaid.
    fn become_this(&mut self, by: By, state: T, shown: Map<String, Value>) -> Unsaid {
        let mut changes = Unsaid::default();
        changes.mark_changes(&self.shown, &shown);
        (self.state, self.shown) = (state, shown);
        self.unsaid.absorb(&changes);
        if let Some(untold) = &mut self.changes
            && !changes.is_empty()
        {
            let delta = changes.patch(&self.shown);
            untold.push(Change { by, state: self.state.clone(), delta });
        }
        changes
    }

    /// What observers have not been told.
    pub(super) fn take_changes(&mut self) -> Vec<Change<T>> {
        self.changes.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Nobody observes it any more.
    pub(super) fn end_changes(&mut self) {
        self.changes = None;
    }

    fn has_news(&self) -> bool {
        self.owed.is_some() || !self.unsaid.is_empty()
    }

    /// A report under this number of what the manager may not know, an answer if one is owed; none if there is nothing.
    pub(super) fn report(&mut self, number: u64) -> Option<Report> {
        if !self.has_news() {
            return None;
        }
        let (members, trn) = (self.unsaid.patch(&self.shown), self.owed);
        self.fly(number);
        Some(Report { kind: ReportKind::Delta, members, trn })
    }

    /// A report under this number of all there is.
    pub(super) fn whole(&mut self, number: u64) -> Report {
        let trn = self.owed.or(self.trn);
        self.fly(number);
        Report { kind: ReportKind::State, members: self.shown.clone(), trn }
    }

    fn fly(&mut self, number: u64) {
        let (said, answers) = (std::mem::take(&mut self.unsaid), self.owed.take());
        self.flying.push_back(Flying { number, said, answers });
    }

    /// The broker has this report. Whether it was one.
    pub(super) fn taken(&mut self, number: u64) -> bool {
        let before = self.flying.len();
        self.flying.retain(|flying| flying.number != number);
        self.flying.len() < before
    }

    /// The broker will never take this report: the next one says it too, and answers if nothing was asked since.
    pub(super) fn refused(&mut self, number: u64) {
        let place = self.flying.iter().position(|flying| flying.number == number);
        if let Some(flying) = place.and_then(|place| self.flying.remove(place)) {
            self.unsaid.absorb(&flying.said);
            self.owed = self.owed.or(flying.answers.filter(|trn| Some(*trn) == self.trn));
        }
    }

    /// Whether no report is on its way.
    pub(super) fn is_quiet(&self) -> bool {
        self.flying.is_empty()
    }

    /// There is a connection: gives the report, under this number, of what the manager may not know. It goes before
    /// LC/ON, so that the state which is given back for that has it.
    pub(super) fn come(&mut self, number: u64) -> Option<Report> {
        // What was said before is lost as well.
        self.lost();
        self.report(number)
    }

    /// The connection is lost: what the broker had not taken may not have arrived.
    pub(super) fn lost(&mut self) {
        self.given_back = None;
        let flying = std::mem::take(&mut self.flying);
        flying.iter().for_each(|flying| self.unsaid.absorb(&flying.said));
        // The last one counts: trns may have begun anew.
        self.owed = self.owed.or_else(|| flying.iter().rev().find_map(|flying| flying.answers));
    }
}

/// Puts one patch over another, nulls and all.
fn put_over(patch: &mut Map<String, Value>, over: Map<String, Value>) {
    for (name, value) in over {
        match (patch.get_mut(&name), value) {
            (Some(Value::Object(own)), Value::Object(over)) => put_over(own, over),
            (_, value) => drop(patch.insert(name, value)),
        }
    }
}

/// Has a patch take away what it does not have.
fn remove_others(patch: &mut Map<String, Value>, shown: &Map<String, Value>) {
    for (name, value) in shown {
        match (patch.get_mut(name), value) {
            (Some(Value::Object(patch)), Value::Object(shown)) => remove_others(patch, shown),
            (Some(_), _) => {}
            (None, _) => drop(patch.insert(name.clone(), Value::Null)),
        }
    }
}
