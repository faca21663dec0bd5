//! The clients: each writes numbers that rise to the twins of many things, and looks at some.

use std::{rc::Rc, sync::Arc};

use serde_json::json;
use tokio::time::Instant;

use super::{
    line::{Happening, Line},
    log::{Event, Log, Member, Thing, Values, Writer},
    play::Play,
    wire::{STRANGER, group, id, payload, topic},
};

/// How many clients there are. Each thing has two of them that write to it.
pub const CLIENTS: usize = 20;
/// One message in so many is a GET.
const GETS: u32 = 8;
/// One SET in so many is one of the client's group. It counts as one for each of the ten things in it.
const GROUP_SETS: u32 = 10;

/// The things that a client writes to first, which are its group.
pub fn first_things(client: usize, things: usize) -> impl Iterator<Item = Thing> + Clone {
    (0..things).filter(move |thing| thing % CLIENTS == client)
}

/// One client and its line to the broker.
pub struct Asker {
    line: Line,
    client: usize,
    log: Arc<Log>,
    play: Rc<Play>,
    rng: fastrand::Rng,
    /// What it writes to, and the number that it wrote last.
    written: Vec<(Thing, Writer, u64)>,
    /// Which of these its unacknowledged SET is for.
    writing: Vec<usize>,
}

impl Asker {
    pub fn new(client: usize, port: u16, log: Arc<Log>, play: Rc<Play>, seed: u64) -> Self {
        let first = first_things(client, play.things).map(|thing| (thing, Writer::First, 0));
        let mut written: Vec<_> = first.clone().collect();
        written.extend(first.map(|(thing, _, number)| (thing, Writer::Group, number)));
        for thing in 0..play.things {
            if (thing + 7) % CLIENTS == client {
                written.push((thing, Writer::Second, 0));
            }
        }
        let line = Line::start(port, &format!("client{client}"), &[], None);
        let rng = fastrand::Rng::with_seed(seed);
        Self { line, client, log, play, rng, written, writing: Vec::new() }
    }

    /// Writes until the play is over.
    pub async fn live(mut self) {
        let mut next = Instant::now() + self.play.load.between_sets(&mut self.rng);
        while !self.play.is_over() {
            match self.line.next(next).await {
                Happening::Acked => self.acknowledged(),
                Happening::Nothing => {
                    next = Instant::now() + self.play.load.between_sets(&mut self.rng);
                    if self.line.is_free() && self.play.is_on() {
                        self.say();
                    }
                }
                Happening::Up | Happening::Came { .. } => {}
            }
        }
    }

    fn acknowledged(&mut self) {
        for which in std::mem::take(&mut self.writing) {
            let (thing, writer, number) = self.written[which];
            self.log.push(Event::Acked { thing, writer, number });
        }
    }

    fn say(&mut self) {
        if self.rng.u32(..GROUP_SETS) == 0 {
            return self.say_to_group();
        }
        let which = loop {
            let which = self.rng.usize(..self.written.len());
            if self.written[which].1 != Writer::Group {
                break which;
            }
        };
        let (thing, writer, number) = &mut self.written[which];
        if self.rng.u32(..GETS) == 0 {
            return self.line.send(topic(*thing, "TWIN/GET"), "{}".to_owned());
        }
        *number += 1;
        let (thing, writer, number) = (*thing, *writer, *number);
        self.log.push(Event::Sent { thing, writer, number });
        self.writing = vec![which];
        let values = Values::from([(Member::of(writer, number), number)]);
        self.line.send(topic(thing, "TWIN/SET"), payload("set", None, &values));
    }

    /// One number for all things of the group. Every other time they are named, with one that is none of them, and every
    /// other time the client wants to know what came of it.
    fn say_to_group(&mut self) {
        let is_group = |which: &usize| self.written[*which].1 == Writer::Group;
        let all: Vec<usize> = (0..self.written.len()).filter(is_group).collect();
        let Some(number) = all.first().map(|which| self.written[*which].2 + 1) else { return };
        let mut members = Vec::new();
        for which in &all {
            let (thing, writer, written) = &mut self.written[*which];
            *written = number;
            members.push(id(*thing));
            self.log.push(Event::Sent { thing: *thing, writer: *writer, number });
        }
        self.log.push(Event::Grouped { things: all.len() });
        let mut request = json!({"set": {Member::of(Writer::Group, number).to_string(): number}});
        if self.rng.bool() {
            members.push(STRANGER.to_owned());
            request["from"] = json!(members);
        }
        if self.rng.bool() {
            request["query"] = json!(number);
        }
        self.writing = all;
        self.line.send(format!("GRP/{}/TWIN/SET", group(self.client)), request.to_string());
    }
}
