//! Reads twins for a query: only the rows of those who are asked, and of these only the documents that it names.

use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::{
    QueryResult,
    backend::Backend,
    deserialize::{self, FromSql, QueryableByName},
    prelude::*,
    query_builder::{BoxedSqlQuery, SqlQuery},
    row::{Field, NamedRow, Row},
    serialize::ToSql,
    sql_query,
    sql_types::{HasSqlType, Nullable, Text},
};

use super::{
    Select, SelectFault,
    connection::Db,
    rows::{count, is_nothing},
};
use crate::{
    protocol::{Part, ThingId},
    twin::{Candidate, Rows, SelectError, Selection, query_answer},
};

/// How long a chunk is evaluated before the rest of it is left for the next one: a query that takes its time shall not look
/// like a database that hangs.
const TIME: Duration = Duration::from_millis(300);

/// After how many rows is looked at the time; after one that has more bytes than this at once.
const LOOK_EACH: usize = 16;
const LONG: usize = 4 << 10;

/// A longer document is left to a chunk of few rows: MySQL's client holds all rows of a chunk in memory.
const LARGE: usize = 8 << 10;

/// How a chunk's rows are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// All between the first and the last of them are read, in order: that is quickest, if most of these are asked.
    Through,
    /// One by one.
    Each,
    /// One by one, and then through again: there are large ones.
    Few,
}

/// Some of a query's twins, and what those before them gave.
#[derive(Clone)]
pub(super) struct Chunk {
    pub(super) select: Arc<Select>,
    pub(super) range: Range<usize>,
    pub(super) way: Way,
    pub(super) before: Vec<Arc<Rows>>,
}

impl Chunk {
    /// Whose twins they are.
    pub(super) fn ids(&self) -> &[ThingId] {
        self.select.ids.get(self.range.clone()).unwrap_or_default()
    }

    /// The most rows that are read of those that are read in order: where most are not asked, that is seen soon.
    fn most(&self) -> usize {
        let asked = self.ids().len();
        asked.saturating_add(asked / 4).saturating_add(16)
    }

    /// Whether none come behind them: then the answer is made.
    pub(super) fn is_last(&self) -> bool {
        self.range.end >= self.select.ids.len()
    }
}

/// What came of a chunk, and the twins that could not be read.
pub(super) enum Found {
    /// The first so many are done.
    Rows {
        rows: Rows,
        unreadable: Vec<(ThingId, String)>,
        done: usize,
        /// The way that is best for the next chunk.
        way: Way,
    },
    Answer(Arc<[u8]>, Vec<(ThingId, String)>),
    Failed(SelectFault),
}

/// What is read of a row, as text: the id, and then what the query asks for.
struct Stored([Option<String>; 1 + WANTED.len()]);

impl<B: Backend> QueryableByName<B> for Stored
where
    Option<String>: FromSql<Nullable<Text>, B>,
{
    /// By place, whatever the names: as many columns as there are, and most queries ask for few.
    fn build<'a>(row: &impl NamedRow<'a, B>) -> deserialize::Result<Self> {
        let mut stored = Self(Default::default());
        for (at, value) in stored.0.iter_mut().enumerate().take(row.field_count()) {
            if let Some(field) = Row::get(row, at) {
                *value = FromSql::from_nullable_sql(field.value())?;
            }
        }
        Ok(stored)
    }
}

/// Something of a row that a query may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Version,
    /// Whether the thing was connected, and in which session that was learnt.
    Online,
    Session,
    Document(Part),
}

const WANTED: [Want; 9] = [
    Want::Version,
    Want::Online,
    Want::Session,
    Want::Document(Part::Reported),
    Want::Document(Part::ReportedMeta),
    Want::Document(Part::Desired),
    Want::Document(Part::DesiredMeta),
    Want::Document(Part::Declined),
    Want::Document(Part::DeclinedMeta),
];

/// Stands for a document that is too large, and is none.
const TOO_LARGE: &str = "large";

impl Want {
    fn is_read(self, selection: &Selection<'_>) -> bool {
        match self {
            Self::Version => selection.reads_version(),
            Self::Online | Self::Session => selection.reads_online(),
            Self::Document(part) => selection.reads(part),
        }
    }

    fn column(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Online => "online",
            Self::Session => "session",
            Self::Document(Part::Reported) => "reported",
            Self::Document(Part::ReportedMeta) => "reportedMeta",
            Self::Document(Part::Desired) => "desired",
            Self::Document(Part::DesiredMeta) => "desiredMeta",
            Self::Document(Part::Declined) => "declined",
            Self::Document(Part::DeclinedMeta) => "declinedMeta",
        }
    }

    /// What is selected: documents are text, and the rest is made that.
    fn selected(self, text: &str, is_bounded: bool) -> String {
        let column = self.column();
        match self {
            Self::Document(_) if is_bounded => {
                format!("IF(LENGTH({column}) > {LARGE}, '{TOO_LARGE}', {column})")
            }
            Self::Document(_) => column.to_owned(),
            Self::Version | Self::Online | Self::Session => {
                format!("CAST({column} AS {text})")
            }
        }
    }
}

