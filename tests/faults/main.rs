//! What fails around the manager, one after the other, and how long it takes until things are told again.
//!
//! Two rows of the failure table are elsewhere: SIGTERM under load in `tests/lifetimes.rs`, a second manager in
//! `tests/life.rs`. `cargo test --test faults -- --nocapture` shows the times.
#![cfg(feature = "manager")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod broker;
mod clock;
mod database;
mod disk;
mod network;
mod poison;
