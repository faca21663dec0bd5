//! A client of the broker that never loses count: what it awaits has happened, what it read is kept.

use std::{
    collections::VecDeque,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use rumqttc::v5::{
    Client as Connected, Connection, Event, Incoming, MqttOptions,
    mqttbytes::{
        QoS,
        v5::{Filter, LastWill, Publish, PublishProperties, SubscribeReasonCode},
    },
};

/// The longest wait for an answer of the broker itself.
const BROKER_PATIENCE: Duration = Duration::from_secs(10);
/// The largest packet taken, in bytes: well above the manager's own limit.
const MAX_PACKET_BYTES: u32 = 4 << 20;

/// A message as it came from the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it was published.
    pub topic: String,
    /// What it says.
    pub payload: Vec<u8>,
    /// Whether the broker had kept it from before the subscription.
    pub retained: bool,
    /// The quality of service that it came with: 0, 1 or 2.
    pub qos: u8,
    /// The correlation data that it carries.
    pub correlation: Option<Vec<u8>>,
}

impl Message {
    /// The payload as JSON; fails with topic and payload if it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.payload).unwrap_or_else(|error| {
            panic!("{}: {error}: {}", self.topic, self.payload.escape_ascii())
        })
    }

    /// The payload as text, for people to read.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

/// One connection to the broker, over MQTT 5.
///
/// It does not reconnect: after the broker was away, connect anew.
pub struct Client {
    id: String,
    connected: Connected,
    signals: Receiver<Signal>,
    read: VecDeque<Message>,
    subscribed: u32,
    unacknowledged: usize,
    pings: u64,
    vanishes: bool,
}

enum Signal {
    Connected,
    Subscribed,
    Acknowledged,
    Message(Message),
    Lost(String),
}

impl Client {
    /// Connects to the broker on this port of 127.0.0.1 under a random client id.
    pub fn connect(port: u16) -> Self {
        Self::connect_as(port, &format!("test-{:016x}", fastrand::u64(..)))
    }

    /// Connects under this client id.
    pub fn connect_as(port: u16, id: &str) -> Self {
        Self::connect_with(port, id, |_| {})
    }

