//! The clients: each writes numbers that rise to the twins of many things, and looks at some.

use std::{rc::Rc, sync::Arc};

use tokio::time::Instant;

use super::{
    line::{Happening, Line},
    log::{Event, Log, Member, Thing, Values, Writer},
    play::Play,
    wire::{payload, topic},
};

/// How many clients there are. Each thing has two of them that write to it.
pub const CLIENTS: usize = 20;
/// One message in so many is a GET.
const GETS: u32 = 8;

/// One client and its line to the broker.
pub struct Asker {
    line: Line,
    log: Arc<Log>,
    play: Rc<Play>,
    rng: fastrand::Rng,
    /// What it writes to, and the number that it wrote last.
    written: Vec<(Thing, Writer, u64)>,
    /// Which of these its unacknowledged SET is for.
    writing: Option<usize>,
}

impl Asker {
    pub fn new(client: usize, port: u16, log: Arc<Log>, play: Rc<Play>, seed: u64) -> Self {
        let things = 0..play.things;
        let mut written = Vec::new();
        for thing in things {
            if thing % CLIENTS == client {
                written.push((thing, Writer::First, 0));
            }
            if (thing + 7) % CLIENTS == client {
                written.push((thing, Writer::Second, 0));
            }
        }
        let line = Line::start(port, &format!("client{client}"), &[], None);
        let rng = fastrand::Rng::with_seed(seed);
        Self { line, log, play, rng, written, writing: None }
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
        if let Some(which) = self.writing.take() {
            let (thing, writer, number) = self.written[which];
            self.log.push(Event::Acked { thing, writer, number });
        }
    }

    fn say(&mut self) {
        let which = self.rng.usize(..self.written.len());
        let (thing, writer, number) = &mut self.written[which];
        if self.rng.u32(..GETS) == 0 {
            return self.line.send(topic(*thing, "TWIN/GET"), "{}".to_owned());
        }
        *number += 1;
        let (thing, writer, number) = (*thing, *writer, *number);
        self.log.push(Event::Sent { thing, writer, number });
        self.writing = Some(which);
        let values = Values::from([(Member::of(writer, number), number)]);
        self.line.send(topic(thing, "TWIN/SET"), payload("set", None, &values));
    }
}
