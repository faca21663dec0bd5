//! What went over the wire, and what was done to those at its ends: the only thing that the checker knows.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How many members a writer takes turns with, so that the last few numbers stand side by side in a twin.
pub const SLOTS: u64 = 4;

/// Who gives a member its numbers. Each has members of its own in every twin that it writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Writer {
    /// The thing itself, by its reports.
    Thing,
    /// The one client, by its SETs.
    First,
    /// The other client.
    Second,
    /// The one client, by its SETs of its group.
    Group,
}

impl Writer {
    pub const ALL: [Self; 4] = [Self::Thing, Self::First, Self::Second, Self::Group];

    pub fn letter(self) -> char {
        match self {
            Self::Thing => 'r',
            Self::First => 'a',
            Self::Second => 'b',
            Self::Group => 'g',
        }
    }
}

/// A member of a twin: `a2` has every fourth number of the first client's, beginning with 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    pub writer: Writer,
    pub slot: u64,
}

impl Member {
    /// The one that has this number of its writer's.
    pub fn of(writer: Writer, number: u64) -> Self {
        Self { writer, slot: number % SLOTS }
    }

    pub fn parse(name: &str) -> Option<Self> {
        let writer = Writer::ALL.into_iter().find(|writer| name.starts_with(writer.letter()))?;
        let slot = name[1..].parse().ok().filter(|slot| *slot < SLOTS)?;
        Some(Self { writer, slot })
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.writer.letter(), self.slot)
    }
}

/// The members of a document, without its trn.
pub type Values = BTreeMap<Member, u64>;

/// A thing, by its number.
pub type Thing = usize;

/// A twin as TWIN/UPD shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Twin {
    pub version: u64,
    pub reported: Values,
    pub desired: Values,
    pub declined: Values,
    /// Stands for the times of all members.
    pub times: u64,
}

impl Twin {
    /// The last number that the twin took for this member, wherever it stands.
    pub fn latest(&self, member: Member) -> u64 {
        let asked = [&self.reported, &self.desired, &self.declined];
        asked.into_iter().filter_map(|values| values.get(&member)).max().copied().unwrap_or(0)
    }
}

impl fmt::Display for Twin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, reported, desired, declined, times } = self;
        let (reported, desired, declined) = (shown(reported), shown(desired), shown(declined));
        write!(
            f,
            "{version}: reported{reported}; desired{desired}; declined{declined}; times {times:x}"
        )
    }
}

/// Each member and its value, with a space before it.
pub fn shown(values: &Values) -> String {
    values.iter().map(|(member, value)| format!(" {member} = {value}")).collect()
}

/// What can be done to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    KillManager,
    FreezeManager,
    CutManager,
    HoldManager,
    FreezeDatabase,
    KillDatabase,
    FreezeBroker,
    EndBroker,
    KillBroker,
    CutPeers,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KillManager => "kill-manager",
            Self::FreezeManager => "freeze-manager",
            Self::CutManager => "cut-manager",
            Self::HoldManager => "hold-manager",
            Self::FreezeDatabase => "freeze-database",
            Self::KillDatabase => "kill-database",
            Self::FreezeBroker => "freeze-broker",
            Self::EndBroker => "end-broker",
            Self::KillBroker => "kill-broker",
            Self::CutPeers => "cut-peers",
        })
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A writer hands this number of its own to the broker.
    Sent {
        thing: Thing,
        writer: Writer,
        number: u64,
    },
    /// What was just sent to so many things is one SET of a group.
    Grouped {
        things: usize,
    },
    /// It has seen the PUBACK.
    Acked {
        thing: Thing,
        writer: Writer,
        number: u64,
    },
    /// A TWIN/UPD, heard by the one who hears everything in the broker's order.
    Told {
        thing: Thing,
        twin: Twin,
    },
    /// A STATE/SET, heard by the same.
    Asked {
        thing: Thing,
        restores: bool,
        trn: u64,
        values: Values,
    },
    /// A TWIN/RES that is an error, but for 503.
    Refused {
        thing: Thing,
        why: String,
    },
    /// What others than the manager say of a thing, heard by the same: shown, and not checked.
    Passed {
        thing: Thing,
        levels: &'static str,
        trn: u64,
        values: Values,
    },
    /// How many entries of its inbox the manager has taken up again since its start, as it says.
    Replayed {
        entries: u64,
    },
    /// The broker ended the manager's connection, or the tap's was lost: what came last may come again.
    Parted,
    /// The manager is connected.
    Joined,
    /// A delta arrived at the thing itself; some of it was older than what the thing has.
    Stale {
        thing: Thing,
    },
    Began {
        fault: Fault,
    },
    Ended {
        fault: Fault,
    },
    /// From here on nothing new is said, and each twin is asked for.
    Swept,
    /// What the thing itself has in the end.
    Holds {
        thing: Thing,
        values: Values,
    },
}

