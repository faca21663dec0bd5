//! What a case runs on: a broker, a database with twins in it, and the manager as it is by default.

use std::{fs, path::Path, time::Duration};

use serde_json::json;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::support::{
    broker::Broker,
    client::Client,
    database::{Database, Direct},
    program::Twinmgr,
};

/// How many twins go into the database in one statement.
const CHUNK: usize = 1000;

/// A manager that takes none of a processor for so long has nothing left to do.
const REST: Duration = Duration::from_millis(400);

/// What lies in the database before the case begins.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stored {
    /// How many twins.
    pub twins: usize,
    /// How many members each has; at least 5.
    pub members: usize,
    /// Whether something is asked of each.
    pub is_pending: bool,
    /// Whether they are the members of the group `all`.
    pub is_group: bool,
}

/// All that a case needs.
pub struct Ground {
    pub program: Twinmgr,
    pub broker: Broker,
    pub url: String,
    _folder: TempDir,
}

/// The id of a thing.
pub fn id(number: usize) -> String {
    format!("n{number:07}")
}

/// The members of a thing's state beside its trn.
pub fn state(number: usize, members: usize) -> serde_json::Value {
    let mut state = json!({
        "trn": 1, "n": 0, "temp": number % 100, "hum": 40.5, "name": format!("number {number}"), "on": true,
    });
    for more in 5..members.max(5) {
        state[format!("member{more:03}")] = json!(more);
    }
    state
}

impl Ground {
    /// Starts all, and waits until the manager answers.
    pub fn prepare(database: &Database, stored: &Stored, settings: &[(&str, &str)]) -> Self {
        let (broker, folder) = (Broker::start(), tempfile::tempdir().unwrap());
        let url = database.fresh_url(folder.path());
        let mut all = vec![("LOGLEVEL", "info")];
        all.extend(settings);
        let mut program = Twinmgr::start(&broker, &url, &all);
        ready(&mut program, &broker);
        if stored.twins > 0 {
            // What is put beside a manager at work might be what it knows to be absent.
            assert_eq!(program.terminate(), 0);
            store(&url, stored);
            program.start_again();
            ready(&mut program, &broker);
        }
        Self { program, broker, url, _folder: folder }
    }

    /// Waits until the manager answers.
    pub fn ready(&mut self) {
        ready(&mut self.program, &self.broker);
    }

    /// The time of a processor that the manager has had.
    pub fn cpu(&self) -> Duration {
        cpu_of(self.program.pid())
    }

    /// Waits until the manager has done what is left of its turn, so that it does not fall into the other's: what it
    /// was told, and has told, is written down by then.
    pub async fn rest(&self) {
        let (mut had, mut since) = (self.cpu(), Instant::now());
        while since.elapsed() < REST {
            sleep(Duration::from_millis(20)).await;
            let has = self.cpu();
            if has > had {
                (had, since) = (has, Instant::now());
            }
        }
    }
}

fn ready(program: &mut Twinmgr, broker: &Broker) {
    program.ready(&mut Client::connect(broker.port()));
}

/// The time of a processor that a process has had, to 10 ms.
fn cpu_of(process: u32) -> Duration {
    let stat =
        fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks: u64 = [11, 12].map(|at| fields[at].parse::<u64>().unwrap()).iter().sum();
    Duration::from_millis(ticks * 10)
}

/// Puts twins into the database.
fn store(url: &str, stored: &Stored) {
    let mut direct = Direct::to(url);
    if stored.is_group {
        let ids: Vec<_> = (0..stored.twins).map(id).collect();
        direct.join("all", &ids);
    }
    let columns =
        "clientId, reported, reportedMeta, desired, desiredMeta, unsettled, version, revision";
    let (desired, desired_meta, unsettled) = if stored.is_pending {
        (r#"{"trn":2,"want":0}"#, r#"{"timestamp":1,"trn":1,"want":1}"#, 1)
    } else {
        ("{}", r#"{"timestamp":1}"#, 0)
    };
    direct.execute("BEGIN", "START TRANSACTION");
    for from in (0..stored.twins).step_by(CHUNK) {
        let row = |number: usize| {
            let reported = state(number, stored.members);
            let mut meta = reported.clone();
            meta.as_object_mut()
                .unwrap()
                .values_mut()
                .for_each(|value| *value = json!(1_790_000_000_000_000_000_u64));
            meta["timestamp"] = json!(1_790_000_000_000_000_000_u64);
            let id = id(number);
            format!(
                "('{id}', '{reported}', '{meta}', '{desired}', '{desired_meta}', {unsettled}, 1, 1)"
            )
        };
        let rows: Vec<_> = (from..stored.twins.min(from + CHUNK)).map(row).collect();
        let sql = format!("INSERT INTO twin ({columns}) VALUES {}", rows.join(", "));
        direct.execute(&sql, &sql);
    }
    direct.execute("COMMIT", "COMMIT");
}
