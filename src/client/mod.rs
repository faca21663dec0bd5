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
//! `TWIN/UPD`, the same with `GRP/<group>`, and subscribe to `TNG/<itself>/TPC/RES/#`, or, by MQTT 3.1.1, to
//! `TNG/<id>/TWIN/RES` and `GRP/<group>/TWIN/RES`.

mod ask;
mod desk;
mod error;
mod group;
mod listening;
mod set;
mod settle;
mod watch;

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use actix::prelude::*;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};

pub use self::{
    ask::Ask,
    error::ClientError,
    group::{Group, GroupSet, GroupSettled},
    set::{Set, members_of},
    settle::Settled,
    watch::{Change, Watch},
};
use self::{
    desk::{Close, Desk, Leave, Listen, Publish, Question, Verb, Wake},
    listening::Note,
};
pub use crate::{
    mqtt::{Access, Runner, Secret, Version},
    protocol::{AppTopic, GroupName, SetOutcome, ThingId, TwinUpdate},
};
use crate::{
    mqtt::{Role, Wire, check_access},
    protocol::{ThingTopic, Topic},
};

/// How long an answer is waited for, unless set otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for something asynchronous where nothing is: on this thread.
///
/// ```
/// assert_eq!(twinthing::client::block_on(async { 1 + 1 }), 2);
/// ```
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}

/// One who works through twins. Copies are the same client; it disconnects when the last one is gone.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
    patience: Duration,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.handle.id)
    }
}

struct Handle {
    id: ThingId,
    desk: Addr<Desk>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.desk.do_send(Close);
    }
}

/// A message as it came, on a topic that is listened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it came.
    pub topic: String,
    /// What it says.
    pub payload: Vec<u8>,
    /// Whether the broker had kept it from earlier.
    pub retained: bool,
}

impl Client {
    /// A client with the id of this access, and a thread of its own. It begins to connect; what is asked meanwhile
    /// waits for that.
    ///
    /// # Errors
    /// [`ClientError`] for an access with which nobody can connect. A broker that is away is no error.
    pub fn connect(access: Access) -> Result<Self, ClientError> {
        let runner = Runner::start(access.client_id.as_str())?;
        Self::connect_on(access, &runner)
    }

