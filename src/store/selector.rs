//! Queries over many twins, a chunk of each in turn: a large one does not hold up the small ones.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Select, SelectFault, Selected,
    lane::{Lane, Report},
    reader::{self, Read, Reader},
    select::{Chunk, Found, Way},
};
use crate::{protocol::ThingId, twin::Rows};

/// The most twins in one chunk.
const CHUNK: usize = 16_384;

/// The most of a chunk whose rows are found one by one, and of one with large documents.
const EACH: usize = 500;
const FEW: usize = 16;

/// How many the first chunk of a query has: nobody knows yet how much work they are.
const FIRST: usize = 2048;

/// Chunks become four times as large while they take less than this, and half as large when they take longer than four
/// times that.
const SHORT: Duration = Duration::from_millis(50);

/// The most bytes of rows that may be kept of all queries before the first of them is answered ahead of the others.
const KEPT_BYTES: usize = 64 << 20;

/// A query that is being answered.
struct Active {
    select: Arc<Select>,
    next: usize,
    /// How many twins the next chunk has, and how their rows are found.
    size: usize,
    way: Way,
    rows: Vec<Arc<Rows>>,
    unreadable: Vec<(ThingId, String)>,
}

impl Active {
    fn chunk(&self) -> Chunk {
        let size = self.size.min(most(self.way));
        let end = self.select.ids.len().min(self.next + size);
        // What comes before matters to the count and the bytes of each chunk: it is shared, not copied.
        let (select, before) = (Arc::clone(&self.select), self.rows.clone());
        Chunk { select, range: self.next..end, way: self.way, before }
    }

    /// The bytes of the rows so far.
    fn bytes(&self) -> usize {
        self.rows.iter().map(|rows| rows.bytes()).sum()
    }

    fn tell(self, result: Result<Arc<[u8]>, SelectFault>) {
        let (ticket, unreadable) = (self.select.ticket, self.unreadable);
        self.select.reply.do_send(Selected { ticket, result, unreadable });
    }
}

/// Keeps what is asked until it is answered.
pub(super) struct Selector {
    pub(super) lane: Lane<Reader>,
    /// Whose turn it is stands first.
    active: VecDeque<Active>,
}

impl Selector {
    pub(super) fn new(lane: Lane<Reader>) -> Self {
        Self { lane, active: VecDeque::new() }
    }

    pub(super) fn put(&mut self, select: Select) {
        let select = Arc::new(select);
        self.active.push_back(Active {
            select,
            next: 0,
            size: FIRST,
            way: Way::Through,
            rows: vec![],
            unreadable: vec![],
        });
    }

    /// Starts the next chunk, unless one is under way.
    pub(super) fn next(&mut self, now: Instant) {
        if self.lane.is_ready(now)
            && let Some(active) = self.active.front()
        {
            self.lane.give(Read::Select(active.chunk()), now);
        }
    }

    /// Takes in what came of a chunk. One that failed for the database's sake is tried again.
    pub(super) fn finished(&mut self, report: Report<Reader>, now: Instant) {
        let Some((Read::Select(chunk), Ok(reader::Found::Part(part)))) =
            self.lane.finish(report, now)
        else {
            return;
        };
        // What was let go of meanwhile is not asked any more.
        let first = self.active.front().map(|active| &active.select);
        if !first.is_some_and(|first| Arc::ptr_eq(first, &chunk.select)) {
            return;
        }
        let Some(mut active) = self.active.pop_front() else { return };
        match part {
            Found::Rows { rows, unreadable, done, way } => {
                active.next += done;
                active.size = next_size(active.size.min(most(active.way)), self.lane.took());
                if active.way == Way::Few {
                    // Where one is large the next may be: little is read for nothing then.
                    active.size = FEW;
                }
                active.way = way;
                active.rows.push(Arc::new(rows));
                active.unreadable.extend(unreadable);
                if self.kept_bytes() + active.bytes() > KEPT_BYTES {
                    self.active.push_front(active);
                } else {
                    self.active.push_back(active);
                }
            }
            Found::Answer(answer, unreadable) => {
                active.unreadable.extend(unreadable);
                active.tell(Ok(answer));
            }
            Found::Failed(fault) => active.tell(Err(fault)),
        }
    }

    fn kept_bytes(&self) -> usize {
        self.active.iter().map(Active::bytes).sum()
    }

    /// Lets go of all that is asked, unanswered: whoever asked was told that the database is away.
    pub(super) fn forget(&mut self) {
        self.active.clear();
    }

    /// Gives a chunk up that takes too long; it is tried again on another connection.
    pub(super) fn abandon(&mut self, now: Instant) {
        self.lane.abandon(now);
        if let Some(active) = self.active.front_mut() {
            active.size = 1.max(active.size.min(most(active.way)) / 2);
        }
    }
}

/// The most twins in a chunk whose rows are found like this.
fn most(way: Way) -> usize {
    match way {
        Way::Through => CHUNK,
        Way::Each => EACH,
        Way::Few => FEW,
    }
}

/// How many twins come behind a chunk of so many that took so long.
fn next_size(size: usize, took: Duration) -> usize {
    if took < SHORT {
        CHUNK.min(size * 4)
    } else if took > SHORT * 4 {
        1.max(size / 2)
    } else {
        size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of chunks of twins that take so long each, until they stay.
    fn sizes(each: Duration) -> Vec<usize> {
        let mut sizes = vec![FIRST];
        for _ in 0..12 {
            let last = sizes[sizes.len() - 1];
            sizes.push(next_size(last, each * u32::try_from(last).unwrap()));
        }
        sizes.dedup();
        sizes
    }

    #[test]
    fn chunks_are_as_large_as_their_time_allows() {
        assert_eq!(sizes(Duration::from_micros(1)), [2048, 8192, 16_384]);
        assert_eq!(sizes(Duration::from_micros(20)), [2048, 8192]);
        assert_eq!(sizes(Duration::from_millis(1)), [2048, 1024, 512, 256, 128]);
        let halves = [2048, 1024, 512, 256, 128, 64, 32, 16, 8, 4, 2, 1];
        assert_eq!(sizes(Duration::from_millis(60)), halves[..11]);
        assert_eq!(sizes(Duration::from_secs(2)), halves);
    }
}
