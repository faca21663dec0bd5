//! One of a twin's three documents: a state on the wire, with the meta that mirrors it.

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};

use super::tree::{Members, Node};
use crate::protocol::{Timestamp, Trn, whole_number};

/// A state, its trn, and the time of the whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Document {
    /// The members, without `trn`.
    pub(super) members: Members,
    /// The trn, and when it was set.
    pub(super) trn: Option<(Trn, Timestamp)>,
    /// When anything in it was last set, or else when its twin came to be.
    pub(super) timestamp: Timestamp,
}

impl Document {
    pub(super) fn trn(&self) -> Option<Trn> {
        self.trn.map(|(trn, _)| trn)
    }

    /// Sets the trn, and says whether that changed it.
    pub(super) fn set_trn(&mut self, trn: Trn, now: Timestamp) -> bool {
        let changed = self.trn() != Some(trn);
        if changed {
            self.trn = Some((trn, now));
            self.timestamp = now;
        }
        changed
    }

    /// Reads a document as it was stored. A time that is missing is that of the whole.
    pub(super) fn parse(state: &str, meta: &str) -> Result<Self, serde_json::Error> {
        let mut state: Map<String, Value> = serde_json::from_str(state)?;
        let meta: Map<String, Value> = serde_json::from_str(meta)?;
        let timestamp = meta.get("timestamp").and_then(time).unwrap_or_default();
        let trn = state.remove("trn").as_ref().and_then(Trn::from_value);
        let trn_at = meta.get("trn").and_then(time).unwrap_or(timestamp);
        Ok(Self {
            members: stamped(state, Some(&meta), timestamp),
            trn: trn.map(|trn| (trn, trn_at)),
            timestamp,
        })
    }
}

fn time(value: &Value) -> Option<Timestamp> {
    whole_number(value).and_then(|ns| i64::try_from(ns).ok()).map(Timestamp)
}

fn stamped(state: Map<String, Value>, meta: Option<&Map<String, Value>>, or: Timestamp) -> Members {
    let node = |(name, value): (String, Value)| {
        let own = meta.and_then(|meta| meta.get(&name));
        let node = if let Value::Object(state) = value {
            Node::Object(stamped(state, own.and_then(Value::as_object), or))
        } else {
            Node::Leaf(value, own.and_then(time).unwrap_or(or))
        };
        (name, node)
    };
    state.into_iter().map(node).collect()
}

/// A document's state as it goes out.
pub(super) struct State<'a>(pub(super) &'a Document);

impl Serialize for State<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Document { members, trn, .. } = self.0;
        let mut map = serializer.serialize_map(None)?;
        if let Some((trn, _)) = trn {
            map.serialize_entry("trn", &trn.get())?;
        }
        for (name, node) in members.iter() {
            map.serialize_entry(name, &Values(node))?;
        }
        map.end()
    }
}

/// A document's times as they go out. `timestamp` on top is the document's: should the user have a
/// member of that name, its own time gives way.
pub(super) struct Meta<'a>(pub(super) &'a Document);

impl Serialize for Meta<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Document { members, trn, timestamp } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timestamp", &timestamp.0)?;
        if let Some((_, at)) = trn {
            map.serialize_entry("trn", &at.0)?;
        }
        for (name, node) in members.iter().filter(|(name, _)| *name != "timestamp") {
            map.serialize_entry(name, &Times(node))?;
        }
        map.end()
    }
}

struct Values<'a>(&'a Node);

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Node::Leaf(value, _) => value.serialize(serializer),
            Node::Object(members) => {
                serializer.collect_map(members.iter().map(|(name, node)| (name, Values(node))))
            }
        }
    }
}

struct Times<'a>(&'a Node);

impl Serialize for Times<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Node::Leaf(_, at) => serializer.serialize_i64(at.0),
            Node::Object(members) => {
                serializer.collect_map(members.iter().map(|(name, node)| (name, Times(node))))
            }
        }
    }
}
