//! The statements over the tables. Each is prepared once per connection.

use super::row;
use super::tail::{ProducerRecord, Stream};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::ops::ControlFlow;
use std::sync::Arc;
use sync_core::ids::*;
use sync_core::relay::store::*;
use sync_core::wire::{DecodeError, Refusal};

/// Why a statement failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum TableError {
    /// SQLite could not do it.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// A row is not what was written.
    #[error("a row cannot be read: {0}")]
    Damaged(#[from] DecodeError),
}

impl TableError {
    /// For those who asked to read.
    pub fn into_store_error(self) -> StoreError {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match &self {
            TableError::Sqlite(error) => match error.sqlite_error_code() {
                Some(DatabaseCorrupt | NotADatabase) => StoreError::Corrupt(self.to_string()),
                _ => StoreError::Busy,
            },
            TableError::Damaged(_) => StoreError::Corrupt(self.to_string()),
        }
    }
}

type Result<T> = std::result::Result<T, TableError>;

/// An identifier, of exactly its length.
fn id<const N: usize>(row: &Row<'_>, column: usize) -> rusqlite::Result<[u8; N]> {
    row.get(column)
}

fn offset(row: &Row<'_>, column: usize) -> rusqlite::Result<Offset> {
    row.get(column).map(Offset)
}

/// A stream as its row has it: nothing of the tail, nobody's record.
pub(super) fn stream(db: &Connection, name: &StreamName) -> Result<Option<Stream>> {
    let sql = "SELECT id, version, epoch, floor, folded, folded_check, reset FROM stream WHERE name = ?1";
    Ok(db.prepare_cached(sql)?.query_row([name.as_str()], read_stream).optional()?)
}

/// The name and row of a stream by its number.
pub(super) fn stream_by_id(db: &Connection, number: i64) -> Result<Option<(String, Stream)>> {
    let sql = "SELECT id, version, epoch, floor, folded, folded_check, reset, name FROM stream WHERE id = ?1";
    let found = db.prepare_cached(sql)?.query_row([number], |row| Ok((row.get(7)?, read_stream(row)?)));
    Ok(found.optional()?)
}

fn read_stream(row: &Row<'_>) -> rusqlite::Result<Stream> {
    let mut stream = Stream::empty(row.get(0)?, Epoch(id(row, 2)?));
    stream.version = row.get(1)?;
    stream.floor = offset(row, 3)?;
    stream.folded = offset(row, 4)?;
    stream.folded_check = Check(id(row, 5)?);
    stream.reset = row.get(6)?;
    (stream.head, stream.check) = (stream.folded, stream.folded_check);
    Ok(stream)
}

/// Makes a stream and returns its number.
pub(super) fn insert_stream(db: &Connection, name: &StreamName, stream: &Stream) -> Result<i64> {
    let sql =
        "INSERT INTO stream (name, version, epoch, floor, folded, folded_check, reset) VALUES (?1, 0, ?2, 0, 0, ?3, 0)";
    db.prepare_cached(sql)?.execute(params![name.as_str(), stream.epoch.0, stream.check.0])?;
    Ok(db.last_insert_rowid())
}

/// Writes a stream's row, one version on.
pub(super) fn update_stream(db: &Connection, stream: &Stream) -> Result<()> {
    let sql =
        "UPDATE stream SET version = version + 1, epoch = ?2, floor = ?3, folded = ?4, folded_check = ?5, reset = ?6
               WHERE id = ?1";
    db.prepare_cached(sql)?.execute(params![
        stream.id,
        stream.epoch.0,
        stream.floor.0,
        stream.folded.0,
        stream.folded_check.0,
        stream.reset
    ])?;
    Ok(())
}

/// What is known of a producer, its refusals among it.
pub(super) fn producer(db: &Connection, stream: i64, producer: ProducerId) -> Result<Option<ProducerRecord>> {
    let sql = "SELECT last, tag, logged, logged_tag FROM producer WHERE stream = ?1 AND producer = ?2";
    let found = db.prepare_cached(sql)?.query_row(params![stream, producer.0], |row| {
        let logged = (row.get(2)?, Tag(id(row, 3)?));
        Ok(ProducerRecord { last: row.get(0)?, tag: Tag(id(row, 1)?), logged, refused: Arc::default() })
    });
    let Some(mut record) = found.optional()? else { return Ok(None) };
    let sql = "SELECT sequence, tag, code, reason FROM refusal WHERE stream = ?1 AND producer = ?2 ORDER BY sequence";
    let mut statement = db.prepare_cached(sql)?;
    let refused = statement.query_map(params![stream, producer.0], |row| {
        Ok(Refusal { sequence: row.get(0)?, tag: Tag(id(row, 1)?), code: row.get(2)?, reason: row.get(3)? })
    })?;
    record.refused = Arc::new(refused.collect::<rusqlite::Result<_>>()?);
    Ok(Some(record))
}

