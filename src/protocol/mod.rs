//! The wire as types: what goes between things, clients and the manager.
//!
//! The only place that knows how topics are spelled and what their payloads look like. Text becomes a
//! type here once, where it comes in, and the type is the proof: nothing behind it looks at strings.
//! `docs/protocol.md` is the contract that these types hold.

mod app_topic;
mod group;
mod ids;
mod number;
mod object;
mod patch;
mod problem;
mod query;
mod report;
mod request;
mod time;
mod topic;
mod trn;
mod update;

pub use app_topic::{AppTopic, AppTopicError, thing_filters};
pub use group::{GroupSetRequest, SetOutcome, parse_group_get};
pub use ids::{GroupName, IdError, MAX_ID_BYTES, ThingId};
pub use number::{Decimal, same_number, same_value, whole_number};
pub use object::{Bad, DEFAULT_PAYLOAD_LIMIT, MAX_DEPTH};
pub(crate) use patch::{Path, at, leaves, merge, without_nulls};
pub use problem::{Code, Problem};
pub(crate) use query::string;
pub use query::{
    Column, Condition, MAX_PATTERN, MAX_QUERY_PARTS, Orient, Output, Part, Pattern, Query,
    QueryError, Scalar, Step, Test,
};
pub use report::{Report, ReportKind, state_whole};
pub use request::{GetRequest, SetRequest, delete_answer, parse_delete, state_get};
pub use time::Timestamp;
pub use topic::{
    GroupTopic, ResponseTopic, ResponseTopicError, ThingTopic, Topic, TopicError, manager_filters,
};
pub use trn::Trn;
pub use update::TwinUpdate;
