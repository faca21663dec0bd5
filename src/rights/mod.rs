//! Who may do what at the broker: the rows of its access table, what each role needs of them, and what follows from them.
//!
//! Pure: the table itself is read and written by `store`. Everything here goes by a default of deny: what no row allows
//! is refused.

mod emqx;
mod filter;
mod hash;
mod mosquitto;
mod role;
mod verdict;

pub use self::{
    emqx::acl_conf,
    hash::{Hash, HashError, Hashed},
    mosquitto::{NotExported, acl_file, password_line},
    role::{By, Right, Role},
    verdict::{Ask, Verdict, verdict},
};

use crate::protocol::GroupName;

/// The name that stands for everybody.
pub const EVERYBODY: &str = "$all";

/// What a row or a right is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// To publish on a topic.
    Publish,
    /// To subscribe to it, and hear what is published there.
    Subscribe,
    /// Both.
    All,
}

impl Action {
    /// Whether who may do this may do that.
    ///
    /// ```
    /// use twinthing::rights::Action;
    ///
    /// assert!(Action::All.covers(Action::Publish));
    /// assert!(!Action::Publish.covers(Action::All));
    /// ```
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self == Self::All || self == other
    }

    /// As EMQX 5 and people call it.
    ///
    /// ```
    /// assert_eq!(twinthing::rights::Action::Subscribe.word(), "subscribe");
    /// ```
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::All => "all",
        }
    }
}

/// A row of the access table, in whatever layout it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Rows count in the order of these.
    pub id: i64,
    /// Whether it allows or denies; none if it says neither.
    pub allows: Option<bool>,
    /// What it is about; none if it does not say it.
    pub action: Option<Action>,
    /// Whom it names by client id, if it does.
    pub client_id: Option<String>,
    /// Whom it names by user name, if it does.
    pub username: Option<String>,
    /// From where, if it says so.
    pub address: Option<String>,
    /// The topic filter, perhaps with `eq ` before it, or with a place for the name of whoever asks.
    pub topic: String,
}

impl Row {
    /// The group whose members it is about, if it is about one: any other topic, case and all, says nothing.
    ///
    /// ```
    /// use twinthing::rights::{Action, Row};
    ///
    /// let mut row = Row {
    ///     id: 1,
    ///     allows: Some(true),
    ///     action: Some(Action::Subscribe),
    ///     client_id: Some("lamp".into()),
    ///     username: None,
    ///     address: None,
    ///     topic: "GRP/hall/TPC/#".into(),
    /// };
    /// assert_eq!(row.group(), "hall".parse().ok());
    /// row.topic = "GRP/#".into();
    /// assert_eq!(row.group(), None);
    /// ```
    #[must_use]
    pub fn group(&self) -> Option<GroupName> {
        let filter = self.topic.strip_prefix("eq ").unwrap_or(&self.topic);
        let name = filter.strip_prefix("GRP/")?.strip_suffix("/TPC/#")?;
        let subscribes = self.action.is_some_and(|action| action.covers(Action::Subscribe));
        if subscribes { name.parse().ok() } else { None }
    }

    /// Whom it names: its client id, or else its user name; nobody if it names neither.
    ///
    /// ```
    /// use twinthing::rights::{Action, Row};
    ///
    /// let row = Row {
    ///     id: 1,
    ///     allows: Some(true),
    ///     action: Some(Action::Publish),
    ///     client_id: Some(String::new()),
    ///     username: Some("lamp".into()),
    ///     address: None,
    ///     topic: "TNG/lamp/LC/ON".into(),
    /// };
    /// assert_eq!(row.name(), Some("lamp"));
    /// assert_eq!(row.to_string(), "allow lamp publish TNG/lamp/LC/ON");
    /// ```
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let names = [&self.client_id, &self.username];
        names.into_iter().flatten().map(String::as_str).find(|name| !name.is_empty())
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verdict = match self.allows {
            Some(true) => "allow",
            Some(false) => "deny",
            None => "?",
        };
        let address = self.address.as_deref().filter(|address| !address.is_empty());
        let who = self.name().or(address).unwrap_or("nobody");
        write!(f, "{verdict} {who} {} {}", self.action.map_or("?", Action::word), self.topic)
    }
}
