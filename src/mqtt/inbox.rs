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
    /// What becomes of it when the line before the twins stands still.
    fn class(&self) -> Class {
        if self.topic.ends_with("/TPC/PING") {
            Class::Ping
        } else if self.topic.ends_with("/GET") {
            Class::Ask
        } else {
            Class::Change
        }
    }

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

/// What a message does, as far as its turn depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// It may change something, and keeps its turn.
    Change,
    /// It asks for something, after what came before it.
    Ask,
    /// It asks for a sign of life, which has to do with nothing else.
    Ping,
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
    changes: VecDeque<Entry>,
    asks: VecDeque<Entry>,
    pings: VecDeque<Entry>,
    /// Whether asks go before what waits.
    asks_first: bool,
    under_way: BTreeMap<u64, usize>,
    bytes: usize,
}

impl Held {
    fn queues(&self) -> [&VecDeque<Entry>; 3] {
        [&self.changes, &self.asks, &self.pings]
    }

    /// Whose turn it is: pings always, asks and changes in order while there is room.
    fn next(&mut self, room: usize, connection: u64) -> Option<Entry> {
        let ready = |queue: &VecDeque<Entry>| {
            let first = queue.front().filter(|entry| entry.message.connection <= connection);
            first.map(|entry| entry.number)
        };
        let (change, ask) = (ready(&self.changes), ready(&self.asks));
        let asks =
            ask.is_some() && (self.asks_first || (room > 0 && (change.is_none() || ask < change)));
        if ready(&self.pings).is_some() {
            self.pings.pop_front()
        } else if asks {
            self.asks.pop_front()
        } else if room > 0 && change.is_some() {
            self.changes.pop_front()
        } else {
            None
        }
    }
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
        let class = message.class();
        let entry = Entry { number: held.last, message };
        match class {
            Class::Change => held.changes.push_back(entry),
            Class::Ask => held.asks.push_back(entry),
            Class::Ping => held.pings.push_back(entry),
        }
        drop(held);
        if !self.awake.swap(true, Ordering::AcqRel) {
            (self.wake)();
        }
    }

    /// The bridge is about to look; the next message wakes it again.
    pub(super) fn rest(&self) {
        self.awake.store(false, Ordering::Release);
    }

    /// Whether asks go before what waits, since nothing that waits will be told to them.
    pub(super) fn put_asks_first(&self, asks_first: bool) {
        self.held().asks_first = asks_first;
    }

    /// The next entries, at most `max`, of connections up to `connection`: in order, as long as
    /// fewer than `limit` are under way; beyond that, those whose turn does not depend on it.
    pub(super) fn read(&self, max: usize, limit: usize, connection: u64) -> Vec<Entry> {
        let mut held = self.held();
        let mut entries = Vec::new();
        while entries.len() < max
            && let Some(entry) = {
                let room = limit.saturating_sub(held.under_way.len());
                held.next(room, connection)
            }
        {
            held.under_way.insert(entry.number, entry.message.bytes());
            entries.push(entry);
        }
        entries
    }

    /// An entry that was read is not needed again. Says whether it was under way.
    pub(super) fn done(&self, number: u64) -> bool {
        let mut held = self.held();
        let bytes = held.under_way.remove(&number);
        held.bytes -= bytes.unwrap_or(0);
        bytes.is_some()
    }

    /// The number of the last entry, 0 before the first.
    pub(super) fn last(&self) -> u64 {
        self.held().last
    }

    /// Whether every entry up to this one is done.
    pub(super) fn is_done_up_to(&self, number: u64) -> bool {
        let held = self.held();
        let unread = held.queues().into_iter().filter_map(|queue| queue.front());
        let under_way = held.under_way.first_key_value().map(|(number, _)| *number);
        unread.map(|entry| entry.number).chain(under_way).all(|open| open > number)
    }

    /// How much it holds.
    pub(super) fn load(&self) -> Load {
        let held = self.held();
        let unread = held.queues().iter().map(|queue| queue.len()).sum();
        Load { unread, under_way: held.under_way.len(), bytes: held.bytes }
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
        let numbers = |max| inbox.read(max, 9, 1).iter().map(|e| e.number).collect::<Vec<_>>();
        assert_eq!(numbers(2), [1, 2]);
        assert_eq!(numbers(9), [3, 4, 5]);
        assert!(numbers(9).is_empty());
    }

    #[test]
    fn asks_keep_their_turn_unless_they_go_first_and_pings_never_wait() {
        let inbox = Inbox::new(|| {});
        for topic in ["a/SET", "a/GET", "b/SET", "m/TPC/PING", "b/GET", "c/SET"] {
            inbox.append(Incoming { topic: topic.to_owned(), ..message(1) });
        }
        let topics = |max, limit| -> Vec<_> {
            inbox.read(max, limit, 1).into_iter().map(|entry| entry.message.topic).collect()
        };
        assert_eq!(topics(9, 3), ["m/TPC/PING", "a/SET", "a/GET"]);
        assert!(topics(9, 3).is_empty());
        inbox.put_asks_first(true);
        assert_eq!(topics(9, 3), ["b/GET"]);
        inbox.put_asks_first(false);
        assert_eq!(topics(9, 9), ["b/SET", "c/SET"]);
        assert!(!inbox.is_done_up_to(1));
    }

    #[test]
    fn what_came_by_a_connection_not_told_yet_waits() {
        let inbox = Inbox::new(|| {});
        inbox.append(message(1));
        inbox.append(message(2));
        assert_eq!(inbox.read(9, 9, 1).len(), 1);
        assert!(inbox.read(9, 9, 1).is_empty());
        assert_eq!(inbox.read(9, 9, 2).len(), 1);
    }

    #[test]
    fn bytes_count_until_done_and_done_counts_once() {
        let inbox = Inbox::new(|| {});
        inbox.append(message(1));
        inbox.append(message(1));
        let full = inbox.load().bytes;
        inbox.read(1, 9, 1);
        assert_eq!(inbox.load(), Load { unread: 1, under_way: 1, bytes: full });
        assert!(!inbox.done(2), "it has not been read");
        assert!(inbox.done(1));
        assert!(!inbox.done(1));
        assert_eq!(inbox.load(), Load { unread: 1, under_way: 0, bytes: full / 2 });
    }

    #[test]
    fn what_comes_later_does_not_keep_what_came_before_from_being_done() {
        let inbox = Inbox::new(|| {});
        assert!(inbox.is_done_up_to(inbox.last()));
        inbox.append(message(1));
        inbox.append(message(1));
        let last = inbox.last();
        inbox.append(message(1));
        assert!(!inbox.is_done_up_to(last), "nothing has been read");
        inbox.read(3, 9, 1);
        inbox.done(2);
        assert!(!inbox.is_done_up_to(last), "the first is under way");
        inbox.done(1);
        assert!(inbox.is_done_up_to(last));
        assert!(!inbox.is_done_up_to(inbox.last()));
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
