//! Database and inbox are copied while the manager runs, and restored: by the very commands of
//! docs/operations.md.
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

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use diesel::{Connection, SqliteConnection, connection::SimpleConnection};
use memchr::memmem;
use serde_json::{Value, json};
use support::{
    broker::Broker,
    client::Client,
    mariadb::MariaDb,
    program::Twinmgr,
    site::{PATIENCE, Site, pair},
    wait_for,
};
use tempfile::TempDir;
use twinthing::mqtt::Entry;

/// How many things report and are asked.
const THINGS: usize = 20;
/// How many messages may be unanswered by the manager.
const AHEAD: usize = 300;
/// What a report carries besides its number, in bytes: what waits is half of the inbox's file, and then more than
/// all of it, so that it grows.
const PADS: [usize; 2] = [25_000, 60_000];
/// The longest wait for a backup, and for what the manager does under load.
const LONG: Duration = Duration::from_secs(60);

/// Where twins are kept, and the home folder of those who run the commands.
struct Tools {
    server: Option<MariaDb>,
    home: TempDir,
}

/// An inbox's folder and a database's URL, and what the commands call them.
struct At {
    data: PathBuf,
    schema: String,
    url: String,
}

impl Tools {
    fn sqlite() -> Self {
        Self { server: None, home: tempfile::tempdir().unwrap() }
    }

    fn mariadb() -> Self {
        let (server, home) = (MariaDb::start(), tempfile::tempdir().unwrap());
        let url = server.url();
        let port = url.rsplit(':').next().unwrap().split('/').next().unwrap();
        let lines = format!(
            "[client]\nprotocol=tcp\nhost=127.0.0.1\nport={port}\nuser=manager\npassword=\"p@ss:/word\"\n"
        );
        fs::write(home.path().join(".my.cnf"), lines).unwrap();
        Self { server: Some(server), home }
    }

    /// A data folder that is not there yet, and a database that is empty or not there.
    fn fresh(&self, folder: &TempDir) -> At {
        let data = folder.path().join("data");
        let url = match &self.server {
            Some(server) => server.fresh_schema(),
            None => format!("sqlite://{}", data.join("twins.sqlite").display()),
        };
        let schema = url.rsplit('/').next().unwrap().to_owned();
        At { data, schema, url }
    }

    /// Starts the commands that the page has for this, `backup` or `restore`.
    fn start(&self, what: &str, at: &At, backup: &Path) -> Child {
        let with = if self.server.is_some() { "MariaDB or MySQL" } else { "SQLite" };
        Command::new("sh")
            .args(["-c", &commands(&format!("{what} with {with}"))])
            .env("HOME", self.home.path())
            .env("data", &at.data)
            .env("schema", &at.schema)
            .env("backup", backup)
            .spawn()
            .unwrap()
    }

    fn run(&self, what: &str, at: &At, backup: &Path) {
        assert!(self.start(what, at, backup).wait().unwrap().success(), "{what}");
    }

    /// Keeps the database from taking anything in, during what is done.
    fn hold<T>(&self, at: &At, during: impl FnOnce(&dyn Fn()) -> T) -> T {
        match &self.server {
            Some(server) => {
                server.freeze();
                let done = during(&|| server.thaw());
                server.thaw();
                done
            }
            None => {
                let path = at.url.strip_prefix("sqlite://").unwrap();
                let mut db = SqliteConnection::establish(path).unwrap();
                db.batch_execute("PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE").unwrap();
                let done = during(&|| {});
                db.batch_execute("ROLLBACK").unwrap();
                done
            }
        }
    }
}

