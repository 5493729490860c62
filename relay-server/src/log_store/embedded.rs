//! The embedded store: one SQLite file, one writer, readers on their own connections.
//!
//! Two tiers in that file. A commit appends one row to `tail`, without any index, whatever it brings to however many
//! streams; what the tail holds is also in memory, in order per stream, which is what live readers need. Later commits
//! fold the tail, a little each time, into chunks of one stream (`fold.rs`). So an event is written twice, both times in
//! large pieces, and reading a long log reads few rows.
//!
//! What an event costs: its content is copied out of the frame into its run's bytes (`encode_run`), from there into the
//! commit's row, and by SQLite into its pages. The row's memory is then what the tail, the feed and live readers share; a
//! run is a slice of it. Allocations: a run's vector of contents and its bytes, freed when the row is built; the row,
//! one a commit. Folding copies a run once more, into its chunk; a reader copies a chunk once out of SQLite's page.

mod decide;
mod fold;
mod places;
mod reader;
mod row;
mod schema;
mod snapshots;
mod tables;
mod tail;

pub use reader::EmbeddedReader;

use super::*;
use bytes::Bytes;
use decide::{Decided, Decisions, Fate};
use fold::{Folded, Folding};
use rusqlite::Connection;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use sync_core::digest::Random;
use sync_core::limits::FRAME_BYTES_TARGET;
use tables::TableError;
use tail::{Advance, Stream, Streams, Tail};

/// Runs of one frame; what stands around them is far below a kilobyte.
const RUNS_BYTES_MAX: usize = FRAME_BYTES_TARGET - 1024;

/// How the store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// What new epochs are drawn from: from the operating system, but in a simulation.
    pub seed: [u8; 32],
    /// SQLite's file layer by its name. `None`: the platform's.
    pub vfs: Option<String>,
    /// What one commit may bring.
    pub limits: Limits,
    /// Bytes that SQLite's log is given on opening. A sync that need not grow the file is about twice as fast.
    pub log_bytes_min: usize,
    /// Pages of SQLite's log before it moves into the file, inside the commit that reaches them: how long that commit takes.
    /// With what one commit may add, fewer than `log_bytes_min` has room for.
    pub log_pages_max: u32,
    /// Bytes of one generation of the tail. Two are in memory at most, and read on opening.
    pub generation_bytes_max: usize,
    /// Streams in memory beyond those with something in the tail.
    pub streams_max: usize,
    /// Producers' records in memory beyond those with something in the tail.
    pub records_max: usize,
}

