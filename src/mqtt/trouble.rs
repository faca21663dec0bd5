//! What can go wrong with a broker, as one line that says what to do.

use std::{
    collections::HashMap,
    io,
    net::{TcpStream, ToSocketAddrs},
    time::{Duration, Instant},
};

use paho_mqtt::{ConnectReturnCode, Error, ReasonCode};

use super::{Access, Destination, Version, options::CONNECT_TIMEOUT, tls};
use crate::protocol::Topic;

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// What, where, and what to do.
    pub(super) line: String,
    /// Whether trying again does not mend it.
    pub(super) lasting: bool,
}

impl Trouble {
    fn lasting(line: String) -> Self {
        Self { line, lasting: true }
    }

    fn passing(line: String) -> Self {
        Self { line, lasting: false }
    }

    /// Why an attempt to connect failed. Where paho does not know, `knock` finds out; it may take
    /// some seconds.
    pub(super) fn of_connecting(access: &Access, error: &Error) -> Self {
        if let Some(refusal) = Refusal::of(error) {
            return refusal.trouble(access);
        }
        let broker = broker(access);
        match knock(&access.host, access.port) {
            Err(error) => Self::passing(format!(
                "{broker} is not reached: {error}; check MQTT_HOST, MQTT_PORT and that the broker runs"
            )),
            Ok(_) if matches!(error, Error::TcpConnectTimeout) => {
                Self::passing(silent(access, CONNECT_TIMEOUT))
            }
            Ok(stream) => Self::passing(tls::fault(access, stream).unwrap_or_else(|| {
                let tls = if access.ca_file.is_some() { "" } else { "whether it wants TLS, and " };
                format!("{broker} closes the connection without an answer; check {tls}its log")
            })),
        }
    }
}

/// The broker said no to an attempt to connect, in either version's words.
enum Refusal {
    User(String),
    Version,
    ClientId(String),
    Other(String),
}

impl Refusal {
    fn of(error: &Error) -> Option<Self> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the rest are paho's own errors")]
        match error {
            Error::ReasonCode(code, _) => Some(Self::of_v5(*code)),
            Error::ConnectReturn(code) => Some(Self::of_v3(*code)),
            _ => None,
        }
    }

    fn of_v5(code: ReasonCode) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the rest are told as they are")]
        match code {
            ReasonCode::UnsupportedProtocolVersion => Self::Version,
            ReasonCode::ClientIdentifierNotValid => Self::ClientId(words(code)),
            ReasonCode::BadUserNameOrPassword
            | ReasonCode::NotAuthorized
            | ReasonCode::Banned
            | ReasonCode::BadAuthenticationMethod => Self::User(words(code)),
            other => Self::Other(words(other)),
        }
    }

    fn of_v3(code: ConnectReturnCode) -> Self {
        let words = code.to_string().to_lowercase();
        match code {
            ConnectReturnCode::UnacceptableProtocolVersion => Self::Version,
            ConnectReturnCode::IdentifierRejected => Self::ClientId(words),
            ConnectReturnCode::BadUserNameOrPassword | ConnectReturnCode::NotAuthorized => {
                Self::User(words)
            }
            ConnectReturnCode::ServerUnavailable | ConnectReturnCode::Accepted => {
                Self::Other(words)
            }
        }
    }

    fn trouble(self, access: &Access) -> Trouble {
        let broker = broker(access);
        match self {
            Self::User(why) => Trouble::lasting(format!(
                "{broker} refused {}: {why}; check MQTT_USER and MQTT_PASSWD",
                user(access)
            )),
            Self::Version => {
                let (spoken, other) = match access.version {
                    Version::V3 => ("MQTT 3.1.1", "MQTT 5"),
                    Version::V5 => ("MQTT 5", "MQTT 3.1.1"),
                };
                Trouble::lasting(format!("{broker} does not speak {spoken}; choose {other}"))
            }
            Self::ClientId(why) => Trouble::lasting(format!(
                "{broker} refused client id {:?}: {why}; choose another MQTT_USER",
                access.client_id.as_str()
            )),
            Self::Other(why) => Trouble::passing(format!("{broker} refused the connection: {why}")),
        }
    }
}

/// The broker has had this long to answer.
pub(super) fn silent(access: &Access, patience: Duration) -> String {
    format!(
        "{} does not answer within {} s; check that it is a broker and is well",
        broker(access),
        patience.as_secs_f64()
    )
}

/// The broker does not grant a subscription.
pub(super) fn refused_filter(access: &Access, filter: &str, why: &str) -> String {
    format!(
        "{} refused the subscription to {filter}: {why}; {} must be allowed to subscribe to it",
        broker(access),
        user(access),
    )
}

/// What a publish was refused with for good; `None` if the connection failed it.
pub(super) fn refusal(error: &Error) -> Option<String> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others come of the connection")]
    match error {
        Error::ReasonCode(code, _) => Some(words(*code)),
        Error::BadUtf8String => Some("its topic holds characters that MQTT does not carry".into()),
        _ => None,
    }
}

