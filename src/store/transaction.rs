//! Transactions of the connection that commits: on a server one takes a single journey beside its statements.
//!
//! diesel begins and ends a transaction of MySQL by three journeys each, for it lets the server take several statements
//! at once, and forbids it again. Here none begins one: a session without autocommit has each statement do so.

use std::sync::atomic::{AtomicBool, Ordering};

use diesel::{
    Connection, QueryResult, RunQueryDsl,
    connection::{SimpleConnection, TransactionManager},
    mysql::{Mysql, MysqlConnection},
    query_builder::{AstPass, QueryFragment, QueryId},
    r2d2::R2D2Connection,
};

use super::{connection::Db, fault::Fault};

/// Has [`run`] be the only one to end what statements on this connection do. A server that would not do so for it says so
/// here, where there is nothing to lose.
pub(super) fn prepare(db: &mut Db) -> Result<(), Fault> {
    let Db::MySql(db) = db else { return Ok(()) };
    let prepared = db.batch_execute("SET SESSION autocommit = 0").and_then(|()| Commit.execute(db));
    prepared.map(drop).map_err(|error| match Fault::from(error) {
        // It is nothing of ours that was refused.
        Fault::Refused(reason) => Fault::Away(reason),
        fault @ (Fault::Lost(_) | Fault::Away(_)) => fault,
    })
}

/// Runs `work` in a transaction, which an abandoned thread does not commit any more.
pub(super) fn run(
    db: &mut Db,
    abandoned: &AtomicBool,
    work: impl FnOnce(&mut Db) -> QueryResult<()>,
) -> Result<(), Fault> {
    if db.is_broken() {
        // The one before may still be open, and would be committed with this one.
        return Err(Fault::Lost(UNENDED.to_owned()));
    }
    if let Db::Sqlite(_) = db {
        db.begin()?;
    }
    let result = work(db).map_err(Fault::from).and_then(|()| still_wanted(abandoned));
    match db {
        Db::Sqlite(_) => db.end(result),
        Db::MySql(db) => end(db, result),
    }
}

const UNENDED: &str = "the transaction before did not end";

fn still_wanted(abandoned: &AtomicBool) -> Result<(), Fault> {
    if abandoned.load(Ordering::Acquire) {
        return Err(Fault::Away("it took too long".to_owned()));
    }
    Ok(())
}

/// Of a connection that did not end its transaction nobody knows what comes next: it counts as broken.
fn end(db: &mut MysqlConnection, result: Result<(), Fault>) -> Result<(), Fault> {
    let ended = match &result {
        Ok(()) => Commit.execute(db).map(drop),
        Err(_) => db.batch_execute("ROLLBACK"),
    };
    if ended.is_err() {
        let status =
            <MysqlConnection as Connection>::TransactionManager::transaction_manager_status_mut(db);
        status.set_in_error();
    }
    result.and_then(|()| ended.map_err(Fault::from))
}

/// It stays prepared, and so is one packet.
struct Commit;

impl QueryId for Commit {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl RunQueryDsl<MysqlConnection> for Commit {}

impl QueryFragment<Mysql> for Commit {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("COMMIT");
        Ok(())
    }
}