impl Options {
    /// The usual ones.
    pub fn new(seed: [u8; 32]) -> Options {
        Options {
            seed,
            vfs: None,
            limits: Limits::default(),
            log_bytes_min: 0,
            log_pages_max: 2 * 1024,
            generation_bytes_max: 32 * 1024 * 1024,
            streams_max: 100_000,
            records_max: 500_000,
        }
    }
}

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data folder cannot be used.
    #[error("the data folder cannot be used: {0}")]
    Folder(#[from] std::io::Error),
    /// Another process has it.
    #[error("another process uses this data folder")]
    Locked,
    /// Somebody reads the file, so that what its last process wrote cannot be made sure.
    #[error("somebody reads the store's file: it cannot be opened meanwhile")]
    Read,
    /// A newer build wrote it.
    #[error("the store has schema version {found}; this build knows {known}: use a newer build")]
    Version {
        /// What the file says.
        found: i64,
        /// What this build can read.
        known: i64,
    },
    /// It is a SQLite file of another program.
    #[error("the file is not a log store")]
    NotOurs,
    /// It cannot be read.
    #[error("the store cannot be read: {0}")]
    Damaged(String),
    /// SQLite failed.
    #[error("the store cannot be opened: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

impl From<TableError> for OpenError {
    fn from(error: TableError) -> OpenError {
        match error {
            TableError::Sqlite(error) => OpenError::Sqlite(error),
            TableError::Damaged(error) => OpenError::Damaged(error.to_string()),
        }
    }
}

/// The embedded store's writing half. See the file's first lines.
pub struct EmbeddedLog {
    file: PathBuf,
    options: Options,
    random: Random,
    tail: Arc<Tail>,
    /// What depends on the file's state; `None` after a failure, until it could be read again.
    open: Option<Open>,
    /// Held until the end: one process per data folder.
    _lock: File,
}

struct Open {
    db: Connection,
    /// The last commit.
    number: u64,
    folding: Folding,
}

/// Why a transaction did not happen, or perhaps did.
enum Failure {
    /// It did not.
    Before(StoreError),
    /// Perhaps: the commit itself failed.
    AtCommit,
}

impl From<TableError> for Failure {
    fn from(error: TableError) -> Failure {
        Failure::Before(error.into_store_error())
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Failure {
        TableError::from(error).into()
    }
}

impl Failure {
    fn into_store_error(self) -> StoreError {
        match self {
            Failure::Before(error) => error,
            Failure::AtCommit => StoreError::Unknown,
        }
    }
}

impl EmbeddedLog {
    /// Opens the store in a data folder; makes both if they are not there. The file in it is `log.sqlite`.
    pub fn open(folder: &Path, options: Options) -> Result<EmbeddedLog, OpenError> {
        std::fs::create_dir_all(folder)?;
        let lock = File::options().create(true).truncate(false).write(true).open(folder.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::Locked,
            TryLockError::Error(error) => OpenError::Folder(error),
        })?;
        let file = folder.join("log.sqlite");
        let tail = Arc::new(Tail::default());
        let open = Some(Open::read(&file, &options, &tail)?);
        Ok(EmbeddedLog { file, random: Random::new(options.seed), options, tail, open, _lock: lock })
    }

    /// Opens another reader.
    pub fn open_reader(&self) -> rusqlite::Result<EmbeddedReader> {
        EmbeddedReader::open(&self.file, &self.options, self.tail.clone())
    }

    /// Does `work` on the open store. After a failure the file is closed and read again: what memory says is only what
    /// the file says.
    fn transact<T>(&mut self, work: impl FnOnce(Transacting<'_>) -> Result<T, Failure>) -> Result<T, StoreError> {
        let Some(open) = &mut self.open else { return Err(StoreError::Busy) };
        let Open { db, number, folding } = open;
        let (tail, random, options) = (&*self.tail, &mut self.random, &self.options);
        let done = work(Transacting { db, number, folding, tail, random, options });
        done.map_err(|failure| {
            self.open = None;
            failure.into_store_error()
        })
    }

    /// Reads the file's state again if a failure made that necessary. Whether it did.
    fn reopen(&mut self) -> bool {
        if self.open.is_some() {
            return false;
        }
        match Open::read(&self.file, &self.options, &self.tail) {
            Ok(open) => self.open = Some(open),
            Err(error) => tracing::error!(%error, "the log store stays closed after a failure"),
        }
        self.open.is_some()
    }

    /// Changes one stream that exists, its tail folded before.
    fn change<T>(
        &mut self,
        name: &StreamName,
        work: impl FnOnce(&Connection, &mut Stream, u64, &mut Random) -> Result<Result<T, StoreError>, TableError>,
    ) -> Result<Option<T>, StoreError> {
        self.reopen();
        let done = self.transact(|Transacting { db, number, tail, random, .. }| {
            if decide::load(db, tail, name)?.is_none() {
                return Ok(Ok(None));
            }
            db.execute_batch("BEGIN IMMEDIATE")?;
            let folded = fold::fold_all(db, tail, name)?;
            let Some(mut stream) = tables::stream(db, name)? else { return Ok(Ok(None)) };
            let answer = match work(db, &mut stream, *number, random)? {
                Ok(answer) => answer,
                Err(error) => {
                    db.execute_batch("ROLLBACK")?;
                    return Ok(Err(error));
                }
            };
            tables::update_stream(db, &stream)?;
            db.execute_batch("COMMIT").map_err(|_| Failure::AtCommit)?;
            if let Some(folded) = folded {
                folded.apply(tail);
            }
            if let Some(kept) = tail.lock().get_mut(name) {
                kept.become_changed(&stream);
            }
            Ok(Ok(Some(answer)))
        });
        done?
    }
}

struct Transacting<'a> {
    db: &'a Connection,
    number: &'a mut u64,
    folding: &'a mut Folding,
    tail: &'a Tail,
    random: &'a mut Random,
    options: &'a Options,
}

impl Open {
    /// Reads the file and puts into memory what its tail holds.
    fn read(file: &Path, options: &Options, tail: &Tail) -> Result<Open, OpenError> {
        let db = schema::open_writer(file, options)?;
        let fresh = Tail::default();
        let (mut first, mut number, mut bytes) = (None, 0, 0);
        {
            let mut statement = db.prepare("SELECT number, bytes FROM tail ORDER BY number")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                number = row.get(0)?;
                first.get_or_insert(number);
                let row = Bytes::from(row.get::<_, Vec<u8>>(1)?);
                bytes += row.len();
                fetch(&db, &fresh, &row)?;
                fresh.lock().apply(number, &row).map_err(TableError::from)?;
            }
        }
        // All at once, so that readers see either state.
        *tail.lock() = std::mem::take(&mut *fresh.lock());
        let before = |first: u64| first.checked_sub(1).ok_or_else(|| OpenError::Damaged("a commit numbered 0".into()));
        let deleted = first.map_or(Ok(number), before)?;
        Ok(Open { db, number, folding: Folding::new(deleted, bytes) })
    }
}

