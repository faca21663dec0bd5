//! Says once when the database goes away, and once when it is back.

use std::time::Instant;

use actix::Recipient;
use log::{error, info};

use super::{Health, Target};

/// Whether the database answers, as far as was told.
pub(super) struct Watch {
    target: Target,
    health: Recipient<Health>,
    away_since: Option<Instant>,
}

impl Watch {
    /// Starts with a database that answers.
    pub(super) fn new(target: Target, health: Recipient<Health>) -> Self {
        Self { target, health, away_since: None }
    }

    /// Takes in what the trouble is at present, if any, and tells if that is news. Whether it is away now.
    pub(super) fn observe(&mut self, trouble: Option<&str>, now: Instant) -> bool {
        match (trouble, self.away_since) {
            (Some(reason), None) => {
                self.away_since = Some(now);
                error!("{} is away, and is tried again: {reason}", self.target);
                self.health.do_send(Health::Away(reason.to_owned()));
            }
            (None, Some(since)) => {
                self.away_since = None;
                let seconds = now.duration_since(since).as_secs_f32();
                info!("{} is back after {seconds:.1} s", self.target);
                self.health.do_send(Health::Here);
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        self.away_since.is_some()
    }
}
