//! Moves the tail into chunks, a little inside each commit. The tail has two generations: one that fills, and one that
//! drains. Draining goes stream by stream, so that a chunk holds what came in over a long time; when all are through,
//! the generation's rows go, a few at a time.

use super::row;
use super::tables::{self, TableError};
use super::tail::{Stream, Tail};
use rusqlite::Connection;
use std::collections::{BTreeSet, VecDeque};
use sync_core::ids::*;
use sync_core::relay::store::EncodedRun;
use sync_core::wire::codec::Writer;

/// A chunk is closed at this size. Small enough to read for one event, large enough to need few of them.
const CHUNK_BYTES_TARGET: usize = 32 * 1024;
/// Folded in a commit at least, so that a generation drains while only small commits come.
const STEP_BYTES_MIN: usize = 64 * 1024;

/// How far draining has come.
#[derive(Default)]
pub(super) struct Folding {
    /// Tail bytes since the generation under way began.
    filling_bytes: usize,
    /// Streams of the draining generation that are not through.
    queue: VecDeque<StreamName>,
    /// The last commit of the draining generation.
    upto: u64,
    /// Commits up to this have no row any more.
    deleted: u64,
}

/// What a step did to a stream, once its commit is synced.
pub(super) struct Folded {
    name: StreamName,
    folded: Offset,
    folded_check: Check,
    clean: BTreeSet<ProducerId>,
}

impl Folding {
    /// After opening: commits up to `deleted` have no row, and the rows there are have so many bytes.
    pub fn new(deleted: u64, filling_bytes: usize) -> Folding {
        Folding { filling_bytes, upto: deleted, deleted, ..Folding::default() }
    }

    /// One step, inside the transaction of commit `number` (whose own events are not in memory yet).
    pub fn step(
        &mut self,
        db: &Connection,
        tail: &Tail,
        number: u64,
        commit_bytes: usize,
        generation_bytes_max: usize,
    ) -> Result<Vec<Folded>, TableError> {
        self.filling_bytes += commit_bytes;
        let is_full = self.filling_bytes > generation_bytes_max;
        // Drains twice as fast as the other one fills; should that not do, the rest goes at once.
        let mut budget = if is_full { usize::MAX } else { STEP_BYTES_MIN.max(2 * commit_bytes) };
        let mut done = vec![];
        while budget > 0
            && let Some(name) = self.queue.pop_front()
        {
            let (folded, bytes, is_through) = fold(db, tail, &name, self.upto, budget)?;
            budget = budget.saturating_sub(bytes.max(256));
            done.extend(folded);
            if !is_through {
                self.queue.push_front(name);
                break;
            }
        }
        if self.queue.is_empty() && self.deleted < self.upto {
            let rows = self.upto - self.deleted;
            let share = rows * (4 * commit_bytes as u64) / generation_bytes_max.max(1) as u64;
            self.deleted += if is_full { rows } else { rows.min(share.max(64)) };
            tables::delete_commits(db, self.deleted)?;
        }
        if is_full && self.queue.is_empty() && self.deleted == self.upto {
            (self.queue, self.upto, self.filling_bytes) = (tail.lock().unfolded(), number - 1, commit_bytes);
        }
        Ok(done)
    }
}

/// Folds the whole of one stream's tail.
pub(super) fn fold_all(db: &Connection, tail: &Tail, name: &StreamName) -> Result<Option<Folded>, TableError> {
    Ok(fold(db, tail, name, u64::MAX, usize::MAX)?.0)
}

/// Folds what commits up to `upto` brought to a stream, and more where it fills a chunk, about `budget` bytes. Returns
/// the bytes and whether the stream is through.
fn fold(
    db: &Connection,
    tail: &Tail,
    name: &StreamName,
    upto: u64,
    budget: usize,
) -> Result<(Option<Folded>, usize, bool), TableError> {
    let (mut stream, runs, records, is_through) = {
        let streams = tail.lock();
        let Some(stream) = streams.get(name) else { return Ok((None, 0, true)) };
        let (runs, is_through) = choose(stream, upto, budget);
        let records: Vec<_> =
            stream.dirty.iter().map(|p| (*p, stream.records.get(p).cloned().unwrap_or_default())).collect();
        (stream.outline(), runs, records, is_through)
    };
    if runs.is_empty() && records.is_empty() {
        return Ok((None, 0, is_through));
    }
    let mut bytes = 0;
    for chunk in chunked(&runs) {
        let (Some(first), Some(last)) = (chunk.first(), chunk.last()) else { continue };
        let mut out = Writer::new();
        chunk.iter().for_each(|(run, _)| row::write_run(&mut out, run));
        let out = out.finish();
        bytes += out.len();
        let end = row::last_offset(&last.0);
        tables::insert_chunk(db, stream.id, (first.0.offset, end), stream.folded_check, &out)?;
        (stream.folded, stream.folded_check) = (end, last.1);
    }
    for (producer, record) in &records {
        tables::put_producer(db, stream.id, *producer, record)?;
    }
    tables::update_stream(db, &stream)?;
    let clean = records.into_iter().map(|(producer, _)| producer).collect();
    let folded = Folded { name: name.clone(), folded: stream.folded, folded_check: stream.folded_check, clean };
    Ok((Some(folded), bytes, is_through))
}

/// The runs to fold, each with the log's check at its end.
fn choose(stream: &Stream, upto: u64, budget: usize) -> (Vec<(EncodedRun, Check)>, bool) {
    let (mut chosen, mut bytes, mut chunk_bytes) = (vec![], 0usize, 0usize);
    for tail in &stream.runs {
        if tail.commit > upto && chunk_bytes == 0 {
            break;
        }
        if bytes >= budget && chunk_bytes == 0 {
            return (chosen, false);
        }
        bytes += tail.run.bytes.len();
        chunk_bytes += tail.run.bytes.len();
        if chunk_bytes >= CHUNK_BYTES_TARGET {
            chunk_bytes = 0;
        }
        chosen.push((tail.run.clone(), tail.check));
    }
    (chosen, true)
}

/// Cuts runs where a chunk is closed.
fn chunked(runs: &[(EncodedRun, Check)]) -> impl Iterator<Item = &[(EncodedRun, Check)]> {
    let mut rest = runs;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let full = rest.iter().position(|(run, _)| {
            bytes += run.bytes.len();
            bytes >= CHUNK_BYTES_TARGET
        });
        let (chunk, left) = rest.split_at(full.map_or(rest.len(), |last| last + 1));
        rest = left;
        (!chunk.is_empty()).then_some(chunk)
    })
}

impl Folded {
    /// Tells the memory, after the sync and before the commit's own row.
    pub fn apply(self, tail: &Tail) {
        let mut streams = tail.lock();
        let Some(stream) = streams.get_mut(&self.name) else { return };
        stream.version += 1;
        (stream.folded, stream.folded_check) = (self.folded, self.folded_check);
        let folded = stream.runs.partition_point(|tail| row::last_offset(&tail.run) <= self.folded);
        stream.runs.drain(..folded);
        stream.dirty.retain(|producer| !self.clean.contains(producer));
    }
}
