//! A device's state beside a twin: whatever is lost between them, they agree in the end.

mod agent;
mod kept;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::kept::Kept;
use crate::{
    protocol::{Report, ReportKind, Timestamp},
    twin::{Event as TwinEvent, Moment, Retry, Rules, Tell, Twin},
};

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
    /// What the device itself last made of its members since it began, of which none was asked for since.
    own: Map<String, Value>,
    /// The device's clock, and when the first `state` since LC/ON came.
    clock: Instant,
    first: Option<Instant>,
}

#[derive(Clone)]
enum TellsDevice {
    Get,
    Set(Report),
}

#[derive(Clone, Debug)]
enum Act {
    Update(&'static str, Value),
    Set(&'static str, Value),
    ToDevice,
    /// The same, and it comes once more.
    ToDeviceTwice,
    /// The broker takes the first report that it has not taken, and the twin hears of it.
    ToTwin,
    /// The connection breaks: so many of the reports on their way arrive, and the device hears of none of them.
    Break(usize),
    Connect,
    /// It begins anew with what it is built with.
    Reboot,
    /// The manager begins anew, and hears of LC/ON before it hears of what was reported.
    ManagerReboots,
    /// Time passes: what is given back comes late.
    Wait,
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
            clock: Instant::now(),
            first: None,
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
        self.number += 1;
        if self.is_up
            && let Some(report) = self.kept.report(self.number)
        {
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

    fn device_hears(&mut self, times: usize) {
        let Some(told) = self.to_device.pop_front() else { return };
        for told in vec![told; times] {
            match told {
                TellsDevice::Get => self.say_whole(),
                TellsDevice::Set(set) => self.device_is_asked(set),
            }
        }
    }

    fn device_is_asked(&mut self, set: Report) {
        let small = |now: &Value, wanted: &mut Value| {
            if wanted["a"].as_i64().is_none_or(|a| a > 5) {
                wanted["a"] = now["a"].clone();
            }
        };
        let kind = set.kind;
        match kind {
            ReportKind::Delta => set.members.keys().for_each(|name| drop(self.own.remove(name))),
            ReportKind::State => {
                let first = *self.first.get_or_insert(self.clock);
                // So late and without a trn it counts as a command: a manager that sends one is not played here.
                if set.trn.is_none() && self.clock - first >= Duration::from_secs(5) {
                    return;
                }
            }
        }
        self.kept.ask(set, self.clock, false, &small).unwrap();
        match kind {
            ReportKind::Delta => self.say(),
            ReportKind::State => self.say_whole(),
        }
    }

    fn disconnect(&mut self, arrive: usize) {
        if !self.is_up {
            return;
        }
        (self.is_up, self.first) = (false, None);
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
            self.number += 1;
            let report = self.kept.come(self.number);
            let report = report.map(|report| FromDevice::Report(self.number, report));
            self.to_twin.extend(report.into_iter().chain([FromDevice::On]));
        }
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Update(name, value) => {
                let mut state = self.kept.state().clone();
                put(&mut state, name, value);
                let changed = self.kept.update(state).unwrap();
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
                let members = Arc::new(object(members));
                self.apply(TwinEvent::Set { members, version: None });
            }
            Act::ToDevice => self.device_hears(1),
            Act::ToDeviceTwice => self.device_hears(2),
            Act::ToTwin => self.twin_hears(),
            Act::Break(arrive) => self.disconnect(*arrive),
            Act::Connect => self.connect(),
            Act::Reboot => {
                self.disconnect(0);
                self.own.clear();
                self.kept = Kept::new(DEFAULTS()).unwrap();
                self.connect();
            }
            Act::ManagerReboots => self.apply(TwinEvent::Connected),
            Act::Wait => {
                self.clock += Duration::from_secs(6);
                self.now += 6_000_000_000;
            }
        }
    }

    fn settle(&mut self) {
        self.connect();
        for _ in 0..1000 {
            while !self.to_device.is_empty() || !self.to_twin.is_empty() {
                self.device_hears(1);
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
        1 => Just(Act::ToDeviceTwice),
        2 => Just(Act::ManagerReboots),
        2 => Just(Act::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn device_and_twin_agree_in_the_end_and_no_change_of_the_devices_own_is_undone(acts in proptest::collection::vec(act(), 1..60)) {
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
        for (name, value) in world.own {
            let found = twin["reported"].get(&name).cloned().unwrap_or_default();
            prop_assert_eq!(found, value, "{} of {}", name, twin);
        }
    }
}
