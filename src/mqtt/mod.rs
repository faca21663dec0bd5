//! The broker: the only place that names paho_mqtt.
//!
//! [`start`] gives a [`Bridge`]. What comes in goes through the [`Inbox`] (`inbox.rs`, filled by paho's
//! thread in `intake.rs`) and is handed on as [`Arrived`]; what goes out waits in a window of our
//! own (`window.rs`). A message on which the service panicked is set aside (`poison.rs`). Each
//! connection has a paho client of its own (`connect.rs` and `client.rs` say why). [`probe()`] asks
//! a manager from outside how it is.
//!
//! That is the manager's side. Things and applications have a `Wire` (`wire.rs`): a connection and nothing else, for
//! what was lost with it they know better themselves what to do. It runs on a thread of its own (`runner.rs`).

mod access;
mod backoff;
mod bridge;
mod client;
mod clock;
mod connect;
mod counters;
mod examine;
mod inbox;
mod intake;
mod options;
mod poison;
mod probe;
mod runner;
mod send;
mod subscribe;
mod tls;
mod trouble;
mod unanswered;
mod window;
mod wire;

use std::{path::PathBuf, sync::Arc, time::Duration};

use actix::prelude::*;

pub(crate) use self::wire::{
    Got, HangUp, Heard, Letter, Role, Subscribe, Unsubscribe, Wire, Withdraw, check_access,
    check_filters, check_topic,
};
pub use self::{
    access::{Access, Secret, Version},
    bridge::Bridge,
    clock::now,
    counters::{Count, Counters},
    examine::examine,
    inbox::{Entry, EntryError, Inbox, InboxError, InboxSettings, Incoming, Place},
    poison::{Poison, PoisonFolder, SetAside},
    probe::{Lookup, Probed, probe},
    runner::Runner,
};
use crate::protocol::{ResponseTopic, ThingId, Timestamp, Topic};

/// A message of the protocol came in.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Arrived {
    /// Its place in the inbox: it only rises.
    pub place: Place,
    /// What it is.
    pub topic: Topic,
    /// What it says.
    pub payload: Arc<[u8]>,
    /// Where else the sender wants the answer, and under which correlation data.
    pub respond: Option<Respond>,
    /// When it came.
    pub at: Timestamp,
    /// The session at the broker in which it came.
    pub session: i64,
}

/// Where a client on MQTT 5 wants its answer as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respond {
    /// The topic to answer on.
    pub topic: ResponseTopic,
    /// What the client knows its request by: goes back as it came.
    pub correlation: Option<Vec<u8>>,
}

/// The entry of the inbox with this number has been dealt with. It is over, and not needed again, once what
/// was published for it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Done(pub u64);

/// Whether requests that change nothing go before all that waits: while the database is away they
/// are answered at once, and the rest waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct AsksFirst(pub bool);

/// The entry of this number waits for others of its kind: those behind it need not wait for it. It is still to be
/// done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Parked(pub u64);

/// Hands these entries on again, in order: whoever had them has ended.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct HandOnAgain(pub Vec<u64>);

/// What an earlier life of the manager left in the inbox is over, or there was nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Replayed;

/// Sends something out, at QoS 1 and not retained. What goes to one topic stays in order.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Publish {
    /// Where it goes.
    pub to: Destination,
    /// What it says.
    pub payload: Arc<[u8]>,
    /// What it is about: who it is for hears of the broker's acknowledgement by [`Acked`].
    pub about: Option<About>,
    /// The number of the inbox's entry that it is for: that is not over before this is acknowledged.
    pub entry: Option<u64>,
}

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A topic of the protocol.
    Topic(Topic),
    /// A client's own response topic.
    Response(Respond),
}

/// What a [`Publish`] is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A thing's twin.
    Thing {
        /// Whose.
        id: ThingId,
        /// Which of all the actors that were started speaks of it.
        generation: u64,
    },
    /// The query of a group that is the entry of the inbox with this number.
    Query(u64),
}

/// The broker has taken, or for good refused, one [`Publish`] about this.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Acked(pub About);

/// The connection to the broker came or went.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub enum Link {
    /// Connected. It is told before any message of this connection is handed on.
    Up {
        /// The session's number. A new one means that messages may have been missed.
        session: i64,
        /// The largest packet that the broker takes, in bytes, if it said so.
        maximum_packet: Option<u32>,
    },
    /// Not connected; it is being tried again.
    Down,
}

