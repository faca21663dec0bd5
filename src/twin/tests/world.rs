//! A thing that does what it is sent, and a wire on which messages take time or are lost.

use std::collections::VecDeque;

use super::{laws::merge, *};

/// A thing that does what it is sent, with a wire of both directions on which messages take time.
pub(super) struct World {
    pub(super) stage: Stage,
    pub(super) thing: Value,
    trn: Option<Value>,
    speaks_of_trn: bool,
    to_thing: VecDeque<Value>,
    to_manager: VecDeque<FromThing>,
    retry: Option<(Timestamp, u32)>,
}

#[derive(Clone, Debug)]
enum FromThing {
    On,
    Off,
    Upd(Value),
}

#[derive(Clone, Debug)]
pub(super) enum Act {
    Set(Value),
    ToThing,
    ToManager,
    /// The connection drops, with what is on its way to the thing; the thing keeps its state.
    Reconnect,
    /// As before, but the broker notices the old connection's end only after the new one's start.
    ReconnectWithLateWill,
    /// The thing forgets everything and tells its defaults.
    Reboot,
    Restart,
    LoseSession,
    RetryDue,
    Wait(u64),
}

impl World {
    pub(super) fn new(speaks_of_trn: bool) -> Self {
        let mut world = Self {
            stage: stage(),
            thing: json!({"a": 0, "n": {"x": 0}, "m": {"x": 0, "y": 1}}),
            trn: speaks_of_trn.then(|| json!(1)),
            speaks_of_trn,
            to_thing: VecDeque::new(),
            to_manager: VecDeque::new(),
            retry: None,
        };
        world.to_manager.push_back(FromThing::On);
        world.tell_all();
        world.settle_down();
        world
    }

    pub(super) fn act(&mut self, act: &Act) {
        match act {
            Act::Set(members) => {
                self.stage.set(members.clone());
                self.post();
            }
            Act::ToThing => self.deliver_to_thing(),
            Act::ToManager => self.deliver_to_manager(),
            Act::Reconnect => self.reconnect([FromThing::Off, FromThing::On]),
            Act::ReconnectWithLateWill => self.reconnect([FromThing::On, FromThing::Off]),
            Act::Reboot => self.reboot(),
            Act::Restart => {
                self.stage.restart();
                self.retry = None;
                self.stage.apply(Event::Resumed { untold: false });
                self.post();
            }
            Act::LoseSession => {
                self.to_manager.clear();
                self.stage.session += 1;
                self.stage.apply(Event::Resumed { untold: false });
                self.post();
            }
            Act::RetryDue => {
                if let Some((at, attempt)) = self.retry.take() {
                    self.stage.now = self.stage.now.max(at);
                    self.stage.apply(Event::RetryDue(attempt));
                    self.post();
                }
            }
            Act::Wait(seconds) => {
                self.stage.wait(*seconds);
            }
        }
    }

    fn reconnect(&mut self, messages: [FromThing; 2]) {
        self.to_thing.clear();
        self.to_manager.extend(messages);
    }

    fn reboot(&mut self) {
        self.reconnect([FromThing::Off, FromThing::On]);
        if self.speaks_of_trn {
            self.thing = json!({"a": 0, "n": {"x": 0}});
            self.trn = None;
            self.tell_all();
        }
        // The defaults are on their way at once: while they are, no time passes.
        while !self.to_manager.is_empty() {
            self.deliver_to_manager();
        }
    }

    /// Puts on the wire what the last event had told.
    fn post(&mut self) {
        match self.stage.last.retry {
            Retry::AsPlanned => {}
            Retry::After(wait, attempt) => self.retry = Some((self.stage.now + wait, attempt)),
            Retry::Never => self.retry = None,
        }
        for told in self.stage.told() {
            if told != "UPD" {
                self.to_thing.push_back(told);
            }
        }
    }

    fn tell_all(&mut self) {
        let mut state = self.thing.clone();
        if let Some(trn) = &self.trn {
            state["trn"] = trn.clone();
        }
        self.to_manager.push_back(FromThing::Upd(json!({"state": state})));
    }

    fn deliver_to_thing(&mut self) {
        let Some(message) = self.to_thing.pop_front() else { return };
        if message == "GET" {
            return self.tell_all();
        }
        let (kind, mut patch) = match (message.get("delta"), message.get("state")) {
            (Some(delta), _) => ("delta", delta.clone()),
            (_, Some(state)) => ("state", state.clone()),
            _ => panic!("{message} is neither"),
        };
        let trn = patch.as_object_mut().unwrap().remove("trn");
        if self.speaks_of_trn {
            self.trn = trn.or(self.trn.take());
        }
        if kind == "state" {
            self.thing = json!({});
        }
        merge(&mut self.thing, &patch);
        if let Some(trn) = &self.trn {
            patch["trn"] = trn.clone();
        }
        self.to_manager.push_back(FromThing::Upd(json!({kind: patch})));
    }

    fn deliver_to_manager(&mut self) {
        match self.to_manager.pop_front() {
            None => return,
            Some(FromThing::On) => self.stage.on(),
            Some(FromThing::Off) => self.stage.apply(Event::Gone),
            Some(FromThing::Upd(payload)) => self.stage.report(payload),
        };
        self.post();
    }

    pub(super) fn settle_down(&mut self) {
        for _ in 0..1000 {
            if self.to_thing.is_empty() && self.to_manager.is_empty() {
                return;
            }
            self.deliver_to_thing();
            self.deliver_to_manager();
        }
        panic!("thing and manager never stop talking");
    }
}
