//! Our settings and messages in paho's terms.

use std::{fs::File, path::Path, time::Duration};

use paho_mqtt::{
    AsyncClient, ConnectOptions, ConnectOptionsBuilder, CreateOptionsBuilder, DisconnectOptions,
    DisconnectOptionsBuilder, Message, MessageBuilder, Properties, PropertyCode, QoS, SslOptions,
    SslOptionsBuilder,
};

use super::{
    Access, Destination, Letter, MqttError, MqttSettings, Publish, Role, Version, tls as handshake,
    wire,
};
use crate::protocol::{ThingId, ThingTopic, Topic};

/// More often is no sign of life, but load.
const LEAST_KEEP_ALIVE: Duration = Duration::from_secs(5);
/// MQTT writes it down in 16 bits.
const MOST_KEEP_ALIVE: Duration = Duration::from_secs(65_535);
/// An attempt to connect ends after this long. paho looks at it every 3 s.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the session of a brief connection stays, in seconds, if that ends without a farewell:
/// longer than anybody whose session it is takes to come back.
const BRIEFLY: u32 = 60;

/// Room beside the window for what does not go through it: LC, and the subscription.
const BESIDE: usize = 16;

/// Finds what no attempt to connect could get past.
pub(super) fn check(access: &Access) -> Result<(), MqttError> {
    let texts = [
        ("user name", access.user.as_deref()),
        ("password", access.password.as_ref().map(|password| password.0.as_str())),
        ("broker's name", Some(access.host.as_str())),
    ];
    if let Some((what, _)) = texts.iter().find(|(_, text)| text.is_some_and(|t| t.contains('\0'))) {
        return Err(MqttError::Nul(what));
    }
    readable("CA file", access.ca_file.as_deref())?;
    readable("certificate file", access.cert_file.as_deref())?;
    readable("key file", access.key_file.as_deref())?;
    match (&access.ca_file, &access.cert_file, &access.key_file) {
        (_, None, None) | (Some(_), Some(_), Some(_)) => {}
        (None, ..) | (_, None, _) | (.., None) => return Err(MqttError::PartOfTls),
    }
    handshake::check_files(access)?;
    identified(access, 1).map(drop)
}

/// Finds what no subscription could get past.
pub(super) fn check_filters(filters: &[String]) -> Result<(), MqttError> {
    filters.iter().try_for_each(|filter| {
        if filter.contains('\0') {
            return Err(MqttError::Nul("subscription"));
        }
        let is_last = |place: usize| place + 1 == filter.split('/').count();
        let mut levels = filter.split('/').enumerate();
        let is_well = levels.all(|(place, level)| match level {
            "+" => true,
            "#" => is_last(place),
            _ => !level.contains(['+', '#']),
        });
        if is_well && has_length(filter) { Ok(()) } else { Err(MqttError::Filter(filter.clone())) }
    })
}

/// Finds what can be no topic to publish to.
pub(super) fn check_topic(topic: &str) -> Result<(), MqttError> {
    if topic.contains('\0') {
        return Err(MqttError::Nul("topic"));
    }
    let is_well = has_length(topic) && !topic.contains(['+', '#']);
    if is_well { Ok(()) } else { Err(MqttError::Topic(topic.to_owned())) }
}

/// MQTT writes down the length in 16 bits.
fn has_length(topic: &str) -> bool {
    (1..=usize::from(u16::MAX)).contains(&topic.len())
}

fn readable(what: &'static str, path: Option<&Path>) -> Result<(), MqttError> {
    let Some(path) = path else { return Ok(()) };
    let failed = |source| MqttError::File { what, path: path.to_owned(), source };
    File::open(path).map(drop).map_err(failed)
}

