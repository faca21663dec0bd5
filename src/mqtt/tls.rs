//! What is wrong with TLS to a broker, in a line: paho says only that there is no connection.

use std::net::TcpStream;

use super::{Access, MqttError, trouble::broker};
use crate::tls::{Distrust, Fault, Files, look_at, shake_hands};

/// The files of this access; none without TLS.
fn files(access: &Access) -> Option<Files> {
    let ca = access.ca_file.clone()?;
    Some(Files { ca, own: access.cert_file.clone().zip(access.key_file.clone()) })
}

/// Why no connection comes about with these settings, by a handshake over this stream; none if it does. It waits: not
/// on an arbiter.
pub(super) fn fault(access: &Access, stream: TcpStream) -> Option<String> {
    let (files, broker) = (files(access)?, broker(access));
    let fault = shake_hands(&files, &access.host, stream, true).err()?;
    Some(match fault {
        Fault::Untrusted(distrust) => {
            let advice = match distrust {
                Distrust::Authority(_) => "; correct MQTT_CERT",
                Distrust::Name(_) => "; correct MQTT_HOST, or the certificate",
                Distrust::Expired(_) => "; renew it",
                Distrust::Early(_) => "; look at the clocks",
                Distrust::Other(_) => "",
            };
            format!("{broker} is not trusted: {}{advice}", distrust.told(&access.host, &files.ca))
        }
        Fault::Refused(words) if !is_about_certificates(&words) => {
            format!("{broker} breaks off the TLS handshake: {words}; see its log")
        }
        Fault::Refused(words) if files.own.is_some() => format!(
            "{broker} refused MQTT_CLIENT_CERT: {words}; a CA that it trusts has to have issued it"
        ),
        Fault::Refused(words) => format!(
            "{broker} wants a certificate of ours: {words}; set MQTT_CLIENT_CERT and MQTT_CLIENT_KEY"
        ),
        Fault::NoTls(words) => format!(
            "{broker} does not speak TLS there ({words}); correct MQTT_PORT, or leave MQTT_CERT out"
        ),
        Fault::Silent(seconds) => format!(
            "{broker} does not answer a TLS handshake within {seconds} s; check that MQTT_PORT is its port for TLS"
        ),
        Fault::Files(words) => format!("the TLS settings do not work: {words}"),
    })
}

/// Whether an alert may come of our certificate, or of there being none. `handshake failure` is what older versions of TLS
/// say to that, and to other things.
fn is_about_certificates(words: &str) -> bool {
    ["certificate", "unknown ca", "handshake failure"].iter().any(|sign| words.contains(sign))
}

/// Finds what is wrong with the files of the settings, as far as they themselves say it.
pub(super) fn check_files(access: &Access) -> Result<(), MqttError> {
    let Some(files) = files(access) else { return Ok(()) };
    look_at(&files).map_err(|(path, reason)| MqttError::Unfit { path, reason: reason.to_string() })
}
