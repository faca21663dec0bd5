//! How many things are restored at once: when a broker comes back, all things do.

use std::collections::VecDeque;

use crate::protocol::ThingId;

/// A gate with so many places, and who waits before it.
#[derive(Debug)]
pub(super) struct Restores {
    places: usize,
    under_way: usize,
    waiting: VecDeque<ThingId>,
}

impl Restores {
    pub(super) fn new(places: usize) -> Self {
        Self { places: places.max(1), under_way: 0, waiting: VecDeque::new() }
    }

    /// Takes a place, if there is one and nobody waits.
    pub(super) fn enter(&mut self) -> bool {
        let enters = self.under_way < self.places && self.waiting.is_empty();
        self.under_way += usize::from(enters);
        enters
    }

    /// Has a thing wait for its turn, once for each call.
    pub(super) fn wait(&mut self, id: ThingId) {
        self.waiting.push_back(id);
    }

    /// Gives a place back, and says whose turn it is now.
    pub(super) fn leave(&mut self) -> Option<ThingId> {
        self.under_way = self.under_way.saturating_sub(1);
        let next = self.waiting.pop_front()?;
        self.under_way += 1;
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_under_way_than_there_are_places_and_turns_are_kept() {
        let mut restores = Restores::new(2);
        let id = |id: &str| id.parse::<ThingId>().unwrap();
        assert!(restores.enter() && restores.enter());
        assert!(!restores.enter());
        restores.wait(id("a"));
        restores.wait(id("b"));
        assert_eq!(restores.leave(), Some(id("a")));
        assert!(!restores.enter());
        assert_eq!(restores.leave(), Some(id("b")));
        assert_eq!(restores.leave(), None);
        assert!(restores.enter());
        assert!(!restores.enter());
    }
}
