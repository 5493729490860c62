//! The embedded log store on a file of which bits were flipped, pages lost or swapped, or rows changed to what no store
//! wrote.
//!
//! It must not panic: it refuses to open, or says which question it cannot answer. What it answers that it has logged, it
//! then shows.

use crate::memory::within;
use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use relay_server::log_store::embedded::{EmbeddedLog, Options};
use relay_server::log_store::{Log, LogReader, Reply, Request, SequenceRange};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use sync_core::digest;
use sync_core::event::{Content, Kind};
use sync_core::ids::*;
use sync_core::relay::store::*;

/// What Rust asks for; SQLite has its own bounds.
const BYTES_MAX: usize = 64 << 20;
const PRODUCER: ProducerId = ProducerId([1; 16]);

/// Interprets the bytes as damage.
pub fn run(data: &[u8]) {
    let place = Place::of_thread();
    within(BYTES_MAX, "a store", || {
        // The bytes have ended: then that is all that is damaged.
        let _ = damage(&place.0, &mut Unstructured::new(data));
        if let Ok(mut log) = EmbeddedLog::open(&place.0, options()) {
            ask_all(&mut log);
        }
        // Once more, for what was written on top of the damage.
        if let Ok(mut log) = EmbeddedLog::open(&place.0, options()) {
            ask_all(&mut log);
        }
    });
}

/// A folder for one thread, gone with it.
struct Place(PathBuf);

impl Place {
    fn of_thread() -> Place {
        let thread = format!("{:?}", std::thread::current().id()).replace(['(', ')'], "-");
        Place(std::env::temp_dir().join(format!("tidelog-fuzz-{}-{thread}", std::process::id())))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// So little in a generation that most is folded and some is not.
fn options() -> Options {
    Options { generation_bytes_max: 700, streams_max: 2, records_max: 2, ..Options::new([5; 32]) }
}

fn stream(name: &str) -> StreamName {
    StreamName::new(name).expect("a name")
}

fn append(log: &mut EmbeddedLog, name: &str, producer: ProducerId, bodies: &[&str]) -> Option<Appended> {
    let reader = &mut log.reader().ok()?;
    let known =
        reader.resume(&ResumeRequest { stream: stream(name), producer, settled: 1, check_at: None }).ok()?.known;
    let mut tag = known.tag;
    let items = bodies.iter().map(|text| {
        let content = Content { kind: Kind::Application, time: 0, payload: text.to_string().into() }.encode();
        tag = digest::tag(tag, &content);
        let body = match *text {
            "void" => Body::Void,
            "refused" => Body::Refused { code: "no".into(), reason: "not that".into() },
            _ => Body::Event { content, causes: vec![], needs: None },
        };
        AppendItem { tag, body }
    });
    let append = Append {
        stream: stream(name),
        epoch: None,
        producer,
        first: known.last.checked_add(1)?,
        tag_before: known.tag,
        origin: known.tag,
        author: Some("ann".into()),
        items: items.collect(),
    };
    match log.commit(vec![Request::Append(append)]).replies.pop() {
        Some(Reply::Append(answer)) => answer.ok(),
        other => panic!("an append was answered by {other:?}"),
    }
}

/// The file of a store with something of everything.
fn whole_file() -> &'static [u8] {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    FILE.get_or_init(|| {
        let place = Place(Place::of_thread().0.with_extension("whole"));
        std::fs::remove_dir_all(&place.0).ok();
        let mut log = EmbeddedLog::open(&place.0, options()).expect("a new store");
        for round in 0..12 {
            let name = ["a", "b/c", "d"][round % 3];
            append(&mut log, name, PRODUCER, &["event", "another event", "void"]).expect("taken");
            append(&mut log, name, ProducerId([2; 16]), &["refused", "event"]).expect("taken");
        }
        let mut reader = log.reader().expect("a reader");
        let (a, offset) = (stream("a"), Offset(3));
        let ask = ResumeRequest { stream: a.clone(), producer: PRODUCER, settled: 1, check_at: None };
        let epoch = reader.resume(&ask).expect("it is there").epoch;
        let check = reader.check(&a, epoch, offset).expect("it is there").expect("above the floor");
        let records = vec![];
        let snapshot = Snapshot { offset, check, parts: vec![Bytes::from_static(b"one"), "two".into()], records };
        log.put_snapshot(&a, epoch, &snapshot).expect("it fits the log");
        log.trim(&a, epoch, Offset(2)).expect("below the snapshot");
        drop((reader, log));
        std::fs::read(place.0.join("log.sqlite")).expect("the store's file")
    })
}

/// Blobs and numbers of all tables, by name.
const CELLS: [(&str, &str); 12] = [
    ("tail", "bytes"),
    ("tail", "number"),
    ("chunk", "bytes"),
    ("chunk", "first"),
    ("chunk", "last"),
    ("chunk", "check_before"),
    ("stream", "name"),
    ("stream", "folded"),
    ("stream", "floor"),
    ("producer", "last"),
    ("producer", "tag"),
    ("snapshot_part", "bytes"),
];

