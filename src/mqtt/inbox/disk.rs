//! The file that the inbox is in, and the room that is kept free for it.
//!
//! The only place that names queue_file, which does the storing: a ring of elements in one file, which grows
//! when it has to and shrinks when it is empty. What an element is, and how one is told that has not been
//! written to its end, is ours (`entry.rs`).

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use queue_file::{OffsetCacheKind, QueueFile};

use super::{
    InboxError,
    entry::{Entry, Place},
    salvage,
};

/// The file's size while it holds little: it need not grow for the usual peaks.
pub(super) const FLOOR_BYTES: u64 = 8 << 20;

/// The most bytes of the room kept free.
const RESERVE_BYTES: u64 = 16 << 20;

/// An element's position is remembered for each so many of them, to find one by its place in line: so even millions
/// of them are found, as at most 4096 positions are remembered.
const REMEMBER_EACH: usize = 1000;

/// While there are no more than these, each one's is: then nothing is read to give back the room of the first ones.
const REMEMBER_ALL: usize = 4000;

/// The file with the entries, oldest first.
pub(super) struct Disk {
    path: PathBuf,
    sync: bool,
    queue: QueueFile,
    /// Whether it has to be opened again: a write failed, and where the next one would go is not known.
    is_torn: bool,
    reserve: Reserve,
    /// Why the room kept free had to be used; none once it is there again.
    shortage: Option<String>,
}

/// What a file held when it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// How many entries.
    pub(super) entries: usize,
    /// The place of the first of them.
    pub(super) first: Place,
    /// The place of the last of them.
    pub(super) last: Place,
    /// The session at the broker that the last one came in.
    pub(super) session: i64,
}

impl Disk {
    /// Opens the inbox in this folder, or makes it. What has been damaged is cut out, with a warning.
    pub(super) fn open(folder: &Path, sync: bool, limit: u64) -> Result<(Self, Found), InboxError> {
        let path = folder.join("inbox");
        let failed = |source| InboxError::File { path: path.clone(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        let (queue, found) = match open_whole(&path, sync) {
            Ok(opened) => opened,
            Err(Unfit::Io(source)) => return Err(failed(source)),
            Err(Unfit::Damaged(reason)) => {
                salvage::salvage(&path, &reason).map_err(failed)?;
                open_whole(&path, sync).map_err(|unfit| failed(unfit.into()))?
            }
        };
        let mut reserve = Reserve::new(folder, limit);
        // Without it there is less room for what is under way when the disk gets full: no reason not to start.
        if let Err(error) = reserve.take() {
            log::warn!("{}: no room can be kept free for it: {error}", path.display());
        }
        let disk = Self { path, sync, queue, is_torn: false, reserve, shortage: None };
        Ok((disk, found))
    }

    /// Puts an entry behind all others. Should there be no room, the room kept free is used.
    pub(super) fn append(&mut self, entry: &[u8]) -> io::Result<()> {
        let Err(error) = self.add(entry) else { return Ok(()) };
        self.reserve.give();
        self.shortage = Some(error.to_string());
        self.add(entry)
    }

    fn add(&mut self, entry: &[u8]) -> io::Result<()> {
        self.heal()?;
        let entries = self.queue.size();
        let offset = if entries < REMEMBER_ALL { 1 } else { REMEMBER_EACH };
        self.queue.set_cache_offset_policy(OffsetCacheKind::Linear { offset });
        let Err(error) = self.queue.add(entry) else { return Ok(()) };
        self.is_torn = true;
        self.heal()?;
        // It may have failed behind the last thing that had to be written.
        if self.queue.size() > entries { Ok(()) } else { Err(Unfit::from(error).into()) }
    }

    /// What was half written may have moved the file's position, and what the handle has in memory may not be in
    /// the file: a fresh one knows where it is.
    fn heal(&mut self) -> io::Result<()> {
        if self.is_torn {
            self.queue = open_queue(&self.path, self.sync).map_err(io::Error::from)?;
            self.is_torn = false;
        }
        Ok(())
    }

    /// Why the room kept free is in use, if it is.
    pub(super) fn shortage(&self) -> Option<&str> {
        self.shortage.as_deref()
    }

    /// Whether the room kept free is there, or is so again.
    pub(super) fn has_reserve(&mut self) -> bool {
        let has_reserve = self.reserve.take().is_ok();
        if has_reserve {
            self.shortage = None;
        }
        has_reserve
    }

    /// The entries behind the first so many, at most `most` of them and about so many bytes.
    pub(super) fn read(
        &mut self,
        skip: usize,
        most: usize,
        bytes: usize,
    ) -> io::Result<Vec<Entry>> {
        self.heal()?;
        let (mut entries, mut read) = (Vec::new(), 0);
        let mut elements = self.queue.iter();
        let mut next = elements.nth(skip);
        while let Some(element) = next {
            read += element.len();
            entries.push(Entry::from_bytes(&element).map_err(io::Error::other)?);
            if entries.len() >= most || read >= bytes {
                return Ok(entries);
            }
            next = elements.next();
        }
        if skip + entries.len() < self.queue.size() {
            return Err(io::Error::other(format!(
                "entry {} cannot be read",
                skip + entries.len() + 1
            )));
        }
        Ok(entries)
    }

    /// Gives back the room of the first so many entries.
    pub(super) fn remove(&mut self, entries: usize) -> io::Result<()> {
        self.heal()?;
        let before = self.queue.size();
        let Err(error) = self.queue.remove_n(entries) else { return Ok(()) };
        self.is_torn = true;
        self.heal()?;
        if self.queue.size() < before { Ok(()) } else { Err(Unfit::from(error).into()) }
    }

    /// The bytes of all entries.
    pub(super) fn bytes(&self) -> u64 {
        self.queue.used_bytes()
    }
}

/// Why a file is no inbox that one can go on with.
enum Unfit {
    Io(io::Error),
    Damaged(String),
}

impl From<queue_file::Error> for Unfit {
    fn from(error: queue_file::Error) -> Self {
        if let queue_file::Error::Io { source } = error {
            return Self::Io(source);
        }
        Self::Damaged(error.to_string())
    }
}

impl From<Unfit> for io::Error {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Io(error) => error,
            Unfit::Damaged(reason) => Self::other(reason),
        }
    }
}

