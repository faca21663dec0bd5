//! A bridge with tapes for listeners.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use actix::prelude::*;
use twinthing::{
    mqtt::{
        Access, Acked, Arrived, Bridge, Count, Counters, Destination, Done, Fatal, Inbox,
        InboxSettings, Link, Listeners, MqttSettings, Publish, Replayed, Version, start,
    },
    protocol::{ThingId, ThingTopic, Topic, manager_filters},
};

/// Takes down every message of one kind.
pub struct Tape<M>(Arc<Mutex<Vec<M>>>);

impl<M: Clone> Tape<M> {
    pub fn all(&self) -> Vec<M> {
        self.0.lock().unwrap().clone()
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

struct Recorder<M>(Arc<Mutex<Vec<M>>>);

impl<M: Unpin + 'static> Actor for Recorder<M> {
    type Context = Context<Self>;
}

impl<M: Message<Result = ()> + Unpin + 'static> Handler<M> for Recorder<M> {
    type Result = ();

    fn handle(&mut self, message: M, _: &mut Self::Context) {
        self.0.lock().unwrap().push(message);
    }
}

fn tape<M>() -> (Tape<M>, Recipient<M>)
where
    M: Message<Result = ()> + Unpin + Send + 'static,
{
    let messages = Arc::<Mutex<Vec<M>>>::default();
    let recorder = Recorder(Arc::clone(&messages)).start();
    (Tape(messages), recorder.recipient())
}

/// A bridge, and what it told.
pub struct Rig {
    pub bridge: Addr<Bridge>,
    pub arrived: Tape<Arrived>,
    pub link: Tape<Link>,
    pub acked: Tape<Acked>,
    pub fatal: Tape<Fatal>,
    pub replayed: Tape<Replayed>,
}

impl Rig {
    /// Starts a bridge whose last known session is 7, with an inbox in memory.
    pub fn start(settings: MqttSettings) -> Self {
        Self::start_on(settings, &in_memory())
    }

    /// The same, with this inbox.
    pub fn start_on(settings: MqttSettings, inbox: &InboxSettings) -> Self {
        let inbox = Inbox::open(inbox).unwrap();
        let epoch = inbox.last_epoch() + 1;
        let (arrived, router) = tape();
        let (link, to_link) = tape();
        let (acked, to_acked) = tape();
        let (fatal, to_fatal) = tape();
        let (replayed, to_replayed) = tape();
        let to = Listeners {
            router,
            link: to_link,
            acked: to_acked,
            fatal: to_fatal,
            replayed: to_replayed,
        };
        let bridge = start(settings, inbox, epoch, 7, to).unwrap();
        Self { bridge, arrived, link, acked, fatal, replayed }
    }

    /// Starts a bridge and waits until it is connected and subscribed: until it says LC/ON.
    pub async fn ready(settings: MqttSettings, observer: &mut crate::peer::Peer) -> Self {
        Self::ready_on(settings, &in_memory(), observer).await
    }

    /// The same, with this inbox.
    pub async fn ready_on(
        settings: MqttSettings,
        inbox: &InboxSettings,
        observer: &mut crate::peer::Peer,
    ) -> Self {
        observer.subscribe("TNG/mgr/LC/ON").await;
        let rig = Self::start_on(settings, inbox);
        assert_eq!(observer.next().await, pair("TNG/mgr/LC/ON", r#"{"online":1}"#));
        rig
    }

    pub fn publish(&self, thing: &str, payload: &str) {
        self.bridge.do_send(update(thing, payload));
    }

    pub fn finish(&self, number: u64) {
        self.bridge.do_send(Done(number));
    }

    pub async fn count(&self) -> Counters {
        self.bridge.send(Count).await.unwrap()
    }

    /// The payloads that arrived, as text.
    pub fn payloads(&self) -> Vec<String> {
        let text = |arrived: &Arrived| String::from_utf8_lossy(&arrived.payload).into_owned();
        self.arrived.all().iter().map(text).collect()
    }

    /// The sessions of all `Link::Up`, with `None` for each `Link::Down`.
    pub fn sessions(&self) -> Vec<Option<i64>> {
        let session = |link: &Link| match link {
            Link::Up { session, .. } => Some(*session),
            Link::Down => None,
        };
        self.link.all().iter().map(session).collect()
    }
}

/// A TWIN/UPD of this thing.
pub fn update(thing: &str, payload: &str) -> Publish {
    let thing: ThingId = thing.parse().unwrap();
    Publish {
        to: Destination::Topic(Topic::Thing(thing.clone(), ThingTopic::TwinUpd)),
        payload: payload.as_bytes().into(),
        about: Some(twinthing::mqtt::About::Thing { id: thing, generation: 1 }),
        entry: None,
    }
}

pub fn pair(topic: &str, payload: &str) -> (String, String) {
    (topic.to_owned(), payload.to_owned())
}

/// Settings of a manager called `mgr` on MQTT 5.
pub fn settings(port: u16) -> MqttSettings {
    let mut access = Access::new("mgr", "127.0.0.1").unwrap();
    access.port = port;
    access.keep_alive = Duration::from_secs(5);
    MqttSettings {
        filters: manager_filters(&access.client_id),
        access,
        session_expiry: Duration::from_secs(3600),
        window: 50,
        under_way: 100_000,
        poison: None,
        outbox_bytes: 100_000_000,
        fail_fast: false,
    }
}

/// The same, by this version of MQTT.
pub fn settings_for(version: Version, port: u16) -> MqttSettings {
    let mut settings = settings(port);
    settings.access.version = version;
    settings
}

/// An inbox in memory with room for a hundred million bytes.
pub fn in_memory() -> InboxSettings {
    InboxSettings { folder: None, sync: false, bytes: 100_000_000 }
}

/// Looks every 10 ms, at most 40 s.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(40);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 40 s: {what}");
        actix_rt::time::sleep(Duration::from_millis(10)).await;
    }
}
