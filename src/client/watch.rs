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
use crate::protocol::{Path, ThingTopic, Topic, at, leaves, same_value};

/// A twin that changed, and what of it did.
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
/// its `LC/+`: a manager does not tell of a twin for that alone, so it is asked.
pub struct Watch {
    listener: Listener,
    presence: Option<Listener>,
    ids: BTreeSet<ThingId>,
    known: HashMap<ThingId, TwinUpdate>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watch({})", self.listener.number)
    }
}

impl Watch {
    pub(super) fn new(listener: Listener, ids: BTreeSet<ThingId>) -> Self {
        Self { listener, presence: None, ids, known: HashMap::new() }
    }

    pub(super) async fn with_presence(mut self, filters: Vec<String>) -> Result<Self, ClientError> {
        self.presence = match self.listener.client.listen(filters).await {
            Ok(listener) => Some(listener),
            Err(ClientError::Refused(_)) => None,
            Err(error) => return Err(error),
        };
        Ok(self)
    }

    /// Takes these for what is known of the twin: only what differs from it is a change.
    pub fn know(&mut self, id: ThingId, twin: TwinUpdate) {
        self.ids.insert(id.clone());
        self.known.insert(id, twin);
    }

    /// The next change; none once the client is closed.
    pub async fn next(&mut self) -> Option<Change> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    pub(super) async fn note(&mut self) -> Option<Note> {
        self.listener.told.recv().await
    }

    /// The thing's manager has heard of it before us, so that its answer knows.
    fn came_or_went(&self, note: Note) {
        if let Note::Got(got) = note
            && let Ok(Topic::Thing(id, ThingTopic::LcOn | ThingTopic::LcOff)) = got.topic.parse()
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
        self.ids.insert(id.clone());
        let before = self.known.insert(id.clone(), twin.clone());
        change(id, before.as_ref(), twin)
    }
}

impl Stream for Watch {
    type Item = Change;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Change>> {
        while let Some(presence) = &mut self.presence
            && let Poll::Ready(Some(note)) = presence.told.poll_recv(context)
        {
            self.came_or_went(note);
        }
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

/// What differs; none if nothing does, as when somebody asked for the twin.
fn change(id: ThingId, before: Option<&TwinUpdate>, twin: TwinUpdate) -> Option<Change> {
    let (reported, desired, declined) = match before {
        Some(before) => (
            difference(&before.reported, &twin.reported),
            difference(&before.desired, &twin.desired),
            difference(&before.declined, &twin.declined),
        ),
        None => {
            let metas = [&twin.reported_meta, &twin.desired_meta, &twin.declined_meta];
            let newest = metas.iter().filter_map(|meta| meta.get("timestamp")?.as_i64()).max();
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
