//! The broker: the only place that names paho_mqtt.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;

use crate::protocol::{ResponseTopic, ThingId, Timestamp, Topic};

/// A message of the protocol came in.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Arrived {
    /// Its number in the inbox: it only rises.
    pub number: u64,
    /// What it is.
    pub topic: Topic,
    /// What it says.
    pub payload: Vec<u8>,
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

/// An entry of the inbox has been dealt with for good, and is not needed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Done(pub u64);

/// Sends something out, at QoS 1 and not retained. What goes to one topic stays in order.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Publish {
    /// Where it goes.
    pub to: Destination,
    /// What it says.
    pub payload: Arc<[u8]>,
    /// Whose twin it is about: who it is for hears of the broker's acknowledgement by [`Acked`].
    pub about: Option<ThingId>,
}

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A topic of the protocol.
    Topic(Topic),
    /// A client's own response topic.
    Response(Respond),
}

/// The broker has taken, or for good refused, one [`Publish`] about this thing.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Acked(pub ThingId);

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

/// Waits until everything that came in has been done and everything told is acknowledged.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Quiesce;

/// Says LC/OFF, disconnects keeping the session, and answers when that is done.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Close;

/// The version of MQTT to speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// MQTT 3.1.1.
    V3,
    /// MQTT 5.
    #[default]
    V5,
}

/// How to reach the broker, and how to behave there.
#[derive(Clone, Debug)]
pub struct MqttSettings {
    /// The client id: the manager's own id.
    pub client_id: ThingId,
    /// The user name, if the broker wants one.
    pub user: Option<String>,
    /// The password that goes with it.
    pub password: Option<Secret>,
    /// The broker's name or address.
    pub host: String,
    /// The broker's port.
    pub port: u16,
    /// The chain of CA certificates to trust, as a PEM file: turns TLS on.
    pub ca_file: Option<std::path::PathBuf>,
    /// The client's own certificate, as a PEM file.
    pub cert_file: Option<std::path::PathBuf>,
    /// The key that goes with it, as a PEM file.
    pub key_file: Option<std::path::PathBuf>,
    /// The version of MQTT.
    pub version: Version,
    /// How often to give a sign of life, from 5 s.
    pub keep_alive: Duration,
    /// The most publishes that may be unacknowledged at once.
    pub window: usize,
    /// The most entries of the inbox that may be under way at once.
    pub under_way: usize,
    /// What to subscribe to.
    pub filters: Vec<String>,
    /// Whether to give up at once on what trying again does not mend.
    pub fail_fast: bool,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}
