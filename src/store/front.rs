//! The actor before the database. It never waits: threads do.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::prelude::*;
use tokio::sync::oneshot;

use super::{
    Commit, Count, Counters, Finish, ForgetBefore, Health, ListMembers, ListUnsettled, Load,
    SaveSession, Select, SignOfLife, StoreSettings, Told,
    asker::{Asker, Question},
    committer::{self, Committer},
    lane::{Lane, Report, Work},
    loader::Loader,
    lock::Lock,
    reader::{self, Read, Reader, Readers},
    selector::Selector,
    watch::Watch,
    writer::{Locked, Write, Writer},
};

/// How often the lanes are looked at: retries and time limits are as exact as this.
const TICK: Duration = Duration::from_millis(50);
/// Without a good end to anything for so long, a ping asks whether the database is there.
const PING_AFTER: Duration = Duration::from_secs(1);
/// The committer's connection is used at least this often, as the server drops idle ones.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// A job that takes longer counts as trouble, though it may yet come to an end.
const SLOW: Duration = Duration::from_secs(3);

/// The database, as an actor. Dropping its last address ends it, once all is committed.
pub struct Store {
    committer: Committer,
    loader: Loader,
    asker: Asker,
    selector: Selector,
    watch: Watch,
    commit_timeout: Duration,
    flushes: bool,
    /// Loads that wait for the end of commits.
    held_loads: Vec<Load>,
    /// Who waits until everything is written.
    finishing: Vec<oneshot::Sender<()>>,
}

impl Store {
    pub(super) fn new(
        settings: StoreSettings,
        lock: Lock,
        connection: Locked,
        health: Recipient<Health>,
        ctx: &Context<Self>,
    ) -> Self {
        let StoreSettings { target, batch_rows, batch_bytes, commit_timeout } = settings;
        let readers = Arc::new(Readers::new(target.clone()));
        let commits = committer::lane(&target, lock, connection, tell(ctx, Finished::Commits));
        let loads = reader::lane("loads", &readers, tell(ctx, Finished::Loads));
        let questions = reader::lane("questions", &readers, tell(ctx, Finished::Questions));
        let queries = reader::lane("queries", &readers, tell(ctx, Finished::Queries));
        Self {
            committer: Committer::new(commits, batch_rows, batch_bytes),
            loader: Loader::new(loads),
            asker: Asker::new(questions),
            selector: Selector::new(queries),
            watch: Watch::new(target, health),
            commit_timeout,
            flushes: false,
            held_loads: Vec::new(),
            finishing: Vec::new(),
        }
    }

    /// Does what can be done now, and says how the database does.
    fn go_on(&mut self, now: Instant) {
        for load in std::mem::take(&mut self.held_loads) {
            self.load(load);
        }
        self.committer.next(now);
        self.loader.next(now);
        self.asker.next(now);
        self.selector.next(now);
        let trouble = self
            .committer
            .lane
            .trouble()
            .or_else(|| self.loader.lane.trouble())
            .or_else(|| self.asker.lane.trouble())
            .or_else(|| self.selector.lane.trouble());
        if self.watch.observe(trouble, now) {
            self.selector.forget();
        }
    }

    fn load(&mut self, load: Load) {
        if load.after_commits && self.committer.is_about(&load.id) {
            self.held_loads.push(load);
        } else {
            self.loader.put(load);
        }
    }

    /// Lets what else is in the mailbox go along with this, and then goes on.
    fn flush_soon(&mut self, ctx: &mut Context<Self>) {
        if !self.flushes {
            self.flushes = true;
            ctx.notify(Flush);
        }
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        self.limit_time(now);
        self.go_on(now);
        self.ping(now);
        self.committer.is_ending |= !ctx.connected();
        if !self.committer.is_done() {
            return;
        }
        for tell in self.finishing.drain(..) {
            // Who no longer waits needs no answer.
            tell.send(()).ok();
        }
        if !ctx.connected() {
            ctx.stop();
        }
    }

    fn limit_time(&mut self, now: Instant) {
        let limit = self.commit_timeout;
        if is_over(&mut self.committer.lane, limit, now) {
            self.committer.abandon(now);
        }
        if is_over(&mut self.loader.lane, limit, now) {
            self.loader.abandon(now);
        }
        if is_over(&mut self.asker.lane, limit, now) {
            self.asker.abandon(now);
        }
        if is_over(&mut self.selector.lane, limit, now) {
            self.selector.abandon(now);
        }
    }

    /// Asks an idle database whether it is there, on the lanes that last heard that it is not first.
    fn ping(&mut self, now: Instant) {
        let commits = &mut self.committer.lane;
        if is_due(commits, KEEP_ALIVE, now) {
            commits.give(Write::Ping, now);
        }
        let latest = commits.last_success().max(self.loader.lane.last_success());
        let quiet = now.duration_since(latest) >= PING_AFTER;
        let questions = &mut self.asker.lane;
        if is_due(questions, PING_AFTER, now) && (quiet || questions.trouble().is_some()) {
            questions.give(Read::Ping, now);
        }
        for lane in [&mut self.loader.lane, &mut self.selector.lane] {
            if lane.trouble().is_some() && lane.is_ready(now) {
                lane.give(Read::Ping, now);
            }
        }
    }
}

