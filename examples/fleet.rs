//! Many things at once, some of which come and go: to try a manager.
//!
//! Shows: devices that share a thread; devices that come and go. Each says a counter now and then, accepts what it is
//! asked, and refuses a `level` over 100. A flapping one ends in order every few seconds, with LC/OFF, and starts anew with
//! its defaults. Does not show: connections that break; how fast a manager is, for this is one process, and as busy.
//!
//! cargo run --release --example fleet -- THINGS [FLAPPING_PERCENT [SECONDS_BETWEEN_REPORTS [HOST [PORT [PASSWORD]]]]]
//!
//! With a password, each thing's user name is its id.
//!
//! Prints once a second how many are online, how much they have been asked, how often they were given back what they were,
//! and how often their counters have changed. Ends with its standard input.

use std::{
    env,
    error::Error,
    io::{self, Read},
    process,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use actix_rt::time::sleep;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use twinthing::device::{Access, By, Device, Event, Runner, Secret};

/// How long a flapping thing is there, and how long it is away, on average.
const FLAPS: (Duration, Duration) = (Duration::from_secs(6), Duration::from_secs(3));

#[derive(Clone, Default, Serialize, Deserialize)]
struct Thing {
    counter: u64,
    level: u8,
    /// Whatever else it is asked to be.
    #[serde(flatten)]
    more: Map<String, Value>,
}

#[derive(Default)]
struct Counts {
    online: AtomicI64,
    asked: AtomicU64,
    restored: AtomicU64,
    changed: AtomicU64,
}

/// A place in the fleet, where a thing is now or will be.
struct Place {
    access: Access,
    device: Option<Device<Thing>>,
    /// When it comes or goes; never if it does not flap.
    turns: Option<Instant>,
    reports: Instant,
}

#[actix_rt::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let given: Vec<String> = env::args().skip(1).collect();
    let text = |place, or| given.get(place).map_or(or, String::as_str);
    let things: u32 = text(0, "100").parse()?;
    let flapping: u32 = text(1, "10").parse()?;
    let every = Duration::from_secs_f64(text(2, "10").parse()?);
    let (host, port) = (text(3, "127.0.0.1"), text(4, "1883").parse()?);

    let (runner, counts) = (Runner::start("fleet")?, Arc::new(Counts::default()));
    let mut places = Vec::new();
    for number in 0..things {
        let mut access = Access::new(&format!("fleet-{number:05}"), host)?;
        access.port = port;
        if let Some(password) = given.get(5) {
            access.user = Some(access.client_id.to_string());
            access.password = Some(Secret(password.clone()));
        }
        let device = Some(start(&access, &runner, &counts)?);
        // As many of every hundred.
        let turns = (number * flapping % 100 < flapping).then(|| Instant::now() + about(FLAPS.0));
        places.push(Place { access, device, turns, reports: Instant::now() + about(every) });
        // A broker takes only so many at the same moment.
        if number % 50 == 49 {
            sleep(Duration::from_millis(50)).await;
        }
    }
    end_with_stdin();
    let mut shown = Instant::now();
    loop {
        for place in &mut places {
            place.live(&runner, &counts, every)?;
        }
        if shown.elapsed() >= Duration::from_secs(1) {
            shown += Duration::from_secs(1);
            println!(
                "online {}, asked {}, restored {}, changed {}",
                counts.online.load(Relaxed),
                counts.asked.load(Relaxed),
                counts.restored.load(Relaxed),
                counts.changed.load(Relaxed),
            );
        }
        sleep(Duration::from_millis(20)).await;
    }
}

impl Place {
    fn live(
        &mut self,
        runner: &Runner,
        counts: &Arc<Counts>,
        every: Duration,
    ) -> Result<(), Box<dyn Error>> {
        let now = Instant::now();
        if self.turns.is_some_and(|turns| turns <= now) {
            // A device that is let go says LC/OFF.
            self.device = match self.device.take() {
                Some(_) => None,
                None => Some(start(&self.access, runner, counts)?),
            };
            let next = if self.device.is_some() { FLAPS.0 } else { FLAPS.1 };
            self.turns = Some(now + about(next));
        }
        if self.reports <= now
            && let Some(device) = &self.device
        {
            device.update(|thing| thing.counter += 1)?;
            counts.changed.fetch_add(1, Relaxed);
            self.reports = now + about(every);
        }
        Ok(())
    }
}

fn start(
    access: &Access,
    runner: &Runner,
    counts: &Arc<Counts>,
) -> Result<Device<Thing>, Box<dyn Error>> {
    let counts = Arc::clone(counts);
    let device = Device::build(access.clone(), Thing::default())
        .filter(|now, wanted| {
            if wanted.level > 100 {
                wanted.level = now.level;
            }
        })
        .on_event(move |event| match event {
            Event::Online => drop(counts.online.fetch_add(1, Relaxed)),
            Event::Offline => drop(counts.online.fetch_sub(1, Relaxed)),
            Event::Trouble(line) => eprintln!("{line}"),
            Event::Changed(change) => match change.by {
                By::Asked => drop(counts.asked.fetch_add(1, Relaxed)),
                By::Restored => drop(counts.restored.fetch_add(1, Relaxed)),
                By::Device => {}
            },
        })
        .start_on(runner)?;
    Ok(device)
}

/// Half to one and a half of it.
fn about(time: Duration) -> Duration {
    time.mul_f64(0.5 + fastrand::f64())
}

/// Whoever started the fleet ends it so, or by Ctrl-C: the broker says LC/OFF for each thing.
fn end_with_stdin() {
    thread::spawn(|| {
        io::stdin().read_to_end(&mut Vec::new()).unwrap_or_default();
        process::exit(0);
    });
}
