//! How a manager looks from outside: asked over the broker, as any client may ask it.
//!
//! Whoever asks has a client id and a session of its own, so that the manager keeps its place at the
//! broker. What hangs, hangs on a thread of its own: the time limits hold whatever paho, the name
//! service or the broker do.

use std::{
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use paho_mqtt::{ConnectOptions, Error, Message};

use super::{
    Access, MqttError,
    client::Client,
    options,
    subscribe::refusal,
    trouble::{Trouble, broker, refused_filter, silent, words},
};
use crate::protocol::{ThingId, ThingTopic, Topic};

/// How long disconnecting may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// What came of asking a manager over its broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probed {
    /// The broker is not there, or does not let it be asked: what, where, and what to do.
    NotAsked(String),
    /// It was asked.
    Asked {
        /// After how long it answered a PING, if it did.
        pong: Option<Duration>,
        /// What came of looking something up in its database.
        lookup: Lookup,
    },
}

/// How a manager answers a TWIN/GET of an id that nobody has, which it must look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// With the twin as the database has it, after so long.
    Read(Duration),
    /// By an error: the database is away.
    Refused,
    /// Not in time.
    Silent,
}

/// Asks the manager who comes to the broker so for a sign of life, and for one that its database must give.
///
/// The broker has `patience` to let us ask, and then the manager has it to answer. Nothing is
/// created or stored, and the broker keeps neither a session of ours nor, for a manager that is
/// away, the questions. It waits: not on an arbiter.
///
/// A broker that makes the user name the client id (mosquitto's `use_username_as_clientid`) takes us
/// for the manager, and disconnects it. With MQTT 5 this is noticed, and its session stays; but
/// there this should not be called.
///
/// # Errors
/// [`MqttError`] for settings with which no attempt can succeed.
pub fn probe(access: &Access, patience: Duration) -> Result<Probed, MqttError> {
    options::check(access)?;
    let visitor = Visitor::new(access, patience);
    let (tell, told) = mpsc::channel();
    let (client, options) = visitor.prepare(&tell)?;
    let (stay, leave) = mpsc::channel::<()>();
    let (here, gone) = mpsc::channel::<()>();
    let visit = {
        let visitor = visitor.clone();
        move || {
            visitor.visit(client, options, &tell, &leave);
            drop(here);
        }
    };
    if let Err(error) = thread::Builder::new().name("mqtt-probe".into()).spawn(visit) {
        return Ok(Probed::NotAsked(format!("a thread to connect on: {error}")));
    }
    let probed = visitor.listen(&told);
    drop(stay);
    if matches!(probed, Probed::Asked { .. }) {
        // Nothing is ever sent: it ends when the thread does.
        gone.recv_timeout(FAREWELL).unwrap_or_default();
    }
    Ok(probed)
}

/// What is told of a visit to the broker.
enum Told {
    /// The questions go out.
    Asking(Instant),
    /// The manager answered the PING.
    Pong(Instant),
    /// The manager gave the twin.
    Read(Instant),
    /// The manager answered the GET by an error.
    Refused,
    /// The broker does not let us ask, or not any more.
    Failed(String),
}

/// One who comes to the broker to ask.
#[derive(Clone)]
struct Visitor {
    /// How the manager reaches the broker, but for the client id.
    access: Access,
    manager: ThingId,
    patience: Duration,
}

impl Visitor {
    fn new(access: &Access, patience: Duration) -> Self {
        let (manager, number) = (access.client_id.clone(), fastrand::u32(..));
        let long = format!("{manager}-health-{number:08x}");
        let short = format!("health-{number:08x}");
        // Of these, only the long one may be too long for an id.
        let id = long.parse().or_else(|_| short.parse()).unwrap_or_else(|_| manager.clone());
        let access = Access { client_id: id, ..access.clone() };
        Self { access, manager, patience }
    }

    /// What the manager says of this visitor, who is no thing.
    fn own(&self, kind: ThingTopic) -> Topic {
        Topic::Thing(self.access.client_id.clone(), kind)
    }

    /// What the manager says and hears of itself.
    fn managers(&self, kind: ThingTopic) -> Topic {
        Topic::Thing(self.manager.clone(), kind)
    }