/// The file, every entry of which can be read.
fn open_whole(path: &Path, sync: bool) -> Result<(QueueFile, Found), Unfit> {
    let queue = open_queue(path, sync)?;
    let found = look_through(&queue)?;
    Ok((queue, found))
}

fn open_queue(path: &Path, sync: bool) -> Result<QueueFile, Unfit> {
    let mut queue = match QueueFile::with_capacity(path, FLOOR_BYTES) {
        Ok(queue) => queue,
        // A file that ends too early is damaged, not out of reach.
        Err(queue_file::Error::Io { source }) if source.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(Unfit::Damaged(source.to_string()));
        }
        Err(error) => return Err(error.into()),
    };
    queue.set_sync_writes(sync);
    queue.set_overwrite_on_remove(false);
    queue.set_cache_offset_policy(OffsetCacheKind::Linear { offset: REMEMBER_EACH });
    Ok(queue)
}

fn look_through(queue: &QueueFile) -> Result<Found, Unfit> {
    let mut found = Found::default();
    let mut elements = queue.iter();
    while let Some(element) = elements.borrowed_next() {
        let damaged = |error| Unfit::Damaged(format!("entry {}: {error}", found.entries + 1));
        let entry = Entry::from_bytes(element).map_err(damaged)?;
        // Its head is older than its entries, in a copy that was made while the ring went around.
        if found.entries > 0 && entry.place <= found.last {
            let at = found.entries + 1;
            return Err(Unfit::Damaged(format!("entry {at} is older than the one before it")));
        }
        let first = if found.entries == 0 { entry.place } else { found.first };
        let entries = found.entries + 1;
        found = Found { entries, first, last: entry.place, session: entry.message.session };
    }
    if found.entries < queue.size() {
        let (read, all) = (found.entries, queue.size());
        return Err(Unfit::Damaged(format!("{read} of {all} entries can be read")));
    }
    Ok(found)
}

/// Puts entries that were found in a damaged file into a new one at `path`.
pub(super) fn write_anew(
    path: &Path,
    entries: impl Iterator<Item = io::Result<Vec<u8>>>,
) -> io::Result<()> {
    let mut queue = open_queue(path, false).map_err(io::Error::from)?;
    for entry in entries {
        queue.add(&entry?).map_err(|error| io::Error::from(Unfit::from(error)))?;
    }
    queue.sync_all().map_err(|error| io::Error::from(Unfit::from(error)))
}

/// A file that is full of nothing: it is given up where the disk has no more room, so that what the
/// broker sends until it is told to stop finds some.
struct Reserve {
    path: PathBuf,
    bytes: u64,
    held: bool,
}

impl Reserve {
    fn new(folder: &Path, limit: u64) -> Self {
        let bytes = RESERVE_BYTES.min(limit / 16);
        Self { path: folder.join("inbox.reserve"), bytes, held: false }
    }

    /// Makes it, unless it is there.
    fn take(&mut self) -> io::Result<()> {
        if self.held {
            return Ok(());
        }
        if fs::metadata(&self.path).is_ok_and(|file| file.len() == self.bytes) {
            self.held = true;
            return Ok(());
        }
        let written = self.fill();
        if written.is_err() {
            self.give();
        }
        self.held = written.is_ok();
        written
    }

    /// Not with zeros, which some file systems keep no room for.
    fn fill(&self) -> io::Result<()> {
        let mut file = File::create(&self.path)?;
        let mut block = vec![0; 64 << 10];
        let mut left = self.bytes;
        while left > 0 {
            fastrand::fill(&mut block);
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
            file.write_all(block.get(..most).unwrap_or_default())?;
            left -= u64::try_from(most).unwrap_or(left);
        }
        file.flush()
    }

    fn give(&mut self) {
        self.held = false;
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            log::error!("{}: {error}", self.path.display());
        }
    }
}