/// A client for one connection, with so many publishes unacknowledged at once.
pub(super) fn client(access: &Access, window: usize) -> Result<AsyncClient, MqttError> {
    crate::tls::begin();
    let scheme = if access.ca_file.is_some() { "mqtts" } else { "mqtt" };
    let host = match access.host.as_str() {
        v6 if v6.contains(':') && !v6.starts_with('[') => format!("[{v6}]"),
        host => host.to_owned(),
    };
    CreateOptionsBuilder::new()
        .server_uri(format!("{scheme}://{host}:{}", access.port))
        .client_id(access.client_id.as_str())
        .mqtt_version(version(access))
        .persistence(None)
        .max_buffered_messages(at_once(window).into())
        .create_client()
        .map_err(|error| refused(access, &error))
}

/// How to connect: keeping the session, and with LC/OFF as the will.
pub(super) fn connect(settings: &MqttSettings) -> Result<ConnectOptions, MqttError> {
    let access = &settings.access;
    let mut options = identified(access, settings.window)?;
    options.will_message(life_cycle(&access.client_id, ThingTopic::LcOff));
    keep_session(&mut options, access, settings.session_expiry);
    Ok(options.finalize())
}

/// How to connect as a thing or an application; `anew` if there can be nothing that waits for it.
///
/// A thing has LC/OFF as its will, and does not want what was sent while it was away: its twin knows better. What an
/// application is answered waits for it for a moment, which only MQTT 5 can say.
pub(super) fn connect_as(
    role: Role,
    access: &Access,
    anew: bool,
) -> Result<ConnectOptions, MqttError> {
    let mut options = identified(access, wire::WINDOW)?;
    if role == Role::Thing {
        options.will_message(life_cycle(&access.client_id, ThingTopic::LcOff));
    }
    let (fresh, seconds) = match role {
        // Not zero: see `session`.
        Role::Thing => (true, 1),
        Role::Client => (anew, BRIEFLY),
    };
    match access.version {
        Version::V3 => options.clean_session(true),
        Version::V5 => options.clean_start(fresh).properties(session_expiry(seconds)),
    };
    Ok(options.finalize())
}

/// How to connect for a moment, under an id that has no session yet: without a will.
///
/// MQTT 5 asks for the session of that id all the same, so that one that is there, and so is
/// somebody else's, is not lost; [`leave`] ends it. MQTT 3.1.1 has no way to end it later.
pub(super) fn connect_briefly(access: &Access) -> Result<ConnectOptions, MqttError> {
    let mut options = identified(access, 1)?;
    match access.version {
        Version::V3 => options.clean_session(true),
        Version::V5 => options.clean_start(false).properties(session_expiry(BRIEFLY)),
    };
    Ok(options.finalize())
}

/// How to connect for a look at what a manager would get, whose session stays for so long. [`leave`] ends the session
/// with MQTT 5, and [`connect_briefly`] under the same id with 3.1.1.
pub(super) fn connect_for_a_look(
    access: &Access,
    expiry: Duration,
) -> Result<ConnectOptions, MqttError> {
    let mut options = identified(access, 1)?;
    // A session that is there is not ours to end.
    keep_session(&mut options, access, expiry);
    Ok(options.finalize())
}

fn keep_session(options: &mut ConnectOptionsBuilder, access: &Access, expiry: Duration) {
    match access.version {
        Version::V3 => options.clean_session(false),
        Version::V5 => options.clean_start(false).properties(session(expiry)),
    };
}

/// How to disconnect so that the session ends.
pub(super) fn leave(version: Version) -> DisconnectOptions {
    let mut options = DisconnectOptionsBuilder::new();
    if version == Version::V5 {
        options.properties(session_expiry(0));
    }
    options.finalize()
}

