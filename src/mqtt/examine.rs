//! Looks whether a broker gives a manager what it needs, from beside it: under a client id of its own.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use paho_mqtt::{Error, MessageBuilder, PropertyCode, QoS, ServerResponse};

use super::{
    Access, MqttError, MqttSettings, Version,
    client::Client,
    options,
    subscribe::refusal,
    trouble::{self, Trouble, broker, refused_filter, user},
};
use crate::protocol::{ThingId, ThingTopic, Topic};

/// A topic level that no thing and no group can be called: nobody hears what is published there.
const NOBODY: &str = " nobody";

/// How long mosquitto may take to say what it says of itself, which is retained.
const ABOUT_ITSELF: Duration = Duration::from_millis(500);

/// What mosquitto says of itself; other brokers say nothing there that everybody may hear.
const VERSION: &str = "$SYS/broker/version";
const DROPPED: &str = "$SYS/broker/publish/messages/dropped";

/// Looks whether the broker of these settings gives the manager what it needs: what is well, and what is not with what
/// to do about it, in the order in which it was looked at.
///
/// Payloads and twins may have `payload_limit` bytes. The broker has `patience` for each answer. Nothing stays there: no session, and nothing is published that anybody
/// hears but on `TNG/<manager>/TPC/PONG`. It waits: not on an arbiter.
///
/// # Errors
/// [`MqttError`] for settings with which no attempt can succeed.
pub fn examine(
    settings: &MqttSettings,
    payload_limit: usize,
    patience: Duration,
) -> Result<Vec<Result<String, String>>, MqttError> {
    options::check(&settings.access)?;
    options::check_filters(&settings.filters)?;
    let (manager, number) = (settings.access.client_id.clone(), fastrand::u32(..));
    let long = format!("{manager}-check-{number:08x}").parse::<ThingId>();
    let own = long.or_else(|_too_long| format!("check-{number:08x}").parse());
    let own = own.unwrap_or_else(|_| manager.clone());
    let visitor = Access { client_id: own, ..settings.access.clone() };
    let own = visitor.client_id.clone();
    let mut found = Vec::new();
    // What it would grant the manager; no subscription is made, so that nothing comes for a session that might stay.
    let client = Client::from(options::client(&visitor, 1)?);
    let look = Look { settings, payload_limit, manager, own, client: &client, patience };
    match client.connect(options::connect_for_a_look(&visitor, settings.session_expiry)?) {
        Ok(response) => {
            let is_free = look.greeted(&response, &mut found);
            let farewell = if is_free {
                client.disconnect_with(options::leave(visitor.version))
            } else {
                client.disconnect()
            };
            farewell.wait_for(patience).map(drop).unwrap_or_default();
            if !is_free {
                return Ok(found);
            }
        }
        Err(error) => {
            found.push(Err(Trouble::of_connecting(&visitor, &error).line));
            return Ok(found);
        }
    }
    let paho = options::client(&visitor, 1)?;
    let (tell, told) = mpsc::channel();
    paho.set_message_callback(move |_, message| {
        if let Some(message) = message.filter(|message| message.topic().starts_with("$SYS/")) {
            let text = message.payload_str().into_owned();
            tell.send((message.topic().to_owned(), text)).unwrap_or_default();
        }
    });
    let client = Client::from(paho);
    match client.connect(options::connect_briefly(&visitor)?) {
        Ok(_) => {
            let look = Look { client: &client, ..look };
            look.subscribe(&mut found);
            look.publish(&mut found);
            look.hear_of_itself(&told, &mut found);
            let farewell = client.disconnect_with(options::leave(visitor.version));
            farewell.wait_for(patience).map(drop).unwrap_or_default();
        }
        Err(error) => found.push(Err(Trouble::of_connecting(&visitor, &error).line)),
    }
    Ok(found)
}

struct Look<'a> {
    settings: &'a MqttSettings,
    payload_limit: usize,
    manager: ThingId,
    own: ThingId,
    client: &'a Client,
    patience: Duration,
}

