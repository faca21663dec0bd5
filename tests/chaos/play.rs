//! What all who take part know: how many things there are, how much is said, and how far the run is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

/// How much is said.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// The mean time between two SETs of a client.
    pub set_every: Duration,
    /// The mean time between two reports of a thing.
    pub report_every: Duration,
}

impl Load {
    pub fn between_sets(&self, rng: &mut fastrand::Rng) -> Duration {
        self.set_every.mul_f64(rng.f64() + 0.5)
    }

    pub fn between_reports(&self, rng: &mut fastrand::Rng) -> Duration {
        self.report_every.mul_f64(rng.f64() + 0.5)
    }
}

/// How far the run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Act {
    /// Everybody talks.
    On,
    /// Nothing new is said; questions are answered.
    Ending,
    /// Everybody leaves.
    Over,
}

/// One run, as those who take part in it see it.
#[derive(Clone, Debug)]
pub struct Play {
    pub things: usize,
    pub load: Load,
    /// Whether the things say in the end once more what they are: a broker that forgets may have dropped it.
    pub repeats: bool,
    /// How long twins may take to settle in the end.
    pub patience: Duration,
    act: Arc<AtomicU8>,
}

impl Play {
    pub fn new(things: usize, load: Load, repeats: bool, patience: Duration) -> Self {
        Self { things, load, repeats, patience, act: Arc::new(AtomicU8::new(Act::On as u8)) }
    }

    pub fn enter(&self, act: Act) {
        self.act.store(act as u8, Ordering::Relaxed);
    }

    pub fn is_on(&self) -> bool {
        self.act.load(Ordering::Relaxed) == Act::On as u8
    }

    pub fn is_over(&self) -> bool {
        self.act.load(Ordering::Relaxed) == Act::Over as u8
    }
}
