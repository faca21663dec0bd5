//! What can be had of an inbox whose file is damaged, as after a loss of power: every entry that is whole.
//!
//! It does not ask how the file is made up. An entry is found by how it begins and known to be whole by its
//! checksum; which of them were not over yet, the newest one says. An entry that lies across the file's end is
//! looked for as if the file began again behind its head.

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
    from: u64,
    length: usize,
}

/// Puts what is whole of a damaged inbox in its place. The damaged file stays beside it.
pub(super) fn salvage(path: &Path, reason: &str) -> io::Result<()> {
    let mut ring = Ring::open(path)?;
    let live = live(ring.find_all()?);
    let aside = beside(path, "damaged");
    let made = beside(path, "mended");
    fs::remove_file(&made).or_else(none_is_fine)?;
    disk::write_anew(&made, live.iter().map(|whole| ring.read(whole.from, whole.length)))?;
    fs::rename(path, &aside)?;
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
        let mut found = Vec::new();
        let mut from = RING_FROM.min(self.length);
        while from < self.length {
            // An entry's beginning may lie across the end of the window.
            let window = self.read(from, WINDOW + HEAD_BYTES)?;
            for at in memmem::find_iter(&window, MAGIC).filter(|at| *at < WINDOW) {
                let place = from + at as u64;
                if place < self.length
                    && let Some(whole) = self.whole(place, window.get(at..).unwrap_or_default())?
                {
                    found.push(whole);
                }
            }
            from += WINDOW as u64;
        }
        Ok(found)
    }

    fn whole(&mut self, from: u64, head: &[u8]) -> io::Result<Option<Whole>> {
        let Some(length) = whole_length(head).filter(|length| *length <= LONGEST) else {
            return Ok(None);
        };
        let bytes = self.read(from, length)?;
        let entry = Entry::from_bytes(&bytes).ok();
        Ok(entry.map(|Entry { place, oldest, .. }| Whole { place, oldest, from, length }))
    }

    /// So many bytes from there on, or as many as there are once around.
    fn read(&mut self, from: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let most = u64::try_from(length).unwrap_or(u64::MAX);
        self.file.seek(SeekFrom::Start(from))?;
        Read::by_ref(&mut self.file).take(most).read_to_end(&mut bytes)?;
        let left = most.saturating_sub(bytes.len() as u64);
        if left > 0 && from >= RING_FROM {
            self.file.seek(SeekFrom::Start(RING_FROM))?;
            let around = left.min(from - RING_FROM);
            Read::by_ref(&mut self.file).take(around).read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }
}
