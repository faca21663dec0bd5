//! The agent of a device at a wire that is played.

use std::{
    future::pending,
    sync::{
        Arc,
        mpsc::{self, Receiver},
    },
    time::Duration,
};

use actix::prelude::*;
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};

use crate::{
    device::{
        By, Device, Event, NotSaid,
        agent::{Agent, Changed, Speaks},
        author::Author,
        handle::Shared,
        kept::Kept,
    },
    mqtt::{Got, HangUp, Heard, Letter, Runner},
};

/// What has been said since somebody looked last, and what a farewell waits for.
#[derive(Default)]
struct Tape {
    said: Vec<Letter>,
    has_hung_up: bool,
    last_word: Option<oneshot::Receiver<()>>,
}

impl Actor for Tape {
    type Context = Context<Self>;
}

impl Handler<Letter> for Tape {
    type Result = ();

    fn handle(&mut self, letter: Letter, _: &mut Self::Context) {
        self.said.push(letter);
    }
}

impl Handler<HangUp> for Tape {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, HangUp: HangUp, _: &mut Self::Context) -> Self::Result {
        self.has_hung_up = true;
        match self.last_word.take() {
            Some(word) => Box::pin(async { word.await.unwrap_or_default() }),
            None => Box::pin(pending()),
        }
    }
}

#[derive(Message)]
#[rtype(result = "Vec<Letter>")]
struct Said;

impl Handler<Said> for Tape {
    type Result = Vec<Letter>;

    fn handle(&mut self, Said: Said, _: &mut Self::Context) -> Self::Result {
        std::mem::take(&mut self.said)
    }
}

#[derive(Message)]
#[rtype(result = "bool")]
struct HasHungUp;

impl Handler<HasHungUp> for Tape {
    type Result = bool;

    fn handle(&mut self, HasHungUp: HasHungUp, _: &mut Self::Context) -> Self::Result {
        self.has_hung_up
    }
}

struct Bench {
    device: Device<Value>,
    shared: Arc<Shared<Value>>,
    agent: Addr<Agent<Value>>,
    tape: Addr<Tape>,
    told: Receiver<Event<Value>>,
    /// Ends the farewell.
    last_word: oneshot::Sender<()>,
}

impl Bench {
    fn start() -> Self {
        let ((tell, told), (last_word, word)) = (mpsc::channel(), oneshot::channel());
        let mut author = Author::default();
        author.observers.push(Box::new(move |event: &Event<Value>| {
            tell.send(event.clone()).unwrap_or_default();
        }));
        author.limit = 60;
        let tape = Tape { last_word: Some(word), ..Tape::default() }.start();
        let wire = Speaks { letters: tape.clone().recipient(), hang_up: tape.clone().recipient() };
        let kept = Kept::new(json!({"on": false, "level": 40})).unwrap();
        let shared = Arc::new(Shared::new(kept));
        let (say_online, online) = watch::channel(false);
        let id: crate::protocol::ThingId = "lamp".parse().unwrap();
        let runner = Runner::start("bench").unwrap();
        let of = (id.clone(), Arc::clone(&shared));
        let agent = Agent::new(of.0, wire, of.1, author, say_online, runner).start();
        let device = Device::new(id, Arc::clone(&shared), agent.clone(), online);
        Self { device, shared, agent, tape, told, last_word }
    }

    async fn hears(&self, heard: Heard) {
        self.agent.send(heard).await.unwrap();
    }

    async fn comes(&self) {
        self.hears(Heard::Up { kept: false, refused: Vec::new() }).await;
    }

    async fn is_asked(&self, payload: &str) {
        let topic = "TNG/lamp/STATE/SET".to_owned();
        let payload = payload.as_bytes().to_vec();
        self.hears(Heard::Got(Got { topic, payload, correlation: None, retained: false })).await;
    }

    /// Changes the level, which is reported.
    async fn level(&self, level: u8) {
        self.device.update(|state| state["level"] = json!(level)).unwrap();
        self.hears(Heard::Subscribed(0, Vec::new())).await;
    }

    async fn letters(&self) -> Vec<Letter> {
        self.tape.send(Said).await.unwrap()
    }

    /// The last two levels of the topics, and what was said.
    async fn said(&self) -> Vec<(String, String)> {
        let letters = self.letters().await.into_iter();
        letters
            .map(|letter| {
                let levels = letter.topic.strip_prefix("TNG/lamp/").unwrap().to_owned();
                (levels, String::from_utf8(letter.payload).unwrap())
            })
            .collect()
    }

    fn troubles(&self) -> Vec<String> {
        let line = |event| if let Event::Trouble(line) = event { Some(line) } else { None };
        self.told.try_iter().filter_map(line).collect()
    }
}

/// What comes of it, which takes no time.
async fn soon<T>(coming: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), coming).await.expect("it takes no time")
}

fn pair(levels: &str, payload: &str) -> (String, String) {
    (levels.to_owned(), payload.to_owned())
}

