//! Who needs which subscription: each filter is subscribed once, however many want it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

use super::ClientError;
use crate::mqtt::Got;

/// How many messages wait for one who does not fetch them. Then some are left out, and it is told so.
pub(super) const WAITING: usize = 10_000;

/// What a listener is told.
#[derive(Clone, Debug)]
pub(super) enum Note {
    /// A message.
    Got(Got),
    /// Messages may have been missed.
    Gap,
}

/// Where a listener hears that it is one, by which number, or why not.
pub(super) type Ready = oneshot::Sender<Result<u64, ClientError>>;

/// What a subscription is needed for.
enum Holder {
    /// The answer to a question.
    Question,
    /// Somebody listens.
    Listener { notes: mpsc::Sender<Note>, has_missed: bool, ready: Option<Ready> },
}

struct Held {
    filters: Vec<String>,
    holder: Holder,
}

#[derive(Default)]
struct Filter {
    holders: BTreeSet<u64>,
    is_granted: bool,
}

/// A holder all of whose subscriptions are granted by now, or the line that refuses one of them.
pub(super) type Verdict = (u64, Result<(), String>);

#[derive(Default)]
pub(super) struct Listening {
    filters: HashMap<String, Filter>,
    /// Those of the filters that have wildcards.
    wild: BTreeSet<String>,
    held: BTreeMap<u64, Held>,
    /// What was asked of the broker under which number, and is not answered.
    asked: HashMap<u64, Vec<String>>,
}

impl Listening {
    /// A question needs this filter for its answer.
    pub(super) fn hold_for_question(&mut self, number: u64, filter: String) -> Vec<String> {
        self.hold(number, Held { filters: vec![filter], holder: Holder::Question })
    }

    /// Somebody listens to these.
    pub(super) fn hold_for_listener(
        &mut self,
        number: u64,
        filters: Vec<String>,
        notes: mpsc::Sender<Note>,
        ready: Ready,
    ) -> Vec<String> {
        let holder = Holder::Listener { notes, has_missed: false, ready: Some(ready) };
        self.hold(number, Held { filters, holder })
    }

    /// Which filters have to be subscribed for it, under its number.
    fn hold(&mut self, number: u64, held: Held) -> Vec<String> {
        let mut new = Vec::new();
        for name in &held.filters {
            if name.contains(['+', '#']) {
                self.wild.insert(name.clone());
            }
            let filter = self.filters.entry(name.clone()).or_insert_with(|| {
                new.push(name.clone());
                Filter::default()
            });
            filter.holders.insert(number);
        }
        self.held.insert(number, held);
        if !new.is_empty() {
            self.asked.insert(number, new.clone());
        }
        new
    }

    /// Whether all subscriptions of this holder are granted.
    pub(super) fn is_granted(&self, number: u64) -> bool {
        let granted = |name: &String| self.filters.get(name).is_some_and(|one| one.is_granted);
        self.held.get(&number).is_some_and(|held| held.filters.iter().all(granted))
    }

    /// The broker has answered what was asked under this number.
    pub(super) fn answered(&mut self, number: u64, refused: &[(String, String)]) -> Vec<Verdict> {
        let names = self.asked.remove(&number).unwrap_or_default();
        self.judge(&names, refused)
    }

    /// A new connection stands, with all subscriptions but these.
    pub(super) fn all_answered(&mut self, refused: &[(String, String)]) -> Vec<Verdict> {
        self.asked.clear();
        let names: Vec<String> = self.filters.keys().cloned().collect();
        self.judge(&names, refused)
    }

    /// What was refused was asked again.
    pub(super) fn retried(&mut self, refused: &[(String, String)]) -> Vec<Verdict> {
        let asked: BTreeSet<&String> = self.asked.values().flatten().collect();
        let is_it =
            |(name, filter): &(&String, &Filter)| !filter.is_granted && !asked.contains(name);
        let names: Vec<String> =
            self.filters.iter().filter(is_it).map(|(name, _)| name.clone()).collect();
        self.judge(&names, refused)
    }

