//! What can be had of an inbox whose file is damaged, as after a loss of power: every entry that is whole.
//!
//! It does not ask how the file is made up. An entry is found by how it begins and known to be whole by its
//! checksum; which of them were not over yet, the newest one says. An entry that lies across the file's end is
//! looked for as if the file began again behind its head; so is one across an end that the file had before it
//! grew, for what is damaged may also be a copy that was made while it did.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use memchr::memmem;

use super::{
    disk,
    entry::{Entry, HEAD_BYTES, MAGIC, Place, whole_length},
};

/// Where the ring of elements begins in the file.
const RING_FROM: u64 = 8192;

/// The longest entry that is looked for: longer than any message of MQTT.
const LONGEST: usize = 1 << 29;

/// How much is looked through at once.
const WINDOW: usize = 4 << 20;

/// An entry that was found whole.
#[derive(Clone, Copy, Debug)]
struct Whole {
    place: Place,
    oldest: Place,
    stretch: Stretch,
}

/// A part of the ring: so many bytes from there on, where the ring ends here.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    from: u64,
    length: usize,
    end: u64,
}

/// Puts what is whole of a damaged inbox in its place. The damaged file stays beside it.
pub(super) fn salvage(path: &Path, reason: &str) -> io::Result<()> {
    let mut ring = Ring::open(path)?;
    let live = live(ring.find_all()?);
    let aside = beside(path, "damaged");
    let made = beside(path, "mended");
    fs::remove_file(&made).or_else(none_is_fine)?;
    disk::write_anew(&made, live.iter().map(|whole| ring.read(whole.stretch)))?;
    // At each moment there is an inbox at its place. That the damaged one is kept is of less weight.
    fs::remove_file(&aside).or_else(none_is_fine)?;
    if fs::hard_link(path, &aside).is_err()
        && let Err(error) = fs::copy(path, &aside)
    {
        log::warn!("{}: {error}; the damaged file is not kept", aside.display());
    }
    fs::rename(&made, path)?;
    log::warn!(
        "{} was damaged: {reason}; {} entries are whole and are gone on with, what was behind them is lost; the damaged file is {}, and of no more use",
        path.display(),
        live.len(),
        aside.display()
    );
    Ok(())
}

fn none_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn beside(path: &Path, word: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(word);
    name.into()
}

/// Those that were not over when the newest came, in order, each once.
fn live(mut found: Vec<Whole>) -> Vec<Whole> {
    found.sort_by_key(|whole| whole.place);
    found.dedup_by_key(|whole| whole.place);
    let oldest = found.last().map(|newest| newest.oldest);
    found.retain(|whole| Some(whole.place) >= oldest);
    found
}

/// A damaged file, read as if it went on behind its end where its ring begins.
struct Ring {
    file: BufReader<File>,
    length: u64,
}

impl Ring {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file: BufReader::new(file), length })
    }

    fn find_all(&mut self) -> io::Result<Vec<Whole>> {
        let (mut found, end) = (Vec::new(), self.length);
        let mut from = RING_FROM.min(end);
        while from < end {
            self.find(Stretch { from, length: WINDOW, end }, &mut found)?;
            from += WINDOW as u64;
        }
        for end in former_ends(RING_FROM, end) {
            let from = end - HEAD_BYTES as u64;
            self.find(Stretch { from, length: HEAD_BYTES, end }, &mut found)?;
        }
        Ok(found)
    }

    /// Finds the entries that begin in this stretch.
    fn find(&mut self, within: Stretch, found: &mut Vec<Whole>) -> io::Result<()> {
        // An entry's beginning may lie across the end of the stretch.
        let window = self.read(Stretch { length: within.length + HEAD_BYTES, ..within })?;
        for at in memmem::find_iter(&window, MAGIC).filter(|at| *at < within.length) {
            let from = within.from + at as u64;
            if from < within.end
                && let Some(whole) =
                    self.whole(from, window.get(at..).unwrap_or_default(), within.end)?
            {
                found.push(whole);
            }
        }
        Ok(())
    }

    fn whole(&mut self, from: u64, head: &[u8], end: u64) -> io::Result<Option<Whole>> {
        let Some(length) = whole_length(head).filter(|length| *length <= LONGEST) else {
            return Ok(None);
        };
        let behind = end.min(from.saturating_add(length as u64));
        for end in std::iter::once(end).chain(former_ends(from, behind)) {
            let stretch = Stretch { from, length, end };
            if let Ok(Entry { place, oldest, .. }) = Entry::from_bytes(&self.read(stretch)?) {
                return Ok(Some(Whole { place, oldest, stretch }));
            }
        }
        Ok(None)
    }

    /// The bytes of a stretch, or as many as there are once around.
    fn read(&mut self, Stretch { from, length, end }: Stretch) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let most = u64::try_from(length).unwrap_or(u64::MAX);
        self.file.seek(SeekFrom::Start(from))?;
        let before = most.min(end.saturating_sub(from));
        Read::by_ref(&mut self.file).take(before).read_to_end(&mut bytes)?;
        let left = most.saturating_sub(bytes.len() as u64);
        if left > 0 && from >= RING_FROM {
            self.file.seek(SeekFrom::Start(RING_FROM))?;
            let around = left.min(from - RING_FROM);
            Read::by_ref(&mut self.file).take(around).read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }
}

/// Where the file may have ended before it grew, between these places: it grows by doubling.
fn former_ends(from: u64, behind: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(disk::FLOOR_BYTES), |end| end.checked_mul(2))
        .take_while(move |end| *end < behind)
        .filter(move |end| *end > from)
}
