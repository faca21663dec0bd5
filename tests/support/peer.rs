//! Another client at the broker, on MQTT 5.

use std::time::Duration;

use rumqttc::v5::{
    AsyncClient, Event, MqttOptions,
    mqttbytes::{
        QoS,
        v5::{Packet, Publish, PublishProperties},
    },
};
use tokio::sync::mpsc;

/// Collects what it subscribed to.
pub struct Peer {
    client: AsyncClient,
    events: mpsc::UnboundedReceiver<Packet>,
    early: Vec<Publish>,
}

impl Peer {
    /// Connects and waits until it is connected.
    pub async fn connect(port: u16, id: &str) -> Self {
        let mut options = MqttOptions::new(id, "127.0.0.1", port);
        options.set_max_packet_size(Some(1 << 24));
        let (client, mut connection) = AsyncClient::new(options, 10_000);
        let (tell, events) = mpsc::unbounded_channel();
        actix_rt::spawn(async move {
            while let Ok(event) = connection.poll().await {
                if let Event::Incoming(packet) = event
                    && tell.send(packet).is_err()
                {
                    break;
                }
            }
        });
        let mut peer = Self { client, events, early: Vec::new() };
        peer.packet(|packet| matches!(packet, Packet::ConnAck(_)).then_some(())).await;
        peer
    }

    /// Subscribes at QoS 1 and waits until that is granted.
    pub async fn subscribe(&mut self, filter: &str) {
        self.client.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
        self.packet(|packet| matches!(packet, Packet::SubAck(_)).then_some(())).await;
    }

    /// Publishes at QoS 1 and waits until the broker has it.
    pub async fn publish(&mut self, topic: &str, payload: impl Into<Vec<u8>>) {
        self.send(topic, payload, false, PublishProperties::default()).await;
    }

    /// Publishes a retained message.
    pub async fn retain(&mut self, topic: &str, payload: impl Into<Vec<u8>>) {
        self.send(topic, payload, true, PublishProperties::default()).await;
    }

    /// Publishes with a response topic and correlation data.
    pub async fn ask(&mut self, topic: &str, response: &str, correlation: &[u8]) {
        let properties = PublishProperties {
            response_topic: Some(response.to_owned()),
            correlation_data: Some(correlation.to_vec().into()),
            ..PublishProperties::default()
        };
        self.send(topic, "{}", false, properties).await;
    }

    async fn send(
        &mut self,
        topic: &str,
        payload: impl Into<Vec<u8>>,
        retain: bool,
        properties: PublishProperties,
    ) {
        let payload = payload.into();
        self.client
            .publish_with_properties(topic, QoS::AtLeastOnce, retain, payload, properties)
            .await
            .unwrap();
        self.packet(|packet| matches!(packet, Packet::PubAck(_)).then_some(())).await;
    }

    /// The next message, as it came.
    pub async fn message(&mut self) -> Publish {
        if !self.early.is_empty() {
            return self.early.remove(0);
        }
        self.packet(|packet| match packet {
            Packet::Publish(publish) => Some(publish.clone()),
            _ => None,
        })
        .await
    }

    /// Topic and payload of the next message.
    pub async fn next(&mut self) -> (String, String) {
        let message = self.message().await;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(&message.topic), text(&message.payload))
    }

    /// Waits for a packet, at most 10 s; messages that come before it are kept.
    async fn packet<T>(&mut self, wanted: impl Fn(&Packet) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let packet = self.events.recv().await.expect("the peer's connection ended");
                match (wanted(&packet), packet) {
                    (Some(found), _) => return found,
                    (None, Packet::Publish(publish)) => self.early.push(publish),
                    (None, _) => {}
                }
            }
        };
        actix_rt::time::timeout(Duration::from_secs(10), waiting).await.expect("nothing in 10 s")
    }
}
