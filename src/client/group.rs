//! Asking the members of a group, and waiting for what they make of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::IntoFuture,
    pin::Pin,
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    Ask, Client, ClientError, GroupName, Note, Question, SetOutcome, Settled, ThingId, TwinUpdate,
    Verb, Watch, members_of,
};
use crate::protocol::Topic;

/// The things that a group has.
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
    /// # Errors
    /// [`ClientError`]
    pub async fn query(&self, ask: &Ask) -> Result<Value, ClientError> {
        let question = self.question(Verb::Get, ask.payload());
        self.client.result(question, "res").await
    }

    /// The members that have a twin, with it.
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
    pub fn set(&self, members: impl Serialize) -> GroupSet {
        GroupSet { group: self.clone(), asked: members_of(&members), from: BTreeSet::new() }
    }

    fn question(&self, verb: Verb, payload: Map<String, Value>) -> Question {
        let words = if verb == Verb::Get { "GET" } else { "SET" };
        let name = &self.name;
        Question {
            what: format!("TWIN/{words} of group {name}"),
            twin: format!("GRP/{name}/TWIN"),
            verb,
            payload,
        }
    }
}

/// A SET of a group that is not sent yet: await it, or [`GroupSet::settled`].
#[must_use = "it is not sent before it is awaited"]
#[derive(Debug)]
pub struct GroupSet {
    group: Group,
    asked: Result<Map<String, Value>, ClientError>,
    from: BTreeSet<ThingId>,
}

/// What the members of a group have made of a SET.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupSettled {
    /// Whom it was for, and who was refused.
    pub outcome: SetOutcome,
    /// What has become of it with each member.
    pub things: BTreeMap<ThingId, Settled>,
}

impl GroupSettled {
    /// The members that have not answered for all of it.
    pub fn open(&self) -> impl Iterator<Item = &ThingId> {
        self.things.iter().filter(|(_, settled)| !settled.is_over()).map(|(id, _)| id)
    }
}

impl GroupSet {
    /// Only these of the members.
    pub fn from(mut self, ids: impl IntoIterator<Item = ThingId>) -> Self {
        self.from = ids.into_iter().collect();
        self
    }

    async fn committed(self) -> Result<SetOutcome, ClientError> {
        let mut payload = Map::from_iter([("set".to_owned(), Value::Object(self.asked?))]);
        if !self.from.is_empty() {
            let from = self.from.iter().map(ThingId::as_str);
            payload.insert("from".to_owned(), from.collect());
        }
        let question = self.group.question(Verb::GroupSet, payload);
        let what = question.what.clone();
        let set = self.group.client.result(question, "set").await?;
        SetOutcome::from_value(&set).ok_or_else(|| ClientError::odd(&what, "set is no outcome"))
    }

    /// Sends it, and waits until all things that it was for have answered for all of it, but no longer than this.
    ///
    /// `progress` is called with how many of how many have answered, whenever that becomes different.
    ///
    /// # Errors
    /// [`ClientError`], if it is not committed. That things do not answer is none.
    pub async fn settled(
        self,
        timeout: Duration,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<GroupSettled, ClientError> {
        let until = Instant::now() + timeout;
        let group = self.group.clone();
        let asked = match &self.asked {
            Ok(asked) => asked.clone(),
            Err(_) => return self.committed().await.map(|_| GroupSettled::default()),
        };
        let ids = match self.from.is_empty() {
            true => group.members().await?,
            false => self.from.iter().cloned().collect(),
        };
        let watched: BTreeSet<ThingId> = ids.iter().cloned().collect();
        let mut watches = vec![group.client.updates(ids).await?];
        let outcome = self.committed().await?;
        let addressed: BTreeSet<_> = outcome.changed.union(&outcome.unchanged).cloned().collect();
        // Who had no twin before is not watched yet.
        let new: Vec<_> = addressed.difference(&watched).cloned().collect();
        if !new.is_empty() {
            watches.push(group.client.updates(new).await?);
        }
        let waiting = Waiting { group, asked, addressed, things: BTreeMap::new() };
        let things = waiting.settle(watches, until, &mut progress).await?;
        Ok(GroupSettled { outcome, things })
    }
}

struct Waiting {
    group: Group,
    asked: Map<String, Value>,
    addressed: BTreeSet<ThingId>,
    things: BTreeMap<ThingId, (u64, Settled)>,
}

impl Waiting {
    async fn settle(
        mut self,
        watches: Vec<Watch>,
        until: Instant,
        progress: &mut impl FnMut(usize, usize),
    ) -> Result<BTreeMap<ThingId, Settled>, ClientError> {
        self.look_at_all().await?;
        let client = self.group.client.clone();
        let mut watches = watches.into_iter();
        let (mut first, mut second) = (watches.next(), watches.next());
        let mut told = None;
        loop {
            let over = self.things.values().filter(|(_, settled)| settled.is_over()).count();
            if told.replace(over) != Some(over) {
                progress(over, self.addressed.len());
            }
            if over == self.addressed.len() {
                break;
            }
            let rest = until.saturating_duration_since(Instant::now());
            let note = tokio::select! {
                note = next_of(first.as_mut()) => note,
                note = next_of(second.as_mut()) => note,
                () = client.after(rest) => break,
            };
            match note {
                None => return Err(ClientError::Closed),
                Some(Note::Gap) => self.look_at_all().await?,
                Some(Note::Got(got)) => self.look_at(&got.topic, &got.payload),
            }
        }
        Ok(self.things.into_iter().map(|(id, (_, settled))| (id, settled)).collect())
    }

    /// Asks for all twins: what each had made of it by then.
    async fn look_at_all(&mut self) -> Result<(), ClientError> {
        let columns = ["clientId", "reported", "desired", "declined", "version"];
        for (id, twin) in self.group.twins_by(&Ask::new().select(columns)).await? {
            self.look(id, &twin);
        }
        Ok(())
    }

    fn look_at(&mut self, topic: &str, payload: &[u8]) {
        if let Ok(Topic::Thing(id, _)) = topic.parse()
            && let Ok(twin) = TwinUpdate::parse(payload)
        {
            self.look(id, &twin);
        }
    }

    /// A twin of before the SET was committed, or one that is known already, says nothing new.
    fn look(&mut self, id: ThingId, twin: &TwinUpdate) {
        if !self.addressed.contains(&id) {
            return;
        }
        let settled = Settled::of(&self.asked, twin);
        match self.things.get_mut(&id) {
            Some((version, known)) if *version <= twin.version => {
                (*version, *known) = (twin.version, settled);
            }
            Some(_) => {}
            None => drop(self.things.insert(id, (twin.version, settled))),
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
