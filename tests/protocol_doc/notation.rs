//! The notation of the conversations in `docs/protocol.md`; it is explained there, under "How to read the examples".

use serde_json::Value;

use crate::support::values::same;

/// What opens a block; settings may follow on the line.
const FENCE: &str = "```conversation";
/// Stands for what does not matter: a value, or all the members that are not named.
const ANY: &str = "…";

/// A block of the document.
#[derive(Debug)]
pub struct Block {
    /// The line that opens it, from 1.
    pub line: usize,
    /// The manager's settings for it.
    pub settings: Vec<(String, String)>,
    /// What happens, in order.
    pub turns: Vec<Turn>,
}

/// Something that happens, and all that the manager says then.
#[derive(Debug)]
pub struct Turn {
    pub line: usize,
    pub act: Act,
    pub heard: Vec<Heard>,
}

/// What happens.
#[derive(Debug, PartialEq, Eq)]
pub enum Act {
    /// Somebody publishes this.
    Say { topic: String, payload: String },
    /// The manager is ended in order and started again.
    Restart,
    /// The manager is killed and started again.
    Crash,
    /// The broker's table lets these subscribe to the group's topics.
    Join { group: String, members: Vec<String> },
}

/// What the manager is expected to publish.
#[derive(Debug)]
pub struct Heard {
    pub line: usize,
    pub topic: String,
    pub payload: String,
}

impl Heard {
    /// Whether a message is what is expected.
    pub fn fits(&self, came: &[u8]) -> bool {
        match (serde_json::from_str(&without_gaps(&self.payload)), serde_json::from_slice(came)) {
            (Ok(wanted), Ok(came)) => fits(&wanted, &came),
            _ => self.payload.as_bytes() == came,
        }
    }
}

/// Whether a value is the wanted one, but for what the wanted one leaves open.
fn fits(wanted: &Value, came: &Value) -> bool {
    match (wanted, came) {
        (Value::String(text), _) if text == ANY => true,
        (Value::Object(wanted), Value::Object(came)) => {
            let open = wanted.contains_key(ANY);
            let mut named = wanted.iter().filter(|(name, _)| *name != ANY);
            (open || wanted.len() == came.len())
                && named.all(|(name, wanted)| came.get(name).is_some_and(|came| fits(wanted, came)))
        }
        (Value::Array(wanted), Value::Array(came)) => {
            wanted.len() == came.len() && wanted.iter().zip(came).all(|(w, c)| fits(w, c))
        }
        _ => same(wanted, came),
    }
}

/// JSON of a text with `…` in it: as a value it becomes a string, as a member a name.
fn without_gaps(text: &str) -> String {
    let (mut json, mut quoted, mut escaped) = (String::new(), false, false);
    for c in text.chars() {
        if c == '…' && !quoted {
            let in_object = json.trim_end().ends_with(['{', ',']);
            json.push_str(if in_object { "\"…\":0" } else { "\"…\"" });
            continue;
        }
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        json.push(c);
    }
    json
}

/// A payload with `x×3` in it as it is published: `xxx`.
fn repeated(text: &str) -> String {
    let mut parts = text.split('×');
    let mut full = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        let times: usize = part[..digits].parse().expect("a number after ×");
        let last = full.pop().expect("something before ×");
        full.extend(std::iter::repeat_n(last, times));
        full.push_str(&part[digits..]);
    }
    full
}

/// Every block of a document.
///
/// # Errors
/// The line that cannot be read, and why.
pub fn blocks(document: &str) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let mut lines = (1..).zip(document.lines());
    while let Some((line, text)) = lines.next() {
        let Some(settings) = text.strip_prefix(FENCE) else { continue };
        let body: Vec<_> =
            lines.by_ref().take_while(|(_, text)| !text.starts_with("```")).collect();
        let settings = settings.split_whitespace().map(|setting| {
            let pair = setting.split_once('=').filter(|(name, _)| name.starts_with("TWIN_"));
            let pair = pair.map(|(name, value)| (name.to_owned(), value.to_owned()));
            pair.ok_or_else(|| format!("{line}: {setting:?} is no setting"))
        });
        blocks.push(Block {
            line,
            settings: settings.collect::<Result<_, _>>()?,
            turns: turns(&body)?,
        });
    }
    match blocks.iter().find(|block| block.turns.iter().all(|turn| turn.heard.is_empty())) {
        Some(block) => Err(format!("{}: nothing is said in this block", block.line)),
        None => Ok(blocks),
    }
}

