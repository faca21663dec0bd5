//! The database: the only place that names diesel.
//!
//! [`start()`] opens it and starts [`Store`], the actor that everybody talks to. It never waits: it
//! gathers what comes, and hands it in batches to threads of its own, one transaction or query at a
//! time. A [`Commit`] waits in the queue, newest per twin; its batch goes out as soon as the one
//! before is done; [`Committed`] says that it lies in the database. What fails for the database's
//! sake is tried again until it works; what fails for one twin's sake is halved until it is alone.

mod acl;
mod apart;
mod asker;
mod committer;
mod connection;
mod counters;
mod deleted;
mod directory;
mod error;
mod examine;
mod fault;
mod front;
mod grants;
mod lane;
mod loader;
mod lock;
mod look;
mod migrations;
mod numbers;
mod queue;
mod reach;
mod reader;
mod rows;
mod schema;
mod select;
mod selector;
mod start;
mod takeover;
mod target;
mod told;
mod transaction;
mod twins;
mod untold;
mod upsert;
mod users;
mod watch;
mod writer;

use std::{sync::Arc, time::Duration};

use actix::prelude::*;
use serde_json::Value;

use crate::{
    protocol::{GroupName, Query, ThingId},
    twin::Record,
};

/// A row of the broker's access table.
pub use crate::rights::Row as AclRow;
pub use counters::{Count, Counters};
pub use directory::{Decision, Membership, Skipped};
pub use error::StoreError;
pub use examine::examine;
pub use front::Store;
pub use grants::{Changes, grant, revoke, rows};
pub use look::{groups, members};
pub use start::{migrate, start};
pub use target::{Target, TargetError};
pub use users::{
    User, add_user, mosquitto_passwords, others_hashes, remove_user, set_password, users,
};

/// Has a twin committed. Of several for one twin the last one counts, and answers for all before it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Commit {
    /// Whose twin it is.
    pub id: ThingId,
    /// The revision that this change makes: above that of any change before it.
    pub revision: u64,
    /// What becomes of the twin's row.
    pub change: Change,
    /// The number of the last inbox entry in it.
    pub applied: Applied,
    /// Who is told when it is done.
    pub reply: Recipient<Committed>,
}

/// Everything of a twin up to this revision is told: its row need not be told again after a crash.
///
/// It is written down in its own time: with others, and only if the row has not changed by then.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Told {
    /// Whose twin it is.
    pub id: ThingId,
    /// The revision.
    pub revision: u64,
}

/// No message that came before this epoch will be handed on again: what was kept for that can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct ForgetBefore(pub i64);

/// What a commit does to a twin's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The row becomes this.
    Put(Box<Record>),
    /// The row goes.
    Delete,
}

/// The last entry of the inbox that a row holds. Epochs rise from start to start, so that these are in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Applied {
    /// The start of the manager at which the entry came.
    pub epoch: i64,
    /// The entry's number; 0 before the first.
    pub number: u64,
}

/// A change is in the database, or cannot be.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Committed {
    /// Whose twin it is.
    pub id: ThingId,
    /// Everything up to this revision is meant.
    pub revision: u64,
    /// Why the database does not take this twin, while it takes others.
    pub refused: Option<String>,
}

/// Asks for a twin. It waits while the database is away.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Load {
    /// Whose twin.
    pub id: ThingId,
    /// Whether commits of it may be under way, which have to be over first.
    pub after_commits: bool,
    /// Who gets it.
    pub reply: Recipient<Loaded>,
}

/// A twin as it lies in the database.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Loaded {
    /// Whose twin it is.
    pub id: ThingId,
    /// Its row, if there is one.
    pub row: Option<Row>,
    /// The inbox entry that deleted it, if there is no row and that entry may come again.
    pub deleted: Option<Applied>,
}

/// A twin's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The twin.
    pub record: Record,
    /// The last inbox entry in it.
    pub applied: Applied,
    /// Whether something of it may not have been told.
    pub untold: bool,
}

