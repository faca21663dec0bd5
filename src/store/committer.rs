//! Group commit: what came while the last transaction ran goes together into the next.

use std::{cell::Cell, sync::Arc, time::Instant};

use log::error;

use super::{
    Commit, Committed, Target, Told,
    counters::Counted,
    fault::Fault,
    lane::{Lane, Report},
    lock::Lock,
    queue::{Batch, Queue},
    told::Tolds,
    writer::{Locked, Write, Writer},
};
use crate::protocol::ThingId;

/// Keeps what is to be committed until it is, and says so to those who wait.
pub(super) struct Committer {
    pub(super) lane: Lane<Writer>,
    queue: Queue,
    /// Halves of a batch that the database refused: they go before the queue.
    ahead: Vec<Batch>,
    session: Option<i64>,
    forget: Option<i64>,
    tolds: Tolds,
    pub(super) counted: Counted,
    /// Whether nothing should be left for later.
    pub(super) is_ending: bool,
    batch_rows: usize,
    batch_bytes: usize,
}

impl Committer {
    pub(super) fn new(lane: Lane<Writer>, batch_rows: usize, batch_bytes: usize) -> Self {
        Self {
            lane,
            queue: Queue::default(),
            ahead: Vec::new(),
            session: None,
            forget: None,
            tolds: Tolds::default(),
            counted: Counted::default(),
            is_ending: false,
            batch_rows,
            batch_bytes,
        }
    }

    pub(super) fn put(&mut self, commit: Commit) {
        self.tolds.void(&commit.id);
        self.queue.put(Arc::new(commit));
    }

    pub(super) fn keep_session(&mut self, session: i64) {
        self.session = Some(session);
    }

    pub(super) fn forget_before(&mut self, epoch: i64) {
        self.forget = Some(epoch);
    }

    pub(super) fn told(&mut self, Told { id, revision }: Told, now: Instant) {
        if !self.queue.has(&id) {
            self.tolds.put(id, revision, now);
        }
    }

    /// Whether a commit of this twin is not over yet.
    pub(super) fn is_about(&self, id: &ThingId) -> bool {
        let has = |batch: &Batch| batch.iter().any(|commit| commit.id == *id);
        let under_way = self.lane.job().is_some_and(|job| match job {
            Write::Twins(batch) => has(batch),
            Write::Told(_) | Write::Session(_) | Write::Forget(_) | Write::Ping => false,
        });
        under_way || self.queue.has(id) || self.ahead.iter().any(has)
    }

    /// Whether there is nothing left to write.
    pub(super) fn is_done(&self) -> bool {
        self.lane.busy_for(Instant::now()).is_none()
            && self.queue.is_empty()
            && self.ahead.is_empty()
            && self.session.is_none()
            && self.forget.is_none()
            && self.tolds.is_empty()
    }

    /// Starts the next transaction, unless one is under way.
    pub(super) fn next(&mut self, now: Instant) {
        if self.lane.is_ready(now)
            && let Some(job) = self.take_job(now)
        {
            self.lane.give(job, now);
        }
    }

    fn take_job(&mut self, now: Instant) -> Option<Write> {
        if let Some(session) = self.session.take() {
            return Some(Write::Session(session));
        }
        if let Some(epoch) = self.forget.take() {
            return Some(Write::Forget(epoch));
        }
        let is_idle = self.ahead.is_empty() && self.queue.is_empty();
        if self.tolds.is_due(is_idle, self.is_ending, now) {
            return Some(Write::Told(self.tolds.take(self.is_ending, now)));
        }
        if let Some(batch) = self.ahead.pop() {
            return Some(Write::Twins(batch));
        }
        let batch = self.queue.take(self.batch_rows, self.batch_bytes);
        (!batch.is_empty()).then_some(Write::Twins(batch))
    }

    /// Takes in what came of a transaction.
    pub(super) fn finished(&mut self, report: Report<Writer>, now: Instant) {
        let Some((job, result)) = self.lane.finish(report, now) else { return };
        match (job, result) {
            (Write::Twins(batch), Ok(())) => {
                self.counted.add(batch.len(), self.lane.took());
                batch.iter().for_each(|commit| answer(commit, None));
            }
            (Write::Twins(batch), Err(Fault::Refused(reason))) => self.isolate(batch, &reason),
            (Write::Session(number), Err(Fault::Refused(reason))) => {
                error!("the number of session {number} was not kept: {reason}");
            }
            (Write::Told(_) | Write::Forget(_), Err(Fault::Refused(reason))) => {
                error!("what is told was not written down, and is told again: {reason}");
            }
            (job, Err(Fault::Lost(_) | Fault::Away(_))) => self.put_back(job, now),
            (Write::Told(_) | Write::Forget(_) | Write::Session(_) | Write::Ping, Ok(())) => {}
            (Write::Ping, Err(Fault::Refused(_))) => {}
        }
    }

    /// Halves a batch that the database refuses, until it is clear which twin it is.
    fn isolate(&mut self, mut batch: Batch, reason: &str) {
        if let [commit] = batch.as_slice() {
            error!("{}: the database does not take this twin: {reason}", commit.id);
            return answer(commit, Some(reason.to_owned()));
        }
        let rest = batch.split_off(batch.len() / 2);
        self.ahead.push(rest);
        self.ahead.push(batch);
    }

    fn put_back(&mut self, job: Write, now: Instant) {
        match job {
            Write::Twins(batch) => {
                while let Some(half) = self.ahead.pop() {
                    self.queue.put_back(half);
                }
                self.queue.put_back(batch);
            }
            Write::Session(number) => {
                self.session.get_or_insert(number);
            }
            Write::Told(told) => {
                for (id, revision) in told {
                    self.told(Told { id, revision }, now);
                }
            }
            Write::Forget(epoch) => {
                self.forget.get_or_insert(epoch);
            }
            Write::Ping => {}
        }
    }

    /// Gives a transaction up that takes too long; it is tried again on another connection.
    pub(super) fn abandon(&mut self, now: Instant) {
        if let Some(job) = self.lane.abandon(now) {
            self.put_back(job, now);
        }
    }
}

/// The lane that commits: its first thread goes on with the connection that is there.
pub(super) fn lane(
    target: &Target,
    lock: Lock,
    connection: Locked,
    tell: impl Fn(Report<Writer>) + Send + Sync + 'static,
) -> Lane<Writer> {
    let (target, lock) = (target.clone(), Arc::new(lock));
    let connection = Cell::new(Some(connection));
    let writer = move || Writer::new(target.clone(), Arc::clone(&lock), connection.take());
    Lane::new("commits", writer, tell)
}

fn answer(commit: &Commit, refused: Option<String>) {
    let (id, revision) = (commit.id.clone(), commit.revision);
    commit.reply.do_send(Committed { id, revision, refused });
}