fn turns(body: &[(usize, &str)]) -> Result<Vec<Turn>, String> {
    let mut turns: Vec<Turn> = Vec::new();
    for (line, text) in joined(body) {
        let message = |text: &str| {
            let (topic, payload) = text.split_once(' ').unwrap_or((text, ""));
            (topic.to_owned(), payload.to_owned())
        };
        let act = if let Some(text) = text.strip_prefix("→ ") {
            let (topic, payload) = message(text);
            Act::Say { topic, payload: repeated(&payload) }
        } else if let Some(text) = text.strip_prefix("← ") {
            let (topic, payload) = message(text);
            let turn =
                turns.last_mut().ok_or(format!("{line}: nothing stands before the answer"))?;
            turn.heard.push(Heard { line, topic, payload });
            continue;
        } else {
            let join = text.strip_prefix("* in group ").and_then(|text| text.split_once(" are "));
            let join = join.map(|(group, members)| Act::Join {
                group: group.to_owned(),
                members: members.split(", ").map(str::to_owned).collect(),
            });
            match text.as_str() {
                "* the manager ends and is started again" => Act::Restart,
                "* the manager is killed and started again" => Act::Crash,
                _ => join.ok_or(format!("{line}: {text:?} is neither →, ← nor a known *"))?,
            }
        };
        turns.push(Turn { line, act, heard: Vec::new() });
    }
    Ok(turns)
}

/// The lines of a block; one that is indented goes on with the one before.
fn joined(body: &[(usize, &str)]) -> Vec<(usize, String)> {
    let mut joined: Vec<(usize, String)> = Vec::new();
    for &(line, text) in body {
        match joined.last_mut() {
            Some((_, before)) if text.starts_with("  ") => {
                before.push(' ');
                before.push_str(text.trim());
            }
            _ => joined.push((line, text.trim_end().to_owned())),
        }
    }
    joined.retain(|(_, text)| !text.is_empty());
    joined
}

#[test]
fn what_is_left_out_may_be_anything_and_what_is_named_may_not() {
    let heard =
        |payload: &str| Heard { line: 1, topic: String::new(), payload: payload.to_owned() };
    for (wanted, came) in [
        (r#"{"a":1,…}"#, r#"{"a":1.0,"b":[2]}"#),
        (r#"{"a":1,…}"#, r#"{"a":1}"#),
        (r#"{"a":…}"#, r#"{"a":{"b":2}}"#),
        (r#"{"a":{"b":…,…},"c":"…"}"#, r#"{"c":7,"a":{"b":null,"x":0}}"#),
        (r#"{"a":[1,{"b":…}]}"#, r#"{"a":[1,{"b":3}]}"#),
        ("hello, you", "hello, you"),
    ] {
        assert!(heard(wanted).fits(came.as_bytes()), "{wanted} fits {came}");
    }
    for (wanted, came) in [
        (r#"{"a":1,…}"#, r#"{"a":2}"#),
        (r#"{"a":1,…}"#, r#"{"b":1}"#),
        (r#"{"a":1}"#, r#"{"a":1,"b":2}"#),
        (r#"{"a":…}"#, r#"{}"#),
        (r#"{"a":…}"#, r#"{"b":1}"#),
        (r#"{"a":{},…}"#, r#"{"a":{"b":1}}"#),
        (r#"{"a":[1,2]}"#, r#"{"a":[1]}"#),
        (r#"{"a":"1"}"#, r#"{"a":1}"#),
        (r#"{"a":1"#, r#"{"a":1}"#),
        ("hello", "hell"),
    ] {
        assert!(!heard(wanted).fits(came.as_bytes()), "{wanted} does not fit {came}");
    }
}

#[test]
fn a_block_is_read_with_its_lines_settings_and_continuations() {
    let text = "x\n```sh\n→ no\n```\n```conversation TWIN_A=1 TWIN_B=x\n→ t {\"a\":\"x×3\"}\n← u {\"b\":1,\n    \
                \"c\":2}\n\n→ v\n* the manager is killed and started again\n← w …\n```\n";
    let blocks = blocks(text).unwrap();
    let [block] = blocks.as_slice() else { panic!("{blocks:?}") };
    assert_eq!(block.line, 5);
    assert_eq!(block.settings, [("TWIN_A".into(), "1".into()), ("TWIN_B".into(), "x".into())]);
    let say =
        |topic: &str, payload: &str| Act::Say { topic: topic.into(), payload: payload.into() };
    let acts: Vec<_> = block.turns.iter().map(|turn| (turn.line, &turn.act)).collect();
    assert_eq!(acts, [(6, &say("t", r#"{"a":"xxx"}"#)), (10, &say("v", "")), (11, &Act::Crash)]);
    let [heard] = block.turns[0].heard.as_slice() else { panic!("{blocks:?}") };
    assert_eq!((heard.line, heard.payload.as_str()), (7, r#"{"b":1, "c":2}"#));
}

#[test]
fn a_block_that_cannot_be_played_is_refused_with_its_line() {
    for (text, fault) in [
        ("```conversation\n→ t {}\n```", "1: nothing is said in this block"),
        ("```conversation\n← t {}\n```", "2: nothing stands before the answer"),
        ("\n```conversation\n→ t {}\n<- t {}\n```", "4: \"<- t {}\" is neither →, ← nor a known *"),
        ("```conversation PATH=x\n```", "1: \"PATH=x\" is no setting"),
    ] {
        assert_eq!(blocks(text).unwrap_err(), fault);
    }
}
