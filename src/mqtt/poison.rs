//! Messages on which the service panicked: each is kept in a file of its own, for a person to look at.
//!
//! A file holds a line with the reason and, behind it, the entry as it was in the inbox. Whoever wants it tried
//! again has it renamed ([`PoisonFolder::retry`]); the manager takes it in again as if it had just come.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use actix::prelude::*;

use super::{Entry, Inbox, Incoming};
use crate::protocol::Timestamp;

/// The most messages that are kept.
const MOST: usize = 1000;

/// The service panicked on the message of this number, which is under way.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Poison {
    /// Its number in the inbox.
    pub number: u64,
    /// What happened, in one line.
    pub reason: String,
}

/// The folder of the messages that were set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoisonFolder(pub PathBuf);

/// A message that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// What it is called: the epoch and number it had in the inbox.
    pub id: String,
    /// What happened.
    pub reason: String,
    /// The message.
    pub message: Arc<Incoming>,
    /// Whether it is going to be tried again.
    pub is_retried: bool,
}

/// How the file of a message ends.
const KEPT: &str = "poison";
/// How it ends once it is to be tried again.
const RETRIED: &str = "retry";

impl PoisonFolder {
    /// What is there, in the order in which it came. Files that are none of ours are left out.
    ///
    /// # Errors
    /// If the folder cannot be read; one that is not there is empty.
    pub fn list(&self) -> io::Result<Vec<SetAside>> {
        let mut found: Vec<_> = self.files()?.into_iter().filter_map(|path| read(&path)).collect();
        found.sort_by(|a, b| (a.message.at, &a.id).cmp(&(b.message.at, &b.id)));
        Ok(found)
    }

    /// Has a message tried again, by the manager that runs on this folder or by the next one.
    ///
    /// # Errors
    /// If there is none of this name, or its file cannot be renamed.
    pub fn retry(&self, id: &str) -> io::Result<()> {
        fs::rename(self.file(id, KEPT)?, self.file(id, RETRIED)?)
    }

    /// Drops a message for good.
    ///
    /// # Errors
    /// If there is none of this name, or its file cannot be removed.
    pub fn drop(&self, id: &str) -> io::Result<()> {
        fs::remove_file(self.file(id, KEPT)?)
    }

    fn file(&self, id: &str, ending: &str) -> io::Result<PathBuf> {
        let is_ours = |sign: char| sign.is_ascii_digit() || sign == '-';
        if id.is_empty() || !id.chars().all(is_ours) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(self.0.join(format!("{id}.{ending}")))
    }

    fn files(&self) -> io::Result<Vec<PathBuf>> {
        match fs::read_dir(&self.0) {
            Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn keep(&self, entry: &Entry, reason: &str) -> io::Result<()> {
        if self.files()?.len() >= MOST {
            return Err(io::Error::other(format!("{MOST} messages are there already")));
        }
        fs::create_dir_all(&self.0)?;
        let id = format!("{}-{}", entry.place.epoch, entry.place.number);
        let (path, half) = (self.file(&id, KEPT)?, self.file(&id, "half")?);
        let line = reason.replace(['\r', '\n'], " ");
        fs::write(&half, [line.as_bytes(), b"\n", &entry.to_bytes()].concat())?;
        fs::rename(half, path)
    }
}

fn ending(path: &Path) -> &str {
    path.extension().and_then(|ending| ending.to_str()).unwrap_or_default()
}

fn read(path: &Path) -> Option<SetAside> {
    let is_retried = ending(path) == RETRIED;
    if !is_retried && ending(path) != KEPT {
        return None;
    }
    let bytes = fs::read(path).ok()?;
    let (reason, entry) = bytes.split_at(bytes.iter().position(|byte| *byte == b'\n')?);
    let entry = Entry::from_bytes(entry.get(1..)?).ok()?;
    Some(SetAside {
        id: path.file_stem()?.to_str()?.to_owned(),
        reason: String::from_utf8_lossy(reason).into_owned(),
        message: entry.message,
        is_retried,
    })
}

/// The bridge's side: what is to be set aside, and what is to be tried again.
pub(super) struct Poisoned {
    folder: Option<PoisonFolder>,
    /// What could not be written yet. It is still in the inbox.
    waiting: Vec<Poison>,
    /// Files of messages that were tried again, and could not be removed.
    taken: Vec<PathBuf>,
    said: bool,
}

impl Poisoned {
    pub(super) fn new(folder: Option<PoisonFolder>) -> Self {
        Self { folder, waiting: Vec::new(), taken: Vec::new(), said: false }
    }

    /// Sets a message aside. Says whether that is done; if not, it is tried again.
    pub(super) fn take(&mut self, poison: Poison, inbox: &Inbox) -> bool {
        let is_kept = self.keep(&poison, inbox);
        if !is_kept {
            self.waiting.push(poison);
        }
        is_kept
    }

    /// Tries again what could not be set aside: the numbers of what now is.
    pub(super) fn try_again(&mut self, inbox: &Inbox) -> Vec<u64> {
        let (mut kept, waiting) = (Vec::new(), std::mem::take(&mut self.waiting));
        for poison in waiting {
            if self.keep(&poison, inbox) {
                kept.push(poison.number);
            } else {
                self.waiting.push(poison);
            }
        }
        kept
    }

    fn keep(&mut self, Poison { number, reason }: &Poison, inbox: &Inbox) -> bool {
        let Some(folder) = &self.folder else { return true };
        let kept = inbox.under_way(*number).and_then(|entry| {
            entry.map(|entry| folder.keep(&entry, reason).map(|()| entry)).transpose()
        });
        match kept {
            Ok(None) => true,
            Ok(Some(entry)) => {
                log::error!(
                    "a message on {} was set aside as {}-{number}; see twinmgr poison ls",
                    entry.message.topic,
                    entry.place.epoch,
                );
                self.said = false;
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut self.said, true) {
                    log::error!(
                        "a message could not be set aside in {}: {error}; it stays in the inbox, and is tried again",
                        folder.0.display()
                    );
                }
                false
            }
        }
    }

    /// Takes what somebody wants tried again into the inbox, as if it came now, and removes its file.
    pub(super) fn take_retried(
        &mut self,
        inbox: &Inbox,
        (at, session, connection): (Timestamp, i64, u64),
    ) {
        let files = self.folder.as_ref().and_then(|folder| folder.files().ok()).unwrap_or_default();
        for path in files.into_iter().filter(|path| ending(path) == RETRIED) {
            if self.taken.contains(&path) {
                continue;
            }
            let Some(SetAside { id, message, .. }) = read(&path) else { continue };
            log::info!("{id} on {} is tried again", message.topic);
            inbox.append(Incoming { at, session, connection, ..(*message).clone() });
            if let Err(error) = fs::remove_file(&path) {
                log::error!(
                    "{}: {error}; remove it, or the next start tries it again",
                    path.display()
                );
                self.taken.push(path);
            }
        }
    }
}
