//! A paho client, for one connection, with care for what paho does at its end.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use actix_rt::task::JoinHandle;
use paho_mqtt::{
    AsyncClient, ConnectOptions, DisconnectOptions, Error, Message, QoS, Result, ServerResponse,
    Token,
};

use super::unanswered::{Listening, Unanswered};

/// A paho client that is let go of on a thread of its own.
///
/// - paho may wait for its threads when a client goes, some hundred milliseconds.
/// - The last handle of a client must not go inside a callback, where paho's global lock is held:
///   the process would wait for itself. A token of `connect` has a handle until the callback returns
///   that completes it.
/// - A publish that fails while it is written to the socket is freed by paho, and freed again with
///   the client. So a client with such a publish is kept for ever instead.
pub(super) struct Client {
    paho: AsyncClient,
    /// What has been published and not answered, as far as we know.
    waiting: Arc<Mutex<Unanswered>>,
    /// The task that looks after that, once there is something.
    listens: OnceLock<JoinHandle<()>>,
    /// Whether a publish failed while it was written.
    spoilt: Arc<AtomicBool>,
}

impl From<AsyncClient> for Client {
    fn from(paho: AsyncClient) -> Self {
        Self { paho, waiting: Arc::default(), listens: OnceLock::new(), spoilt: Arc::default() }
    }
}

impl Client {
    /// Connects, and waits for it.
    pub(super) fn connect(&self, options: ConnectOptions) -> Result<ServerResponse> {
        self.paho.connect(options).wait()
    }

    /// Whether the connection stands.
    pub(super) fn is_connected(&self) -> bool {
        self.paho.is_connected()
    }

    /// Publishes, and has a task of this arbiter call `then` with the outcome, unless the client
    /// goes first.
    pub(super) fn publish(&self, message: Message, then: impl FnOnce(Result<()>) + Send + 'static) {
        let token = self.paho.publish(message);
        let spoilt = Arc::clone(&self.spoilt);
        let then = move |result| {
            if is_write_error(&result) {
                spoilt.store(true, Ordering::Relaxed);
            }
            then(result);
        };
        self.waiting().push(token, Box::new(then));
        self.listens.get_or_init(|| actix::spawn(Listening(Arc::clone(&self.waiting))));
    }

    fn waiting(&self) -> MutexGuard<'_, Unanswered> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes at QoS 0, and waits until it is written.
    pub(super) fn write(&self, message: Message) -> Result<()> {
        let result = self.paho.publish(message).wait();
        if is_write_error(&result) {
            self.spoilt.store(true, Ordering::Relaxed);
        }
        result
    }

    /// Publishes, and waits for the answer.
    pub(super) fn deliver(&self, message: Message, patience: Duration) -> Result<()> {
        let result = self.paho.publish(message).wait_for(patience);
        if is_write_error(&result) {
            self.spoilt.store(true, Ordering::Relaxed);
        }
        result
    }

    /// Subscribes at QoS 1.
    pub(super) fn subscribe(&self, filters: &[String]) -> Token {
        self.paho.subscribe_many(filters, &vec![QoS::AtLeastOnce; filters.len()])
    }

    /// Ends these subscriptions.
    pub(super) fn unsubscribe(&self, filters: &[String]) -> Token {
        self.paho.unsubscribe_many(filters)
    }

    /// Disconnects and keeps the session: a DISCONNECT without a session expiry leaves CONNECT's.
    pub(super) fn disconnect(&self) -> Token {
        self.paho.disconnect(None)
    }

    /// Disconnects as these options say.
    pub(super) fn disconnect_with(&self, options: DisconnectOptions) -> Token {
        self.paho.disconnect(options)
    }
}

impl Drop for Client {
    /// What is unanswered here has not seen its outcome and never will: the thread looks at it.
    fn drop(&mut self) {
        if let Some(listens) = self.listens.get() {
            listens.abort();
        }
        let tokens = self.waiting().take();
        let (paho, spoilt) = (self.paho.clone(), Arc::clone(&self.spoilt));
        let let_go = move || {
            // It takes paho's lock, and so waits until a callback that still runs is over.
            paho.is_connected();
            let mut outcomes = tokens.into_iter().map(|token| Token::from(token).try_wait());
            let failed = outcomes.any(|outcome| outcome.is_some_and(|o| is_write_error(&o)));
            if failed || spoilt.load(Ordering::Relaxed) {
                log::debug!("a broken connection's client is kept: paho cannot free it");
                std::mem::forget(paho);
            }
        };
        if let Err(error) = thread::Builder::new().name("mqtt-end".into()).spawn(let_go) {
            log::warn!("a thread to end a connection on: {error}");
        }
    }
}

/// paho says so of nothing else: a publish that is given up otherwise is an incomplete operation.
fn is_write_error<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::Failure))
}
