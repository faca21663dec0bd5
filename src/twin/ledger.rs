//! What was sent to a thing and is not answered, and what else the rules remember of it.

use std::{collections::BTreeMap, ops::Bound};

use serde::{Deserialize, Serialize};

use super::tree::{self, Leaf, Members, Path};
use crate::protocol::{Timestamp, Trn};

/// What the rules need beyond the documents.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ledger {
    /// The highest trn sent or received.
    pub(super) highest: u32,
    /// Whether numbering has begun anew, and no report has answered under it yet.
    pub(super) wrapped: bool,
    /// Whether the present delta, the one under desired's trn, has been sent.
    pub(super) sent: bool,
    /// The open leaves, with the trn under which each was last sent.
    pub(super) open: BTreeMap<Path, Trn>,
    /// Whether the thing has ever reported.
    pub(super) reported: bool,
    /// Whether the thing was asked for its whole state, and has not told it since.
    pub(super) asked: bool,
    /// When the thing last said LC/ON.
    pub(super) connected: Option<Timestamp>,
    /// The trn of the state that it was sent then, until it reports at or above it.
    pub(super) restored: Option<Option<Trn>>,
    /// Whether nothing that counts was heard of it since.
    pub(super) unheard: bool,
}

impl Ledger {
    /// The next trn. Past the end it starts again, and what is open counts as sent under the new one.
    pub(super) fn next_trn(&mut self) -> Trn {
        if let Some(next) = Trn::new(self.highest.saturating_add(1)) {
            self.highest = next.get();
            return next;
        }
        self.highest = 1;
        self.wrapped = true;
        let first = Trn::FIRST;
        self.open.values_mut().for_each(|trn| *trn = first);
        first
    }

    /// The trn of a report, if it counts: above desired's it does not while numbering has just begun
    /// anew.
    pub(super) fn counted(&mut self, trn: Option<Trn>, desired: Option<Trn>) -> Option<Trn> {
        let trn = trn?;
        if self.wrapped && desired.is_some_and(|desired| trn > desired) {
            return None;
        }
        self.wrapped = false;
        Some(trn)
    }

    /// Takes in the trn of a report: what was sent up to it is answered.
    pub(super) fn receive(&mut self, trn: Trn) {
        self.highest = self.highest.max(trn.get());
        self.open.retain(|_, last| *last > trn);
    }

    /// Whether the leaf at the path is open, or one above or below it.
    pub(super) fn is_open(&self, path: &[String]) -> bool {
        (1..=path.len())
            .any(|end| path.get(..end).is_some_and(|above| self.open.contains_key(above)))
            || self.first_from(Bound::Included(path)).is_some()
    }

    /// The first open leaf from the path on, if it is at the path or below it.
    fn first_from(&self, path: Bound<&[String]>) -> Option<&Path> {
        let (Bound::Included(top) | Bound::Excluded(top)) = path else { return None };
        let (first, _) = self.open.range::<[String], _>((path, Bound::Unbounded)).next()?;
        first.starts_with(top).then_some(first)
    }

    /// Remembers that these leaves go out under this trn. What is open below one of them is open
    /// as long as that one: it need not be remembered.
    pub(super) fn send(&mut self, leaves: Vec<(Path, Leaf<'_>)>, trn: Trn) {
        self.sent = true;
        for (path, _) in leaves {
            while let Some(below) = self.first_from(Bound::Excluded(&path)).cloned() {
                self.open.remove(&below);
            }
            self.open.insert(path, trn);
        }
    }

    /// About how many bytes the open leaves take where they are stored, once `desired` is sent too.
    pub(super) fn size_with(&self, desired: &Members) -> usize {
        let others = self.open.keys().filter(|path| !tree::is_leaf(desired, path));
        let sizes = others.map(|path| path.iter().map(|step| tree::step_size(step)).sum());
        sizes.map(tree::path_size).fold(tree::paths_size(desired), usize::saturating_add)
    }

    pub(super) fn to_text(&self) -> String {
        let stored = Stored {
            highest: self.highest,
            wrapped: self.wrapped,
            sent: self.sent,
            open: self.open.iter().map(|(path, trn)| (path.clone(), trn.get())).collect(),
            reported: Some(self.reported),
            asked: self.asked,
            connected: self.connected.map(|at| at.0),
            restored: self.restored.map(|trn| trn.map(Trn::get)),
            unheard: self.unheard,
        };
        serde_json::to_string(&stored).unwrap_or_default()
    }

    /// Reads what [`Self::to_text`] wrote. A twin of the original manager has nothing there:
    /// `has_reported` tells what its documents show.
    pub(super) fn parse(text: &str, has_reported: bool) -> Result<Self, serde_json::Error> {
        let text = if text.is_empty() { "{}" } else { text };
        let stored: Stored = serde_json::from_str(text)?;
        let open = stored.open.into_iter();
        Ok(Self {
            highest: stored.highest,
            wrapped: stored.wrapped,
            sent: stored.sent,
            open: open.filter_map(|(path, trn)| Some((path, Trn::new(trn)?))).collect(),
            reported: stored.reported.unwrap_or(has_reported),
            asked: stored.asked,
            connected: stored.connected.map(Timestamp),
            restored: stored.restored.map(|trn| trn.and_then(Trn::new)),
            unheard: stored.unheard,
        })
    }
}

/// The ledger as it is stored.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct Stored {
    highest: u32,
    wrapped: bool,
    sent: bool,
    open: Vec<(Path, u32)>,
    reported: Option<bool>,
    #[serde(skip_serializing_if = "is_false")]
    asked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    connected: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", with = "double_option")]
    restored: Option<Option<u32>>,
    #[serde(skip_serializing_if = "is_false")]
    unheard: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Tells `null`, restored without a trn, from a member that is not there.
mod double_option {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        value: &Option<Option<u32>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.unwrap_or_default().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<u32>>, D::Error> {
        Option::deserialize(deserializer).map(Some)
    }
}
