//! The wire: what devices, clients and the manager say to each other, as types.
//!
//! The only place that knows how topics are spelled and what their payloads look like.

mod ids;
mod number;
mod payload;
mod time;
mod topic;

pub use ids::{GroupName, IdError, MAX_ID_BYTES, ThingId};
pub use number::{same_number, same_value, whole_number};
pub use payload::{
    Bad, Code, DEFAULT_PAYLOAD_LIMIT, GetRequest, MAX_DEPTH, Problem, Report, ReportKind,
    SetRequest, Trn, delete_answer, parse_delete, state_get, state_whole,
};
pub use time::Timestamp;
pub use topic::{
    GroupTopic, ResponseTopic, ResponseTopicError, ThingTopic, Topic, TopicError, manager_filters,
};
