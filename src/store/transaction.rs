//! Transactions of the connection that commits: on a server they take one journey beside their statements.
//!
//! diesel begins and ends a transaction of MySQL by three journeys each, for it lets the server take several statements
//! at once, and forbids it again. Here none begins one: a session without autocommit has each statement do so.

use std::sync::atomic::{AtomicBool, Ordering};

use diesel::{
    Connection, QueryResult, RunQueryDsl,
    connection::{SimpleConnection, TransactionManager},
    mysql::{Mysql, MysqlConnection},
    query_builder::{AstPass, QueryFragment, QueryId},
};

use super::{connection::Db, fault::Fault};

/// Has [`run`] be the only one to end what statements on this connection do.
pub(super) fn prepare(db: &mut Db) -> QueryResult<()> {
    match db {
        Db::MySql(db) => db.batch_execute("SET SESSION autocommit = 0"),
        Db::Sqlite(_) => Ok(()),
    }
}

/// Runs `work` in a transaction, which an abandoned thread does not commit any more.
pub(super) fn run(
    db: &mut Db,
    abandoned: &AtomicBool,
    work: impl FnOnce(&mut Db) -> QueryResult<()>,
) -> Result<(), Fault> {
    if let Db::Sqlite(_) = db {
        db.begin()?;
    }
    let result = work(db).map_err(Fault::from).and_then(|()| still_wanted(abandoned));
    match db {
        Db::Sqlite(_) => db.end(result),
        Db::MySql(db) => end(db, result),
    }
}

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
