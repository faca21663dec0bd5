//! A connection that comes back: one session for the whole run, one message at a time.
//!
//! The next message goes out when the last one has its PUBACK, so that what is sent again after a lost connection
//! never overtakes anything: the order of one sender's messages is the order in which they were first sent.

use std::{cell::Cell, rc::Rc, time::Duration};

use rumqttc::v5::{
    AsyncClient, Event, EventLoop, Incoming, MqttOptions,
    mqttbytes::{
        QoS,
        v5::{Filter, LastWill},
    },
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, sleep_until, timeout_at},
};

/// The pause before another attempt to connect.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the broker keeps a session, in seconds.
const SESSION: u32 = 3600;
/// Above what the broker leaves unacknowledged.
const IN_FLIGHT: u16 = 100;

/// What happens on a line.
pub enum Happening {
    /// Connected.
    Up,
    /// The message sent last has its PUBACK.
    Acked,
    /// Something came.
    Came { topic: String, payload: Vec<u8> },
    /// Nothing by then.
    Nothing,
}

enum Signal {
    Up { resumed: bool },
    Acked,
    Came { topic: String, payload: Vec<u8> },
    Subscribed,
    Down,
}

/// One client of the broker.
pub struct Line {
    client: AsyncClient,
    signals: UnboundedReceiver<Signal>,
    filters: Vec<String>,
    is_subscribed: bool,
    is_up: bool,
    unacked: Option<(String, String)>,
    away_until: Rc<Cell<Instant>>,
}

impl Line {
    /// Connects to the broker, or to a proxy before it, at this port of 127.0.0.1, and does so again whenever that is
    /// over. `will` is published with `{"online":0}`.
    pub fn start(port: u16, id: &str, filters: &[&str], will: Option<String>) -> Self {
        let mut options = MqttOptions::new(id, "127.0.0.1", port);
        options.set_keep_alive(Duration::from_secs(60)).set_clean_start(false);
        options.set_session_expiry_interval(Some(SESSION));
        options.set_receive_maximum(Some(IN_FLIGHT));
        options.set_max_packet_size(Some(1 << 20));
        // What may be unacknowledged has a place in memory from the start.
        options.set_outgoing_inflight_upper_limit(4);
        if let Some(topic) = will {
            let will = LastWill::new(topic, r#"{"online":0}"#, QoS::AtLeastOnce, false, None);
            options.set_last_will(will);
        }
        let mut network = options.network_options();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        let (client, connection) = AsyncClient::new(options, 10);
        let (tell, signals) = unbounded_channel();
        let away_until = Rc::new(Cell::new(Instant::now()));
        actix_rt::spawn(keep_up(connection, tell, Rc::clone(&away_until)));
        Self {
            client,
            signals,
            filters: filters.iter().map(|&filter| filter.to_owned()).collect(),
            is_subscribed: false,
            is_up: false,
            unacked: None,
            away_until,
        }
    }

    /// Whether a message may be sent now.
    pub fn is_free(&self) -> bool {
        self.is_up && self.unacked.is_none()
    }

    /// Sends a message. The line must be free.
    pub fn send(&mut self, topic: String, payload: String) {
        assert!(self.is_free());
        self.unacked = Some((topic, payload));
        self.send_unacked();
    }

    fn send_unacked(&self) {
        if let Some((topic, payload)) = self.unacked.clone() {
            self.client.try_publish(topic, QoS::AtLeastOnce, false, payload).unwrap();
        }
    }

    /// Disconnects in order, and connects again after so long.
    pub fn leave(&mut self, span: Duration) {
        self.away_until.set(Instant::now() + span);
        self.client.try_disconnect().unwrap();
        self.is_up = false;
    }

    /// What happens next, or nothing by this time.
    pub async fn next(&mut self, deadline: Instant) -> Happening {
        loop {
            let Ok(signal) = timeout_at(deadline, self.signals.recv()).await else {
                return Happening::Nothing;
            };
            match signal.expect("the line is kept up") {
                Signal::Up { resumed } => {
                    self.come_up(resumed);
                    return Happening::Up;
                }
                Signal::Acked => {
                    self.unacked = None;
                    return Happening::Acked;
                }
                Signal::Came { topic, payload } => return Happening::Came { topic, payload },
                Signal::Subscribed => self.is_subscribed = true,
                Signal::Down => self.is_up = false,
            }
        }
    }

    /// What was not acknowledged goes out again by itself only if the session is still there.
    fn come_up(&mut self, resumed: bool) {
        self.is_up = true;
        self.is_subscribed &= resumed;
        if !self.is_subscribed && !self.filters.is_empty() {
            let filters = self.filters.iter().map(|path| Filter::new(path, QoS::AtLeastOnce));
            self.client.try_subscribe_many(filters).unwrap();
        }
        if !resumed {
            self.send_unacked();
        }
    }
}

async fn keep_up(
    mut connection: EventLoop,
    tell: UnboundedSender<Signal>,
    away_until: Rc<Cell<Instant>>,
) {
    loop {
        let signal = match connection.poll().await {
            Ok(Event::Incoming(incoming)) => signal(incoming),
            Ok(Event::Outgoing(_)) => None,
            Err(_) => Some(Signal::Down),
        };
        let is_down = matches!(signal, Some(Signal::Down));
        if signal.is_some_and(|signal| tell.send(signal).is_err()) {
            return;
        }
        if is_down {
            sleep_until((Instant::now() + PAUSE).max(away_until.get())).await;
            // What was handed over meanwhile belongs to the session as well.
            connection.clean();
        }
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "the other packets are rumqttc's own business")]
fn signal(incoming: Incoming) -> Option<Signal> {
    match incoming {
        Incoming::ConnAck(answer) => Some(Signal::Up { resumed: answer.session_present }),
        Incoming::PubAck(_) => Some(Signal::Acked),
        Incoming::Publish(publish) => {
            let topic = String::from_utf8_lossy(&publish.topic).into_owned();
            Some(Signal::Came { topic, payload: publish.payload.to_vec() })
        }
        Incoming::SubAck(_) => Some(Signal::Subscribed),
        _ => None,
    }
}
