//! What is said to the manager itself: it is a thing, with a state and no twin.

use actix::prelude::*;

use super::{
    Router,
    counters::Stats,
    decode::{self, Asked},
};
use crate::{
    mqtt::{Arrived, Count, Done},
    protocol::{Code, Problem, SetRequest, ThingTopic, Topic, delete_answer, parse_delete},
    store,
    twin::{Twin, query_answer},
};

impl Router {
    /// The manager is a thing, and has no twin.
    pub(super) fn about_me(&mut self, kind: ThingTopic, message: &Arrived) {
        let limit = self.settings.payload_limit;
        let me = |kind| Topic::Thing(self.settings.id.clone(), kind);
        let (respond, entry) = (message.respond.clone(), Some(message.place.number));
        match kind {
            ThingTopic::Ping => {
                self.publish(me(ThingTopic::Pong), message.payload.clone(), None, None)
            }
            ThingTopic::StateGet => self.tell_own_state(),
            ThingTopic::StateSet => match self.own.set(&message.payload, limit) {
                Ok(()) => self.tell_own_state(),
                Err(bad) => {
                    let id = self.settings.id.clone();
                    return self.bad_payload(&id, message, &bad);
                }
            },
            ThingTopic::TwinGet => match decode::get(&message.payload, limit, self.away) {
                Ok(Asked { query, select: Some(select) }) => {
                    let nothing = query_answer(&select, query.as_ref(), &[]).into_bytes();
                    self.publish(me(ThingTopic::TwinRes), nothing.into(), respond, None);
                }
                Ok(Asked { select: None, .. }) => {
                    let twin = Twin::new().to_payload(message.session).into_bytes();
                    self.publish(me(ThingTopic::TwinUpd), twin.into(), respond, None);
                }
                Err(problem) => {
                    self.publish_problem(me(ThingTopic::TwinRes), &problem, respond, entry)
                }
            },
            ThingTopic::TwinSet => {
                let problem = SetRequest::parse(&message.payload, limit).map_or_else(
                    |problem| problem,
                    |request| Problem {
                        query: request.query,
                        code: Code::NotFound,
                        message: format!("{} is the manager, which has no twin", self.settings.id),
                    },
                );
                self.publish_problem(me(ThingTopic::TwinRes), &problem, respond, entry);
            }
            ThingTopic::TwinDel => match parse_delete(&message.payload, limit) {
                Ok(query) => {
                    let answer = delete_answer(query.as_ref(), false).into_bytes();
                    self.publish(me(ThingTopic::TwinRes), answer.into(), respond, entry);
                }
                Err(problem) => {
                    self.publish_problem(me(ThingTopic::TwinRes), &problem, respond, entry)
                }
            },
            // What the manager says itself comes back to it.
            ThingTopic::LcOn
            | ThingTopic::LcOff
            | ThingTopic::Pong
            | ThingTopic::Stats
            | ThingTopic::StateUpd
            | ThingTopic::TwinUpd
            | ThingTopic::TwinRes => {}
        }
        self.peers.done.do_send(Done(message.place.number));
    }

    pub(super) fn tell_own_state(&mut self) {
        let topic = Topic::Thing(self.settings.id.clone(), ThingTopic::StateUpd);
        self.publish(topic, self.own.to_payload().into_bytes().into(), None, None);
        self.told_own = Some(self.own.clone());
    }

    pub(super) fn own_state_tick(&mut self) {
        self.own.cache = u64::try_from(self.things.len()).unwrap_or(u64::MAX);
        if self.session.is_some() && self.told_own.as_ref() != Some(&self.own) {
            self.tell_own_state();
        }
    }

    /// Asks bridge and store for their part of the counters, and then tells them.
    pub(super) fn stats_tick(&self, ctx: &mut Context<Self>) {
        let (bridge, store) =
            (self.peers.count.send(Count), self.peers.count_commits.send(store::Count));
        let asked = async move { tokio::join!(bridge, store) }.into_actor(self);
        ctx.spawn(asked.map(|counted, router, _| {
            if let (Ok(bridge), Ok(store)) = counted {
                router.tell_stats(Stats { service: router.counters, store, bridge });
            }
        }));
    }

    fn tell_stats(&mut self, stats: Stats) {
        if !stats.moved(self.told_stats.as_ref()) {
            return;
        }
        let before = self.told_stats.replace(stats);
        log::info!("{}", stats.since(before.as_ref()));
        let topic = Topic::Thing(self.settings.id.clone(), ThingTopic::Stats);
        let payload = serde_json::to_vec(&stats).unwrap_or_default();
        self.publish(topic, payload.into(), None, None);
    }
}
