//! The database goes away under load, hangs, or is not there yet: nothing is lost, nothing told early.
#![cfg(feature = "manager")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{
    broker::Broker,
    client::{Client, Message},
    database::Database,
    mariadb::MariaDb,
    program::Twinmgr,
    site::{PATIENCE, Site},
    wait_for,
};

/// How many things report.
const THINGS: u64 = 20;
/// How soon the manager must have noticed that the database is away.
const NOTICED: Duration = Duration::from_secs(5);

/// A site whose things report on and on, and the server of its database.
struct Outage {
    site: Site,
    server: MariaDb,
    /// The number that is reported next. Every fifth time the thing is also asked for something.
    next: u64,
    /// What was told of things: id, number reported, number desired, version.
    told: Vec<Told>,
    /// The ids that a GET was answered 503 for.
    unavailable: Vec<String>,
}

#[derive(Debug)]
struct Told {
    id: String,
    reported: u64,
    asked: u64,
    version: u64,
}

impl Outage {
    fn prepare(extra: &[(&str, &str)]) -> Self {
        let Database::MariaDb(server) = Database::mariadb() else { unreachable!() };
        let url = server.fresh_schema();
        let mut settings = vec![("TWIN_DB_URL", url.as_str())];
        settings.extend(extra);
        let site = Site::start(&Database::Sqlite, &settings);
        let mut outage = Self { site, server, next: 1, told: vec![], unavailable: vec![] };
        for id in ["idle", "quiet"] {
            outage.site.report(id, &json!({"n": 0}));
            outage.site.said(id);
        }
        outage
    }

    /// Reports once more, and takes note of what is said meanwhile.
    fn go_on(&mut self) {
        let (number, id) = (self.next, self.next % THINGS);
        self.next += 1;
        let report = json!({"delta": {"n": number}});
        self.site.client.send(&format!("TNG/t{id}/STATE/UPD"), report.to_string());
        if number.is_multiple_of(5) {
            let set = json!({"set": {"asked": number}});
            self.site.client.send(&format!("TNG/t{id}/TWIN/SET"), set.to_string());
        }
        self.listen(Duration::from_millis(5));
    }

