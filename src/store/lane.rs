//! A thread for work that waits for the database, as the actor sees it: one job at a time.

use std::{
    fmt, panic,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use super::fault::Fault;

/// The first pause after a failure; each one after is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What a lane's thread does.
pub(super) trait Work: Send + 'static {
    /// One thing to do.
    type Job: Clone + Send + 'static;
    /// What comes of it.
    type Done: Send + 'static;

    /// Does a job, or gives it up halfway once it is `abandoned`.
    fn run(&mut self, job: &Self::Job, abandoned: &AtomicBool) -> Result<Self::Done, Fault>;
}

/// What a thread has to say of its job.
pub(super) struct Report<W: Work> {
    /// Which of the lane's threads it is: an abandoned one is not listened to.
    pub(super) thread: u64,
    /// What came of the job.
    pub(super) result: Result<W::Done, Fault>,
}

/// A job, and what came of it.
pub(super) type Finished<W> = (<W as Work>::Job, Result<<W as Work>::Done, Fault>);

type Tell<W> = Arc<dyn Fn(Report<W>) + Send + Sync>;

/// A thread and the job it is at.
pub(super) struct Lane<W: Work> {
    name: &'static str,
    /// Makes the worker of a thread that takes another's place.
    make: Box<dyn Fn() -> W>,
    tell: Tell<W>,
    thread: Option<Thread<W::Job>>,
    threads: u64,
    job: Option<(W::Job, Instant)>,
    /// How long its last job took.
    took: Duration,
    trouble: Option<String>,
    pause: Duration,
    rests_until: Option<Instant>,
    last_success: Instant,
}

struct Thread<J> {
    jobs: mpsc::Sender<J>,
    abandoned: Arc<AtomicBool>,
    handle: thread::JoinHandle<()>,
}

impl<W: Work> Lane<W> {
    pub(super) fn new(
        name: &'static str,
        make: impl Fn() -> W + 'static,
        tell: impl Fn(Report<W>) + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            make: Box::new(make),
            tell: Arc::new(tell),
            thread: None,
            threads: 0,
            job: None,
            took: Duration::ZERO,
            trouble: None,
            pause: FIRST_PAUSE,
            rests_until: None,
            last_success: Instant::now(),
        }
    }

    /// Whether it would take a job now: it has none, and does not rest after a failure.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        self.job.is_none() && self.rests_until.is_none_or(|until| until <= now)
    }

    /// How long it has been at its job.
    pub(super) fn busy_for(&self, now: Instant) -> Option<Duration> {
        self.job.as_ref().map(|(_, since)| now.duration_since(*since))
    }

    /// How long its last job took.
    pub(super) fn took(&self) -> Duration {
        self.took
    }

    /// What it is at.
    pub(super) fn job(&self) -> Option<&W::Job> {
        self.job.as_ref().map(|(job, _)| job)
    }

    /// What the database does not do for this lane at present.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// When a job last came to a good end.
    pub(super) fn last_success(&self) -> Instant {
        self.last_success
    }

    /// Gives the thread a job. To be called when it is ready.
    pub(super) fn give(&mut self, job: W::Job, now: Instant) {
        self.job = Some((job.clone(), now));
        if let Err(job) = self.hand_over(job) {
            // The thread has ended, which only a panic makes it do: another takes its place.
            self.thread = None;
            self.hand_over(job).ok();
        }
    }

    fn hand_over(&mut self, job: W::Job) -> Result<(), W::Job> {
        if self.thread.is_none() {
            self.thread = self.spawn();
        }
        match &self.thread {
            Some(thread) => thread.jobs.send(job).map_err(|mpsc::SendError(job)| job),
            None => Err(job),
        }
    }

    /// A thread; none if the system has none left: then the job's time runs out, and it is tried again.
    fn spawn(&mut self) -> Option<Thread<W::Job>> {
        self.threads += 1;
        let (jobs, inbox) = mpsc::channel();
        let abandoned = Arc::new(AtomicBool::new(false));
        let (number, worker) = (self.threads, (self.make)());
        let (tell, flag) = (Arc::clone(&self.tell), Arc::clone(&abandoned));
        let body = move || serve::<W>(number, worker, &inbox, &flag, &tell);
        let handle =
            thread::Builder::new().name(format!("store-{}", self.name)).spawn(body).ok()?;
        Some(Thread { jobs, abandoned, handle })
    }

    /// Takes what a thread reports: the job and what came of it, unless it is an abandoned one's.
    pub(super) fn finish(&mut self, report: Report<W>, now: Instant) -> Option<Finished<W>> {
        if report.thread != self.threads {
            return None;
        }
        let (job, since) = self.job.take()?;
        self.took = now.duration_since(since);
        match &report.result {
            Ok(_) | Err(Fault::Refused(_)) => self.succeeded(now),
            Err(fault) => self.failed(fault.reason().to_owned(), now),
        }
        Some((job, report.result))
    }

    fn succeeded(&mut self, now: Instant) {
        self.trouble = None;
        self.rests_until = None;
        self.pause = FIRST_PAUSE;
        self.last_success = now;
    }

    fn failed(&mut self, reason: String, now: Instant) {
        self.trouble = Some(reason);
        self.rests_until = Some(now + self.pause.mul_f64(0.5 + fastrand::f64()));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// Says that the present job takes too long, though it may yet come to an end.
    pub(super) fn is_slow(&mut self, time: Duration) {
        self.trouble.get_or_insert_with(|| format!("no answer for {:.1} s", time.as_secs_f32()));
    }

    /// Leaves the thread to itself and takes its job back. The next job starts another thread.
    pub(super) fn abandon(&mut self, now: Instant) -> Option<W::Job> {
        let (job, since) = self.job.take()?;
        if let Some(thread) = self.thread.take() {
            thread.abandoned.store(true, Ordering::Release);
        }
        self.threads += 1;
        let time = now.duration_since(since).as_secs_f32();
        self.failed(format!("no answer for {time:.1} s: the connection is given up"), now);
        Some(job)
    }
}

impl<W: Work> Drop for Lane<W> {
    /// Ends the thread, and waits for it if it has nothing to do.
    fn drop(&mut self) {
        let Some(Thread { jobs, abandoned, handle }) = self.thread.take() else { return };
        abandoned.store(true, Ordering::Release);
        drop(jobs);
        if self.job.is_none() {
            handle.join().ok();
        }
    }
}

impl<W: Work> fmt::Debug for Lane<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("name", &self.name).finish_non_exhaustive()
    }
}

fn serve<W: Work>(
    thread: u64,
    mut worker: W,
    jobs: &mpsc::Receiver<W::Job>,
    abandoned: &AtomicBool,
    tell: &Tell<W>,
) {
    while let Ok(job) = jobs.recv() {
        let run = panic::AssertUnwindSafe(|| worker.run(&job, abandoned));
        let caught = panic::catch_unwind(run);
        drop(job);
        let broken = caught.is_err();
        let result = caught.unwrap_or_else(|_panic| Err(Fault::Away("a thread panicked".into())));
        tell(Report { thread, result });
        if broken || abandoned.load(Ordering::Acquire) {
            return;
        }
    }
}
