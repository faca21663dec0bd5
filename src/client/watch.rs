//! Twins as they change.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use serde_json::{Map, Value};

use super::{ClientError, Listener, Note, ThingId, TwinUpdate};
use crate::protocol::{Path, Topic, at, leaves, same_value};

/// A twin that changed, and what of it did.
///
/// ```no_run
/// # use twinthing::client::{Change, Client, ClientError};
/// # async fn example(client: &Client) -> Result<(), ClientError> {
/// let lamp = "lamp".parse().expect("an id");
/// let mut watch = client.watch([lamp]).await?;
/// while let Some(Change { id, declined, online, .. }) = watch.next().await {
///     println!("{id}: declined {declined:?}, online {online:?}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whose twin.
    pub id: ThingId,
    /// The twin as it is now.
    pub twin: TwinUpdate,
    /// What became different in what the thing says it is; null for what is gone. Of a twin that is seen for the first
    /// time: what was set last.
    pub reported: Map<String, Value>,
    /// The same of what is asked of it. What is settled is gone.
    pub desired: Map<String, Value>,
    /// The same of what it declined.
    pub declined: Map<String, Value>,
    /// Whether it is online now, if that became different.
    pub online: Option<Option<bool>>,
}

/// A stream of changes of twins.
///
/// When the connection was lost, and is back, the twins that it has told of or that were named are asked for: what
/// changed meanwhile is told then, as one change. That a thing comes or goes is told if the broker lets us subscribe to
/// its `LC/+`, and that a twin is forgotten if it lets us subscribe to `TWIN/DEL`: a manager does not tell of a twin for
/// these alone, so it is asked.
///
/// For one who does not fetch them 10,000 messages are kept; then it is as if the connection had been lost.
///
/// ```no_run
/// # use twinthing::client::{Client, ClientError};
/// # async fn example(client: &Client) -> Result<(), ClientError> {
/// let lamp = "lamp".parse().expect("an id");
/// let mut watch = client.watch([lamp]).await?;
/// // It is a futures_core::Stream as well.
/// let first = watch.next().await;
/// # Ok(())
/// # }
/// ```
pub struct Watch {
    listener: Listener,
    /// What says that something may have become of a twin.
    hints: Vec<Listener>,
    ids: BTreeSet<ThingId>,
    known: HashMap<ThingId, TwinUpdate>,
    /// When anything of a twin was set last that is forgotten.
    forgotten: HashMap<ThingId, Option<i64>>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watch({})", self.listener.number)
    }
}

impl Watch {
    pub(super) fn new(listener: Listener, ids: BTreeSet<ThingId>) -> Self {
        Self { listener, hints: Vec::new(), ids, known: HashMap::new(), forgotten: HashMap::new() }
    }

