//! The things whose twins are in memory, least recently used first.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use actix::Addr;
use lru::LruCache;

use super::{Happened, doubles::Doubles, flood::Flood, twin_actor::TwinActor};
use crate::{protocol::ThingId, twin::Event};

/// How many twins are looked at for one that may go. Those at work may not.
const LOOK_AT: usize = 100;

/// An event that was sent to an actor and is not finished.
#[derive(Debug)]
pub(super) struct UnderWay {
    /// The number of its message in the inbox, and of those that were merged into it.
    number: Option<u64>,
    merged: Vec<u64>,
    pub(super) restores: bool,
    /// Whether it is a group's SET.
    pub(super) is_set: bool,
}

impl UnderWay {
    /// The numbers of its messages in the inbox.
    pub(super) fn into_numbers(self) -> impl Iterator<Item = u64> {
        self.merged.into_iter().chain(self.number)
    }
}

/// SETs of groups that a thing has, until what they did is told: each has a place until then.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sets {
    /// How many it was given.
    pub(super) taken: usize,
    /// How many of them it is through with.
    pub(super) finished: usize,
    /// Publishes up to the last of these that the broker has not acknowledged.
    pub(super) untold: usize,
}

/// A thing whose twin is in memory.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) actor: Addr<TwinActor>,
    /// Which of all the actors that were started it is.
    pub(super) generation: u64,
    /// What was sent to the actor and is not finished, in order.
    pub(super) under_way: VecDeque<UnderWay>,
    /// What the thing reports above its rate.
    pub(super) flood: Flood,
    pub(super) doubles: Doubles,
    /// What waits here because a restore before it waits for its turn.
    pub(super) waiting: VecDeque<Happened>,
    /// Publishes that the broker has not acknowledged.
    pub(super) untold: usize,
    /// The last revision that is told with those, if that has not been written down.
    pub(super) told: Option<u64>,
    /// Publishes up to the last restore's that the broker has not acknowledged.
    pub(super) restore_untold: usize,
    /// Restores that have a place: it is given back when everything of them is told.
    pub(super) restoring: usize,
    /// The group SETs that it has.
    pub(super) sets: Sets,
    last_used: Instant,
}

impl Entry {
    /// Sends an event to the actor, and remembers that it is under way.
    pub(super) fn hand_over(&mut self, mut happened: Happened) {
        let restores = happened.event == Event::Connected;
        self.restoring += usize::from(restores);
        let is_set = happened.ask.as_ref().is_some_and(|ask| ask.of_group);
        let (number, merged) = (happened.number(), std::mem::take(&mut happened.merged));
        self.under_way.push_back(UnderWay { number, merged, restores, is_set });
        self.actor.do_send(happened);
    }

    /// Takes out what the actor is through with.
    pub(super) fn finish(&mut self) -> Option<UnderWay> {
        let finished = self.under_way.pop_front();
        give_back(&mut self.under_way);
        finished
    }

    /// The revision up to which everything is told, once it is and was not asked for before.
    pub(super) fn take_told(&mut self) -> Option<u64> {
        if self.untold > 0 || !self.under_way.is_empty() {
            return None;
        }
        self.told.take()
    }

    fn is_busy(&self) -> bool {
        !self.under_way.is_empty()
            || !self.waiting.is_empty()
            || !self.flood.is_empty()
            || self.untold > 0
    }
}

/// Gives back the room of a queue that has become empty: it would stay as long as its twin, and there are many.
pub(super) fn give_back<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() {
        *queue = VecDeque::new();
    }
}

/// The directory of actors.
#[derive(Debug)]
pub(super) struct Things {
    entries: LruCache<ThingId, Entry>,
    /// How often a thing may report in a second.
    rate: usize,
}

impl Things {
    pub(super) fn new(rate: usize) -> Self {
        Self { entries: LruCache::unbounded(), rate }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The thing's entry, now the most recently used; started by `start` if there is none.
    pub(super) fn get_or_start(
        &mut self,
        id: &ThingId,
        now: Instant,
        generation: u64,
        start: impl FnOnce(u64) -> Addr<TwinActor>,
    ) -> &mut Entry {
        let entry = self.entries.get_or_insert_mut(id.clone(), || Entry {
            actor: start(generation),
            generation,
            under_way: VecDeque::new(),
            flood: Flood::new(self.rate),
            doubles: Doubles::default(),
            waiting: VecDeque::new(),
            untold: 0,
            told: None,
            restore_untold: 0,
            restoring: 0,
            sets: Sets::default(),
            last_used: now,
        });
        entry.last_used = now;
        entry
    }

    /// The thing's entry, if there is one. Nobody asked for it, so its place in the order stays.
    pub(super) fn get(&mut self, id: &ThingId) -> Option<&mut Entry> {
        self.entries.peek_mut(id)
    }

    /// Lets go of a thing, whatever it is at.
    pub(super) fn forget(&mut self, id: &ThingId) {
        self.entries.pop(id);
    }

    /// Those with something under way.
    pub(super) fn busy(&self) -> impl Iterator<Item = (&ThingId, &Entry)> {
        self.entries.iter().filter(|(_, entry)| entry.is_busy())
    }

    /// Retires those that nobody has asked for in so long a time, and those beyond `most`.
    pub(super) fn retire(&mut self, now: Instant, idle: Duration, most: usize) {
        while let Some(id) = self.next_to_go(now, idle, most) {
            // Dropping the last address lets the actor finish: it has nothing to do.
            self.entries.pop(&id);
        }
    }

    fn next_to_go(&self, now: Instant, idle: Duration, most: usize) -> Option<ThingId> {
        let crowded = self.entries.len() > most;
        self.entries
            .iter()
            .rev()
            .take(LOOK_AT)
            .find(|(_, entry)| {
                !entry.is_busy() && (crowded || now.duration_since(entry.last_used) >= idle)
            })
            .map(|(id, _)| id.clone())
    }
}