/// Puts into memory the streams and records that a row is about, as the tables have them.
fn fetch(db: &Connection, tail: &Tail, row: &Bytes) -> Result<(), TableError> {
    for (id, entry) in row::read_entries(row)? {
        let producer = match &entry {
            row::Entry::Run { run, .. } => run.producer,
            row::Entry::Void { producer, .. } | row::Entry::Refused { producer, .. } => *producer,
        };
        let known = tail.lock().name(id).cloned();
        let name = match known {
            Some(name) => name,
            None => {
                let Some((name, stream)) = tables::stream_by_id(db, id)? else { continue };
                let damaged = sync_core::wire::DecodeError::new(0, "a stream's name that is none");
                let name = StreamName::new(&name).map_err(|_| damaged)?;
                tail.lock().insert(name.clone(), stream);
                name
            }
        };
        decide::load_record(db, tail, &name, producer)?;
    }
    Ok(())
}

impl Log for EmbeddedLog {
    type Reader = EmbeddedReader;

    fn limits(&self) -> Limits {
        self.options.limits
    }

    fn durability(&self) -> Durability {
        Durability { synced: Synced::Yes, replicas: 1 }
    }

    fn commit(&mut self, requests: Vec<Request>) -> Committed {
        let reread = self.reopen();
        let failed: Vec<fn(StoreError) -> Reply> = requests
            .iter()
            .map(|request| -> fn(StoreError) -> Reply {
                match request {
                    Request::Append(_) => |error| Reply::Append(Err(error)),
                    Request::Heal(_) => |error| Reply::Heal(Err(error)),
                }
            })
            .collect();
        let mut committed = self.transact(|transacting| transacting.commit(requests)).unwrap_or_else(|error| {
            let replies = failed.into_iter().map(|reply| reply(error.clone())).collect();
            Committed { replies, hints: vec![] }
        });
        if reread {
            committed.hints.insert(0, Hint::AllBehind);
        }
        committed
    }

    fn trim(&mut self, stream: &StreamName, epoch: Epoch, upto: Offset) -> Result<Offset, StoreError> {
        let done = self.change(stream, |db, stream, _, _| {
            if stream.epoch != epoch {
                return Ok(Err(StoreError::Epoch { current: stream.epoch }));
            }
            snapshots::trim(db, stream, upto)?;
            Ok(Ok(stream.floor))
        });
        done?.ok_or(StoreError::Epoch { current: Epoch::NONE })
    }

    fn put_snapshot(
        &mut self,
        stream: &StreamName,
        epoch: Epoch,
        snapshot: &Snapshot,
    ) -> Result<SnapshotPut, StoreError> {
        let done = self.change(stream, |db, stream, _, _| {
            if stream.epoch != epoch {
                return Ok(Err(StoreError::Epoch { current: stream.epoch }));
            }
            snapshots::put(db, stream, snapshot).map(Ok)
        });
        done?.ok_or(StoreError::Epoch { current: Epoch::NONE })
    }

    fn new_epoch(&mut self, stream: &StreamName, current: Epoch) -> Result<Epoch, StoreError> {
        let done = self.change(stream, |db, stream, _, random| {
            if stream.epoch != current {
                return Ok(Err(StoreError::Epoch { current: stream.epoch }));
            }
            snapshots::rename(db, stream, Epoch(random.bytes()))?;
            Ok(Ok(stream.epoch))
        });
        done?.ok_or(StoreError::Epoch { current: Epoch::NONE })
    }

    fn delete(&mut self, stream: &StreamName) -> Result<Epoch, StoreError> {
        let done = self.change(stream, |db, stream, number, random| {
            snapshots::empty(db, stream, Epoch(random.bytes()), number)?;
            Ok(Ok(stream.epoch))
        });
        Ok(done?.unwrap_or(Epoch::NONE))
    }

    fn memory(&self) -> Arc<dyn Memory> {
        self.tail.clone()
    }

    fn reader(&self) -> Result<EmbeddedReader, StoreError> {
        self.open_reader().map_err(|error| TableError::from(error).into_store_error())
    }
}

