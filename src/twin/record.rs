//! A twin as a database keeps it: text and numbers. Alone knows what stands in which column.

use super::{Presence, Twin, document::Document, document::Meta, document::State, ledger::Ledger};
use crate::protocol::Trn;

/// A twin as text, the way a database keeps it. It has no id: who stores it knows that.
///
/// The six documents are JSON objects. Everything else is what the rules need beyond them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What the thing last said it is.
    pub reported: String,
    /// When each member of `reported` was last set.
    pub reported_meta: String,
    /// What was asked of the thing and is not settled.
    pub desired: String,
    /// When each member of `desired` was last set.
    pub desired_meta: String,
    /// What the thing refused of what it was asked.
    pub declined: String,
    /// When each member of `declined` was last set.
    pub declined_meta: String,
    /// How often the documents changed.
    pub version: u64,
    /// How often this record changed: above `version` when something other than the documents did.
    pub revision: u64,
    /// What was sent to the thing and is not answered: a JSON object that only [`crate::twin`] reads.
    pub sent: String,
    /// Whether the thing was connected, as far as was known in `session`.
    pub online: Option<bool>,
    /// The session at the broker in which `online` was learnt.
    pub session: i64,
    /// Whether something is desired and not settled.
    pub unsettled: bool,
}

/// A record that cannot be read as a twin.
#[derive(Debug, thiserror::Error)]
#[error("column {column} is not what a twin has there: {source}")]
pub struct Corrupt {
    /// The column, as the database names it.
    pub column: &'static str,
    /// What is wrong with it.
    pub source: serde_json::Error,
}

impl Record {
    /// The payload of `TWIN/UPD` in this session: it has the documents as they are stored.
    pub(super) fn to_payload(&self, session: i64) -> String {
        let documents = [
            (r#"{"desired":"#, &self.desired),
            (r#","desiredMeta":"#, &self.desired_meta),
            (r#","reported":"#, &self.reported),
            (r#","reportedMeta":"#, &self.reported_meta),
            (r#","declined":"#, &self.declined),
            (r#","declinedMeta":"#, &self.declined_meta),
        ];
        let online = match self.online.filter(|_| self.session == session) {
            Some(true) => "true",
            Some(false) => "false",
            None => "null",
        };
        let end = format!(r#","version":{},"online":{online}}}"#, self.version);
        let bytes = documents.iter().map(|(name, text)| name.len() + text.len()).sum::<usize>();
        let mut payload = String::with_capacity(bytes + end.len());
        for (name, text) in documents {
            payload.push_str(name);
            payload.push_str(text);
        }
        payload.push_str(&end);
        payload
    }
}

impl Twin {
    /// The twin as text.
    #[must_use]
    pub fn to_record(&self) -> Record {
        Record {
            reported: text(&State(&self.reported)),
            reported_meta: text(&Meta(&self.reported)),
            desired: text(&State(&self.desired)),
            desired_meta: text(&Meta(&self.desired)),
            declined: text(&State(&self.declined)),
            declined_meta: text(&Meta(&self.declined)),
            version: self.version,
            revision: self.revision,
            sent: self.ledger.to_text(),
            online: self.presence.online(),
            session: self.session,
            unsettled: !self.desired.members.is_empty(),
        }
    }

    /// The twin that a record holds.
    ///
    /// # Errors
    /// [`Corrupt`] if a column does not hold what [`Twin::to_record`] writes there.
    pub fn from_record(record: &Record) -> Result<Self, Corrupt> {
        let document = |column, state, meta| {
            Document::parse(state, meta).map_err(|source| Corrupt { column, source })
        };
        let reported = document("reported", &record.reported, &record.reported_meta)?;
        let desired = document("desired", &record.desired, &record.desired_meta)?;
        let declined = document("declined", &record.declined, &record.declined_meta)?;
        let has_reported = reported.trn.is_some() || !reported.members.is_empty();
        let mut ledger = Ledger::parse(&record.sent, has_reported)
            .map_err(|source| Corrupt { column: "sent", source })?;
        if is_blank(&record.sent) {
            let seen = [reported.trn(), desired.trn()].into_iter().flatten().map(Trn::get);
            ledger.highest = seen.max().unwrap_or_default();
        }
        Ok(Self {
            reported,
            desired,
            declined,
            version: record.version,
            revision: record.revision,
            ledger,
            presence: match record.online {
                Some(true) => Presence::Online,
                Some(false) => Presence::Offline,
                None => Presence::Unknown,
            },
            session: record.session,
        })
    }
}

/// Whether nothing was ever written down of what was sent, as in a row of the original manager.
fn is_blank(sent: &str) -> bool {
    sent.is_empty() || sent == "{}"
}

/// A tree of strings and numbers always has a text.
fn text<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
