//! SETs of groups that are being done: whose turn it is, and what came of each member.
//!
//! A SET has its place in the queue of each of its members from the moment it is put here: what comes later for one
//! of them comes behind it, though its own turn may be far off. So ten thousand members cost nothing until then.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use serde_json::{Map, Value};

use super::{Ask, Happened};
use crate::{
    mqtt::{Place, Respond},
    protocol::{GroupName, SetOutcome, ThingId, Timestamp},
    twin::Event,
};

/// A SET of a group.
#[derive(Debug)]
pub(super) struct GroupSet {
    pub(super) group: GroupName,
    pub(super) place: Place,
    pub(super) at: Timestamp,
    pub(super) session: i64,
    /// What is asked of each.
    pub(super) asked: Arc<Map<String, Value>>,
    /// The bytes of the payload that it came with.
    pub(super) bytes: usize,
    pub(super) version: Option<u64>,
    /// By what the client knows it, if it wants to know what came of it.
    pub(super) query: Option<Value>,
    pub(super) respond: Option<Respond>,
    /// Whom it is for, in order of id.
    pub(super) members: Arc<[ThingId]>,
    pub(super) progress: Progress,
    pub(super) outcome: SetOutcome,
    /// What a panic of the core said at one of the members.
    pub(super) poison: Option<String>,
}

/// How far a SET has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The first member that may not have had its turn.
    next: usize,
    /// Members behind that who have had it.
    early: BTreeSet<usize>,
    /// Members before that who have not, or shall have it again.
    late: BTreeSet<usize>,
    /// How many have it now.
    under_way: usize,
}

/// What a member made of a SET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Something else is desired of it now.
    Changed,
    /// Nothing else is.
    Unchanged,
    /// It is at another version, or would be too large, or the database does not take it.
    Refused,
    /// The core panicked, with these words.
    Poisoned(String),
}

impl GroupSet {
    /// Gives the member at this place its turn, unless it has had it.
    fn take(&mut self, place: usize) -> Option<Happened> {
        let Progress { next, early, late, under_way } = &mut self.progress;
        let is_its_turn = late.remove(&place) || (place >= *next && early.insert(place));
        if !is_its_turn {
            return None;
        }
        *under_way += 1;
        Some(Happened {
            place: Some(self.place),
            event: Event::Set { members: Arc::clone(&self.asked), version: self.version },
            ask: Some(Ask {
                query: None,
                select: None,
                session: self.session,
                respond: None,
                of_group: true,
            }),
            at: self.at,
            session: self.session,
            merged: Vec::new(),
        })
    }

    /// The next member that has not had its turn, of those who may have it.
    fn next(&mut self, may: impl Fn(&ThingId) -> bool) -> Option<ThingId> {
        let Progress { next, early, late, .. } = &mut self.progress;
        let may = |place: usize| self.members.get(place).filter(|id| may(id)).cloned();
        if let Some(id) = late.iter().find_map(|place| may(*place)) {
            return Some(id);
        }
        while *next < self.members.len() {
            if !early.remove(next) {
                if let Some(id) = may(*next) {
                    return Some(id);
                }
                late.insert(*next);
            }
            *next += 1;
        }
        None
    }

    /// How many members have not had their turn.
    fn left(&self) -> usize {
        let Progress { next, early, late, .. } = &self.progress;
        (self.members.len() + late.len()).saturating_sub(*next + early.len())
    }

    /// Whether every member is through with it.
    fn is_over(&self) -> bool {
        self.progress.under_way == 0 && self.left() == 0
    }

    fn note(&mut self, id: &ThingId, taken: Taken) {
        match taken {
            Taken::Changed => {
                self.outcome.changed.insert(id.clone());
            }
            Taken::Unchanged => {
                self.outcome.unchanged.insert(id.clone());
            }
            Taken::Poisoned(reason) => {
                self.poison.get_or_insert(reason);
                self.outcome.refused.insert(id.as_str().to_owned());
            }
            Taken::Refused => {
                self.outcome.refused.insert(id.as_str().to_owned());
            }
        }
    }
}

/// The SETs that are being done, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct GroupSets {
    sets: VecDeque<GroupSet>,
    is_smallest_s_turn: bool,
}

impl GroupSets {
    pub(super) fn len(&self) -> usize {
        self.sets.len()
    }

    /// How many turns are left to members of all of them together.
    pub(super) fn turns(&self) -> usize {
        self.sets.iter().map(GroupSet::left).sum()
    }

    /// The bytes of all their payloads.
    pub(super) fn bytes(&self) -> usize {
        self.sets.iter().map(|set| set.bytes).sum()
    }

