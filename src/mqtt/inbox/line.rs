//! Who waits, whose turn it is, and what is under way: the inbox without its lock.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::Arc,
};

use super::{
    Entry, Incoming, Load, Place,
    class::{Class, bytes},
    disk::{Disk, Found},
    read::Read,
};

/// The most bytes of waiting entries that are in memory as well as on disk. The others are read again.
const IN_MEMORY_BYTES: usize = 16 << 20;

/// The most bytes that may be under way at once.
const UNDER_WAY_BYTES: usize = 64 << 20;

/// How many entries are read from disk at once.
const READ: usize = 1000;

/// How many entries are over before their room is given back, unless nothing else is under way.
const GIVE_BACK: usize = 128;

/// What waits and what is under way.
pub(super) struct Line {
    epoch: i64,
    newest: u64,
    /// The last connection that something came by.
    connection: u64,
    disk: Option<Disk>,
    /// A place that is not above that of the first entry on disk that is not over.
    oldest: Place,
    /// How many entries of earlier epochs are not over.
    left: usize,
    /// Why it could not be read or written when that was last tried.
    trouble: Option<String>,
    /// Changes that wait and are in memory, the first ones of all that wait on disk.
    changes: VecDeque<Arc<Entry>>,
    /// How many wait behind these, on disk only.
    on_disk: usize,
    /// Changes for which the disk had no room, behind those.
    unstored: VecDeque<Arc<Entry>>,
    asks: VecDeque<Arc<Entry>>,
    pings: VecDeque<Arc<Entry>>,
    /// Whether asks go before what waits.
    pub(super) asks_first: bool,
    /// Entries on disk that were read, by number; as they lie there.
    stored: BTreeMap<u64, Read>,
    /// How many before these are over, and still there.
    over: usize,
    /// Entries in memory only that were read.
    unkept: BTreeMap<u64, Read>,
    /// How many of both others wait for, and their bytes.
    working: usize,
    working_bytes: usize,
    /// The bytes of `changes`, and of all that is in memory only.
    changes_bytes: usize,
    unkept_bytes: usize,
}

impl Line {
    pub(super) fn new(disk: Option<Disk>, found: Found) -> Self {
        Self {
            epoch: 0,
            newest: found.last.number,
            connection: 0,
            disk,
            oldest: found.first,
            left: found.entries,
            trouble: None,
            changes: VecDeque::new(),
            on_disk: found.entries,
            unstored: VecDeque::new(),
            asks: VecDeque::new(),
            pings: VecDeque::new(),
            asks_first: false,
            stored: BTreeMap::new(),
            over: 0,
            unkept: BTreeMap::new(),
            working: 0,
            working_bytes: 0,
            changes_bytes: 0,
            unkept_bytes: 0,
        }
    }

    pub(super) fn begin(&mut self, epoch: i64) {
        self.epoch = epoch;
    }

    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// Takes a message in under the next number.
    pub(super) fn append(&mut self, message: Incoming) {
        self.newest += 1;
        self.connection = message.connection;
        let place = Place { epoch: self.epoch, number: self.newest };
        let (class, size) = (Class::of(&message.topic), bytes(&message));
        self.oldest = self.oldest(place);
        let entry = Arc::new(Entry { place, oldest: self.oldest, message: Arc::new(message) });
        match class {
            Class::Change if self.disk.is_some() => return self.store(entry, size),
            Class::Change => self.unstored.push_back(entry),
            Class::Ask => self.asks.push_back(entry),
            Class::Ping => self.pings.push_back(entry),
        }
        self.unkept_bytes += size;
    }

    /// The first place on disk that is not over, or one before it; `own` if there is none.
    fn oldest(&self, own: Place) -> Place {
        let read = self.stored.values().next().map(|read| read.place);
        let first = read.or_else(|| self.changes.front().map(|entry| entry.place));
        let on_disk = (self.on_disk > 0).then_some(self.oldest);
        first.or(on_disk).unwrap_or(own)
    }

    fn store(&mut self, entry: Arc<Entry>, size: usize) {
        self.store_rest();
        if self.unstored.is_empty() && self.write(&entry) {
            self.keep_in_memory(entry, size);
        } else {
            self.unkept_bytes += size;
            self.unstored.push_back(entry);
        }
    }

