//! What is wrong with TLS to a broker: paho says only that there is no connection.
//!
//! The only place that names openssl, which paho itself speaks TLS with. A handshake of our own, with the same files,
//! says why there was none.

use std::{
    fs,
    net::TcpStream,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use openssl::{
    error::ErrorStack,
    nid::Nid,
    pkey::PKey,
    ssl::{ErrorCode, HandshakeError, SslConnector, SslFiletype, SslMethod, SslVerifyMode},
    x509::{X509, X509NameRef, X509Ref, X509StoreContextRef, store::X509StoreBuilder},
};

use super::{MqttError, MqttSettings};

/// How long the broker may take for each step of a handshake.
const PATIENCE: Duration = Duration::from_secs(5);

/// How soon it says that it wants a certificate of ours: with TLS 1.3 that comes behind the handshake.
const AFTERTHOUGHT: Duration = Duration::from_millis(500);

/// What the handshake found out about the broker's certificate.
#[derive(Clone, Debug)]
struct Seen {
    /// OpenSSL's number of what is wrong with it, and its words.
    code: i32,
    words: &'static str,
    issuer: String,
    names: String,
    from: String,
    until: String,
}

/// Why no connection comes about with these settings, by a handshake over this stream; none if it does. It waits: not
/// on an arbiter.
pub(super) fn fault(settings: &MqttSettings, stream: TcpStream) -> Option<String> {
    let (ca, broker) = (settings.ca_file.as_deref()?, super::trouble::broker(settings));
    let seen = Arc::new(Mutex::new(None));
    let connector = match connector(settings, ca, Arc::clone(&seen)) {
        Ok(connector) => connector,
        Err(error) => return Some(format!("the TLS settings do not work: {error}")),
    };
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    let host = settings.host.trim_matches(['[', ']']);
    let error = match connector.connect(host, stream) {
        Ok(mut stream) => {
            stream.get_ref().set_read_timeout(Some(AFTERTHOUGHT)).ok()?;
            let error = stream.ssl_read(&mut [0]).err()?;
            return (error.code() == ErrorCode::SSL)
                .then(|| refused(settings, &broker, &words_of(error.ssl_error())));
        }
        Err(HandshakeError::SetupFailure(error)) => {
            return Some(format!("the TLS settings do not work: {error}"));
        }
        Err(HandshakeError::WouldBlock(_)) => {
            let seconds = PATIENCE.as_secs();
            return Some(format!(
                "{broker} does not answer a TLS handshake within {seconds} s; check that MQTT_PORT is its port for TLS"
            ));
        }
        Err(HandshakeError::Failure(stream)) => stream.into_error(),
    };
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    let words = words_of(error.ssl_error());
    Some(match seen {
        Some(seen) => format!("{broker} is not trusted: {}", distrust(&seen, host, ca)),
        None if words.contains("alert") && !words.contains("protocol version") => {
            refused(settings, &broker, &words)
        }
        None => format!(
            "{broker} does not speak TLS there ({}); correct MQTT_PORT, or leave MQTT_CERT out",
            if words.is_empty() { "it hangs up" } else { &words }
        ),
    })
}

fn connector(
    settings: &MqttSettings,
    ca: &Path,
    seen: Arc<Mutex<Option<Seen>>>,
) -> Result<SslConnector, ErrorStack> {
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    let mut store = X509StoreBuilder::new()?;
    for certificate in X509::stack_from_pem(&fs::read(ca).unwrap_or_default())? {
        store.add_cert(certificate)?;
    }
    builder.set_cert_store(store.build());
    if let (Some(cert), Some(key)) = (&settings.cert_file, &settings.key_file) {
        builder.set_certificate_chain_file(cert)?;
        builder.set_private_key_file(key, SslFiletype::PEM)?;
    }
    builder.set_verify_callback(SslVerifyMode::PEER, move |is_good, context| {
        if !is_good {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.get_or_insert_with(|| see(context));
        }
        is_good
    });
    Ok(builder.build())
}

fn see(context: &X509StoreContextRef) -> Seen {
    let error = context.error();
    let certificate = context.current_cert();
    let of = |part: fn(&X509Ref) -> String| certificate.map(part).unwrap_or_default();
    Seen {
        code: error.as_raw(),
        words: error.error_string(),
        issuer: of(|certificate| name(certificate.issuer_name())),
        names: of(names),
        from: of(|certificate| certificate.not_before().to_string()),
        until: of(|certificate| certificate.not_after().to_string()),
    }
}

/// The name that people know a certificate's owner by.
fn name(name: &X509NameRef) -> String {
    let mut entries = name.entries_by_nid(Nid::COMMONNAME).chain(name.entries());
    let text = entries.find_map(|entry| entry.data().to_string().ok());
    text.unwrap_or_else(|| "somebody without a name".to_owned())
}

/// The names that a certificate is for.
fn names(certificate: &X509Ref) -> String {
    let alternatives = certificate.subject_alt_names();
    let names = alternatives.iter().flatten().filter_map(|name| {
        let address = || match *name.ipaddress()? {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(a, b, c, d).to_string()),
            ref bytes => {
                let bytes: [u8; 16] = bytes.try_into().ok()?;
                Some(std::net::Ipv6Addr::from(bytes).to_string())
            }
        };
        name.dnsname().map(str::to_owned).or_else(address)
    });
    let names: Vec<_> = names.collect();
    if names.is_empty() { name(certificate.subject_name()) } else { names.join(", ") }
}

