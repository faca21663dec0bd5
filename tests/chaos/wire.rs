//! The few payloads of this run, as JSON and as values.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Map, Value, json};

use super::log::{Event, Member, Thing, Twin, Values};

/// The id of a thing.
pub fn id(thing: Thing) -> String {
    format!("c{thing}")
}

/// A topic of a thing.
pub fn topic(thing: Thing, levels: &str) -> String {
    format!("TNG/c{thing}/{levels}")
}

/// Who is in no group.
pub const STRANGER: &str = "stranger";

/// The group of the things that a client writes to first: it is called after the client.
pub fn group(client: usize) -> String {
    format!("w{client}")
}

/// `{"<kind>": {…}}`, with a trn if there is one.
pub fn payload(kind: &str, trn: Option<u64>, values: &Values) -> String {
    let mut members = members(values);
    if let Some(trn) = trn {
        members.insert("trn".to_owned(), json!(trn));
    }
    json!({ kind: members }).to_string()
}

fn members(values: &Values) -> Map<String, Value> {
    values.iter().map(|(member, value)| (member.to_string(), json!(value))).collect()
}

/// What a STATE/SET asks for.
pub struct Request {
    pub restores: bool,
    pub trn: Option<u64>,
    pub values: Values,
}

impl Request {
    pub fn parse(payload: &[u8]) -> Self {
        let message: Value = serde_json::from_slice(payload).unwrap();
        let restores = message.get("state").is_some();
        let state = &message[if restores { "state" } else { "delta" }];
        Self { restores, trn: state["trn"].as_u64(), values: values(state) }
    }
}

/// What a message heard by the tap says; none if it is not about one of the things.
pub fn event(manager: &str, topic: &str, payload: &[u8]) -> Option<Event> {
    if let Some(topic) = topic.strip_prefix("GRP/") {
        return of_group(topic, payload);
    }
    let (id, levels) = topic.strip_prefix("TNG/")?.split_once('/')?;
    if id == manager {
        return of_manager(levels, payload);
    }
    let thing = id.strip_prefix('c')?.parse().ok()?;
    let passed = |levels, kinds: &[&str]| {
        let message: Value = serde_json::from_slice(payload).unwrap();
        let state = kinds.iter().map(|kind| &message[kind]).find(|state| state.is_object());
        let state = state.unwrap_or(&Value::Null);
        let trn = state["trn"].as_u64().unwrap_or(0);
        Some(Event::Passed { thing, levels, trn, values: values(state) })
    };
    match levels {
        "TWIN/UPD" => Some(Event::Told { thing, twin: twin(payload) }),
        "STATE/SET" => {
            let Request { restores, trn, values } = Request::parse(payload);
            Some(Event::Asked { thing, restores, trn: trn.unwrap_or(0), values })
        }
        "TWIN/RES" => {
            let answer: Value = serde_json::from_slice(payload).unwrap();
            let is_away = answer["error"]["code"] == 503;
            (!is_away).then(|| Event::Refused { thing, why: answer.to_string() })
        }
        "TWIN/SET" => passed("TWIN/SET", &["set"]),
        "STATE/UPD" => passed("STATE/UPD", &["delta", "state"]),
        "LC/ON" => passed("LC/ON", &[]),
        "LC/OFF" => passed("LC/OFF", &[]),
        _ => None,
    }
}

/// What came of a SET of a group, if that is not what was asked for. It stands at the group's first thing.
fn of_group(topic: &str, payload: &[u8]) -> Option<Event> {
    let thing = topic.strip_prefix('w')?.strip_suffix("/TWIN/RES")?.parse().ok()?;
    let answer: Value = serde_json::from_slice(payload).unwrap();
    let set = &answer["set"];
    let count = |what: &str| set[what].as_array().map_or(0, Vec::len) as u64;
    let refuses = set["refused"].as_array().is_some_and(|all| all.iter().any(|id| id != STRANGER));
    let all_have_it = set["members"].as_u64().is_some_and(|members| {
        members > 0 && !refuses && count("changed") + count("unchanged") == members
    });
    (!all_have_it).then(|| Event::Refused { thing, why: answer.to_string() })
}

fn of_manager(levels: &str, payload: &[u8]) -> Option<Event> {
    match levels {
        "LC/OFF" => Some(Event::Parted),
        "LC/ON" => Some(Event::Joined),
        "TPC/STATS" => {
            let stats: Value = serde_json::from_slice(payload).unwrap();
            Some(Event::Replayed { entries: stats["replayed"].as_u64().unwrap_or(0) })
        }
        _ => None,
    }
}

fn twin(payload: &[u8]) -> Twin {
    let mut twin: Value = serde_json::from_slice(payload).unwrap();
    let mut times = DefaultHasher::new();
    for meta in ["reportedMeta", "desiredMeta", "declinedMeta"] {
        let members = twin[meta].as_object_mut().unwrap();
        // A trn alone is no change of a document.
        members.retain(|name, _| name != "trn" && name != "timestamp");
        for (name, time) in members {
            (name, time.to_string()).hash(&mut times);
        }
    }
    Twin {
        version: twin["version"].as_u64().unwrap(),
        reported: values(&twin["reported"]),
        desired: values(&twin["desired"]),
        declined: values(&twin["declined"]),
        times: times.finish(),
    }
}

fn values(state: &Value) -> Values {
    let members = state.as_object().into_iter().flatten();
    let values = members.filter_map(|(name, value)| Some((Member::parse(name)?, value.as_u64()?)));
    values.collect()
}
