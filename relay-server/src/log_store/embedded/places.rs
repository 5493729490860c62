//! Where in a log a producer's sequences are. No index tells: it is asked for repeats, which are recent, so the log is
//! walked back from its end.

use super::row;
use super::tables::{self, Direction, TableError};
use super::tail::{ProducerRecord, Stream};
use crate::log_store::SequenceRange;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use sync_core::ids::*;
use sync_core::relay::store::*;

/// A walk from a log's end to its beginning.
pub(super) struct Search {
    producer: ProducerId,
    wanted: SequenceRange,
    found: BTreeMap<Sequence, Offset>,
    /// A run of the producer that begins at or before the first wanted one was met: there is nothing more to find.
    is_done: bool,
}

impl Search {
    /// A walk that has not begun.
    pub fn new(producer: ProducerId, wanted: SequenceRange) -> Search {
        Search { producer, wanted, found: BTreeMap::new(), is_done: wanted.count == 0 }
    }
    /// The next run towards the beginning.
    pub fn visit(&mut self, producer: ProducerId, first: Sequence, events: u32, offset: Offset) {
        if producer != self.producer || self.is_done {
            return;
        }
        let last = first + u64::from(events) - 1;
        for sequence in first.max(self.wanted.first)..=last.min(self.wanted.last()) {
            self.found.insert(sequence, Offset(offset.0 + sequence - first));
        }
        self.is_done = first <= self.wanted.first;
    }
    fn visit_run(&mut self, run: &EncodedRun) -> ControlFlow<()> {
        self.visit(run.producer, run.first, run.events, run.offset);
        if self.is_done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
    /// Walks what memory has of the stream.
    pub fn visit_tail(&mut self, stream: &Stream) {
        if !self.is_done {
            let _ = stream.runs.iter().rev().try_for_each(|tail| self.visit_run(&tail.run));
        }
    }
    /// Walks the chunks.
    pub fn visit_chunks(&mut self, db: &Connection, stream: &Stream) -> Result<(), TableError> {
        if self.is_done || stream.folded == stream.floor {
            return Ok(());
        }
        tables::chunks(db, stream.id, stream.folded, Direction::Down, |chunk| {
            Ok(chunk.runs.iter().rev().try_for_each(|run| {
                if row::last_offset(run) <= stream.floor { ControlFlow::Break(()) } else { self.visit_run(run) }
            }))
        })
    }
    /// The place of each wanted sequence; none for what was refused or void. `None`: some may be in the part of the log
    /// that is gone.
    pub fn finish(self, stream: &Stream, record: &ProducerRecord) -> Option<Vec<Option<Offset>>> {
        // Only then does silence of the whole log mean that nothing entered it.
        let is_whole = stream.floor == Offset::ZERO && stream.reset == 0;
        // A run may reach over the floor: what it has below is gone like all that is there.
        let is_there = |offset: &Offset| *offset > stream.floor;
        (self.wanted.first..=self.wanted.last())
            .map(|sequence| match self.found.get(&sequence) {
                Some(offset) => is_there(offset).then_some(Some(*offset)),
                None if sequence > record.last => None,
                None if record.refusal(sequence).is_some() => Some(None),
                // Everything back to this one's place was seen, and it was not there.
                None if is_whole || self.is_done || sequence > record.logged.0 => Some(None),
                None => self.found.range(..sequence).next_back().filter(|(_, offset)| is_there(offset)).map(|_| None),
            })
            .collect()
    }
}
