//! Who listens to what: each filter is subscribed once, however many want it.

use std::collections::{BTreeMap, HashMap};

use tokio::sync::{mpsc, oneshot};

use super::ClientError;
use crate::mqtt::Got;

/// What a listener is told.
#[derive(Clone, Debug)]
pub(super) enum Note {
    /// A message.
    Got(Got),
    /// The connection was lost, and with it perhaps messages.
    Gap,
}

type Ready = oneshot::Sender<Result<u64, ClientError>>;

struct Listener {
    filters: Vec<String>,
    notes: mpsc::UnboundedSender<Note>,
    ready: Option<Ready>,
}

#[derive(Default)]
pub(super) struct Listening {
    listeners: BTreeMap<u64, Listener>,
    /// How many want each filter.
    wanted: HashMap<String, usize>,
    /// Who wants what comes on exactly this topic.
    exact: HashMap<String, Vec<u64>>,
    /// Who wants what comes by a filter with wildcards.
    wild: Vec<(String, u64)>,
}

impl Listening {
    /// One more wants this filter: whether nobody did.
    pub(super) fn enter(&mut self, filter: &str) -> bool {
        let count = self.wanted.entry(filter.to_owned()).or_default();
        *count += 1;
        *count == 1
    }

    /// One less wants it: the filter, if nobody does any more.
    pub(super) fn leave(&mut self, filter: &str) -> Vec<String> {
        let Some(count) = self.wanted.get_mut(filter) else { return Vec::new() };
        *count = count.saturating_sub(1);
        if *count > 0 {
            return Vec::new();
        }
        self.wanted.remove(filter);
        vec![filter.to_owned()]
    }

    /// A listener: which of its filters have to be subscribed.
    pub(super) fn add(
        &mut self,
        number: u64,
        filters: Vec<String>,
        notes: mpsc::UnboundedSender<Note>,
        ready: Ready,
    ) -> Vec<String> {
        for filter in &filters {
            if filter.contains(['+', '#']) {
                self.wild.push((filter.clone(), number));
            } else {
                self.exact.entry(filter.clone()).or_default().push(number);
            }
        }
        let new: Vec<_> =
            filters.iter().filter(|filter| !self.wanted.contains_key(*filter)).cloned().collect();
        for filter in &filters {
            self.enter(filter);
        }
        self.listeners.insert(number, Listener { filters, notes, ready: Some(ready) });
        new
    }

    /// The broker has answered its subscriptions; with a line if it refuses one.
    pub(super) fn is_ready(&mut self, number: u64, refused: Option<String>) {
        let Some(listener) = self.listeners.get_mut(&number) else { return };
        let answer = refused.map_or(Ok(number), |line| Err(ClientError::Refused(line)));
        if let Some(ready) = listener.ready.take() {
            // Who no longer waits for it has left.
            ready.send(answer).ok();
        }
    }

    /// A connection stands, with all subscriptions but these that are refused.
    pub(super) fn all_ready(&mut self, refused: &[(String, String)]) {
        let numbers: Vec<u64> = self.listeners.keys().copied().collect();
        for number in numbers {
            let Some(listener) = self.listeners.get(&number) else { continue };
            let line = refused.iter().find(|(filter, _)| listener.filters.contains(filter));
            self.is_ready(number, line.map(|(_, line)| line.clone()));
        }
    }

    /// A listener has gone: the filters that nobody wants any more.
    pub(super) fn remove(&mut self, number: u64) -> Vec<String> {
        let Some(listener) = self.listeners.remove(&number) else { return Vec::new() };
        self.wild.retain(|(_, of)| *of != number);
        for filter in &listener.filters {
            if let Some(of) = self.exact.get_mut(filter) {
                of.retain(|of| *of != number);
                if of.is_empty() {
                    self.exact.remove(filter);
                }
            }
        }
        listener.filters.iter().flat_map(|filter| self.leave(filter)).collect()
    }

    /// Gives a message to each who listens to it, once.
    pub(super) fn pass_on(&self, got: Got) {
        let mut to: Vec<u64> = self.exact.get(&got.topic).cloned().unwrap_or_default();
        let wild = self.wild.iter().filter(|(filter, _)| matches(filter, &got.topic));
        to.extend(wild.map(|(_, number)| *number));
        to.sort_unstable();
        to.dedup();
        for number in to {
            self.tell(number, Note::Got(got.clone()));
        }
    }

    pub(super) fn tell_all(&self, note: &Note) {
        self.listeners.keys().for_each(|number| self.tell(*number, note.clone()));
    }

    fn tell(&self, number: u64, note: Note) {
        if let Some(listener) = self.listeners.get(&number) {
            // One who has gone says so in a moment.
            listener.notes.send(note).ok();
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
        let mut add = |number, filters: &[&str]| {
            let (notes, told) = mpsc::unbounded_channel();
            let filters = filters.iter().map(|&filter| filter.to_owned()).collect();
            (listening.add(number, filters, notes, oneshot::channel().0), told)
        };
        let (new, mut first) = add(1, &["a", "b/+"]);
        assert_eq!(new, ["a", "b/+"]);
        let (new, mut second) = add(2, &["a", "c"]);
        assert_eq!(new, ["c"]);
        let got = |topic: &str| Got {
            topic: topic.to_owned(),
            payload: Vec::new(),
            correlation: None,
            retained: false,
        };
        for topic in ["a", "b/x", "c"] {
            listening.pass_on(got(topic));
        }
        let topics = |told: &mut mpsc::UnboundedReceiver<Note>| {
            std::iter::from_fn(|| match told.try_recv() {
                Ok(Note::Got(got)) => Some(got.topic),
                Ok(Note::Gap) | Err(_) => None,
            })
            .collect::<Vec<_>>()
        };
        assert_eq!(topics(&mut first), ["a", "b/x"]);
        assert_eq!(topics(&mut second), ["a", "c"]);
        assert_eq!(listening.remove(1), ["b/+"]);
        assert_eq!(listening.remove(2), ["a", "c"]);
    }
}
