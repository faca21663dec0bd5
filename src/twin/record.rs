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
    /// What the thing was asked and did not do.
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
