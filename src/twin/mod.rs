//! The twin: what a thing reported, what is desired of it, what it declined, and the rules that move them.

mod record;

pub use record::Record;
