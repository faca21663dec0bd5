//! Everybody who talks and listens, on one thread: the things, the clients, the tap, and who asks in the end.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    rc::Rc,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    clients::{Asker, CLIENTS},
    line::{Happening, Line},
    log::{Event, Log, Thing, Twin, Values},
    play::{Act, Play},
    things::Device,
    wire::{event, topic},
};
use crate::support::{program::MANAGER, wait_for};

/// How long one round of GETs may take.
const ROUND: Duration = Duration::from_secs(5);
/// How long it may take until each thing has a twin.
const ENTRANCE: Duration = Duration::from_secs(30);

/// Where they connect to: every fourth thing and client goes through one of the proxies.
pub struct Ports {
    pub direct: u16,
    pub proxies: Vec<u16>,
}

impl Ports {
    fn of(&self, number: usize) -> u16 {
        match number % 4 {
            3 => self.proxies[number / 4 % self.proxies.len()],
            _ => self.direct,
        }
    }
}

/// The running thread of all of them.
pub struct Cast {
    play: Play,
    thread: JoinHandle<()>,
}

impl Cast {
    /// Has them all connect, and waits until the manager knows all things.
    pub fn start(ports: Ports, play: &Play, log: &Arc<Log>, seed: u64) -> Self {
        let (mine, theirs) = (play.clone(), Arc::clone(log));
        let thread = thread::spawn(move || {
            actix_rt::System::new().block_on(perform(&ports, mine, theirs, seed));
        });
        wait_for("a twin of each thing", ENTRANCE, || {
            (told_since(log, 0).values().filter(|twin| twin.version > 0).count() == play.things)
                .then_some(())
        });
        Self { play: play.clone(), thread }
    }

    /// Ends the talking, waits until all twins are settled or should be, and takes down how it ends.
    pub fn finish(self) {
        self.play.enter(Act::Ending);
        self.thread.join().unwrap();
    }
}

async fn perform(ports: &Ports, play: Play, log: Arc<Log>, seed: u64) {
    actix_rt::spawn(listen(ports.direct, Rc::new(play.clone()), Arc::clone(&log)));
    let play = Rc::new(play);
    let mut holdings = Vec::new();
    for thing in 0..play.things {
        let values = Rc::<RefCell<Values>>::default();
        holdings.push(Rc::clone(&values));
        let (log, play) = (Arc::clone(&log), Rc::clone(&play));
        let seed = seed ^ (thing as u64 + 1) << 16;
        let device = Device::new(thing, ports.of(thing), log, play, values, seed);
        actix_rt::spawn(device.live());
    }
    for client in 0..CLIENTS {
        let (log, play) = (Arc::clone(&log), Rc::clone(&play));
        let seed = seed ^ (client as u64 + 1) << 32;
        actix_rt::spawn(Asker::new(client, ports.of(client), log, play, seed).live());
    }
    let mut prober = Prober { line: Line::start(ports.direct, "prober", &[], None), log };
    while play.is_on() {
        prober.line.next(Instant::now() + Duration::from_millis(100)).await;
    }
    prober.settle(&holdings, play.patience).await;
    play.enter(Act::Over);
}

/// Hears everything in the order in which the broker took it.
async fn listen(port: u16, play: Rc<Play>, log: Arc<Log>) {
    let mut line = Line::start(port, "tap", &["TNG/#", "GRP/+/TWIN/RES"], None);
    let mut was_up = false;
    while !play.is_over() {
        match line.next(Instant::now() + Duration::from_secs(1)).await {
            Happening::Up if was_up => log.push(Event::Parted),
            Happening::Up => was_up = true,
            Happening::Came { topic, payload } => {
                if let Some(event) = event(MANAGER, &topic, &payload) {
                    log.push(event);
                }
            }
            Happening::Acked | Happening::Nothing => {}
        }
    }
}

/// Asks for all twins until they are settled.
struct Prober {
    line: Line,
    log: Arc<Log>,
}

impl Prober {
    async fn settle(&mut self, holdings: &[Rc<RefCell<Values>>], patience: Duration) {
        let deadline = Instant::now() + patience;
        while !self.is_settled(holdings).await && Instant::now() < deadline {
            sleep(Duration::from_millis(500)).await;
        }
        for (thing, values) in holdings.iter().enumerate() {
            let values = values.borrow().clone();
            self.log.push(Event::Holds { thing, values });
        }
    }

    /// One round of GETs: whether each twin is as its thing, and nothing is left to ask.
    async fn is_settled(&mut self, holdings: &[Rc<RefCell<Values>>]) -> bool {
        let from = self.log.len();
        self.log.push(Event::Swept);
        let deadline = Instant::now() + ROUND;
        for thing in 0..holdings.len() {
            while !self.line.is_free() {
                if let Happening::Nothing = self.line.next(deadline).await {
                    return false;
                }
            }
            self.line.send(topic(thing, "TWIN/GET"), "{}".to_owned());
        }
        while Instant::now() < deadline {
            self.line.next(Instant::now() + Duration::from_millis(50)).await;
            let told = told_since(&self.log, from);
            if told.len() == holdings.len() {
                return told.iter().all(|(thing, twin)| {
                    twin.desired.is_empty() && twin.reported == *holdings[*thing].borrow()
                });
            }
        }
        false
    }
}

/// The last twin of each thing that was told since this entry.
fn told_since(log: &Log, from: usize) -> BTreeMap<Thing, Twin> {
    let told = log.since(from).into_iter().filter_map(|entry| match entry.event {
        Event::Told { thing, twin } => Some((thing, twin)),
        _ => None,
    });
    told.collect()
}
