//! A device's state beside a twin: whatever is lost between them, they agree in the end.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    kept::{Applied, Kept},
    *,
};
use crate::{
    protocol::{Report, ReportKind, Timestamp, Trn},
    twin::{Event as TwinEvent, Moment, Retry, Rules, Tell, Twin},
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Lamp {
    on: bool,
    level: u8,
    #[serde(default)]
    scene: Option<String>,
}

fn lamp() -> Kept<Lamp> {
    Kept::new(Lamp { on: false, level: 40, scene: None }).unwrap()
}

fn asked(payload: &Value) -> Report {
    Report::parse(payload.to_string().as_bytes(), 10_000).unwrap()
}

fn ask(kept: &mut Kept<Lamp>, payload: Value) -> Applied {
    let most_100 = |now: &Lamp, wanted: &mut Lamp| {
        if wanted.level > 100 {
            wanted.level = now.level;
        }
    };
    kept.ask(asked(&payload), false, &most_100).unwrap()
}

fn reported(kept: &mut Kept<Lamp>) -> Value {
    serde_json::from_str(&kept.report(1).to_payload()).unwrap()
}

#[test]
fn an_answer_carries_the_trn_and_what_is_as_asked_changed_or_not() {
    let mut kept = lamp();
    let applied = ask(&mut kept, json!({"delta": {"trn": 7, "on": true, "level": 40}}));
    assert_eq!(applied, Applied { delta: object(json!({"on": true})), whole: false });
    assert_eq!(reported(&mut kept), json!({"delta": {"trn": 7, "on": true, "level": 40}}));
    assert!(!kept.has_news());
}

#[test]
fn what_is_refused_is_left_out_and_what_is_made_something_else_is_told() {
    let mut kept = lamp();
    ask(&mut kept, json!({"delta": {"trn": 7, "on": true, "level": 200, "colour": "red"}}));
    assert_eq!(reported(&mut kept), json!({"delta": {"trn": 7, "on": true}}));
    let halve = |_: &Lamp, wanted: &mut Lamp| wanted.level /= 2;
    kept.ask(asked(&json!({"delta": {"trn": 8, "level": 80}})), false, &halve).unwrap();
    // 40 is what it was, and neither as asked nor new.
    assert_eq!(reported(&mut kept), json!({"delta": {"trn": 8}}));
    kept.ask(asked(&json!({"delta": {"trn": 9, "level": 60}})), false, &halve).unwrap();
    assert_eq!(reported(&mut kept), json!({"delta": {"trn": 9, "level": 30}}));
}

#[test]
fn null_removes_what_is_optional() {
    let mut kept = lamp();
    ask(&mut kept, json!({"delta": {"trn": 1, "scene": "night"}}));
    assert_eq!(kept.state().scene.as_deref(), Some("night"));
    reported(&mut kept);
    ask(&mut kept, json!({"delta": {"trn": 2, "scene": null}}));
    assert_eq!(kept.state().scene, None);
    assert_eq!(reported(&mut kept), json!({"delta": {"trn": 2, "scene": null}}));
}

#[test]
fn a_state_that_is_given_back_takes_nothing_away_unless_the_author_says_so() {
    let back = json!({"state": {"trn": 5, "on": true}});
    let mut kept = Kept::new(object(json!({"on": false, "new": 1}))).unwrap();
    let applied = kept.ask(asked(&back), false, &|_, _| {}).unwrap();
    assert!(applied.whole);
    assert_eq!(kept.state(), &object(json!({"on": true, "new": 1})));
    assert_eq!(kept.whole(1).trn.map(Trn::get), Some(5));
    kept.ask(asked(&back), true, &|_, _| {}).unwrap();
    assert_eq!(kept.state(), &object(json!({"on": true})));
}

#[test]
fn what_changed_here_after_lc_on_is_not_undone_by_the_state_that_is_given_back() {
    let mut kept = lamp();
    kept.begin();
    kept.update(Lamp { level: 50, ..kept.state().clone() }).unwrap();
    ask(&mut kept, json!({"state": {"trn": 5, "on": true, "level": 10}}));
    assert_eq!(kept.state(), &Lamp { on: true, level: 50, scene: None });
    // But what is given back later, as after another LC/ON, knows of it.
    ask(&mut kept, json!({"state": {"trn": 5, "on": true, "level": 10}}));
    assert_eq!(kept.state().level, 10);
}

#[test]
fn an_answer_that_was_lost_is_given_with_what_changed_since() {
    let mut kept = lamp();
    ask(&mut kept, json!({"delta": {"trn": 7, "on": true}}));
    reported(&mut kept);
    kept.update(Lamp { level: 1, ..kept.state().clone() }).unwrap();
    assert_eq!(kept.report(2).to_payload(), r#"{"delta":{"level":1}}"#);
    kept.lost();
    kept.update(Lamp { level: 2, ..kept.state().clone() }).unwrap();
    assert_eq!(kept.report(3).to_payload(), r#"{"delta":{"level":2,"on":true,"trn":7}}"#);
    assert!(kept.taken(3) && kept.is_quiet());
    kept.lost();
    assert!(!kept.has_news());
}

#[test]
fn a_state_that_is_no_object_or_has_a_trn_is_none() {
    for (state, why) in [
        (json!(5), "the state is 5 as JSON, and not an object"),
        (json!({"trn": 5}), "the state has a member called \"trn\", which is the protocol's"),
    ] {
        let error = Kept::new(state).map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), why);
    }
    let mut kept = Kept::new(json!({"a": 1})).unwrap();
    assert!(kept.update(json!([])).is_err());
    assert_eq!(kept.state(), &json!({"a": 1}));
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

/// What is on its way from the device.
enum FromDevice {
    Off,
    On,
    Report(u64, Report),
}

/// A device and a twin, with a connection between them that breaks.
struct World {
    kept: Kept<Value>,
    twin: Twin,
    rules: Rules,
    now: i64,
    number: u64,
    is_up: bool,
    to_device: VecDeque<TellsDevice>,
    to_twin: VecDeque<FromDevice>,
    retry: Option<(i64, u32)>,
    /// What the device itself last made of its members, since it began.
    own: Map<String, Value>,
    /// The members that somebody asked for.
    asked: BTreeSet<String>,
}

enum TellsDevice {
    Get,
    Set(Report),
}

#[derive(Clone, Debug)]
enum Act {
    Update(&'static str, Value),
    Set(&'static str, Value),
    ToDevice,
    /// The broker takes the first report that it has not taken, and the twin hears of it.
    ToTwin,
    /// The connection breaks: so many of the reports on their way arrive, and the device hears of none of them.
    Break(usize),
    Connect,
    /// It begins anew with what it is built with.
    Reboot,
}

const DEFAULTS: fn() -> Value = || json!({"a": 0, "n": {"x": 0, "y": 0}});

impl World {
    fn new() -> Self {
        Self {
            kept: Kept::new(DEFAULTS()).unwrap(),
            twin: Twin::new(),
            rules: Rules::default(),
            now: 1,
            number: 0,
            is_up: false,
            to_device: VecDeque::new(),
            to_twin: VecDeque::new(),
            retry: None,
            own: Map::new(),
            asked: BTreeSet::new(),
        }
    }

    fn apply(&mut self, event: TwinEvent) {
        self.now += 1;
        let moment = Moment { now: Timestamp(self.now), session: 1, rules: &self.rules };
        let (twin, outcome) = self.twin.apply(event, &moment).unwrap();
        self.twin = twin;
        match outcome.retry {
            Retry::AsPlanned => {}
            Retry::Never => self.retry = None,
            Retry::After(wait, n) => {
                self.retry = Some((self.now + i64::try_from(wait.as_nanos()).unwrap(), n));
            }
        }
        for tell in outcome.tell {
            match tell {
                Tell::AskState if self.is_up => self.to_device.push_back(TellsDevice::Get),
                Tell::ToThing(payload) if self.is_up => {
                    let set = Report::parse(payload.as_bytes(), 10_000).unwrap();
                    self.to_device.push_back(TellsDevice::Set(set));
                }
                Tell::AskState | Tell::ToThing(_) | Tell::Twin(_) | Tell::Deleted(_) => {}
            }
        }
    }

    fn say(&mut self) {
        if self.is_up && self.kept.has_news() {
            self.number += 1;
            let report = self.kept.report(self.number);
            self.to_twin.push_back(FromDevice::Report(self.number, report));
        }
    }

    fn say_whole(&mut self) {
        self.number += 1;
        let report = self.kept.whole(self.number);
        self.to_twin.push_back(FromDevice::Report(self.number, report));
    }

    fn twin_hears(&mut self) {
        match self.to_twin.pop_front() {
            None => {}
            Some(FromDevice::Off) => self.apply(TwinEvent::Gone),
            Some(FromDevice::On) => self.apply(TwinEvent::Connected),
            Some(FromDevice::Report(number, report)) => {
                self.kept.taken(number);
                self.apply(TwinEvent::Reported(report));
            }
        }
    }

    fn device_hears(&mut self) {
        match self.to_device.pop_front() {
            None => {}
            Some(TellsDevice::Get) => self.say_whole(),
            Some(TellsDevice::Set(set)) => {
                let small = |now: &Value, wanted: &mut Value| {
                    if wanted["a"].as_i64().is_none_or(|a| a > 5) {
                        wanted["a"] = now["a"].clone();
                    }
                };
                let applied = self.kept.ask(set, false, &small).unwrap();
                if applied.whole { self.say_whole() } else { self.say() }
            }
        }
    }

    fn disconnect(&mut self, arrive: usize) {
        if !self.is_up {
            return;
        }
        self.is_up = false;
        self.to_device.clear();
        // They arrive although the device does not hear that they did.
        self.to_twin.truncate(arrive);
        self.kept.lost();
        self.to_twin.push_back(FromDevice::Off);
        // Nothing of this connection comes after its will.
        while !self.to_twin.is_empty() {
            self.twin_hears();
        }
    }

    fn connect(&mut self) {
        if !self.is_up {
            self.is_up = true;
            self.say();
            self.to_twin.push_back(FromDevice::On);
            self.kept.begin();
        }
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Update(name, value) => {
                let mut state = self.kept.state().clone();
                put(&mut state, name, value);
                let changed = !self.kept.update(state).unwrap().is_empty();
                self.say();
                match name.split_once('.') {
                    Some((outer, _)) => drop(self.own.remove(outer)),
                    None if changed => drop(self.own.insert((*name).to_owned(), value.clone())),
                    None => {}
                }
            }
            Act::Set(name, value) => {
                let mut members = json!({});
                put(&mut members, name, value);
                self.asked.extend(members.as_object().unwrap().keys().cloned());
                let members = Arc::new(object(members));
                self.apply(TwinEvent::Set { members, version: None });
            }
            Act::ToDevice => self.device_hears(),
            Act::ToTwin => self.twin_hears(),
            Act::Break(arrive) => self.disconnect(*arrive),
            Act::Connect => self.connect(),
            Act::Reboot => {
                self.disconnect(0);
                self.own.clear();
                self.kept = Kept::new(DEFAULTS()).unwrap();
                self.connect();
            }
        }
    }

    fn settle(&mut self) {
        self.connect();
        for _ in 0..1000 {
            while !self.to_device.is_empty() || !self.to_twin.is_empty() {
                self.device_hears();
                self.twin_hears();
            }
            match self.retry.take() {
                Some((at, n)) => {
                    self.now = self.now.max(at);
                    self.apply(TwinEvent::RetryDue(n));
                }
                None => return,
            }
        }
        panic!("device and twin never stop talking");
    }

    fn twin(&self) -> Value {
        serde_json::from_str(&self.twin.to_payload(1)).unwrap()
    }
}

/// `n.x` is a member of an object; `n` replaces it.
fn put(state: &mut Value, name: &str, value: &Value) {
    match name.split_once('.') {
        Some((outer, inner)) => {
            if !state[outer].is_object() {
                state[outer] = json!({});
            }
            state[outer][inner] = value.clone();
        }
        None => state[name] = value.clone(),
    }
}

fn act() -> impl Strategy<Value = Act> {
    let name = prop_oneof![Just("a"), Just("n.x"), Just("n.y"), Just("n"), Just("b")];
    let value = prop_oneof![(0..9).prop_map(|n| json!(n)), Just(json!(null)), Just(json!("s"))];
    prop_oneof![
        3 => (name.clone(), value.clone()).prop_map(|(name, value)| Act::Update(name, value)),
        3 => (name, value).prop_map(|(name, value)| Act::Set(name, value)),
        4 => Just(Act::ToDevice),
        4 => Just(Act::ToTwin),
        1 => (0_usize..4).prop_map(Act::Break),
        2 => Just(Act::Connect),
        1 => Just(Act::Reboot),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn device_and_twin_agree_in_the_end_and_no_change_of_the_devices_own_is_undone(acts in proptest::collection::vec(act(), 1..40)) {
        let mut world = World::new();
        acts.iter().for_each(|act| world.act(act));
        world.settle();
        let twin = world.twin();
        let mut reported = twin["reported"].clone();
        if let Some(reported) = reported.as_object_mut() {
            reported.remove("trn");
        }
        let shown = world.kept.whole(0);
        prop_assert_eq!(shown.kind, ReportKind::State);
        prop_assert_eq!(reported, Value::Object(shown.members), "{}", twin);
        let desired: Vec<_> = twin["desired"].as_object().unwrap().keys().filter(|k| *k != "trn").collect();
        prop_assert!(desired.is_empty(), "{}", twin);
        for (name, value) in world.own.into_iter().filter(|(name, _)| !world.asked.contains(name)) {
            let found = twin["reported"].get(&name).cloned().unwrap_or_default();
            prop_assert_eq!(found, value, "{} of {}", name, twin);
        }
    }
}
