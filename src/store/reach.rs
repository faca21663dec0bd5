//! Whether a server answers at all, asked with a time limit: the database's client has none.

use std::{
    io::{self, Read},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use url::Url;

use super::{StoreError, Target};

/// How long a server may take to take a connection, and again to say its first byte.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connects to where the target is and waits for the first byte of the server's greeting.
///
/// A server that hangs takes connections all the same, and would keep a thread of ours for each.
/// To be asked after trouble only, as the server counts it as a connection broken off.
pub(super) fn greeting(target: &Target) -> Result<(), StoreError> {
    let Target::MySql(url) = target else { return Ok(()) };
    let unreachable = |reason: String| StoreError::Unreachable { target: target.clone(), reason };
    let url = Url::parse(url).map_err(|error| unreachable(error.to_string()))?;
    let host = url.host_str().unwrap_or_default();
    let by_socket = url.query_pairs().any(|(key, _)| key == "unix_socket");
    if by_socket || host == "localhost" {
        return Ok(());
    }
    let host = host.trim_start_matches('[').trim_end_matches(']');
    first_byte(host, url.port().unwrap_or(3306)).map_err(|error| unreachable(error.to_string()))
}

fn first_byte(host: &str, port: u16) -> io::Result<()> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                return stream.read_exact(&mut [0]).map_err(silent);
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
