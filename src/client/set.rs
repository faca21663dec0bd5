//! Asking one thing for something, and waiting for what it makes of it.

use std::{future::IntoFuture, pin::Pin, time::Duration};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Client, ClientError, Note, Settled, ThingId, TwinUpdate, Verb, watch::is_older};

/// What a value is that serde writes: an object of members to ask for.
///
/// ```
/// use serde::Serialize;
/// use twinthing::client::members_of;
///
/// #[derive(Serialize)]
/// struct Wish {
///     on: bool,
/// }
///
/// assert_eq!(members_of(&Wish { on: true })?["on"], true);
/// assert_eq!(members_of(&5).unwrap_err().to_string(), "what is asked is no JSON object: 5");
/// # Ok::<(), twinthing::client::ClientError>(())
/// ```
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
///
/// ```no_run
/// use serde_json::json;
/// # use twinthing::client::{Client, ClientError};
/// # async fn example(client: &Client) -> Result<(), ClientError> {
/// let lamp = "lamp".parse().expect("an id");
/// let set = client.set(&lamp, json!({"on": true}));
/// // Nothing has been sent yet.
/// println!("at version {}", set.await?.version);
/// # Ok(())
/// # }
/// ```
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
    ///
    /// ```no_run
    /// use serde_json::json;
    /// # use twinthing::client::{Client, ClientError};
    /// # async fn example(client: &Client) -> Result<(), ClientError> {
    /// let lamp = "lamp".parse().expect("an id");
    /// let seen = client.get(&lamp).await?;
    /// match client.set(&lamp, json!({"on": true})).if_version(seen.version).await {
    ///     Err(ClientError::Answer { code: 409, .. }) => println!("somebody else was faster"),
    ///     other => println!("at version {}", other?.version),
    /// }
    /// # Ok(())
    /// # }
    /// ```
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

    /// Sends it, waits until it is committed, and then until the thing has answered for all of it, but no longer than this:
    /// what it took, what it declined, and what is open then.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// use serde_json::json;
    /// # use twinthing::client::{Client, ClientError};
    /// # async fn example(client: &Client) -> Result<(), ClientError> {
    /// let lamp = "lamp".parse().expect("an id");
    /// let settled = client.set(&lamp, json!({"level": 200})).settled(Duration::from_secs(5)).await?;
    /// if !settled.declined.is_empty() {
    ///     println!("it does not do {:?}", settled.declined);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`], if it is not committed. That the thing does not answer is none.
    pub async fn settled(self, timeout: Duration) -> Result<Settled, ClientError> {
        let (client, id) = (self.client.clone(), self.id.clone());
        let asked = match &self.members {
            Ok(asked) => asked.clone(),
            Err(_) => return self.committed().await.map(|_| Settled::default()),
        };
        let mut watch = client.updates([id.clone()]).await?;
        let mut last = self.committed().await?;
        let mut settled = Settled::of(&asked, &last);
        let out_of_time = client.after(timeout);
        tokio::pin!(out_of_time);
        while !settled.is_over() {
            let note = tokio::select! {
                note = watch.note() => note,
                () = &mut out_of_time => break,
            };
            match note {
                // Closed: nothing more is heard.
                None => break,
                Some(Note::Gap) => client.look_at(&id),
                Some(Note::Got(got)) => {
                    if let Ok(twin) = TwinUpdate::parse(&got.payload)
                        && !is_older(&twin, &last)
                    {
                        settled = Settled::of(&asked, &twin);
                        last = twin;
                    }
                }
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
