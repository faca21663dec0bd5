//! The kit of the system tests does what the tests rely on, without the program.
#![cfg(feature = "manager")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use proptest::prelude::*;
use serde_json::{Value, json};
use support::{
    attack::attack,
    broker::Broker,
    client::{Client, Message},
    conformance::{Conversation, Mismatch, Player, backslash_replaced, comparable, read_all},
    hostile::{Hears, Hostile, LARGE, SMALL, fault, hostile},
    json::Json,
    values::same,
};

const SECOND: Duration = Duration::from_secs(1);

/// What a stand-in for a manager says to one message: topics and payloads.
type Says = Vec<(String, Vec<u8>)>;

/// Stands in for a manager, as a closure says.
struct Parrot {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Parrot {
    fn start(port: u16, mut say: impl FnMut(&Message) -> Says + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut client = Client::connect(port);
        client.subscribe_to_others();
        let stopped = Arc::clone(&stop);
        let speak = move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Some(heard) = client.recv(Duration::from_millis(10)) {
                    for (topic, payload) in say(&heard) {
                        client.send(&topic, payload);
                    }
                }
            }
        };
        Self { stop, thread: Some(thread::spawn(speak)) }
    }

    /// At the nth message it says the nth of these.
    fn in_turn(port: u16, says: Vec<Says>) -> Self {
        let mut says = says.into_iter();
        Self::start(port, move |_| says.next().unwrap_or_default())
    }

    /// Says exactly what the conversation has.
    fn recite(port: u16, conversation: &Conversation) -> Self {
        let said = |step: &support::conformance::Step| {
            let heard = step.out.iter();
            let bytes = |heard: &support::conformance::Heard| match heard.topic.as_str() {
                // The recording has these bytes as text.
                "TNG/<mgr>/TPC/PONG" => step.said.payload.bytes(),
                _ => heard.payload.bytes(),
            };
            heard.map(|heard| (heard.topic.replace("<mgr>", "mgr"), bytes(heard))).collect()
        };
        Self::in_turn(port, conversation.steps.iter().map(said).collect())
    }
}

impl Drop for Parrot {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(thread::panicking() || ended.is_ok(), "the parrot choked");
    }
}

fn recorded() -> Vec<Conversation> {
    read_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance"))
}

/// A conversation of one step, played with a manager that says `got` where `wanted` is recorded.
fn play(wanted: &Value, got: &[(&str, &str)]) -> Result<(), Mismatch> {
    let text = json!({"about": "", "groups": {},
        "steps": [{"in": {"pub": "TNG/d1/TWIN/GET", "raw": ""}, "out": wanted}]});
    let conversation = Conversation::parse("made-up".to_owned(), &text.to_string());
    let broker = Broker::start();
    let says = got.iter().map(|&(topic, payload)| (topic.to_owned(), payload.into())).collect();
    let _parrot = Parrot::in_turn(broker.port(), vec![says]);
    Player::connect(broker.port(), "mgr").with_patience(SECOND).play(&conversation)
}

#[test]
fn every_recorded_conversation_can_be_played() {
    let conversations = recorded();
    assert!(conversations.len() >= 36, "only {} files", conversations.len());
    thread::scope(|scope| {
        for some in conversations.chunks(6) {
            scope.spawn(move || {
                for conversation in some {
                    let broker = Broker::start();
                    let _parrot = Parrot::recite(broker.port(), conversation);
                    let mut player = Player::connect(broker.port(), "mgr");
                    player.play(conversation).unwrap_or_else(|mismatch| panic!("{mismatch}"));
                }
            });
        }
    });
}

