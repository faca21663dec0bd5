//! Plays recorded conversations: publishes what went in, compares all that comes out.
//!
//! The form of the files, and what is left out of the comparison, stands in `tests/conformance/README.md`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    client::{Client, Message},
    values::same,
};

/// The longest wait for what a step expects.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing may come after a step before it counts as over.
const QUIET: Duration = Duration::from_millis(150);
/// What stands for the manager's id in the topics of the files.
const MANAGER: &str = "<mgr>";

/// A recorded conversation.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conversation {
    /// The file's name, without its ending.
    #[serde(skip)]
    pub name: String,
    /// What it shows.
    pub about: String,
    /// The members that each group has in the broker's ACL tables.
    pub groups: BTreeMap<String, Vec<String>>,
    /// What is said, in order.
    pub steps: Vec<Step>,
}

/// One message to the manager, and all that it then says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What is published.
    #[serde(rename = "in")]
    pub said: Said,
    /// What the manager publishes then.
    pub out: Vec<Heard>,
}

/// A message to the manager.
#[derive(Clone, Debug, Deserialize)]
pub struct Said {
    /// Its topic.
    #[serde(rename = "pub")]
    pub topic: String,
    /// Its payload.
    #[serde(flatten)]
    pub payload: Payload,
}

/// A message from the manager.
#[derive(Clone, Debug, Deserialize)]
pub struct Heard {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    #[serde(flatten)]
    pub payload: Payload,
}

/// A payload as a file spells it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Payload {
    /// A JSON value.
    Json(Value),
    /// A text as it stands; one that is heard has bytes that are not UTF-8 spelled `\xNN`.
    Raw(String),
    /// Bytes, two hexadecimal digits each.
    Hex(String),
}

impl Payload {
    /// The payload's bytes, as they are published.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Json(value) => value.to_string().into_bytes(),
            Self::Raw(text) => text.clone().into_bytes(),
            Self::Hex(digits) => {
                let pairs = digits.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
                pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
            }
        }
    }

    /// Whether a message that came on a topic is this payload, once both are made comparable.
    pub fn matches(&self, topic: &str, came: &[u8]) -> bool {
        match self {
            Self::Raw(text) => *text == backslash_replaced(came),
            Self::Hex(_) => self.bytes() == came,
            Self::Json(wanted) => serde_json::from_slice::<Value>(came)
                .is_ok_and(|came| same(&comparable(topic, wanted), &comparable(topic, &came))),
        }
    }
}

/// Reads every conversation of the folder, in order of name.
pub fn read_all(folder: &Path) -> Vec<Conversation> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let json = files.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    let named = json.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), path));
    let all: BTreeMap<_, _> = named.collect();
    let read = |(name, path)| Conversation::parse(name, &std::fs::read_to_string(path).unwrap());
    all.into_iter().map(read).collect()
}

impl Conversation {
    /// Reads a conversation of this name from the text of its file.
    pub fn parse(name: String, text: &str) -> Self {
        let read = serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { name, ..read }
    }
}

/// Plays conversations with the manager of one id on one broker.
pub struct Player {
    client: Client,
    manager: String,
    patience: Duration,
}

impl Player {
    /// Connects to the broker on this port. The manager must be there already.
    pub fn connect(port: u16, manager: &str) -> Self {
        let mut client = Client::connect(port);
        client.subscribe_to_others();
        Self { client, manager: manager.to_owned(), patience: PATIENCE }
    }

    /// Waits no longer than this for what a step expects.
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Plays all steps in order.
    ///
    /// # Errors
    /// The first step that went otherwise.
    pub fn play(&mut self, conversation: &Conversation) -> Result<(), Mismatch> {
        for (index, step) in conversation.steps.iter().enumerate() {
            let topic = self.topic(&step.said.topic);
            self.client.publish(&topic, step.said.payload.bytes());
            let came = self.gather(&step.out);
            let differences = self.differences(&step.out, &came);
            if !differences.is_empty() {
                let step = index + 1;
                let name = conversation.name.clone();
                return Err(Mismatch { conversation: name, step, said: topic, differences });
            }
        }
        Ok(())
    }

