//! Asking the members of a group, and waiting for what they make of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::IntoFuture,
    pin::Pin,
    time::Duration,
};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    Ask, Client, ClientError, GroupName, Note, Question, SetOutcome, Settled, ThingId, TwinUpdate,
    Verb, Watch, members_of, watch::is_older,
};
use crate::protocol::Topic;

/// How many things are asked for by name, and not with all others of their group.
const NAMED: usize = 500;

/// The things that a group has.
///
/// ```no_run
/// # use twinthing::client::{Client, ClientError};
/// # async fn example(client: &Client) -> Result<(), ClientError> {
/// let garden = client.group(&"garden".parse().expect("a name"));
/// for (id, twin) in garden.twins().await? {
///     println!("{id}: {:?}", twin.reported);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Group {
    client: Client,
    name: GroupName,
}

impl Group {
    pub(super) fn new(client: Client, name: GroupName) -> Self {
        Self { client, name }
    }

    /// What is asked of the twins of all members that have one, in the shape that is asked for.
    ///
    /// ```no_run
    /// use serde_json::json;
    /// # use twinthing::client::{Ask, Client, ClientError};
    /// # async fn example(client: &Client) -> Result<(), ClientError> {
    /// # let garden = client.group(&"garden".parse().expect("a name"));
    /// let warm = json!({"column": "reported.temp", "op": ">", "value": 25});
    /// let ask = Ask::new().select(["clientId", "reported.temp"]).only(warm).orient("values");
    /// println!("{}", garden.query(&ask).await?); // [["roof", 27.5], …]
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn query(&self, ask: &Ask) -> Result<Value, ClientError> {
        let question = self.question(Verb::Get, ask.payload());
        self.client.result(question, "res").await
    }

    /// The members that have a twin, with it.
    ///
    /// ```no_run
    /// # use twinthing::client::{Client, ClientError};
    /// # async fn example(client: &Client) -> Result<(), ClientError> {
    /// # let garden = client.group(&"garden".parse().expect("a name"));
    /// let twins = garden.twins().await?;
    /// let away = twins.values().filter(|twin| twin.online == Some(false)).count();
    /// println!("{away} of {} are away", twins.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn twins(&self) -> Result<BTreeMap<ThingId, TwinUpdate>, ClientError> {
        self.twins_by(&Ask::new()).await
    }

    async fn twins_by(&self, ask: &Ask) -> Result<BTreeMap<ThingId, TwinUpdate>, ClientError> {
        let what = format!("TWIN/GET of group {}", self.name);
        let rows = self.query(ask).await?;
        let rows = rows.as_array().ok_or_else(|| ClientError::odd(&what, "res is no list"))?;
        let twin = |row: &Value| {
            let id = row.get("clientId").and_then(Value::as_str).and_then(|id| id.parse().ok());
            let id = id.ok_or_else(|| ClientError::odd(&what, "a row has no clientId"))?;
            let row = row.as_object().cloned().unwrap_or_default();
            let twin = TwinUpdate::from_object(row).map_err(|bad| ClientError::bad(&what, &bad))?;
            Ok((id, twin))
        };
        rows.iter().map(twin).collect()
    }

    /// The ids of the members that have a twin.
    ///
    /// ```no_run
    /// # use twinthing::client::{Client, ClientError};
    /// # async fn example(client: &Client) -> Result<(), ClientError> {
    /// # let garden = client.group(&"garden".parse().expect("a name"));
    /// println!("{} things have a twin", garden.members().await?.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn members(&self) -> Result<Vec<ThingId>, ClientError> {
        let what = format!("TWIN/GET of group {}", self.name);
        let rows = self.query(&Ask::new().select(["clientId"]).orient("values")).await?;
        let id = |row: &Value| row.get(0)?.as_str()?.parse().ok();
        let ids = rows.as_array().and_then(|rows| rows.iter().map(id).collect());
        ids.ok_or_else(|| ClientError::odd(&what, "res is no list of ids"))
    }

    /// Asks all members for this; await it, and it is committed of all of them. Or await [`GroupSet::settled`].
    ///
    /// ```no_run
    /// use serde_json::json;
    /// # use twinthing::client::{Client, ClientError};
    /// # async fn example(client: &Client) -> Result<(), ClientError> {
    /// # let garden = client.group(&"garden".parse().expect("a name"));
    /// let outcome = garden.set(json!({"water": true})).await?;
    /// println!("{} of {} are told", outcome.changed.len(), outcome.members);
    /// # Ok(())
    /// # }
    /// ```
    pub fn set(&self, members: impl Serialize) -> GroupSet {
        let asked = members_of(&members);
        GroupSet { group: self.clone(), asked, from: None, version: None }
    }

    fn question(&self, verb: Verb, payload: Map<String, Value>) -> Question {
        let name = &self.name;
        Question {
            what: format!("TWIN/{} of group {name}", verb.levels()),
            twin: format!("GRP/{name}/TWIN"),
            verb,
            payload,
        }
    }
}

