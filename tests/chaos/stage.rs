//! The broker, the database and the manager of a run, and what can be done to them.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::Duration,
};

use diesel::{Connection, MysqlConnection, SqliteConnection, connection::SimpleConnection};

use super::{
    cast::Ports,
    clients::{CLIENTS, first_things},
    faults::Step,
    log::{Event, Fault, Log},
    wire::{group, id},
};
use crate::support::{
    broker::Broker,
    client::Client,
    database::{Direct, sqlite_url},
    mariadb::MariaDb,
    program::Twinmgr,
    proxy::Proxy,
};

/// How many proxies some of the things and clients go through.
const PROXIES: usize = 2;

/// The database of a run.
pub enum Base {
    Sqlite,
    MariaDb(MariaDb),
}

/// All that a run takes place on.
pub struct Stage {
    pub program: Twinmgr,
    pub url: String,
    broker: Broker,
    base: Base,
    to_manager: Proxy,
    to_peers: Vec<Proxy>,
    log: Arc<Log>,
    /// Nobody ever sends: waiting for it is a pause.
    clock: (Sender<()>, Receiver<()>),
    /// How often the manager ended by itself and was started again.
    pub ended_by_itself: usize,
}

impl Stage {
    /// Starts all of it, with more lines for the broker's configuration, and waits until the manager answers. Each client
    /// has a group.
    pub fn start(base: Base, broker_lines: &str, log: &Arc<Log>, things: usize) -> Self {
        let broker = Broker::start_with(broker_lines);
        let folder = tempfile::tempdir().unwrap();
        let url = match &base {
            Base::Sqlite => sqlite_url(folder.path()),
            Base::MariaDb(server) => server.fresh_schema(),
        };
        let to_manager = Proxy::start(broker.port());
        let to_peers = (0..PROXIES).map(|_| Proxy::start(broker.port())).collect();
        let settings = [
            ("TWIN_RETRY", "1"),
            ("TWIN_RETRIES", "20"),
            ("TWIN_COMMIT_TIMEOUT", "2"),
            ("TWIN_STATS", "1"),
            ("LOGLEVEL", "info"),
        ];
        let mut program = Twinmgr::start_in(folder, to_manager.port(), &url, &settings);
        program.ready(&mut Client::connect(broker.port()));
        let mut database = Direct::to(&url);
        for client in 0..CLIENTS {
            let members: Vec<_> = first_things(client, things).map(id).collect();
            database.join(&group(client), &members);
        }
        let log = Arc::clone(log);
        let clock = channel();
        Self { program, url, broker, base, to_manager, to_peers, log, clock, ended_by_itself: 0 }
    }

    /// Waits until the manager answers.
    pub fn ready(&mut self) {
        self.program.ready(&mut Client::connect(self.broker.port()));
    }

    /// Where the others connect to.
    pub fn ports(&self) -> Ports {
        let proxies = self.to_peers.iter().map(Proxy::port).collect();
        Ports { direct: self.broker.port(), proxies }
    }

    /// Gives the database back.
    pub fn into_base(self) -> Base {
        self.base
    }

    /// The faults that this stage can have, with a broker that keeps what it took.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = vec![
            Fault::KillManager,
            Fault::KillManager,
            Fault::KillManager,
            Fault::FreezeManager,
            Fault::CutManager,
            Fault::HoldManager,
            Fault::FreezeDatabase,
            Fault::FreezeDatabase,
            Fault::FreezeBroker,
            Fault::EndBroker,
            Fault::CutPeers,
        ];
        if let Base::MariaDb(_) = self.base {
            faults.push(Fault::KillDatabase);
        }
        faults
    }

    /// Lets time go by.
    pub fn pause(&self, span: Duration) {
        let waited = self.clock.1.recv_timeout(span);
        assert_eq!(waited, Err(RecvTimeoutError::Timeout));
    }

    /// Does what the step says, from its pause to its end.
    pub fn perform(&mut self, step: &Step) {
        self.pause(step.pause);
        let fault = step.fault;
        self.log.push(Event::Began { fault });
        let held = self.begin(fault);
        self.pause(step.span / 2);
        if step.kills {
            self.log.push(Event::Began { fault: Fault::KillManager });
            self.program.kill();
            self.program.start_again();
        }
        self.pause(step.span / 2);
        drop(held);
        self.end(fault);
        self.log.push(Event::Ended { fault });
        if step.kills {
            self.log.push(Event::Ended { fault: Fault::KillManager });
        }
        self.revive();
    }

    /// Begins a fault. What SQLite is held by is let go when it is dropped.
    fn begin(&mut self, fault: Fault) -> Option<SqliteConnection> {
        match fault {
            Fault::KillManager => self.program.kill(),
            Fault::FreezeManager => self.program.freeze(),
            Fault::CutManager => self.to_manager.cut(),
            Fault::HoldManager => self.to_manager.hold(),
            Fault::FreezeBroker => self.broker.freeze(),
            Fault::EndBroker => self.broker.stop(),
            Fault::KillBroker => self.broker.kill(),
            Fault::CutPeers => self.to_peers.iter().for_each(Proxy::cut),
            Fault::FreezeDatabase | Fault::KillDatabase => match &mut self.base {
                Base::MariaDb(server) if fault == Fault::KillDatabase => server.stop(),
                Base::MariaDb(server) => server.freeze(),
                Base::Sqlite => return Some(hold(&self.url)),
            },
        }
        None
    }

    fn end(&mut self, fault: Fault) {
        match fault {
            Fault::KillManager => self.program.start_again(),
            Fault::FreezeManager => self.program.thaw(),
            Fault::CutManager => self.to_manager.mend(),
            Fault::HoldManager => self.to_manager.let_go(),
            Fault::FreezeBroker => self.broker.thaw(),
            Fault::EndBroker | Fault::KillBroker => self.broker.run(),
            Fault::CutPeers => self.to_peers.iter().for_each(Proxy::mend),
            Fault::FreezeDatabase | Fault::KillDatabase => match &mut self.base {
                Base::MariaDb(server) if fault == Fault::KillDatabase => server.restart(),
                Base::MariaDb(server) => server.thaw(),
                Base::Sqlite => {}
            },
        }
    }

    /// Does what a supervisor would: starts a manager again that has ended by itself.
    fn revive(&mut self) {
        if self.program.has_ended().is_some() {
            self.ended_by_itself += 1;
            self.program.start_again();
        }
    }

    /// Keeps SQLite from taking anything until what this gives is dropped.
    pub fn hold_database(&self) -> SqliteConnection {
        hold(&self.url)
    }

    /// Runs these statements on the database, while no manager does.
    pub fn sql(&self, statements: &str) {
        match &self.base {
            Base::MariaDb(_) => {
                MysqlConnection::establish(&self.url).unwrap().batch_execute(statements).unwrap();
            }
            Base::Sqlite => connect(&self.url).batch_execute(statements).unwrap(),
        }
    }
}

/// SQLite has no server that could be frozen: another who writes holds it up just so.
fn hold(url: &str) -> SqliteConnection {
    let mut connection = connect(url);
    connection.batch_execute("BEGIN IMMEDIATE").unwrap();
    connection
}

fn connect(url: &str) -> SqliteConnection {
    let mut connection = SqliteConnection::establish(url.trim_start_matches("sqlite://")).unwrap();
    connection.batch_execute("PRAGMA busy_timeout = 10000").unwrap();
    connection
}