    /// Waits for as many messages on each topic as are expected, and then for silence.
    fn gather(&mut self, expected: &[Heard]) -> Vec<Message> {
        let deadline = Instant::now() + self.patience;
        let mut missing: Vec<String> =
            expected.iter().map(|heard| self.topic(&heard.topic)).collect();
        let mut came = Vec::new();
        while !missing.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(message) = self.client.recv(left) else { break };
            if let Some(found) = missing.iter().position(|topic| *topic == message.topic) {
                missing.swap_remove(found);
            }
            came.push(message);
        }
        came.extend(self.client.quiet(QUIET));
        came.retain(|message| !self.is_about_itself(&message.topic));
        came
    }

    /// Compares topic by topic: order counts within a topic, not across topics.
    fn differences(&self, expected: &[Heard], came: &[Message]) -> Vec<Difference> {
        let wanted = expected.iter().map(|heard| self.topic(&heard.topic));
        let topics: BTreeSet<_> =
            wanted.chain(came.iter().map(|message| message.topic.clone())).collect();
        let compare = |topic| self.difference(topic, expected, came);
        topics.into_iter().filter_map(compare).collect()
    }

    fn difference(
        &self,
        topic: String,
        expected: &[Heard],
        came: &[Message],
    ) -> Option<Difference> {
        let expected: Vec<_> =
            expected.iter().filter(|heard| self.topic(&heard.topic) == topic).collect();
        let came: Vec<_> = came.iter().filter(|message| message.topic == topic).collect();
        let fits = |(wanted, came): (&&Heard, &&Message)| {
            wanted.payload.matches(&topic, &came.payload) && came.qos == 1 && !came.retained
        };
        if expected.len() == came.len() && expected.iter().zip(&came).all(fits) {
            return None;
        }
        let expected = expected.iter().map(|heard| shown(&topic, &heard.payload.bytes()));
        let got = came.iter().map(|message| shown(&topic, &message.payload) + &manners(message));
        Some(Difference { expected: expected.collect(), got: got.collect(), topic })
    }

    /// A file's topic with the manager's id in it.
    fn topic(&self, topic: &str) -> String {
        topic.replace(MANAGER, &self.manager)
    }

    /// Whether the manager speaks of its own presence, state and counters there.
    fn is_about_itself(&self, topic: &str) -> bool {
        let own = topic.strip_prefix("TNG/").and_then(|rest| rest.strip_prefix(&self.manager));
        own.is_some_and(|levels| {
            ["/LC/ON", "/LC/OFF", "/STATE/UPD", "/TPC/STATS"].contains(&levels)
        })
    }
}

/// A step after which something else came than was recorded.
#[derive(Debug)]
pub struct Mismatch {
    /// The conversation's name.
    pub conversation: String,
    /// The step, counted from 1.
    pub step: usize,
    /// The topic of what was published.
    pub said: String,
    /// What differs.
    pub differences: Vec<Difference>,
}

/// A topic on which something else came than was recorded.
#[derive(Debug)]
pub struct Difference {
    /// The topic.
    pub topic: String,
    /// What the file has, made comparable.
    pub expected: Vec<String>,
    /// What came, made comparable.
    pub got: Vec<String>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { conversation, step, said, differences } = self;
        writeln!(f, "{conversation}.json, step {step} ({said}):")?;
        for Difference { topic, expected, got } in differences {
            writeln!(f, "  {topic}")?;
            for (label, payloads) in [("expected", expected), ("got", got)] {
                if payloads.is_empty() {
                    writeln!(f, "    {label:8} nothing")?;
                }
                for payload in payloads {
                    writeln!(f, "    {label:8} {payload}")?;
                }
            }
        }
        Ok(())
    }
}

/// How a payload is shown: as it is compared.
fn shown(topic: &str, payload: &[u8]) -> String {
    serde_json::from_slice::<Value>(payload)
        .map_or_else(|_| backslash_replaced(payload), |value| comparable(topic, &value).to_string())
}

/// What is wrong with how a message came, not with what it says.
fn manners(message: &Message) -> String {
    let retained = if message.retained { ", retained" } else { "" };
    if message.qos == 1 && !message.retained {
        String::new()
    } else {
        format!("   (at QoS {}{retained})", message.qos)
    }
}

/// A value without what two runs need not share. Only twin documents have such parts.
pub fn comparable(topic: &str, value: &Value) -> Value {
    let Value::Object(document) = value else { return value.clone() };
    if !topic.ends_with("/TWIN/UPD") {
        return value.clone();
    }
    let mut document = document.clone();
    document.remove("version");
    document.remove("online");
    let settled = |desired: &Map<String, Value>| desired.keys().all(|name| name == "trn");
    if document.get("desired").and_then(Value::as_object).is_some_and(settled) {
        document.insert("desired".to_owned(), Value::Object(Map::new()));
    }
    for state in ["desired", "reported", "declined"] {
        let name = format!("{state}Meta");
        if let (Some(meta), Some(state)) = (document.get(&name), document.get(state)) {
            let mut stamped = stamped(meta, state);
            if let (Value::Object(members), Some(time)) = (&mut stamped, meta.get("timestamp")) {
                members.insert("timestamp".to_owned(), stamp(time));
            }
            document.insert(name, stamped);
        }
    }
    Value::Object(document)
}

/// Meta with the same mark for every time, less the members that the state does not have.
fn stamped(meta: &Value, state: &Value) -> Value {
    match (meta, state) {
        (Value::Object(meta), Value::Object(state)) => meta
            .iter()
            .filter_map(|(name, meta)| Some((name.clone(), stamped(meta, state.get(name)?))))
            .collect(),
        _ => stamp(meta),
    }
}

fn stamp(time: &Value) -> Value {
    if time.is_number() { Value::from("<ts>") } else { time.clone() }
}

/// Bytes as text, those that are not UTF-8 as `\xNN`: Python's `backslashreplace`.
pub fn backslash_replaced(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").unwrap();
        }
    }
    text
}
