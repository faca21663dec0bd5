//! What is sent to a thing, and when: rules 6, 7, 8 and 11.

use serde::Serialize;

use super::{Presence, Retry, Tell, document::State, rules::Step, tree};

impl Step<'_> {
    /// Rule 6: a thing that has reported is sent what it was, and what is asked of it.
    pub(super) fn connected(&mut self) {
        self.twin.presence = Presence::Online;
        self.twin.ledger.connected = Some(self.moment.now);
        if !self.twin.ledger.reported {
            return self.ask_state();
        }
        self.restore();
        if self.is_unsettled() {
            if self.twin.ledger.sent {
                self.renew_trn();
            }
            self.send();
        }
    }

    /// Rule 7: what is asked is held, unless this is a late will of the connection before.
    pub(super) fn gone(&mut self) {
        let late_will = self.twin.ledger.connected.is_some_and(|connected| {
            self.moment.now.apart(connected) < self.moment.rules.late_will
        });
        if late_will {
            self.twin.presence = Presence::Unknown;
            self.send_unsent();
        } else {
            self.twin.presence = Presence::Offline;
            self.retry = Retry::Never;
        }
    }

    /// Asks the thing for all that it is.
    pub(super) fn ask_state(&mut self) {
        self.twin.ledger.asked = true;
        self.tell.push(Tell::AskState);
    }

    /// Gives the thing back what it was.
    fn restore(&mut self) {
        self.twin.ledger.restored = Some(self.twin.reported.trn());
        self.twin.ledger.unheard = true;
        self.tell.push(Tell::ToThing(to_thing("state", &State(&self.twin.reported))));
    }

    /// The start of the manager, or the loss of its session: rules 7 and 11.
    pub(super) fn resumed(&mut self, untold: bool) {
        if untold && self.twin.exists() {
            self.tell_again();
        }
        self.send_unsent();
        if self.is_unsettled() && self.twin.ledger.sent && self.may_hear() {
            self.plan_retry(1);
        }
    }

    /// Rule 11: what the twin's last change may not have told, as it is now. What was sent to the thing goes out
    /// under its old trn; that is no new wish.
    fn tell_again(&mut self) {
        self.answered = true;
        if self.twin.presence == Presence::Offline {
            return;
        }
        if self.twin.ledger.asked {
            self.tell.push(Tell::AskState);
        }
        if self.twin.ledger.unheard {
            // The thing may know of its restore only from now on: so long its defaults may still come.
            self.twin.ledger.connected = Some(self.moment.now);
            self.restore();
        }
        if self.is_unsettled() && self.twin.ledger.sent && self.may_hear() {
            self.tell.push(self.delta());
        }
    }

    /// Rule 8: the same delta again, under its trn.
    pub(super) fn retry(&mut self, attempt: u32) {
        self.retry = Retry::Never;
        if self.is_unsettled() && self.twin.ledger.sent && self.may_hear() {
            self.tell.push(self.delta());
            self.plan_retry(attempt.saturating_add(1));
        }
    }

    pub(super) fn is_unsettled(&self) -> bool {
        !self.twin.desired.members.is_empty()
    }

    /// Whether something sent to the thing now may reach it.
    pub(super) fn may_hear(&self) -> bool {
        self.twin.presence != Presence::Offline && self.twin.ledger.reported
    }

    /// What is desired gets a new trn, under which it has not been sent.
    pub(super) fn renew_trn(&mut self) {
        let trn = self.twin.ledger.next_trn();
        self.twin.desired.set_trn(trn, self.moment.now);
        self.twin.ledger.sent = false;
    }

    pub(super) fn send_unsent(&mut self) {
        if self.is_unsettled() && !self.twin.ledger.sent && self.may_hear() {
            self.send();
        }
    }

    pub(super) fn send(&mut self) {
        let Some(trn) = self.twin.desired.trn() else { return };
        self.twin.ledger.send(tree::leaves(&self.twin.desired.members), trn);
        self.tell.push(self.delta());
        self.plan_retry(1);
    }

    fn delta(&self) -> Tell {
        Tell::ToThing(to_thing("delta", &State(&self.twin.desired)))
    }

    /// A thing that was offline and is heard again may answer: the sending again goes on.
    pub(super) fn resume_retry(&mut self, was: Presence) {
        let waiting = self.is_unsettled() && self.twin.ledger.sent;
        if was == Presence::Offline && waiting && self.retry == Retry::AsPlanned {
            self.plan_retry(1);
        }
    }

    pub(super) fn plan_retry(&mut self, attempt: u32) {
        let rules = self.moment.rules;
        let doublings = attempt.saturating_sub(1);
        self.retry = if attempt > rules.retries {
            Retry::Never
        } else {
            let wait = rules.retry.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX));
            Retry::After(wait, attempt)
        };
    }
}

/// The payload of a `STATE/SET`.
fn to_thing<T: Serialize>(name: &str, state: &T) -> String {
    let text = serde_json::to_string(state).unwrap_or_default();
    format!(r#"{{"{name}":{text}}}"#)
}