/// Asks for the things whose twins are not settled, in order of id, a page at a time.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ListUnsettled {
    /// The last id of the page before; none for the first page.
    pub after: Option<ThingId>,
    /// The most ids in the answer.
    pub limit: usize,
    /// Who gets the page.
    pub reply: Recipient<Unsettled>,
}

/// A page of the things whose twins are not settled; an empty one is the last.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Unsettled(pub Vec<ThingId>);

/// Asks who is a member of a group. It waits while the database is away.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ListMembers {
    /// By what the answer is known.
    pub ticket: u64,
    /// Whose members.
    pub group: GroupName,
    /// The rows of the broker's access table about the group, if they are known; else they are read.
    pub rows: Option<Arc<[AclRow]>>,
    /// Whether others wait for the answer who have nothing to do with the group: then it comes first. A question that
    /// was asked already, under the same ticket, is moved there.
    pub is_urgent: bool,
    /// Who gets them.
    pub reply: Recipient<Members>,
}

/// Who is a member of a group, by the broker's access table.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Members {
    /// Which question it answers.
    pub ticket: u64,
    /// Whose members.
    pub group: GroupName,
    /// The members in order of id; or why the table does not say it.
    pub members: Result<Arc<[ThingId]>, String>,
    /// Rows about the group that count for nothing.
    pub skipped: Vec<Skipped>,
    /// The rows about the group, if one of them names everybody: then its members change with the twins.
    pub of_everybody: Option<Arc<[AclRow]>>,
}

/// Asks a query of twins as they are in the database. One that waits when the database goes away is dropped.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Select {
    /// By what the answer is known.
    pub ticket: u64,
    /// What is asked.
    pub query: Arc<Query>,
    /// What goes back with the answer.
    pub mark: Option<Value>,
    /// The group whose members are asked.
    pub group: GroupName,
    /// Whose twins, in the order of the answer. Who has none gives no row.
    pub ids: Arc<[ThingId]>,
    /// The session at the broker for which presence is told.
    pub session: i64,
    /// The most bytes of the answer.
    pub limit: usize,
    /// Who gets the answer.
    pub reply: Recipient<Selected>,
}

/// The answer to a [`Select`].
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Selected {
    /// Which one.
    pub ticket: u64,
    /// The payload that answers the query.
    pub result: Result<Arc<[u8]>, SelectFault>,
    /// Twins that are not in it because their row holds none, and why.
    pub unreadable: Vec<(ThingId, String)>,
}

/// Why a query over many twins has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectFault {
    /// The answer would be too large.
    #[error("{0}")]
    TooLarge(String),
    /// The evaluation has a fault.
    #[error("the manager has a fault; this query was not answered")]
    Internal,
}

impl SelectFault {
    fn of_bytes(limit: usize) -> Self {
        Self::TooLarge(format!(
            "the answer has more bytes than go to the broker in one packet ({limit}); select less, or ask for fewer \
             twins with where"
        ))
    }
}

/// Keeps the number of the manager's session at the broker. It waits while the database is away.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SaveSession(pub i64);

/// Answered as long as the actor lives and has its turn.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct SignOfLife;

/// Waits until everything is written, what can wait included: the end is near.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Finish;

/// Whether the database answers.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub enum Health {
    /// It does (again).
    Here,
    /// It does not, and why.
    Away(String),
}

/// How the store works.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// Where the database is.
    pub target: Target,
    /// The most rows in one transaction, from 1.
    pub batch_rows: usize,
    /// The most bytes of documents in one transaction; one larger row goes alone.
    pub batch_bytes: usize,
    /// A transaction that takes longer is abandoned with its connection, and tried again.
    pub commit_timeout: Duration,
}

/// What the database held when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The number of this start, above that of any other on this database.
    pub epoch: i64,
    /// The things whose last change may not have been told.
    pub untold: Vec<ThingId>,
    /// The session at the broker that presence was last learnt in; 0 if none.
    pub session: i64,
    /// How many twins there are.
    pub things: u64,
}
