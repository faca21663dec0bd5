//! Any bytes as payloads, and as what happens to a twin: `properties/payload/mod.rs` says how they are read.
#![no_main]

#[path = "../properties/payload/mod.rs"]
mod payload;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    payload::check(input);
});
