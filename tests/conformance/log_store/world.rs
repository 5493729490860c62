//! What the suite needs of the world: a store that can be opened again, and authors.

use bytes::Bytes;
use relay_server::log_store::embedded::{EmbeddedLog, Options};
use relay_server::log_store::shell::Store;
use relay_server::log_store::simulated::{Disk, SimulatedLog};
use relay_server::log_store::{Limits, LogStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use sync_core::digest;
use sync_core::event::{Author as Subject, Cause, Content, Event, Kind};
use sync_core::ids::*;
use sync_core::relay::store::*;
use sync_core::wire::decode_run;

/// A folder of its own, gone in the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tidelog-conformance-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Folder(std::env::temp_dir().join(name))
    }
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

enum Kept {
    Simulated(Disk),
    Embedded { folder: Folder, generation_bytes_max: usize },
    OnSimulatedDisk { folder: Folder, disk: simulated_disk::Disk },
}

/// A place with a store in it.
pub struct World {
    kept: Kept,
    reopens: bool,
    open: Option<Arc<dyn LogStore>>,
    opened: u32,
}

impl World {
    fn new(kept: Kept, reopens: bool) -> World {
        World { kept, reopens, open: None, opened: 0 }
    }
    pub fn simulated() -> World {
        World::new(Kept::Simulated(Disk::default()), false)
    }
    pub fn embedded() -> World {
        World::new(Kept::Embedded { folder: Folder::new(), generation_bytes_max: 32 << 20 }, false)
    }
    pub fn folding() -> World {
        World::new(Kept::Embedded { folder: Folder::new(), generation_bytes_max: 1 }, false)
    }
    pub fn reopening() -> World {
        World::new(Kept::Embedded { folder: Folder::new(), generation_bytes_max: 4096 }, true)
    }
    /// The power is cut before each call, and takes with it all that was not synced.
    pub fn power_cut() -> World {
        let folder = Folder::new();
        let disk = simulated_disk::Disk::new(folder.path(), 1);
        World::new(Kept::OnSimulatedDisk { folder, disk }, true)
    }
    /// The store, for one call: in a reopening world closed and opened before.
    pub fn store(&mut self) -> Arc<dyn LogStore> {
        if self.reopens {
            if let Kept::OnSimulatedDisk { disk, .. } = &self.kept {
                disk.crash(simulated_disk::Crash::PowerCut { survives_percent: 0 });
            }
            self.open = None;
        }
        self.steady()
    }
    /// The store, to be kept for several calls.
    pub fn steady(&mut self) -> Arc<dyn LogStore> {
        if let Some(store) = &self.open {
            return store.clone();
        }
        self.opened += 1;
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&self.opened.to_be_bytes());
        let store: Arc<dyn LogStore> = match &self.kept {
            Kept::Simulated(disk) => Arc::new(Store::start(SimulatedLog::open(disk.clone(), seed), 1).unwrap()),
            Kept::Embedded { folder, generation_bytes_max } => {
                let options = Options { generation_bytes_max: *generation_bytes_max, ..Options::new(seed) };
                Arc::new(Store::start(EmbeddedLog::open(folder.path(), options).unwrap(), 2).unwrap())
            }
            Kept::OnSimulatedDisk { folder, .. } => {
                let vfs = Some(simulated_disk::VFS.into());
                let options = Options { vfs, generation_bytes_max: 4096, ..Options::new(seed) };
                Arc::new(Store::start(EmbeddedLog::open(folder.path(), options).unwrap(), 2).unwrap())
            }
        };
        self.open = Some(store.clone());
        store
    }
}

pub fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

/// A device as far as the store knows it: a chain.
#[derive(Clone)]
pub struct Author {
    pub stream: StreamName,
    pub producer: ProducerId,
    pub last: Sequence,
    pub tag: Tag,
    pub subject: Subject,
}

