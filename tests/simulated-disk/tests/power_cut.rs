//! What the embedded log store answers is on stable storage before it is answered.

use bytes::Bytes;
use relay_server::log_store::embedded::{EmbeddedLog, Options};
use relay_server::log_store::{Hint, Log, LogReader, Reply, Request};
use simulated_disk::{Crash, Disk, Event, Rates, VFS};
use std::path::PathBuf;
use sync_core::digest;
use sync_core::event::{Content, Kind};
use sync_core::ids::*;
use sync_core::relay::store::*;

/// A folder of its own, gone in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = Folder(std::env::temp_dir().join(format!("tidelog-disk-{}-{name}", std::process::id())));
        std::fs::remove_dir_all(&folder.0).ok();
        folder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn open(folder: &Folder) -> EmbeddedLog {
    let vfs = Some(VFS.into());
    // A small generation: folding and deleting rows happen in the commits too.
    let options = Options { vfs, generation_bytes_max: 3_000, ..Options::new([1; 32]) };
    EmbeddedLog::open(&folder.0, options).unwrap()
}

/// One producer's chain.
struct Author {
    last: Sequence,
    tag: Tag,
}

impl Author {
    fn new() -> Author {
        Author { last: 0, tag: Tag::ZERO }
    }
    fn event(&mut self) -> Append {
        let (first, tag_before) = (self.last + 1, self.tag);
        let content = Content { kind: Kind::Application, time: first, payload: Bytes::from(vec![b'x'; 150]) }.encode();
        (self.last, self.tag) = (first, digest::tag(tag_before, &content));
        let items = vec![AppendItem { tag: self.tag, body: Body::Event { content, causes: vec![], needs: None } }];
        Append {
            stream: stream(),
            epoch: None,
            producer: ID,
            first,
            tag_before,
            origin: tag_before,
            author: None,
            items,
        }
    }
}

const ID: ProducerId = ProducerId([7; 16]);

fn stream() -> StreamName {
    StreamName::new("s").unwrap()
}

fn append(log: &mut EmbeddedLog, append: Append) -> (Result<Appended, StoreError>, Vec<Hint>) {
    let mut committed = log.commit(vec![Request::Append(append)]);
    match committed.replies.pop() {
        Some(Reply::Append(answer)) => (answer, committed.hints),
        other => panic!("{other:?}"),
    }
}

fn resume(log: &EmbeddedLog) -> ResumeInfo {
    let request = ResumeRequest { stream: stream(), producer: ID, settled: 1, check_at: None };
    log.reader().unwrap().resume(&request).unwrap()
}

#[test]
fn no_append_is_answered_before_the_sync_of_what_it_wrote() {
    let folder = Folder::new("order");
    let disk = Disk::new(&folder.0, 1);
    disk.record();
    let mut log = open(&folder);
    let mut author = Author::new();
    for _ in 0..200 {
        disk.mark("asked");
        append(&mut log, author.event()).0.unwrap();
        disk.mark("answered");
    }
    let (mut answers, mut unsynced, mut wrote) = (0, false, false);
    for event in disk.events() {
        match event {
            Event::Mark(mark) if mark == "asked" => wrote = false,
            Event::Mark(_) => {
                assert!(wrote && !unsynced, "answer {answers} before the sync");
                answers += 1;
            }
            Event::Write { file, .. } if file.ends_with("-wal") => (unsynced, wrote) = (true, true),
            Event::Sync { file } if file.ends_with("-wal") => unsynced = false,
            Event::Write { .. } | Event::Sync { .. } => {}
        }
    }
    assert_eq!(answers, 200);
}

#[test]
fn after_a_power_cut_every_answered_append_is_there() {
    for survives_percent in [0, 50, 100] {
        let folder = Folder::new(&format!("cut-{survives_percent}"));
        let disk = Disk::new(&folder.0, 1);
        let mut author = Author::new();
        let mut log = open(&folder);
        for _ in 0..60 {
            append(&mut log, author.event()).0.unwrap();
            disk.crash(Crash::PowerCut { survives_percent });
            drop(log);
            log = open(&folder);
            let info = resume(&log);
            assert_eq!((info.known.last, info.known.tag, info.head), (author.last, author.tag, Offset(author.last)));
        }
    }
}

#[test]
fn a_failed_sync_is_unknown_and_the_same_append_settles_it() {
    let folder = Folder::new("fail");
    let disk = Disk::new(&folder.0, 1);
    let mut log = open(&folder);
    let mut author = Author::new();
    append(&mut log, author.event()).0.unwrap();
    let event = author.event();
    disk.set_rates(Rates { syncs: 10_000, ..Rates::default() });
    assert_eq!(append(&mut log, event.clone()).0, Err(StoreError::Unknown));
    // The file cannot be read again while syncs fail: not written.
    assert_eq!(append(&mut log, event.clone()).0, Err(StoreError::Busy));
    disk.set_rates(Rates::default());
    let (settled, hints) = append(&mut log, event);
    let settled = settled.unwrap();
    assert_eq!((settled.outcomes.len(), settled.head.offset()), (1, Offset(2)));
    assert_eq!(hints.first(), Some(&Hint::AllBehind));
    append(&mut log, author.event()).0.unwrap();
    let info = resume(&log);
    assert_eq!((info.known.last, info.head), (3, Offset(3)));
    disk.crash(Crash::PowerCut { survives_percent: 0 });
    drop(log);
    assert_eq!(resume(&open(&folder)).known.last, 3);
}

#[test]
fn a_failed_write_changes_nothing() {
    let folder = Folder::new("write");
    let disk = Disk::new(&folder.0, 1);
    let mut log = open(&folder);
    let mut author = Author::new();
    append(&mut log, author.event()).0.unwrap();
    let before = resume(&log);
    let event = author.event();
    disk.set_rates(Rates { writes: 10_000, ..Rates::default() });
    assert!(append(&mut log, event.clone()).0.is_err());
    assert_eq!(resume(&log), before);
    disk.set_rates(Rates::default());
    assert_eq!(append(&mut log, event).0.unwrap().head.offset(), Offset(2));
}
