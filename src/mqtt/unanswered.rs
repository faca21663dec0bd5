//! What has been published and not answered, and what is to be done with each answer.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use paho_mqtt::{DeliveryToken, Result};

/// What is done with an answer.
pub(super) type Then = Box<dyn FnOnce(Result<()>) + Send>;

/// A queue of publishes, in the order in which they were handed over.
///
/// One task looks after all of them. Answers come in order, many at once: so it is woken once for many, and looks at
/// the first ones only. When these have no more, it looks at all once: a publish that could not be written has an
/// answer at once, and those before it may never get one.
#[derive(Default)]
pub(super) struct Unanswered {
    queue: VecDeque<(DeliveryToken, Then)>,
    /// How many of the first have been asked to wake the task.
    asked: usize,
    waker: Option<Waker>,
}

impl Unanswered {
    pub(super) fn push(&mut self, token: DeliveryToken, then: Then) {
        self.queue.push_back((token, then));
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Takes out all, unanswered as far as we know.
    pub(super) fn take(&mut self) -> Vec<DeliveryToken> {
        self.asked = 0;
        self.queue.drain(..).map(|(token, _)| token).collect()
    }

    fn is_answered(&mut self, at: usize, task: &mut Context<'_>) -> Option<(Then, Result<()>)> {
        let (token, _) = self.queue.get_mut(at)?;
        let Poll::Ready(result) = Pin::new(token).poll(task) else { return None };
        self.asked -= usize::from(at < self.asked);
        self.queue.remove(at).map(|(_, then)| (then, result))
    }

    /// An answer that has come: of the first ones, or, if `of_all`, of any; then of those that were never looked at.
    fn next(&mut self, of_all: bool, task: &mut Context<'_>) -> Option<(Then, Result<()>)> {
        if self.asked > 0 {
            let looked_at = if of_all { self.asked } else { 1 };
            if let Some(answered) = (0..looked_at).find_map(|at| self.is_answered(at, task)) {
                return Some(answered);
            }
        }
        while self.asked < self.queue.len() {
            if let Some(answered) = self.is_answered(self.asked, task) {
                return Some(answered);
            }
            self.asked += 1;
        }
        None
    }
}

/// The task that looks after them: it never ends by itself.
pub(super) struct Listening(pub(super) Arc<Mutex<Unanswered>>);

impl Future for Listening {
    type Output = ();

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<()> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lock().waker = Some(task.waker().clone());
        let mut came = false;
        // What is done with an answer may publish, and so takes the lock itself.
        while let Some((then, result)) = { lock() }.next(false, task) {
            came = true;
            then(result);
        }
        if came {
            // Whether that was all is seen when those that come meanwhile are seen to.
            task.waker().wake_by_ref();
        } else if let Some((then, result)) = { lock() }.next(true, task) {
            task.waker().wake_by_ref();
            then(result);
        }
        Poll::Pending
    }
}
