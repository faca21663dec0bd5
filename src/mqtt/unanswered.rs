//! What has been published and not answered, and what is to be done with each answer.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
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
/// the first ones. Only once these have no more, and nothing is handed over, does it look at all: a publish that could
/// not be written has an answer at once, and those before it may never get one.
pub(super) struct Unanswered<T = DeliveryToken> {
    queue: VecDeque<(T, Then)>,
    /// How many of the first have been asked to wake the task.
    asked: usize,
    waker: Option<Waker>,
}

impl<T> Default for Unanswered<T> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), asked: 0, waker: None }
    }
}

impl<T> Unanswered<T> {
    pub(super) fn push(&mut self, token: T, then: Then) {
        self.queue.push_back((token, then));
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Takes out all, unanswered as far as we know.
    pub(super) fn take(&mut self) -> Vec<T> {
        self.asked = 0;
        self.queue.drain(..).map(|(token, _)| token).collect()
    }
}

impl<T: Future<Output = Result<()>> + Unpin> Unanswered<T> {
    fn answered(&mut self, at: usize, task: &mut Context<'_>) -> Option<(Then, Result<()>)> {
        let (token, _) = self.queue.get_mut(at)?;
        let Poll::Ready(result) = Pin::new(token).poll(task) else { return None };
        self.asked -= usize::from(at < self.asked);
        self.queue.remove(at).map(|(_, then)| (then, result))
    }

    /// An answer that has come: to the first one, or to one that was never looked at.
    fn next(&mut self, task: &mut Context<'_>) -> Option<(Then, Result<()>)> {
        if self.asked > 0
            && let Some(answered) = self.answered(0, task)
        {
            return Some(answered);
        }
        while self.asked < self.queue.len() {
            if let Some(answered) = self.answered(self.asked, task) {
                return Some(answered);
            }
            self.asked += 1;
        }
        None
    }

    /// An answer to any of them from this place on, and that place.
    fn any(&mut self, from: usize, task: &mut Context<'_>) -> Option<(usize, Then, Result<()>)> {
        (from..self.asked).find_map(|at| {
            let (then, result) = self.answered(at, task)?;
            Some((at, then, result))
        })
    }
}

/// A fault in what is done with one answer must not be the end of all others.
fn deal_with(then: Then, result: Result<()>) {
    if catch_unwind(AssertUnwindSafe(|| then(result))).is_err() {
        log::error!(
            "the broker's answer to a publish made the manager panic; it counts as unanswered"
        );
    }
}

/// The task that looks after them: it never ends by itself.
pub(super) struct Listening<T = DeliveryToken>(pub(super) Arc<Mutex<Unanswered<T>>>);

impl<T: Future<Output = Result<()>> + Unpin> Future for Listening<T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<()> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut moved = {
            let mut unanswered = lock();
            unanswered.waker = Some(task.waker().clone());
            unanswered.asked < unanswered.queue.len()
        };
        // What is done with an answer may publish, and so takes the lock itself: it must not be held meanwhile.
        loop {
            let answered = lock().next(task);
            let Some((then, result)) = answered else { break };
            moved = true;
            deal_with(then, result);
        }
        if moved {
            // More may have come meanwhile; if not, all are looked at then.
            task.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut from = 0;
        loop {
            let answered = lock().any(from, task);
            let Some((at, then, result)) = answered else { return Poll::Pending };
            from = at;
            deal_with(then, result);
        }
    }
}

#[cfg(test)]
mod tests {
    use paho_mqtt::Error;
    use tokio::sync::oneshot::{self, Receiver, Sender};

    use super::*;

    /// A token that a test answers.
    struct Token(Receiver<Result<()>>);

    impl Future for Token {
        type Output = Result<()>;

        fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Result<()>> {
            Pin::new(&mut self.0).poll(task).map(|answer| answer.unwrap())
        }
    }

    #[derive(Clone, Default)]
    struct Rig {
        all: Arc<Mutex<Unanswered<Token>>>,
        /// What was answered, in order, and whether that was good.
        heard: Arc<Mutex<Vec<(usize, bool)>>>,
    }

    impl Rig {
        fn publish(&self, number: usize) -> Sender<Result<()>> {
            let (tell, told) = oneshot::channel();
            let heard = Arc::clone(&self.heard);
            let then =
                move |result: Result<()>| heard.lock().unwrap().push((number, result.is_ok()));
            self.all.lock().unwrap().push(Token(told), Box::new(then));
            tell
        }

        fn heard(&self) -> Vec<(usize, bool)> {
            self.heard.lock().unwrap().clone()
        }
    }

    /// Lets the task have its turns until it has nothing to do.
    async fn rest() {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    #[actix::test]
    async fn each_answer_is_heard_once_whatever_their_order() {
        let rig = Rig::default();
        actix::spawn(Listening(Arc::clone(&rig.all)));
        let mut tokens: Vec<_> = (0..6).map(|number| Some(rig.publish(number))).collect();
        rest().await;
        let mut answer = |number: usize| tokens[number].take().unwrap().send(Ok(())).unwrap();
        answer(3);
        rest().await;
        assert_eq!(rig.heard(), [(3, true)], "though others before it wait");
        [0, 1, 5].into_iter().for_each(&mut answer);
        rest().await;
        [2, 4].into_iter().for_each(&mut answer);
        let late = rig.publish(6);
        late.send(Ok(())).unwrap();
        rest().await;
        let mut heard = rig.heard();
        assert_eq!(heard[1..3], [(0, true), (1, true)]);
        heard.sort_unstable();
        assert_eq!(heard, (0..7).map(|number| (number, true)).collect::<Vec<_>>());
    }

    #[actix::test]
    async fn a_failure_behind_what_is_never_answered_is_heard_though_others_are_handed_over() {
        let rig = Rig::default();
        actix::spawn(Listening(Arc::clone(&rig.all)));
        let _first = rig.publish(0);
        let second = rig.publish(1);
        rest().await;
        second.send(Err(Error::Failure)).unwrap();
        let _third = rig.publish(2);
        rest().await;
        assert_eq!(rig.heard(), [(1, false)]);
        assert_eq!(rig.all.lock().unwrap().take().len(), 2);
    }

    #[actix::test]
    async fn what_is_done_with_an_answer_may_publish() {
        let rig = Rig::default();
        actix::spawn(Listening(Arc::clone(&rig.all)));
        let (tell, told) = oneshot::channel();
        let again = rig.clone();
        let then = move |_: Result<()>| again.publish(9).send(Ok(())).unwrap();
        rig.all.lock().unwrap().push(Token(told), Box::new(then));
        rest().await;
        tell.send(Ok(())).unwrap();
        rest().await;
        assert_eq!(rig.heard(), [(9, true)]);
    }

    #[actix::test]
    async fn a_fault_in_what_is_done_with_an_answer_ends_no_other() {
        let rig = Rig::default();
        actix::spawn(Listening(Arc::clone(&rig.all)));
        let (tell, told) = oneshot::channel();
        rig.all.lock().unwrap().push(Token(told), Box::new(|_| panic!("a fault")));
        let other = rig.publish(1);
        rest().await;
        tell.send(Ok(())).unwrap();
        rest().await;
        other.send(Ok(())).unwrap();
        rest().await;
        assert_eq!(rig.heard(), [(1, true)]);
    }
}
