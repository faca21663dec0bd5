//! What the committer's thread does: one transaction for each job, on a connection of its own.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use diesel::{RunQueryDsl, connection::SimpleConnection, dsl::sql, r2d2::R2D2Connection};

use super::{
    Change, StoreError, Target,
    connection::{self, Db},
    deleted,
    fault::Fault,
    lane::Work,
    lock::Lock,
    numbers,
    queue::{Batch, size},
    reach,
    rows::NewTwin,
    transaction, twins, untold,
};
use crate::protocol::ThingId;

/// One thing to write.
#[derive(Clone)]
pub(super) enum Write {
    Twins(Batch),
    /// These revisions are told.
    Told(Vec<(ThingId, u64)>),
    Session(i64),
    /// Nothing from before this epoch comes again.
    Forget(i64),
    /// Nothing: it keeps the connection, and shows whether it works.
    Ping,
}

/// A connection with the lock on it.
pub(super) struct Locked {
    db: Db,
    /// The most bytes that the server takes in one statement.
    packet: usize,
}

/// Bytes of a statement beside the texts of its rows: its SQL and the numbers, for each row.
const ROW_OVERHEAD: usize = 256;

/// The server gives up a silent connection after a minute, and the lock with it: a manager whose
/// machine has died is out of the next one's way by then.
const KEEP_SHORT: &str = "SET SESSION wait_timeout = 60";

impl Locked {
    pub(super) fn open(target: &Target, lock: &Lock) -> Result<Self, StoreError> {
        let mut db = connection::open(target)?;
        lock.take(target, &mut db)?;
        let packet = match &mut db {
            Db::Sqlite(_) => Ok(usize::MAX),
            Db::MySql(db) => db.batch_execute(KEEP_SHORT).and_then(|()| {
                diesel::select(sql::<diesel::sql_types::BigInt>(
                    "CAST(@@max_allowed_packet AS SIGNED)",
                ))
                .get_result(db)
                .map(|bytes: i64| usize::try_from(bytes).unwrap_or(usize::MAX))
            }),
        };
        let packet = packet.map_err(|error| StoreError::of_query(target, error))?;
        Ok(Self { db, packet })
    }

    pub(super) fn db(&mut self) -> &mut Db {
        &mut self.db
    }
}

/// Writes, and opens its connection again when it has lost it.
pub(super) struct Writer {
    target: Target,
    lock: Arc<Lock>,
    /// One that is open from the start, until it is first used.
    first: Option<Locked>,
    /// One on which all that is written is a [`transaction`]'s.
    connection: Option<Locked>,
    /// Whether the server was lost and has not said anything since.
    suspect: bool,
}

impl Writer {
    pub(super) fn new(target: Target, lock: Arc<Lock>, first: Option<Locked>) -> Self {
        let suspect = first.is_none();
        Self { target, lock, first, connection: None, suspect }
    }

    fn attempt(&mut self, job: &Write, abandoned: &AtomicBool) -> Result<(), Fault> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let connection = self.connection.insert(connection);
        let result = match job {
            Write::Twins(batch) => write(connection, batch, abandoned),
            Write::Told(told) => {
                transaction::run(&mut connection.db, abandoned, |db| untold::clear(db, told))
            }
            Write::Forget(epoch) => {
                transaction::run(&mut connection.db, abandoned, |db| deleted::forget(db, *epoch))
            }
            Write::Session(number) => transaction::run(&mut connection.db, abandoned, |db| {
                numbers::put(db, numbers::SESSION, *number)
            }),
            Write::Ping => connection.db.ping().map_err(Fault::from),
        };
        if connection.db.is_broken() || matches!(result, Err(Fault::Lost(_) | Fault::Away(_))) {
            self.connection = None;
            self.suspect = true;
        }
        result
    }

    fn connect(&mut self) -> Result<Locked, Fault> {
        let mut connection = match self.first.take() {
            Some(connection) => connection,
            None => self.reconnect()?,
        };
        transaction::prepare(&mut connection.db).inspect_err(|_| self.suspect = true)?;
        Ok(connection)
    }

    fn reconnect(&mut self) -> Result<Locked, Fault> {
        if self.suspect {
            reach::greeting(&self.target)?;
        }
        let opened = Locked::open(&self.target, &self.lock);
        self.suspect = matches!(opened, Err(StoreError::Unreachable { .. }));
        Ok(opened?)
    }
}

