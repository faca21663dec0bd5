//! TWIN/UPD as a client reads it: section 2 of the protocol, and what holds of the documents always.

use serde_json::{Value, json};

use super::json::{Object, at, has, has_null, leaves};

const UNKNOWN: &str = r#"{"desired":{},"desiredMeta":{},"reported":{},"reportedMeta":{},"declined":{},"declinedMeta":{},"version":0,"online":null}"#;

/// The twin as it is told.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Upd {
    pub(super) reported: Part,
    pub(super) desired: Part,
    pub(super) declined: Part,
    pub(super) version: u64,
    pub(super) online: Option<bool>,
    /// The bytes of it.
    pub(super) bytes: usize,
}

/// A document with its times.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    /// Its members, without `trn`.
    pub(super) state: Object,
    pub(super) trn: Option<u32>,
    /// The times of its members, and of `trn`.
    meta: Object,
    /// The time of the whole; there is none of a twin that there is not.
    timestamp: Option<i64>,
}

impl Upd {
    pub(super) fn read(payload: &str, exists: bool) -> Self {
        assert!(exists || payload == UNKNOWN, "{payload}");
        let mut upd: Object = serde_json::from_str(payload).unwrap();
        let mut part = |name: &str| {
            let (state, meta) = (upd.remove(name), upd.remove(&format!("{name}Meta")));
            Part::read(state.unwrap(), meta.unwrap(), exists)
        };
        let read = Self {
            reported: part("reported"),
            desired: part("desired"),
            declined: part("declined"),
            version: upd.remove("version").unwrap().as_u64().unwrap(),
            online: serde_json::from_value(upd.remove("online").unwrap()).unwrap(),
            bytes: payload.len(),
        };
        assert!(upd.is_empty(), "{upd:?}");
        read.check(exists);
        read
    }

    fn check(&self, exists: bool) {
        let Self { reported, desired, declined, .. } = self;
        assert_eq!(exists, self.exists());
        assert!(!has_null(&reported.state), "{reported:?}");
        assert_eq!(declined.trn, None);
        assert!(desired.trn != Some(0));
        assert!(desired.state.is_empty() || desired.trn.is_some(), "{desired:?}");
        for (path, leaf) in leaves(&declined.state) {
            assert!(!has(&reported.state, &path, &leaf), "{path:?} is declined and reported");
        }
    }

    pub(super) fn exists(&self) -> bool {
        self.version > 0 || self.reported.trn.is_some()
    }

    /// The times of a twin that there is.
    pub(super) fn is_dated(&self, before: &Self, now_ns: i64) {
        self.reported.is_dated(&before.reported, now_ns, false);
        self.desired.is_dated(&before.desired, now_ns, false);
        self.declined.is_dated(&before.declined, now_ns, true);
    }

    pub(super) fn parts(&self) -> [&Part; 3] {
        [&self.reported, &self.desired, &self.declined]
    }

    /// The members of the documents, without what a trn alone changes.
    pub(super) fn states(&self) -> [&Object; 3] {
        self.parts().map(|part| &part.state)
    }
}

impl Part {
    fn read(state: Value, meta: Value, exists: bool) -> Self {
        let (Value::Object(mut state), Value::Object(mut meta)) = (state, meta) else {
            panic!("a document or its meta is no object");
        };
        let timestamp = meta.remove("timestamp").map(|time| time.as_i64().unwrap());
        assert_eq!(timestamp.is_some(), exists);
        let mut shown = state.clone();
        shown.remove("timestamp");
        assert!(mirrors(&shown, &meta), "{state:?} {meta:?}");
        let trn = state.remove("trn").map(|trn| u32::try_from(trn.as_u64().unwrap()).unwrap());
        assert!(trn.is_none_or(|trn| trn <= 0x7fff_ffff));
        Self { state, trn, meta, timestamp }
    }

    /// The state as it goes out, with its trn.
    pub(super) fn on_the_wire(&self) -> Value {
        let mut state = self.state.clone();
        self.trn.map(|trn| state.insert("trn".to_owned(), json!(trn)));
        Value::Object(state)
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        (&self.state, self.trn) == (&other.state, other.trn)
    }

    /// What was set has the time, all else those that it had; what is declined may be declined again.
    fn is_dated(&self, before: &Self, now_ns: i64, again: bool) {
        let now = json!(now_ns);
        for (path, leaf) in leaves(&self.state) {
            if path.first().is_some_and(|name| name == "timestamp") || leaf.is_object() {
                continue;
            }
            let (was, is) = (at(&before.meta, &path), at(&self.meta, &path));
            let stays = at(&before.state, &path) == Some(&leaf);
            let is_dated =
                if stays { is == was || again && is == Some(&now) } else { is == Some(&now) };
            assert!(is_dated, "{path:?}: {before:?} {self:?} at {now}");
        }
        if self.trn.is_some() {
            let is = if self.trn == before.trn { before.meta.get("trn") } else { Some(&now) };
            assert_eq!(self.meta.get("trn"), is);
        }
        let stays = before.timestamp.is_some() && self.is_same(before);
        let is_now = self.timestamp == Some(now_ns);
        let is_dated =
            if stays { self.timestamp == before.timestamp || again && is_now } else { is_now };
        assert!(is_dated, "{before:?} {self:?} at {now}");
    }
}

/// The same members at each level, and times where the state has leaves.
fn mirrors(state: &Object, meta: &Object) -> bool {
    state.len() == meta.len()
        && state.iter().all(|(name, value)| match (value, meta.get(name)) {
            (Value::Object(state), Some(Value::Object(meta))) => mirrors(state, meta),
            (Value::Object(_), _) => false,
            (_, time) => time.is_some_and(|time| time.as_i64().is_some()),
        })
}
