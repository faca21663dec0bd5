//! A broker and a database that only record what they are told, and a router among them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use actix::prelude::*;
use serde_json::Value;
use twinthing::{
    manager::{ManagerSettings, Peers, Router},
    mqtt::{
        self, About, Acked, Arrived, AsksFirst, Count, Destination, Done, HandOnAgain, Link,
        Parked, Place, Poison, Publish, Replayed, Respond,
    },
    protocol::{ThingId, Timestamp},
    store::{
        self, Applied, Change, Commit, Committed, ForgetBefore, ListMembers, ListUnsettled, Load,
        Loaded, Members, Row, SaveSession, Select, Told, Unsettled,
    },
    twin::{Rules, Twin},
};

/// What the service said, in order, and what the tapes do about it.
#[derive(Default)]
pub struct Heard {
    pub published: Vec<(String, String)>,
    pub about: Vec<Option<About>>,
    pub entries: Vec<Option<u64>>,
    pub done: Vec<u64>,
    pub poison: Vec<(u64, String)>,
    pub again: Vec<u64>,
    pub parked: Vec<u64>,
    pub told: Vec<(String, u64)>,
    pub forgotten: Vec<i64>,
    pub deleted: HashMap<ThingId, Applied>,
    pub asks_first: Vec<bool>,
    pub loads: Vec<String>,
    pub rows: HashMap<ThingId, Row>,
    pub waiting: Vec<Commit>,
    pub holds_commits: bool,
    pub holds_loads: Option<Vec<Load>>,
    pub refuses: Option<String>,
    /// The members of each group; another one has none.
    pub members: HashMap<String, Result<Vec<ThingId>, String>>,
    /// Which groups were asked for, by ticket.
    pub lists: HashMap<u64, String>,
    pub holds_lists: Option<Vec<ListMembers>>,
    pub selects: Vec<Select>,
    pub holds_acks: bool,
    pub router: Option<Addr<Router>>,
}

pub type Tape = Arc<Mutex<Heard>>;

struct Recorder(Tape);

impl Actor for Recorder {
    type Context = Context<Self>;
}

impl Handler<Publish> for Recorder {
    type Result = ();

    fn handle(&mut self, publish: Publish, _: &mut Self::Context) {
        let topic = match publish.to {
            Destination::Topic(topic) => topic.to_string(),
            Destination::Response(Respond { topic, .. }) => topic.to_string(),
        };
        let payload = String::from_utf8_lossy(&publish.payload).into_owned();
        let mut heard = self.0.lock().unwrap();
        heard.published.push((topic, payload));
        heard.about.push(publish.about.clone());
        heard.entries.push(publish.entry);
        if let (Some(about), false, Some(router)) = (publish.about, heard.holds_acks, &heard.router)
        {
            router.do_send(Acked(about));
        }
    }
}

impl Handler<Done> for Recorder {
    type Result = ();

    fn handle(&mut self, Done(number): Done, _: &mut Self::Context) {
        self.0.lock().unwrap().done.push(number);
    }
}

impl Handler<Poison> for Recorder {
    type Result = ();

    fn handle(&mut self, Poison { number, reason }: Poison, _: &mut Self::Context) {
        self.0.lock().unwrap().poison.push((number, reason));
    }
}

impl Handler<Parked> for Recorder {
    type Result = ();

    fn handle(&mut self, Parked(number): Parked, _: &mut Self::Context) {
        self.0.lock().unwrap().parked.push(number);
    }
}

impl Handler<HandOnAgain> for Recorder {
    type Result = ();

    fn handle(&mut self, HandOnAgain(numbers): HandOnAgain, _: &mut Self::Context) {
        self.0.lock().unwrap().again.extend(numbers);
    }
}

impl Handler<Told> for Recorder {
    type Result = ();

    fn handle(&mut self, Told { id, revision }: Told, _: &mut Self::Context) {
        self.0.lock().unwrap().told.push((id.to_string(), revision));
    }
}

impl Handler<ForgetBefore> for Recorder {
    type Result = ();

    fn handle(&mut self, ForgetBefore(epoch): ForgetBefore, _: &mut Self::Context) {
        self.0.lock().unwrap().forgotten.push(epoch);
    }
}

impl Handler<AsksFirst> for Recorder {
    type Result = ();