    /// Puts a SET behind all others.
    pub(super) fn put(&mut self, set: GroupSet) {
        self.sets.push_back(set);
    }

    /// Whether an entry of the inbox is one of these.
    pub(super) fn has(&self, number: u64) -> bool {
        self.sets.iter().any(|set| set.place.number == number)
    }

    /// What a thing takes before an entry of this number, in order; it is under way from here on.
    pub(super) fn take_before(&mut self, id: &ThingId, number: u64) -> Vec<Happened> {
        // SETs of a group that came soon after one another have the same list of members.
        let mut last: Option<(Arc<[ThingId]>, Option<usize>)> = None;
        let before = self.sets.iter_mut().take_while(|set| set.place.number < number);
        before
            .filter_map(|set| {
                let place = match &last {
                    Some((members, place)) if Arc::ptr_eq(members, &set.members) => *place,
                    Some(_) | None => {
                        let place = set.members.binary_search(id).ok();
                        last = Some((Arc::clone(&set.members), place));
                        place
                    }
                };
                set.take(place?)
            })
            .collect()
    }

    /// The next thing whose turn it is, and for which SET, of those things that may. By turns it is the SET that came
    /// first and the one that has the fewest left: so a small one does not wait for a large one, nor that for ever.
    pub(super) fn next(&mut self, may: impl Fn(&ThingId) -> bool) -> Option<(ThingId, u64)> {
        let mut next = |set: &mut GroupSet| Some((set.next(&may)?, set.place.number));
        self.is_smallest_s_turn = !self.is_smallest_s_turn;
        if self.is_smallest_s_turn {
            let unfinished = self.sets.iter_mut().filter(|set| set.left() > 0);
            if let Some(found) = unfinished.min_by_key(|set| set.left()).and_then(&mut next) {
                return Some(found);
            }
        }
        self.sets.iter_mut().find_map(next)
    }

    /// A member is through with a SET; gives that if it was the last one.
    pub(super) fn finished(&mut self, number: u64, id: &ThingId, taken: Taken) -> Option<GroupSet> {
        let at = self.sets.iter().position(|set| set.place.number == number)?;
        let set = self.sets.get_mut(at)?;
        set.progress.under_way = set.progress.under_way.saturating_sub(1);
        set.note(id, taken);
        if set.is_over() { self.sets.remove(at) } else { None }
    }

