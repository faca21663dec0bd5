//! Any bytes as an entry of the inbox, or in its file: `properties/inbox_entry.rs` says what must hold.
#![no_main]

#[path = "../properties/inbox_entry.rs"]
mod inbox_entry;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    inbox_entry::check(input);
});