/// The block of the page that begins with this as its comment.
fn commands(title: &str) -> String {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md"));
    let page = page.unwrap();
    let (_, block) = page.split_once(&format!("```sh\n# {title}\n")).unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

/// Reports and SETs with rising numbers, in turns, as fast as the manager answers them.
struct Load {
    numbers: Arc<Numbers>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Numbers {
    stop: AtomicBool,
    pad: AtomicUsize,
    sent: AtomicUsize,
    acknowledged: AtomicUsize,
    answered: AtomicUsize,
}

impl Load {
    fn start(port: u16) -> Self {
        let numbers = Arc::<Numbers>::default();
        numbers.pad.store(PADS[0], Ordering::Relaxed);
        let theirs = Arc::clone(&numbers);
        let thread = thread::spawn(move || theirs.run(Client::connect(port)));
        Self { numbers, thread }
    }

    /// Waits for so many answers more.
    fn wait_for(&self, more: usize) {
        let from = self.numbers.answered.load(Ordering::Relaxed);
        wait_for(&format!("{more} more answers"), LONG, || {
            (self.numbers.answered.load(Ordering::Relaxed) >= from + more).then_some(())
        });
    }

    /// Waits until nothing more is sent, since nothing is answered.
    fn wait_until_held(&self) {
        wait_for("messages that wait", LONG, || {
            let answered = self.numbers.answered.load(Ordering::Relaxed);
            (self.numbers.acknowledged.load(Ordering::Relaxed) >= answered + AHEAD).then_some(())
        });
    }

    /// How many messages the manager has for certain, and has acknowledged to the broker.
    fn delivered(&self, site: &mut Site) -> usize {
        let acknowledged = self.numbers.acknowledged.load(Ordering::Relaxed);
        // A PING after them: the broker keeps the order.
        site.ready();
        acknowledged
    }

    fn end(self) -> usize {
        self.numbers.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.numbers.sent.load(Ordering::Relaxed)
    }
}

impl Numbers {
    fn run(&self, mut client: Client) {
        client.subscribe(&["TNG/+/TWIN/UPD"]);
        let (mut sent, mut answered) = (0, 0);
        while !self.stop.load(Ordering::Relaxed) {
            if sent < answered + AHEAD {
                let (id, number) = (sent / 2 % THINGS, sent / 2);
                if sent % 2 == 0 {
                    let pad = "x".repeat(self.pad.load(Ordering::Relaxed));
                    let report =
                        json!({"delta": {reported(number): number, "pad": pad}}).to_string();
                    client.send(&format!("TNG/t{id}/STATE/UPD"), report);
                } else {
                    let set = json!({"set": {asked(number): number}}).to_string();
                    client.send(&format!("TNG/t{id}/TWIN/SET"), set);
                }
                sent += 1;
            }
            let patience = Duration::from_millis(if sent < answered + AHEAD { 0 } else { 10 });
            while client.recv(patience).is_some() {
                answered += 1;
            }
            self.sent.store(sent, Ordering::Relaxed);
            self.acknowledged.store(sent - client.unacknowledged(), Ordering::Relaxed);
            self.answered.store(answered, Ordering::Relaxed);
        }
    }
}

/// How an inbox's copy was: entries that are not over, and whether the ring went around.
fn look_at(copy: &Path) -> (usize, bool, u64) {
    let bytes = fs::read(copy).unwrap();
    let places = memmem::find_iter(&bytes, b"twinmsg");
    let found = places.filter_map(|at| Some((at, Entry::from_bytes(&bytes[at..]).ok()?)));
    let mut found: Vec<_> = found.collect();
    found.sort_by_key(|(_, entry)| entry.place);
    let Some((last, newest)) = found.last() else { return (0, false, 0) };
    let live = found.iter().filter(|(_, entry)| entry.place >= newest.oldest);
    let is_around = live.clone().any(|(at, _)| at > last);
    (live.count(), is_around, bytes.len() as u64 >> 20)
}

/// A manager at this broker, on what was restored, when it has done what was left in the inbox.
fn restore(tools: &Tools, backup: &Path, broker: Broker) -> Site {
    const BARRIER: &str = "TNG/barrier/TPC/RES/1";
    let folder = tempfile::tempdir().unwrap();
    let to = tools.fresh(&folder);
    tools.run("restore", &to, backup);
    let settings = [("TWIN_RETRY", "1000"), ("LOGLEVEL", "info")];
    let program = Twinmgr::start_in(folder, broker.port(), &to.url, &settings);
    let mut site = Site { client: Client::connect(broker.port()), program, broker, url: to.url };
    site.ready();
    site.client.subscribe(&[BARRIER]);
    site.client.request("TNG/nobody/TWIN/GET", "{}", BARRIER, b"");
    site.client.expect(BARRIER, LONG);
    site.client = Client::connect(site.broker.port());
    site.client.subscribe_to_others();
    site
}

/// A backup, with how many messages the manager had when it began.
struct Taken {
    folder: PathBuf,
    delivered: usize,
}

fn nothing_that_came_before_a_backup_is_missing_after_the_restore(tools: &Tools) {
    let (folder, backups) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = tools.fresh(&folder);
    let broker = Broker::start();
    let settings = [("TWIN_RETRY", "1000"), ("TWIN_UNDER_WAY", "50"), ("LOGLEVEL", "info")];
    let program = Twinmgr::start_in(folder, broker.port(), &at.url, &settings);
    let client = Client::connect(broker.port());
    let mut site = Site { client, program, broker, url: at.url.clone() };
    site.ready();
    let load = Load::start(site.broker.port());
    let mut taken = Vec::new();
    for round in 0..5 {
        load.numbers.pad.store(PADS[usize::from(round > 2)], Ordering::Relaxed);
        load.wait_for(1 + round * 150);
        let folder = backups.path().join(format!("{round}"));
        let delivered = if round % 3 == 1 {
            tools.hold(&at, |let_go| {
                load.wait_until_held();
                let delivered = load.delivered(&mut site);
                let mut backup = tools.start("backup", &at, &folder);
                wait_for("the turn of the database", LONG, || {
                    fs::read_dir(&folder)
                        .is_ok_and(|files| files.count() > usize::from(tools.server.is_some()))
                        .then_some(())
                });
                let_go();
                assert!(backup.wait().unwrap().success());
                delivered
            })
        } else {
            let delivered = load.delivered(&mut site);
            tools.run("backup", &at, &folder);
            delivered
        };
        taken.push(Taken { folder, delivered });
    }
    load.wait_for(100);
    site.program.kill();
    let sent = load.end();
    site.broker.kill();
    drop(site);
    let looks: Vec<_> = taken.iter().map(|it| look_at(&it.folder.join("inbox"))).collect();
    println!("{sent} messages; copies of the inbox (not over, went around, MiB): {looks:?}");
    assert!(looks[1].0 > AHEAD / 2 && looks[4].0 > AHEAD / 2, "both were made over a backlog");
    assert!(looks.iter().any(|(_, is_around, _)| *is_around), "the ring went around in one");
    for (round, Taken { folder, delivered }) in taken.iter().enumerate() {
        let from = Instant::now();
        let mut first = restore(tools, folder, Broker::start());
        let twins = twins(&mut first);
        check(&twins, *delivered);
        println!(
            "backup {round}: {delivered} messages before it, restored in {:?}",
            from.elapsed()
        );
        assert_eq!(twins, self::twins(&mut restore(tools, folder, Broker::start())), "once more");
        goes_on(&mut first, &twins);
    }
}

fn twins(site: &mut Site) -> Vec<Value> {
    (0..THINGS).map(|id| site.twin(&format!("t{id}"))).collect()
}

/// Each report and each SET leaves a member of its own, so that none can hide behind a later one.
fn reported(number: usize) -> String {
    format!("r{number}")
}

fn asked(number: usize) -> String {
    format!("a{number}")
}

/// All that came before is there.
fn check(twins: &[Value], delivered: usize) {
    for number in 0..delivered.div_ceil(2) {
        let (id, twin) = (number % THINGS, &twins[number % THINGS]);
        // The reports are the messages 0, 2, 4 and so on, and the SETs those between.
        assert_eq!(twin["reported"][reported(number)], number, "report {number} of t{id}");
        if 2 * number + 1 < delivered {
            assert_eq!(twin["desired"][asked(number)], number, "SET {number} of t{id}");
        }
    }
}

/// New messages are not taken for old ones.
fn goes_on(site: &mut Site, twins: &[Value]) {
    for (id, before) in twins.iter().enumerate().take(5) {
        let id = format!("t{id}");
        site.say(&id, "STATE/UPD", &json!({"delta": {"new": 1}}));
        site.set(&id, &json!({"newer": 2}));
        let twin = site.twin(&id);
        assert_eq!((&twin["reported"]["new"], &twin["desired"]["newer"]), (&json!(1), &json!(2)));
        assert_eq!(twin["version"].as_u64(), before["version"].as_u64().map(|version| version + 2));
    }
}

/// At a broker that lives on: what it holds is delivered, and of no thing is known whether it is there.
fn a_broker_that_lives_on_delivers_what_it_holds_and_presence_is_asked_anew(tools: &Tools) {
    let (folder, backups) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (at, backup) = (tools.fresh(&folder), backups.path().join("1"));
    let broker = Broker::start();
    let program = Twinmgr::start_in(folder, broker.port(), &at.url, &[]);
    let mut client = Client::connect(broker.port());
    client.subscribe_to_others();
    let mut site = Site { client, program, broker, url: at.url.clone() };
    site.ready();
    let state = json!({"trn": 1, "text": "Grüße \u{1f506} \\ ' \" \u{0}"});
    for id in ["lamp", "Lämp \u{1f506}'"] {
        site.report(id, &state);
        assert_eq!(site.twin(id)["online"], true);
    }
    let other = site.twin("Lämp \u{1f506}'");
    site.say("lamp", "LC/OFF", &json!({"online": 0}));
    let twin = wait_for("the lamp's going", PATIENCE, || {
        let twin = site.twin("lamp");
        (twin["online"] == false).then_some(twin)
    });
    tools.run("backup", &at, &backup);
    site.say("lamp", "LC/ON", &json!({"online": 1}));
    site.client.expect("TNG/lamp/STATE/SET", PATIENCE);
    site.program.kill();
    let held = json!({"state": {"trn": 1, "text": "while nobody was there"}});
    site.say("held", "STATE/UPD", &held);
    let Site { broker, .. } = site;
    let mut site = restore(tools, &backup, broker);
    assert_eq!(site.twin("held")["reported"], held["state"]);
    for (id, before) in [("lamp", twin), ("Lämp \u{1f506}'", other)] {
        let mut wanted = before.clone();
        wanted["online"] = Value::Null;
        assert_eq!(site.twin(id), wanted);
    }
    site.set("lamp", &json!({"on": true}));
    let delta = pair("TNG/lamp/STATE/SET", json!({"delta": {"trn": 2, "on": true}}));
    assert!(site.said("lamp").contains(&delta), "it is asked, though it was away at the backup");
}

mod on_sqlite {
    use super::*;

    #[test]
    fn nothing_that_came_before_a_backup_is_missing_after_the_restore() {
        super::nothing_that_came_before_a_backup_is_missing_after_the_restore(&Tools::sqlite());
    }

    #[test]
    fn a_broker_that_lives_on_delivers_what_it_holds_and_presence_is_asked_anew() {
        super::a_broker_that_lives_on_delivers_what_it_holds_and_presence_is_asked_anew(
            &Tools::sqlite(),
        );
    }
}

mod on_mariadb {
    use super::*;

    #[test]
    fn nothing_that_came_before_a_backup_is_missing_after_the_restore() {
        super::nothing_that_came_before_a_backup_is_missing_after_the_restore(&Tools::mariadb());
    }

    #[test]
    fn a_broker_that_lives_on_delivers_what_it_holds_and_presence_is_asked_anew() {
        super::a_broker_that_lives_on_delivers_what_it_holds_and_presence_is_asked_anew(
            &Tools::mariadb(),
        );
    }
}