    /// Whoever had a member's turn has ended: it comes again.
    pub(super) fn put_back(&mut self, number: u64, id: &ThingId) {
        let Some(set) = self.sets.iter_mut().find(|set| set.place.number == number) else { return };
        let Ok(place) = set.members.binary_search(id) else { return };
        set.progress.under_way = set.progress.under_way.saturating_sub(1);
        set.progress.early.remove(&place);
        if place < set.progress.next {
            set.progress.late.insert(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn id(id: &str) -> ThingId {
        id.parse().unwrap()
    }

    fn set(number: u64, members: &[&str]) -> GroupSet {
        GroupSet {
            group: "g".parse().unwrap(),
            place: Place { epoch: 1, number },
            at: Timestamp(0),
            session: 1,
            asked: Arc::default(),
            bytes: 10,
            version: None,
            query: None,
            respond: None,
            members: members.iter().map(|member| id(member)).collect(),
            progress: Progress::default(),
            outcome: SetOutcome::default(),
            poison: None,
        }
    }

    fn numbers(taken: &[Happened]) -> Vec<u64> {
        taken.iter().map(|happened| happened.number().unwrap()).collect()
    }

    #[test]
    fn a_member_takes_each_set_once_and_before_what_came_later() {
        let mut sets = GroupSets::default();
        sets.put(set(5, &["a", "b", "c"]));
        sets.put(set(7, &["b"]));
        assert_eq!(numbers(&sets.take_before(&id("b"), 6)), [5]);
        assert_eq!(numbers(&sets.take_before(&id("b"), 9)), [7]);
        assert!(sets.take_before(&id("b"), 9).is_empty());
        assert!(sets.take_before(&id("stranger"), 9).is_empty());
        assert_eq!(sets.next(|_| true), Some((id("a"), 5)));
        assert_eq!(numbers(&sets.take_before(&id("a"), 6)), [5]);
        assert_eq!(sets.next(|_| true), Some((id("c"), 5)));
        assert_eq!(numbers(&sets.take_before(&id("c"), 6)), [5]);
        assert_eq!(sets.next(|_| true), None);
    }

    #[test]
    fn each_set_has_its_turn_and_a_small_one_does_not_wait_for_a_large_one() {
        let mut sets = GroupSets::default();
        sets.put(set(1, &["a", "b", "c", "d"]));
        sets.put(set(2, &["x", "y"]));
        sets.put(set(3, &["z"]));
        let mut order = Vec::new();
        while let Some((member, number)) = sets.next(|_| true) {
            order.push((member.to_string(), numbers(&sets.take_before(&member, number + 1))));
        }
        let order: Vec<_> = order.iter().map(|(member, set)| (member.as_str(), set[0])).collect();
        assert_eq!(order, [("z", 3), ("a", 1), ("x", 2), ("b", 1), ("y", 2), ("c", 1), ("d", 1)]);
    }

    #[test]
    fn the_last_member_to_be_through_gives_the_outcome() {
        let mut sets = GroupSets::default();
        sets.put(set(1, &["a", "b", "c", "d"]));
        while let Some((member, _)) = sets.next(|_| true) {
            sets.take_before(&member, 2);
        }
        assert!(sets.finished(1, &id("a"), Taken::Changed).is_none());
        assert!(sets.finished(1, &id("b"), Taken::Unchanged).is_none());
        assert!(sets.finished(1, &id("d"), Taken::Poisoned("ow".to_owned())).is_none());
        let over = sets.finished(1, &id("c"), Taken::Refused).unwrap();
        assert_eq!(over.poison.as_deref(), Some("ow"));
        let SetOutcome { changed, unchanged, refused, .. } = over.outcome;
        assert_eq!((changed, unchanged), ([id("a")].into(), [id("b")].into()));
        assert_eq!(Vec::from_iter(refused), ["c", "d"]);
        assert!(!sets.has(1));
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// A message for this thing comes.
        Comes(usize),
        /// The next one of all, unless it is this one.
        Next(usize),
        /// What is under way longest is through.
        Through,
        /// What is under way longest has to come again.
        Again,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0_usize..6).prop_map(Step::Comes),
            (0_usize..6).prop_map(Step::Next),
            Just(Step::Through),
            Just(Step::Again),
        ];
        proptest::collection::vec(step, 0..60)
    }

    proptest! {
        #[test]
        fn whatever_the_order_every_member_takes_every_set_once_and_in_order(
            members in proptest::collection::vec(proptest::collection::btree_set(0_usize..6, 1..6), 1..4),
            steps in steps(),
        ) {
            let names = ["a", "b", "c", "d", "e", "f"];
            let mut sets = GroupSets::default();
            for (number, members) in members.iter().enumerate() {
                let members: Vec<_> = members.iter().map(|member| names[*member]).collect();
                sets.put(set(number as u64, &members));
            }
            let mut under_way = VecDeque::<(ThingId, u64)>::new();
            let mut through = BTreeMap::<ThingId, Vec<u64>>::new();
            let mut over = 0;
            let rest = std::iter::repeat_n([Step::Next(9), Step::Through], 100).flatten();
            for step in steps.into_iter().chain(rest) {
                match step {
                    Step::Comes(thing) => {
                        let thing = id(names[thing]);
                        let taken = numbers(&sets.take_before(&thing, 100));
                        under_way.extend(taken.into_iter().map(|number| (thing.clone(), number)));
                    }
                    Step::Next(but) => {
                        let but = names.get(but).map(|name| id(name));
                        if let Some((thing, number)) = sets.next(|thing| Some(thing) != but.as_ref()) {
                            prop_assert_ne!(Some(&thing), but.as_ref());
                            let taken = numbers(&sets.take_before(&thing, number + 1));
                            prop_assert_eq!(taken.last(), Some(&number));
                            under_way.extend(taken.into_iter().map(|number| (thing.clone(), number)));
                        }
                    }
                    Step::Through => {
                        if let Some((thing, number)) = under_way.pop_front() {
                            over += usize::from(sets.finished(number, &thing, Taken::Changed).is_some());
                            through.entry(thing).or_default().push(number);
                        }
                    }
                    // All of a thing comes again, as with an actor that ends.
                    Step::Again => {
                        if let Some((ended, _)) = under_way.front().cloned() {
                            let (back, kept) = under_way.into_iter().partition::<VecDeque<_>, _>(|(thing, _)| *thing == ended);
                            back.iter().for_each(|(thing, number)| sets.put_back(*number, thing));
                            under_way = kept;
                        }
                    }
                }
            }
            for (name, thing) in names.iter().enumerate() {
                let wanted: Vec<u64> =
                    (0..members.len()).filter(|set| members[*set].contains(&name)).map(|set| set as u64).collect();
                prop_assert_eq!(through.remove(&id(thing)).unwrap_or_default(), wanted, "{}", thing);
            }
            prop_assert_eq!((over, sets.len()), (members.len(), 0));
        }
    }
}
