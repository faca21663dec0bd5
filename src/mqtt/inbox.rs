//! What has come in and is not done: filled by paho's thread, read by the bridge.
//!
//! It lives in memory. A durable one has the same four calls.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::protocol::Timestamp;

/// A message as it came, not parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Incoming {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) response_topic: Option<String>,
    pub(super) correlation: Option<Vec<u8>>,
    pub(super) at: Timestamp,
    pub(super) session: i64,
    /// The connection it came by.
    pub(super) connection: u64,
}

impl Incoming {
    /// What it takes, in bytes; what an entry takes besides is rounded.
    fn bytes(&self) -> usize {
        const ENTRY: usize = 128;
        let correlation = self.correlation.as_ref().map_or(0, Vec::len);
        let response_topic = self.response_topic.as_ref().map_or(0, String::len);
        ENTRY + self.topic.len() + self.payload.len() + correlation + response_topic
    }
}

/// A message with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) message: Incoming,
}

/// How much the inbox holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// Entries not read yet.
    pub(super) unread: usize,
    /// Entries read and not done.
    pub(super) under_way: usize,
    /// The bytes of both.
    pub(super) bytes: usize,
}

/// The queue between paho's receive thread and the bridge. Nothing in it is ever dropped.
pub(super) struct Inbox {
    held: Mutex<Held>,
    awake: AtomicBool,
    wake: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Held {
    last: u64,
    unread: VecDeque<Entry>,
    under_way: BTreeMap<u64, usize>,
    bytes: usize,
}

impl Inbox {
    /// An empty inbox that calls `wake` when something comes in. `wake` must neither block nor
    /// panic: paho's thread calls it.
    pub(super) fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self { held: Mutex::default(), awake: AtomicBool::new(false), wake: Box::new(wake) }
    }

    /// Takes a message in under the next number. Called by paho's thread: it does not wait.
    pub(super) fn append(&self, message: Incoming) {
        let mut held = self.held();
        held.last += 1;
        held.bytes += message.bytes();
        let entry = Entry { number: held.last, message };
        held.unread.push_back(entry);
        drop(held);
        if !self.awake.swap(true, Ordering::AcqRel) {
            (self.wake)();
        }
    }

    /// The bridge is about to look; the next message wakes it again.
    pub(super) fn rest(&self) {
        self.awake.store(false, Ordering::Release);
    }

    /// The next entries in order, at most `max`, of connections up to `connection`.
    pub(super) fn read(&self, max: usize, connection: u64) -> Vec<Entry> {
        let mut held = self.held();
        let Held { unread, under_way, .. } = &mut *held;
        let ready =
            unread.iter().take(max).take_while(|e| e.message.connection <= connection).count();
        let entries: Vec<_> = unread.drain(..ready).collect();
        under_way.extend(entries.iter().map(|e| (e.number, e.message.bytes())));
        entries
    }

    /// An entry that was read is not needed again. Says whether it was under way.
    pub(super) fn done(&self, number: u64) -> bool {
        let mut held = self.held();
        let bytes = held.under_way.remove(&number);
        held.bytes -= bytes.unwrap_or(0);
        bytes.is_some()
    }

    /// How much it holds.
    pub(super) fn load(&self) -> Load {
        let held = self.held();
        Load { unread: held.unread.len(), under_way: held.under_way.len(), bytes: held.bytes }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::AtomicUsize};

    use super::*;

    fn message(connection: u64) -> Incoming {
        Incoming {
            topic: "t".to_owned(),
            payload: vec![0; 10],
            response_topic: None,
            correlation: None,
            at: Timestamp(0),
            session: 0,
            connection,
        }
    }

    #[test]
    fn entries_come_in_order_under_rising_numbers_and_are_read_once() {
        let inbox = Inbox::new(|| {});
        for _ in 0..5 {
            inbox.append(message(1));
        }
        let numbers = |max| inbox.read(max, 1).iter().map(|e| e.number).collect::<Vec<_>>();
        assert_eq!(numbers(2), [1, 2]);
        assert_eq!(numbers(9), [3, 4, 5]);
        assert!(numbers(9).is_empty());
    }

    #[test]
    fn what_came_by_a_connection_not_told_yet_waits() {
        let inbox = Inbox::new(|| {});
        inbox.append(message(1));
        inbox.append(message(2));
        assert_eq!(inbox.read(9, 1).len(), 1);
        assert!(inbox.read(9, 1).is_empty());
        assert_eq!(inbox.read(9, 2).len(), 1);
    }

    #[test]
    fn bytes_count_until_done_and_done_counts_once() {
        let inbox = Inbox::new(|| {});
        inbox.append(message(1));
        inbox.append(message(1));
        let full = inbox.load().bytes;
        inbox.read(1, 1);
        assert_eq!(inbox.load(), Load { unread: 1, under_way: 1, bytes: full });
        assert!(!inbox.done(2), "it has not been read");
        assert!(inbox.done(1));
        assert!(!inbox.done(1));
        assert_eq!(inbox.load(), Load { unread: 1, under_way: 0, bytes: full / 2 });
    }

    #[test]
    fn one_wake_at_most_is_pending() {
        let wakes = Arc::new(AtomicUsize::new(0));
        let inbox = Inbox::new({
            let wakes = Arc::clone(&wakes);
            move || {
                wakes.fetch_add(1, Ordering::Relaxed);
            }
        });
        inbox.append(message(1));
        inbox.append(message(1));
        assert_eq!(wakes.load(Ordering::Relaxed), 1);
        inbox.rest();
        inbox.append(message(1));
        assert_eq!(wakes.load(Ordering::Relaxed), 2);
    }
}
