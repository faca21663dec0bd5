//! The manager.
fn main() {}
