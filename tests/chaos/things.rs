//! The things: each reports numbers that rise, and does most of what it is asked.

use std::{cell::RefCell, collections::VecDeque, rc::Rc, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    line::{Happening, Line},
    log::{Event, Log, Member, Thing, Values, Writer},
    play::Play,
    wire::{Request, id, payload, topic},
};

/// A thing does nothing of what it is asked where the number is a multiple of this.
const DECLINED: u64 = 7;
/// One report in so many is a farewell: the thing disconnects in order, and comes back.
const LEAVES: u32 = 20;

/// What is to be said, in its turn.
enum Say {
    /// LC/ON.
    Here,
    /// LC/OFF.
    Gone,
    /// All that the thing has.
    State { trn: u64 },
    /// One more number.
    Report,
    /// What became of a STATE/SET of this trn, which named these members.
    Answer { trn: Option<u64>, members: Vec<Member> },
}

/// One thing and its line to the broker.
pub struct Device {
    thing: Thing,
    line: Line,
    log: Arc<Log>,
    play: Rc<Play>,
    rng: fastrand::Rng,
    /// What it has, seen by who compares it with its twin in the end.
    values: Rc<RefCell<Values>>,
    number: u64,
    /// The highest trn that it was sent.
    trn: u64,
    to_say: VecDeque<Say>,
    /// What its unacknowledged message is, if it is more than an answer.
    saying: Option<Saying>,
}

enum Saying {
    Number(u64),
    Farewell,
}

impl Device {
    pub fn new(
        thing: Thing,
        port: u16,
        log: Arc<Log>,
        play: Rc<Play>,
        values: Rc<RefCell<Values>>,
        seed: u64,
    ) -> Self {
        let filters = [topic(thing, "STATE/SET"), topic(thing, "STATE/GET")];
        let will = Some(topic(thing, "LC/OFF"));
        let line = Line::start(port, &id(thing), &[&filters[0], &filters[1]], will);
        Self {
            thing,
            line,
            log,
            play,
            rng: fastrand::Rng::with_seed(seed),
            values,
            number: 0,
            trn: 0,
            to_say: VecDeque::new(),
            saying: None,
        }
    }

    /// Lives until the play is over.
    pub async fn live(mut self) {
        let mut next_report = Instant::now();
        let mut repeats = self.play.repeats;
        while !self.play.is_over() {
            if repeats && !self.play.is_on() {
                self.to_say.push_back(Say::State { trn: self.trn });
                repeats = false;
            }
            self.say_next();
            let wake = if self.play.is_on() {
                next_report
            } else {
                Instant::now() + Duration::from_millis(500)
            };
            match self.line.next(wake).await {
                Happening::Up => self.come_back(),
                Happening::Acked => self.acknowledged(),
                Happening::Came { topic, payload } if topic.ends_with("/STATE/SET") => {
                    self.obey(&Request::parse(&payload));
                }
                Happening::Came { .. } => self.to_say.push_back(Say::State { trn: self.trn }),
                Happening::Nothing if self.play.is_on() => {
                    next_report = Instant::now() + self.play.load.between_reports(&mut self.rng);
                    let leaves = self.number > 0 && self.rng.u32(..LEAVES) == 0;
                    self.to_say.push_back(if leaves { Say::Gone } else { Say::Report });
                }
                Happening::Nothing => {}
            }
        }
    }

    /// Whatever was left to say is in the whole state.
    fn come_back(&mut self) {
        self.to_say.clear();
        self.to_say.extend([Say::Here, Say::State { trn: self.trn }]);
        if self.number == 0 {
            self.to_say.push_back(Say::Report);
        }
    }

    /// Takes over what is newer than its own, but for what it declines.
    fn obey(&mut self, request: &Request) {
        self.trn = self.trn.max(request.trn.unwrap_or(0));
        let mut is_stale = false;
        let mut values = self.values.borrow_mut();
        for (member, value) in &request.values {
            let own = values.get(member).copied().unwrap_or(0);
            is_stale |= *value < own;
            let declines = value.is_multiple_of(DECLINED) && member.writer != Writer::Thing;
            if *value > own && !declines {
                values.insert(*member, *value);
            }
        }
        if is_stale && !request.restores {
            self.log.push(Event::Stale { thing: self.thing });
        }
        self.to_say.push_back(if request.restores {
            Say::State { trn: request.trn.unwrap_or(0) }
        } else {
            Say::Answer { trn: request.trn, members: request.values.keys().copied().collect() }
        });
    }

    fn acknowledged(&mut self) {
        match self.saying.take() {
            Some(Saying::Number(number)) => {
                let (thing, writer) = (self.thing, Writer::Thing);
                self.log.push(Event::Acked { thing, writer, number });
            }
            Some(Saying::Farewell) => {
                self.line.leave(Duration::from_millis(self.rng.u64(100..1500)));
            }
            None => {}
        }
    }

    fn say_next(&mut self) {
        if !self.line.is_free() {
            return;
        }
        let Some(next) = self.to_say.pop_front() else { return };
        let (levels, payload) = match next {
            Say::Here => ("LC/ON", r#"{"online":1}"#.to_owned()),
            Say::Gone => {
                self.saying = Some(Saying::Farewell);
                ("LC/OFF", r#"{"online":0}"#.to_owned())
            }
            Say::State { trn } => {
                let state =
                    payload("state", Some(trn).filter(|trn| *trn > 0), &self.values.borrow());
                ("STATE/UPD", state)
            }
            Say::Report => ("STATE/UPD", self.count_on()),
            Say::Answer { trn, members } => {
                let mut values = self.values.borrow().clone();
                values.retain(|member, _| members.contains(member));
                ("STATE/UPD", payload("delta", trn, &values))
            }
        };
        self.line.send(topic(self.thing, levels), payload);
    }

    fn count_on(&mut self) -> String {
        self.number += 1;
        let (thing, writer, number) = (self.thing, Writer::Thing, self.number);
        let member = Member::of(writer, number);
        self.values.borrow_mut().insert(member, number);
        self.saying = Some(Saying::Number(number));
        self.log.push(Event::Sent { thing, writer, number });
        payload("delta", None, &Values::from([(member, number)]))
    }
}