    fn handle(&mut self, AsksFirst(asks_first): AsksFirst, _: &mut Self::Context) {
        self.0.lock().unwrap().asks_first.push(asks_first);
    }
}

impl Handler<Count> for Recorder {
    type Result = mqtt::Counters;

    fn handle(&mut self, Count: Count, _: &mut Self::Context) -> mqtt::Counters {
        mqtt::Counters { ignored_retained: 7, ..mqtt::Counters::default() }
    }
}

impl Handler<store::Count> for Recorder {
    type Result = store::Counters;

    fn handle(&mut self, _: store::Count, _: &mut Self::Context) -> store::Counters {
        store::Counters { committed: 3, ..store::Counters::default() }
    }
}

impl Handler<Load> for Recorder {
    type Result = ();

    fn handle(&mut self, load: Load, _: &mut Self::Context) {
        let mut heard = self.0.lock().unwrap();
        heard.loads.push(load.id.to_string());
        if let Some(held) = &mut heard.holds_loads {
            return held.push(load);
        }
        answer(&heard, load);
    }
}

pub fn answer(heard: &Heard, Load { id, reply, .. }: Load) {
    let row = heard.rows.get(&id).cloned();
    let deleted = heard.deleted.get(&id).copied();
    reply.do_send(Loaded { id, row, deleted });
}

impl Handler<Commit> for Recorder {
    type Result = ();

    fn handle(&mut self, commit: Commit, _: &mut Self::Context) {
        let mut heard = self.0.lock().unwrap();
        if heard.holds_commits {
            return heard.waiting.push(commit);
        }
        keep(&mut heard, commit);
    }
}

pub fn keep(heard: &mut Heard, commit: Commit) {
    let Commit { id, revision, change, applied, reply } = commit;
    let refused = heard.refuses.clone();
    if refused.is_none() {
        match change {
            Change::Put(record) => {
                heard.rows.insert(id.clone(), Row { record: *record, applied, untold: true });
            }
            Change::Delete => {
                heard.rows.remove(&id);
                heard.deleted.insert(id.clone(), applied);
            }
        }
    }
    reply.do_send(Committed { id, revision, refused });
}

impl Handler<ListUnsettled> for Recorder {
    type Result = ();

    fn handle(&mut self, list: ListUnsettled, _: &mut Self::Context) {
        let heard = self.0.lock().unwrap();
        let mut ids: Vec<_> = heard
            .rows
            .iter()
            .filter(|(id, row)| row.record.unsettled && list.after.as_ref() < Some(id))
            .map(|(id, _)| id.clone())
            .collect();
        ids.sort();
        ids.truncate(list.limit);
        list.reply.do_send(Unsettled(ids));
    }
}

impl Handler<ListMembers> for Recorder {
    type Result = ();

    fn handle(&mut self, list: ListMembers, _: &mut Self::Context) {
        let mut heard = self.0.lock().unwrap();
        heard.lists.insert(list.ticket, list.group.to_string());
        if let Some(held) = &mut heard.holds_lists {
            return held.push(list);
        }
        answer_list(&heard, list);
    }
}

pub fn answer_list(heard: &Heard, ListMembers { ticket, group, reply, .. }: ListMembers) {
    let members = heard.members.get(group.as_str()).cloned().unwrap_or(Ok(Vec::new()));
    let (members, skipped) = (members.map(Arc::from), Vec::new());
    reply.do_send(Members { ticket, group, members, skipped, of_everybody: None });
}

impl Handler<Select> for Recorder {
    type Result = ();

    fn handle(&mut self, select: Select, _: &mut Self::Context) {
        self.0.lock().unwrap().selects.push(select);
    }
}

impl Handler<SaveSession> for Recorder {
    type Result = ();

    fn handle(&mut self, _: SaveSession, _: &mut Self::Context) {}
}

/// A router among tapes.
pub struct Service {
    pub router: Addr<Router>,
    pub tape: Tape,
    epoch: i64,
    number: u64,
    session: i64,
}

pub fn settings() -> ManagerSettings {
    ManagerSettings {
        id: "mgr".parse().unwrap(),
        rules: Rules { late_will: Duration::ZERO, ..Rules::default() },
        payload_limit: 10_000,
        idle: Duration::from_secs(900),
        cache: 1000,
        restores: 10,
        retry_rate: 1000,
        thing_rate: 1_000_000,
        stats: Duration::from_millis(50),
        epoch: 1,
        untold: Vec::new(),
        things: 0,
        apply: Twin::apply,
    }
}

