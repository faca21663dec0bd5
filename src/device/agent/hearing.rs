//! What comes in, and what a device makes of it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use super::{Agent, is_another};
use crate::{
    device::{AppMessage, Event, State},
    mqtt::Got,
    protocol::{AppTopic, GroupTopic, Report, ReportKind, ThingTopic, Topic},
};

impl<T: State> Agent<T> {
    pub(super) fn hear(&mut self, got: Got) {
        if got.retained {
            return;
        }
        match got.topic.parse::<Topic>() {
            Ok(Topic::Thing(_, ThingTopic::StateGet)) => self.report_whole(),
            Ok(Topic::Thing(_, ThingTopic::StateSet)) => self.asked(&got.payload),
            Ok(Topic::Thing(_, ThingTopic::Ping) | Topic::Group(_, GroupTopic::Ping)) => {
                let number = self.next_number();
                self.send(number, self.own(ThingTopic::Pong), got.payload);
            }
            Ok(Topic::Thing(..) | Topic::Group(..)) => {}
            Err(_) => self.pass_on(got),
        }
    }

    /// What is asked is done as far as it can be, and answered once.
    fn asked(&mut self, payload: &[u8]) {
        let asked = match Report::parse(payload, self.author.limit) {
            Ok(asked) => asked,
            Err(bad) => {
                return self.complain(format!("{}: {bad}", self.own(ThingTopic::StateSet)));
            }
        };
        let kind = asked.kind;
        self.do_as_asked(asked);
        match kind {
            ReportKind::State => self.report_whole(),
            ReportKind::Delta => self.report(),
        }
        self.emit_changes();
    }

    fn do_as_asked(&self, asked: Report) {
        let (filter, removes) = (Arc::clone(&self.author.filter), self.author.removes);
        let ask = || self.shared.kept().ask(asked, Instant::now(), removes, &*filter);
        match catch_unwind(AssertUnwindSafe(ask)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                log::error!("the filter of device {}: {error}: it is refused", self.id);
            }
            Err(_) => log::error!("the filter of device {} panicked: all is refused", self.id),
        }
    }

    /// Tells what is wrong with a request.
    fn complain(&mut self, line: String) {
        if is_another(&line, &mut self.bad_request) {
            log::warn!("{line}");
            self.emit(Event::Trouble(line));
        }
    }

    fn pass_on(&self, got: Got) {
        let Ok(topic) = got.topic.parse::<AppTopic>() else { return };
        let message = AppMessage { topic, payload: got.payload };
        let own = self.author.topics.iter().filter(|(topic, _)| *topic == message.topic);
        let group = message.topic.of_group();
        let groups = self.author.groups.iter().filter(|(name, _)| Some(name) == group);
        let listeners = own.map(|(_, call)| call).chain(groups.map(|(_, call)| call));
        for call in listeners {
            if catch_unwind(AssertUnwindSafe(|| call(&message))).is_err() {
                log::error!("a listener of device {} to {} panicked", self.id, message.topic);
            }
        }
    }
}