/// A reason code in words.
pub(super) fn words(code: ReasonCode) -> String {
    code.to_string().to_lowercase()
}

/// `broker host:port`, the beginning of every line.
pub(super) fn broker(access: &Access) -> String {
    format!("broker {}:{}", access.host, access.port)
}

/// `user "name"`, or the client id of one without a name.
pub(super) fn user(access: &Access) -> String {
    match &access.user {
        Some(user) => format!("user {user:?}"),
        None => format!("client {:?} without a user name", access.client_id.as_str()),
    }
}

/// The topics that a permission for this destination is given for.
pub(super) fn permission(to: &Destination) -> String {
    match to {
        Destination::Topic(Topic::Thing(_, kind)) => format!("TNG/+/{}", kind.levels()),
        Destination::Topic(Topic::Group(_, kind)) => format!("GRP/+/{}", kind.levels()),
        Destination::Response(_) => "TNG/+/TPC/RES/#".to_owned(),
    }
}

/// Lets each kind of line through once a minute.
#[derive(Debug, Default)]
pub(super) struct OncePerMinute(HashMap<String, Instant>);

impl OncePerMinute {
    pub(super) fn allows(&mut self, kind: &str, now: Instant) -> bool {
        let allowed = self
            .0
            .get(kind)
            .is_none_or(|last| now.saturating_duration_since(*last) >= Duration::from_secs(60));
        if allowed {
            self.0.insert(kind.to_owned(), now);
        }
        allowed
    }
}

/// A connection, if anything listens there at all. It waits: not on an arbiter.
fn knock(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host.trim_matches(['[', ']']), port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, Duration::from_secs(5)) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use paho_mqtt::Properties;

    use super::*;
    use crate::mqtt::options::tests::access;

    fn line(access: &Access, error: &Error) -> (String, bool) {
        let Trouble { line, lasting } = Trouble::of_connecting(access, error);
        (line, lasting)
    }

    fn reason(code: ReasonCode) -> Error {
        Error::ReasonCode(code, Properties::new())
    }

    #[test]
    fn a_refused_user_is_named_and_the_password_is_not() {
        let mut access = access();
        let expected = "broker mqtt.example:1883 refused user \"x\": not authorized; check MQTT_USER and MQTT_PASSWD";
        let v5 = reason(ReasonCode::NotAuthorized);
        assert_eq!(line(&access, &v5), (expected.to_owned(), true));
        let v3 = Error::ConnectReturn(ConnectReturnCode::NotAuthorized);
        assert_eq!(line(&access, &v3), (expected.to_owned(), true));
        access.user = None;
        let expected = "broker mqtt.example:1883 refused client \"mgr\" without a user name: not authorized; check MQTT_USER and MQTT_PASSWD";
        assert_eq!(line(&access, &v5), (expected.to_owned(), true));
    }

    #[test]
    fn what_trying_again_does_not_mend_is_lasting() {
        let access = access();
        let version = "broker mqtt.example:1883 does not speak MQTT 5; choose MQTT 3.1.1";
        let found = line(&access, &reason(ReasonCode::UnsupportedProtocolVersion));
        assert_eq!(found, (version.to_owned(), true));
        let id = "broker mqtt.example:1883 refused client id \"mgr\": client identifier rejected; choose another MQTT_USER";
        let found = line(&access, &Error::ConnectReturn(ConnectReturnCode::IdentifierRejected));
        assert_eq!(found, (id.to_owned(), true));
        let busy = "broker mqtt.example:1883 refused the connection: server busy";
        assert_eq!(line(&access, &reason(ReasonCode::ServerBusy)), (busy.to_owned(), false));
    }

    #[test]
    fn a_port_where_nothing_listens_is_told_from_one_that_closes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let access = Access { host: "127.0.0.1".to_owned(), port, ..access() };
        let closes = format!(
            "broker 127.0.0.1:{port} closes the connection without an answer; check whether it wants TLS, and its log"
        );
        assert_eq!(line(&access, &Error::Failure), (closes, false));
        drop(listener);
        let nothing = format!(
            "broker 127.0.0.1:{port} is not reached: Connection refused (os error 111); check MQTT_HOST, MQTT_PORT and that the broker runs"
        );
        assert_eq!(line(&access, &Error::Failure), (nothing, false));
    }

    #[test]
    fn each_kind_of_refused_publish_is_told_once_a_minute() {
        let mut once = OncePerMinute::default();
        let start = Instant::now();
        assert!(once.allows("TNG/+/TWIN/UPD", start));
        assert!(!once.allows("TNG/+/TWIN/UPD", start + Duration::from_secs(59)));
        assert!(once.allows("TNG/+/TWIN/RES", start));
        assert!(once.allows("TNG/+/TWIN/UPD", start + Duration::from_secs(60)));
    }
}