    /// Writes an entry behind all others; where that fails, or takes the room kept free, says why in `trouble`.
    fn write(&mut self, entry: &Entry) -> bool {
        let Some(disk) = &mut self.disk else { return false };
        match disk.append(&entry.to_bytes()) {
            Ok(()) => {
                if let Some(reason) = disk.shortage() {
                    self.trouble = Some(reason.to_owned());
                }
                true
            }
            Err(error) => {
                self.trouble = Some(error.to_string());
                false
            }
        }
    }

    /// Writes what the disk had no room for.
    fn store_rest(&mut self) {
        if self.disk.is_none() {
            return;
        }
        while let Some(entry) = self.unstored.front().map(Arc::clone)
            && self.write(&entry)
        {
            let size = bytes(&entry.message);
            self.unstored.pop_front();
            self.unkept_bytes -= size;
            self.keep_in_memory(entry, size);
        }
    }

    /// An entry on disk is kept in memory too, if there is room and it is the next to be read there.
    fn keep_in_memory(&mut self, entry: Arc<Entry>, size: usize) {
        if self.on_disk == 0 && self.changes_bytes + size <= IN_MEMORY_BYTES {
            self.changes_bytes += size;
            self.changes.push_back(entry);
        } else {
            self.on_disk += 1;
        }
    }

    /// Reads more of what waits on disk only, once nothing before it waits in memory.
    fn read_on(&mut self) {
        if !self.changes.is_empty() || self.on_disk == 0 {
            return;
        }
        let Some(disk) = &mut self.disk else { return };
        let skip = self.over + self.stored.len();
        match disk.read(skip, READ.min(self.on_disk), IN_MEMORY_BYTES) {
            Ok(mut entries) => {
                entries.iter_mut().for_each(|entry| self.take_for_the_last(entry));
                self.on_disk -= entries.len();
                self.changes_bytes +=
                    entries.iter().map(|entry| bytes(&entry.message)).sum::<usize>();
                self.changes.extend(entries.into_iter().map(Arc::new));
            }
            Err(error) => {
                self.trouble = Some(format!("reading: {error}; a restart mends it if it can be"));
            }
        }
    }

    /// By which connection an entry of this life came is not on disk: the last one is late enough.
    fn take_for_the_last(&self, entry: &mut Entry) {
        if entry.place.epoch == self.epoch
            && let Some(message) = Arc::get_mut(&mut entry.message)
        {
            message.connection = self.connection;
        }
    }

    /// Whose turn it is: pings always, asks and changes in order while there is room.
    pub(super) fn next(&mut self, limit: usize, connection: u64) -> Option<Arc<Entry>> {
        self.read_on();
        let room = self.working < limit && self.working_bytes < UNDER_WAY_BYTES;
        let ready = |entry: Option<&Arc<Entry>>| {
            let first = entry.filter(|entry| entry.message.connection <= connection)?;
            Some(first.place.number)
        };
        let behind = self.changes.is_empty() && self.on_disk == 0;
        let unstored = self.unstored.front().filter(|_| behind);
        let change = ready(self.changes.front().or(unstored));
        let ask = ready(self.asks.front());
        let asks_now =
            ask.is_some() && (self.asks_first || (room && (change.is_none() || ask < change)));
        let entry = if ready(self.pings.front()).is_some() {
            self.pings.pop_front()
        } else if asks_now {
            self.asks.pop_front()
        } else if room && change.is_some() {
            return self.next_change();
        } else {
            None
        }?;
        self.start(&entry, false);
        Some(entry)
    }

    fn next_change(&mut self) -> Option<Arc<Entry>> {
        if let Some(entry) = self.changes.pop_front() {
            self.changes_bytes -= bytes(&entry.message);
            self.start(&entry, true);
            return Some(entry);
        }
        let entry = self.unstored.pop_front()?;
        self.start(&entry, false);
        Some(entry)
    }

    fn start(&mut self, entry: &Arc<Entry>, is_stored: bool) {
        let read = Read::new(entry);
        self.working += 1;
        self.working_bytes += read.size;
        let map = if is_stored { &mut self.stored } else { &mut self.unkept };
        map.insert(entry.place.number, read);
    }

    fn read_mut(&mut self, number: u64) -> Option<&mut Read> {
        match self.stored.get_mut(&number) {
            Some(read) => Some(read),
            None => self.unkept.get_mut(&number),
        }
    }