    /// The same on this thread, where there may be others.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub fn connect_on(access: Access, runner: &Runner) -> Result<Self, ClientError> {
        let id = access.client_id.clone();
        let filters = match access.version {
            Version::V3 => Vec::new(),
            Version::V5 => vec![Desk::answers(&id)],
        };
        check_access(&access, &filters)?;
        let (stay, of, version) = (runner.clone(), id.clone(), access.version);
        let desk = runner.call(move || {
            Desk::create(|ctx| {
                let wire = Wire::open(access, Role::Client, filters, ctx.address().recipient());
                Desk::new(of, version, wire, stay)
            })
        })?;
        Ok(Self { handle: Arc::new(Handle { id, desk }), patience: PATIENCE })
    }

    /// The same client, which waits so long for an answer; 10 s unless this is called.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &ThingId {
        &self.handle.id
    }

    /// Waits until it is connected, or until it is known why it cannot be. It goes on trying either way: who needs not
    /// know asks right away, and is answered when the broker is there.
    ///
    /// # Errors
    /// [`ClientError::Offline`] says why the last attempt failed.
    pub async fn connected(&self) -> Result<(), ClientError> {
        let (tell, told) = oneshot::channel();
        self.handle.desk.do_send(desk::Connected(tell));
        told.await.unwrap_or(Err(ClientError::Closed))
    }

    /// The twin of a thing. Of one that nobody has heard of it is empty, with version 0.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn get(&self, id: &ThingId) -> Result<TwinUpdate, ClientError> {
        let what = format!("TWIN/GET of {id}");
        let rows = self.asked(self.thing(id, Verb::Get, Ask::new().payload())).await?;
        match rows.get("res").and_then(|rows| rows.get(0)) {
            None => Ok(TwinUpdate::default()),
            Some(Value::Object(row)) => {
                TwinUpdate::from_object(row.clone()).map_err(|bad| ClientError::bad(&what, &bad))
            }
            Some(_) => Err(ClientError::odd(&what, "its row is no object")),
        }
    }

    /// What is asked of the twin of one thing, in the shape that is asked for.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn query(&self, id: &ThingId, ask: &Ask) -> Result<Value, ClientError> {
        let question = self.thing(id, Verb::Get, ask.payload());
        self.result(question, "res").await
    }

    /// Asks a thing for these members, which serde writes as an object; null asks for removal. Await it, and it is
    /// committed: the thing will be told, whenever it is there. Or await [`Set::settled`].
    pub fn set(&self, id: &ThingId, members: impl serde::Serialize) -> Set {
        Set::new(self.clone(), id.clone(), members_of(&members))
    }

    /// Has the twin forgotten: whether there was one. A later report starts it anew.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn delete(&self, id: &ThingId) -> Result<bool, ClientError> {
        let what = format!("TWIN/DEL of {id}");
        let deleted = self.result(self.thing(id, Verb::Delete, Map::new()), "deleted").await?;
        deleted.as_bool().ok_or_else(|| ClientError::odd(&what, "deleted is no boolean"))
    }

    /// What becomes of the twins of these things from now on.
    ///
    /// # Errors
    /// [`ClientError`], if the broker does not let us listen.
    pub async fn watch(
        &self,
        ids: impl IntoIterator<Item = ThingId>,
    ) -> Result<Watch, ClientError> {
        let ids: Vec<ThingId> = ids.into_iter().collect();
        let presence = ids.iter().map(|id| format!("TNG/{id}/LC/+")).collect();
        self.updates(ids).await?.with_presence(presence).await
    }

    /// What becomes of the twins of all things from now on.
    ///
    /// # Errors
    /// [`ClientError`], if the broker does not let us listen.
    pub async fn watch_all(&self) -> Result<Watch, ClientError> {
        let listener = self.listen(vec!["TNG/+/TWIN/UPD".to_owned()]).await?;
        let watch = Watch::new(listener, BTreeSet::new());
        watch.with_presence(vec!["TNG/+/LC/+".to_owned()]).await
    }

    /// A watch that does not care for presence.
    async fn updates(&self, ids: impl IntoIterator<Item = ThingId>) -> Result<Watch, ClientError> {
        let ids: BTreeSet<ThingId> = ids.into_iter().collect();
        let topic = |id: &ThingId| Topic::Thing(id.clone(), ThingTopic::TwinUpd).to_string();
        let listener = self.listen(ids.iter().map(topic).collect()).await?;
        Ok(Watch::new(listener, ids))
    }

    /// The group of this name.
    #[must_use]
    pub fn group(&self, name: &GroupName) -> Group {
        Group::new(self.clone(), name.clone())
    }

    /// Messages by these filters, as they are, once the broker has granted them all.
    ///
    /// # Errors
    /// [`ClientError`], if it does not, or not in time.
    pub async fn listen(&self, filters: Vec<String>) -> Result<Listener, ClientError> {
        let what = match filters.as_slice() {
            [one] => format!("a subscription to {one}"),
            many => format!("{} subscriptions", many.len()),
        };
        let (notes, told) = mpsc::unbounded_channel();
        let (ready, is_ready) = oneshot::channel();
        self.handle.desk.do_send(Listen { filters, notes, ready });
        tokio::select! {
            ready = is_ready => {
                let number = ready.unwrap_or(Err(ClientError::Closed))?;
                Ok(Listener { told, number, client: self.clone() })
            }
            () = self.after(self.patience) => {
                let why = "the broker has not answered".to_owned();
                Err(ClientError::Timeout { what, after: self.patience, why })
            }
        }
    }

    /// Publishes on any topic, and waits until the broker has it.
    ///
    /// # Errors
    /// [`ClientError`] if there is no connection, it is lost first, or the broker refuses it.
    pub async fn publish(
        &self,
        topic: &str,
        payload: impl Into<Vec<u8>>,
    ) -> Result<(), ClientError> {
        let (tell, told) = oneshot::channel();
        let publish = Publish { topic: topic.to_owned(), payload: payload.into(), tell };
        self.handle.desk.do_send(publish);
        let lost = || Err(ClientError::Unsure { what: format!("a publish to {topic}") });
        told.await.unwrap_or_else(|_| lost())
    }

    /// Has the manager tell of a twin once more, on its `TWIN/UPD`, if we may ask.
    fn look_at(&self, id: &ThingId) {
        let topic = Topic::Thing(id.clone(), ThingTopic::TwinGet).to_string();
        let (tell, _) = oneshot::channel();
        self.handle.desk.do_send(Publish { topic, payload: b"{}".to_vec(), tell });
    }

    /// Waits for some time, in any runtime.
    pub async fn after(&self, time: Duration) {
        // A client that is closed wakes at once.
        self.handle.desk.send(Wake(time)).await.unwrap_or_default();
    }

    /// Disconnects. What was asked and is not answered is not waited for.
    pub async fn close(&self) {
        // It may be closed already.
        self.handle.desk.send(Close).await.unwrap_or_default();
    }

    fn thing(&self, id: &ThingId, verb: Verb, payload: Map<String, Value>) -> Question {
        let words = match verb {
            Verb::Get => "GET",
            Verb::Set | Verb::GroupSet => "SET",
            Verb::Delete => "DEL",
        };
        Question {
            what: format!("TWIN/{words} of {id}"),
            twin: format!("TNG/{id}/TWIN"),
            verb,
            payload,
        }
    }

    async fn asked(&self, question: Question) -> desk::Answer {
        let (tell, told) = oneshot::channel();
        self.handle.desk.do_send(desk::Ask { question, patience: self.patience, tell });
        told.await.unwrap_or(Err(ClientError::Closed))
    }

    /// The member of an answer that has the result.
    async fn result(&self, question: Question, member: &str) -> Result<Value, ClientError> {
        let what = question.what.clone();
        let mut answer = self.asked(question).await?;
        answer.remove(member).ok_or_else(|| ClientError::odd(&what, format!("it has no {member}")))
    }
}

/// Messages as they come.
pub struct Listener {
    told: mpsc::UnboundedReceiver<Note>,
    number: u64,
    client: Client,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listener({})", self.number)
    }
}

impl Listener {
    /// The next one; none once the client is closed.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            match self.told.recv().await? {
                Note::Gap => {}
                Note::Got(got) => {
                    let (topic, payload, retained) = (got.topic, got.payload, got.retained);
                    return Some(Message { topic, payload, retained });
                }
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.client.handle.desk.do_send(Leave(self.number));
    }
}
