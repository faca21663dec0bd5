//! What `docs/protocol.md` says is so: its conversations are played with the built program, on a real broker and on
//! every database.
#![cfg(feature = "manager")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

mod notation;
#[path = "../support/mod.rs"]
mod support;

use std::{
    collections::BTreeSet,
    path::Path,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use notation::{Act, Block, Heard, Turn, blocks};
use support::{
    broker::Broker,
    client::{Client, Message},
    database::{Database, Direct},
    program::Twinmgr,
};

const DOCUMENT: &str = "docs/protocol.md";
/// The document has at least so many: a change of the notation does not leave them out unseen.
const BLOCKS: usize = 52;
/// The manager's id in the document.
const MANAGER: &str = "twinmgr";
/// How many are played at the same time, each with a broker and a manager of its own.
const AT_ONCE: usize = 4;
/// The longest wait for what is expected.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long nothing may come before a turn counts as over.
const QUIET: Duration = Duration::from_millis(200);
/// Where the manager speaks of itself, in its own time; the last is from the kit that waits for it.
const OWN: [&str; 6] = ["LC/ON", "LC/OFF", "STATE/UPD", "TPC/STATS", "TPC/PONG", "TPC/PING"];

#[test]
fn every_conversation_goes_as_documented_on_sqlite() {
    play_all(&Database::Sqlite);
}

#[test]
fn every_conversation_goes_as_documented_on_mariadb() {
    play_all(&Database::mariadb());
}

#[test]
fn a_wrong_expectation_is_caught_with_its_line() {
    let report = "```conversation\n→ TNG/d/STATE/UPD {\"state\":{\"n\":1}}\n";
    let right = "← TNG/d/TWIN/UPD {\"version\":1,…}\n";
    play_text(&format!("{report}{right}```")).unwrap();
    for (answers, fault) in [
        (String::from("← TNG/d/TWIN/UPD {\"version\":2,…}\n"), "line 3 expects"),
        (format!("{right}← TNG/d/STATE/SET {{}}\n"), "line 4 expects"),
        (String::from("→ TNG/d/TWIN/GET\n← TNG/d/TWIN/UPD …\n"), "nobody expects"),
    ] {
        let said = play_text(&format!("{report}{answers}```")).unwrap_err();
        assert!(said.starts_with("docs/protocol.md:2: ") && said.contains(fault), "{said}");
    }
}

fn play_text(text: &str) -> Result<(), String> {
    play(&Database::Sqlite, &blocks(text).unwrap()[0], Duration::from_secs(2))
}

fn play_all(database: &Database) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
    let blocks = blocks(&std::fs::read_to_string(path).unwrap())
        .unwrap_or_else(|fault| panic!("{DOCUMENT}:{fault}"));
    let count = blocks.len();
    assert!(count >= BLOCKS, "{DOCUMENT} has {count} conversations; it had {BLOCKS}");
    let (waiting, failures) = (Mutex::new(blocks), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(block) = waiting.lock().unwrap().pop() else { return };
                    if let Err(failure) = play(database, &block, PATIENCE) {
                        failures.lock().unwrap().push(failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {count}:\n{}", failures.len(), failures.join("\n"));
}

/// Plays a block with a manager that knows nothing yet.
fn play(database: &Database, block: &Block, patience: Duration) -> Result<(), String> {
    let broker = Broker::start();
    let folder = tempfile::tempdir().unwrap();
    let url = database.fresh_url(folder.path());
    let settings = block.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let settings: Vec<_> = settings.chain([("MQTT_USER", MANAGER)]).collect();
    let mut program = Twinmgr::start_in(folder, broker.port(), &url, &settings);
    program.ready(&mut Client::connect(broker.port()));
    let mut client = Client::connect(broker.port());
    client.subscribe_to_others();
    for turn in &block.turns {
        match &turn.act {
            Act::Say { topic, payload } => client.publish(topic, payload.as_bytes()),
            Act::Restart => assert_eq!(program.terminate(), 0, "{DOCUMENT}:{}", turn.line),
            Act::Crash => {
                // Time to write down that all is told: if it had none, it would tell that again.
                let own = format!("TNG/{}/", program.id());
                let mut said = client.quiet(Duration::from_secs(1)).into_iter();
                assert_eq!(said.find(|message| !message.topic.starts_with(&own)), None);
                program.kill();
            }
            Act::Join { group, members } => Direct::to(&url).join(group, members),
        }
        if matches!(turn.act, Act::Restart | Act::Crash) {
            program.start_again();
            program.ready(&mut Client::connect(broker.port()));
        }
        let came = gather(&mut client, &turn.heard, patience);
        compare(turn, &came)?;
    }
    Ok(())
}

/// Waits for as many messages on each topic as are expected, and then for silence.
fn gather(client: &mut Client, expected: &[Heard], patience: Duration) -> Vec<Message> {
    let deadline = Instant::now() + patience;
    let mut missing: Vec<_> = expected.iter().map(|heard| &heard.topic).collect();
    let mut came = Vec::new();
    while !missing.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        let Some(message) = client.recv(left) else { break };
        if let Some(found) = missing.iter().position(|topic| **topic == message.topic) {
            missing.swap_remove(found);
        }
        came.push(message);
    }
    came.extend(client.quiet(QUIET));
    came
}

/// Compares topic by topic: order counts within a topic, and nothing may come that is not expected.
///
/// Where the manager speaks of itself, one fitting message will do.
fn compare(turn: &Turn, came: &[Message]) -> Result<(), String> {
    let topics: BTreeSet<_> =
        turn.heard.iter().map(|heard| &heard.topic).chain(came.iter().map(|m| &m.topic)).collect();
    let mut faults = Vec::new();
    for topic in topics {
        let mut came = came.iter().filter(|message| message.topic == *topic).peekable();
        let own = is_own(topic);
        for heard in turn.heard.iter().filter(|heard| heard.topic == *topic) {
            let found = if own { came.find(|m| fits(heard, m)) } else { came.next() };
            if !found.is_some_and(|message| fits(heard, message)) {
                let got = found.map_or("nothing".to_owned(), Message::text);
                let Heard { line, payload, .. } = heard;
                faults.push(format!(
                    "  line {line} expects on {topic}\n    {payload}\n  and gets\n    {got}"
                ));
            }
        }
        if !own && let Some(message) = came.next() {
            faults.push(format!("  nobody expects on {topic}\n    {}", message.text()));
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(format!("{DOCUMENT}:{}: {:?}\n{}", turn.line, turn.act, faults.join("\n")))
}

fn fits(heard: &Heard, message: &Message) -> bool {
    heard.fits(&message.payload) && message.qos == 1 && !message.retained
}

fn is_own(topic: &str) -> bool {
    let levels = topic.strip_prefix("TNG/").and_then(|rest| rest.strip_prefix(MANAGER));
    levels.and_then(|levels| levels.strip_prefix('/')).is_some_and(|kind| OWN.contains(&kind))
}