    /// An entry that was read and is not done; from disk, if it is no longer in memory.
    pub(super) fn under_way(&mut self, number: u64) -> io::Result<Option<Arc<Entry>>> {
        let read = self.read_mut(number).filter(|read| !read.is_done);
        match (read.map(|read| read.entry.clone()), &mut self.disk) {
            (Some(None), Some(disk)) => {
                let before = self.over + self.stored.range(..number).count();
                Ok(disk.read(before, 1, 0)?.into_iter().next().map(Arc::new))
            }
            (read, _) => Ok(read.flatten()),
        }
    }

    pub(super) fn hold(&mut self, number: u64) {
        if let Some(read) = self.read_mut(number) {
            read.holds += 1;
        }
    }

    pub(super) fn let_go(&mut self, number: u64) {
        if let Some(read) = self.read_mut(number) {
            read.holds = read.holds.saturating_sub(1);
            self.give_back(number);
        }
    }

    pub(super) fn done(&mut self, number: u64) -> bool {
        let Some(read) = self.read_mut(number).filter(|read| !read.is_done) else { return false };
        read.is_done = true;
        read.entry = None;
        self.park(number);
        self.give_back(number);
        true
    }

    /// Others need not wait for this one.
    pub(super) fn park(&mut self, number: u64) {
        if let Some(read) = self.stored.get_mut(&number) {
            read.entry = None;
        }
        let Some(read) = self.read_mut(number) else { return };
        if std::mem::take(&mut read.is_counted) {
            let size = read.size;
            self.working -= 1;
            self.working_bytes -= size;
        }
    }

    /// Forgets an entry that is over, and gives back the room of those that lie first on disk.
    fn give_back(&mut self, number: u64) {
        if self.unkept.get(&number).is_some_and(Read::is_over)
            && let Some(read) = self.unkept.remove(&number)
        {
            self.unkept_bytes -= read.size;
        }
        while self.stored.first_key_value().is_some_and(|(_, read)| read.is_over()) {
            if let Some((_, read)) = self.stored.pop_first() {
                self.left -= usize::from(read.place.epoch < self.epoch);
            }
            self.over += 1;
        }
        if self.over >= GIVE_BACK || self.stored.is_empty() {
            self.remove_over();
        }
    }

    fn remove_over(&mut self) {
        if self.over > 0
            && let Some(disk) = &mut self.disk
        {
            match disk.remove(self.over) {
                Ok(()) => self.over = 0,
                // They are read and passed over at the next start.
                Err(error) => self.trouble = Some(error.to_string()),
            }
        }
    }

    pub(super) fn is_done_up_to(&self, number: u64) -> bool {
        let queues = [&self.changes, &self.unstored, &self.asks, &self.pings];
        let waiting = queues.into_iter().filter_map(|queue| queue.front());
        let open = |map: &BTreeMap<u64, Read>| {
            map.iter().find(|(_, read)| read.is_open()).map(|(number, _)| *number)
        };
        let working = [open(&self.stored), open(&self.unkept)].into_iter().flatten();
        self.on_disk == 0
            && waiting.map(|entry| entry.place.number).chain(working).all(|open| open > number)
    }

    /// How many entries of earlier epochs are not over.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Why it cannot be read or written at present.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Whether something is in memory only because there is no room for it.
    pub(super) fn lacks_room(&self) -> bool {
        self.disk.is_some() && !self.unstored.is_empty()
    }

    /// Gives back what room can be given back, and tries again what went wrong.
    pub(super) fn tidy(&mut self) {
        self.remove_over();
        if self.trouble.is_some() {
            self.store_rest();
            let has_reserve = self.disk.as_mut().is_none_or(Disk::has_reserve);
            if self.unstored.is_empty() && has_reserve {
                self.trouble = None;
            }
        }
    }

    pub(super) fn load(&self) -> Load {
        let queues = [&self.changes, &self.unstored, &self.asks, &self.pings];
        let in_memory: usize = queues.iter().map(|queue| queue.len()).sum();
        let stored = self.disk.as_ref().map_or(0, Disk::bytes);
        let first = self.stored.values().next().map(|read| read.at);
        let waiting = self.changes.front().or(self.unstored.front());
        Load {
            unread: in_memory + self.on_disk,
            under_way: self.working,
            bytes: stored + self.unkept_bytes as u64,
            oldest: first.or_else(|| waiting.map(|entry| entry.message.at)),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.remove_over();
    }
}