/// Writes what is known of a producer. Refusals that are there already are not written again.
pub(super) fn put_producer(db: &Connection, stream: i64, producer: ProducerId, record: &ProducerRecord) -> Result<()> {
    let known: Option<Sequence> = db
        .prepare_cached("SELECT last FROM producer WHERE stream = ?1 AND producer = ?2")?
        .query_row(params![stream, producer.0], |row| row.get(0))
        .optional()?;
    let fresh = record.refused.partition_point(|refusal| refusal.sequence <= known.unwrap_or(0));
    let sql = "INSERT INTO refusal (stream, producer, sequence, tag, code, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    for refusal in &record.refused[fresh..] {
        let Refusal { sequence, tag, code, reason } = refusal;
        db.prepare_cached(sql)?.execute(params![stream, producer.0, sequence, tag.0, code, reason])?;
    }
    let sql = "INSERT INTO producer (stream, producer, last, tag, logged, logged_tag) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
               ON CONFLICT DO UPDATE SET last = ?3, tag = ?4, logged = ?5, logged_tag = ?6";
    let (logged, logged_tag) = record.logged;
    db.prepare_cached(sql)?.execute(params![stream, producer.0, record.last, record.tag.0, logged, logged_tag.0])?;
    Ok(())
}

/// A chunk as it is stored.
pub(super) struct Chunk {
    /// The row.
    pub id: i64,
    /// The log's check before its first event.
    pub check_before: Check,
    /// Its runs.
    pub runs: Vec<EncodedRun>,
}

/// In which order `chunks` goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the chunk that holds the offset behind the one given, up.
    Up,
    /// From the chunk that holds the offset given or the last one below it, down.
    Down,
}

/// Shows chunks of a stream one after the other until `each` has enough.
pub(super) fn chunks(
    db: &Connection,
    stream: i64,
    from: Offset,
    direction: Direction,
    mut each: impl FnMut(Chunk) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let sql = match direction {
        Direction::Up => "SELECT id, check_before, bytes FROM chunk WHERE stream = ?1 AND last > ?2 ORDER BY last",
        Direction::Down => {
            "SELECT id, check_before, bytes FROM chunk WHERE stream = ?1 AND first <= ?2 ORDER BY last DESC"
        }
    };
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params![stream, from.0])?;
    while let Some(row) = rows.next()? {
        let bytes = Bytes::copy_from_slice(row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?);
        let chunk = Chunk { id: row.get(0)?, check_before: Check(id(row, 1)?), runs: row::read_chunk(&bytes)? };
        if each(chunk)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// Adds a chunk.
pub(super) fn insert_chunk(
    db: &Connection,
    stream: i64,
    (first, last): (Offset, Offset),
    check_before: Check,
    bytes: &[u8],
) -> Result<()> {
    let sql = "INSERT INTO chunk (stream, first, last, check_before, bytes) VALUES (?1, ?2, ?3, ?4, ?5)";
    db.prepare_cached(sql)?.execute(params![stream, first.0, last.0, check_before.0, bytes])?;
    Ok(())
}

/// Drops the chunks that end at or below an offset.
pub(super) fn delete_chunks(db: &Connection, stream: i64, upto: Offset) -> Result<()> {
    db.prepare_cached("DELETE FROM chunk WHERE stream = ?1 AND last <= ?2")?.execute(params![stream, upto.0])?;
    Ok(())
}

/// Adds the row of a commit.
pub(super) fn insert_commit(db: &Connection, number: u64, bytes: &[u8]) -> Result<()> {
    db.prepare_cached("INSERT INTO tail (number, bytes) VALUES (?1, ?2)")?.execute(params![number, bytes])?;
    Ok(())
}

/// Drops the rows of commits up to a number.
pub(super) fn delete_commits(db: &Connection, upto: u64) -> Result<()> {
    db.prepare_cached("DELETE FROM tail WHERE number <= ?1")?.execute([upto])?;
    Ok(())
}
