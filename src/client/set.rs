//! Asking one thing for something, and waiting for what it makes of it.

use std::{
    future::IntoFuture,
    pin::Pin,
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Client, ClientError, Note, Settled, ThingId, TwinUpdate, Verb};

/// What a value is that serde writes: an object of members to ask for.
///
/// # Errors
/// [`ClientError::NotAnObject`] for anything else.
pub fn members_of(members: &impl Serialize) -> Result<Map<String, Value>, ClientError> {
    match serde_json::to_value(members) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(other) => Err(ClientError::NotAnObject(other.to_string())),
        Err(error) => Err(ClientError::NotAnObject(error.to_string())),
    }
}

/// A SET that is not sent yet: await it, or [`Set::settled`].
#[must_use = "it is not sent before it is awaited"]
#[derive(Debug)]
pub struct Set {
    client: Client,
    id: ThingId,
    members: Result<Map<String, Value>, ClientError>,
    version: Option<u64>,
}

impl Set {
    pub(super) fn new(
        client: Client,
        id: ThingId,
        members: Result<Map<String, Value>, ClientError>,
    ) -> Self {
        Self { client, id, members, version: None }
    }

    /// Only if the twin is at this version; else it is an error with code 409.
    pub fn if_version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// Sends it, and waits until it is committed: the twin then.
    async fn committed(self) -> Result<TwinUpdate, ClientError> {
        let mut payload = Map::from_iter([("set".to_owned(), Value::Object(self.members?))]);
        if let Some(version) = self.version {
            payload.insert("version".to_owned(), version.into());
        }
        let question = self.client.thing(&self.id, Verb::Set, payload);
        let what = question.what.clone();
        let answer = self.client.asked(question).await?;
        TwinUpdate::from_object(answer).map_err(|bad| ClientError::bad(&what, &bad))
    }

    /// Sends it, and waits until the thing has answered for all of it, but no longer than this: what it took, what it
    /// declined, and what is open then.
    ///
    /// # Errors
    /// [`ClientError`], if it is not committed. That the thing does not answer is none.
    pub async fn settled(self, timeout: Duration) -> Result<Settled, ClientError> {
        let until = Instant::now() + timeout;
        let (client, id) = (self.client.clone(), self.id.clone());
        let asked = match &self.members {
            Ok(asked) => asked.clone(),
            Err(_) => return self.committed().await.map(|_| Settled::default()),
        };
        let mut watch = client.updates([id.clone()]).await?;
        let committed = self.committed().await?;
        let mut settled = Settled::of(&asked, &committed);
        while !settled.is_over() {
            let rest = until.saturating_duration_since(Instant::now());
            let note = tokio::select! {
                note = watch.note() => note,
                () = client.after(rest) => break,
            };
            let twin = match note {
                None => return Err(ClientError::Closed),
                Some(Note::Gap) => client.get(&id).await?,
                Some(Note::Got(got)) => match TwinUpdate::parse(&got.payload) {
                    Ok(twin) => twin,
                    Err(_) => continue,
                },
            };
            // What was told before it was committed does not count.
            if twin.version >= committed.version {
                settled = Settled::of(&asked, &twin);
            }
        }
        Ok(settled)
    }
}

impl IntoFuture for Set {
    type Output = Result<TwinUpdate, ClientError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.committed())
    }
}
