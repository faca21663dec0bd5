//! What has come in and is not done: filled by paho's thread, read by the bridge.
//!
//! A message that changes something is on disk before [`Inbox::append`] returns, and is acknowledged to the
//! broker only then; it stays there until it is done, and what came of it is acknowledged by the broker.
//! Requests that change nothing are in memory only: who asks will ask again. So is everything if the
//! inbox is in memory.

mod class;
mod disk;
mod entry;
mod line;
mod read;
mod salvage;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use disk::Disk;
pub use entry::{Entry, EntryError, Incoming, Place};
use line::Line;

/// Where the inbox is, and how much it may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxSettings {
    /// The folder of its file; none for an inbox in memory, which does not outlive the process.
    pub folder: Option<PathBuf>,
    /// Whether each entry is flushed to the device, so that it outlives the loss of power as well.
    pub sync: bool,
    /// The most bytes in it. Above that the bridge disconnects until half of it is dealt with, and the
    /// broker holds the rest.
    pub bytes: u64,
}

/// An inbox that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum InboxError {
    /// Its file cannot be made, read or written.
    #[error("inbox {}: {source}; its folder must be writable and have room", path.display())]
    File {
        /// Where it should be.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// How much the inbox holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// Entries not read yet.
    pub(super) unread: usize,
    /// Entries read and not done.
    pub(super) under_way: usize,
    /// The bytes of all that is kept: on disk, or in memory if it is not there.
    pub(super) bytes: u64,
    /// When the oldest entry that is not over came in, in nanoseconds since 1970.
    pub(super) oldest: Option<crate::protocol::Timestamp>,
}

/// The queue between paho's receive thread and the bridge. Nothing in it is ever dropped.
pub struct Inbox {
    line: Mutex<Line>,
    awake: AtomicBool,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
    limit: u64,
    /// How many entries, and up to which place, earlier lives of the manager left.
    left: usize,
    last: Place,
    session: i64,
}

impl Inbox {
    /// Opens the inbox, with whatever an earlier life of the manager left in it.
    ///
    /// What a loss of power has damaged is cut out, with a warning.
    ///
    /// # Errors
    /// [`InboxError`] if its file cannot be made, read or written.
    pub fn open(settings: &InboxSettings) -> Result<Self, InboxError> {
        let InboxSettings { folder, sync, bytes } = settings;
        let (disk, found) = match folder {
            Some(folder) => {
                let (disk, found) = Disk::open(folder, *sync, *bytes)?;
                (Some(disk), found)
            }
            None => (None, disk::Found::default()),
        };
        Ok(Self {
            line: Mutex::new(Line::new(disk, found)),
            awake: AtomicBool::new(false),
            wake: OnceLock::new(),
            limit: *bytes,
            left: found.entries,
            last: found.last,
            session: found.session,
        })
    }

    /// How many entries an earlier life of the manager left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.left
    }

    /// The last epoch in it; 0 if it is empty. The next one has to be above it.
    #[must_use]
    pub fn last_epoch(&self) -> i64 {
        self.last.epoch
    }

    /// The session at the broker in which its last entry came; 0 if it is empty.
    #[must_use]
    pub fn last_session(&self) -> i64 {
        self.session
    }

    /// Has what comes in from now on be of this epoch, and wake somebody by `wake`, which must neither
    /// block nor panic: paho's thread calls it.
    pub(super) fn begin(&self, epoch: i64, wake: impl Fn() + Send + Sync + 'static) {
        self.line().begin(epoch);
        // Whoever begins twice goes on with the first.
        self.wake.set(Box::new(wake)).ok();
    }

    /// Takes a message in. Called by paho's thread: it waits for nothing but the disk, and for that
    /// only where each entry is flushed.
    pub(super) fn append(&self, message: Incoming) {
        self.line().append(message);
        if !self.awake.swap(true, Ordering::AcqRel)
            && let Some(wake) = self.wake.get()
        {
            wake();
        }
    }

    /// The bridge is about to look; the next message wakes it again.
    pub(super) fn rest(&self) {
        self.awake.store(false, Ordering::Release);
    }

    /// Whether requests that change nothing go before all that waits: the database is away.
    pub(super) fn asks_first(&self) -> bool {
        self.line().asks_first
    }

    /// Whether requests go before what waits, since nothing that waits will be told to them.
    pub(super) fn put_asks_first(&self, asks_first: bool) {
        self.line().asks_first = asks_first;
    }

    /// The next entries, at most `most`, of connections up to `connection`: in order, as long as
    /// fewer than `limit` are under way; beyond that, those whose turn does not depend on it.
    pub(super) fn read(&self, most: usize, limit: usize, connection: u64) -> Vec<Arc<Entry>> {
        let mut line = self.line();
        std::iter::from_fn(|| line.next(limit, connection)).take(most).collect()
    }

    /// Something is published for this entry: it is not over before that is acknowledged.
    pub(super) fn hold(&self, number: u64) {
        self.line().hold(number);
    }

    /// One of the things published for this entry is acknowledged.
    pub(super) fn let_go(&self, number: u64) {
        self.line().let_go(number);
    }

    /// An entry that was read is dealt with. Says whether it was under way.
    pub(super) fn done(&self, number: u64) -> bool {
        self.line().done(number)
    }

    /// Others need not wait for this entry, which is under way.
    pub(super) fn park(&self, number: u64) {
        self.line().park(number);
    }

    /// An entry that is under way; none if it is not, or done.
    ///
    /// # Errors
    /// If it lies on disk only, and cannot be read there.
    pub(super) fn under_way(&self, number: u64) -> io::Result<Option<Arc<Entry>>> {
        self.line().under_way(number)
    }

    /// The number of the last entry, 0 before the first.
    pub(super) fn newest(&self) -> u64 {
        self.line().newest()
    }

    /// Whether every entry up to this one is done.
    pub(super) fn is_done_up_to(&self, number: u64) -> bool {
        self.line().is_done_up_to(number)
    }

    /// How many entries of earlier lives of the manager are not over.
    pub(super) fn still_left(&self) -> usize {
        self.line().left()
    }

    /// How much it holds.
    pub(super) fn load(&self) -> Load {
        self.line().load()
    }

    /// Whether it holds so much that no more should come, and why; what is acknowledged already
    /// is taken in all the same. While it is drained by a connection an eighth more may come.
    pub(super) fn full(&self, is_draining: bool) -> Option<String> {
        let line = self.line();
        if let Some(reason) = line.trouble()
            && (!is_draining || line.lacks_room())
        {
            return Some(reason.to_owned());
        }
        let more = if is_draining { self.limit / 8 + (64 << 10) } else { 0 };
        let (bytes, limit) = (line.load().bytes, self.limit.saturating_add(more));
        (bytes > limit).then(|| format!("it holds {bytes} bytes of {limit}"))
    }

    /// Whether it could not be read or written when that was last tried.
    pub(super) fn is_in_trouble(&self) -> bool {
        self.line().trouble().is_some()
    }

    /// Whether it has room again: half of what it may hold.
    pub(super) fn is_drained(&self) -> bool {
        let line = self.line();
        line.trouble().is_none() && line.load().bytes <= self.limit / 2
    }

    /// Gives back what room can be given back, and tries again what could not be written.
    pub(super) fn tidy(&self) {
        self.line().tidy();
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").field("left", &self.left).finish_non_exhaustive()
    }
}