impl Transacting<'_> {
    fn commit(self, requests: Vec<Request>) -> Result<Committed, Failure> {
        let Transacting { db, number, folding, tail, random, options } = self;
        db.execute_batch("BEGIN IMMEDIATE")?;
        let mut decisions = Decisions::new(db, tail, random, options.limits);
        let decided = requests.into_iter().map(|request| decisions.decide(request)).collect::<Result<Vec<_>, _>>()?;
        let outcome = decisions.finish()?;
        if outcome.row.is_empty() {
            db.execute_batch("ROLLBACK")?;
            return Ok(Committed { replies: decided.into_iter().map(tell).collect(), hints: vec![] });
        }
        let next = *number + 1;
        tables::insert_commit(db, next, &outcome.row)?;
        let folded = folding.step(db, tail, next, outcome.row.len(), options.generation_bytes_max)?;
        db.execute_batch("COMMIT").map_err(|_| Failure::AtCommit)?;
        *number = next;
        folded.into_iter().for_each(|folded: Folded| folded.apply(tail));
        let advances = {
            let mut streams: std::sync::MutexGuard<'_, Streams> = tail.lock();
            outcome.born.into_iter().for_each(|(name, stream)| streams.insert(name, stream));
            let advances = streams.apply(next, &outcome.row.into());
            streams.shrink(options.streams_max, options.records_max);
            advances.map_err(TableError::from)?
        };
        Ok(Committed {
            replies: decided.into_iter().map(tell).collect(),
            hints: advances.into_iter().flat_map(hints).collect(),
        })
    }
}

/// What the feed tells of it. A log that had nothing was born by it, or is so new that being told again does no harm.
fn hints(advance: Advance) -> impl Iterator<Item = Hint> {
    let Advance { stream, epoch, after, runs } = advance;
    let born = (after == Offset::ZERO).then(|| Hint::NewEpoch { stream: stream.clone(), epoch });
    let mut at = after;
    let advanced = in_frames(runs).into_iter().map(move |runs| {
        let after = at;
        at = runs.last().map_or(after, row::last_offset);
        let upto = DurableOffset::minted_by_store(at);
        let batch = Some(Batch { after, upto, runs });
        Hint::Advanced { stream: stream.clone(), epoch, after, upto, batch }
    });
    born.into_iter().chain(advanced)
}

/// Cuts a commit's runs where a frame is full: a larger one would be read from the log, by each subscriber.
fn in_frames(runs: Vec<EncodedRun>) -> Vec<Vec<EncodedRun>> {
    let (mut frames, mut bytes) = (vec![], usize::MAX);
    for run in runs {
        bytes = bytes.saturating_add(run.bytes.len());
        if bytes > RUNS_BYTES_MAX {
            bytes = run.bytes.len();
            frames.push(vec![]);
        }
        frames.last_mut().expect("the first run begins a frame").push(run);
    }
    frames
}

/// A decision as it is told, after the sync.
fn tell(decided: Decided) -> Reply {
    match decided {
        Decided::Append { epoch, fates, new, head } => {
            let outcomes = fates.into_iter().map(|fate| match fate {
                Fate::Logged(offset) => Outcome::Logged(DurableOffset::minted_by_store(offset)),
                Fate::Refused { code, reason } => Outcome::Refused { code, reason },
                Fate::Void | Fate::Passed | Fate::Gap | Fate::Later | Fate::Branch => Outcome::Void,
            });
            let head = DurableOffset::minted_by_store(head);
            Reply::Append(Ok(Appended { epoch, outcomes: outcomes.collect(), new, head }))
        }
        Decided::Heal { epoch, fates, head } => {
            let outcomes = fates.into_iter().map(|fate| match fate {
                Fate::Logged(offset) => HealOutcome::Taken(DurableOffset::minted_by_store(offset)),
                Fate::Gap => HealOutcome::Gap,
                Fate::Later => HealOutcome::Later,
                Fate::Branch => HealOutcome::Branch,
                Fate::Passed => HealOutcome::Passed,
                Fate::Refused { .. } => HealOutcome::Refused,
                Fate::Void => HealOutcome::Other,
            });
            let head = DurableOffset::minted_by_store(head);
            Reply::Heal(Ok(Healed { epoch, outcomes: outcomes.collect(), head }))
        }
        Decided::AppendFailed(error) => Reply::Append(Err(error)),
        Decided::HealFailed(error) => Reply::Heal(Err(error)),
    }
}