impl Author {
    pub fn new(stream_name: &str, producer: u8) -> Author {
        let (stream, producer) = (stream(stream_name), ProducerId([producer; 16]));
        Author { stream, producer, last: 0, tag: Tag::ZERO, subject: None }
    }
    pub fn content(&self, text: &str) -> Bytes {
        Content { kind: Kind::Application, time: self.last, payload: Bytes::copy_from_slice(text.as_bytes()) }.encode()
    }
    pub fn item(&mut self, body: Body) -> AppendItem {
        let content = match &body {
            Body::Event { content, .. } => content.clone(),
            Body::Void | Body::Refused { .. } => self.content("not in the log"),
        };
        (self.last, self.tag) = (self.last + 1, digest::tag(self.tag, &content));
        AppendItem { tag: self.tag, body }
    }
    pub fn event(&mut self, text: &str) -> AppendItem {
        let content = self.content(text);
        self.item(Body::Event { content, causes: vec![], needs: None })
    }
    pub fn event_with(&mut self, text: &str, causes: Vec<Cause>, needs: Option<(Sequence, Tag)>) -> AppendItem {
        let content = self.content(text);
        self.item(Body::Event { content, causes, needs })
    }
    pub fn void(&mut self) -> AppendItem {
        self.item(Body::Void)
    }
    pub fn refused(&mut self, code: &str) -> AppendItem {
        self.item(Body::Refused { code: code.into(), reason: format!("because of {code}") })
    }
    /// The next items as a batch.
    pub fn batch(&mut self, items: impl FnOnce(&mut Author) -> Vec<AppendItem>) -> Append {
        let (first, tag_before) = (self.last + 1, self.tag);
        let items = items(self);
        Append {
            stream: self.stream.clone(),
            epoch: None,
            producer: self.producer,
            first,
            tag_before,
            origin: tag_before,
            author: self.subject.clone(),
            items,
        }
    }
    /// So many events as a batch.
    pub fn events(&mut self, count: usize) -> Append {
        self.batch(|author| (0..count).map(|n| author.event(&format!("event {n}"))).collect())
    }
    pub fn resume(&self, check_at: Option<(Epoch, Offset)>) -> ResumeRequest {
        ResumeRequest { stream: self.stream.clone(), producer: self.producer, settled: 1, check_at }
    }
}

/// The events of an append as an earlier log would have held them all.
pub fn as_events(append: &Append) -> Vec<Event> {
    let (mut tag_before, mut events) = (append.origin, vec![]);
    let mut prev = (append.first - 1, append.tag_before);
    for (sequence, item) in (append.first..).zip(&append.items) {
        if let Body::Event { content, causes, needs } = &item.body {
            events.push(Event {
                id: EventId { producer: append.producer, sequence },
                tag: item.tag,
                tag_before,
                prev,
                offset: Offset::ZERO,
                author: append.author.clone(),
                needs_prev: needs.is_some(),
                causes: causes.clone(),
                content: content.clone(),
            });
            prev = (sequence, item.tag);
        }
        tag_before = item.tag;
    }
    events
}

pub fn heal(stream: &StreamName, events: Vec<Event>) -> HealRequest {
    HealRequest { stream: stream.clone(), epoch: None, events }
}

/// The offsets of outcomes that must all be logged.
pub fn offsets(appended: &Appended) -> Vec<u64> {
    appended
        .outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Logged(offset) => offset.offset().0,
            other => panic!("not logged: {other:?}"),
        })
        .collect()
}

/// The events of encoded runs.
pub fn decoded(runs: &[EncodedRun]) -> Vec<Event> {
    let events = |run: &EncodedRun| {
        let decoded = decode_run(&run.bytes).unwrap();
        assert_eq!((decoded.producer, decoded.first, decoded.offset), (run.producer, run.first, run.offset));
        assert_eq!(decoded.bodies.len(), run.events as usize);
        let events = decoded.events(|_, _| None).unwrap();
        assert_eq!(events.iter().map(|event| event.content.len()).sum::<usize>(), run.content_bytes as usize);
        events
    };
    runs.iter().flat_map(events).collect()
}

/// Reads the whole log behind `after`, in steps.
pub async fn read_all(world: &mut World, name: &StreamName, after: Offset, bytes_max: usize) -> Vec<Event> {
    let epoch = epoch_of(world, name).await;
    let (mut after, mut all) = (after, vec![]);
    loop {
        let request = ReadRequest { stream: name.clone(), epoch, after, bytes_max };
        let ReadAnswer::Batch(batch) = world.steady().read(request).await.unwrap() else { panic!("no batch") };
        assert_eq!(batch.after, after);
        if batch.runs.is_empty() {
            assert_eq!(batch.upto.offset(), after);
            return all;
        }
        let events = decoded(&batch.runs);
        assert_eq!(events.first().map(|event| event.offset), Some(Offset(after.0 + 1)));
        assert_eq!(events.last().map(|event| event.offset), Some(batch.upto.offset()));
        after = batch.upto.offset();
        all.extend(events);
    }
}

pub async fn epoch_of(world: &mut World, name: &StreamName) -> Epoch {
    let request = ResumeRequest { stream: name.clone(), producer: ProducerId([0; 16]), settled: 1, check_at: None };
    world.store().resume(request).await.unwrap().epoch
}

pub fn limits() -> Limits {
    Limits::default()
}
