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
    Applied, Members, Row, Target, acl,
    connection::{Db, Opener},
    deleted,
    fault::Fault,
    lane::{Lane, Report, Work},
    reach, select,
    selector::{Chunk, Part},
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
    /// The members of a group.
    Members(GroupName),
    Select(Chunk),
}

/// What was read.
pub(super) enum Found {
    /// Rows by id, and what was deleted of the rest.
    Twins(HashMap<String, Row>, HashMap<String, Applied>),
    Unsettled(Vec<ThingId>),
    Pong,
    Members(Members),
    Part(Part),
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
                Read::Members(group) => members(&mut db, group).map(Found::Members),
                Read::Select(chunk) => select::part(&mut db, chunk).map(Found::Part),
            };
            found.map_err(Fault::from)
        });
        self.suspect = matches!(result, Err(Fault::Lost(_)));
        // Nothing that is read is refused for good.
        result.map_err(|fault| Fault::Away(fault.reason().to_owned()))
    }
}

/// Who is a member of a group. That the table is none of the broker's is an answer, too: waiting does not mend it.
fn members(db: &mut Db, group: &GroupName) -> QueryResult<Members> {
    let (members, skipped) = match acl::membership(db, group) {
        Ok(membership) => (Ok(membership.members().cloned().collect()), membership.skipped),
        Err(error) => match Fault::sort(error.to_string()) {
            Fault::Refused(reason) => (Err(reason), Vec::new()),
            Fault::Lost(_) | Fault::Away(_) => return Err(error),
        },
    };
    Ok(Members { group: group.clone(), members, skipped })
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
