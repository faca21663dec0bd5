//! A store, with tapes for all that it answers.

use std::{future::Future, time::Duration};

use actix::prelude::*;
use diesel::{
    Connection, MysqlConnection, QueryableByName, RunQueryDsl, SqliteConnection,
    connection::SimpleConnection, sql_query, sql_types,
};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use twinthing::{
    protocol::ThingId,
    store::{
        Applied, Change, Commit, Committed, Health, ListUnsettled, Load, Loaded, Opening, Row,
        Store, StoreSettings, Target, Told, Unsettled, start,
    },
    twin::Record,
};

use crate::mariadb::MariaDb;

/// Makes two tests of a function that takes a [`Place`]: one for each database.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod in_sqlite {
            $(#[test] fn $name() { super::$name(&$crate::bench::Place::sqlite()); })+
        }
        mod in_mariadb {
            $(#[test] fn $name() { super::$name(&$crate::bench::Place::mariadb()); })+
        }
    };
}

/// An empty database, and a look into it past the store.
pub struct Place {
    pub target: Target,
    _folder: Option<TempDir>,
}

#[derive(QueryableByName)]
struct Text {
    #[diesel(sql_type = sql_types::Nullable<sql_types::Text>)]
    text: Option<String>,
}

impl Place {
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let target = Target::Sqlite(folder.path().join("data/twins.db"));
        Self { target, _folder: Some(folder) }
    }

    pub fn mariadb() -> Self {
        Self::in_schema(MariaDb::shared().fresh_schema())
    }

    pub fn in_schema(url: String) -> Self {
        Self { target: Target::parse(&url).unwrap(), _folder: None }
    }

    pub fn is_mariadb(&self) -> bool {
        matches!(self.target, Target::MySql(_))
    }

    pub fn execute(&self, sql: &str) {
        match &self.target {
            Target::Sqlite(path) => {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                let mut db = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
                db.batch_execute(sql).unwrap();
            }
            Target::MySql(url) => {
                MysqlConnection::establish(url).unwrap().batch_execute(sql).unwrap();
            }
        }
    }

    /// The texts of a query's column, which has the name `text`.
    pub fn texts(&self, sql: &str) -> Vec<Option<String>> {
        let query = sql_query(sql);
        let rows: Vec<Text> = match &self.target {
            Target::Sqlite(path) => query
                .load(&mut SqliteConnection::establish(path.to_str().unwrap()).unwrap())
                .unwrap(),
            Target::MySql(url) => {
                query.load(&mut MysqlConnection::establish(url).unwrap()).unwrap()
            }
        };
        rows.into_iter().map(|row| row.text).collect()
    }

    pub fn settings(&self) -> StoreSettings {
        StoreSettings {
            target: self.target.clone(),
            batch_rows: 100,
            batch_bytes: 4 << 20,
            commit_timeout: Duration::from_secs(10),
        }
    }
}

/// Hands every message on to a test.
struct Tape<M>(UnboundedSender<M>);

impl<M: Unpin + 'static> Actor for Tape<M> {
    type Context = Context<Self>;
}

impl<M: Message<Result = ()> + Send + Unpin + 'static> Handler<M> for Tape<M> {
    type Result = ();

    fn handle(&mut self, message: M, _: &mut Context<Self>) {
        self.0.send(message).ok();
    }
}

fn tape<M>() -> (Recipient<M>, UnboundedReceiver<M>)
where
    M: Message<Result = ()> + Send + Unpin + 'static,
{
    let (sender, receiver) = unbounded_channel();
    (Tape(sender).start().recipient(), receiver)
}

/// Runs a test that needs actors.
pub fn run(test: impl Future<Output = ()>) {
    System::new().block_on(test);
}

pub struct Bench {
    pub store: Addr<Store>,
    pub opening: Opening,
    pub committed: UnboundedReceiver<Committed>,
    pub health: UnboundedReceiver<Health>,
    reply: Recipient<Committed>,
}

impl Bench {
    pub fn start(place: &Place) -> Self {
        Self::with(place.settings())
    }

    /// Starts at this epoch or a later one.
    pub fn at(place: &Place, epoch: i64) -> Self {
        Self::start_with(place.settings(), epoch)
    }

    pub fn with(settings: StoreSettings) -> Self {
        Self::start_with(settings, 7)
    }

    fn start_with(settings: StoreSettings, epoch: i64) -> Self {
        let (listener, health) = tape();
        let (reply, committed) = tape();
        let (store, opening) = start(settings, epoch, listener).unwrap();
        Self { store, opening, committed, health, reply }
    }

    pub fn commit(&self, name: &str, record: Record) {
        self.change(name, record.revision, Change::Put(Box::new(record)));
    }

    pub fn change(&self, name: &str, revision: u64, change: Change) {
        self.store.do_send(Commit {
            id: id(name),
            revision,
            change,
            applied: Applied { epoch: 7, number: revision },
            reply: self.reply.clone(),
        });
    }

    /// Waits for this answer; others that come before it are passed over.
    pub async fn answer(&mut self, name: &str, revision: u64) -> Committed {
        loop {
            let answer = next(&mut self.committed).await;
            if answer.id == id(name) && answer.revision >= revision {
                return answer;
            }
        }
    }

    pub async fn load(&self, name: &str) -> Option<Row> {
        self.loaded(name).await.row
    }

    /// Says that a twin is told up to this revision.
    pub fn told(&self, name: &str, revision: u64) {
        self.store.do_send(Told { id: id(name), revision });
    }

    pub async fn loaded(&self, name: &str) -> Loaded {
        let (reply, mut loaded) = tape::<Loaded>();
        self.store.do_send(Load { id: id(name), after_commits: false, reply });
        let answer = next(&mut loaded).await;
        assert_eq!(answer.id, id(name));
        answer
    }

    pub async fn unsettled(&self, after: Option<&str>, limit: usize) -> Vec<String> {
        let (reply, mut pages) = tape::<Unsettled>();
        self.store.do_send(ListUnsettled { after: after.map(id), limit, reply });
        next(&mut pages).await.0.iter().map(ToString::to_string).collect()
    }
}

/// Waits for a message, at most 30 s.
pub async fn next<M>(tape: &mut UnboundedReceiver<M>) -> M {
    tokio::time::timeout(Duration::from_secs(30), tape.recv()).await.expect("no message").unwrap()
}

/// Looks every 10 ms, at most 30 s.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let looks = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let held = tokio::time::timeout(Duration::from_secs(30), looks).await;
    assert!(held.is_ok(), "not within 30 s: {what}");
}

pub fn id(name: &str) -> ThingId {
    name.parse().unwrap()
}

/// A twin that shows its revision in a document.
pub fn record(revision: u64) -> Record {
    Record {
        reported: format!(r#"{{"revision":{revision}}}"#),
        reported_meta: r#"{"revision":{"at":1}}"#.into(),
        desired: r#"{"an 'odd' \"one\"":"100 % \\ 😀"}"#.into(),
        desired_meta: "{}".into(),
        declined: r#"{"é":null}"#.into(),
        declined_meta: r#"{"é":{"at":2}}"#.into(),
        version: revision.saturating_sub(1).max(1),
        revision,
        sent: r#"{"trn":5}"#.into(),
        online: [None, Some(true), Some(false)][usize::try_from(revision % 3).unwrap()],
        session: 12,
        unsettled: revision.is_multiple_of(2),
    }
}
