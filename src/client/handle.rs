//! One who works through twins.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use actix::prelude::*;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};

use super::{
    Ask, ClientError, Group, Listener, Set, Watch,
    desk::{self, Close, Desk, Listen, LookAt, Publish, Wake},
    listening::WAITING,
    members_of,
    question::{Answer, Question, Verb},
};
use crate::{
    mqtt::{Access, Role, Runner, Version, Wire, check_access, check_filters, check_topic},
    protocol::{GroupName, ThingId, ThingTopic, Topic, TwinUpdate},
};

/// How long an answer is waited for, unless set otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// One who works through twins. Copies are the same client; it disconnects when the last one is gone.
///
/// ```
/// use twinthing::client::{Access, Client};
///
/// let mut access = Access::new("app", "127.0.0.1")?;
/// # access.port = 1;
/// let client = Client::connect(access)?;
/// let same = client.clone(); // for another task
/// assert_eq!(same.id(), client.id());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Client {
    pub(super) handle: Arc<Handle>,
    patience: Duration,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.handle.id)
    }
}

pub(super) struct Handle {
    id: ThingId,
    pub(super) desk: Addr<Desk>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.desk.do_send(Close);
    }
}

impl Client {
    /// A client with the id of this access, and a thread of its own. It begins to connect; what is asked meanwhile
    /// waits for that.
    ///
    /// ```
    /// use twinthing::client::{Access, Client};
    ///
    /// let mut access = Access::new("app", "127.0.0.1")?;
    /// # access.port = 1;
    /// let client = Client::connect(access.clone())?;
    /// assert_eq!(client.id().as_str(), "app");
    /// access.cert_file = Some("own.pem".into()); // and no key
    /// assert!(Client::connect(access).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ClientError`] for an access with which nobody can connect. A broker that is away is no error.
    pub fn connect(access: Access) -> Result<Self, ClientError> {
        let runner = Runner::start(access.client_id.as_str())?;
        Self::connect_on(access, &runner)
    }