impl Work for Writer {
    type Job = Write;
    type Done = ();

    /// A connection that was lost while nobody looked is no fault of the database: one more try.
    fn run(&mut self, job: &Write, abandoned: &AtomicBool) -> Result<(), Fault> {
        let was_open = self.first.is_some() || self.connection.is_some();
        match self.attempt(job, abandoned) {
            Err(Fault::Lost(_)) if was_open && !abandoned.load(Ordering::Acquire) => {
                self.attempt(job, abandoned)
            }
            result => result,
        }
    }
}

/// Commits a batch. A single twin counts as refused only if the database takes something else.
fn write(connection: &mut Locked, batch: &Batch, abandoned: &AtomicBool) -> Result<(), Fault> {
    let bytes: usize = batch.iter().map(|commit| size(commit) + ROW_OVERHEAD).sum();
    let result = if bytes > connection.packet {
        let packet = connection.packet;
        Err(Fault::Refused(format!("{bytes} bytes, and max_allowed_packet is {packet}")))
    } else {
        put_all(&mut connection.db, batch, abandoned)
    };
    if let (Err(Fault::Refused(_)), [_]) = (&result, batch.as_slice()) {
        transaction::run(&mut connection.db, abandoned, |db| numbers::put(db, numbers::PROBE, 1))
            .map_err(|fault| Fault::Away(fault.reason().to_owned()))?;
    }
    result
}

fn put_all(db: &mut Db, batch: &Batch, abandoned: &AtomicBool) -> Result<(), Fault> {
    let mut rows = Vec::with_capacity(batch.len());
    let mut deletes = Vec::new();
    for commit in batch {
        match &commit.change {
            Change::Put(record) => {
                let (revision, applied) = (commit.revision, commit.applied);
                rows.push(NewTwin::new(&commit.id, record, revision, applied));
            }
            Change::Delete => deletes.push(commit),
        }
    }
    transaction::run(db, abandoned, |db| {
        for commit in deletes {
            twins::delete(db, &commit.id, commit.revision)?;
            deleted::put(db, &commit.id, commit.applied)?;
        }
        twins::put(db, &rows)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::queue::tests::commit_of;

    fn put(id: &str) -> Batch {
        let record = crate::twin::Twin::new().to_record();
        vec![commit_of(id, 5, Change::Put(Box::new(record)))]
    }

    /// What it would write may have been deleted by the one in its place.
    #[actix::test]
    async fn an_abandoned_writer_writes_nothing_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let target = Target::Sqlite(folder.path().join("x.sqlite"));
        let lock = Arc::new(Lock::new(&target).unwrap());
        let mut open = Locked::open(&target, &lock).unwrap();
        crate::store::migrations::run(&target, open.db()).unwrap();
        let mut writer = Writer::new(target, lock, Some(open));
        let abandoned = AtomicBool::new(true);
        for batch in [put("a"), [put("b"), put("c")].concat()] {
            let fault = writer.run(&Write::Twins(batch), &abandoned).unwrap_err();
            assert!(matches!(fault, Fault::Away(_)), "{}", fault.reason());
        }
        abandoned.store(false, Ordering::Relaxed);
        writer.run(&Write::Twins(put("d")), &abandoned).unwrap();
        let db = writer.connection.as_mut().unwrap().db();
        let ids: Vec<_> = twins::ids(db).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(ids, ["d"]);
    }
}