#[test]
fn a_manager_that_says_one_thing_otherwise_does_not_pass() {
    let all = recorded();
    let conversation = all.iter().find(|read| read.name == "set-decline-value").unwrap();
    let mut wrong = conversation.clone();
    wrong.steps[2].out[0].payload = support::conformance::Payload::Json(json!({"declined": {}}));
    let broker = Broker::start();
    let _parrot = Parrot::recite(broker.port(), &wrong);
    let mut player = Player::connect(broker.port(), "mgr").with_patience(SECOND);
    let mismatch = player.play(conversation).unwrap_err();
    assert_eq!((mismatch.conversation.as_str(), mismatch.step), ("set-decline-value", 3));
    let text = mismatch.to_string();
    assert!(text.contains("expected") && text.contains("got"), "{text}");
    assert!(text.contains(r#""temp":90"#) && text.contains(r#"{"declined":{}}"#), "{text}");
}

#[test]
fn the_player_sees_what_is_missing_what_is_too_much_and_what_is_out_of_order() {
    let two = json!([{"topic": "TNG/d1/X", "raw": "1"}, {"topic": "TNG/d1/X", "raw": "2"},
        {"topic": "TNG/d1/Y", "json": {"a": [20]}}]);
    let x = |payload| ("TNG/d1/X", payload);
    let y = ("TNG/d1/Y", r#"{"a": [2e1]}"#);
    let other = ("NOT/of/the/protocol", "");
    assert!(play(&two, &[x("1"), x("2"), y]).is_ok());
    assert!(play(&two, &[y, x("1"), x("2")]).is_ok(), "order across topics does not count");
    assert!(play(&two, &[x("2"), x("1"), y]).is_err(), "order within a topic does");
    assert!(play(&two, &[x("1"), y]).is_err(), "one is missing");
    assert!(play(&two, &[x("1"), x("2"), x("2"), y]).is_err(), "one comes twice");
    assert!(play(&two, &[x("1"), x("2"), y, other]).is_err(), "one is not expected");
    assert!(play(&json!([]), &[other]).is_err(), "nothing is expected");
    let own = [("TNG/mgr/LC/ON", "{}"), ("TNG/mgr/STATE/UPD", "{}"), ("TNG/mgr/TPC/STATS", "")];
    assert!(play(&json!([]), &own).is_ok(), "what it says about itself does not count");
    assert!(play(&json!([]), &[("TNG/mgr/TPC/PONG", "")]).is_err(), "a PONG is no such thing");
}

#[test]
fn a_retained_message_is_a_mismatch() {
    let broker = Broker::start();
    let mut reader = Client::connect(broker.port());
    reader.subscribe_to_others();
    let mut writer = Client::connect(broker.port());
    writer.publish_retained("TNG/d1/X", "kept");
    assert!(reader.expect("TNG/d1/X", SECOND).retained, "the player would see it");
}

#[test]
fn twin_documents_are_compared_without_what_two_runs_need_not_share() {
    let topic = "TNG/d1/TWIN/UPD";
    let ours = json!({"version": 4, "online": null, "desired": {"trn": 3},
        "desiredMeta": {"timestamp": 5, "trn": 5, "gone": 5},
        "reported": {"a": {"b": 20.0}, "timestamp": 7},
        "reportedMeta": {"timestamp": 1_700_000_000_000_000_000_u64, "a": {"b": 2, "c": 3}}});
    let recorded = json!({"desired": {}, "desiredMeta": {"timestamp": "<ts>"},
        "reported": {"a": {"b": 20}, "timestamp": 7},
        "reportedMeta": {"timestamp": "<ts>", "a": {"b": "<ts>"}}});
    assert!(same(&comparable(topic, &ours), &comparable(topic, &recorded)));
    for (pointer, other) in [
        ("/reported/a/b", json!(21)),
        ("/reported/timestamp", json!(8)),
        ("/reportedMeta/a/b", json!("soon")),
        ("/reportedMeta/timestamp", Value::Null),
        ("/desired", json!({"trn": 3, "on": true})),
    ] {
        let mut changed = ours.clone();
        *changed.pointer_mut(pointer).unwrap() = other;
        assert!(!same(&comparable(topic, &changed), &comparable(topic, &recorded)), "{pointer}");
    }
    let elsewhere = "TNG/d1/STATE/SET";
    assert!(same(&comparable(elsewhere, &ours), &ours), "only twin documents have such parts");
}

#[test]
fn numbers_are_the_same_by_value() {
    for (left, right) in [
        ("20", "20.0"),
        ("20", "2E1"),
        ("0", "-0.0"),
        ("0.05", "5e-2"),
        ("1700000000000000000", "1.7e18"),
        ("[{\"a\":1}]", "[{\"a\":1.00}]"),
    ] {
        assert!(same(&parsed(left), &parsed(right)), "{left} {right}");
    }
    for (left, right) in [
        ("20", "-20"),
        ("1700000000000000001", "1700000000000000000"),
        ("1", "\"1\""),
        ("[1]", "[1,1]"),
    ] {
        assert!(!same(&parsed(left), &parsed(right)), "{left} {right}");
    }
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn bytes_that_are_no_text_are_spelled_as_python_spells_them() {
    assert_eq!(backslash_replaced(b"\x00\xff\x10"), "\0\\xff\x10");
    assert_eq!(backslash_replaced(b"a\xe2\x82z\xc3\xbc"), "a\\xe2\\x82zü");
}

#[test]
fn the_second_opinion_keeps_to_the_rfc() {
    for good in [
        "{}",
        "[]",
        " \t\r\n1 ",
        "-0",
        "0.5e+3",
        "1E-2",
        "\"\\u00fc\\ud83d\\ude00\\/\"",
        "\"\u{7f}\"",
        "null",
        "{\"a\":1,\"a\":2}",
        "[[],{}]",
        "1e999",
        "\"\u{2028}\"",
    ] {
        assert!(Json::parse(good.as_bytes()).is_ok(), "{good}");
    }
    for bad in [
        "",
        " ",
        "{,}",
        "[1,]",
        "01",
        "+1",
        "-",
        "1.",
        ".5",
        "1e",
        "NaN",
        "tru",
        "'a'",
        "\"\t\"",
        "\"\\x\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "{\"a\"}",
        "{1:1}",
        "[1 2]",
        "1 1",
        "\u{feff}1",
        "[",
        "\"",
        "\u{a0}1",
    ] {
        assert!(Json::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    assert!(Json::parse(b"\"\xff\"").is_err() && Json::parse(b"\"\xed\xa0\x80\"").is_err());
    assert_eq!(
        Json::parse(b"{\"a\":1,\"a\":2}").unwrap().member("a"),
        Some(&Json::Number("2".into()))
    );
    assert_eq!(Json::parse(b"[[{\"a\":1}],2]").unwrap().depth(), 3);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no other", |x| x.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn the_second_opinion_takes_what_is_json(value in any_json()) {
        prop_assert!(Json::parse(value.to_string().as_bytes()).is_ok());
    }

    #[test]
    fn a_value_is_the_same_as_itself(value in any_json()) {
        prop_assert!(same(&value, &parsed(&value.to_string())));
    }
}

#[test]
fn hostile_payloads_are_many_the_same_each_time_and_of_every_kind_on_every_topic() {
    let some: Vec<Hostile> = hostile(7).take(10_000).collect();
    assert!(some == hostile(7).take(10_000).collect::<Vec<_>>());
    let other: Vec<Hostile> = hostile(8).take(100).collect();
    assert!(some[..100] != other[..], "another seed gives others");
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let mut topics: BTreeMap<Hears, usize> = BTreeMap::new();
    for hostile in &some {
        *kinds.entry(hostile.kind).or_default() += 1;
        *topics.entry(hostile.hears).or_default() += 1;
    }
    for (kind, _) in SMALL {
        assert!(kinds.get(kind).is_some_and(|&count| count >= 100), "{kind}: {kinds:?}");
    }
    for (kind, _) in LARGE {
        assert!(kinds.contains_key(kind), "{kind}: {kinds:?}");
    }
    assert!(topics.len() == Hears::ALL.len() && topics.values().all(|&count| count >= 1_400));
    let different: BTreeSet<_> =
        some.iter().map(|hostile| (hostile.hears, &hostile.payload)).collect();
    assert!(different.len() >= 7_000, "{} different ones", different.len());
}

#[test]
fn the_judge_of_hostile_payloads_lets_good_ones_pass() {
    let long = format!(r#"{{"set":{{"a":"{}"}}}}"#, "x".repeat(262_144 - 16));
    assert_eq!(long.len(), 256 * 1024);
    let deep = format!(r#"{{"set":{}1{}}}"#, r#"{"a":"#.repeat(99), "}".repeat(99));
    for (hears, good) in [
        (Hears::Report, r#"{"delta":{},"state":7}"#),
        (Hears::Report, r#"{"state":{"trn":"x"},"more":1}"#),
        (Hears::Set, &long),
        (Hears::Set, &deep),
        (Hears::Set, r#"{"delta":{"a":null},"version":3,"query":[]}"#),
        (Hears::Del, ""),
        (Hears::Del, "{}"),
        (Hears::Get, ""),
        (Hears::Get, r#"{"GET":1}"#),
        (Hears::GroupGet, r#"{"select":["*"],"query":null}"#),
        (Hears::GroupSet, r#"{"set":{},"from":[]}"#),
    ] {
        assert_eq!(fault(hears, good.as_bytes()), None, "{hears:?} {good}");
    }
    for (hears, bad) in [
        (Hears::Report, ""),
        (Hears::Report, r#"{"delta":[],"state":{}}"#),
        (Hears::Set, "{}"),
        (Hears::Set, r#"{"set":"a","state":{}}"#),
        (Hears::Set, r#"{"set":{},"version":"3"}"#),
        (Hears::Set, &format!("{long} ")),
        (Hears::Set, &deep.replace('1', "[1]")),
        (Hears::Del, "[]"),
        (Hears::Get, r#"{"select":[1]}"#),
        (Hears::GroupGet, r#"{"where":[]}"#),
        (Hears::GroupSet, r#"{"set":{},"from":"a"}"#),
        (Hears::OwnSet, "null"),
    ] {
        assert!(fault(hears, bad.as_bytes()).is_some(), "{hears:?} {bad}");
    }
}

#[test]
#[should_panic(expected = "mosquitto has ended by itself")]
fn a_broker_whose_port_another_took_is_not_taken_for_running() {
    let mut broker = Broker::start();
    broker.stop();
    let _other = std::net::TcpListener::bind(("127.0.0.1", broker.port())).unwrap();
    broker.run();
}

#[test]
fn a_client_keeps_order_and_skips_nothing() {
    let broker = Broker::start();
    let mut reader = Client::connect(broker.port());
    reader.subscribe(&["a/#", "b"]);
    let mut writer = Client::connect(broker.port());
    for number in 0..2_000 {
        writer.send(if number % 2 == 0 { "a/x" } else { "b" }, number.to_string());
    }
    writer.flush();
    assert_eq!(reader.expect("b", SECOND).text(), "1", "expect takes it out of the middle");
    let drained = reader.drain_until(5 * SECOND, |message| message.payload == b"1999");
    let numbers: Vec<u32> = drained.iter().map(|message| message.text().parse().unwrap()).collect();
    let expected: Vec<u32> = (0..2_000).filter(|&number| number != 1).collect();
    assert_eq!(numbers, expected);
    assert!(reader.quiet(Duration::from_millis(50)).is_empty());
}

#[test]
fn a_client_takes_large_messages_and_correlation_data() {
    let broker = Broker::start();
    let mut reader = Client::connect(broker.port());
    reader.subscribe(&["TNG/#"]);
    let mut writer = Client::connect(broker.port());
    writer.publish("TNG/a/STATE/UPD", vec![b'x'; 1_500_000]);
    assert_eq!(reader.recv(5 * SECOND).unwrap().payload.len(), 1_500_000);
    writer.request("TNG/a/TWIN/GET", "", "TNG/a/TPC/RES/1", b"\x00\xff");
    let Message { topic, correlation, qos, retained, .. } = reader.recv(SECOND).unwrap();
    assert_eq!(
        (topic.as_str(), correlation.as_deref()),
        ("TNG/a/TWIN/GET", Some(&b"\x00\xff"[..]))
    );
    assert_eq!((qos, retained), (1, false));
}

#[test]
fn a_thing_that_vanishes_leaves_its_will_and_one_that_goes_does_not() {
    let broker = Broker::start();
    let mut watcher = Client::connect(broker.port());
    watcher.subscribe(&["TNG/+/LC/OFF"]);
    Client::connect_thing(broker.port(), "quiet").vanish();
    assert_eq!(watcher.recv(5 * SECOND).unwrap().topic, "TNG/quiet/LC/OFF");
    drop(Client::connect_thing(broker.port(), "polite"));
    assert_eq!(watcher.recv(Duration::from_millis(200)), None);
}

#[test]
fn a_ping_is_answered_by_its_own_pong_only() {
    let broker = Broker::start();
    let mut client = Client::connect(broker.port());
    client.subscribe(&["TNG/mgr/TPC/PONG"]);
    let stray = || vec![("TNG/mgr/TPC/PONG".to_owned(), b"stray".to_vec())];
    let _parrot = Parrot::in_turn(broker.port(), vec![stray()]);
    assert!(!client.ping("mgr", Duration::from_millis(200)));
    assert_eq!(client.recv(SECOND).unwrap().payload, b"stray");
}

/// A manager that takes what it may, and what `falls_for` says; it answers `lives` PINGs.
fn attacked(payloads: usize, falls_for: fn(&[u8]) -> bool, mut lives: usize) {
    let broker = Broker::start();
    let mut versions: BTreeMap<String, u64> = BTreeMap::new();
    let _parrot = Parrot::start(broker.port(), move |heard| {
        let (space, rest) = heard.topic.split_once('/').unwrap();
        let (thing, levels) = rest.split_once('/').unwrap();
        let takes = |hears| fault(hears, &heard.payload).is_none() || falls_for(&heard.payload);
        let version = versions.entry(thing.to_owned()).or_default();
        match levels {
            "TPC/PING" if lives > 0 => {
                lives -= 1;
                return vec![("TNG/mgr/TPC/PONG".to_owned(), heard.payload.clone())];
            }
            "STATE/GET" => {
                let own = json!({"state": {"trn": 1, "things": 4}}).to_string();
                return vec![("TNG/mgr/STATE/UPD".to_owned(), own.into())];
            }
            "TWIN/GET" if takes(Hears::Get) => {}
            "STATE/UPD" if takes(Hears::Report) => *version += 1,
            "TWIN/SET" if takes(Hears::Set) && heard.topic.starts_with("TNG") => *version += 1,
            "TWIN/GET" | "TWIN/SET" | "TWIN/DEL" => {
                let error = json!({"query": null, "error": {"code": 400, "message": "bad"}});
                return vec![(format!("{space}/{thing}/TWIN/RES"), error.to_string().into())];
            }
            _ => return Vec::new(),
        }
        let twin = json!({"version": *version}).to_string();
        vec![(format!("TNG/{thing}/TWIN/UPD"), twin.into())]
    });
    attack(broker.port(), "mgr", payloads);
}

#[test]
fn a_manager_that_takes_nothing_hostile_withstands_the_attack() {
    attacked(1_000, |_| false, usize::MAX);
}

#[test]
#[should_panic(expected = "(byte order mark, no value at byte 0)")]
fn a_manager_that_takes_a_byte_order_mark_does_not() {
    attacked(1_000, |payload| payload.starts_with(b"\xef\xbb\xbf"), usize::MAX);
}

#[test]
#[should_panic(expected = "no PONG after ")]
fn a_manager_that_falls_silent_does_not() {
    attacked(1_000, |_| false, 500);
}