impl Service {
    pub fn start(settings: ManagerSettings) -> Self {
        Self::start_with(settings, Tape::default())
    }

    /// The broker has taken something that the thing's present actor published.
    pub fn acked(&self, id: &str) {
        let heard = self.tape.lock().unwrap();
        let mut abouts = heard.about.iter().rev().flatten();
        let about = abouts
            .find(|about| matches!(about, About::Thing { id: of, .. } if of.as_str() == id))
            .unwrap()
            .clone();
        self.router.do_send(Acked(about));
    }

    pub fn start_with(settings: ManagerSettings, tape: Tape) -> Self {
        let service = Self::start_unlinked(settings, tape);
        service.link(1);
        service
    }

    /// One without a broker.
    pub fn start_unlinked(settings: ManagerSettings, tape: Tape) -> Self {
        let recorder = Recorder(tape.clone()).start();
        let peers = Peers {
            load: recorder.clone().recipient(),
            commit: recorder.clone().recipient(),
            unsettled: recorder.clone().recipient(),
            members: recorder.clone().recipient(),
            select: recorder.clone().recipient(),
            session: recorder.clone().recipient(),
            publish: recorder.clone().recipient(),
            done: recorder.clone().recipient(),
            poison: recorder.clone().recipient(),
            parked: recorder.clone().recipient(),
            again: recorder.clone().recipient(),
            told: recorder.clone().recipient(),
            forget: recorder.clone().recipient(),
            count: recorder.clone().recipient(),
            count_commits: recorder.clone().recipient(),
            asks_first: recorder.recipient(),
        };
        let epoch = settings.epoch;
        let router = Router::new(settings, peers).start();
        tape.lock().unwrap().router = Some(router.clone());
        Self { router, tape, epoch, number: 0, session: 1 }
    }

    /// What comes from now on comes in this session.
    pub fn session_is(&mut self, session: i64) {
        self.session = session;
    }

    pub fn link(&self, session: i64) {
        self.router.do_send(Link::Up { session, maximum_packet: None });
    }

    pub fn send(&mut self, topic: &str, payload: impl ToString) -> u64 {
        self.send_for(topic, payload, None)
    }

    pub fn send_for(
        &mut self,
        topic: &str,
        payload: impl ToString,
        respond: Option<Respond>,
    ) -> u64 {
        self.number += 1;
        self.router.do_send(Arrived {
            place: Place { epoch: self.epoch, number: self.number },
            topic: topic.parse().unwrap(),
            payload: payload.to_string().into_bytes().into(),
            respond,
            at: now(),
            session: self.session,
        });
        self.number
    }

    /// What comes from now on was left by an earlier life, from this number on.
    pub fn leave_from(&mut self, number: u64) {
        (self.epoch, self.number) = (0, number - 1);
    }

    /// The next message has this number.
    pub fn leave_at(&mut self, number: u64) {
        self.number = number - 1;
    }

    /// What comes from now on is new.
    pub fn is_replayed(&mut self) {
        (self.epoch, self.number) = (1, self.number * u64::from(self.epoch > 0));
        self.router.do_send(Replayed);
    }

    /// Waits until the tape shows what is asked for.
    pub async fn until(&self, what: &str, mut holds: impl FnMut(&Heard) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while !holds(&self.tape.lock().unwrap()) {
            assert!(Instant::now() < deadline, "{what}: {:?}", self.published());
            actix_rt::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until every message so far is done.
    pub async fn all_done(&self) {
        let number = self.number;
        self.until("all is done", |heard| heard.done.len() as u64 == number).await;
    }

    pub fn published(&self) -> Vec<(String, String)> {
        self.tape.lock().unwrap().published.clone()
    }

    /// What was published on a topic, as JSON.
    pub fn on(&self, topic: &str) -> Vec<Value> {
        let own = |(on, payload): &(String, String)| {
            (on == topic).then(|| serde_json::from_str(payload).unwrap())
        };
        self.published().iter().filter_map(own).collect()
    }
}

fn now() -> Timestamp {
    twinthing::mqtt::now()
}

pub fn release(tape: &Tape) {
    let mut heard = tape.lock().unwrap();
    heard.holds_commits = false;
    for commit in std::mem::take(&mut heard.waiting) {
        keep(&mut heard, commit);
    }
}