/// Whether a lane's ping is due: nothing else to do, and trouble or silence.
fn is_due<W: Work>(lane: &Lane<W>, silence: Duration, now: Instant) -> bool {
    let silent = now.duration_since(lane.last_success()) >= silence;
    lane.is_ready(now) && (silent || lane.trouble().is_some())
}

/// Whether a lane's job has had its time. A slow one counts as trouble before that.
fn is_over<W: Work>(lane: &mut Lane<W>, limit: Duration, now: Instant) -> bool {
    let Some(time) = lane.busy_for(now) else { return false };
    if time >= SLOW.min(limit) {
        lane.is_slow(time);
    }
    time >= limit
}

/// Has what a thread reports sent to the actor, if it still lives.
fn tell<W: Work>(
    ctx: &Context<Store>,
    finished: fn(Report<W>) -> Finished,
) -> impl Fn(Report<W>) + Send + Sync + 'static {
    let store = ctx.address().downgrade();
    move |report| {
        if let Some(store) = store.upgrade() {
            store.do_send(finished(report));
        }
    }
}

impl Actor for Store {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(TICK, Self::tick);
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

/// Starts what can be started.
#[derive(Message)]
#[rtype(result = "()")]
struct Flush;

/// A thread has done its job.
#[derive(Message)]
#[rtype(result = "()")]
enum Finished {
    Commits(Report<Writer>),
    Loads(Report<Reader>),
    Questions(Report<Reader>),
    Queries(Report<Reader>),
}

impl Handler<Flush> for Store {
    type Result = ();

    fn handle(&mut self, Flush: Flush, _: &mut Context<Self>) {
        self.flushes = false;
        self.go_on(Instant::now());
    }
}

impl Handler<Finished> for Store {
    type Result = ();

    fn handle(&mut self, finished: Finished, ctx: &mut Context<Self>) {
        let now = Instant::now();
        match finished {
            Finished::Commits(report) => self.committer.finished(report, now),
            Finished::Loads(report) => self.loader.finished(report, now),
            Finished::Questions(report) => self.asker.finished(report, now),
            Finished::Queries(report) => self.selector.finished(report, now),
        }
        self.flush_soon(ctx);
    }
}

impl Handler<Commit> for Store {
    type Result = ();

    fn handle(&mut self, commit: Commit, ctx: &mut Context<Self>) {
        self.committer.put(commit);
        self.flush_soon(ctx);
    }
}

impl Handler<SaveSession> for Store {
    type Result = ();

    fn handle(&mut self, SaveSession(session): SaveSession, ctx: &mut Context<Self>) {
        self.committer.keep_session(session);
        self.flush_soon(ctx);
    }
}

impl Handler<ForgetBefore> for Store {
    type Result = ();

    fn handle(&mut self, ForgetBefore(epoch): ForgetBefore, ctx: &mut Context<Self>) {
        self.committer.forget_before(epoch);
        self.flush_soon(ctx);
    }
}

impl Handler<Told> for Store {
    type Result = ();

    /// It is not urgent: the next look is soon enough.
    fn handle(&mut self, told: Told, _: &mut Context<Self>) {
        self.committer.told(told, Instant::now());
    }
}

impl Handler<SignOfLife> for Store {
    type Result = ();

    fn handle(&mut self, SignOfLife: SignOfLife, _: &mut Context<Self>) {}
}

impl Handler<Count> for Store {
    type Result = Counters;

    fn handle(&mut self, Count: Count, _: &mut Context<Self>) -> Counters {
        self.committer.counted.take()
    }
}

impl Handler<Finish> for Store {
    type Result = ResponseFuture<()>;

    /// Answered at a later look, when what else is on its way has come.
    fn handle(&mut self, Finish: Finish, _: &mut Context<Self>) -> Self::Result {
        let (tell, told) = oneshot::channel();
        self.committer.is_ending = true;
        self.finishing.push(tell);
        Box::pin(async move { drop(told.await) })
    }
}

impl Handler<Load> for Store {
    type Result = ();

    fn handle(&mut self, load: Load, ctx: &mut Context<Self>) {
        self.load(load);
        self.flush_soon(ctx);
    }
}

impl Handler<ListUnsettled> for Store {
    type Result = ();

    fn handle(&mut self, list: ListUnsettled, ctx: &mut Context<Self>) {
        self.asker.put(Question::Unsettled(list));
        self.flush_soon(ctx);
    }
}

impl Handler<ListMembers> for Store {
    type Result = ();

    fn handle(&mut self, list: ListMembers, ctx: &mut Context<Self>) {
        self.asker.put(Question::Members(list));
        self.flush_soon(ctx);
    }
}

impl Handler<Select> for Store {
    type Result = ();

    fn handle(&mut self, select: Select, ctx: &mut Context<Self>) {
        self.selector.put(select);
        self.flush_soon(ctx);
    }
}
