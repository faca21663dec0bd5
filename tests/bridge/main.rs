//! The bridge at a real broker.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "a test fails by panicking"
)]

#[path = "../support/broker.rs"]
mod broker;
#[path = "../support/certs.rs"]
mod certs;
#[path = "../support/peer.rs"]
mod peer;
#[path = "../support/port.rs"]
mod port;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/rig.rs"]
mod rig;
#[path = "../support/wait.rs"]
mod wait;

mod connection;
mod incoming;
mod outgoing;
mod refusal;
mod tls;

use twinthing::mqtt::Version;

const VERSIONS: [Version; 2] = [Version::V3, Version::V5];
