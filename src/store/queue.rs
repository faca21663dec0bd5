//! What is to be committed: the newest of each twin, in the order in which the twins came.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use super::{Change, Commit};
use crate::protocol::ThingId;

/// A part of the queue that goes into one transaction; each twin at most once.
pub(super) type Batch = Vec<Arc<Commit>>;

#[derive(Debug, Default)]
pub(super) struct Queue {
    newest: HashMap<ThingId, Arc<Commit>>,
    order: VecDeque<ThingId>,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Whether a commit of this twin waits.
    pub(super) fn has(&self, id: &ThingId) -> bool {
        self.newest.contains_key(id)
    }

    /// Takes a commit in, in place of an older one of that twin.
    pub(super) fn put(&mut self, commit: Arc<Commit>) {
        if self.keep_newer(&commit) {
            self.order.push_back(commit.id.clone());
        }
    }

    /// Puts a batch back to where it came from, but for twins of which something newer came.
    pub(super) fn put_back(&mut self, batch: Batch) {
        for commit in batch.into_iter().rev() {
            if self.keep_newer(&commit) {
                self.order.push_front(commit.id.clone());
            }
        }
    }

    /// Whether the twin was not yet in the queue.
    fn keep_newer(&mut self, commit: &Arc<Commit>) -> bool {
        match self.newest.get_mut(&commit.id) {
            Some(present) => {
                if present.revision <= commit.revision {
                    *present = Arc::clone(commit);
                }
                false
            }
            None => {
                self.newest.insert(commit.id.clone(), Arc::clone(commit));
                true
            }
        }
    }

    /// Takes out the next batch: at most so many rows and bytes, and at least one row if any.
    pub(super) fn take(&mut self, rows: usize, bytes: usize) -> Batch {
        let mut batch = Batch::new();
        let mut room = bytes;
        while let Some(commit) = self.order.front().and_then(|id| self.newest.get(id)) {
            let size = size(commit);
            if !batch.is_empty() && (batch.len() >= rows || size > room) {
                break;
            }
            room = room.saturating_sub(size);
            let id = commit.id.clone();
            self.order.pop_front();
            batch.extend(self.newest.remove(&id));
        }
        batch
    }
}

/// The bytes of text that a commit sends to the database.
pub(super) fn size(commit: &Commit) -> usize {
    let id = commit.id.as_str().len();
    match &commit.change {
        Change::Put(record) => {
            id + record.reported.len()
                + record.reported_meta.len()
                + record.desired.len()
                + record.desired_meta.len()
                + record.declined.len()
                + record.declined_meta.len()
                + record.sent.len()
        }
        Change::Delete => id,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use actix::prelude::*;

    use super::*;
    use crate::store::{Applied, Committed};

    struct Deaf;

    impl Actor for Deaf {
        type Context = Context<Self>;
    }

    impl Handler<Committed> for Deaf {
        type Result = ();

        fn handle(&mut self, _: Committed, _: &mut Context<Self>) {}
    }

    /// A commit of which nobody hears what came.
    pub(in crate::store) fn commit_of(id: &str, revision: u64, change: Change) -> Arc<Commit> {
        Arc::new(Commit {
            id: id.parse().unwrap(),
            revision,
            change,
            applied: Applied::default(),
            reply: Deaf.start().recipient(),
        })
    }

    fn commit(id: &str, revision: u64) -> Arc<Commit> {
        commit_of(id, revision, Change::Delete)
    }

    fn queue(commits: &[(&str, u64)]) -> Queue {
        let mut queue = Queue::default();
        commits.iter().for_each(|(id, revision)| queue.put(commit(id, *revision)));
        queue
    }

    fn names(batch: &Batch) -> Vec<String> {
        batch.iter().map(|commit| format!("{} {}", commit.id, commit.revision)).collect()
    }

    #[actix::test]
    async fn a_batch_has_at_most_so_many_rows() {
        let mut queue = queue(&[("a", 1), ("b", 1), ("c", 1)]);
        assert_eq!(names(&queue.take(2, 100)), ["a 1", "b 1"]);
        assert_eq!(names(&queue.take(2, 100)), ["c 1"]);
        assert!(queue.take(2, 100).is_empty() && queue.is_empty());
    }

    #[actix::test]
    async fn a_batch_has_at_most_so_many_bytes_and_a_larger_row_goes_alone() {
        let mut queue = queue(&[("12345", 1), ("678", 1), ("9", 1), ("0123456789", 1), ("a", 1)]);
        assert_eq!(names(&queue.take(9, 8)), ["12345 1", "678 1"]);
        assert_eq!(names(&queue.take(9, 8)), ["9 1"]);
        assert_eq!(names(&queue.take(9, 8)), ["0123456789 1"]);
        assert_eq!(names(&queue.take(9, 8)), ["a 1"]);
    }

    #[actix::test]
    async fn the_newest_of_a_twin_goes_in_the_first_one_s_place() {
        let mut queue = queue(&[("a", 1), ("b", 1), ("a", 3), ("a", 2)]);
        assert_eq!(names(&queue.take(9, 100)), ["a 3", "b 1"]);
    }

    #[actix::test]
    async fn what_is_put_back_goes_first_but_never_in_place_of_something_newer() {
        let mut queue = queue(&[("a", 1), ("b", 1)]);
        let batch = queue.take(9, 100);
        queue.put(commit("c", 1));
        queue.put(commit("b", 2));
        queue.put_back(batch);
        assert_eq!(names(&queue.take(9, 100)), ["a 1", "c 1", "b 2"]);
    }
}