/// Who we are, and how that is shown.
fn identified(access: &Access, window: usize) -> Result<ConnectOptionsBuilder, MqttError> {
    let mut options = match access.version {
        Version::V3 => ConnectOptionsBuilder::new_v3(),
        Version::V5 => ConnectOptionsBuilder::new_v5(),
    };
    options
        .keep_alive_interval(access.keep_alive.clamp(LEAST_KEEP_ALIVE, MOST_KEEP_ALIVE))
        .connect_timeout(CONNECT_TIMEOUT)
        .max_inflight(at_once(window).into());
    if let Some(user) = &access.user {
        options.user_name(user.as_str());
    }
    if let Some(password) = &access.password {
        options.password(password.0.as_str());
    }
    if let Some(ca) = &access.ca_file {
        options.ssl_options(tls(access, ca).map_err(|error| refused(access, &error))?);
    }
    Ok(options)
}

/// `{"online":1}` on LC/ON, `{"online":0}` on LC/OFF.
pub(super) fn life_cycle(id: &ThingId, kind: ThingTopic) -> Message {
    let payload = if kind == ThingTopic::LcOn { r#"{"online":1}"# } else { r#"{"online":0}"# };
    Message::new(Topic::Thing(id.clone(), kind).to_string(), payload, QoS::AtLeastOnce)
}

/// A publish as the version of MQTT can say it: only MQTT 5 has correlation data.
pub(super) fn message(publish: &Publish, version: Version) -> Message {
    let message = MessageBuilder::new().payload(&*publish.payload).qos(QoS::AtLeastOnce);
    match &publish.to {
        Destination::Topic(topic) => message.topic(topic.to_string()).finalize(),
        Destination::Response(respond) => {
            let message = message.topic(respond.topic.as_str());
            match &respond.correlation {
                Some(correlation) if version == Version::V5 => message
                    .properties(property(|p| {
                        p.push_binary(PropertyCode::CorrelationData, correlation.as_slice())
                    }))
                    .finalize(),
                Some(_) | None => message.finalize(),
            }
        }
    }
}

/// A message of a thing or an application, as the version of MQTT can say it.
pub(super) fn letter(letter: &Letter, version: Version) -> Message {
    let message = MessageBuilder::new()
        .topic(letter.topic.as_str())
        .payload(letter.payload.as_slice())
        .qos(QoS::AtLeastOnce);
    match &letter.answer_to {
        Some((topic, correlation)) if version == Version::V5 => message
            .properties(property(|properties| {
                properties.push_string(PropertyCode::ResponseTopic, topic)?;
                properties.push_binary(PropertyCode::CorrelationData, correlation.as_slice())
            }))
            .finalize(),
        Some(_) | None => message.finalize(),
    }
}

/// A question that is worth nothing later: no broker keeps it for a manager that is away. At QoS 0
/// most do not anyway, and for the others there is its time limit, which only MQTT 5 can say.
pub(super) fn question(
    topic: &Topic,
    payload: &str,
    patience: Duration,
    version: Version,
) -> Message {
    let message =
        MessageBuilder::new().topic(topic.to_string()).payload(payload).qos(QoS::AtMostOnce);
    match version {
        Version::V3 => message.finalize(),
        Version::V5 => {
            let seconds = u32::try_from(patience.as_secs()).unwrap_or(u32::MAX).max(1);
            let code = PropertyCode::MessageExpiryInterval;
            message.properties(property(|p| p.push_u32(code, seconds))).finalize()
        }
    }
}

/// The size of the PUBLISH packet of this message, in bytes, as the broker's limit counts it.
pub(super) fn packet_size(message: &Message, version: Version) -> usize {
    const PACKET_ID: usize = 2;
    const TOPIC_LENGTH: usize = 2;
    let properties = match version {
        Version::V3 => 0,
        Version::V5 => {
            // An identifier and a length before the data.
            let correlation = message.properties().get_binary(PropertyCode::CorrelationData);
            let topic = message.properties().get_string(PropertyCode::ResponseTopic);
            let length = correlation.map_or(0, |data| 3 + data.len())
                + topic.map_or(0, |topic| 3 + topic.len());
            length + bytes_of_length(length)
        }
    };
    let rest =
        TOPIC_LENGTH + message.topic().len() + PACKET_ID + properties + message.payload().len();
    1 + bytes_of_length(rest) + rest
}

/// How many bytes MQTT writes a length in.
fn bytes_of_length(length: usize) -> usize {
    match length {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        0x20_0000.. => 4,
    }
}

/// Not zero: paho would then clear away what was in flight when the connection breaks, and a publish
/// that failed while it was written is freed twice (see `client.rs`).
fn session(expiry: Duration) -> Properties {
    let seconds = u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX).max(1);
    session_expiry(seconds)
}

