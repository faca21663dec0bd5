//! How a device ends: its last reports, its farewell, and all who wait for that.

use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::Agent;
use crate::{device::State, mqtt::HangUp};

/// How long a device that is closed waits for the broker to take its last reports.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How far the end of a device has come.
#[derive(Default)]
pub(super) enum Ending {
    /// It is not to end.
    #[default]
    Not,
    /// The broker is to take its last reports first.
    LastWords(Vec<oneshot::Sender<()>>),
    /// It takes leave, and does nothing else any more.
    Farewell(Vec<oneshot::Sender<()>>),
}

impl Ending {
    pub(super) fn is_farewell(&self) -> bool {
        matches!(self, Self::Farewell(_))
    }
}

/// The device is to end; who asked may wait for it.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::device) struct Close(pub(in crate::device) Option<oneshot::Sender<()>>);

impl<T: State> Handler<Close> for Agent<T> {
    type Result = ();

    fn handle(&mut self, Close(tell): Close, ctx: &mut Self::Context) {
        match &mut self.ending {
            Ending::LastWords(waiting) | Ending::Farewell(waiting) => waiting.extend(tell),
            Ending::Not => {
                self.ending = Ending::LastWords(Vec::from_iter(tell));
                if self.is_online() {
                    self.report();
                }
                ctx.run_later(LAST_WORDS, Self::take_leave);
                self.end_if_quiet(ctx);
            }
        }
    }
}

impl<T: State> Agent<T> {
    /// Takes leave if that is wanted, and nothing is on its way that the broker may still take.
    pub(super) fn end_if_quiet(&mut self, ctx: &mut Context<Self>) {
        let is_quiet = self.waiting.is_empty() && self.shared.kept().is_quiet();
        if is_quiet || !self.is_online() {
            self.take_leave(ctx);
        }
    }

    fn take_leave(&mut self, ctx: &mut Context<Self>) {
        let Ending::LastWords(waiting) = &mut self.ending else { return };
        self.ending = Ending::Farewell(std::mem::take(waiting));
        self.show_offline();
        let hung_up = self.wire.hang_up.send(HangUp).into_actor(self);
        ctx.spawn(hung_up.map(|_, agent, ctx: &mut Context<Self>| {
            agent.shared.end();
            if let Ending::Farewell(waiting) = &mut agent.ending {
                // Who no longer waits needs no word.
                waiting.drain(..).for_each(|tell| tell.send(()).unwrap_or_default());
            }
            ctx.stop();
        }));
    }
}