    /// A client that tells what it hears.
    fn prepare(&self, tell: &Sender<Told>) -> Result<(Client, ConnectOptions), MqttError> {
        let options = options::connect_briefly(&self.access)?;
        let client = options::client(&self.access, 1)?;
        let (visitor, heard) = (self.clone(), tell.clone());
        client.set_message_callback(move |_, message| {
            if let Some(told) = message.and_then(|message| visitor.understand(&message)) {
                heard.send(told).unwrap_or_default();
            }
        });
        let (tell, broker) = (tell.clone(), broker(&self.access));
        let lost = move |why: &str| {
            let line = format!("{broker}: connection lost: {why}; see the broker's log");
            tell.send(Told::Failed(line)).unwrap_or_default();
        };
        let told = lost.clone();
        client.set_connection_lost_callback(move |_| lost("it broke"));
        client.set_disconnected_callback(move |_, _, code| told(&words(code)));
        Ok((client.into(), options))
    }

    /// What a message tells, if it is an answer to this visitor.
    fn understand(&self, message: &Message) -> Option<Told> {
        let at = Instant::now();
        let topic = message.topic().parse::<Topic>().ok()?;
        if topic == self.own(ThingTopic::TwinUpd) {
            Some(Told::Read(at))
        } else if topic == self.own(ThingTopic::TwinRes) {
            Some(Told::Refused)
        } else {
            let is_ours = topic == self.managers(ThingTopic::Pong)
                && message.payload() == self.access.client_id.as_str().as_bytes();
            is_ours.then_some(Told::Pong(at))
        }
    }

    /// Asks, and stays to hear the answers until it may leave.
    fn visit(
        &self,
        client: Client,
        options: ConnectOptions,
        tell: &Sender<Told>,
        leave: &Receiver<()>,
    ) {
        match self.ask(&client, options, tell) {
            Ok(()) => {
                leave.recv().unwrap_or_default();
                // A connection that broke meanwhile has no farewell.
                let farewell = client.disconnect_with(options::leave(self.access.version));
                farewell.wait_for(FAREWELL).map(drop).unwrap_or_default();
            }
            // Nobody listens any more when it has taken too long.
            Err(line) => tell.send(Told::Failed(line)).unwrap_or_default(),
        }
    }

    fn ask(
        &self,
        client: &Client,
        options: ConnectOptions,
        tell: &Sender<Told>,
    ) -> Result<(), String> {
        let broken = |error: Error| {
            let why = error.to_string().to_lowercase();
            format!("{}: connection lost: {why}; see the broker's log", broker(&self.access))
        };
        let response = client
            .connect(options)
            .map_err(|error| Trouble::of_connecting(&self.access, &error).line)?;
        if response.connect_response().is_some_and(|connected| connected.session_present) {
            return Err(self.in_the_managers_place());
        }
        let filters = [
            self.managers(ThingTopic::Pong),
            self.own(ThingTopic::TwinUpd),
            self.own(ThingTopic::TwinRes),
        ]
        .map(|topic| topic.to_string());
        let granted = client.subscribe(&filters).wait().map_err(broken)?;
        let codes = granted.subscribe_many_response().unwrap_or_default();
        for (filter, code) in filters.iter().zip(codes) {
            if let Some(why) = refusal(code) {
                return Err(refused_filter(&self.access, filter, &why));
            }
        }
        tell.send(Told::Asking(Instant::now())).unwrap_or_default();
        let question =
            |topic, payload| options::question(&topic, payload, self.patience, self.access.version);
        let ping = question(self.managers(ThingTopic::Ping), self.access.client_id.as_str());
        client.write(ping).map_err(broken)?;
        client.write(question(self.own(ThingTopic::TwinGet), "{}")).map_err(broken)
    }

    /// No session of this visitor's can be there.
    fn in_the_managers_place(&self) -> String {
        format!(
            "{} takes the user name for the client id, and so the asker for {}, which has to connect anew; do not ask there",
            broker(&self.access),
            self.manager,
        )
    }

    /// Takes note of the answers until all are there, or time is up.
    fn listen(&self, told: &Receiver<Told>) -> Probed {
        let mut deadline = Instant::now() + self.patience;
        let mut asked = None;
        let (mut pong, mut lookup) = (None, Lookup::Silent);
        while pong.is_none() || lookup == Lookup::Silent {
            let after = |at: Instant| at.saturating_duration_since(asked.unwrap_or(at));
            match told.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Told::Asking(at)) => (asked, deadline) = (Some(at), at + self.patience),
                Ok(Told::Pong(at)) => pong = Some(after(at)),
                Ok(Told::Read(at)) => lookup = Lookup::Read(after(at)),
                Ok(Told::Refused) => lookup = Lookup::Refused,
                Ok(Told::Failed(line)) => return Probed::NotAsked(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        match asked {
            Some(_) => Probed::Asked { pong, lookup },
            None => Probed::NotAsked(silent(&self.access, self.patience)),
        }
    }
}