    /// Listens to these as well, if the broker lets us.
    pub(super) async fn with(mut self, hints: Vec<String>) -> Result<Self, ClientError> {
        match self.listener.client.listen(hints).await {
            Ok(listener) => self.hints.push(listener),
            Err(ClientError::Refused(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(self)
    }

    /// Takes these for what is known of the twin: only what differs from it is a change.
    ///
    /// ```no_run
    /// # use twinthing::client::{Client, ClientError};
    /// # async fn example(client: &Client) -> Result<(), ClientError> {
    /// let lamp = "lamp".parse().expect("an id");
    /// let mut watch = client.watch([lamp]).await?;
    /// let lamp = "lamp".parse().expect("an id");
    /// let twin = client.get(&lamp).await?;
    /// watch.know(lamp, twin); // what it is already is no change
    /// # Ok(())
    /// # }
    /// ```
    pub fn know(&mut self, id: ThingId, twin: TwinUpdate) {
        self.ids.insert(id.clone());
        self.known.insert(id, twin);
    }

    /// The next change; none once the client is closed.
    ///
    /// ```no_run
    /// # use twinthing::client::{Client, ClientError};
    /// # async fn example(client: &Client) -> Result<(), ClientError> {
    /// let lamp = "lamp".parse().expect("an id");
    /// let mut watch = client.watch([lamp]).await?;
    /// while let Some(change) = watch.next().await {
    ///     println!("version {}", change.twin.version);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next(&mut self) -> Option<Change> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    pub(super) async fn note(&mut self) -> Option<Note> {
        self.listener.told.recv().await
    }

    /// The manager has heard of it before we ask, so that its answer knows.
    fn hint(&self, note: Note) {
        if let Note::Got(got) = note
            && let Ok(Topic::Thing(id, _)) = got.topic.parse()
        {
            self.listener.client.look_at(&id);
        }
    }

    fn changed(&mut self, note: Note) -> Option<Change> {
        let Note::Got(got) = note else {
            self.ids.iter().for_each(|id| self.listener.client.look_at(id));
            return None;
        };
        let Ok(Topic::Thing(id, _)) = got.topic.parse() else { return None };
        let twin = TwinUpdate::parse(&got.payload).ok()?;
        let is_of_before =
            self.forgotten.get(&id).is_some_and(|last| twin.exists() && newest(&twin) <= *last);
        if is_of_before || self.known.get(&id).is_some_and(|known| is_older(&twin, known)) {
            return None;
        }
        if !twin.exists()
            && let Some(known) = self.known.get(&id).filter(|known| known.exists())
        {
            self.forgotten.insert(id.clone(), newest(known));
        }
        self.ids.insert(id.clone());
        let before = self.known.insert(id.clone(), twin.clone());
        change(id, before.as_ref(), twin)
    }
}

impl Stream for Watch {
    type Item = Change;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Change>> {
        let mut hints = Vec::new();
        for listener in &mut self.hints {
            while let Poll::Ready(Some(note)) = listener.told.poll_recv(context) {
                hints.push(note);
            }
        }
        hints.into_iter().for_each(|note| self.hint(note));
        loop {
            match self.listener.told.poll_recv(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(note)) => {
                    if let Some(change) = self.changed(note) {
                        return Poll::Ready(Some(change));
                    }
                }
            }
        }
    }
}

/// Whether one was told before another, and comes late. After a twin was forgotten versions begin anew, at a later time.
pub(super) fn is_older(twin: &TwinUpdate, known: &TwinUpdate) -> bool {
    twin.exists() && twin.version < known.version && newest(twin) <= newest(known)
}

/// When anything of it was set last, in nanoseconds since 1970.
fn newest(twin: &TwinUpdate) -> Option<i64> {
    let metas = [&twin.reported_meta, &twin.desired_meta, &twin.declined_meta];
    metas.iter().filter_map(|meta| meta.get("timestamp")?.as_i64()).max()
}

/// What differs; none if nothing does, as when somebody asked for the twin.
fn change(id: ThingId, before: Option<&TwinUpdate>, twin: TwinUpdate) -> Option<Change> {
    if !twin.exists() && before.is_none_or(|before| !before.exists()) {
        return None;
    }
    let (reported, desired, declined) = match before {
        Some(before) => (
            difference(&before.reported, &twin.reported),
            difference(&before.desired, &twin.desired),
            difference(&before.declined, &twin.declined),
        ),
        None => {
            let newest = newest(&twin);
            (
                set_at(&twin.reported, &twin.reported_meta, newest),
                set_at(&twin.desired, &twin.desired_meta, newest),
                set_at(&twin.declined, &twin.declined_meta, newest),
            )
        }
    };
    let was_online = before.map(|before| before.online);
    let online = (was_online != Some(twin.online)).then_some(twin.online);
    let is_same = before.is_some_and(|before| before.version == twin.version)
        && reported.is_empty()
        && desired.is_empty()
        && declined.is_empty();
    if is_same && online.is_none() {
        return None;
    }
    Some(Change { id, twin, reported, desired, declined, online })
}

/// The merge patch between two documents, of which trn is no member.
fn difference(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let mut patch = Map::new();
    let gone = leaves(before).into_iter().filter(|path| at(after, path).is_none());
    gone.for_each(|path| mark(&mut patch, &path, &Value::Null));
    for path in leaves(after) {
        let Some(value) = at(after, &path) else { continue };
        if !at(before, &path).is_some_and(|before| same_value(before, value)) {
            mark(&mut patch, &path, value);
        }
    }
    patch
}

/// What was set at this time.
fn set_at(
    document: &Map<String, Value>,
    meta: &Map<String, Value>,
    time: Option<i64>,
) -> Map<String, Value> {
    let mut found = Map::new();
    for path in leaves(document) {
        if time.is_some()
            && at(meta, &path).and_then(Value::as_i64) == time
            && let Some(value) = at(document, &path)
        {
            mark(&mut found, &path, value);
        }
    }
    found
}

fn mark(patch: &mut Map<String, Value>, path: &Path, value: &Value) {
    if path.first().is_none_or(|first| first != "trn") {
        super::settle::put(patch, path, value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn twin(value: Value) -> TwinUpdate {
        TwinUpdate::parse(value.to_string().as_bytes()).unwrap()
    }

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn a_change_is_what_differs_from_what_was_known() {
        let id: ThingId = "lamp".parse().unwrap();
        let before = twin(json!({
            "reported": {"trn": 1, "on": false, "n": {"a": 1}}, "desired": {"trn": 2, "on": true},
            "version": 2, "online": true,
        }));
        let after = twin(json!({
            "reported": {"trn": 2, "on": true, "n": {"a": 1}}, "desired": {"trn": 2},
            "version": 3, "online": false,
        }));
        let found = change(id.clone(), Some(&before), after.clone()).unwrap();
        assert_eq!(found.reported, object(json!({"on": true})));
        assert_eq!(found.desired, object(json!({"on": null})));
        assert_eq!((found.declined.len(), found.online), (0, Some(Some(false))));
        assert_eq!(change(id, Some(&after), after.clone()), None, "somebody has asked for it");
    }

    #[test]
    fn what_comes_late_is_no_change_and_a_twin_that_begins_anew_is() {
        let told = |version: u64, at: i64| {
            twin(
                json!({"reported": {"trn": 1}, "reportedMeta": {"timestamp": at}, "version": version}),
            )
        };
        assert!(is_older(&told(5, 50), &told(6, 60)));
        assert!(!is_older(&told(6, 60), &told(6, 60)));
        assert!(!is_older(&told(1, 70), &told(6, 60)), "it was forgotten, and reported anew");
        assert!(!is_older(&TwinUpdate::default(), &told(6, 60)), "it was forgotten");
        let id: ThingId = "lamp".parse().unwrap();
        let forgotten = change(id.clone(), Some(&told(6, 60)), TwinUpdate::default()).unwrap();
        assert!(!forgotten.twin.exists());
        let none = TwinUpdate::default();
        assert_eq!(change(id.clone(), None, none.clone()), None);
        assert_eq!(change(id, Some(&none.clone()), none), None);
    }

    #[test]
    fn of_a_twin_seen_for_the_first_time_it_is_what_was_set_last() {
        let first = twin(json!({
            "reported": {"trn": 1, "on": false, "n": {"a": 1}},
            "reportedMeta": {"timestamp": 9, "trn": 9, "on": 5, "n": {"a": 9}},
            "desired": {"trn": 2, "x": 1}, "desiredMeta": {"timestamp": 8, "trn": 8, "x": 8},
            "version": 2, "online": null,
        }));
        let found = change("lamp".parse().unwrap(), None, first).unwrap();
        assert_eq!(found.reported, object(json!({"n": {"a": 1}})));
        assert_eq!((found.desired.len(), found.online), (0, Some(None)));
    }
}
