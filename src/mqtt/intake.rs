//! What paho's receive thread does with a message: it puts it into the inbox, and nothing more.
//!
//! That thread holds paho's global lock meanwhile, and acknowledges the message on return. So
//! nothing here waits, calls the client, or panics.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
};

use paho_mqtt::{Message, PropertyCode};

use super::{
    clock::now,
    inbox::{Inbox, Incoming},
};

/// What the receive thread shares with the bridge.
pub(super) struct Intake {
    pub(super) inbox: Inbox,
    /// The number of the session in force.
    session: AtomicI64,
    retained: AtomicU64,
    unreadable: AtomicU64,
}

impl Intake {
    pub(super) fn new(inbox: Inbox, session: i64) -> Self {
        Self {
            inbox,
            session: AtomicI64::new(session),
            retained: AtomicU64::new(0),
            unreadable: AtomicU64::new(0),
        }
    }

    /// The number of the session in force.
    pub(super) fn session(&self) -> i64 {
        self.session.load(Ordering::Acquire)
    }

    /// The broker has begun a session: it gets a number above that of the one before.
    pub(super) fn begin_session(&self) {
        self.session.store(now().0.max(self.session() + 1), Ordering::Release);
    }

    /// Retained messages that were ignored.
    pub(super) fn retained(&self) -> u64 {
        self.retained.load(Ordering::Relaxed)
    }

    /// Messages whose topic is not even text.
    pub(super) fn unreadable(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    /// Takes one message in. Called on paho's receive thread.
    pub(super) fn take(&self, message: &Message, connection: u64) {
        if message.retained() {
            self.retained.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // paho panics on a topic that is not UTF-8; a panic that left this thread would abort.
        match catch_unwind(AssertUnwindSafe(|| self.incoming(message, connection))) {
            Ok(incoming) => self.inbox.append(incoming),
            Err(_) => {
                self.unreadable.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn incoming(&self, message: &Message, connection: u64) -> Incoming {
        let properties = message.properties();
        Incoming {
            topic: message.topic().to_owned(),
            payload: message.payload().into(),
            response_topic: properties.get_string(PropertyCode::ResponseTopic),
            correlation: properties.get_binary(PropertyCode::CorrelationData),
            at: now(),
            session: self.session(),
            connection,
        }
    }
}