/// Reads a chunk's twins, and does with them what its query says.
///
/// The query is a client's: should it find a fault in the evaluation, that ends the query and nothing else.
pub(super) fn part(db: &mut Db, chunk: &Chunk) -> QueryResult<Found> {
    let select = &chunk.select;
    let selection = Selection::new(&select.query, Some(select.group.as_str()));
    let mut evaluation = Evaluation::new(chunk, &selection);
    match db {
        Db::MySql(db) => {
            let is_bounded = chunk.way == Way::Through;
            for stored in query(chunk, &evaluation.wanted, "CHAR", is_bounded).load_iter(db)? {
                if !guarded(&mut evaluation, &stored?) {
                    break;
                }
            }
        }
        Db::Sqlite(db) => {
            for stored in query(chunk, &evaluation.wanted, "TEXT", false).load_iter(db)? {
                if !guarded(&mut evaluation, &stored?) {
                    break;
                }
            }
        }
    }
    let ended = catch_unwind(AssertUnwindSafe(|| evaluation.end()));
    Ok(ended.unwrap_or(Found::Failed(SelectFault::Internal)))
}

/// Takes a row in. A fault that the query finds in the evaluation ends it.
fn guarded(evaluation: &mut Evaluation<'_>, stored: &Stored) -> bool {
    let taken = catch_unwind(AssertUnwindSafe(|| evaluation.take(stored)));
    taken.unwrap_or_else(|_panic| {
        evaluation.fault = Some(SelectFault::Internal);
        false
    })
}

/// Asks for a chunk's rows in order of id. All its text is ours, whatever the client's query says.
fn query<B>(
    chunk: &Chunk,
    wanted: &[Want],
    text: &str,
    is_bounded: bool,
) -> BoxedSqlQuery<'static, B, SqlQuery>
where
    B: Backend + HasSqlType<Text> + 'static,
    String: ToSql<Text, B>,
{
    let ids = chunk.ids();
    let columns: String =
        wanted.iter().map(|want| format!(", {}", want.selected(text, is_bounded))).collect();
    let (holds, bound, most) = match chunk.way {
        Way::Through => {
            let ends = [ids.first(), ids.last()].into_iter().flatten().collect();
            ("BETWEEN ? AND ?".to_owned(), ends, chunk.most())
        }
        Way::Each | Way::Few => (
            format!("IN ({})", vec!["?"; ids.len()].join(", ")),
            ids.iter().collect::<Vec<_>>(),
            ids.len(),
        ),
    };
    let query = format!(
        "SELECT clientId{columns} FROM twin WHERE clientId {holds} ORDER BY clientId LIMIT {most}"
    );
    let bind = |query: BoxedSqlQuery<'static, B, SqlQuery>, id: &ThingId| {
        query.bind::<Text, _>(id.as_str().to_owned())
    };
    bound.into_iter().fold(sql_query(query).into_boxed(), bind)
}

/// What a chunk has come to so far.
struct Evaluation<'a> {
    chunk: &'a Chunk,
    selection: &'a Selection<'a>,
    /// What is read of each row behind its id.
    wanted: Vec<Want>,
    begin: Instant,
    rows: Rows,
    unreadable: Vec<(ThingId, String)>,
    /// The bytes that the chunk's rows may have.
    room: usize,
    /// How many rows were read, and how many of them were asked.
    read: usize,
    asked: usize,
    /// How many of the chunk's ids are dealt with.
    done: usize,
    fault: Option<SelectFault>,
    is_over: bool,
    has_large: bool,
}

impl<'a> Evaluation<'a> {
    fn new(chunk: &'a Chunk, selection: &'a Selection<'a>) -> Self {
        let select = &chunk.select;
        let before = chunk.before.iter().map(|rows| rows.count()).sum();
        let room =
            chunk.before.iter().fold(select.limit, |room, rows| room.saturating_sub(rows.bytes()));
        Self {
            chunk,
            selection,
            wanted: WANTED.into_iter().filter(|want| want.is_read(selection)).collect(),
            begin: Instant::now(),
            rows: Rows::behind(before, &select.query),
            unreadable: Vec::new(),
            room,
            read: 0,
            asked: 0,
            done: 0,
            fault: None,
            is_over: false,
            has_large: false,
        }
    }

