//! Things that report on and on and are asked for something now and then, and whether what is told of it is right.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    client::{Client, Message},
    database::Database,
    mariadb::MariaDb,
    site::{PATIENCE, Site},
    tell::tell_recovery,
    wait_for,
};

/// How many things report.
const THINGS: u64 = 20;
/// The longest wait for the end of what a fault has left to do.
const CATCHING_UP: Duration = Duration::from_secs(60);
/// How soon the manager must have noticed that the database is away.
pub const NOTICED: Duration = Duration::from_secs(5);

/// A site whose things report on and on.
pub struct Load {
    pub site: Site,
    /// The number that is reported next. Every fifth time the thing is also asked for something.
    next: u64,
    /// What was told of the things that report.
    told: Vec<Told>,
    /// The ids that a GET was answered 503 for.
    unavailable: Vec<String>,
    /// What each report has besides its number.
    pad: String,
}

/// What an update said of a thing.
#[derive(Debug)]
pub struct Told {
    pub id: String,
    pub reported: u64,
    pub asked: u64,
    pub version: u64,
    at: Instant,
}

impl Load {
    /// Nothing is reported yet; there are two more things, `idle` and `quiet`, to ask for.
    pub fn on(site: Site) -> Self {
        let (told, unavailable) = (Vec::new(), Vec::new());
        let mut load = Self { site, next: 1, told, unavailable, pad: String::new() };
        for id in ["idle", "quiet"] {
            load.site.report(id, &json!({"n": 0}));
            load.site.said(id);
        }
        load
    }

    /// The same on a MariaDB that may be taken down, with more settings for the program.
    pub fn on_mariadb(extra: &[(&str, &str)]) -> (Self, MariaDb) {
        let server = MariaDb::start();
        let url = server.fresh_schema();
        let mut settings = vec![("TWIN_DB_URL", url.as_str())];
        settings.extend(extra);
        (Self::on(Site::start(&Database::Sqlite, &settings)), server)
    }

    /// Makes each report larger by so many bytes.
    pub fn pad(&mut self, bytes: usize) {
        self.pad = "x".repeat(bytes);
    }

    /// The last number that was reported.
    pub fn last(&self) -> u64 {
        self.next - 1
    }

    /// Reports once more, and takes note of what is said meanwhile.
    pub fn go_on(&mut self) {
        self.say_on();
        self.listen(Duration::from_millis(5));
    }

    /// Reports once more.
    pub fn say_on(&mut self) {
        let (number, id) = (self.next, self.next % THINGS);
        self.next += 1;
        let mut delta = json!({"n": number});
        if !self.pad.is_empty() {
            delta["pad"] = json!(self.pad);
        }
        let report = json!({"delta": delta});
        self.site.client.send(&format!("TNG/t{id}/STATE/UPD"), report.to_string());
        if number.is_multiple_of(5) {
            let set = json!({"set": {"asked": number}});
            self.site.client.send(&format!("TNG/t{id}/TWIN/SET"), set.to_string());
        }
    }

    /// [`Load::go_on`], so many times.
    pub fn run(&mut self, times: usize) {
        (0..times).for_each(|_| self.go_on());
    }

    /// Takes note of what is said until nothing is for so long.
    pub fn listen(&mut self, span: Duration) {
        while let Some(message) = self.site.client.recv(span) {
            self.note(&message);
        }
    }

    fn note(&mut self, message: &Message) {
        let levels: Vec<_> = message.topic.split('/').collect();
        let id = levels[1].to_owned();
        match levels[2..] {
            ["TWIN", "UPD"] if id.starts_with('t') => {
                let twin = message.json();
                let number = |place: &str| twin.pointer(place).and_then(Value::as_u64).unwrap_or(0);
                self.told.push(Told {
                    id,
                    reported: number("/reported/n"),
                    asked: number("/desired/asked"),
                    version: number("/version"),
                    at: Instant::now(),
                });
            }
            ["TWIN", "RES"] => {
                assert_eq!(
                    message.json(),
                    json!({"query": null, "error": {"code": 503, "message": "the database is away; ask again later"}})
                );
                self.unavailable.push(id);
            }
            _ => {}
        }
    }

    /// Asks for a twin: whether it was refused, as it must be while the database is away.
    pub fn is_refused(&mut self, id: &str) -> bool {
        let before = self.unavailable.len();
        let (answer, refusal) = (format!("TNG/{id}/TWIN/UPD"), format!("TNG/{id}/TWIN/RES"));
        self.site.client.publish(&format!("TNG/{id}/TWIN/GET"), "{}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = self.site.client.recv(left).expect("a GET is answered");
            self.note(&message);
            if message.topic == refusal {
                assert_eq!(self.unavailable.len(), before + 1);
                return true;
            }
            if message.topic == answer && id != "t1" {
                return false;
            }
        }
    }