impl Event {
    /// The thing that it is about.
    pub fn thing(&self) -> Option<Thing> {
        match self {
            Self::Sent { thing, .. }
            | Self::Acked { thing, .. }
            | Self::Told { thing, .. }
            | Self::Asked { thing, .. }
            | Self::Refused { thing, .. }
            | Self::Passed { thing, .. }
            | Self::Stale { thing }
            | Self::Holds { thing, .. } => Some(*thing),
            Self::Replayed { .. }
            | Self::Grouped { .. }
            | Self::Parted
            | Self::Joined
            | Self::Began { .. }
            | Self::Ended { .. }
            | Self::Swept => None,
        }
    }
}

/// As a line of the log that is kept of a failed run.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(thing) = self.thing() {
            write!(f, "c{thing} ")?;
        }
        match self {
            Self::Sent { writer, number, .. } => {
                write!(f, "sends {} = {number}", Member::of(*writer, *number))
            }
            Self::Grouped { things } => write!(f, "the last {things} are one SET of a group"),
            Self::Acked { writer, number, .. } => {
                write!(f, "has the PUBACK of {} = {number}", Member::of(*writer, *number))
            }
            Self::Told { twin, .. } => write!(f, "TWIN/UPD {twin}"),
            Self::Asked { restores, trn, values, .. } => {
                let kind = if *restores { "state" } else { "delta" };
                write!(f, "STATE/SET {kind} trn = {trn}{}", shown(values))
            }
            Self::Refused { why, .. } => write!(f, "TWIN/RES {why}"),
            Self::Passed { levels, trn, values, .. } => {
                write!(f, "{levels} trn = {trn}{}", shown(values))
            }
            Self::Replayed { entries } => write!(f, "-- {entries} entries replayed"),
            Self::Parted => f.write_str("-- the manager's connection ended, or the tap's"),
            Self::Joined => f.write_str("-- the manager is connected"),
            Self::Stale { .. } => f.write_str("was asked for less than it has"),
            Self::Began { fault } => write!(f, "-- {fault} begins"),
            Self::Ended { fault } => write!(f, "-- {fault} is over"),
            Self::Swept => f.write_str("-- all twins are asked for"),
            Self::Holds { values, .. } => write!(f, "has{}", shown(values)),
        }
    }
}

/// When it happened, since the beginning, and what.
#[derive(Clone, Debug)]
pub struct Entry {
    pub at: Duration,
    pub event: Event,
}

/// All that happened so far, in the order in which it was seen.
pub struct Log {
    from: Instant,
    entries: Mutex<Vec<Entry>>,
}

impl Log {
    pub fn new() -> Self {
        Self { from: Instant::now(), entries: Mutex::default() }
    }

    pub fn push(&self, event: Event) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push(Entry { at: self.from.elapsed(), event });
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// All entries, which are gone from here then.
    pub fn take(&self) -> Vec<Entry> {
        std::mem::take(&mut *self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The entries from this one on.
    pub fn since(&self, from: usize) -> Vec<Entry> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)[from..].to_vec()
    }
}
