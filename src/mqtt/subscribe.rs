//! Subscribing, on each connection, and what the broker says to it.

use std::{rc::Rc, time::Duration};

use actix::prelude::*;
use actix_rt::time::timeout;
use paho_mqtt::{Error, ReasonCode};

use super::{
    Bridge, Fatal,
    bridge::Phase,
    client::Client,
    trouble::{broker, refused_filter, words},
};

/// How long the broker may take to answer a subscription.
const ANSWER: Duration = Duration::from_secs(30);
/// How long after a refusal it is tried again.
const AGAIN: Duration = Duration::from_secs(60);
/// The code of a refusal without a reason, and the only one of MQTT 3.1.1.
const REFUSED: u32 = 0x80;

impl Bridge {
    /// Subscribes; [`Subscribed`] has the answer.
    pub(super) fn subscribe(
        &mut self,
        client: &Client,
        filters: Vec<String>,
        ctx: &mut Context<Self>,
    ) {
        if filters.is_empty() {
            return self.say_on(client, ctx);
        }
        let token = client.subscribe(&filters);
        let (bridge, connection) = (ctx.address().downgrade(), self.connection);
        actix::spawn(async move {
            let answer = match timeout(ANSWER, token).await {
                Ok(Ok(response)) => Ok(response.subscribe_many_response().unwrap_or_default()),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(Error::Timeout),
            };
            if let Some(bridge) = bridge.upgrade() {
                bridge.do_send(Subscribed { connection, filters, answer });
            }
        });
    }

    /// Goes through what was granted; one line for each filter that is newly refused.
    fn check_granted(&mut self, filters: Vec<String>, codes: &[i32]) {
        for (filter, code) in filters.into_iter().zip(codes) {
            if let Some(why) = refusal(*code) {
                self.refuse_filter(filter, &why);
            } else if self.refused.remove(&filter) {
                log::info!("{}: subscribed to {filter}", broker(&self.settings.access));
            }
        }
    }

    fn refuse_filter(&mut self, filter: String, why: &str) {
        if !self.refused.insert(filter.clone()) {
            return;
        }
        let line = refused_filter(&self.settings.access, &filter, why);
        log::error!("{line}; trying again");
        if self.settings.fail_fast {
            self.to.fatal.do_send(Fatal(line));
        }
    }

    fn subscribe_again(&mut self, connection: u64, ctx: &mut Context<Self>) {
        if connection != self.connection || self.refused.is_empty() {
            return;
        }
        if let Phase::Up(client) = &self.phase {
            let client = Rc::clone(client);
            self.subscribe(&client, self.refused.iter().cloned().collect(), ctx);
        }
    }
}

/// What a filter was refused with, by the broker's code for it; `None` if it is granted.
pub(super) fn refusal(code: i32) -> Option<String> {
    match u32::try_from(code).unwrap_or(REFUSED) {
        1 | 2 => None,
        0 => Some("granted at QoS 0 only".to_owned()),
        code => Some(words(ReasonCode::from(code))),
    }
}

/// The broker's answer to a subscription: a code for each filter.
#[derive(Message)]
#[rtype(result = "()")]
struct Subscribed {
    connection: u64,
    filters: Vec<String>,
    answer: Result<Vec<i32>, Error>,
}

impl Handler<Subscribed> for Bridge {
    type Result = ();

    fn handle(&mut self, subscribed: Subscribed, ctx: &mut Self::Context) {
        let Subscribed { connection, filters, answer } = subscribed;
        let Phase::Up(client) = &self.phase else { return };
        if connection != self.connection {
            return;
        }
        let client = Rc::clone(client);
        let codes = match answer {
            Ok(codes) => codes,
            // paho makes an error of a refusal if there was one filter only.
            Err(Error::ReasonCode(code, _)) if filters.len() == 1 => vec![code as i32],
            Err(Error::Failure) if filters.len() == 1 => vec![0x80],
            Err(error) => return self.lose(&format!("subscribing: {error}").to_lowercase(), ctx),
        };
        self.check_granted(filters, &codes);
        if !self.refused.is_empty() {
            ctx.run_later(AGAIN, move |bridge, ctx| bridge.subscribe_again(connection, ctx));
        }
        if !self.said_on {
            self.say_on(&client, ctx);
        }
    }
}
