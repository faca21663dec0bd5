//! A thing's own state, and what its manager has been told of it. Pure: no connection, no clock.

use std::collections::VecDeque;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{StateError, fit::fit, unsaid::Unsaid};
use crate::protocol::{Report, ReportKind, Trn, at, leaves, merge, same_value, without_nulls};

/// What an author says to what is asked: gets the state as it is and as it is wanted, and may change the latter.
pub(super) type Filter<T> = dyn Fn(&T, &mut T) + Send + Sync;

/// The state of a thing, and who knows how much of it.
pub(super) struct Kept<T> {
    state: T,
    /// The same as JSON, without nulls.
    shown: Map<String, Value>,
    /// The trn of what was last asked.
    trn: Option<Trn>,
    /// The trn that has to be answered.
    owed: Option<Trn>,
    unsaid: Unsaid,
    /// The reports that are on their way, by number.
    flying: VecDeque<Flying>,
    /// What changed here since LC/ON, until the state is given back for that: it does not know of it yet.
    fresh: Option<Unsaid>,
}

struct Flying {
    number: u64,
    said: Unsaid,
    answers: Option<Trn>,
}

/// What became of what was asked.
#[derive(Debug, PartialEq)]
pub(super) struct Applied {
    /// The merge patch of what changed.
    pub(super) delta: Map<String, Value>,
    /// Whether all there is has to be said in answer, rather than what was asked.
    pub(super) whole: bool,
}

impl<T: Serialize + DeserializeOwned + Clone> Kept<T> {
    pub(super) fn new(state: T) -> Result<Self, StateError> {
        let shown = show(&state)?;
        Ok(Self {
            state,
            shown,
            trn: None,
            owed: None,
            unsaid: Unsaid::default(),
            flying: VecDeque::new(),
            fresh: None,
        })
    }

    pub(super) fn state(&self) -> &T {
        &self.state
    }

    /// The author changes the state: gives the merge patch of what changed.
    pub(super) fn update(&mut self, state: T) -> Result<Map<String, Value>, StateError> {
        let shown = show(&state)?;
        let mut changes = Unsaid::default();
        changes.mark_changes(&self.shown, &shown);
        (self.state, self.shown) = (state, shown);
        self.unsaid.absorb(&changes);
        if let Some(fresh) = &mut self.fresh {
            fresh.absorb(&changes);
        }
        Ok(changes.patch(&self.shown))
    }

    /// The manager asks. What it asks for is taken as far as it fits the author's type and the filter lets it
    /// through; the rest stays as it is. With `removes`, a `state` takes away what it does not have.
    ///
    /// An answer is owed afterwards: [`Self::report`], or [`Self::whole`], gives it.
    pub(super) fn ask(
        &mut self,
        asked: Report,
        removes: bool,
        filter: &Filter<T>,
    ) -> Result<Applied, StateError> {
        let Report { kind, members: mut patch, trn } = asked;
        let whole = kind == ReportKind::State;
        if whole && let Some(fresh) = self.fresh.take() {
            merge_patches(&mut patch, fresh.patch(&self.shown));
        }
        self.trn = trn.or(self.trn);
        self.owed = trn.or(self.owed);
        let asked = leaves(&patch);
        let base = if whole && removes { Map::new() } else { self.shown.clone() };
        let mut wanted = fit(&self.state, &self.shown, base, patch.clone());
        filter(&self.state, &mut wanted);
        let shown = show(&wanted)?;
        let mut changes = Unsaid::default();
        changes.mark_changes(&self.shown, &shown);
        for path in asked {
            let is_as_asked = match (at(&patch, &path), at(&shown, &path)) {
                (Some(Value::Null) | None, found) => found.is_none(),
                (Some(asked), found) => found.is_some_and(|found| same_value(asked, found)),
            };
            if is_as_asked {
                self.unsaid.mark(path);
            }
        }
        self.unsaid.absorb(&changes);
        let delta = changes.patch(&shown);
        (self.state, self.shown) = (wanted, shown);
        Ok(Applied { delta, whole })
    }

    /// What was asked is refused as a whole: it is answered all the same.
    pub(super) fn refuse(&mut self, asked: &Report) -> Applied {
        self.trn = asked.trn.or(self.trn);
        self.owed = asked.trn.or(self.owed);
        Applied { delta: Map::new(), whole: asked.kind == ReportKind::State }
    }

    /// Whether there is something that the manager has not been told.
    pub(super) fn has_news(&self) -> bool {
        self.owed.is_some() || !self.unsaid.is_empty()
    }

    /// A report under this number of what the manager may not know, an answer if one is owed.
    pub(super) fn report(&mut self, number: u64) -> Report {
        let members = self.unsaid.patch(&self.shown);
        let trn = self.owed;
        self.fly(number);
        Report { kind: ReportKind::Delta, members, trn }
    }

    /// A report under this number of all there is.
    pub(super) fn whole(&mut self, number: u64) -> Report {
        self.fly(number);
        Report { kind: ReportKind::State, members: self.shown.clone(), trn: self.trn }
    }

    fn fly(&mut self, number: u64) {
        let (said, answers) = (std::mem::take(&mut self.unsaid), self.owed.take());
        self.flying.push_back(Flying { number, said, answers });
    }

    /// The broker has this report, or will never take it. Whether it was one.
    pub(super) fn taken(&mut self, number: u64) -> bool {
        let before = self.flying.len();
        self.flying.retain(|flying| flying.number != number);
        self.flying.len() < before
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.flying.is_empty() && !self.has_news()
    }

    /// The connection is lost: what the broker had not taken may not have arrived.
    pub(super) fn lost(&mut self) {
        self.fresh = None;
        let flying = std::mem::take(&mut self.flying);
        flying.iter().for_each(|flying| self.unsaid.absorb(&flying.said));
        // The last one counts: trns may have begun anew.
        self.owed = self.owed.or_else(|| flying.iter().rev().find_map(|flying| flying.answers));
    }

    /// LC/ON has been said. The state that is given back for that does not know of what changes from now on.
    pub(super) fn begin(&mut self) {
        self.fresh = Some(Unsaid::default());
    }

    /// No state is given back for the last LC/ON any more.
    pub(super) fn stand(&mut self) {
        self.fresh = None;
    }
}

/// Puts one patch over another, nulls and all.
fn merge_patches(patch: &mut Map<String, Value>, over: Map<String, Value>) {
    for (name, value) in over {
        match (patch.get_mut(&name), value) {
            (Some(Value::Object(own)), Value::Object(over)) => merge_patches(own, over),
            (_, value) => drop(patch.insert(name, value)),
        }
    }
}

/// A state as JSON: an object, in which what is null is not there.
fn show<T: Serialize>(state: &T) -> Result<Map<String, Value>, StateError> {
    match serde_json::to_value(state) {
        Ok(Value::Object(object)) if object.contains_key("trn") => Err(StateError::Trn),
        Ok(Value::Object(object)) => Ok(without_nulls(object)),
        Ok(other) => Err(StateError::NotAnObject(other.to_string())),
        Err(error) => Err(StateError::NotJson(error.to_string())),
    }
}

/// Applies a merge patch to a copy.
pub(super) fn patched(base: &Map<String, Value>, patch: Map<String, Value>) -> Map<String, Value> {
    let mut base = base.clone();
    merge(&mut base, patch);
    base
}
