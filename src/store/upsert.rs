//! Rows of twins on their way in, as statements that a connection keeps prepared.
//!
//! diesel's own batch inserts are prepared anew each time, which costs more than all the rest of a small one. So the
//! statements are written down here, as text that is the same each time.

use diesel::{
    backend::Backend,
    mysql::{Mysql, MysqlConnection},
    prelude::*,
    query_builder::{AstPass, QueryFragment, QueryId},
    sql_types::{BigInt, Bool, HasSqlType, Nullable, Text},
    sqlite::{Sqlite, SqliteConnection},
};

use super::rows::NewTwin;

/// A server keeps a prepared statement for each number of rows up to this, and for each multiple of it.
const FEW: usize = 16;

/// The most rows in one statement.
const MOST: usize = 64;

/// Above so many bytes of text a statement is prepared for the occasion: one that is kept keeps what it was given last.
const KEPT_BYTES: usize = 256 << 10;

const INSERT: &str = "INSERT INTO twin (clientId, reported, reportedMeta, desired, desiredMeta, declined, \
    declinedMeta, version, revision, applied_epoch, applied_number, sent, online, session, unsettled, untold) VALUES ";

/// The row that is there stays if it is as new.
const OR_NEWER_IN_SQLITE: &str = " ON CONFLICT (clientId) DO UPDATE SET reported = excluded.reported, \
    reportedMeta = excluded.reportedMeta, desired = excluded.desired, desiredMeta = excluded.desiredMeta, \
    declined = excluded.declined, declinedMeta = excluded.declinedMeta, version = excluded.version, \
    revision = excluded.revision, applied_epoch = excluded.applied_epoch, applied_number = excluded.applied_number, \
    sent = excluded.sent, online = excluded.online, session = excluded.session, unsettled = excluded.unsettled, \
    untold = excluded.untold WHERE excluded.revision > twin.revision";

/// The same. MySQL assigns from left to right: `revision` is last, so that all compare with the old one.
const OR_NEWER_IN_MYSQL: &str = " ON DUPLICATE KEY UPDATE \
    reported = IF(VALUES(revision) > revision, VALUES(reported), reported), \
    reportedMeta = IF(VALUES(revision) > revision, VALUES(reportedMeta), reportedMeta), \
    desired = IF(VALUES(revision) > revision, VALUES(desired), desired), \
    desiredMeta = IF(VALUES(revision) > revision, VALUES(desiredMeta), desiredMeta), \
    declined = IF(VALUES(revision) > revision, VALUES(declined), declined), \
    declinedMeta = IF(VALUES(revision) > revision, VALUES(declinedMeta), declinedMeta), \
    version = IF(VALUES(revision) > revision, VALUES(version), version), \
    applied_epoch = IF(VALUES(revision) > revision, VALUES(applied_epoch), applied_epoch), \
    applied_number = IF(VALUES(revision) > revision, VALUES(applied_number), applied_number), \
    sent = IF(VALUES(revision) > revision, VALUES(sent), sent), \
    online = IF(VALUES(revision) > revision, VALUES(online), online), \
    session = IF(VALUES(revision) > revision, VALUES(session), session), \
    unsettled = IF(VALUES(revision) > revision, VALUES(unsettled), unsettled), \
    untold = IF(VALUES(revision) > revision, VALUES(untold), untold), \
    revision = IF(VALUES(revision) > revision, VALUES(revision), revision)";

