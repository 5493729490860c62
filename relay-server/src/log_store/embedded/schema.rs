//! The tables, and how a connection is set up.

use super::{OpenError, Options};
use rusqlite::{Connection, OpenFlags};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// Raised when an older build could no longer read the file.
pub(super) const VERSION: i64 = 1;

/// `Tide` in ASCII: tells the file from other people's.
const APPLICATION_ID: i64 = 0x5469_6465;

/// * `stream` a row per name. `folded` is the last offset that is in chunks, `folded_check` the log's check there;
///   what the tail brought in commits up to `reset` was deleted with the log. `version` counts this row's writes.
/// * `tail` a row per commit: what it did, of all streams (`row.rs`).
/// * `chunk` runs of one stream, about 32 KB, with the log's check before the first.
/// * `producer` and `refusal` what is known of producers, for ever.
/// * `snapshot` the newest one of a stream, its parts and its records.
const TABLES: &str = "
CREATE TABLE stream (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, version INTEGER NOT NULL, epoch BLOB NOT NULL,
    floor INTEGER NOT NULL, folded INTEGER NOT NULL, folded_check BLOB NOT NULL, reset INTEGER NOT NULL);
CREATE TABLE tail (number INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
CREATE TABLE chunk (
    id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    check_before BLOB NOT NULL, bytes BLOB NOT NULL);
CREATE INDEX chunk_place ON chunk (stream, last, first);
CREATE TABLE producer (
    stream INTEGER NOT NULL, producer BLOB NOT NULL, last INTEGER NOT NULL, tag BLOB NOT NULL,
    logged INTEGER NOT NULL, logged_tag BLOB NOT NULL, PRIMARY KEY (stream, producer)) WITHOUT ROWID;
CREATE TABLE refusal (
    stream INTEGER NOT NULL, producer BLOB NOT NULL, sequence INTEGER NOT NULL, tag BLOB NOT NULL, code TEXT NOT NULL,
    reason TEXT NOT NULL, PRIMARY KEY (stream, producer, sequence)) WITHOUT ROWID;
CREATE TABLE snapshot (stream INTEGER PRIMARY KEY, place INTEGER NOT NULL, check_at BLOB NOT NULL);
CREATE TABLE snapshot_part (
    stream INTEGER NOT NULL, number INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (stream, number)) WITHOUT ROWID;
CREATE TABLE snapshot_record (
    stream INTEGER NOT NULL, producer BLOB NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (stream, producer)) WITHOUT ROWID;
";

/// Opens the writer's connection; makes the tables in a new file.
pub(super) fn open_writer(file: &Path, options: &Options) -> Result<Connection, OpenError> {
    let db = connect(file, options, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if version == 0 && tables == 0 {
        // Before the first table, and before WAL: neither can be changed later.
        db.execute_batch("PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL;")?;
    } else if db.query_row("PRAGMA application_id", [], |row| row.get::<_, i64>(0))? != APPLICATION_ID {
        return Err(OpenError::NotOurs);
    } else if version != VERSION {
        return Err(OpenError::Version { found: version, known: VERSION });
    }
    // FULL: a commit is answered after the log's sync.
    db.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = {};
         PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -65536;",
        options.log_pages_max
    ))?;
    if version == 0 {
        db.execute_batch(&format!(
            "BEGIN IMMEDIATE; {TABLES} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
        ))?;
    }
    // What an earlier process wrote but could not sync may be in the log and look committed. Moving all of it into the
    // file and syncing both makes true what is read from now on. While somebody reads, not all of it can be moved.
    if db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))? {
        return Err(OpenError::Read);
    }
    if options.log_bytes_min > 0
        && options.vfs.is_none()
        && let Err(error) = give_room(file, options.log_bytes_min)
    {
        // A full disk: the log grows as it can.
        tracing::warn!(%error, "no room for SQLite's log in advance");
    }
    Ok(db)
}

/// Fills SQLite's log, which is empty, with zeros: no frame is valid in them, and SQLite writes over them from the start.
fn give_room(file: &Path, bytes: usize) -> std::io::Result<()> {
    let log = file.with_extension("sqlite-wal");
    let mut log = File::options().write(true).create(true).truncate(false).open(log)?;
    let zeros = vec![0; 1024 * 1024];
    for at in (0..bytes).step_by(zeros.len()) {
        log.write_all(&zeros[..zeros.len().min(bytes - at)])?;
    }
    log.sync_all()
}

/// Opens a reader's connection to a file that the writer has opened.
pub(super) fn open_reader(file: &Path, options: &Options) -> rusqlite::Result<Connection> {
    let db = connect(file, options, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    db.execute_batch("PRAGMA query_only = TRUE; PRAGMA cache_size = -8192;")?;
    Ok(db)
}

fn connect(file: &Path, options: &Options, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = match &options.vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(file, flags, vfs.as_str())?,
        None => Connection::open_with_flags(file, flags)?,
    };
    db.busy_timeout(Duration::from_secs(5))?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}