    fn judge(&mut self, names: &[String], refused: &[(String, String)]) -> Vec<Verdict> {
        let mut verdicts = BTreeMap::new();
        let mut touched = BTreeSet::new();
        for name in names {
            let Some(filter) = self.filters.get_mut(name) else { continue };
            let line = refused.iter().find(|(refused, _)| refused == name).map(|(_, line)| line);
            filter.is_granted = line.is_none();
            touched.extend(filter.holders.iter().copied());
            if let Some(line) = line {
                for holder in &filter.holders {
                    verdicts.insert(*holder, Err(line.clone()));
                }
            }
        }
        for number in touched {
            if self.is_granted(number) {
                verdicts.insert(number, Ok(()));
            }
        }
        verdicts.into_iter().collect()
    }

    /// A listener hears that it is one: whether it wants to know.
    pub(super) fn tell_ready(&mut self, number: u64) -> bool {
        match self.held.get_mut(&number).map(|held| &mut held.holder) {
            Some(Holder::Listener { ready, .. }) => {
                ready.take().is_none_or(|ready| ready.send(Ok(number)).is_ok())
            }
            Some(Holder::Question) | None => true,
        }
    }

    /// A listener hears why it is none, if it does not listen already: whether it is none.
    pub(super) fn tell_refused(&mut self, number: u64, why: ClientError) -> bool {
        match self.held.get_mut(&number).map(|held| &mut held.holder) {
            Some(Holder::Listener { ready, .. }) => {
                // Who no longer waits for it does not mind.
                ready.take().map(|ready| drop(ready.send(Err(why)))).is_some()
            }
            Some(Holder::Question) | None => false,
        }
    }

    /// Nothing is held under this number any more: the filters that nobody wants now.
    pub(super) fn let_go(&mut self, number: u64) -> Vec<String> {
        let Some(held) = self.held.remove(&number) else { return Vec::new() };
        let mut over = Vec::new();
        for name in held.filters {
            let Some(filter) = self.filters.get_mut(&name) else { continue };
            filter.holders.remove(&number);
            if filter.holders.is_empty() {
                self.filters.remove(&name);
                self.wild.remove(&name);
                over.push(name);
            }
        }
        over
    }

    /// Gives a message to each who listens to it, once.
    pub(super) fn pass_on(&mut self, got: &Got) {
        let wild = self.wild.iter().filter(|filter| matches(filter, &got.topic));
        let names = wild.chain([&got.topic]);
        let to: BTreeSet<u64> = names
            .filter_map(|name| self.filters.get(name))
            .flat_map(|filter| filter.holders.iter().copied())
            .collect();
        for number in to {
            self.tell(number, Note::Got(got.clone()));
        }
    }

    /// Tells everybody that messages may have been missed.
    pub(super) fn tell_gap(&mut self) {
        let numbers: Vec<u64> = self.held.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.tell(number, Note::Gap));
    }

    fn tell(&mut self, number: u64, note: Note) {
        let Some(held) = self.held.get_mut(&number) else { return };
        let Holder::Listener { notes, has_missed, .. } = &mut held.holder else { return };
        if *has_missed && notes.try_send(Note::Gap).is_ok() {
            *has_missed = false;
        }
        // One who has gone says so in a moment.
        if *has_missed || matches!(notes.try_send(note), Err(TrySendError::Full(_))) {
            *has_missed = true;
        }
    }
}