    /// Waits, with nothing else going on, until the manager knows that the database is away.
    pub fn wait_until_noticed(&mut self) {
        wait_for("a GET to be refused", NOTICED, || self.is_refused("idle").then_some(()));
    }

    /// While the database is away: known and unknown, busy and idle are all refused.
    pub fn expect_refusals(&mut self) {
        for id in ["idle", "quiet", "stranger", "t1"] {
            assert!(self.is_refused(id), "{id} was answered while the database was away");
        }
    }

    /// The twin as it is now of a thing that is not one of those that report.
    pub fn ask(&self, id: &str) -> Value {
        let mut asker = Client::connect(self.site.broker.port());
        let topic = format!("TNG/{id}/TWIN/UPD");
        asker.subscribe(&[&topic]);
        asker.publish(&format!("TNG/{id}/TWIN/GET"), "{}");
        asker.expect(&topic, PATIENCE).json()
    }

    /// What was told that was said only after this number.
    pub fn told_above(&self, number: u64) -> Vec<&Told> {
        self.told.iter().filter(|told| told.reported > number || told.asked > number).collect()
    }

    /// All that was told.
    pub fn told(&self) -> &[Told] {
        &self.told
    }

    /// Goes on until something is told that is said from now on, and shows how long that is after the fault's end.
    pub fn recover(&mut self, fault: &str, ended: Instant) -> Duration {
        let last = self.last();
        let at = wait_for("something new to be told", CATCHING_UP, || {
            self.go_on();
            self.told_above(last).first().map(|told| told.at)
        });
        let time = at.duration_since(ended);
        tell_recovery(fault, time);
        time
    }

    /// Every report and SET has been told, once and in order, and the twins are what was said.
    pub fn check_all(&mut self) {
        self.check(false);
    }

    /// The same, but that messages may have come twice to the manager, and updates from it.
    pub fn check_all_with_repeats(&mut self) {
        self.check(true);
    }

    fn check(&mut self, may_repeat: bool) {
        wait_for("a GET to be answered", PATIENCE, || (!self.is_refused("idle")).then_some(()));
        let deadline = Instant::now() + CATCHING_UP;
        while let Some(untold) = self.untold() {
            assert!(Instant::now() < deadline, "not told: {untold:?}");
            self.listen(Duration::from_millis(100));
        }
        for thing in 0..THINGS {
            self.check_thing(thing, may_repeat);
        }
        assert!(!self.is_refused("stranger"));
    }

    /// The numbers whose report or SET was not told, if there are any.
    fn untold(&self) -> Option<Vec<u64>> {
        let reported: BTreeSet<_> = self.told.iter().map(|told| told.reported).collect();
        let asked: BTreeSet<_> = self.told.iter().map(|told| told.asked).collect();
        let is_told = |number: &u64| {
            reported.contains(number) && (!number.is_multiple_of(5) || asked.contains(number))
        };
        let untold: Vec<_> = (1..self.next).filter(|number| !is_told(number)).collect();
        (!untold.is_empty()).then_some(untold)
    }

    fn check_thing(&mut self, thing: u64, may_repeat: bool) {
        let id = format!("t{thing}");
        let (mut versions, mut reported) = (BTreeMap::new(), Vec::new());
        for told in self.told.iter().filter(|told| told.id == id) {
            let now = (told.reported, told.asked);
            if let Some(before) = versions.insert(told.version, now) {
                assert!(may_repeat && before == now, "{id}: {told:?} after {before:?}");
            } else {
                assert_eq!(told.version, versions.len() as u64, "{id}: there is a gap");
            }
            let is_known = if may_repeat {
                reported.contains(&told.reported)
            } else {
                reported.last() == Some(&told.reported)
            };
            if !is_known {
                reported.push(told.reported);
            }
        }
        let said: Vec<_> = (1..self.next).filter(|n| n % THINGS == thing).collect();
        assert_eq!(reported, said, "{id}");
        let last_set = said.iter().rev().find(|n| n.is_multiple_of(5)).copied().unwrap_or(0);
        let twin = self.site.twin(&id);
        assert_eq!(twin["version"], versions.len(), "{id}");
        assert_eq!(twin["reported"]["n"], said[said.len() - 1], "{id}");
        assert_eq!(twin.pointer("/desired/asked").unwrap_or(&json!(0)), last_set, "{id}");
    }
}
