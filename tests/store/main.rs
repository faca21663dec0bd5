//! The store against real databases: SQLite's files, and a MariaDB that the tests start.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "a test fails by panicking"
)]

#[path = "../support/certs.rs"]
mod certs;
#[path = "../support/mariadb.rs"]
mod mariadb;
#[path = "../support/port.rs"]
mod port;
#[allow(dead_code, reason = "the bridge's and the program's tests use the rest of it")]
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/wait.rs"]
mod wait;

mod bench;
mod locks;
mod migrations;
mod outages;
mod partition;
mod refusals;
mod rows;
mod tls;
