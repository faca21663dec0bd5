//! Whether a server answers at all, asked with a time limit, and whether it is the one that is meant: the database's client has
//! no such limit, and may not look at the server's name.

use std::{
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use url::Url;

use super::{StoreError, Target};
use crate::tls::{Fault, Files, shake_hands};

/// How long a server may take to take a connection, and again to say its first byte.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connects to where the target is and waits for the first byte of the server's greeting.
///
/// A server that hangs takes connections all the same, and would keep a thread of ours for each.
/// To be asked after trouble only, as the server counts it as a connection broken off.
pub(super) fn greeting(target: &Target) -> Result<(), StoreError> {
    let Some((host, port)) = address(target)? else { return Ok(()) };
    let unreachable = |reason: String| StoreError::Unreachable { target: target.clone(), reason };
    let mut stream = connect(&host, port).map_err(|error| unreachable(error.to_string()))?;
    stream.read_exact(&mut [0]).map_err(silent).map_err(|error| unreachable(error.to_string()))
}

/// Has the server of a target with a CA show its certificate, and looks whether that is for the target's host.
///
/// MariaDB's client before Connector/C 3.4 looks at the CA only. Between this look and the connection behind it somebody
/// could take the server's place who has a certificate of that CA, for another name.
pub(super) fn identity(target: &Target) -> Result<(), StoreError> {
    let (Some(ca), Some((host, port))) = (target.ca_file(), address(target)?) else {
        return Ok(());
    };
    let untrusted = |reason: String| StoreError::Untrusted { target: target.clone(), reason };
    let unreachable = |reason: String| StoreError::Unreachable { target: target.clone(), reason };
    let stream = connect(&host, port).and_then(|mut stream| {
        ask_for_tls(&mut stream).map_err(silent)?;
        Ok(stream)
    });
    let stream = stream.map_err(|error| unreachable(error.to_string()))?;
    match shake_hands(&Files { ca: ca.clone(), own: None }, &host, stream, false) {
        Err(Fault::Untrusted(distrust)) => Err(untrusted(distrust.told(&host, &ca))),
        Err(Fault::NoTls(_)) => Err(untrusted("it does not speak TLS".to_owned())),
        Err(Fault::Silent(seconds)) => {
            Err(unreachable(format!("it does not answer a TLS handshake within {seconds} s")))
        }
        Err(Fault::Refused(words) | Fault::Files(words)) => Err(untrusted(words)),
        Ok(()) => Ok(()),
    }
}

/// Takes the server's greeting, and asks it to go on by TLS: the first packets of MySQL's protocol.
fn ask_for_tls(stream: &mut TcpStream) -> io::Result<()> {
    /// CLIENT_PROTOCOL_41, CLIENT_SSL and CLIENT_SECURE_CONNECTION.
    const CAPABILITIES: u32 = 0x200 | 0x800 | 0x8000;
    const UTF8MB4: u8 = 45;
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    let [a, b, c, number] = head;
    let length = u64::from(u32::from_le_bytes([a, b, c, 0]));
    io::copy(&mut Read::by_ref(stream).take(length), &mut io::sink())?;
    let mut request = vec![32, 0, 0, number.wrapping_add(1)];
    request.extend(CAPABILITIES.to_le_bytes());
    request.extend((1_u32 << 24).to_le_bytes());
    request.push(UTF8MB4);
    request.extend([0; 23]);
    stream.write_all(&request)
}

/// Where a server is reached over the network; none for a file or a socket.
fn address(target: &Target) -> Result<Option<(String, u16)>, StoreError> {
    let Target::MySql(url) = target else { return Ok(None) };
    let url = Url::parse(url).map_err(|error| StoreError::Unreachable {
        target: target.clone(),
        reason: error.to_string(),
    })?;
    let host = url.host_str().unwrap_or_default();
    let by_socket = url.query_pairs().any(|(key, _)| key == "unix_socket");
    if by_socket || host == "localhost" {
        return Ok(None);
    }
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok(Some((host.to_owned(), url.port().unwrap_or(3306))))
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn silent(error: io::Error) -> io::Error {
    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
        return io::Error::new(io::ErrorKind::TimedOut, "it takes connections but says nothing");
    }
    error
}
