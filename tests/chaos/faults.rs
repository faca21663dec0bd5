//! What is done to whom and when: all of it follows from the seed.

use std::time::Duration;

use super::log::Fault;

/// One disturbance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// How long all is well before it.
    pub pause: Duration,
    pub fault: Fault,
    /// How long it lasts.
    pub span: Duration,
    /// Whether the manager is killed in the midst of it.
    pub kills: bool,
}

/// Disturbances without end.
pub struct Schedule {
    rng: fastrand::Rng,
    faults: Vec<Fault>,
}

impl Schedule {
    /// Of these kinds of faults, as the seed will have it. One that stands there twice comes twice as often.
    pub fn new(seed: u64, faults: &[Fault]) -> Self {
        Self { rng: fastrand::Rng::with_seed(seed), faults: faults.to_vec() }
    }
}

impl Iterator for Schedule {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let rng = &mut self.rng;
        let pause = Duration::from_millis(rng.u64(50..500));
        let fault = *rng.choice(&self.faults)?;
        // One in four is over before anybody can have noticed.
        let longest = if rng.u8(..4) == 0 { 100 } else { longest_ms(fault) };
        let span = Duration::from_millis(rng.u64(10..longest));
        let is_killable = fault != Fault::KillManager && self.faults.contains(&Fault::KillManager);
        let kills = rng.u8(..3) == 0 && is_killable;
        Some(Step { pause, fault, span, kills })
    }
}

/// Databases are away for longer than a commit is waited for (2 s), now and then.
fn longest_ms(fault: Fault) -> u64 {
    match fault {
        Fault::FreezeDatabase => 3500,
        Fault::FreezeManager | Fault::HoldManager | Fault::FreezeBroker | Fault::KillDatabase => {
            2000
        }
        Fault::CutManager | Fault::CutPeers | Fault::EndBroker | Fault::KillBroker => 1000,
        Fault::KillManager => 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_faults_each_time() {
        let faults = [Fault::KillManager, Fault::FreezeBroker, Fault::CutPeers];
        let steps = |seed| Schedule::new(seed, &faults).take(50).collect::<Vec<_>>();
        assert_eq!(steps(7), steps(7));
        assert_ne!(steps(7), steps(8));
    }
}
