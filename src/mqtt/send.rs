//! What goes out: publishes within the window, LC/ON and LC/OFF beside it.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use actix::prelude::*;
use actix_rt::time::timeout;
use paho_mqtt::Message as Packet;
use tokio::sync::oneshot;

use super::{
    Acked, Bridge, Destination, Publish,
    bridge::Phase,
    client::Client,
    connect::disconnect,
    options,
    trouble::{broker, permission, refusal, user},
};
use crate::protocol::{ThingId, ThingTopic, Topic};

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(2);

impl Bridge {
    /// Sends what the window lets out, if there is a connection.
    pub(super) fn send_on(&mut self, ctx: &mut Context<Self>) {
        let Phase::Up(client) = &self.phase else { return };
        let client = Rc::clone(client);
        let bridge = ctx.address().downgrade();
        while let Some((ticket, publish)) = self.window.send_next() {
            let packet = options::message(publish, self.settings.access.version);
            if self.is_too_large(&packet) {
                self.refuse(ticket, "it is larger than the broker's maximum packet size");
                continue;
            }
            self.counters.published += 1;
            let bridge = bridge.clone();
            client.publish(packet, move |result| {
                if let Some(bridge) = bridge.upgrade() {
                    bridge.do_send(Sent { ticket, result });
                }
            });
        }
        self.tell_if_quiet();
    }

    fn is_too_large(&self, packet: &Packet) -> bool {
        /// The largest packet that MQTT can write down.
        const EVER: usize = 268_435_460;
        let size = options::packet_size(packet, self.settings.access.version);
        let maximum = self.maximum_packet.and_then(|max| usize::try_from(max).ok()).unwrap_or(EVER);
        size > maximum
    }

    /// The broker will never take this one: it is told, and counts as taken.
    fn refuse(&mut self, ticket: u64, why: &str) {
        if let Some(publish) = self.window.give_up(ticket) {
            self.give_up(publish, why);
        }
        self.take_settled();
    }

    /// Tells of all that is dealt with now: how many these are.
    fn take_settled(&mut self) -> usize {
        let settled = self.window.take_settled();
        let count = settled.len();
        self.counters.acked += count as u64;
        settled.into_iter().for_each(|publish| self.tell_acked(publish));
        count
    }

    /// The connection broke: so it may each time, after what is first unacknowledged.
    pub(super) fn blame_first(&mut self) {
        if let Some(publish) = self.window.blame() {
            self.give_up(publish, "it has closed the connection after it ten times in a row");
        }
    }

    fn give_up(&mut self, publish: Publish, why: &str) {
        self.counters.refused += 1;
        self.log_refusal(&publish.to, why);
        self.tell_acked(publish);
    }

    /// One line for each kind of topic and minute.
    pub(super) fn log_refusal(&mut self, to: &Destination, why: &str) {
        let permission = permission(to);
        if self.refusals.allows(&permission, Instant::now()) {
            log::error!(
                "{} refused a publish to {}: {why}; {} must be allowed to publish to {permission}",
                broker(&self.settings.access),
                topic_of(to),
                user(&self.settings.access),
            );
        }
    }

    fn tell_acked(&self, publish: Publish) {
        if let Some(number) = publish.entry {
            self.intake.inbox.let_go(number);
        }
        if let Some(about) = publish.about {
            self.to.acked.do_send(Acked(about));
        }
    }

    /// LC/ON, once for each connection. Should it be lost first, the next one says it.
    pub(super) fn say_on(&mut self, client: &Client, ctx: &mut Context<Self>) {
        self.said_on = true;
        let bridge = ctx.address().downgrade();
        let packet = options::life_cycle(&self.settings.access.client_id, ThingTopic::LcOn);
        client.publish(packet, move |result| {
            if let Some(why) = result.err().as_ref().and_then(refusal)
                && let Some(bridge) = bridge.upgrade()
            {
                bridge.do_send(OnRefused(why));
            }
        });
    }
}

/// Says LC/OFF, which is acknowledged within 2 s or never, and leaves the broker with our session.
pub(super) async fn say_farewell(client: Rc<Client>, id: ThingId) {
    let (tell, told) = oneshot::channel();
    client.publish(options::life_cycle(&id, ThingTopic::LcOff), move |result| {
        tell.send(result).ok();
    });
    if timeout(FAREWELL, told).await.is_err() {
        log::warn!("LC/OFF was not acknowledged within {} s", FAREWELL.as_secs());
    }
    disconnect(client).await;
}

fn topic_of(to: &Destination) -> String {
    match to {
        Destination::Topic(topic) => topic.to_string(),
        Destination::Response(respond) => respond.topic.to_string(),
    }
}

/// The answer to one publish, or the end of the wait for it.
#[derive(Message)]
#[rtype(result = "()")]
struct Sent {
    ticket: u64,
    result: paho_mqtt::Result<()>,
}

impl Handler<Sent> for Bridge {
    type Result = ();

    /// A publish that failed for any other reason than the broker's word shows that the connection
    /// is broken: all that is unacknowledged goes out again by the next one, in order.
    fn handle(&mut self, Sent { ticket, result }: Sent, ctx: &mut Self::Context) {
        match result {
            Ok(()) => {
                self.window.settle(ticket);
                if self.take_settled() > 0 {
                    self.go_on(ctx);
                }
            }
            Err(error) => match refusal(&error) {
                Some(why) => self.refuse(ticket, &why),
                None if self.window.get(ticket).is_some() => {
                    self.lose(&error.to_string().to_lowercase(), ctx);
                }
                None => {}
            },
        }
        self.send_on(ctx);
    }
}

/// The broker does not let us say LC/ON.
#[derive(Message)]
#[rtype(result = "()")]
struct OnRefused(String);

impl Handler<OnRefused> for Bridge {
    type Result = ();

    fn handle(&mut self, OnRefused(why): OnRefused, _: &mut Self::Context) {
        let topic = Topic::Thing(self.settings.access.client_id.clone(), ThingTopic::LcOn);
        self.log_refusal(&Destination::Topic(topic), &why);
    }
}
