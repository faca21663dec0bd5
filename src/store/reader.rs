//! What the reading threads do, on connections from a small pool.

use std::{
    cell::Cell,
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use diesel::{
    QueryResult,
    r2d2::{NopErrorHandler, Pool, PooledConnection, R2D2Connection},
};

use super::{
    AclRow, Applied, Members, Membership, Row, Target, acl,
    connection::{Db, Opener},
    deleted,
    directory::names_everybody,
    fault::Fault,
    lane::{Lane, Report, Work},
    reach,
    select::{self, Chunk},
    twins,
};
use crate::protocol::{GroupName, ThingId};

/// One thing to read.
#[derive(Clone)]
pub(super) enum Read {
    Twins(Vec<ThingId>),
    Unsettled {
        after: Option<ThingId>,
        limit: usize,
    },
    /// Nothing: it shows whether the database answers.
    Ping,
    /// The members of a group, by these rows or by those that are there, and what goes back with them.
    Members(GroupName, Option<Arc<[AclRow]>>, u64),
    Select(Chunk),
}

/// What was read.
pub(super) enum Found {
    /// Rows by id, and what was deleted of the rest.
    Twins(HashMap<String, Row>, HashMap<String, Applied>),
    Unsettled(Vec<ThingId>),
    Pong,
    Members(Members),
    Part(select::Found),
}

/// The connections that all readers share.
pub(super) struct Readers {
    target: Target,
    pool: Mutex<Pool<Opener>>,
}

/// How long a reader waits for a connection. A slower one is there for the next try.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(1);

impl Readers {
    pub(super) fn new(target: Target) -> Self {
        Self { pool: Mutex::new(pool(&target)), target }
    }

    /// Leaves the connections that hang to those who hang on them, and starts with fresh ones.
    pub(super) fn renew(&self) {
        *self.pool.lock().unwrap_or_else(PoisonError::into_inner) = pool(&self.target);
    }

    fn get(&self) -> Result<PooledConnection<Opener>, Fault> {
        let pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner).clone();
        pool.get().map_err(|error| Fault::sort(error.to_string()))
    }
}

fn pool(target: &Target) -> Pool<Opener> {
    Pool::builder()
        .max_size(3)
        .min_idle(Some(0))
        .connection_timeout(CONNECTION_TIMEOUT)
        .error_handler(Box::new(NopErrorHandler))
        .build_unchecked(Opener(target.clone()))
}

/// Reads for one lane.
pub(super) struct Reader {
    readers: Arc<Readers>,
    /// Whether the server was lost: then it is asked for a sign of life first.
    suspect: bool,
}

impl Reader {
    /// A reader; `suspect` if it takes the place of one that got no answer.
    pub(super) fn new(readers: Arc<Readers>, suspect: bool) -> Self {
        Self { readers, suspect }
    }
}

impl Work for Reader {
    type Job = Read;
    type Done = Found;

    fn run(&mut self, job: &Read, _abandoned: &AtomicBool) -> Result<Found, Fault> {
        if self.suspect {
            reach::greeting(&self.readers.target)?;
        }
        let result = self.readers.get().and_then(|mut db| {
            let found = match job {
                Read::Twins(ids) => load(&mut db, ids),
                Read::Unsettled { after, limit } => {
                    twins::unsettled(&mut db, after.as_ref(), *limit).map(Found::Unsettled)
                }
                Read::Ping => db.ping().map(|()| Found::Pong),
                Read::Members(group, rows, ticket) => {
                    members(&mut db, group, rows.as_ref(), *ticket).map(Found::Members)
                }
                Read::Select(chunk) => select::part(&mut db, chunk).map(Found::Part),
            };
            found.map_err(Fault::from)
        });
        self.suspect = matches!(result, Err(Fault::Lost(_)));
        // Nothing that is read is refused for good.
        result.map_err(|fault| Fault::Away(fault.reason().to_owned()))
    }
}

/// Who is a member of a group. That the table cannot be read while the database is there is an answer, too: whoever asks
/// is told, and nobody else is kept waiting.
fn members(
    db: &mut Db,
    group: &GroupName,
    rows: Option<&Arc<[AclRow]>>,
    ticket: u64,
) -> QueryResult<Members> {
    let answer = |members, skipped, of_everybody| {
        Ok(Members { ticket, group: group.clone(), members, skipped, of_everybody })
    };
    let rows = match rows {
        Some(rows) => Ok(Arc::clone(rows)),
        None => acl::rows(db, Some(group)).map(Arc::from),
    };
    let rows: Arc<[AclRow]> = match rows {
        Ok(rows) => rows,
        Err(error) => match Fault::sort(error.to_string()) {
            Fault::Refused(reason) => return answer(Err(reason), Vec::new(), None),
            Fault::Lost(_) | Fault::Away(_) => return Err(error),
        },
    };
    let known = acl::known(db, &rows)?;
    let membership = Membership::new(group, &rows, &known);
    let members = membership.members().cloned().collect();
    let of_everybody = rows.iter().any(names_everybody).then_some(rows);
    answer(Ok(members), membership.skipped, of_everybody)
}

fn load(db: &mut Db, ids: &[ThingId]) -> QueryResult<Found> {
    let rows = twins::load(db, ids)?;
    let missing: Vec<_> = ids.iter().filter(|id| !rows.contains_key(id.as_str())).collect();
    let deleted = deleted::load(db, &missing)?;
    Ok(Found::Twins(rows, deleted))
}

/// A lane that reads: each thread but the first takes the place of one that got no answer.
pub(super) fn lane(
    name: &'static str,
    readers: &Arc<Readers>,
    tell: impl Fn(Report<Reader>) + Send + Sync + 'static,
) -> Lane<Reader> {
    let (readers, replaces) = (Arc::clone(readers), Cell::new(false));
    let reader = move || {
        let suspect = replaces.replace(true);
        if suspect {
            readers.renew();
        }
        Reader::new(Arc::clone(&readers), suspect)
    };
    Lane::new(name, reader, tell)
}
