//! Opening the embedded store's folder: one process, our file, a version that this build knows; and it stays small.

use crate::world::*;
use relay_server::log_store::embedded::{EmbeddedLog, OpenError, Options};
use relay_server::log_store::{Committed, Log, LogReader, Reply, Request};
use rusqlite::Connection;
use sync_core::ids::*;
use sync_core::relay::store::*;

fn open(folder: &Folder) -> Result<EmbeddedLog, OpenError> {
    EmbeddedLog::open(folder.path(), Options::new([1; 32]))
}

#[test]
fn a_second_opener_of_a_folder_is_refused() {
    let folder = Folder::new();
    let first = open(&folder).unwrap();
    assert!(matches!(open(&folder), Err(OpenError::Locked)));
    drop(first);
    assert!(open(&folder).is_ok());
}

#[test]
fn a_newer_schema_is_a_clear_error() {
    let folder = Folder::new();
    drop(open(&folder).unwrap());
    let db = Connection::open(folder.path().join("log.sqlite")).unwrap();
    db.pragma_update(None, "user_version", 7).unwrap();
    drop(db);
    let error = open(&folder).err().unwrap();
    assert!(matches!(error, OpenError::Version { found: 7, known: 1 }));
    assert!(error.to_string().contains("newer build"));
}

#[test]
fn another_programs_file_is_not_touched() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path()).unwrap();
    let db = Connection::open(folder.path().join("log.sqlite")).unwrap();
    db.execute_batch("CREATE TABLE theirs (a); PRAGMA user_version = 1;").unwrap();
    drop(db);
    assert!(matches!(open(&folder), Err(OpenError::NotOurs)));
}

/// A backup tool may do that.
#[test]
fn a_file_that_somebody_reads_is_not_opened_and_loses_nothing() {
    let folder = Folder::new();
    let mut author = Author::new("s", 1);
    let options = || Options { log_bytes_min: 1 << 20, ..Options::new([1; 32]) };
    let mut log = EmbeddedLog::open(folder.path(), options()).unwrap();
    let db = Connection::open(folder.path().join("log.sqlite")).unwrap();
    db.execute_batch("BEGIN").unwrap();
    db.query_row("SELECT count(*) FROM tail", [], |_| Ok(())).unwrap();
    taken(log.commit(vec![Request::Append(author.events(1))]));
    drop(log);
    assert!(matches!(EmbeddedLog::open(folder.path(), options()), Err(OpenError::Read)));
    drop(db);
    let log = EmbeddedLog::open(folder.path(), options()).unwrap();
    assert_eq!(log.reader().unwrap().resume(&author.resume(None)).unwrap().known.last, author.last);
}

fn taken(committed: Committed) {
    for reply in committed.replies {
        assert!(matches!(reply, Reply::Append(Ok(_))), "{reply:?}");
    }
}

#[test]
fn memory_and_tail_stay_bounded_and_nothing_is_lost_by_forgetting() {
    let folder = Folder::new();
    let options = Options { generation_bytes_max: 20_000, streams_max: 10, records_max: 20, ..Options::new([1; 32]) };
    let mut log = EmbeddedLog::open(folder.path(), options).unwrap();
    let mut authors: Vec<_> = (0..100u8).map(|n| Author::new(&format!("s/{n}"), n)).collect();
    for round in 0..60 {
        let chosen = authors.iter_mut().filter(|author| (usize::from(author.producer.0[0]) + round) % 3 == 0);
        taken(log.commit(chosen.map(|author| Request::Append(author.events(2))).collect()));
    }
    let db = Connection::open(folder.path().join("log.sqlite")).unwrap();
    let tail: i64 = db.query_row("SELECT sum(length(bytes)) FROM tail", [], |row| row.get(0)).unwrap();
    assert!(tail < 3 * 20_000, "the tail holds {tail} bytes");
    let mut reader = log.reader().unwrap();
    for author in &mut authors {
        let info = reader.resume(&author.resume(None)).unwrap();
        assert_eq!((info.known.last, info.known.tag, info.head.0), (author.last, author.tag, author.last));
        let request =
            ReadRequest { stream: author.stream.clone(), epoch: info.epoch, after: Offset::ZERO, bytes_max: 1 << 20 };
        let mut read = 0;
        while let ReadAnswer::Batch(batch) =
            reader.read(&ReadRequest { after: Offset(read), ..request.clone() }).unwrap()
        {
            if batch.runs.is_empty() {
                break;
            }
            read = batch.upto.offset().0;
        }
        assert_eq!(read, author.last);
        taken(log.commit(vec![Request::Append(author.events(1))]));
    }
}
