//! Ports that nobody listens on.

use std::net::TcpListener;

/// A port of 127.0.0.1 that is free now. Nothing keeps it free: another may take it first.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