    /// The same on this thread, where there may be others.
    ///
    /// ```
    /// use twinthing::client::{Access, Client, Runner};
    ///
    /// let runner = Runner::start("apps")?;
    /// for id in ["app-1", "app-2"] {
    ///     let mut access = Access::new(id, "127.0.0.1")?;
    ///     # access.port = 1;
    ///     assert_eq!(Client::connect_on(access, &runner)?.id().as_str(), id);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub fn connect_on(access: Access, runner: &Runner) -> Result<Self, ClientError> {
        let (id, answers) = (access.client_id.clone(), Desk::answers(&access));
        let filters = match access.version {
            Version::V3 => Vec::new(),
            Version::V5 => vec![answers.clone()],
        };
        check_access(&access, &filters)?;
        let (stay, of, version) = (runner.clone(), id.clone(), access.version);
        let desk = runner.call(move || {
            Desk::create(|ctx| {
                let wire = Wire::open(access, Role::Client, filters, ctx.address().recipient());
                Desk::new(of, answers, version, wire, stay)
            })
        })?;
        Ok(Self { handle: Arc::new(Handle { id, desk }), patience: PATIENCE })
    }

    /// The same client, which waits so long for an answer; 10 s unless this is called.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use twinthing::client::{Access, Client, block_on};
    ///
    /// let mut access = Access::new("app", "127.0.0.1")?;
    /// access.port = 1; // nobody listens there
    /// let client = Client::connect(access)?.with_patience(Duration::from_millis(10));
    /// let error = block_on(client.get(&"lamp".parse()?)).unwrap_err();
    /// assert!(error.to_string().starts_with("no answer to TWIN/GET of lamp within 0.01 s: "));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Its id.
    ///
    /// ```
    /// # use twinthing::client::{Access, Client};
    /// # let mut access = Access::new("app", "127.0.0.1")?;
    /// # access.port = 1;
    /// let client = Client::connect(access)?;
    /// assert_eq!(client.id().as_str(), "app");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn id(&self) -> &ThingId {
        &self.handle.id
    }

    /// Waits until it is connected, or until it is known why it cannot be. It goes on trying either way: who needs not
    /// know asks right away, and is answered when the broker is there.
    ///
    /// ```
    /// use twinthing::client::{Access, Client, ClientError, block_on};
    ///
    /// let mut access = Access::new("app", "127.0.0.1")?;
    /// access.port = 1; // nobody listens there
    /// let client = Client::connect(access)?;
    /// let error = block_on(client.connected()).unwrap_err();
    /// assert!(matches!(error, ClientError::Offline(line) if line.contains("is not reached")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ClientError::Offline`] says why the last attempt failed, [`ClientError::Refused`] why no other will go better.
    pub async fn connected(&self) -> Result<(), ClientError> {
        let (tell, told) = oneshot::channel();
        self.handle.desk.do_send(desk::Connected(tell));
        told.await.unwrap_or(Err(ClientError::Closed))
    }

    /// The twin of a thing. Of one that nobody has heard of it is empty, with version 0.
    ///
    /// ```no_run
    /// # use twinthing::client::{Client, ClientError};
    /// # async fn example(client: &Client) -> Result<(), ClientError> {
    /// let lamp = "lamp".parse().expect("an id");
    /// let twin = client.get(&lamp).await?;
    /// if twin.exists() {
    ///     println!("it is {:?}, and asked to be {:?}", twin.reported, twin.desired);
    /// }
    /// # Ok(())
    /// # }
    /// ```
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
    /// ```no_run
    /// # use twinthing::client::{Ask, Client, ClientError};
    /// # async fn example(client: &Client) -> Result<(), ClientError> {
    /// let lamp = "lamp".parse().expect("an id");
    /// let rows = client.query(&lamp, &Ask::new().select(["reported.on", "online"])).await?;
    /// println!("{}", rows[0]["reported.on"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn query(&self, id: &ThingId, ask: &Ask) -> Result<Value, ClientError> {
        let question = self.thing(id, Verb::Get, ask.payload());
        self.result(question, "res").await
    }

    /// Asks a thing for these members, which serde writes as an object; null asks for removal. Await it, and it is
    /// committed: the thing will be told, whenever it is there. Or await [`Set::settled`].
    ///
    /// ```no_run
    /// use serde_json::json;
    /// # use twinthing::client::{Client, ClientError};
    /// # async fn example(client: &Client) -> Result<(), ClientError> {
    /// let lamp = "lamp".parse().expect("an id");
    /// let twin = client.set(&lamp, json!({"on": true, "name": null})).await?;
    /// println!("at version {} it is asked to be {:?}", twin.version, twin.desired);
    /// # Ok(())
    /// # }
    /// ```
    pub fn set(&self, id: &ThingId, members: impl serde::Serialize) -> Set {
        Set::new(self.clone(), id.clone(), members_of(&members))
    }

    /// Has the twin forgotten: whether there was one. A later report starts it anew.
    ///
    /// ```no_run
    /// # use twinthing::client::{Client, ClientError};
    /// # async fn example(client: &Client) -> Result<(), ClientError> {
    /// let lamp = "lamp".parse().expect("an id");
    /// if !client.delete(&lamp).await? {
    ///     println!("there was no twin");
    /// }
    /// # Ok(())
    /// # }
    /// ```
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
    /// ```no_run
    /// # use twinthing::client::{Client, ClientError};
    /// # async fn example(client: &Client) -> Result<(), ClientError> {
    /// let lamp = "lamp".parse().expect("an id");
    /// let mut watch = client.watch([lamp]).await?;
    /// while let Some(change) = watch.next().await {
    ///     println!("{}: {:?}", change.id, change.reported);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`], if the broker does not let us listen.
    pub async fn watch(
        &self,
        ids: impl IntoIterator<Item = ThingId>,
    ) -> Result<Watch, ClientError> {
        let ids: Vec<ThingId> = ids.into_iter().collect();
        let aside = |levels: &str| ids.iter().map(|id| format!("TNG/{id}/{levels}")).collect();
        let (presence, deleted) = (aside("LC/+"), aside("TWIN/DEL"));
        let watch = self.updates(ids).await?;
        watch.with(presence).await?.with(deleted).await
    }

    /// What becomes of the twins of all things from now on.
    ///
    /// ```no_run
    /// # use twinthing::client::{Client, ClientError};
    /// # async fn example(client: &Client) -> Result<(), ClientError> {
    /// let mut watch = client.watch_all().await?;
    /// while let Some(change) = watch.next().await {
    ///     if change.online == Some(Some(false)) {
    ///         println!("{} has gone", change.id);
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`], if the broker does not let us listen.
    pub async fn watch_all(&self) -> Result<Watch, ClientError> {
        let listener = self.listen(vec!["TNG/+/TWIN/UPD".to_owned()]).await?;
        let watch = Watch::new(listener, BTreeSet::new());
        let watch = watch.with(vec!["TNG/+/LC/+".to_owned()]).await?;
        watch.with(vec!["TNG/+/TWIN/DEL".to_owned()]).await
    }

    /// A watch that does not care for presence.
    pub(super) async fn updates(
        &self,
        ids: impl IntoIterator<Item = ThingId>,
    ) -> Result<Watch, ClientError> {
        let ids: BTreeSet<ThingId> = ids.into_iter().collect();
        let topic = |id: &ThingId| Topic::Thing(id.clone(), ThingTopic::TwinUpd).to_string();
        let listener = self.listen(ids.iter().map(topic).collect()).await?;
        Ok(Watch::new(listener, ids))
    }

    /// The group of this name.
    ///
    /// ```no_run
    /// # use twinthing::client::{Client, ClientError};
    /// # async fn example(client: &Client) -> Result<(), ClientError> {
    /// let garden = client.group(&"garden".parse().expect("a name"));
    /// println!("{:?}", garden.members().await?);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn group(&self, name: &GroupName) -> Group {
        Group::new(self.clone(), name.clone())
    }

    /// Messages by these filters, as they are, once the broker has granted them all.
    ///
    /// ```no_run
    /// # use twinthing::client::{Client, ClientError};
    /// # async fn example(client: &Client) -> Result<(), ClientError> {
    /// let mut pongs = client.listen(vec!["TNG/+/TPC/PONG".to_owned()]).await?;
    /// client.publish("GRP/ALL/TPC/PING", "hello").await?;
    /// while let Some(pong) = pongs.next().await {
    ///     println!("{}", pong.topic);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`], if it does not, or not in time, or one of them is no filter.
    pub async fn listen(&self, filters: Vec<String>) -> Result<Listener, ClientError> {
        check_filters(&filters)?;
        let (notes, told) = mpsc::channel(WAITING);
        let (ready, is_ready) = oneshot::channel();
        let patience = self.patience;
        self.handle.desk.do_send(Listen { filters, patience, notes, ready });
        let number = is_ready.await.unwrap_or(Err(ClientError::Closed))?;
        Ok(Listener { told, number, client: self.clone() })
    }

    /// Publishes on any topic, and waits until the broker has it.
    ///
    /// ```
    /// use twinthing::client::{Access, Client, block_on};
    ///
    /// # let mut access = Access::new("app", "127.0.0.1")?;
    /// # access.port = 1;
    /// let client = Client::connect(access)?;
    /// let error = block_on(client.publish("GRP/+/TPC/WATER", "5 min")).unwrap_err();
    /// assert!(error.to_string().starts_with("\"GRP/+/TPC/WATER\" is no MQTT topic"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ClientError`] if there is no connection, it is lost first, the broker refuses it or does not answer, or the
    /// topic is none.
    pub async fn publish(
        &self,
        topic: &str,
        payload: impl Into<Vec<u8>>,
    ) -> Result<(), ClientError> {
        check_topic(topic)?;
        let (tell, told) = oneshot::channel();
        let (topic, payload, patience) = (topic.to_owned(), payload.into(), self.patience);
        self.handle.desk.do_send(Publish { topic: topic.clone(), payload, patience, tell });
        told.await.unwrap_or_else(|_| {
            let is_closed = !self.handle.desk.connected();
            let what = format!("a publish to {topic}");
            Err(if is_closed { ClientError::Closed } else { ClientError::Unsure { what } })
        })
    }

    /// Has the manager tell of a twin once more, on its `TWIN/UPD`, if we may ask.
    pub(super) fn look_at(&self, id: &ThingId) {
        self.handle.desk.do_send(LookAt(id.clone()));
    }

    /// Waits for some time, in any runtime. On a client that is closed it does not wait.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// # use twinthing::client::{Access, Client, block_on};
    /// # let mut access = Access::new("app", "127.0.0.1")?;
    /// # access.port = 1;
    /// # let client = Client::connect(access)?;
    /// let from = Instant::now();
    /// block_on(client.after(Duration::from_millis(20)));
    /// assert!(from.elapsed() >= Duration::from_millis(20));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn after(&self, time: Duration) {
        // A client that is closed wakes at once.
        self.handle.desk.send(Wake(time)).await.unwrap_or_default();
    }

    /// Disconnects. What was asked and is not answered is not waited for.
    ///
    /// ```
    /// # use twinthing::client::{Access, Client, ClientError, block_on};
    /// # let mut access = Access::new("app", "127.0.0.1")?;
    /// # access.port = 1;
    /// # let client = Client::connect(access)?;
    /// block_on(client.close());
    /// let error = block_on(client.get(&"lamp".parse()?)).unwrap_err();
    /// assert!(matches!(error, ClientError::Closed));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn close(&self) {
        // It may be closed already.
        self.handle.desk.send(Close).await.unwrap_or_default();
    }

    pub(super) fn thing(&self, id: &ThingId, verb: Verb, payload: Map<String, Value>) -> Question {
        Question {
            what: format!("TWIN/{} of {id}", verb.levels()),
            twin: format!("TNG/{id}/TWIN"),
            verb,
            payload,
        }
    }

    pub(super) async fn asked(&self, question: Question) -> Answer {
        let (tell, told) = oneshot::channel();
        self.handle.desk.do_send(desk::Ask { question, patience: self.patience, tell });
        told.await.unwrap_or(Err(ClientError::Closed))
    }

    /// The member of an answer that has the result.
    pub(super) async fn result(
        &self,
        question: Question,
        member: &str,
    ) -> Result<Value, ClientError> {
        let what = question.what.clone();
        let mut answer = self.asked(question).await?;
        answer.remove(member).ok_or_else(|| ClientError::odd(&what, format!("it has no {member}")))
    }
}
