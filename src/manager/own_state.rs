//! The manager as a thing among things: what it reports of itself.

use serde_json::json;

use crate::protocol::{Bad, Report, Trn, state_whole};

/// The manager's own state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnState {
    trn: Trn,
    /// Twins in the database.
    pub(super) things: u64,
    /// Twins in memory.
    pub(super) cache: u64,
}

impl OwnState {
    pub(super) fn new(things: u64) -> Self {
        Self { trn: Trn::FIRST, things, cache: 0 }
    }

    /// The payload of the manager's `STATE/UPD`.
    pub(super) fn to_payload(&self) -> String {
        state_whole(json!({"trn": self.trn.get(), "things": self.things, "cache": self.cache}))
    }

    /// Follows a `STATE/SET`: it changes the trn and nothing else.
    ///
    /// # Errors
    /// [`Bad`] if the payload is none; then nothing changes.
    pub(super) fn set(&mut self, payload: &[u8], limit: usize) -> Result<(), Bad> {
        // A STATE/SET has the form of a report: a delta or a state, and in it a trn.
        let asked = Report::parse(payload, limit)?;
        self.trn = asked.trn.unwrap_or(self.trn);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_changes_the_trn_and_nothing_else() {
        let mut own = OwnState::new(3);
        assert_eq!(own.to_payload(), r#"{"state":{"cache":0,"things":3,"trn":1}}"#);
        own.set(br#"{"delta":{"trn":7,"things":9}}"#, 100).unwrap();
        assert_eq!(own.to_payload(), r#"{"state":{"cache":0,"things":3,"trn":7}}"#);
        own.set(br#"{"state":{"trn":-1}}"#, 100).unwrap();
        assert_eq!(own.to_payload(), r#"{"state":{"cache":0,"things":3,"trn":7}}"#);
    }

    #[test]
    fn what_is_no_set_is_not_followed() {
        let mut own = OwnState::new(0);
        for payload in [&b""[..], b"nope", b"[]", b"{}", br#"{"delta":1}"#, b"\xff"] {
            assert!(own.set(payload, 100).is_err());
        }
        assert!(own.set(br#"{"delta":{"trn":7}}"#, 10).is_err());
        assert_eq!(own, OwnState::new(0));
    }
}