impl Look<'_> {
    /// What the broker says when it lets us in. Whether nobody's place is taken by that.
    fn greeted(&self, response: &ServerResponse, found: &mut Vec<Result<String, String>>) -> bool {
        let broker = broker(&self.settings.access);
        if response.connect_response().is_some_and(|connected| connected.session_present) {
            found.push(Err(format!(
                "{broker} takes the user name for the client id, and took us for the manager, which has to connect anew; \
                 do not check there"
            )));
            return false;
        }
        let version = match self.settings.access.version {
            Version::V3 => "MQTT 3.1.1",
            Version::V5 => "MQTT 5",
        };
        let tls =
            if self.settings.access.ca_file.is_some() { ", with TLS" } else { ", without TLS" };
        found.push(Ok(format!(
            "{broker} lets {} in, by {version}{tls}",
            user(&self.settings.access)
        )));
        let number = |code| response.properties().get_int(code).and_then(|n| u64::try_from(n).ok());
        let limit = self.payload_limit as u64;
        match number(PropertyCode::MaximumPacketSize) {
            Some(most) if most < limit => found.push(Err(format!(
                "{broker} takes packets of {most} bytes, and twins may have {limit}; raise its limit, or lower \
                 TWIN_PAYLOAD_LIMIT"
            ))),
            Some(most) => found.push(Ok(format!("it takes packets of {most} bytes"))),
            None => {}
        }
        if number(PropertyCode::MaximumQos).is_some_and(|most| most < 1) {
            found.push(Err(format!(
                "{broker} takes nothing at QoS 1; the manager cannot work with it"
            )));
        }
        let asked = self.settings.session_expiry.as_secs();
        if let Some(granted) =
            number(PropertyCode::SessionExpiryInterval).filter(|granted| *granted < asked)
        {
            found.push(Err(format!(
                "{broker} keeps what comes while the manager is away for {granted} s, not for {asked} \
                 (MQTT_SESSION_EXPIRY); raise its limit"
            )));
        }
        true
    }

    fn subscribe(&self, found: &mut Vec<Result<String, String>>) {
        let filters = &self.settings.filters;
        let granted = self.client.subscribe(filters).wait_for(self.patience);
        let codes = match granted {
            Ok(granted) => granted.subscribe_many_response().unwrap_or_default(),
            Err(error) => {
                let broker = broker(&self.settings.access);
                return found
                    .push(Err(format!("{broker} does not answer a subscription: {error}")));
            }
        };
        let refused: Vec<_> = filters
            .iter()
            .zip(codes)
            .filter_map(|(filter, code)| {
                Some(refused_filter(&self.settings.access, filter, &refusal(code)?))
            })
            .collect();
        if refused.is_empty() {
            found.push(Ok(format!("it grants all {} subscriptions", filters.len())));
        }
        found.extend(refused.into_iter().map(Err));
    }

    fn publish(&self, found: &mut Vec<Result<String, String>>) {
        if self.settings.access.version == Version::V3 {
            return found.push(Ok(
                "MQTT 3.1.1 has no way to say whether it lets the manager publish".to_owned(),
            ));
        }
        let pong = Topic::Thing(self.manager.clone(), ThingTopic::Pong).to_string();
        let topics = [
            (format!("TNG/{NOBODY}/TWIN/UPD"), "TNG/+/TWIN/UPD"),
            (format!("TNG/{NOBODY}/TWIN/RES"), "TNG/+/TWIN/RES"),
            (format!("GRP/{NOBODY}/TWIN/RES"), "GRP/+/TWIN/RES"),
            (format!("TNG/{NOBODY}/STATE/SET"), "TNG/+/STATE/SET"),
            (format!("TNG/{NOBODY}/STATE/GET"), "TNG/+/STATE/GET"),
            (format!("TNG/{NOBODY}/TPC/RES/1"), "TNG/+/TPC/RES/#"),
            (pong.clone(), pong.as_str()),
        ];
        let (mut is_refused, count) = (false, topics.len());
        for (topic, permission) in topics {
            // Somebody may listen to all there is, and expects JSON.
            let payload = serde_json::json!({"check": self.own.as_str()}).to_string();
            let message = MessageBuilder::new().topic(topic).payload(payload);
            let message = message.qos(QoS::AtLeastOnce).finalize();
            let outcome = self.client.deliver(message, self.patience);
            let Err(error) = outcome else { continue };
            is_refused = true;
            match trouble::refusal(&error) {
                Some(why) => found.push(Err(self.refused(permission, &why))),
                None => {
                    found.push(Err(self.refused(permission, &broken(&error))));
                    // What broke the connection is said; the rest would be its consequence.
                    break;
                }
            }
        }
        if is_refused {
            found.push(Ok(format!(
                "we are client {:?} here: what is allowed to client {:?} by its client id, and not to its user, is not \
                 seen",
                self.own.as_str(),
                self.manager.as_str()
            )));
        } else {
            found.push(Ok(format!("it lets the manager publish on all {count} kinds of topics")));
        }
    }

    fn refused(&self, permission: &str, why: &str) -> String {
        format!(
            "{} refused a publish: {why}; {} must be allowed to publish to {permission}",
            broker(&self.settings.access),
            user(&self.settings.access)
        )
    }

    /// mosquitto tells its version, and how much it has dropped.
    fn hear_of_itself(
        &self,
        told: &mpsc::Receiver<(String, String)>,
        found: &mut Vec<Result<String, String>>,
    ) {
        let filters = [VERSION, DROPPED].map(str::to_owned);
        if self.client.subscribe(&filters).wait_for(self.patience).is_err() {
            return;
        }
        let deadline = Instant::now() + ABOUT_ITSELF;
        let mut left = filters.len();
        while left > 0
            && let Ok((topic, text)) =
                told.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            left -= 1;
            match (topic.as_str(), text.trim()) {
                (DROPPED, "0") => found.push(Ok("it has dropped no message".to_owned())),
                // They may be of others, and long ago.
                (DROPPED, dropped) => found.push(Ok(format!(
                    "it has dropped {dropped} messages, of all its clients since it started: if that goes on rising, see \
                     max_queued_messages"
                ))),
                (_, version) => found.push(Ok(format!("it is {version}"))),
            }
        }
    }
}

fn broken(error: &Error) -> String {
    format!("the connection broke ({})", error.to_string().to_lowercase())
}
