//! What the rules go by beyond the documents: what was sent, what is open, who was there.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use twinthing::{
    protocol::Timestamp,
    twin::{Presence, Rules},
};

use super::{
    json::{Path, leaves, overlap},
    script::since,
    upd::Part,
};

const LAST_TRN: u32 = 0x7fff_ffff;

/// What has happened to a twin so far.
#[derive(Clone, Default)]
pub(super) struct Past {
    pub(super) has_reported: bool,
    /// The highest trn of all.
    highest: u32,
    /// Whether numbering began again, and no report came at or below the new numbers.
    wrapped: bool,
    /// Whether the present delta has been sent.
    pub(super) sent: bool,
    /// When each open leaf was last sent, by trn.
    open: BTreeMap<Path, u32>,
    connected: Option<Timestamp>,
    /// The trn that was restored, until a report reaches it.
    pub(super) restored: Option<Option<u32>>,
    presence: Presence,
    pub(super) session: i64,
}

impl Past {
    pub(super) fn presence(&self, session: i64) -> Presence {
        if session == self.session { self.presence } else { Presence::Unknown }
    }

    pub(super) fn set_presence(&mut self, presence: Presence, session: i64) {
        (self.presence, self.session) = (presence, session);
    }

    pub(super) fn connected(&mut self, now: Timestamp, session: i64) {
        self.connected = Some(now);
        self.set_presence(Presence::Online, session);
    }

    /// Rules 6 and 7: whether LC/ON was less than so long ago.
    fn connected_within(&self, now: Timestamp, span: Duration) -> bool {
        self.connected.is_some_and(|at| since(now.0, at.0) < span)
    }

    pub(super) fn is_rebooting(&self, now: Timestamp, rules: &Rules) -> bool {
        self.restored.is_some() && self.connected_within(now, rules.reboot)
    }

    pub(super) fn may_be_late_will(&self, now: Timestamp, rules: &Rules) -> bool {
        self.connected_within(now, rules.late_will)
    }

    /// Rule 2: after numbering began again a trn above that of desired counts as absent, for a time.
    pub(super) fn counted(&mut self, trn: Option<u32>, desired: Option<u32>) -> Option<u32> {
        if self.wrapped && trn.is_some() && trn > desired {
            return None;
        }
        self.wrapped &= trn.is_none();
        trn
    }

    /// Rule 4: what was sent up to this trn is not open any more.
    pub(super) fn received(&mut self, trn: u32) {
        self.highest = self.highest.max(trn);
        self.open.retain(|_, last| *last > trn);
    }

    /// Rule 2: a new trn is above all others, or begins anew at 1.
    pub(super) fn renewed(&mut self, desired: &Part) {
        let trn = desired.trn.unwrap();
        if self.highest == LAST_TRN {
            assert_eq!(trn, 1);
            self.wrapped = true;
            self.open.values_mut().for_each(|last| *last = 1);
        } else {
            assert!(trn > self.highest, "{trn} is not above {}", self.highest);
        }
        (self.highest, self.sent) = (trn, false);
    }

    pub(super) fn sent(&mut self, desired: &Part) {
        let trn = desired.trn.unwrap();
        self.open.extend(leaves(&desired.state).into_iter().map(|(path, _)| (path, trn)));
        self.sent = true;
    }

    pub(super) fn is_open(&self, path: &[String]) -> bool {
        self.open.keys().any(|open| overlap(open, path))
    }

    /// About the bytes that paths take where they are stored: of what is open, and of what is desired,
    /// which will be. What is open below another is not kept.
    pub(super) fn paths_bytes(&self, desired: &Part) -> usize {
        let mut paths: BTreeSet<_> =
            leaves(&desired.state).into_iter().map(|(path, _)| path).collect();
        paths.extend(self.open.keys().cloned());
        let is_below = |path: &Path| (1..path.len()).any(|end| paths.contains(&path[..end]));
        let kept = paths.iter().filter(|path| !is_below(path));
        kept.map(|path| 8 + path.iter().map(|step| step.len() + 3).sum::<usize>()).sum()
    }
}