    /// Takes a row in, and says whether another one is wanted. They come in order of id.
    fn take(&mut self, stored: &Stored) -> bool {
        if self.read == 0 {
            // How long the database took is nothing that fewer rows at a time would mend.
            self.begin = Instant::now();
        }
        self.read += 1;
        let Some(own) = stored.0.first().and_then(Option::as_deref) else { return true };
        let ids = self.chunk.ids();
        let rest = ids.get(self.done..).unwrap_or_default();
        // Where most are asked, it is the very next.
        let ahead = match rest.first() {
            Some(next) if next.as_str() == own => 0,
            _ => rest.partition_point(|id| id.as_str() < own),
        };
        self.done += ahead;
        if let Some(id) = ids.get(self.done).filter(|id| id.as_str() == own) {
            if self.is_left_out(stored) {
                self.is_over = true;
                self.has_large = true;
                return false;
            }
            self.done += 1;
            self.asked += 1;
            self.evaluate(id, stored);
        } else if let Ok(at) = ids.binary_search_by(|id| id.as_str().cmp(own)) {
            // The database has another order than bytes, for ids that others wrote.
            ids.get(at).into_iter().for_each(|id| self.evaluate(id, stored));
        }
        let bytes: usize = stored.0.iter().flatten().map(String::len).sum();
        let looks_at_time = bytes > LONG || self.read.is_multiple_of(LOOK_EACH);
        let is_late = || looks_at_time && self.begin.elapsed() >= TIME;
        self.is_over = self.fault.is_some() || is_late();
        !self.is_over
    }

    /// Whether a document of it was too large for this chunk.
    fn is_left_out(&self, stored: &Stored) -> bool {
        let is_large = |text: &Option<String>| text.as_deref() == Some(TOO_LARGE);
        self.chunk.way == Way::Through && stored.0.iter().skip(1).any(is_large)
    }

    fn evaluate(&mut self, id: &ThingId, stored: &Stored) {
        let select = &self.chunk.select;
        let mut candidate =
            Candidate { id: id.as_str(), version: 0, online: None, documents: ["{}"; 6] };
        let mut session = 0;
        let texts = stored.0.iter().skip(1).map(Option::as_deref);
        for (want, text) in self.wanted.iter().zip(texts) {
            let number = || text.and_then(|text| text.parse::<i64>().ok());
            match want {
                Want::Version => candidate.version = count(number().unwrap_or(0)),
                Want::Online => candidate.online = number().map(|online| online != 0),
                Want::Session => session = number().unwrap_or(0),
                Want::Document(part) => {
                    let place = candidate.documents.get_mut(part.place());
                    if let (Some(place), Some(text)) = (place, text)
                        && !is_nothing(text)
                    {
                        *place = text;
                    }
                }
            }
        }
        candidate.online = candidate.online.filter(|_| session == select.session);
        match self.selection.row(candidate) {
            Ok(Some(row)) => self.rows.push(&row),
            Ok(None) => {}
            Err(error @ SelectError::Document(_)) => {
                self.unreadable.push((id.clone(), error.to_string()));
            }
            Err(error @ SelectError::TooLarge) => {
                self.fault = Some(SelectFault::TooLarge(format!("{id}: {error}")));
            }
        }
        if self.rows.bytes() > self.room {
            self.fault.get_or_insert_with(|| SelectFault::of_bytes(select.limit));
        }
    }

    /// What came of it.
    fn end(self) -> Found {
        let Self { chunk, rows, unreadable, .. } = self;
        let (select, ids) = (&chunk.select, chunk.ids());
        if let Some(fault) = self.fault {
            return Found::Failed(fault);
        }
        // If there may be more rows, those behind the last one that was read are left.
        let has_more = chunk.way == Way::Through && self.read >= chunk.most();
        let done = if self.is_over || has_more { self.done } else { ids.len() };
        if done < ids.len() || !chunk.is_last() {
            let is_dense = self.read <= self.asked.saturating_mul(4);
            let way = match chunk.way {
                Way::Through if self.has_large => Way::Few,
                Way::Through if is_dense => Way::Through,
                Way::Few => Way::Through,
                Way::Through | Way::Each => Way::Each,
            };
            return Found::Rows { rows, unreadable, done, way };
        }
        let all: Vec<&Rows> = chunk.before.iter().map(AsRef::as_ref).chain([&rows]).collect();
        let answer = query_answer(&select.query, select.mark.as_ref(), &all);
        if answer.len() > select.limit {
            return Found::Failed(SelectFault::of_bytes(select.limit));
        }
        Found::Answer(answer.into_bytes().into(), unreadable)
    }
}
