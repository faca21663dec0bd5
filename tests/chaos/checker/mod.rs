//! What a log must show. Pure: a log in, what is wrong with it out.
//!
//! All that the manager says is heard by one client, the tap, in the order in which the broker took it. QoS 1 lets
//! a sender repeat what was not acknowledged, and nothing else: `stream` takes those repetitions out, and what
//! remains is held against the rules of docs/chaos.md without any excuse.

pub mod stream;
#[cfg(test)]
mod tests;
mod thing;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use self::{stream::Stream, thing::Course};
use super::log::{Entry, Event, Thing, Writer};

/// What the broker of a run can be trusted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broker {
    /// Whatever it acknowledged gets there.
    Keeps,
    /// It is killed, and then it has forgotten everything.
    Forgets,
}

/// A rule that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Versions only rise, and a version is always the same twin.
    Version,
    /// What was told holds, or something later does.
    Kept,
    /// What was acknowledged is in the twin, or something later for the same member is.
    Lost,
    /// A twin has nothing that nobody said.
    Invented,
    /// A thing is not asked for less than it was confirmed to have.
    Stale,
    /// No good request is refused.
    Refused,
    /// In the end each twin is settled, and as its thing.
    Settled,
}

/// What is wrong, where, and with which thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub thing: Thing,
    pub rule: Rule,
    /// The number of the entry that shows it.
    pub entry: usize,
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}, entry {}: {:?}: {}", self.thing, self.entry, self.rule, self.text)
    }
}

/// What came out.
#[derive(Debug, Default)]
pub struct Verdict {
    pub violations: Vec<Violation>,
    /// What was acknowledged and is gone: each number once.
    pub lost: BTreeSet<(Thing, Writer, u64)>,
    /// How many messages of the manager's came again.
    pub duplicates: usize,
}

impl Verdict {
    /// Whether this rule was broken for this thing, in words that have all of these in them.
    pub fn has(&self, thing: Thing, rule: Rule, words: &[&str]) -> bool {
        self.violations.iter().any(|violation| {
            violation.thing == thing
                && violation.rule == rule
                && words.iter().all(|word| violation.text.contains(word))
        })
    }
}

/// Holds a whole log against the rules.
pub fn check(log: &[Entry], broker: Broker) -> Verdict {
    let mut check = Check { log, broker, courses: BTreeMap::new(), verdict: Verdict::default() };
    let mut stream = Stream::default();
    for (entry, Entry { event, .. }) in log.iter().enumerate() {
        if let Event::Told { thing, .. } = event {
            check.course(*thing).hear();
        }
        let known = match event {
            Event::Told { .. } | Event::Asked { .. } => stream.take(log, entry),
            Event::Holds { .. } => {
                let mut known = stream.flush();
                known.push(entry);
                known
            }
            _ => vec![entry],
        };
        match event {
            Event::Parted => stream.part(),
            Event::Joined => stream.join(),
            Event::Swept => check.courses.values_mut().for_each(Course::sweep),
            _ => {}
        }
        known.into_iter().for_each(|entry| check.see(entry));
    }
    stream.flush().into_iter().for_each(|entry| check.see(entry));
    check.verdict.duplicates = stream.repeated();
    check.verdict
}

/// What has come of a log so far.
struct Check<'a> {
    log: &'a [Entry],
    broker: Broker,
    courses: BTreeMap<Thing, Course>,
    verdict: Verdict,
}

impl Check<'_> {
    fn course(&mut self, thing: Thing) -> &mut Course {
        let broker = self.broker;
        self.courses.entry(thing).or_insert_with(|| Course::new(thing, broker))
    }

    fn see(&mut self, entry: usize) {
        let event = &self.log[entry].event;
        if let Some(thing) = event.thing() {
            let mut verdict = std::mem::take(&mut self.verdict);
            self.course(thing).see(entry, event, &mut verdict);
            self.verdict = verdict;
        }
    }
}