/// Whether a topic is one that a filter is for.
fn matches(filter: &str, topic: &str) -> bool {
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            (Some(_), _) | (None, Some(_)) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn got(topic: &str) -> Got {
        let topic = topic.to_owned();
        Got { topic, payload: Vec::new(), correlation: None, retained: false }
    }

    struct Ear {
        notes: mpsc::Receiver<Note>,
        ready: oneshot::Receiver<Result<u64, ClientError>>,
    }

    impl Ear {
        /// The topics it has heard; `-` for a gap.
        fn topics(&mut self) -> Vec<String> {
            std::iter::from_fn(|| self.notes.try_recv().ok())
                .map(|note| match note {
                    Note::Got(got) => got.topic,
                    Note::Gap => "-".to_owned(),
                })
                .collect()
        }
    }

    fn listen(listening: &mut Listening, number: u64, filters: &[&str]) -> (Vec<String>, Ear) {
        let (tell, notes) = mpsc::channel(3);
        let (tell_ready, ready) = oneshot::channel();
        let filters = filters.iter().map(|&filter| filter.to_owned()).collect();
        let new = listening.hold_for_listener(number, filters, tell, tell_ready);
        (new, Ear { notes, ready })
    }

    #[test]
    fn a_filter_is_for_what_mqtt_says() {
        for (filter, topic, is) in [
            ("TNG/+/TWIN/UPD", "TNG/a/TWIN/UPD", true),
            ("TNG/+/TWIN/UPD", "TNG/a/b/TWIN/UPD", false),
            ("TNG/#", "TNG/a/LC/ON", true),
            ("TNG/#", "TNG", true),
            ("#", "x/y", true),
            ("TNG/a", "TNG/a/b", false),
            ("TNG/a/b", "TNG/a", false),
        ] {
            assert_eq!(matches(filter, topic), is, "{filter} {topic}");
        }
    }

    #[test]
    fn a_filter_is_subscribed_by_the_first_and_ended_by_the_last() {
        let mut listening = Listening::default();
        let (new, mut first) = listen(&mut listening, 1, &["a", "b/+"]);
        assert_eq!(new, ["a", "b/+"]);
        let (new, mut second) = listen(&mut listening, 2, &["a", "c"]);
        assert_eq!(new, ["c"]);
        ["a", "b/x", "c"].iter().for_each(|topic| listening.pass_on(&got(topic)));
        assert_eq!(first.topics(), ["a", "b/x"]);
        assert_eq!(second.topics(), ["a", "c"]);
        assert_eq!(listening.let_go(1), ["b/+"]);
        assert_eq!(listening.let_go(2), ["a", "c"]);
    }

    #[test]
    fn who_joins_a_subscription_waits_for_its_answer_too() {
        let mut listening = Listening::default();
        let (_, mut first) = listen(&mut listening, 1, &["a"]);
        let (new, mut second) = listen(&mut listening, 2, &["a", "b"]);
        assert_eq!(new, ["b"]);
        assert_eq!(listening.answered(2, &[]), [], "a is not granted yet");
        assert_eq!(listening.answered(1, &[]), [(1, Ok(())), (2, Ok(()))]);
        assert!(listening.tell_ready(1) && listening.tell_ready(2));
        assert_eq!(first.ready.try_recv().unwrap().unwrap(), 1);
        assert_eq!(second.ready.try_recv().unwrap().unwrap(), 2);
        assert_eq!(listening.hold_for_question(3, "a".to_owned()), Vec::<String>::new());
        assert!(listening.is_granted(3));
    }

    #[test]
    fn who_is_refused_holds_nothing_any_more_and_the_next_asks_again() {
        let mut listening = Listening::default();
        let (_, mut first) = listen(&mut listening, 1, &["a", "b"]);
        let refused = [("a".to_owned(), "no".to_owned())];
        assert_eq!(listening.answered(1, &refused), [(1, Err("no".to_owned()))]);
        assert!(listening.tell_refused(1, ClientError::Refused("no".to_owned())));
        assert!(first.ready.try_recv().unwrap().is_err());
        assert_eq!(listening.let_go(1), ["a", "b"]);
        let (new, second) = listen(&mut listening, 2, &["a"]);
        assert_eq!(new, ["a"]);
        drop(second);
        assert!(!listening.tell_ready(2), "nobody waits for it");
    }

    #[test]
    fn a_new_connection_answers_for_all_filters() {
        let mut listening = Listening::default();
        let (_, _first) = listen(&mut listening, 1, &["a"]);
        listening.hold_for_question(2, "b".to_owned());
        let refused = [("b".to_owned(), "no".to_owned())];
        assert_eq!(listening.all_answered(&refused), [(1, Ok(())), (2, Err("no".to_owned()))]);
        assert!(listening.tell_ready(1));
        // It listens, and is refused on a later connection: it goes on when that is mended.
        let refused = [("a".to_owned(), "no".to_owned())];
        assert_eq!(listening.all_answered(&refused)[0], (1, Err("no".to_owned())));
        assert!(!listening.tell_refused(1, ClientError::Closed));
    }

    #[test]
    fn who_does_not_fetch_is_told_that_some_are_missing() {
        let mut listening = Listening::default();
        let (_, mut ear) = listen(&mut listening, 1, &["a"]);
        (0..9).for_each(|_| listening.pass_on(&got("a")));
        assert_eq!(ear.topics(), ["a", "a", "a"]);
        listening.pass_on(&got("a"));
        assert_eq!(ear.topics(), ["-", "a"]);
    }
}
