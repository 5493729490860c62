//! A reader: its own connection for what is in chunks, the shared memory for what is not. Where an answer needs both, a
//! stream's row version tells whether the two are of one moment; if not, it looks again.

use super::places::Search;
use super::row;
use super::snapshots;
use super::tables::{self, Direction, TableError};
use super::tail::{ProducerRecord, Stream, Tail, check_in_run};
use super::{Options, schema};
use crate::log_store::{LogReader, Memory, Placed, SequenceRange};
use rusqlite::Connection;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use sync_core::digest;
use sync_core::ids::*;
use sync_core::relay::store::*;

/// Looks until memory and file are of one moment. They differ only while a commit ends, so one look is the rule.
const LOOKS_MAX: usize = 10_000;

/// See the file's first lines.
pub struct EmbeddedReader {
    db: Connection,
    tail: Arc<Tail>,
}

type Result<T> = std::result::Result<T, TableError>;

impl EmbeddedReader {
    pub(super) fn open(file: &Path, options: &Options, tail: Arc<Tail>) -> rusqlite::Result<EmbeddedReader> {
        Ok(EmbeddedReader { db: schema::open_reader(file, options)?, tail })
    }

    /// Calls `answer` with a stream as it is in memory, or else in its row, with a transaction of the same moment, and
    /// with what `see` took of the memory. `see` runs under the memory's lock: it copies and does not compute.
    fn at_one_moment<S, T>(
        &mut self,
        name: &StreamName,
        see: impl Fn(&Stream) -> S,
        answer: impl Fn(&Connection, Option<(&Stream, S)>) -> Result<T>,
    ) -> std::result::Result<T, StoreError> {
        for _ in 0..LOOKS_MAX {
            let seen = self.tail.lock().get(name).map(|stream| (stream.outline(), see(stream)));
            let look = || -> Result<Option<T>> {
                let transaction = self.db.unchecked_transaction()?;
                let stored = tables::stream(&transaction, name)?;
                match (seen, stored) {
                    (Some((seen, _)), Some(stored)) if seen.version != stored.version => Ok(None),
                    (Some((seen, part)), _) => answer(&transaction, Some((&seen, part))).map(Some),
                    (None, Some(stored)) => {
                        let part = see(&stored);
                        answer(&transaction, Some((&stored, part))).map(Some)
                    }
                    (None, None) => answer(&transaction, None).map(Some),
                }
            };
            if let Some(answer) = look().map_err(TableError::into_store_error)? {
                return Ok(answer);
            }
            std::thread::yield_now();
        }
        Err(StoreError::Busy)
    }
}

impl LogReader for EmbeddedReader {
    fn resume(&mut self, request: &ResumeRequest) -> std::result::Result<ResumeInfo, StoreError> {
        if let Some(info) = self.tail.resume(request) {
            return Ok(info);
        }
        let ResumeRequest { stream, producer, settled, check_at } = request;
        let see = |stream: &Stream| {
            let place = check_at.map(|(_, offset)| CheckPlace::of(stream, offset));
            (stream.records.get(producer).cloned(), place)
        };
        self.at_one_moment(stream, see, |db, found| {
            let Some((stream, (record, place))) = found else { return Ok(ResumeInfo::default()) };
            let record = match record {
                Some(record) => Some(record),
                None => tables::producer(db, stream.id, *producer)?,
            };
            let check = match (check_at, place) {
                (Some((epoch, offset)), Some(place)) if *epoch == stream.epoch => place.check(db, stream, *offset)?,
                _ => None,
            };
            Ok(info(stream, check, &record.unwrap_or_default(), *settled))
        })
    }