/// A SET of a group that is not sent yet: await it, or [`GroupSet::settled`].
///
/// ```no_run
/// use serde_json::json;
/// # use twinthing::client::{Client, ClientError};
/// # async fn example(client: &Client) -> Result<(), ClientError> {
/// let lamp = "lamp".parse().expect("an id");
/// # let garden = client.group(&"garden".parse().expect("a name"));
/// let set = garden.set(json!({"water": true})).from([lamp]);
/// // Nothing has been sent yet.
/// println!("{:?}", set.await?.changed);
/// # Ok(())
/// # }
/// ```
#[must_use = "it is not sent before it is awaited"]
#[derive(Debug)]
pub struct GroupSet {
    group: Group,
    asked: Result<Map<String, Value>, ClientError>,
    from: Option<BTreeSet<ThingId>>,
    version: Option<u64>,
}

/// What the members of a group have made of a SET.
///
/// ```
/// use serde_json::{Map, json};
/// use twinthing::client::{GroupSettled, Settled};
///
/// let mut settled = GroupSettled::default();
/// let open = Settled { open: Map::from_iter([("on".into(), json!(true))]), ..Settled::default() };
/// settled.things.insert("lamp".parse()?, open);
/// assert_eq!(settled.open().count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupSettled {
    /// Whom it was for, and who was refused.
    pub outcome: SetOutcome,
    /// What has become of it with each member.
    pub things: BTreeMap<ThingId, Settled>,
}

impl GroupSettled {
    /// The members that have not answered for all of it.
    ///
    /// ```
    /// use twinthing::client::{GroupSettled, Settled};
    ///
    /// let mut settled = GroupSettled::default();
    /// settled.things.insert("lamp".parse()?, Settled::default());
    /// assert_eq!(settled.open().count(), 0, "nothing is open with the lamp");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(&self) -> impl Iterator<Item = &ThingId> {
        self.things.iter().filter(|(_, settled)| !settled.is_over()).map(|(id, _)| id)
    }
}

impl GroupSet {
    /// Only these of the members. If there are none, nobody is asked.
    ///
    /// ```no_run
    /// use serde_json::json;
    /// # use twinthing::client::{Client, ClientError};
    /// # async fn example(client: &Client) -> Result<(), ClientError> {
    /// # let garden = client.group(&"garden".parse().expect("a name"));
    /// let nobody = garden.set(json!({"water": true})).from([]).await?;
    /// assert_eq!(nobody.members, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn from(mut self, ids: impl IntoIterator<Item = ThingId>) -> Self {
        self.from = Some(ids.into_iter().collect());
        self
    }

    /// Only members whose twin is at this version; the others are refused.
    ///
    /// ```no_run
    /// use serde_json::json;
    /// # use twinthing::client::{Client, ClientError};
    /// # async fn example(client: &Client) -> Result<(), ClientError> {
    /// # let garden = client.group(&"garden".parse().expect("a name"));
    /// let outcome = garden.set(json!({"water": true})).if_version(7).await?;
    /// println!("at another version: {:?}", outcome.refused);
    /// # Ok(())
    /// # }
    /// ```
    pub fn if_version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    async fn committed(self) -> Result<SetOutcome, ClientError> {
        let mut payload = Map::from_iter([("set".to_owned(), Value::Object(self.asked?))]);
        if let Some(from) = &self.from {
            // An empty list would be all members.
            if from.is_empty() {
                return Ok(SetOutcome::default());
            }
            payload.insert("from".to_owned(), from.iter().map(ThingId::as_str).collect());
        }
        if let Some(version) = self.version {
            payload.insert("version".to_owned(), version.into());
        }
        let question = self.group.question(Verb::GroupSet, payload);
        let what = question.what.clone();
        let set = self.group.client.result(question, "set").await?;
        SetOutcome::from_value(&set).ok_or_else(|| ClientError::odd(&what, "set is no outcome"))
    }

    /// Sends it, waits until it is committed, and then until all things that it was for have answered for all of it, but
    /// no longer than this.
    ///
    /// `progress` is called with how many of how many have answered, whenever that becomes different.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// use serde_json::json;
    /// # use twinthing::client::{Client, ClientError};
    /// # async fn example(client: &Client) -> Result<(), ClientError> {
    /// # let garden = client.group(&"garden".parse().expect("a name"));
    /// let show = |over, of| println!("{over} of {of} have answered");
    /// let settled = garden.set(json!({"water": true})).settled(Duration::from_secs(30), show).await?;
    /// println!("open: {:?}", settled.open().collect::<Vec<_>>());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`], if it is not committed. That things do not answer is none.
    pub async fn settled(
        self,
        timeout: Duration,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<GroupSettled, ClientError> {
        let group = self.group.clone();
        let asked = match &self.asked {
            Ok(asked) => asked.clone(),
            Err(_) => return self.committed().await.map(|_| GroupSettled::default()),
        };
        let mut watched: BTreeSet<ThingId> = group.members().await?.into_iter().collect();
        if let Some(from) = &self.from {
            watched.retain(|id| from.contains(id));
        }
        let mut watches = vec![group.client.updates(watched.iter().cloned()).await?];
        let outcome = self.committed().await?;
        let addressed: BTreeSet<_> = outcome.changed.union(&outcome.unchanged).cloned().collect();
        // Who had no twin before is not watched yet. One whom we may not watch stays open.
        let new: Vec<_> = addressed.difference(&watched).cloned().collect();
        if !new.is_empty()
            && let Ok(watch) = group.client.updates(new).await
        {
            watches.push(watch);
        }
        let nothing = Settled::of(&asked, &TwinUpdate::default());
        let open = Settled { open: asked.clone(), ..Settled::default() };
        let first = |id: &ThingId| {
            // Nothing was to be done, and there may be no twin.
            let is_over = outcome.unchanged.contains(id) && nothing.is_taken();
            (id.clone(), (None, if is_over { nothing.clone() } else { open.clone() }))
        };
        let things = addressed.iter().map(first).collect();
        let waiting = Waiting { group, asked, things };
        let things = waiting.settle(watches, timeout, &mut progress).await;
        Ok(GroupSettled { outcome, things })
    }
}

