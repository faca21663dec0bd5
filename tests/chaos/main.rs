//! The chaos run: everybody is killed, frozen and cut off at random, and nothing that was acknowledged is lost.
//!
//! docs/chaos.md says what is proved, by which rules, and how to repeat a run.
#![cfg(feature = "manager")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod cast;
mod checker;
mod clients;
mod faults;
mod line;
mod log;
mod play;
mod report;
mod sabotage;
mod stage;
mod things;
mod wire;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use cast::Cast;
use checker::{Broker, check};
use faults::Schedule;
use log::{Fault, Log};
use play::{Load, Play};
use report::{counts, recoveries, tell, violations};
use stage::{Base, Stage};
use support::mariadb::MariaDb;

/// How many things take part.
const THINGS: usize = 200;
/// How much is said: what two cores have time for, with the others that run on them. A release build has time for more.
const LOAD: Load = if cfg!(debug_assertions) {
    Load { set_every: Duration::from_millis(500), report_every: Duration::from_millis(2000) }
} else {
    Load { set_every: Duration::from_millis(250), report_every: Duration::from_millis(1000) }
};
/// How long it may take until all twins are settled once the faults are over.
const SETTLING: Duration = Duration::from_secs(30);

/// Only one at a time: each has the machine to itself.
static ALONE: Mutex<()> = Mutex::new(());

/// What the environment says of a run.
struct Settings {
    seed: u64,
    /// How long faults are made, in both phases together.
    span: Duration,
    /// The kinds of faults that are made, by name; all if there is none.
    only: Vec<String>,
}

impl Settings {
    #[expect(clippy::disallowed_methods, reason = "make chaos hands its settings over like this")]
    fn read() -> Self {
        let value = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let number = |name| value(name).map(|value| value.parse().expect(name));
        let only = value("CHAOS_FAULTS").unwrap_or_default();
        Self {
            seed: number("CHAOS_SEED").unwrap_or(6),
            span: Duration::from_secs(number("CHAOS_SECONDS").unwrap_or(8)),
            only: only.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        }
    }

    fn allows(&self, fault: Fault) -> bool {
        self.only.is_empty() || self.only.contains(&fault.to_string())
    }
}

#[test]
fn nothing_acknowledged_is_lost_whatever_is_killed_on_sqlite() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    run("SQLite", Base::Sqlite);
}

#[test]
fn nothing_acknowledged_is_lost_whatever_is_killed_on_mariadb() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    run("MariaDB", Base::MariaDb(MariaDb::start()));
}

/// Both phases, one after the other: a broker that keeps what it took, and one that is killed and forgets.
fn run(name: &str, base: Base) {
    let settings = Settings::read();
    let base = phase(name, base, Broker::Keeps, &settings, settings.span.mul_f64(0.7));
    phase(name, base, Broker::Forgets, &settings, settings.span.mul_f64(0.3));
}

fn phase(name: &str, base: Base, broker: Broker, settings: &Settings, span: Duration) -> Base {
    let (number, lines) = match broker {
        Broker::Keeps => (1, ""),
        // What a save of an hour ago holds is no less lost, and comes again at the wrong time.
        Broker::Forgets => (2, "persistence false"),
    };
    let seed = settings.seed;
    let run = format!("{name}, phase {number}, seed {seed}");
    tell(&format!("{run}: {:.0} s of faults", span.as_secs_f64()));
    let log = Arc::new(Log::new());
    let mut stage = Stage::start(base, lines, &log, THINGS);
    let play = Play::new(THINGS, LOAD, broker == Broker::Forgets, SETTLING);
    let cast = Cast::start(stage.ports(), &play, &log, seed);
    let mut faults = stage.faults();
    if broker == Broker::Forgets {
        faults.retain(|fault| *fault != Fault::EndBroker);
        faults.extend([Fault::KillBroker; 3]);
    }
    faults.retain(|fault| settings.allows(*fault));
    let from = Instant::now();
    for step in Schedule::new(seed, &faults).take_while(|_| from.elapsed() < span) {
        stage.perform(&step);
    }
    stage.ready();
    cast.finish();
    let log = log.take();
    let verdict = check(&log, broker);
    tell(&format!("{run}: {}", counts(&log, &verdict)));
    tell(recoveries(&log).trim_end());
    if stage.ended_by_itself > 0 {
        tell(&format!("{run}: the manager ended by itself {} times", stage.ended_by_itself));
    }
    assert!(verdict.violations.is_empty(), "{}", violations(&log, &verdict, &run));
    assert_eq!(stage.ended_by_itself, 0, "{run}: the manager ended by itself");
    stage.into_base()
}
