//! Snapshots, and what else an operator or a compactor does to one log: trim it, give it a new epoch, empty it. Each works
//! on a stream whose tail was folded, in one transaction.

use super::reader::CheckPlace;
use super::tables::{self, Direction, TableError};
use super::tail::{Stream, check_in_run};
use crate::log_store::SnapshotPut;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};
use std::ops::ControlFlow;
use sync_core::digest;
use sync_core::ids::*;
use sync_core::relay::store::Snapshot;
use sync_core::wire::codec::{Reader, Writer};
use sync_core::wire::{DecodeError, Record, Refusal};

type Result<T> = std::result::Result<T, TableError>;

/// Keeps a snapshot in place of the one before.
pub(super) fn put(db: &Connection, stream: &Stream, snapshot: &Snapshot) -> Result<SnapshotPut> {
    if offset_of(db, stream.id)?.is_some_and(|there| there >= snapshot.offset) {
        return Ok(SnapshotPut::Older);
    }
    let check = CheckPlace::of(stream, snapshot.offset).check(db, stream, snapshot.offset)?;
    if check != Some(snapshot.check) {
        return Ok(SnapshotPut::Mismatch);
    }
    drop_snapshot(db, stream.id)?;
    db.prepare_cached("INSERT INTO snapshot (stream, place, check_at) VALUES (?1, ?2, ?3)")?.execute(params![
        stream.id,
        snapshot.offset.0,
        snapshot.check.0
    ])?;
    let sql = "INSERT INTO snapshot_part (stream, number, bytes) VALUES (?1, ?2, ?3)";
    for (number, part) in (0i64..).zip(&snapshot.parts) {
        db.prepare_cached(sql)?.execute(params![stream.id, number, &part[..]])?;
    }
    let sql = "INSERT OR REPLACE INTO snapshot_record (stream, producer, bytes) VALUES (?1, ?2, ?3)";
    for record in &snapshot.records {
        db.prepare_cached(sql)?.execute(params![stream.id, record.producer.0, encode_record(record)])?;
    }
    Ok(SnapshotPut::Stored)
}

fn drop_snapshot(db: &Connection, stream: i64) -> Result<()> {
    for sql in [
        "DELETE FROM snapshot WHERE stream = ?1",
        "DELETE FROM snapshot_part WHERE stream = ?1",
        "DELETE FROM snapshot_record WHERE stream = ?1",
    ] {
        db.prepare_cached(sql)?.execute([stream])?;
    }
    Ok(())
}

/// Where the snapshot stands.
fn offset_of(db: &Connection, stream: i64) -> Result<Option<Offset>> {
    let found = db
        .prepare_cached("SELECT place FROM snapshot WHERE stream = ?1")?
        .query_row([stream], |row| row.get(0).map(Offset))
        .optional()?;
    Ok(found)
}

/// The snapshot, with the records of some producers.
pub(super) fn load(db: &Connection, stream: i64, producers: &[ProducerId]) -> Result<Option<Snapshot>> {
    let found = db
        .prepare_cached("SELECT place, check_at FROM snapshot WHERE stream = ?1")?
        .query_row([stream], |row| Ok((Offset(row.get(0)?), Check(row.get(1)?))))
        .optional()?;
    let Some((offset, check)) = found else { return Ok(None) };
    let parts = db
        .prepare_cached("SELECT bytes FROM snapshot_part WHERE stream = ?1 ORDER BY number")?
        .query_map([stream], |row| row.get::<_, Vec<u8>>(0).map(Bytes::from))?
        .collect::<rusqlite::Result<_>>()?;
    let mut records = vec![];
    for producer in producers {
        let bytes = db
            .prepare_cached("SELECT bytes FROM snapshot_record WHERE stream = ?1 AND producer = ?2")?
            .query_row(params![stream, producer.0], |row| row.get::<_, Vec<u8>>(0))
            .optional()?;
        if let Some(bytes) = bytes {
            records.push(decode_record(*producer, &bytes.into())?);
        }
    }
    Ok(Some(Snapshot { offset, check, parts, records }))
}

fn encode_record(record: &Record) -> Vec<u8> {
    let mut out = Writer::new();
    out.array(3).u64(record.logged.0).bytes(&record.logged.1.0).array(record.refused.len() as u64);
    for Refusal { sequence, tag, code, reason } in &record.refused {
        out.array(4).u64(*sequence).bytes(&tag.0).text(code).text(reason);
    }
    out.finish()
}

fn decode_record(producer: ProducerId, bytes: &Bytes) -> std::result::Result<Record, DecodeError> {
    let mut input = Reader::new(bytes);
    input.array()?;
    let logged = (input.u64()?, Tag(input.id()?));
    let mut refused = vec![];
    input.each(usize::MAX, |input| {
        input.array()?;
        let (sequence, tag) = (input.u64()?, Tag(input.id()?));
        let (code, reason) = (input.text(usize::MAX)?.into(), input.text(usize::MAX)?.into());
        refused.push(Refusal { sequence, tag, code, reason });
        Ok(())
    })?;
    Ok(Record { producer, logged, refused })
}

/// Drops events up to and with `upto`, never beyond the snapshot. A chunk that holds later events too stays whole.
pub(super) fn trim(db: &Connection, stream: &mut Stream, upto: Offset) -> Result<()> {
    let snapshot = offset_of(db, stream.id)?.unwrap_or(Offset::ZERO);
    let floor = upto.min(snapshot).max(stream.floor);
    if floor > stream.floor {
        tables::delete_chunks(db, stream.id, floor)?;
        stream.floor = floor;
        give_back(db)?;
    }
    Ok(())
}

/// Renames the log's incarnation. The checks begin with the epoch, so they are computed anew, unless the log was trimmed:
/// then its devices begin with the snapshot's check, and the chain goes on from there.
pub(super) fn rename(db: &Connection, stream: &mut Stream, epoch: Epoch) -> Result<()> {
    stream.epoch = epoch;
    if stream.floor > Offset::ZERO {
        return Ok(());
    }
    let snapshot = offset_of(db, stream.id)?;
    let mut check = digest::check_of_empty(epoch);
    let mut checks = vec![];
    let mut snapshot_check = check;
    tables::chunks(db, stream.id, Offset::ZERO, Direction::Up, |chunk| {
        checks.push((chunk.id, check));
        for run in &chunk.runs {
            if let Some(offset) = snapshot.filter(|offset| *offset >= run.offset) {
                snapshot_check = check_in_run(check, run, offset)?;
            }
            check = check_in_run(check, run, Offset::MAX)?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    for (chunk, check) in checks {
        db.prepare_cached("UPDATE chunk SET check_before = ?2 WHERE id = ?1")?.execute(params![chunk, check.0])?;
    }
    db.prepare_cached("UPDATE snapshot SET check_at = ?2 WHERE stream = ?1")?
        .execute(params![stream.id, snapshot_check.0])?;
    (stream.folded_check, stream.check) = (check, check);
    Ok(())
}

/// Empties the log. What is known of producers stays.
pub(super) fn empty(db: &Connection, stream: &mut Stream, epoch: Epoch, commit: u64) -> Result<()> {
    tables::delete_chunks(db, stream.id, stream.head)?;
    drop_snapshot(db, stream.id)?;
    *stream = Stream { version: stream.version, reset: commit, ..Stream::empty(stream.id, epoch) };
    give_back(db)
}

/// Gives free pages at the file's end back to the file system, some of them: the tail needs the others again.
fn give_back(db: &Connection) -> Result<()> {
    let mut statement = db.prepare_cached("PRAGMA incremental_vacuum(4096)")?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}
