//! What groups are asked, by the built program on a real broker and on every database.
#![cfg(feature = "manager")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

mod get;
mod injection;
mod set;
#[path = "../support/mod.rs"]
mod support;

use serde_json::Value;
use support::{
    database::{Database, Direct},
    site::{PATIENCE, Site},
};

/// A manager whose broker's table has these in a group.
fn site(database: &Database, group: &str, members: &[impl AsRef<str>]) -> Site {
    let site = Site::start(database, &[]);
    Direct::to(&site.url).join(group, members);
    site
}

/// Sends a request to a group, and gives what is answered.
fn ask(site: &mut Site, group: &str, levels: &str, request: &Value) -> Value {
    site.client.publish_json(&format!("GRP/{group}/{levels}"), request);
    site.client.expect(&format!("GRP/{group}/TWIN/RES"), PATIENCE).json()
}
