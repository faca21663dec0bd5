//! Reads twins for a query: only the rows of those who are asked, and of these only the documents that it names.

use std::{
    collections::HashMap,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::{
    QueryResult,
    dsl::sql,
    expression::SqlLiteral,
    prelude::*,
    sql_types::{Nullable, Text},
};

use super::{
    Select, SelectFault,
    connection::Db,
    rows::{count, object},
    schema::twin,
};
use crate::{
    protocol::{self, ThingId},
    twin::{Candidate, Record, Rows, SelectError, Selection, query_answer},
};

/// How long a chunk is evaluated before the rest of it is left for the next one: a query that takes its time shall not look
/// like a database that hangs.
const TIME: Duration = Duration::from_millis(300);

/// Some of a query's twins, and what those before them gave.
#[derive(Clone)]
pub(super) struct Chunk {
    pub(super) select: Arc<Select>,
    pub(super) range: Range<usize>,
    pub(super) before: Vec<Arc<Rows>>,
}

impl Chunk {
    /// Whose twins they are.
    pub(super) fn ids(&self) -> &[ThingId] {
        self.select.ids.get(self.range.clone()).unwrap_or_default()
    }

    /// Whether none come behind them: then the answer is made.
    pub(super) fn is_last(&self) -> bool {
        self.range.end >= self.select.ids.len()
    }
}

/// What came of a chunk, and the twins that could not be read.
pub(super) enum Part {
    /// The first so many are done.
    Rows {
        rows: Rows,
        unreadable: Vec<(ThingId, String)>,
        done: usize,
    },
    Answer(Arc<[u8]>, Vec<(ThingId, String)>),
    Failed(SelectFault),
}

/// What is read of a row: its numbers and documents, those that nobody asked for as null.
type Stored = (String, i64, Option<bool>, i64, [Option<String>; 6]);

/// Reads a chunk's twins, and does with them what its query says.
///
/// The query is a client's: should it find a fault in the evaluation, that ends the query and nothing else.
pub(super) fn part(db: &mut Db, chunk: &Chunk) -> QueryResult<Part> {
    let select = &chunk.select;
    let selection = Selection::new(&select.query, Some(select.group.as_str()));
    let stored = read(db, &selection, chunk.ids())?;
    let evaluated = catch_unwind(AssertUnwindSafe(|| evaluate(chunk, &selection, stored)));
    Ok(evaluated.unwrap_or(Part::Failed(SelectFault::Internal)))
}

fn read(db: &mut Db, selection: &Selection<'_>, ids: &[ThingId]) -> QueryResult<Vec<Stored>> {
    let ids = ids.iter().map(ThingId::as_str);
    let document = |part| document(selection, part);
    let rows: Vec<(_, _, _, _, _, _, _, _, _, _)> = twin::table
        .filter(twin::client_id.eq_any(ids))
        .select((
            twin::client_id,
            twin::version,
            twin::online,
            twin::session,
            document(protocol::Part::Reported),
            document(protocol::Part::ReportedMeta),
            document(protocol::Part::Desired),
            document(protocol::Part::DesiredMeta),
            document(protocol::Part::Declined),
            document(protocol::Part::DeclinedMeta),
        ))
        .load(db)?;
    let stored = |(id, version, online, session, a, b, c, d, e, f)| {
        (id, version, online, session, [a, b, c, d, e, f])
    };
    Ok(rows.into_iter().map(stored).collect())
}

/// A document's column, or null if the query does not name it. The text is ours, whatever the query says.
fn document(selection: &Selection<'_>, part: protocol::Part) -> SqlLiteral<Nullable<Text>> {
    let column = match part {
        _ if !selection.reads(part) => "CAST(NULL AS CHAR)",
        protocol::Part::Reported => "reported",
        protocol::Part::ReportedMeta => "reportedMeta",
        protocol::Part::Desired => "desired",
        protocol::Part::DesiredMeta => "desiredMeta",
        protocol::Part::Declined => "declined",
        protocol::Part::DeclinedMeta => "declinedMeta",
    };
    sql(column)
}

fn evaluate(chunk: &Chunk, selection: &Selection<'_>, stored: Vec<Stored>) -> Part {
    let select = &chunk.select;
    let stored = stored.into_iter().map(|row| (row.0.clone(), record(row)));
    let stored: HashMap<String, Record> = stored.collect();
    let before = chunk.before.iter().map(|rows| rows.count()).sum();
    let room =
        chunk.before.iter().fold(select.limit, |room, rows| room.saturating_sub(rows.bytes()));
    let mut rows = Rows::behind(before, &select.query);
    let mut unreadable = Vec::new();
    let begin = Instant::now();
    for (done, id) in chunk.ids().iter().enumerate() {
        if done > 0 && begin.elapsed() >= TIME {
            return Part::Rows { rows, unreadable, done };
        }
        let Some(record) = stored.get(id.as_str()) else { continue };
        let online = record.online.filter(|_| record.session == select.session);
        match selection.row(Candidate { id: id.as_str(), record, online }) {
            Ok(Some(row)) => rows.push(&row),
            Ok(None) => {}
            Err(error @ SelectError::Document(_)) => {
                unreadable.push((id.clone(), error.to_string()))
            }
            Err(error @ SelectError::TooLarge) => {
                return Part::Failed(SelectFault::TooLarge(format!("{id}: {error}")));
            }
        }
        if rows.bytes() > room {
            return Part::Failed(SelectFault::of_bytes(select.limit));
        }
    }
    if !chunk.is_last() {
        return Part::Rows { rows, unreadable, done: chunk.ids().len() };
    }
    let all: Vec<&Rows> = chunk.before.iter().map(AsRef::as_ref).chain([&rows]).collect();
    let answer = query_answer(&select.query, select.mark.as_ref(), &all);
    if answer.len() > select.limit {
        return Part::Failed(SelectFault::of_bytes(select.limit));
    }
    Part::Answer(answer.into_bytes().into(), unreadable)
}

/// What is not asked for is an empty object there.
fn record((_, version, online, session, documents): Stored) -> Record {
    let [reported, reported_meta, desired, desired_meta, declined, declined_meta] =
        documents.map(object);
    Record {
        reported,
        reported_meta,
        desired,
        desired_meta,
        declined,
        declined_meta,
        version: count(version),
        revision: 0,
        sent: String::new(),
        online,
        session,
        unsettled: false,
    }
}