struct Waiting {
    group: Group,
    asked: Map<String, Value>,
    /// What each has made of it, by the twin that was told last.
    things: BTreeMap<ThingId, (Option<TwinUpdate>, Settled)>,
}

impl Waiting {
    async fn settle(
        mut self,
        watches: Vec<Watch>,
        timeout: Duration,
        progress: &mut impl FnMut(usize, usize),
    ) -> BTreeMap<ThingId, Settled> {
        let client = self.group.client.clone();
        let out_of_time = client.after(timeout);
        tokio::pin!(out_of_time);
        let mut watches = watches.into_iter();
        let (mut first, mut second) = (watches.next(), watches.next());
        let mut is_to_be_looked_at = true;
        let mut told = None;
        loop {
            let over = self.things.values().filter(|(_, settled)| settled.is_over()).count();
            if told.replace(over) != Some(over) {
                progress(over, self.things.len());
            }
            if over == self.things.len() {
                break;
            }
            if std::mem::take(&mut is_to_be_looked_at) {
                tokio::select! {
                    () = self.look_at_all() => {}
                    () = &mut out_of_time => break,
                }
                continue;
            }
            let note = tokio::select! {
                note = next_of(first.as_mut()) => note,
                note = next_of(second.as_mut()) => note,
                () = &mut out_of_time => break,
            };
            match note {
                // Closed: nothing more is heard.
                None => break,
                Some(Note::Gap) => is_to_be_looked_at = true,
                Some(Note::Got(got)) => self.hear(&got.topic, &got.payload),
            }
        }
        self.things.into_iter().map(|(id, (_, settled))| (id, settled)).collect()
    }

    /// Asks for the twins of all that have not answered: what each has made of it by then.
    async fn look_at_all(&mut self) {
        let open: Vec<ThingId> = self.open().cloned().collect();
        // All of each: by its times it is known which of two is the older one.
        let mut ask = Ask::new();
        if open.len() <= NAMED {
            let ids: Vec<&str> = open.iter().map(ThingId::as_str).collect();
            ask = ask.only(json!({"column": "clientId", "op": "IN", "value": ids}));
        }
        match self.group.twins_by(&ask).await {
            Ok(twins) => twins.into_iter().for_each(|(id, twin)| self.look(&id, twin)),
            // Too much for one answer, or nobody there to give one: each is told of by itself.
            Err(_) => open.iter().for_each(|id| self.group.client.look_at(id)),
        }
    }

    fn open(&self) -> impl Iterator<Item = &ThingId> {
        self.things.iter().filter(|(_, (_, settled))| !settled.is_over()).map(|(id, _)| id)
    }

    fn hear(&mut self, topic: &str, payload: &[u8]) {
        if let Ok(Topic::Thing(id, _)) = topic.parse()
            && let Ok(twin) = TwinUpdate::parse(payload)
        {
            self.look(&id, twin);
        }
    }

    /// A twin that comes late says nothing new.
    fn look(&mut self, id: &ThingId, twin: TwinUpdate) {
        let Some((known, settled)) = self.things.get_mut(id) else { return };
        if known.as_ref().is_none_or(|known| !is_older(&twin, known)) {
            *settled = Settled::of(&self.asked, &twin);
            *known = Some(twin);
        }
    }
}

/// What a watch is told next; nothing for ever, if there is none.
async fn next_of(watch: Option<&mut Watch>) -> Option<Note> {
    match watch {
        Some(watch) => watch.note().await,
        None => std::future::pending().await,
    }
}

impl IntoFuture for GroupSet {
    type Output = Result<SetOutcome, ClientError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.committed())
    }
}
