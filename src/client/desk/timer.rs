//! When something has to be looked at: one timer for all.

use std::time::Instant;

use actix::prelude::*;

use super::{super::question::FOREVER, ClientError, Desk, Of, Withdraw};

impl Desk {
    /// Something of this number has to be looked at then.
    pub(super) fn look_then(&mut self, when: Instant, number: u64, ctx: &mut Context<Self>) {
        self.due.insert((when, number));
        self.set_timer(ctx);
    }

    pub(super) fn set_timer(&mut self, ctx: &mut Context<Self>) {
        let Some((first, _)) = self.due.first().copied() else { return };
        match self.timer.take() {
            Some((when, timer)) if when <= first => self.timer = Some((when, timer)),
            Some((_, timer)) => {
                ctx.cancel_future(timer);
                self.start_timer(first, ctx);
            }
            None => self.start_timer(first, ctx),
        }
    }

    pub(super) fn start_timer(&mut self, when: Instant, ctx: &mut Context<Self>) {
        let wait = when.saturating_duration_since(Instant::now());
        let timer = ctx.run_later(wait.min(FOREVER), |desk, ctx| {
            desk.timer = None;
            let now = Instant::now();
            while let Some((when, number)) = desk.due.first().copied()
                && when <= now
            {
                desk.due.pop_first();
                desk.look(number, now, ctx);
            }
            desk.set_timer(ctx);
        });
        self.timer = Some((when, timer));
    }

    /// Its time has come: it is given up, or asked again.
    pub(super) fn look(&mut self, number: u64, now: Instant, ctx: &mut Context<Self>) {
        if let Some(pending) = self.pending.get(&number) {
            if pending.deadline <= now {
                self.give_up(number);
            } else if pending.again.is_some_and(|again| again <= now) {
                self.ask_again(number, ctx);
            }
        } else if let Some(patience) = self.patience.remove(&number) {
            let (what, why) = ("a subscription".to_owned(), self.why_nothing_comes());
            let timeout = ClientError::Timeout { what, after: patience, why };
            if self.listening.tell_refused(number, timeout) {
                self.let_go(number);
            }
        } else if let Some(Of::Own { topic, patience, tell }) = self.letters.remove(&number) {
            self.wire.do_send(Withdraw(number));
            let (what, why) = (format!("a publish to {topic}"), self.why_nothing_comes());
            // Who no longer waits does not mind.
            tell.send(Err(ClientError::Timeout { what, after: patience, why })).ok();
        }
    }
}
