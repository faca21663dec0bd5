//! The service: takes messages in, has events applied to twins and committed, and tells what came
//! of it.
//!
//! The [`Router`] is the only one that knows which things' twins are in memory, which deltas are to
//! be sent again, how many things are being restored, and which SETs of groups are being done. An actor
//! for each thing (`twin_actor.rs`) is the only one that holds its twin, and what is to be told of it once
//! that is committed. Another one (`group_actor.rs`) knows who is a member of which group. Whom they talk to
//! is given to them as [`Peers`].

mod again;
mod allowance;
mod answers;
mod counters;
mod decode;
mod doubles;
mod flood;
mod group_actor;
mod group_sets;
mod group_turns;
mod groups;
mod hears;
mod me;
mod nag;
mod own_state;
mod restores;
mod retries;
mod router;
mod say;
#[cfg(test)]
mod tests;
mod things;
mod twin_actor;

use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};

use actix::prelude::*;
use serde_json::Value;

use crate::{
    mqtt::{AsksFirst, Count, Done, HandOnAgain, Parked, Place, Poison, Publish, Respond},
    protocol::{Query, ThingId, Timestamp},
    store::{
        self, Commit, ForgetBefore, ListMembers, ListUnsettled, Load, SaveSession, Select, Told,
    },
    twin::{Event, Moment, Outcome, Refusal, Retry, Rules, Twin},
};

pub use counters::Counters;
pub use router::Router;

/// How the service works.
#[derive(Clone, Debug)]
pub struct ManagerSettings {
    /// The manager's own id.
    pub id: ThingId,
    /// The numbers in the rules of the twin.
    pub rules: Rules,
    /// The most bytes of a payload.
    pub payload_limit: usize,
    /// How long a twin that nobody asks for stays in memory.
    pub idle: Duration,
    /// The most twins in memory; those at work may exceed it.
    pub cache: usize,
    /// The most things that are restored at once.
    pub restores: usize,
    /// How often a thing may report in a second before its reports are merged.
    pub thing_rate: usize,
    /// The most deltas that are sent again, or looked at after a start, in a second.
    pub retry_rate: usize,
    /// How often the counters are told, if anything moved.
    pub stats: Duration,
    /// The number of this start: messages of an earlier one are looked at for whether they are done already.
    pub epoch: i64,
    /// The things whose last change may not have been told.
    pub untold: Vec<ThingId>,
    /// How many twins the database holds at the start.
    pub things: u64,
    /// What applies an event to a twin: [`Twin::apply`], unless a test wants to see it fail.
    pub apply: Apply,
}

/// The pure core, as the service calls it.
pub type Apply = fn(&Twin, Event, &Moment<'_>) -> Result<(Twin, Outcome), Refusal>;

/// Whom the service talks to.
#[derive(Clone, Debug)]
pub struct Peers {
    /// Loads twins.
    pub load: Recipient<Load>,
    /// Commits them.
    pub commit: Recipient<Commit>,
    /// Lists those that are not settled.
    pub unsettled: Recipient<ListUnsettled>,
    /// Lists the members of groups.
    pub members: Recipient<ListMembers>,
    /// Asks queries of many twins.
    pub select: Recipient<Select>,
    /// Remembers the session at the broker.
    pub session: Recipient<SaveSession>,
    /// Publishes.
    pub publish: Recipient<Publish>,
    /// Is told which entries of the inbox are done.
    pub done: Recipient<Done>,
    /// Sets messages aside on which the core panicked.
    pub poison: Recipient<Poison>,
    /// Is told which entries need not be waited for.
    pub parked: Recipient<Parked>,
    /// Hands on again what was under way with an actor that has ended.
    pub again: Recipient<HandOnAgain>,
    /// Is told which twins need not be told again.
    pub told: Recipient<Told>,
    /// Is told that nothing from an earlier start comes any more.
    pub forget: Recipient<ForgetBefore>,
    /// Counts what passes the bridge.
    pub count: Recipient<Count>,
    /// Counts what is committed.
    pub count_commits: Recipient<store::Count>,
    /// Is told when requests need not wait for what came before them.
    pub asks_first: Recipient<AsksFirst>,
}

/// Answered as long as the router lives and has its turn.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct SignOfLife;

/// Something happened to a thing, or is asked of its twin.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Happened {
    /// The place of the message in the inbox, if it came from there.
    place: Option<Place>,
    event: Event,
    /// Who is to be answered, if a client asks.
    ask: Option<Ask>,
    at: Timestamp,
    session: i64,
    /// The numbers of messages that were merged into this one.
    merged: Vec<u64>,
}

impl Happened {
    /// The number of the message in the inbox, if it came from there.
    fn number(&self) -> Option<u64> {
        self.place.map(|place| place.number)
    }

    /// The numbers of all messages that it is of, when it is not needed itself.
    fn into_numbers(self) -> impl Iterator<Item = u64> {
        let own = self.number();
        self.merged.into_iter().chain(own)
    }
}

/// A client's request, as far as its answer needs it.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    query: Option<Value>,
    /// What the client wants to know, if that is not the twin as a whole.
    select: Option<Arc<Query>>,
    /// The session at the broker in which it asks.
    session: i64,
    respond: Option<Respond>,
    /// Whether it is a group that is asked: its answer says what came of each member.
    of_group: bool,
}

/// A thing's oldest event under way is done: committed, and handed to the bridge.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Finished {
    id: ThingId,
    /// Which of all the actors that were started says so.
    generation: u64,
    /// How many publishes about the thing it took.
    published: usize,
    /// The revision that is told with these, if it was not before.
    told: Option<u64>,
    retry: Retry,
    /// How many twins there are more, or fewer, by it.
    things: i64,
    result: Handling,
}

/// What became of an event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Handling {
    /// It was applied.
    Applied {
        /// Whether that changed the twin.
        changed: bool,
    },
    /// A client's request was refused.
    Refused,
    /// A thing's report was refused: the topic, and why.
    Bad(String),
    /// It is in the twin already: the manager ended before it could say so.
    Repeated,
    /// The core panicked on it, with these words.
    Poisoned(String),
    /// The database does not take the twin, or holds no twin there.
    Unstorable,
}

/// Tells a twin's actor that the database is away: whoever waits for a GET is told so.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct DatabaseAway;

/// What all actors of the service share, on their one thread.
#[derive(Debug)]
pub(crate) struct Shared {
    rules: Rules,
    apply: Apply,
    /// The largest packet that the broker takes.
    maximum_packet: Cell<usize>,
    peers: Peers,
    /// The router, which is told of each event that is finished.
    finished: Recipient<Finished>,
}

impl Shared {
    /// The largest payload that we send, and the broker takes.
    fn room(&self) -> usize {
        /// Whatever the broker takes: MQTT itself ends at four times that.
        const LARGEST: usize = 64 << 20;
        /// Room in a packet for what stands around the payload: two ids of 80 bytes, a response topic, and some.
        const AROUND: usize = 256;
        self.maximum_packet.get().min(LARGEST).saturating_sub(AROUND)
    }
}

/// What [`Shared`] is held by.
pub(crate) type Common = Rc<Shared>;
