//! Any bytes as an entry of the inbox, and as damage to its file.
//!
//! The first byte says how the rest is read: as an entry as it stands; as a message, which is written, read, cut off and
//! changed; or as what lies in the file of an inbox, at a place that two bytes give.

use std::{fs, os::unix::fs::FileExt, sync::Arc};

use queue_file::QueueFile;
use twinthing::{
    mqtt::{Entry, Inbox, InboxSettings, Incoming, Place},
    protocol::Timestamp,
};

/// How many entries the file of an inbox has before it is damaged.
const ENTRIES: u64 = 5;

/// Checks one input: how many entries were read from it.
pub fn check(input: &[u8]) -> usize {
    match input.split_first() {
        None => 0,
        Some((kind, rest)) => match kind % 4 {
            0 => as_it_stands(rest),
            1 | 2 => as_a_message(rest),
            _ => as_damage(rest),
        },
    }
}

/// What is read as an entry is written and read again as the same.
fn as_it_stands(bytes: &[u8]) -> usize {
    let Ok(entry) = Entry::from_bytes(bytes) else { return 0 };
    assert_eq!(Entry::from_bytes(&entry.to_bytes()), Ok(entry));
    1
}

/// An entry is read as it was written, and not at all if it is cut off or changed.
fn as_a_message(bytes: &[u8]) -> usize {
    let (numbers, rest) = bytes.split_at(bytes.len().min(4));
    let number = |index: usize| u64::from(numbers.get(index).copied().unwrap_or_default());
    let mut parts = rest.split(|byte| *byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let message = Incoming {
        topic: text(part()),
        payload: part().into(),
        response_topic: (number(0) % 2 == 1).then(|| text(part())),
        correlation: (number(1) % 2 == 1).then(|| part().to_vec()),
        at: Timestamp(number(2) as i64),
        session: number(3) as i64,
        connection: 0,
    };
    let entry = entry(number(0), message);
    let mut written = entry.to_bytes();
    assert_eq!(Entry::from_bytes(&written), Ok(entry));
    let at = (number(1) << 8 | number(2)) as usize % written.len();
    assert!(Entry::from_bytes(&written[..at]).is_err(), "cut off at {at}");
    written[at] ^= (number(3) as u8).max(1);
    assert!(Entry::from_bytes(&written).is_err(), "changed at {at}");
    1
}

/// Whatever has become of the file, the inbox opens, with no more than there was, and once more as it then is.
fn as_damage(bytes: &[u8]) -> usize {
    let (place, damage) = bytes.split_at(bytes.len().min(2));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inbox");
    let mut queue = QueueFile::open(&path).unwrap();
    queue.set_sync_writes(false);
    for number in 1..=ENTRIES {
        queue.add(&small(number).to_bytes()).unwrap();
    }
    drop(queue);
    let length = fs::metadata(&path).unwrap().len();
    let at = place.iter().fold(0, |at, byte| at << 8 | u64::from(*byte)) % length;
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(damage, at).unwrap();
    drop(file);
    let settings =
        InboxSettings { folder: Some(folder.path().into()), sync: false, bytes: 1 << 10 };
    let left = Inbox::open(&settings).unwrap().left();
    assert!(left as u64 <= ENTRIES, "{left} entries of {ENTRIES}");
    assert_eq!(Inbox::open(&settings).unwrap().left(), left, "mended once, it is whole");
    left
}

fn small(number: u64) -> Entry {
    let message = Incoming {
        topic: format!("TNG/{number}/STATE/UPD"),
        payload: b"{\"delta\":{}}".as_slice().into(),
        response_topic: None,
        correlation: None,
        at: Timestamp(0),
        session: 1,
        connection: 0,
    };
    entry(number, message)
}

fn entry(number: u64, message: Incoming) -> Entry {
    let place = Place { epoch: 1, number };
    Entry { place, oldest: Place { epoch: 1, number: 1 }, message: Arc::new(message) }
}
