//! What goes out, from the moment it is handed to the bridge until the broker has acknowledged it.
//!
//! Alone decides what is sent, in which order, and what is sent again after a lost connection.

use std::collections::VecDeque;

use super::Publish;

/// What goes out: in order, a bounded number of them unacknowledged.
///
/// A ticket names one sending. What was sent by a connection that is lost goes back to the front,
/// and out again under new tickets, so that a late answer to an old one finds nothing.
///
/// We may hear of answers in another order than the broker's. What is settled behind something that is not stays,
/// and goes out again with it: what is repeated must be all that came last, or an older message has the last word.
#[derive(Debug)]
pub(super) struct Window {
    limit: usize,
    /// How many publishes have been queued, ever.
    pushed: u64,
    /// The payloads of what is queued or unacknowledged, in bytes.
    bytes: usize,
    last_ticket: u64,
    sent: VecDeque<Sent>,
    queue: VecDeque<Publish>,
    /// How many connections in a row have broken while what is now first was first unacknowledged.
    broke: u32,
}

/// What has been sent by the present connection.
#[derive(Debug)]
struct Sent {
    ticket: u64,
    publish: Publish,
    /// Acknowledged, as far as we have heard, and behind one that is not.
    is_settled: bool,
}

/// How often a connection may break after the same publish before that is taken for the cause.
const BREAKS: u32 = 10;

