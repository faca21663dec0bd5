//! Connections of the tool's own, with another client library than the manager's.

use std::{cell::Cell, rc::Rc, time::Duration};

use rumqttc::{
    Outgoing,
    v5::{
        AsyncClient, Event, EventLoop, Incoming, MqttOptions,
        mqttbytes::{
            QoS,
            v5::{Filter, Publish},
        },
    },
};
use tokio::{
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        oneshot,
    },
    time::Instant,
};

/// The longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How many publishes may be handed over before the first is on its way.
const QUEUE: usize = 1 << 20;

/// A message, and when it came.
#[derive(Debug)]
pub struct Heard {
    pub at: Instant,
    pub topic: String,
    pub payload: Vec<u8>,
}

impl Heard {
    /// The number of the thing that its topic names, and what comes after the id.
    pub fn about(&self) -> (usize, &str) {
        let mut levels = self.topic.splitn(3, '/').skip(1);
        let id = levels.next().unwrap_or_default();
        let number = id.trim_start_matches(|sign: char| !sign.is_ascii_digit());
        (number.parse().unwrap_or_default(), levels.next().unwrap_or_default())
    }
}

/// Some connections, all played by this thread.
pub struct Stage {
    lines: Vec<Line>,
    heard: UnboundedReceiver<Heard>,
}

struct Line {
    client: AsyncClient,
    /// How many publishes the broker has not acknowledged.
    unacknowledged: Rc<Cell<usize>>,
}

impl Stage {
    /// Connects one line for each list of filters, and waits until all are subscribed.
    pub async fn connect(port: u16, lines: &[&[&str]]) -> Self {
        let (tell, heard) = unbounded_channel();
        let mut stage = Self { lines: Vec::new(), heard };
        for (number, filters) in lines.iter().enumerate() {
            let (client, events) = AsyncClient::new(options(port), QUEUE);
            let unacknowledged = Rc::new(Cell::new(0));
            let (subscribed, ready) = oneshot::channel();
            actix_rt::spawn(listen(events, tell.clone(), Rc::clone(&unacknowledged), subscribed));
            if filters.is_empty() {
                // An answer is awaited all the same: so it is connected.
                client.try_subscribe(format!("nobody/{number}"), QoS::AtMostOnce).unwrap();
            } else {
                let filters = filters.iter().map(|&filter| Filter::new(filter, QoS::AtLeastOnce));
                client.subscribe_many(filters).await.unwrap();
            }
            within(ready, "a subscription").await.unwrap();
            stage.lines.push(Line { client, unacknowledged });
        }
        stage
    }

    /// Publishes at QoS 1, at once or as soon as the broker takes more.
    pub fn say(&self, line: usize, topic: String, payload: impl Into<Vec<u8>>) {
        let line = &self.lines[line];
        line.unacknowledged.set(line.unacknowledged.get() + 1);
        line.client.try_publish(topic, QoS::AtLeastOnce, false, payload.into()).unwrap();
    }

    /// The next message.
    pub async fn hear(&mut self) -> Heard {
        within(self.heard.recv(), "a message").await.unwrap()
    }

    /// The next message that comes until then.
    pub async fn hear_until(&mut self, until: Instant) -> Option<Heard> {
        tokio::time::timeout_at(until, self.heard.recv()).await.ok().map(Option::unwrap)
    }

    /// Waits until the broker has acknowledged everything.
    pub async fn flushed(&self) {
        let until = Instant::now() + PATIENCE;
        while self.lines.iter().any(|line| line.unacknowledged.get() > 0) {
            assert!(Instant::now() < until, "the broker does not acknowledge what is published");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits for the `count`th message that is wanted, and gives when it came.
    pub async fn await_all(
        &mut self,
        count: usize,
        mut wanted: impl FnMut(&Heard) -> bool,
    ) -> Instant {
        let mut at = Instant::now();
        let mut left = count;
        while left > 0 {
            let heard = self.hear().await;
            if wanted(&heard) {
                at = heard.at;
                left -= 1;
            }
        }
        at
    }
}

async fn within<T>(future: impl Future<Output = T>, what: &str) -> T {
    let result = tokio::time::timeout(PATIENCE, future).await;
    result.unwrap_or_else(|_| panic!("{what} has not come within {PATIENCE:?}"))
}

fn options(port: u16) -> MqttOptions {
    let mut options =
        MqttOptions::new(format!("load-{:016x}", fastrand::u64(..)), "127.0.0.1", port);
    options.set_keep_alive(Duration::from_secs(600)).set_clean_start(true);
    options.set_max_packet_size(Some(256 << 20));
    options.set_receive_maximum(Some(1000));
    let mut network = options.network_options();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    options
}

/// Goes on until nobody listens any more.
async fn listen(
    mut events: EventLoop,
    tell: UnboundedSender<Heard>,
    unacknowledged: Rc<Cell<usize>>,
    subscribed: oneshot::Sender<()>,
) {
    let mut subscribed = Some(subscribed);
    while !tell.is_closed() {
        #[allow(
            clippy::wildcard_enum_match_arm,
            reason = "the other packets are the library's own business"
        )]
        match events.poll().await {
            Ok(Event::Incoming(Incoming::Publish(publish))) => {
                if tell.send(heard(publish)).is_err() {
                    return;
                }
            }
            Ok(Event::Incoming(Incoming::PubAck(_))) => {
                unacknowledged.set(unacknowledged.get() - 1)
            }
            Ok(Event::Incoming(Incoming::SubAck(_))) => {
                subscribed.take().map(|tell| tell.send(()));
            }
            Ok(Event::Outgoing(Outgoing::Disconnect)) => return,
            Ok(_) => {}
            Err(error) => panic!("a connection of the tool's is lost: {error}"),
        }
    }
}

fn heard(publish: Publish) -> Heard {
    let topic = String::from_utf8_lossy(&publish.topic).into_owned();
    Heard { at: Instant::now(), topic, payload: publish.payload.to_vec() }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for line in &self.lines {
            line.client.try_disconnect().ok();
        }
    }
}