/// What is wrong with the broker's certificate, and what to do. The numbers are those of OpenSSL's x509_vfy.h.
fn distrust(seen: &Seen, host: &str, ca: &Path) -> String {
    let Seen { code, words, issuer, names, from, until } = seen;
    match code {
        9 => format!("its certificate is not valid before {from}; look at the clocks"),
        10 => format!("its certificate has expired, on {until}; renew it"),
        62 | 64 => format!(
            "its certificate is for {names}, and not for {host}; correct MQTT_HOST, or the certificate"
        ),
        2 | 18..=21 => format!(
            "its certificate is by {issuer}, and no CA in {} vouches for it; correct MQTT_CERT",
            ca.display()
        ),
        _ => format!("its certificate is not accepted: {words}"),
    }
}

/// The broker does not take what we show it, or that we show nothing.
fn refused(settings: &MqttSettings, broker: &str, words: &str) -> String {
    if settings.cert_file.is_some() {
        return format!(
            "{broker} refused MQTT_CLIENT_CERT: {words}; a CA that it trusts has to have issued it"
        );
    }
    format!(
        "{broker} wants a certificate of ours: {words}; set MQTT_CLIENT_CERT and MQTT_CLIENT_KEY"
    )
}

fn words_of(errors: Option<&ErrorStack>) -> String {
    let last = errors.and_then(|errors| errors.errors().last());
    last.and_then(|error| error.reason()).unwrap_or_default().to_owned()
}

/// Finds what is wrong with the files of the settings, as far as they themselves say it.
pub(super) fn check_files(settings: &MqttSettings) -> Result<(), MqttError> {
    let Some(ca) = &settings.ca_file else { return Ok(()) };
    let unfit = |path: &Path, reason: &str| MqttError::Unfit {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let read = |path: &Path| fs::read(path).unwrap_or_default();
    if X509::stack_from_pem(&read(ca)).is_ok_and(|certificates| certificates.is_empty()) {
        return Err(unfit(ca, "it holds no certificate in PEM form"));
    }
    let (Some(cert), Some(key)) = (&settings.cert_file, &settings.key_file) else { return Ok(()) };
    let certificate = X509::from_pem(&read(cert))
        .map_err(|_no_pem| unfit(cert, "it holds no certificate in PEM form"))?;
    let private = PKey::private_key_from_pem_passphrase(&read(key), b"")
        .map_err(|_no_pem| unfit(key, "it holds no key in PEM form, or one with a passphrase"))?;
    let is_its_own = certificate.public_key().is_ok_and(|public| public.public_eq(&private));
    if is_its_own { Ok(()) } else { Err(unfit(key, "it is not the key of the certificate")) }
}