fn damage(folder: &Path, bytes: &mut Unstructured<'_>) -> Result<()> {
    const PAGE_BYTES: usize = 4096;
    let mut file = whole_file().to_vec();
    let pages = file.len() / PAGE_BYTES;
    std::fs::create_dir_all(folder).expect("a folder for temporary files");
    for _ in 0..bytes.int_in_range(0..=4)? {
        let at = bytes.int_in_range(0..=file.len() - 1)?;
        match bytes.int_in_range(0..=5)? {
            0..=2 => file[at] ^= 1 << bytes.int_in_range(0..=7)?,
            3 => file[at / PAGE_BYTES * PAGE_BYTES..][..PAGE_BYTES].fill(0),
            4 => {
                let (from, to) = (at / PAGE_BYTES * PAGE_BYTES, bytes.int_in_range(0..=pages - 1)? * PAGE_BYTES);
                file.copy_within(from..from + PAGE_BYTES, to);
            }
            _ => file[at] = bytes.arbitrary()?,
        }
    }
    if bytes.ratio(1u8, 8u8)? {
        file.truncate(bytes.int_in_range(0..=file.len())?);
    }
    let path = folder.join("log.sqlite");
    std::fs::write(&path, &file).expect("room for a small file");
    if bytes.arbitrary()? {
        rows(&path, bytes)?;
    }
    Ok(())
}

/// Changes rows by SQL, so that the file is in order and what is in it is not.
fn rows(path: &Path, bytes: &mut Unstructured<'_>) -> Result<()> {
    let Ok(db) = Connection::open(path) else { return Ok(()) };
    for _ in 0..bytes.int_in_range(1..=3)? {
        let (table, column) = *bytes.choose(&CELLS)?;
        let row = bytes.int_in_range(0..=15)?;
        let place = format!("FROM {table} LIMIT 1 OFFSET {row} % max((SELECT count(*) FROM {table}), 1)");
        let old = db.query_row(&format!("SELECT CAST({column} AS BLOB) {place}"), [], |row| row.get::<_, Vec<u8>>(0));
        let (Ok(mut cell), Ok(numeric)) = (
            old,
            db.query_row(&format!("SELECT typeof({column}) = 'integer' {place}"), [], |row| row.get::<_, bool>(0)),
        ) else {
            continue;
        };
        let key = db.query_row(&format!("SELECT {column} {place}"), [], |row| row.get::<_, rusqlite::types::Value>(0));
        let Ok(key) = key else { continue };
        let update = format!("UPDATE OR IGNORE {table} SET {column} = ?1 WHERE {column} = ?2");
        // A file that is damaged too may refuse.
        if numeric {
            let number = *bytes.choose(&[0, 1, -1, 7, i64::MAX, i64::MIN, 1 << 53, (1 << 53) - 1])?;
            db.execute(&update, (number, key)).ok();
        } else {
            for _ in 0..bytes.int_in_range(1..=3)? {
                if let Some(last) = cell.len().checked_sub(1) {
                    let at = bytes.int_in_range(0..=last)?;
                    cell[at] = bytes.arbitrary()?;
                }
            }
            if bytes.ratio(1u8, 6u8)? {
                cell.truncate(bytes.int_in_range(0..=cell.len())?);
            }
            match String::from_utf8(cell) {
                Ok(text) if column == "name" => db.execute(&update, (text, key)).ok(),
                Ok(text) => db.execute(&update, (text.into_bytes(), key)).ok(),
                Err(bytes) => db.execute(&update, (bytes.into_bytes(), key)).ok(),
            };
        }
    }
    Ok(())
}

/// Every question, whatever the answers are.
fn ask_all(log: &mut EmbeddedLog) {
    for name in ["a", "b/c", "d"] {
        let Ok(mut reader) = log.reader() else { return };
        let ask = ResumeRequest { stream: stream(name), producer: PRODUCER, settled: 1, check_at: None };
        let Ok(info) = reader.resume(&ask) else { continue };
        let epoch = info.epoch;
        reader.resume(&ResumeRequest { check_at: Some((epoch, Offset(2))), ..ask.clone() }).ok();
        let all = SequenceRange { first: 1, count: 50 };
        reader.offsets_of(&stream(name), PRODUCER, all).ok();
        reader.snapshot(&stream(name), &[PRODUCER]).ok();
        for bytes_max in [1, 1 << 20] {
            read_all(&mut reader, name, epoch, bytes_max);
        }
        drop(reader);
        if let Some(appended) = append(log, name, ProducerId([3; 16]), &["written on top"]) {
            shows(log, name, &appended);
        }
        log.trim(&stream(name), epoch, Offset(1)).ok();
    }
    log.new_epoch(&stream("b/c"), Epoch::NONE).ok();
    log.delete(&stream("d")).ok();
}

/// Reads behind each batch until there is no more; a log that goes round in circles is none.
fn read_all(reader: &mut impl LogReader, name: &str, epoch: Epoch, bytes_max: usize) {
    let mut after = Offset::ZERO;
    for _ in 0..200 {
        let ask = ReadRequest { stream: stream(name), epoch, after, bytes_max };
        let Ok(ReadAnswer::Batch(batch)) = reader.read(&ask) else { return };
        let upto = batch.upto.offset();
        assert!(batch.after == after && upto >= after, "read behind {after:?}: {:?} to {upto:?}", batch.after);
        if upto == after {
            return;
        }
        after = upto;
    }
    panic!("a log of some dozen events has no end");
}

/// What was answered as logged is there to be read.
fn shows(log: &mut EmbeddedLog, name: &str, appended: &Appended) {
    let [Outcome::Logged(offset)] = appended.outcomes[..] else { return };
    let Ok(mut reader) = log.reader() else { return };
    let after = Offset(offset.offset().0 - 1);
    let ask = ReadRequest { stream: stream(name), epoch: appended.epoch, after, bytes_max: 1 << 20 };
    if let Ok(ReadAnswer::Batch(batch)) = reader.read(&ask) {
        let has = batch.runs.iter().any(|run| run.offset == offset.offset());
        assert!(has, "{:?} was logged and is not shown", offset.offset());
    }
}