#[test]
fn what_came_before_the_connection_stood_is_answered_with_what_changed_before_lc_on() {
    System::new().block_on(async {
        let bench = Bench::start();
        bench.is_asked(r#"{"delta":{"trn":7,"on":true}}"#).await;
        bench.level(50).await;
        // The wire takes nothing yet.
        bench.said().await;
        bench.comes().await;
        let expected = [
            pair("STATE/UPD", r#"{"delta":{"level":50,"on":true,"trn":7}}"#),
            pair("LC/ON", r#"{"online":1}"#),
        ];
        assert_eq!(bench.said().await, expected);
    });
}

#[test]
fn the_last_change_that_is_told_is_the_present_state_however_late_the_device_is_told() {
    System::new().block_on(async {
        let bench = Bench::start();
        let state = json!({"on": false, "level": 41});
        assert!(bench.shared.kept().update(state).unwrap());
        bench.is_asked(r#"{"delta":{"trn":7,"level":42}}"#).await;
        bench.agent.send(Changed).await.unwrap();
        let changes: Vec<_> = bench
            .told
            .try_iter()
            .filter_map(|event| match event {
                Event::Changed(change) => Some((change.by, change.state["level"].clone())),
                Event::Online | Event::Offline | Event::Trouble(_) => None,
            })
            .collect();
        assert_eq!(changes, [(By::Device, json!(41)), (By::Asked, json!(42))]);
        assert_eq!(bench.device.state()["level"], 42);
    });
}

#[test]
fn what_the_broker_refuses_is_told_once_and_said_again_with_the_next_report() {
    System::new().block_on(async {
        let bench = Bench::start();
        bench.comes().await;
        bench.level(50).await;
        let refuse = async |why: &str| {
            let number = bench.letters().await.last().unwrap().number;
            bench.hears(Heard::Refused(number, why.to_owned())).await;
        };
        refuse("no").await;
        assert_eq!(bench.said().await, [], "at once it would be refused again");
        bench.device.update(|state| state["on"] = json!(true)).unwrap();
        bench.level(50).await;
        let letters = bench.letters().await;
        assert_eq!(letters[0].payload, br#"{"delta":{"level":50,"on":true}}"#);
        bench.hears(Heard::Refused(letters[0].number, "no".to_owned())).await;
        assert_eq!(bench.troubles(), ["no"]);
        bench.hears(Heard::Down).await;
        bench.comes().await;
        let letters = bench.letters().await;
        assert_eq!(letters[0].payload, br#"{"delta":{"level":50,"on":true}}"#);
        bench.hears(Heard::Refused(letters[0].number, "never".to_owned())).await;
        bench.level(51).await;
        refuse("no").await;
        assert_eq!(bench.troubles(), ["never", "no"]);
    });
}

#[test]
fn a_request_that_is_none_is_told_once_until_there_is_another() {
    System::new().block_on(async {
        let bench = Bench::start();
        bench.comes().await;
        bench.said().await;
        let large = format!(r#"{{"delta":{{"log":"{}"}}}}"#, "x".repeat(60));
        for payload in [large.as_str(), &large, "{}", "{}", &large] {
            bench.is_asked(payload).await;
        }
        let too_large = "TNG/lamp/STATE/SET: the payload has 80 bytes; at most 60 are taken";
        let missing = "TNG/lamp/STATE/SET: the payload has no delta and no state";
        assert_eq!(bench.troubles(), [too_large, missing, too_large]);
        assert_eq!(bench.said().await, []);
    });
}

#[test]
fn all_who_close_a_device_wait_for_its_farewell_after_which_nobody_hears_of_it() {
    System::new().block_on(async {
        let bench = Bench::start();
        bench.comes().await;
        bench.level(50).await;
        let mut events = bench.device.events();
        let report = bench.letters().await.pop().unwrap().number;
        let close = || {
            let device = bench.device.clone();
            actix::spawn(async move { device.close().await })
        };
        let (first, second) = (close(), close());
        tokio::task::yield_now().await;
        bench.hears(Heard::Subscribed(0, Vec::new())).await;
        assert!(!bench.tape.send(HasHungUp).await.unwrap(), "the report is on its way");
        bench.hears(Heard::Taken(report)).await;
        bench.hears(Heard::Subscribed(0, Vec::new())).await;
        assert!(bench.tape.send(HasHungUp).await.unwrap());
        let third = close();
        tokio::task::yield_now().await;
        bench.comes().await;
        bench.is_asked(r#"{"delta":{"on":true}}"#).await;
        assert_eq!((bench.said().await, bench.device.is_online()), (vec![], false));
        let said = bench.device.publish("TNG/lamp/TPC/BYE".parse().unwrap(), "");
        assert_eq!(soon(said).await, Err(NotSaid::Offline));
        assert!(![&first, &second, &third].iter().any(|waits| waits.is_finished()));
        bench.last_word.send(()).unwrap();
        for waits in [first, second, third] {
            soon(waits).await.unwrap();
        }
        assert_eq!(soon(events.next()).await, Some(Event::Offline));
        assert_eq!(soon(events.next()).await, None);
        assert_eq!(soon(bench.device.events().next()).await, None);
        assert!(!soon(bench.device.online()).await);
        soon(bench.device.close()).await;
        bench.device.update(|state| state["on"] = json!(true)).unwrap();
        assert!(bench.shared.kept().take_changes().is_empty(), "nobody would ever fetch them");
    });
}

#[test]
fn a_last_report_that_is_refused_is_not_waited_for() {
    System::new().block_on(async {
        let bench = Bench::start();
        bench.comes().await;
        bench.level(50).await;
        let report = bench.letters().await.pop().unwrap().number;
        let device = bench.device.clone();
        let closing = actix::spawn(async move { device.close().await });
        tokio::task::yield_now().await;
        bench.hears(Heard::Refused(report, "no".to_owned())).await;
        assert!(bench.tape.send(HasHungUp).await.unwrap());
        bench.last_word.send(()).unwrap();
        soon(closing).await.unwrap();
    });
}