    /// Connects like a thing: LC/OFF is its will.
    pub fn connect_thing(port: u16, id: &str) -> Self {
        let topic = format!("TNG/{id}/LC/OFF");
        Self::connect_with(port, id, |options| {
            let will = LastWill::new(topic, r#"{"online":0}"#, QoS::AtLeastOnce, false, None);
            options.set_last_will(will);
        })
    }

    /// Connects with options of the test's own: credentials, a will, a session.
    pub fn connect_with(port: u16, id: &str, set: impl FnOnce(&mut MqttOptions)) -> Self {
        let mut options = MqttOptions::new(id, "127.0.0.1", port);
        options.set_keep_alive(Duration::from_secs(60)).set_clean_start(true);
        options.set_max_packet_size(Some(MAX_PACKET_BYTES));
        options.set_receive_maximum(Some(1000));
        let mut network = options.network_options();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        set(&mut options);
        let (connected, connection) = Connected::new(options, 1024);
        let (tell, signals) = mpsc::channel();
        thread::spawn(move || listen(connection, &tell));
        let mut client = Self {
            id: id.to_owned(),
            connected,
            signals,
            read: VecDeque::new(),
            subscribed: 0,
            unacknowledged: 0,
            pings: 0,
            vanishes: false,
        };
        let deadline = Instant::now() + BROKER_PATIENCE;
        match client.signal(deadline) {
            Some(Signal::Connected) => client,
            _ => panic!("no connection to the broker on port {port}"),
        }
    }

    /// The client id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Subscribes at QoS 1 and waits until the broker has granted every filter.
    pub fn subscribe(&mut self, filters: &[&str]) {
        let filters = filters.iter().map(|&path| Filter::new(path, QoS::AtLeastOnce));
        self.subscribe_to(filters.collect());
    }

    /// Subscribes to everything that others publish: what this client sends does not come back.
    pub fn subscribe_to_others(&mut self) {
        let mut everything = Filter::new("#", QoS::AtLeastOnce);
        everything.nolocal = true;
        everything.preserve_retain = true;
        self.subscribe_to(vec![everything]);
    }

    fn subscribe_to(&mut self, filters: Vec<Filter>) {
        let wanted = self.subscribed + 1;
        self.connected.subscribe_many(filters).unwrap();
        let deadline = Instant::now() + BROKER_PATIENCE;
        while self.subscribed < wanted {
            assert!(self.pump(deadline), "the broker did not grant the subscription");
        }
    }

    /// Publishes at QoS 1 and waits until the broker has acknowledged it.
    pub fn publish(&mut self, topic: &str, payload: impl Into<Vec<u8>>) {
        self.send(topic, payload);
        self.flush();
    }

    /// Publishes a JSON value, see [`Client::publish`].
    pub fn publish_json(&mut self, topic: &str, payload: &serde_json::Value) {
        self.publish(topic, payload.to_string());
    }

    /// Publishes with a response topic and correlation data.
    pub fn request(&mut self, topic: &str, payload: &str, answer_to: &str, correlation: &[u8]) {
        let properties = PublishProperties {
            response_topic: Some(answer_to.to_owned()),
            correlation_data: Some(correlation.to_vec().into()),
            ..PublishProperties::default()
        };
        let payload = payload.to_owned().into_bytes();
        let qos = QoS::AtLeastOnce;
        self.connected.publish_with_properties(topic, qos, false, payload, properties).unwrap();
        self.unacknowledged += 1;
        self.flush();
    }

    /// Publishes with the retain flag, as the protocol never does.
    pub fn publish_retained(&mut self, topic: &str, payload: impl Into<Vec<u8>>) {
        self.connected.publish(topic, QoS::AtLeastOnce, true, payload.into()).unwrap();
        self.unacknowledged += 1;
        self.flush();
    }

    /// Hands a message over without waiting; messages go out in the order of the calls.
    pub fn send(&mut self, topic: &str, payload: impl Into<Vec<u8>>) {
        self.connected.publish(topic, QoS::AtLeastOnce, false, payload.into()).unwrap();
        self.unacknowledged += 1;
    }

    /// Waits until the broker has acknowledged everything sent.
    pub fn flush(&mut self) {
        self.flush_to(0);
    }

    /// Waits until the broker has acknowledged all but so many of the messages sent.
    pub fn flush_to(&mut self, left: usize) {
        let mut deadline = Instant::now() + BROKER_PATIENCE;
        while self.unacknowledged > left {
            let before = self.unacknowledged;
            assert!(self.pump(deadline), "{before} messages are not acknowledged");
            if self.unacknowledged < before {
                deadline = Instant::now() + BROKER_PATIENCE;
            }
        }
    }

    /// How many of the messages sent the broker has not acknowledged, as far as was read.
    pub fn unacknowledged(&self) -> usize {
        self.unacknowledged
    }

    /// The next message, if one comes in time. Nothing is skipped.
    pub fn recv(&mut self, timeout: Duration) -> Option<Message> {
        let deadline = Instant::now() + timeout;
        while self.read.is_empty() {
            if !self.pump(deadline) {
                return None;
            }
        }
        self.read.pop_front()
    }

    /// The next message on this topic. Those on other topics stay, in order.
    pub fn expect(&mut self, topic: &str, timeout: Duration) -> Message {
        self.take(timeout, |message| message.topic == topic).unwrap_or_else(|| {
            let topics: Vec<_> = self.read.iter().map(|message| message.topic.as_str()).collect();
            panic!("nothing on {topic} within {timeout:?}; there is: {topics:?}")
        })
    }

    /// The next message that is `wanted`, if one comes in time. The others stay, in order.
    pub fn take(
        &mut self,
        timeout: Duration,
        mut wanted: impl FnMut(&Message) -> bool,
    ) -> Option<Message> {
        let deadline = Instant::now() + timeout;
        let mut looked_at = 0;
        loop {
            while let Some(message) = self.read.get(looked_at) {
                if wanted(message) {
                    return self.read.remove(looked_at);
                }
                looked_at += 1;
            }
            if !self.pump(deadline) {
                return None;
            }
        }
    }

    /// Everything up to and with the first message that is the `last`; fails if it does not come.
    pub fn drain_until(
        &mut self,
        timeout: Duration,
        mut last: impl FnMut(&Message) -> bool,
    ) -> Vec<Message> {
        let deadline = Instant::now() + timeout;
        let mut drained = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(message) = self.recv(left) else {
                panic!("the last message did not come within {timeout:?}; before it: {drained:?}")
            };
            let done = last(&message);
            drained.push(message);
            if done {
                return drained;
            }
        }
    }