    /// Takes note of what is said until nothing is for so long.
    fn listen(&mut self, span: Duration) {
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
    fn is_refused(&mut self, id: &str) -> bool {
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
    fn wait_until_noticed(&mut self) {
        wait_for("a GET to be refused", NOTICED, || self.is_refused("idle").then_some(()));
    }

    /// While the database is away: known and unknown, busy and idle are all refused.
    fn expect_refusals(&mut self) {
        for id in ["idle", "quiet", "stranger", "t1"] {
            assert!(self.is_refused(id), "{id} was answered while the database was away");
        }
    }

    /// Once the database is back: every report and SET has been told, once and in order.
    fn check_all(&mut self) {
        wait_for("a GET to be answered", PATIENCE, || (!self.is_refused("idle")).then_some(()));
        let wanted = (self.next - 1) + (self.next - 1) / 5;
        wait_for("all updates", Duration::from_secs(30), || {
            self.listen(Duration::from_millis(100));
            (self.told.len() as u64 >= wanted).then_some(())
        });
        assert_eq!(self.told.len() as u64, wanted);
        for thing in 0..THINGS {
            let id = format!("t{thing}");
            let told: Vec<_> = self.told.iter().filter(|told| told.id == id).collect();
            let versions: Vec<_> = told.iter().map(|told| told.version).collect();
            assert_eq!(versions, (1..=told.len() as u64).collect::<Vec<_>>(), "{id}");
            let mut reported: Vec<_> = told.iter().map(|told| told.reported).collect();
            reported.dedup();
            let said: Vec<_> = (1..self.next).filter(|n| n % THINGS == thing).collect();
            assert_eq!(reported, said, "{id}");
            let last_set = said.iter().rev().find(|n| n.is_multiple_of(5)).copied().unwrap_or(0);
            let twin = self.site.twin(&id);
            assert_eq!(twin["version"], told.len(), "{id}");
            assert_eq!(twin["reported"]["n"], said[said.len() - 1], "{id}");
            assert_eq!(twin.pointer("/desired/asked").unwrap_or(&json!(0)), last_set, "{id}");
        }
        assert!(!self.is_refused("stranger"));
    }

    fn told_above(&self, number: u64) -> Vec<&Told> {
        self.told.iter().filter(|told| told.reported > number || told.asked > number).collect()
    }
}

#[test]
fn a_database_that_is_away_for_ten_seconds_under_load_costs_no_update() {
    let mut outage = Outage::prepare(&[]);
    for _ in 0..100 {
        outage.go_on();
    }
    outage.server.stop();
    let (since, committed_at_most) = (Instant::now(), outage.next - 1);
    let mut checks = Vec::new();
    let mut noticed = None;
    while since.elapsed() < Duration::from_secs(10) {
        outage.go_on();
        let time = since.elapsed();
        if noticed.is_none() && outage.next.is_multiple_of(20) && outage.is_refused("idle") {
            noticed = Some(time);
        }
        if noticed.is_some() && time.as_secs() as usize > checks.len() {
            outage.expect_refusals();
            checks.push(time);
        }
    }
    assert!(noticed.unwrap() < NOTICED, "{noticed:?}");
    assert!(checks.len() >= 5, "{checks:?}");
    assert!(outage.told_above(committed_at_most).is_empty(), "told and not committed");
    outage.server.restart();
    for _ in 0..100 {
        outage.go_on();
    }
    outage.check_all();
}

#[test]
fn a_database_that_goes_away_while_nothing_happens_is_missed_within_seconds() {
    let mut outage = Outage::prepare(&[]);
    outage.server.stop();
    outage.wait_until_noticed();
    outage.expect_refusals();
    outage.go_on();
    outage.listen(Duration::from_millis(300));
    assert!(outage.told.is_empty());
    outage.server.restart();
    for _ in 0..50 {
        outage.go_on();
    }
    outage.check_all();
}

#[test]
fn a_database_that_hangs_for_five_seconds_costs_no_update() {
    let mut outage = Outage::prepare(&[("TWIN_COMMIT_TIMEOUT", "2")]);
    for _ in 0..100 {
        outage.go_on();
    }
    outage.listen(Duration::from_millis(300));
    outage.server.freeze();
    let (since, committed_at_most) = (Instant::now(), outage.next - 1);
    outage.wait_until_noticed();
    while since.elapsed() < Duration::from_secs(6) {
        for _ in 0..20 {
            outage.go_on();
        }
        outage.expect_refusals();
    }
    assert!(outage.told_above(committed_at_most).is_empty(), "told and not committed");
    outage.server.thaw();
    outage.check_all();
}

#[test]
fn a_manager_that_finds_no_database_says_so_once_and_starts_when_it_is_there() {
    let mut server = MariaDb::start();
    let url = server.fresh_schema();
    server.stop();
    let broker = Broker::start();
    let mut program = Twinmgr::start(&broker, &url, &[]);
    let complaints = |program: &Twinmgr| program.output().matches("does not answer").count();
    wait_for("a complaint", PATIENCE, || (complaints(&program) > 0).then_some(()));
    let mut client = Client::connect(broker.port());
    assert!(!client.ping("mgr", Duration::from_secs(5)), "it has nothing to answer with yet");
    let output = program.output();
    assert_eq!(complaints(&program), 1, "{output}");
    assert!(output.contains("; start the database, or correct its address; trying again\n"));
    server.restart();
    program.ready(&mut client);
    client.subscribe(&["TNG/a/TWIN/UPD"]);
    client.publish("TNG/a/STATE/UPD", r#"{"state":{"n":1}}"#);
    assert_eq!(client.expect("TNG/a/TWIN/UPD", PATIENCE).json()["version"], 1);
    assert_eq!(program.terminate(), 0);
}

#[test]
fn a_manager_that_waits_for_its_database_ends_at_once_when_told() {
    let mut server = MariaDb::start();
    let url = server.fresh_schema();
    let broker = Broker::start();
    let complaint = |program: &Twinmgr| {
        wait_for("a complaint", PATIENCE * 2, || {
            program.output().contains("does not answer").then_some(())
        });
    };
    server.freeze();
    let mut program = Twinmgr::start(&broker, &url, &[]);
    wait_for("a start", PATIENCE, || program.output().contains("twinmgr").then_some(()));
    assert_eq!(program.terminate(), 0);
    server.thaw();
    server.stop();
    let mut program = Twinmgr::start(&broker, &url, &[]);
    complaint(&program);
    assert_eq!(program.terminate(), 0);
}

#[test]
fn a_manager_whose_database_hangs_ends_within_ten_seconds_all_the_same() {
    let mut outage = Outage::prepare(&[]);
    outage.server.freeze();
    for _ in 0..50 {
        outage.go_on();
    }
    outage.site.end();
    let output = outage.site.program.output();
    assert!(
        output.contains("; it is in the inbox, and is dealt with at the next start"),
        "{output}"
    );
    assert!(outage.told.is_empty(), "{:?}", outage.told);
    outage.server.thaw();
    outage.site.program.start_again();
    outage.site.ready();
    outage.check_all();
}
