//! The wire: what devices, clients and the manager say to each other, as types.
//!
//! The only place that knows how topics are spelled and what their payloads look like.

mod ids;
mod time;
mod topic;

pub use ids::{GroupName, IdError, MAX_ID_BYTES, ThingId};
pub use time::Timestamp;
pub use topic::{
    GroupTopic, ResponseTopic, ResponseTopicError, ThingTopic, Topic, TopicError, manager_filters,
};