/// What cannot be mended by trying again, under `--fail-fast`: one line.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Fatal(pub String);

/// Whether messages get done: not if some have been under way for a minute, though broker and database are there, and
/// none was done.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "bool")]
pub struct IsWorking;

/// Waits until everything that has come in so far is done, and what was told of it acknowledged.
///
/// What comes later is not waited for: under load there would be no end. After [`Close`] nothing
/// comes any more, and nothing is acknowledged: then it waits for what came until then to be done.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Quiesce;

/// Says LC/OFF, disconnects keeping the session, and answers when that is done.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Close;

/// How to reach the broker, and how to behave there.
#[derive(Clone, Debug)]
pub struct MqttSettings {
    /// How to reach the broker; the client id is the manager's own id.
    pub access: Access,
    /// How long the broker keeps our session while we are away. Only MQTT 5 says it; in whole
    /// seconds, from 1.
    pub session_expiry: Duration,
    /// The most publishes that may be unacknowledged at once, 1 to 60 000.
    pub window: usize,
    /// The most entries of the inbox that may be under way at once.
    pub under_way: usize,
    /// Where messages are set aside on which the service panicked; none to drop them.
    pub poison: Option<PoisonFolder>,
    /// The most bytes that may wait to go out before nothing more is handed on.
    pub outbox_bytes: usize,
    /// What to subscribe to.
    pub filters: Vec<String>,
    /// Whether to give up at once on what trying again does not mend.
    pub fail_fast: bool,
}

/// Who hears of what the bridge does.
#[derive(Clone, Debug)]
pub struct Listeners {
    /// Takes what came in, in order.
    pub router: Recipient<Arrived>,
    /// Hears of the connection.
    pub link: Recipient<Link>,
    /// Hears of acknowledged publishes.
    pub acked: Recipient<Acked>,
    /// Hears of what ends the process under `fail_fast`.
    pub fatal: Recipient<Fatal>,
    /// Hears once that what was left in the inbox is over.
    pub replayed: Recipient<Replayed>,
}

/// Settings with which no connection can be tried.
#[derive(Debug, thiserror::Error)]
pub enum MqttError {
    /// A file of the TLS settings cannot be read.
    #[error("{what} {}: {source}", path.display())]
    File {
        /// Which of the files.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// Why it cannot be read.
        source: std::io::Error,
    },
    /// A file that does not hold what it should.
    #[error("{}: {reason}", path.display())]
    Unfit {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A key without its certificate, or either without a CA.
    #[error("a client certificate needs three files: the CA's, its own and its key's")]
    PartOfTls,
    /// A text that MQTT cannot carry.
    #[error("the {0} holds a NUL character, which MQTT does not carry")]
    Nul(&'static str),
    /// What is no filter.
    #[error(
        "{0:?} is no MQTT filter: + is a whole level, # the whole last one, and all of it 1 to 65535 bytes"
    )]
    Filter(String),
    /// What is no topic to publish to.
    #[error("{0:?} is no MQTT topic: it has 1 to 65535 bytes, and neither + nor #")]
    Topic(String),
    /// paho does not take the settings.
    #[error("broker {host}:{port}: {reason}")]
    Client {
        /// The broker's name.
        host: String,
        /// The broker's port.
        port: u16,
        /// What paho says.
        reason: String,
    },
}

/// Starts the bridge on this arbiter, and with it the first attempt to connect.
///
/// What is left in the inbox is handed on first. `epoch` is the number of this start: above that of any
/// other on this inbox or database. `session` is the number of the last known session at the broker; it
/// stays in force if the broker still has that session.
///
/// # Errors
/// [`MqttError`] for settings with which no attempt can succeed. A broker that is away is no error:
/// it is tried until it is there.
pub fn start(
    settings: MqttSettings,
    inbox: Inbox,
    epoch: i64,
    session: i64,
    to: Listeners,
) -> Result<Addr<Bridge>, MqttError> {
    options::check(&settings.access)?;
    options::check_filters(&settings.filters)?;
    Ok(Bridge::start_with(settings, inbox, epoch, session, to))
}
