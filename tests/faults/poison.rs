//! The pure core panics on a message. The program has no switch for that: its parts run in a thread of the test.

use std::{
    collections::HashMap,
    io,
    path::Path,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use actix::prelude::*;
use serde_json::json;
use tokio::sync::oneshot;
use twinthing::{
    config::{Config, Source},
    manager::{Apply, ManagerSettings, Peers, Router},
    mqtt::{self, Bridge, Close, Inbox, Listeners, PoisonFolder, Quiesce},
    store::{self, Finish, Store},
    twin::{Event, Moment, Outcome, Refusal, Twin},
};

use crate::support::{
    broker::Broker,
    client::{Client, Message},
    database::sqlite_url,
    site::PATIENCE,
    tell::tell_recovery,
    wait_for,
};

/// How many things report meanwhile.
const THINGS: usize = 20;

fn panics_on_boom(
    twin: &Twin,
    event: Event,
    moment: &Moment<'_>,
) -> Result<(Twin, Outcome), Refusal> {
    if let Event::Set { members, .. } = &event {
        assert!(!members.contains_key("boom"), "a fault in the core");
    }
    twin.apply(event, moment)
}

struct Given(HashMap<&'static str, String>);

impl Source for Given {
    fn flag(&self, _: &str) -> Option<String> {
        None
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }
}

/// Ends in order when told.
struct Manager {
    thread: JoinHandle<()>,
    end: oneshot::Sender<()>,
}

impl Manager {
    fn start(folder: &Path, broker: &Broker, apply: Apply) -> Self {
        let settings = HashMap::from([
            ("MQTT_PORT", broker.port().to_string()),
            ("MQTT_USER", "mgr".to_owned()),
            ("TWIN_DB_URL", sqlite_url(folder)),
            ("TWIN_DATA_DIR", folder.display().to_string()),
        ]);
        let config = Config::read(&Given(settings)).unwrap();
        let (end, ended) = oneshot::channel();
        let live = async move {
            let (bridge, store) = run(config, apply);
            ended.await.unwrap();
            bridge.send(Quiesce).await.unwrap();
            bridge.send(Close).await.unwrap();
            store.send(Finish).await.unwrap();
        };
        Self { thread: thread::spawn(|| System::new().block_on(live)), end }
    }

    fn end(self) {
        self.end.send(()).unwrap();
        self.thread.join().unwrap();
    }
}

struct Deaf;

impl Actor for Deaf {
    type Context = Context<Self>;
}

impl Handler<mqtt::Fatal> for Deaf {
    type Result = ();

    fn handle(&mut self, _: mqtt::Fatal, _: &mut Self::Context) {}
}

/// Puts the parts together the way the program does.
fn run(config: Config, apply: Apply) -> (Addr<Bridge>, Addr<Store>) {
    let inbox = Inbox::open(&config.inbox).unwrap();
    let epoch = mqtt::now().0.max(inbox.last_epoch() + 1);
    let context = Context::<Router>::new();
    let router = context.address();
    let (store, opening) = store::start(config.store, epoch, router.clone().recipient()).unwrap();
    let listeners = Listeners {
        router: router.clone().recipient(),
        link: router.clone().recipient(),
        acked: router.clone().recipient(),
        replayed: router.recipient(),
        fatal: Deaf.start().recipient(),
    };
    let session = opening.session.max(inbox.last_session());
    let bridge = mqtt::start(config.mqtt, inbox, opening.epoch, session, listeners).unwrap();
    let peers = Peers {
        load: store.clone().recipient(),
        commit: store.clone().recipient(),
        unsettled: store.clone().recipient(),
        members: store.clone().recipient(),
        select: store.clone().recipient(),
        session: store.clone().recipient(),
        count_commits: store.clone().recipient(),
        told: store.clone().recipient(),
        forget: store.clone().recipient(),
        publish: bridge.clone().recipient(),
        done: bridge.clone().recipient(),
        poison: bridge.clone().recipient(),
        parked: bridge.clone().recipient(),
        again: bridge.clone().recipient(),
        count: bridge.clone().recipient(),
        asks_first: bridge.clone().recipient(),
    };
    let settings = ManagerSettings {
        epoch: opening.epoch,
        untold: opening.untold,
        things: opening.things,
        apply,
        ..config.manager
    };
    context.run(Router::new(settings, peers));
    (bridge, store)
}

/// Each thing reports this number, and is told.
fn report_all(client: &mut Client, number: usize) {
    for id in 0..THINGS {
        client.send(&format!("TNG/t{id}/STATE/UPD"), json!({"delta": {"n": number}}).to_string());
    }
    for id in 0..THINGS {
        let twin = client.expect(&format!("TNG/t{id}/TWIN/UPD"), PATIENCE).json();
        assert_eq!((&twin["reported"]["n"], &twin["version"]), (&json!(number), &json!(number)));
    }
}

fn set(client: &mut Client, id: &str, set: &serde_json::Value) {
    client.send(&format!("TNG/{id}/TWIN/SET"), json!({"set": set, "query": 7}).to_string());
}

fn listen(broker: &Broker) -> Client {
    let mut client = Client::connect(broker.port());
    client.subscribe(&["TNG/+/TWIN/UPD", "TNG/+/TWIN/RES", "TNG/mgr/TPC/PONG"]);
    client
}

fn wait_until_ready(client: &mut Client) {
    wait_for("a PONG", PATIENCE, || client.ping("mgr", Duration::from_millis(100)).then_some(()));
}

/// The core panics over a SET among others; gives the time to the next update of that thing.
fn boom(client: &mut Client) -> Duration {
    (0..5).for_each(|n| set(client, "t3", &json!({"before": n})));
    set(client, "t3", &json!({"boom": 1}));
    let from = Instant::now();
    set(client, "t3", &json!({"after": 1}));
    set(client, "t4", &json!({"after": 1}));
    let after = |id: &str, message: &Message| {
        message.topic == format!("TNG/{id}/TWIN/UPD")
            && message.json().pointer("/desired/after").is_some()
    };
    let told = client.take(PATIENCE, |message| after("t3", message)).expect("t3 goes on").json();
    let time = from.elapsed();
    assert_eq!(told["desired"], json!({"trn": 6, "before": 4, "after": 1}));
    client.take(PATIENCE, |message| after("t4", message)).expect("others go on");
    let answer = client.expect("TNG/t3/TWIN/RES", PATIENCE).json();
    let message = "the manager has a fault; this request was not done";
    assert_eq!(answer, json!({"query": 7, "error": {"code": 503, "message": message}}));
    time
}

#[test]
fn a_panic_in_the_core_costs_that_message_which_is_set_aside_and_can_be_tried_again() {
    let (folder, broker) = (tempfile::tempdir().unwrap(), Broker::start());
    let poison = PoisonFolder(folder.path().join("poison"));
    let mut client = listen(&broker);
    let manager = Manager::start(folder.path(), &broker, panics_on_boom);
    wait_until_ready(&mut client);
    report_all(&mut client, 1);
    tell_recovery("a panic in the core", boom(&mut client));
    let found = wait_for("the message to be set aside", PATIENCE, || {
        Some(poison.list().unwrap()).filter(|found| !found.is_empty())
    });
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].reason.as_str(), found[0].is_retried), ("a fault in the core", false));
    assert_eq!(found[0].message.topic, "TNG/t3/TWIN/SET");
    manager.end();

    let manager = Manager::start(folder.path(), &broker, panics_on_boom);
    let mut client = listen(&broker);
    wait_until_ready(&mut client);
    set(&mut client, "t5", &json!({"second": "life"}));
    client.expect("TNG/t5/TWIN/UPD", PATIENCE);
    assert_eq!(poison.list().unwrap(), found, "it stays where it is");
    manager.end();

    let manager = Manager::start(folder.path(), &broker, Twin::apply);
    let mut client = listen(&broker);
    wait_until_ready(&mut client);
    poison.retry(&found[0].id).unwrap();
    let twin = client.expect("TNG/t3/TWIN/UPD", PATIENCE).json();
    assert_eq!(twin["desired"], json!({"trn": 7, "before": 4, "after": 1, "boom": 1}));
    assert_eq!(poison.list().unwrap(), []);
    manager.end();
}
