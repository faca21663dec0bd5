//! Handshakes of TLS, to see whether a server is the one that is meant, and why not.
//!
//! The only place that names openssl, which paho speaks TLS with as well. paho does not say why it gets no connection, and
//! the client of a database may not look at the server's name: this does both, with the same files.

use std::{
    fs, io,
    net::TcpStream,
    path::{Path, PathBuf},
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

/// Has OpenSSL begin now, and stay until the process ends.
///
/// Whoever has it begin first says how it ends, and paho would have it cleaned up by `exit`: under the threads that are
/// still ending, which crashes one process in some hundred (OPENSSL_cleanup(3)). This asks for no such end.
pub(crate) fn begin() {
    openssl::init();
}

/// How long the server may take for each step of a handshake.
const PATIENCE: Duration = Duration::from_secs(5);

/// How soon it says that it wants a certificate of ours: with TLS 1.3 that comes behind the handshake.
const AFTERTHOUGHT: Duration = Duration::from_millis(500);

/// The files by which both sides know each other, in PEM form.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    /// The CA certificates to trust.
    pub(crate) ca: PathBuf,
    /// Our own certificate and its key.
    pub(crate) own: Option<(PathBuf, PathBuf)>,
}

/// Why a handshake does not come about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The server's certificate is not accepted: what is wrong with it.
    Untrusted(Distrust),
    /// The server refuses our certificate, or that there is none, with these words.
    Refused(String),
    /// It does not speak TLS; what it did instead.
    NoTls(String),
    /// It takes longer than it may, in seconds.
    Silent(u64),
    /// The files do not work.
    Files(String),
}

/// What is wrong with a server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Distrust {
    /// No CA of ours vouches for it. It is by this one.
    Authority(String),
    /// It is for other names.
    Name(String),
    /// It has expired, at this time.
    Expired(String),
    /// It is not valid before this time.
    Early(String),
    /// Something else, in OpenSSL's words.
    Other(String),
}

impl Distrust {
    /// What is wrong with the certificate of the server that was looked for at `host`, trusting the CAs of this file.
    pub(crate) fn told(&self, host: &str, ca: &Path) -> String {
        match self {
            Self::Authority(issuer) => {
                format!(
                    "its certificate is by {issuer}, and no CA in {} vouches for it",
                    ca.display()
                )
            }
            Self::Name(names) => format!("its certificate is for {names}, and not for {host}"),
            Self::Expired(at) => format!("its certificate has expired, on {at}"),
            Self::Early(from) => format!("its certificate is not valid before {from}"),
            Self::Other(words) => format!("its certificate is not accepted: {words}"),
        }
    }
}

/// Shakes hands over this stream with a server that should be called `host`, and waits for what it `may_add`: that it wants
/// a certificate of ours. It waits: not on an arbiter.
pub(crate) fn shake_hands(
    files: &Files,
    host: &str,
    stream: TcpStream,
    may_add: bool,
) -> Result<(), Fault> {
    let settings = |error: ErrorStack| Fault::Files(error.to_string());
    let seen = Arc::new(Mutex::new(None));
    let connector = connector(files, Arc::clone(&seen)).map_err(settings)?;
    let limited = stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
    limited.map_err(|error| Fault::NoTls(error.to_string()))?;
    let error = match connector.connect(host.trim_matches(['[', ']']), stream) {
        Ok(_) if !may_add => return Ok(()),
        Ok(mut stream) => {
            stream.get_ref().set_read_timeout(Some(AFTERTHOUGHT)).unwrap_or_default();
            return match stream.ssl_read(&mut [0]) {
                Err(error) if error.code() == ErrorCode::SSL => {
                    Err(Fault::Refused(words_of(error.ssl_error())))
                }
                Ok(_) | Err(_) => Ok(()),
            };
        }
        Err(HandshakeError::SetupFailure(error)) => return Err(settings(error)),
        Err(HandshakeError::WouldBlock(_)) => return Err(Fault::Silent(PATIENCE.as_secs())),
        Err(HandshakeError::Failure(stream)) => stream.into_error(),
    };
    if let Some(distrust) = seen.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(Fault::Untrusted(distrust));
    }
    let words = words_of(error.ssl_error());
    Err(match words {
        words if words.contains("alert") && !words.contains("protocol version") => {
            Fault::Refused(words)
        }
        words if words.is_empty() => Fault::NoTls("it hangs up".to_owned()),
        words => Fault::NoTls(words),
    })
}

fn connector(
    files: &Files,
    seen: Arc<Mutex<Option<Distrust>>>,
) -> Result<SslConnector, ErrorStack> {
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    let mut store = X509StoreBuilder::new()?;
    for certificate in X509::stack_from_pem(&read(&files.ca))? {
        store.add_cert(certificate)?;
    }
    builder.set_cert_store(store.build());
    if let Some((cert, key)) = &files.own {
        builder.set_certificate_chain_file(cert)?;
        builder.set_private_key_file(key, SslFiletype::PEM)?;
    }
    builder.set_verify_callback(SslVerifyMode::PEER, move |is_good, context| {
        if !is_good {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.get_or_insert_with(|| distrust(context));
        }
        is_good
    });
    Ok(builder.build())
}

/// A file; one that cannot be read holds nothing.
fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_default()
}

/// The numbers are those of OpenSSL's x509_vfy.h.
fn distrust(context: &X509StoreContextRef) -> Distrust {
    let error = context.error();
    let certificate = context.current_cert();
    let of = |part: fn(&X509Ref) -> String| certificate.map(part).unwrap_or_default();
    match error.as_raw() {
        9 => Distrust::Early(of(|certificate| certificate.not_before().to_string())),
        10 => Distrust::Expired(of(|certificate| certificate.not_after().to_string())),
        62 | 64 => Distrust::Name(of(names)),
        2 | 18..=21 => Distrust::Authority(of(|certificate| name(certificate.issuer_name()))),
        _ => Distrust::Other(error.error_string().to_owned()),
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

fn words_of(errors: Option<&ErrorStack>) -> String {
    let last = errors.and_then(|errors| errors.errors().last());
    last.and_then(|error| error.reason()).unwrap_or_default().to_owned()
}

/// Finds what is wrong with the files, as far as they themselves say it: which one, and what.
pub(crate) fn look_at(files: &Files) -> Result<(), (PathBuf, io::Error)> {
    let unfit = |path: &Path, reason: &str| (path.to_owned(), io::Error::other(reason.to_owned()));
    const NO_CERTIFICATE: &str = "it holds no certificate in PEM form";
    if X509::stack_from_pem(&read(&files.ca)).is_ok_and(|certificates| certificates.is_empty()) {
        return Err(unfit(&files.ca, NO_CERTIFICATE));
    }
    let Some((cert, key)) = &files.own else { return Ok(()) };
    let certificate = X509::from_pem(&read(cert)).map_err(|_no_pem| unfit(cert, NO_CERTIFICATE))?;
    let private = PKey::private_key_from_pem_passphrase(&read(key), b"")
        .map_err(|_no_pem| unfit(key, "it holds no key in PEM form, or one with a passphrase"))?;
    let is_its_own = certificate.public_key().is_ok_and(|public| public.public_eq(&private));
    if is_its_own { Ok(()) } else { Err(unfit(key, "it is not the key of the certificate")) }
}
