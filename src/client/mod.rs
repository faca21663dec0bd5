//! For those who build applications: asking twins, and waiting for what comes of it.
//!
//! A [`Client`] has one connection, and any number of requests on their way over it. It works from any runtime, and
//! from none ([`block_on`]): it has a thread of its own.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use serde_json::json;
//! use twinthing::{
//!     client::{Ask, Client},
//!     mqtt::Access,
//! };
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(Access::new("my-app", "127.0.0.1")?)?;
//! let lamp = "lamp".parse()?;
//!
//! let twin = client.get(&lamp).await?;
//! println!("the lamp says it is {:?}", twin.reported.get("on"));
//!
//! // Committed: the lamp will be told, whenever it is there.
//! client.set(&lamp, json!({"on": true})).await?;
//! // Or wait for what it makes of it.
//! let outcome = client.set(&lamp, json!({"brightness": 200})).settled(Duration::from_secs(5)).await?;
//! println!("taken {:?}, declined {:?}, open {:?}", outcome.taken, outcome.declined, outcome.open);
//!
//! let warm = Ask::new().select(["clientId", "reported.temp"]).only(json!({
//!     "column": "reported.temp", "op": ">", "value": 25,
//! }));
//! println!("{}", client.group(&"garden".parse()?).query(&warm).await?);
//! # Ok(())
//! # }
//! ```
//!
//! By MQTT 5, which is the default, a request carries a response topic of the client's own and correlation data; by
//! MQTT 3.1.1 its `query`, and the client listens on the twin's own topic for the answer. What it has to be allowed to
//! do by the broker: publish to `TNG/<id>/TWIN/GET`, `SET` and `DEL` of the things it works with, subscribe to their
//! `TWIN/UPD`, the same with `GRP/<group>`, and subscribe to `TNG/<user name>/TPC/RES/<client id>`, or without a user name
//! to `TNG/<client id>/TPC/RES/TWIN`; or, by MQTT 3.1.1, to
//! `TNG/<id>/TWIN/RES` and `GRP/<group>/TWIN/RES`.

mod ask;
mod desk;
mod error;
mod group;
mod handle;
mod listener;
mod listening;
mod question;
mod set;
mod settle;
mod watch;

pub use self::{
    ask::Ask,
    error::ClientError,
    group::{Group, GroupSet, GroupSettled},
    handle::Client,
    listener::{Listener, Message},
    set::{Set, members_of},
    settle::Settled,
    watch::{Change, Watch},
};
use self::{
    listening::Note,
    question::{Question, Verb},
};
pub use crate::{
    mqtt::{Access, Runner, Secret, Version},
    protocol::{AppTopic, GroupName, SetOutcome, ThingId, TwinUpdate},
};

/// Waits for something asynchronous where nothing is: on this thread, which must not be that of the client.
///
/// ```
/// assert_eq!(twinthing::client::block_on(async { 1 + 1 }), 2);
/// ```
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}
