//! Any text as a topic: `properties/topic.rs` says what must hold of it.
#![no_main]

#[path = "../properties/topic.rs"]
mod topic;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    topic::check(input);
});