fn session_expiry(seconds: u32) -> Properties {
    property(|p| p.push_u32(PropertyCode::SessionExpiryInterval, seconds))
}

/// Properties with one property of a type that fits its code, which cannot be refused.
fn property(push: impl FnOnce(&mut Properties) -> paho_mqtt::Result<()>) -> Properties {
    let mut properties = Properties::new();
    if let Err(error) = push(&mut properties) {
        log::error!("an MQTT property was refused: {error}");
    }
    properties
}

fn tls(access: &Access, ca: &Path) -> paho_mqtt::Result<SslOptions> {
    let mut options = SslOptionsBuilder::new();
    options.trust_store(ca)?.enable_server_cert_auth(true).verify(true);
    options.disable_default_trust_store(true);
    if let (Some(cert), Some(key)) = (&access.cert_file, &access.key_file) {
        options.key_store(cert)?.private_key(key)?;
    }
    Ok(options.finalize())
}

/// paho's own bounds: what is above the window never comes to it.
fn at_once(window: usize) -> u16 {
    u16::try_from(window.saturating_add(BESIDE)).unwrap_or(u16::MAX)
}

fn version(access: &Access) -> paho_mqtt::MqttVersion {
    match access.version {
        Version::V3 => paho_mqtt::MqttVersion::V3_1_1,
        Version::V5 => paho_mqtt::MqttVersion::V5,
    }
}

fn refused(access: &Access, error: &paho_mqtt::Error) -> MqttError {
    MqttError::Client { host: access.host.clone(), port: access.port, reason: error.to_string() }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::mqtt::{Respond, Secret};

    /// A manager called `mgr`, user `x`, at `mqtt.example`.
    pub(in crate::mqtt) fn access() -> Access {
        let mut access = Access::new("mgr", "mqtt.example").unwrap();
        access.user = Some("x".to_owned());
        access.password = Some(Secret("secret".to_owned()));
        access
    }

    fn refused(change: impl FnOnce(&mut Access)) -> String {
        let mut access = access();
        change(&mut access);
        check(&access).unwrap_err().to_string()
    }

    #[test]
    fn settings_that_cannot_work_are_refused_at_start() {
        check(&access()).unwrap();
        assert!(check_filters(&["a\0".to_owned()]).is_err());
        assert_eq!(
            refused(|s| s.password = Some(Secret("a\0b".to_owned()))),
            "the password holds a NUL character, which MQTT does not carry"
        );
        assert_eq!(
            refused(|s| s.ca_file = Some("/nowhere/ca.pem".into())),
            "CA file /nowhere/ca.pem: No such file or directory (os error 2)"
        );
        let here = Some("Cargo.toml".into());
        assert_eq!(
            refused(|s| (s.ca_file, s.key_file) = (here.clone(), here)),
            "a client certificate needs three files: the CA's, its own and its key's"
        );
    }

    #[test]
    fn the_size_of_a_packet_counts_all_of_it() {
        let respond =
            Respond { topic: "TNG/a/TPC/RES/1".parse().unwrap(), correlation: Some(vec![0; 4]) };
        let to = Destination::Response(respond);
        let publish = Publish { to, payload: vec![0; 100].into(), about: None, entry: None };
        // Header 2, topic 2 + 15, packet id 2, payload 100; MQTT 5: length 1, property 3 + 4.
        let size = |version| packet_size(&message(&publish, version), version);
        assert_eq!(size(Version::V3), 121);
        assert_eq!(size(Version::V5), 129);
    }
}