    /// Everything that comes until nothing has come for `span`: the only way to see that nothing comes.
    pub fn quiet(&mut self, span: Duration) -> Vec<Message> {
        std::iter::from_fn(|| self.recv(span)).collect()
    }

    /// Whether the manager answers a PING within `timeout`; its PONG is taken out, all else stays.
    ///
    /// The PONG of an earlier PING does not count. It shows that the manager lives and reads; it is no barrier
    /// for what waits for a commit. For that, GET the thing in question: its UPD comes after what is owed.
    pub fn ping(&mut self, manager: &str, timeout: Duration) -> bool {
        self.pings += 1;
        let payload = format!("{} {}", self.id, self.pings).into_bytes();
        self.send(&format!("TNG/{manager}/TPC/PING"), payload.clone());
        self.pong(manager, &payload, timeout)
    }

    fn pong(&mut self, manager: &str, payload: &[u8], timeout: Duration) -> bool {
        let topic = format!("TNG/{manager}/TPC/PONG");
        self.take(timeout, |message| message.topic == topic && message.payload == payload).is_some()
    }

    /// Reads one signal; false when none came by the deadline.
    fn pump(&mut self, deadline: Instant) -> bool {
        match self.signal(deadline) {
            None => return false,
            Some(Signal::Connected) => {}
            Some(Signal::Subscribed) => self.subscribed += 1,
            Some(Signal::Acknowledged) => self.unacknowledged -= 1,
            Some(Signal::Message(message)) => self.read.push_back(message),
            Some(Signal::Lost(why)) => panic!("{} lost the broker: {why}", self.id),
        }
        true
    }

    fn signal(&mut self, deadline: Instant) -> Option<Signal> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.signals.recv_timeout(left) {
            Ok(signal) => Some(signal),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("{} is not connected any more", self.id),
        }
    }

    /// Goes without a farewell, so that the broker sends the will.
    pub fn vanish(mut self) {
        self.signals = mpsc::channel().1;
        // The broker's answer finds nobody listening, which ends the thread and its connection.
        self.connected.subscribe("TNG/nobody/TPC/RES/farewell", QoS::AtMostOnce).unwrap();
        self.vanishes = true;
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if !self.vanishes {
            drop(self.connected.try_disconnect());
        }
    }
}

/// Turns what the connection says into signals, until it ends.
fn listen(mut connection: Connection, tell: &Sender<Signal>) {
    for event in connection.iter() {
        let signal = match event {
            Ok(Event::Incoming(incoming)) => match heard(incoming) {
                Some(signal) => signal,
                None => continue,
            },
            Ok(Event::Outgoing(_)) => continue,
            Err(error) => Signal::Lost(error.to_string()),
        };
        let ends = matches!(signal, Signal::Lost(_));
        if tell.send(signal).is_err() || ends {
            return;
        }
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "the other packets are rumqttc's own business")]
fn heard(incoming: Incoming) -> Option<Signal> {
    match incoming {
        Incoming::ConnAck(_) => Some(Signal::Connected),
        Incoming::PubAck(_) => Some(Signal::Acknowledged),
        Incoming::Publish(publish) => Some(Signal::Message(message(publish))),
        Incoming::SubAck(answer) => {
            let granted = |code: &_| matches!(code, SubscribeReasonCode::Success(_));
            Some(if answer.return_codes.iter().all(granted) {
                Signal::Subscribed
            } else {
                Signal::Lost(format!("a subscription was refused: {:?}", answer.return_codes))
            })
        }
        Incoming::Disconnect(farewell) => Some(Signal::Lost(format!("{:?}", farewell.reason_code))),
        _ => None,
    }
}

fn message(publish: Publish) -> Message {
    let correlation = publish.properties.and_then(|properties| properties.correlation_data);
    Message {
        topic: String::from_utf8_lossy(&publish.topic).into_owned(),
        payload: publish.payload.to_vec(),
        retained: publish.retain,
        qos: publish.qos as u8,
        correlation: correlation.map(|data| data.to_vec()),
    }
}
