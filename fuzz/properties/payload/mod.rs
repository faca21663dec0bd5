//! What must hold of payloads, and of a twin to which anything may happen.
//!
//! `form.rs` has each payload read by each parser. `script.rs` reads the input as a story, a line for
//! each event, and `stage.rs` has a twin go through it: what `docs/protocol.md` says of the event is
//! asked of the step that it takes. Nothing here sees more of the library than others do, so what the
//! rules remember beyond the documents is kept once more, in `past.rs`.

mod change;
mod form;
mod json;
mod past;
mod reports;
mod script;
mod sets;
mod stage;
mod upd;

/// The input as a payload, each of its lines as one, and all lines as what happens to a twin. Says
/// how many events the twin took.
///
/// A line is a sign for what happens, one for the time since the line before, and a payload:
///
/// ```text
/// u0{"state":{"trn":1,"on":false}}
/// s2{"set":{"on":true}}
/// u2{"delta":{"trn":2,"on":true}}
/// ```
///
/// # Panics
/// If something does not hold.
pub fn check(input: &[u8]) -> usize {
    let lines = script::lines(input);
    form::check(input);
    lines.iter().for_each(|line| form::check(line.payload));
    script::play(&lines)
}