impl Window {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            pushed: 0,
            bytes: 0,
            last_ticket: 0,
            sent: VecDeque::new(),
            queue: VecDeque::new(),
            broke: 0,
        }
    }

    /// Queues a publish behind all others.
    pub(super) fn push(&mut self, publish: Publish) {
        self.pushed += 1;
        self.bytes += publish.payload.len();
        self.queue.push_back(publish);
    }

    /// The next to send now, which then counts as sent; none while the window is full.
    pub(super) fn send_next(&mut self) -> Option<(u64, &Publish)> {
        if self.sent.len() >= self.limit {
            return None;
        }
        let publish = self.queue.pop_front()?;
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        self.sent.push_back(Sent { ticket, publish, is_settled: false });
        self.sent.back().map(|sent| (ticket, &sent.publish))
    }

    /// The publish of this ticket is acknowledged. It is dealt with when all before it are.
    pub(super) fn settle(&mut self, ticket: u64) {
        if let Some(sent) = self.place(ticket).and_then(|place| self.sent.get_mut(place)) {
            sent.is_settled = true;
        }
    }

    /// Those that are dealt with now, in order.
    pub(super) fn take_settled(&mut self) -> Vec<Publish> {
        let mut settled = Vec::new();
        while self.sent.front().is_some_and(|sent| sent.is_settled) {
            self.broke = 0;
            settled.extend(self.sent.pop_front().map(|sent| self.let_go(sent.publish)));
        }
        settled
    }

    /// The publish of this ticket is given up. None if it has been taken back.
    pub(super) fn give_up(&mut self, ticket: u64) -> Option<Publish> {
        let place = self.place(ticket)?;
        if place == 0 {
            self.broke = 0;
        }
        self.sent.remove(place).map(|sent| self.let_go(sent.publish))
    }

    fn let_go(&mut self, publish: Publish) -> Publish {
        self.bytes -= publish.payload.len();
        publish
    }

    /// The payloads of all that is queued or unacknowledged, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The publish of this ticket, while it is neither settled nor taken back.
    pub(super) fn get(&self, ticket: u64) -> Option<&Publish> {
        let sent = self.sent.get(self.place(ticket)?)?;
        (!sent.is_settled).then_some(&sent.publish)
    }

    /// The connection is lost: what it did not settle goes first again, and all behind that, in its old order.
    pub(super) fn take_back(&mut self) {
        while let Some(sent) = self.sent.pop_back() {
            self.queue.push_front(sent.publish);
        }
    }

    /// The connection broke although the broker had answered on it. A broker answers in order, so
    /// what is first unacknowledged may have made it hang up. If that has happened ten times in a
    /// row, it is given here, to be dealt with, instead of holding up all others for ever.
    pub(super) fn blame(&mut self) -> Option<Publish> {
        self.sent.front()?;
        self.broke += 1;
        if self.broke < BREAKS {
            return None;
        }
        self.broke = 0;
        self.sent.pop_front().map(|sent| self.let_go(sent.publish))
    }

    /// How many publishes have been queued, ever.
    pub(super) fn pushed(&self) -> u64 {
        self.pushed
    }

    /// How many of them are dealt with: the first ones.
    pub(super) fn settled(&self) -> u64 {
        self.pushed - (self.sent.len() + self.queue.len()) as u64
    }

    /// Tickets only rise, so `sent` is sorted by them.
    fn place(&self, ticket: u64) -> Option<usize> {
        self.sent.binary_search_by_key(&ticket, |sent| sent.ticket).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        mqtt::Destination,
        protocol::{ThingTopic, Topic},
    };

    fn publish(n: u8) -> Publish {
        let topic = Topic::Thing("d".parse().unwrap(), ThingTopic::StateSet);
        Publish { to: Destination::Topic(topic), payload: Arc::new([n]), about: None, entry: None }
    }

    fn send(window: &mut Window) -> Option<(u64, u8)> {
        window.send_next().map(|(ticket, publish)| (ticket, publish.payload[0]))
    }

    fn settle(window: &mut Window, ticket: u64) -> Vec<Publish> {
        window.settle(ticket);
        window.take_settled()
    }

    #[test]
    fn what_waits_behind_one_that_is_given_up_is_dealt_with_then() {
        let mut window = Window::new(3);
        (0..2).for_each(|n| window.push(publish(n)));
        let tickets: Vec<_> =
            std::iter::from_fn(|| send(&mut window)).map(|(ticket, _)| ticket).collect();
        assert!(settle(&mut window, tickets[1]).is_empty());
        assert!(window.give_up(tickets[0]).is_some());
        assert_eq!(window.take_settled().len(), 1);
        assert_eq!((window.settled(), window.bytes()), (2, 0));
    }

    #[test]
    fn no_more_than_the_limit_are_unacknowledged() {
        let mut window = Window::new(2);
        (0..3).for_each(|n| window.push(publish(n)));
        let (first, _) = send(&mut window).unwrap();
        assert!(send(&mut window).is_some());
        assert!(send(&mut window).is_none());
        assert_eq!(settle(&mut window, first).len(), 1);
        assert_eq!(send(&mut window).unwrap().1, 2);
    }

    #[test]
    fn what_is_taken_back_goes_first_with_all_behind_it_and_old_tickets_are_void() {
        let mut window = Window::new(3);
        (0..4).for_each(|n| window.push(publish(n)));
        let tickets: Vec<_> =
            std::iter::from_fn(|| send(&mut window)).map(|(ticket, _)| ticket).collect();
        assert!(settle(&mut window, tickets[1]).is_empty());
        assert!(window.get(tickets[1]).is_none());
        window.take_back();
        assert!(settle(&mut window, tickets[0]).is_empty());
        assert!(window.get(tickets[2]).is_none());
        let again: Vec<_> = std::iter::from_fn(|| send(&mut window)).map(|(_, n)| n).collect();
        assert_eq!(again, [0, 1, 2]);
    }

    #[test]
    fn what_is_settled_counts_once_whatever_is_taken_back() {
        let mut window = Window::new(2);
        (0..3).for_each(|n| window.push(publish(n)));
        let (first, _) = send(&mut window).unwrap();
        send(&mut window);
        assert_eq!((window.pushed(), window.settled()), (3, 0));
        settle(&mut window, first);
        settle(&mut window, first);
        window.take_back();
        assert_eq!((window.pushed(), window.settled()), (3, 1));
    }

    #[test]
    fn a_publish_after_which_ten_connections_in_a_row_broke_is_blamed() {
        let mut window = Window::new(2);
        (0..3).for_each(|n| window.push(publish(n)));
        for _ in 1..BREAKS {
            let (_, first) = send(&mut window).unwrap();
            assert_eq!(first, 0);
            send(&mut window);
            assert!(window.blame().is_none());
            window.take_back();
        }
        send(&mut window);
        assert_eq!(*window.blame().unwrap().payload, [0]);
        window.take_back();
        assert_eq!(send(&mut window).unwrap().1, 1);
    }

    #[test]
    fn a_publish_that_gets_through_ends_the_blame() {
        let mut window = Window::new(1);
        (0..2).for_each(|n| window.push(publish(n)));
        for _ in 1..BREAKS {
            send(&mut window);
            assert!(window.blame().is_none());
            window.take_back();
        }
        let (ticket, _) = send(&mut window).unwrap();
        settle(&mut window, ticket);
        send(&mut window);
        assert!(window.blame().is_none());
    }

    proptest! {
        /// Steps: send one, hear that the first or the last unacknowledged is acknowledged, or lose the connection.
        #[test]
        fn whatever_is_lost_everything_arrives_and_the_last_value_stands(steps in proptest::collection::vec(0_u8..4, 0..200)) {
            let mut window = Window::new(4);
            (0..20).for_each(|n| window.push(publish(n)));
            let mut arrived = Vec::new();
            let mut tickets = VecDeque::new();
            for step in steps.into_iter().chain([0, 1].repeat(100)) {
                match step {
                    0 => if let Some((ticket, n)) = send(&mut window) {
                        tickets.push_back(ticket);
                        arrived.push(n);
                    },
                    1 => if let Some(ticket) = tickets.pop_front() {
                        settle(&mut window, ticket);
                    },
                    2 => if let Some(ticket) = tickets.pop_back() {
                        settle(&mut window, ticket);
                    },
                    _ => window.take_back(),
                }
            }
            // Nothing is left out, also where something comes again.
            prop_assert!(arrived.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{:?}", arrived);
            prop_assert_eq!(arrived.last(), Some(&19));
            let mut firsts = arrived;
            let mut highest = None;
            firsts.retain(|n| Some(*n) > highest && { highest = Some(*n); true });
            prop_assert_eq!(firsts, (0..20).collect::<Vec<_>>());
        }
    }
}