/// Puts rows in place of those of a lower revision, and adds those that are new. One statement for each row: SQLite
/// is no journey away.
pub(super) fn into_sqlite(db: &mut SqliteConnection, rows: &[NewTwin<'_>]) -> QueryResult<()> {
    rows.iter().try_for_each(|row| One(row).execute(db).map(drop))
}

/// The same, in few statements.
pub(super) fn into_mysql(db: &mut MysqlConnection, rows: &[NewTwin<'_>]) -> QueryResult<()> {
    let mut left = rows;
    while let Some((now, rest)) = left.split_at_checked(statement_rows(left.len())) {
        left = rest;
        match now {
            [] => break,
            [row] => One(row).execute(db)?,
            rows => Many(rows).execute(db)?,
        };
    }
    Ok(())
}

/// How many of so many rows go into the next statement.
fn statement_rows(rows: usize) -> usize {
    if rows <= FEW { rows } else { (rows / FEW * FEW).min(MOST) }
}

/// A single row: prepared once for each connection, and found again without its text.
struct One<'a>(&'a NewTwin<'a>);

/// Several rows: found again by their text.
struct Many<'a>(&'a [NewTwin<'a>]);

impl QueryId for One<'_> {
    type QueryId = One<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryId for Many<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<C> RunQueryDsl<C> for One<'_> {}
impl<C> RunQueryDsl<C> for Many<'_> {}

impl QueryFragment<Sqlite> for One<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(INSERT);
        values(self.0, out.reborrow())?;
        out.push_sql(OR_NEWER_IN_SQLITE);
        Ok(())
    }
}

impl QueryFragment<Mysql> for One<'_> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        all(std::slice::from_ref(self.0), out)
    }
}

impl QueryFragment<Mysql> for Many<'_> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        all(self.0, out)
    }
}

fn all<'b>(rows: &'b [NewTwin<'b>], mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
    if rows.iter().map(NewTwin::bytes).sum::<usize>() > KEPT_BYTES {
        out.unsafe_to_cache_prepared();
    }
    out.push_sql(INSERT);
    for (at, row) in rows.iter().enumerate() {
        if at > 0 {
            out.push_sql(", ");
        }
        values(row, out.reborrow())?;
    }
    out.push_sql(OR_NEWER_IN_MYSQL);
    Ok(())
}

/// The values of a row, in the order of [`INSERT`].
fn values<'b, B>(row: &'b NewTwin<'b>, mut out: AstPass<'_, 'b, B>) -> QueryResult<()>
where
    B: Backend + HasSqlType<Text> + HasSqlType<BigInt> + HasSqlType<Bool>,
    str: diesel::serialize::ToSql<Text, B>,
    i64: diesel::serialize::ToSql<BigInt, B>,
    bool: diesel::serialize::ToSql<Bool, B>,
    Option<bool>: diesel::serialize::ToSql<Nullable<Bool>, B>,
{
    out.push_sql("(");
    let text = |value: &'b str, out: &mut AstPass<'_, 'b, B>| {
        out.push_bind_param::<Text, _>(value)?;
        out.push_sql(", ");
        QueryResult::Ok(())
    };
    for value in row.texts {
        text(value, &mut out)?;
    }
    for value in &row.counts {
        out.push_bind_param::<BigInt, _>(value)?;
        out.push_sql(", ");
    }
    text(row.sent, &mut out)?;
    out.push_bind_param::<Nullable<Bool>, _>(&row.online)?;
    out.push_sql(", ");
    out.push_bind_param::<BigInt, _>(&row.session)?;
    out.push_sql(", ");
    out.push_bind_param::<Bool, _>(&row.unsettled)?;
    out.push_sql(", ");
    out.push_bind_param::<Bool, _>(&row.untold)?;
    out.push_sql(")");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of rows for which a statement is kept, so that there are few.
    #[test]
    fn rows_go_into_few_statements() {
        let statements = |mut rows: usize| {
            let mut parts = Vec::new();
            while rows > 0 {
                parts.push(statement_rows(rows));
                rows -= parts[parts.len() - 1];
            }
            parts
        };
        assert_eq!(statement_rows(0), 0);
        for few in [1, 2, 15, 16, 32, 48, 64] {
            assert_eq!(statements(few), [few]);
        }
        assert_eq!(statements(17), [16, 1]);
        assert_eq!(statements(63), [48, 15]);
        assert_eq!(statements(500), [64, 64, 64, 64, 64, 64, 64, 48, 4]);
    }
}
