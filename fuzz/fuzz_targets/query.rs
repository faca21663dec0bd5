//! Any bytes as a document and a query about it: `properties/query.rs` says how they are read.
#![no_main]

#[path = "../properties/query.rs"]
mod query;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    query::check(input);
});
