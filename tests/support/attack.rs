//! Hostile payloads, one after another, at a manager that must neither end, nor hang, nor change a twin.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    client::{Client, Message},
    hostile::{Hostile, hostile},
    values::same,
};

/// The same run each time.
const SEED: u64 = 7;
/// The things that the payloads are aimed at, and one that nobody has heard of.
pub const THINGS: [&str; 5] = ["asked", "declining", "nested", "provisioned", "unheard of"];
/// The longest wait for a twin, which may wait for a commit.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest wait for a PONG, which waits for nothing.
const PONG_PATIENCE: Duration = Duration::from_secs(5);

/// Sends so many payloads to the manager of this id, which is ready and knows no things, with a PING after each.
///
/// Fails when a PING is not answered, when a request does not get exactly one error, when anything else comes, or
/// when something is not as before at the end.
pub fn attack(port: u16, manager: &str, payloads: usize) {
    let mut client = Client::connect(port);
    client.subscribe_to_others();
    set_up(&mut client);
    let before = everything(&mut client, manager);
    for (number, hostile) in hostile(SEED).take(payloads).enumerate() {
        let thing = THINGS[number % THINGS.len()];
        let topic = hostile.hears.topic(thing, manager);
        let what = || format!("{topic} {}", shown(&hostile));
        client.send(&topic, hostile.payload.clone());
        assert!(client.ping(manager, PONG_PATIENCE), "no PONG after {}", what());
        if let Some(result) = hostile.hears.answered_on(thing) {
            let answer = client.take(PATIENCE, |message| !is_own(message, manager));
            let answer = answer.unwrap_or_else(|| panic!("no error after {}", what()));
            let is_right = answer.topic == result && is_error(&answer);
            assert!(is_right, "after {}: {answer:?}", what());
        }
        let more = client.quiet(Duration::ZERO);
        assert!(more.iter().all(|more| is_own(more, manager)), "after {}: {more:?}", what());
    }
    client.flush();
    let more = client.quiet(Duration::from_millis(200));
    assert!(more.iter().all(|more| is_own(more, manager)), "after the last: {more:?}");
    for ((name, before), (_, after)) in before.iter().zip(&everything(&mut client, manager)) {
        assert!(same(before, after), "{name} was\n{before}\nand is\n{after}");
    }
}

/// Gives the things twins of each kind. None is left with a delta that would be sent again meanwhile.
fn set_up(client: &mut Client) {
    let said = [
        (
            "nested",
            "STATE/UPD",
            json!({"state": {"trn": 3, "a": {"b": [1, {"c": null}]}, "ü": "ß"}}),
        ),
        ("asked", "STATE/UPD", json!({"state": {"trn": 1, "on": false}})),
        ("asked", "LC/OFF", json!({"online": 0})),
        ("asked", "TWIN/SET", json!({"set": {"on": true}})),
        ("declining", "STATE/UPD", json!({"state": {"trn": 1, "temp": 20}})),
        ("declining", "TWIN/SET", json!({"set": {"temp": 90}})),
        ("declining", "STATE/UPD", json!({"delta": {"trn": 2, "temp": 60}})),
        ("provisioned", "TWIN/SET", json!({"set": {"net": {"ip": "::1"}}})),
    ];
    for (thing, levels, payload) in said {
        client.publish_json(&format!("TNG/{thing}/{levels}"), &payload);
        if levels != "LC/OFF" {
            client.expect(&format!("TNG/{thing}/TWIN/UPD"), PATIENCE);
        }
    }
    client.quiet(Duration::from_millis(200));
}

/// All twins, and of the manager's own state what must stay.
fn everything(client: &mut Client, manager: &str) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for thing in THINGS {
        client.publish(&format!("TNG/{thing}/TWIN/GET"), "");
        let twin = client.expect(&format!("TNG/{thing}/TWIN/UPD"), PATIENCE);
        all.push((format!("the twin of {thing}"), twin.json()));
    }
    // An update that was already under way may come first: the answer is the last one.
    client.publish(&format!("TNG/{manager}/STATE/GET"), r#"{"GET":1}"#);
    let topic = format!("TNG/{manager}/STATE/UPD");
    let mut own = client.expect(&topic, PATIENCE).json();
    while let Some(later) =
        client.take(Duration::from_millis(1500), |message| message.topic == topic)
    {
        own = later.json();
    }
    let kept = json!({"trn": own["state"]["trn"], "things": own["state"]["things"]});
    all.push(("the manager's state".to_owned(), kept));
    all
}

/// Whether this is of the manager's own affairs, such as its counters.
fn is_own(message: &Message, manager: &str) -> bool {
    message.topic.starts_with(&format!("TNG/{manager}/"))
}

/// Whether this says that the request is at fault.
fn is_error(message: &Message) -> bool {
    matches!(message.json()["error"]["code"].as_u64(), Some(400 | 413 | 422))
}

fn shown(hostile: &Hostile) -> String {
    let start = &hostile.payload[..hostile.payload.len().min(200)];
    format!("({}, {}) {}", hostile.kind, hostile.why, start.escape_ascii())
}