    fn read(&mut self, request: &ReadRequest) -> std::result::Result<ReadAnswer, StoreError> {
        if let Some(answer) = self.tail.read(request) {
            return Ok(answer);
        }
        let see = |stream: &Stream| match request.after < stream.folded {
            true => vec![],
            false => stream.runs_behind(request.after, request.bytes_max),
        };
        self.at_one_moment(&request.stream, see, |db, found| {
            let Some((stream, tail)) = found else { return Ok(read_nothing(request)) };
            if let Some(answer) = read_refused(request, stream) {
                return Ok(answer);
            }
            if !tail.is_empty() {
                let cut = tail.iter().map(|run| row::behind(run, request.after)).collect::<std::result::Result<_, _>>();
                return Ok(batch(request.after, cut?));
            }
            let (mut runs, mut bytes) = (vec![], 0);
            tables::chunks(db, stream.id, request.after, Direction::Up, |chunk| {
                for run in chunk.runs {
                    if row::last_offset(&run) <= request.after {
                        continue;
                    }
                    if bytes > 0 && bytes + run.bytes.len() > request.bytes_max {
                        return Ok(ControlFlow::Break(()));
                    }
                    bytes += run.bytes.len();
                    runs.push(row::behind(&run, request.after)?);
                }
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(batch(request.after, runs))
        })
    }

    fn check(
        &mut self,
        stream: &StreamName,
        epoch: Epoch,
        offset: Offset,
    ) -> std::result::Result<Option<Check>, StoreError> {
        self.at_one_moment(
            stream,
            |stream| CheckPlace::of(stream, offset),
            |db, found| match found {
                Some((stream, place)) if stream.epoch == epoch => place.check(db, stream, offset),
                _ => Ok(None),
            },
        )
    }

    fn offsets_of(
        &mut self,
        stream: &StreamName,
        producer: ProducerId,
        sequences: SequenceRange,
    ) -> std::result::Result<Placed, StoreError> {
        let see = |stream: &Stream| {
            let mut search = Search::new(producer, sequences);
            search.visit_tail(stream);
            (stream.records.get(&producer).cloned(), search)
        };
        self.at_one_moment(stream, see, |db, found| {
            let Some((stream, (record, mut search))) = found else { return Ok(Placed::Trimmed) };
            let record = match record {
                Some(record) => Some(record),
                None => tables::producer(db, stream.id, producer)?,
            };
            search.visit_chunks(db, stream)?;
            let places = search.finish(stream, &record.unwrap_or_default());
            let durable = |places: Vec<Option<Offset>>| {
                places.into_iter().map(|place| place.map(DurableOffset::minted_by_store)).collect()
            };
            Ok(places.map_or(Placed::Trimmed, |places| Placed::Offsets(durable(places))))
        })
    }

    fn snapshot(
        &mut self,
        stream: &StreamName,
        producers: &[ProducerId],
    ) -> std::result::Result<Option<(Epoch, Snapshot)>, StoreError> {
        self.at_one_moment(
            stream,
            |_| (),
            |db, found| match found {
                Some((stream, ())) => {
                    Ok(snapshots::load(db, stream.id, producers)?.map(|snapshot| (stream.epoch, snapshot)))
                }
                None => Ok(None),
            },
        )
    }
}

impl Memory for Tail {
    fn resume(&self, request: &ResumeRequest) -> Option<ResumeInfo> {
        let streams = self.lock();
        let stream = streams.get(&request.stream)?;
        let record = stream.records.get(&request.producer)?;
        let check = match request.check_at {
            Some((epoch, _)) if epoch != stream.epoch => None,
            Some((_, offset)) if offset < stream.floor || offset > stream.head => None,
            Some((epoch, Offset::ZERO)) => Some(digest::check_of_empty(epoch)),
            // Where it must be computed, a reader does it, outside of the lock.
            Some((_, offset)) => match stream.check_at(offset)? {
                (check, None) => Some(check),
                (_, Some(_)) => return None,
            },
            None => None,
        };
        Some(info(stream, check, record, request.settled))
    }

    fn read(&self, request: &ReadRequest) -> Option<ReadAnswer> {
        let (after, runs) = {
            let streams = self.lock();
            let stream = streams.get(&request.stream)?;
            if let Some(answer) = read_refused(request, stream) {
                return Some(answer);
            }
            if request.after < stream.folded {
                return None;
            }
            (request.after, stream.runs_behind(request.after, request.bytes_max))
        };
        let cut = runs.iter().map(|run| row::behind(run, after)).collect::<std::result::Result<_, _>>();
        // A run that cannot be cut is damaged: the reader says so.
        cut.ok().map(|runs| batch(after, runs))
    }
}

fn info(stream: &Stream, check: Option<Check>, record: &ProducerRecord, settled: Sequence) -> ResumeInfo {
    ResumeInfo { epoch: stream.epoch, head: stream.head, floor: stream.floor, check, known: record.known(settled) }
}

/// The answer to a read that cannot have events.
fn read_refused(request: &ReadRequest, stream: &Stream) -> Option<ReadAnswer> {
    if request.epoch != stream.epoch || request.after > stream.head {
        Some(ReadAnswer::Replaced { epoch: stream.epoch })
    } else if request.after < stream.floor {
        Some(ReadAnswer::Trimmed)
    } else {
        None
    }
}

/// The answer to a read of a stream that was never written.
fn read_nothing(request: &ReadRequest) -> ReadAnswer {
    if request.epoch == Epoch::NONE && request.after == Offset::ZERO {
        batch(request.after, vec![])
    } else {
        ReadAnswer::Replaced { epoch: Epoch::NONE }
    }
}

fn batch(after: Offset, runs: Vec<EncodedRun>) -> ReadAnswer {
    let upto = runs.last().map_or(after, row::last_offset);
    ReadAnswer::Batch(Batch { after, upto: DurableOffset::minted_by_store(upto), runs })
}

/// From where the log's check at an offset is computed.
pub(super) enum CheckPlace {
    /// It is not known: trimmed, or beyond the head.
    Nowhere,
    /// From the check before a run of the tail over that run, if there is one.
    Tail(Check, Option<EncodedRun>),
    /// From the chunk that holds the next event.
    Chunk,
}

impl CheckPlace {
    /// Copies what is needed out of memory.
    pub fn of(stream: &Stream, offset: Offset) -> CheckPlace {
        if offset < stream.floor || offset > stream.head {
            return CheckPlace::Nowhere;
        }
        stream.check_at(offset).map_or(CheckPlace::Chunk, |(before, run)| CheckPlace::Tail(before, run))
    }

    /// Computes the check.
    pub fn check(self, db: &Connection, stream: &Stream, offset: Offset) -> Result<Option<Check>> {
        match self {
            CheckPlace::Nowhere => Ok(None),
            CheckPlace::Tail(check, None) => Ok(Some(check)),
            CheckPlace::Tail(before, Some(run)) => Ok(Some(check_in_run(before, &run, offset)?)),
            CheckPlace::Chunk => {
                let mut found = None;
                tables::chunks(db, stream.id, offset, Direction::Up, |chunk| {
                    let mut check = chunk.check_before;
                    for run in chunk.runs.iter().take_while(|run| run.offset <= offset) {
                        check = check_in_run(check, run, offset)?;
                    }
                    found = Some(check);
                    Ok(ControlFlow::Break(()))
                })?;
                Ok(found)
            }
        }
    }
}
