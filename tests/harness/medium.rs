//! What a store of the world is on: the simulated store's memory, or a simulated disk with SQLite on it.

use crate::rng::Rng;
use relay_server::log_store::embedded::{EmbeddedLog, OpenError, Options};
use relay_server::log_store::simulated::{Disk, SimulatedLog};
use relay_server::log_store::{Committed, Log, LogReader, Memory, Request, SnapshotPut};
use simulated_disk::{Crash, Rates, VFS};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use sync_core::ids::*;
use sync_core::relay::store::*;

/// What survives a restart.
pub(crate) enum Medium {
    /// The simulated store's.
    Simulated(Disk),
    /// The embedded store's.
    Embedded(Box<OnDisk>),
}

/// A copy of it.
pub(crate) enum Copy {
    Simulated(Disk),
    Embedded(BTreeMap<String, Vec<u8>>),
}

/// The embedded store's disk, which fails at some rate, and how the store is opened on it.
pub(crate) struct OnDisk {
    disk: simulated_disk::Disk,
    /// Real, for the store's lock alone; gone with the world.
    folder: PathBuf,
    options: Options,
    rates: Rates,
}

impl Drop for OnDisk {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

impl OnDisk {
    /// Small bounds, so that all of the store's parts work in a short walk; errors in one walk of two.
    fn new(rng: &mut Rng) -> OnDisk {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tidelog-world-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        let options = Options {
            vfs: Some(VFS.into()),
            log_pages_max: [5, 16_384][rng.below(2) as usize],
            generation_bytes_max: [1, 1_000, 100_000][rng.below(3) as usize],
            streams_max: rng.below(3) as usize,
            records_max: rng.below(4) as usize,
            ..Options::new(rng.seed())
        };
        let rate = |rng: &mut Rng| [0, 0, 20, 200][rng.below(4) as usize];
        let rates = Rates { reads: rate(rng) / 10, writes: rate(rng), syncs: rate(rng), names: rate(rng) };
        OnDisk { disk: simulated_disk::Disk::new(&folder, rng.number()), folder, options, rates }
    }
    fn open(&self, rng: &mut Rng) -> Result<Open<EmbeddedLog>, OpenError> {
        let log = EmbeddedLog::open(&self.folder, Options { seed: rng.seed(), ..self.options.clone() })?;
        let reader = RefCell::new(log.open_reader()?);
        Ok(Open { memory: log.memory(), reader, log })
    }
}

impl Medium {
    pub fn simulated() -> Medium {
        Medium::Simulated(Disk::default())
    }
    pub fn embedded(rng: &mut Rng) -> Medium {
        Medium::Embedded(Box::new(OnDisk::new(rng)))
    }
    /// Opens the store. A disk that fails is let alone for as long as that takes.
    pub fn open(&self, rng: &mut Rng) -> Box<dyn Halves> {
        match self {
            Medium::Simulated(disk) => {
                let log = SimulatedLog::open(disk.clone(), rng.seed());
                let reader = RefCell::new(log.reader().expect("the simulated store always opens"));
                Box::new(Open { memory: log.memory(), reader, log })
            }
            Medium::Embedded(on) => {
                self.set_failing(true);
                let opened = on.open(rng).or_else(|_| {
                    self.set_failing(false);
                    on.open(rng)
                });
                self.set_failing(true);
                Box::new(opened.expect("it opens on a disk that does not fail"))
            }
        }
    }
    /// Whether the disk fails now and then.
    pub fn set_failing(&self, failing: bool) {
        if let Medium::Embedded(on) = self {
            on.disk.set_rates(if failing { on.rates } else { Rates::default() });
        }
    }
    /// How many calls of its disk have failed.
    pub fn failed_calls(&self) -> u64 {
        match self {
            Medium::Simulated(_) => 0,
            Medium::Embedded(on) => on.disk.failed_calls(),
        }
    }
    /// It does not fail any more.
    pub fn calm(&mut self) {
        if let Medium::Embedded(on) = self {
            on.rates = Rates::default();
            on.disk.set_rates(on.rates);
        }
    }
    /// The store's process ends, by itself or with its machine.
    pub fn crash(&self, rng: &mut Rng) {
        if let Medium::Embedded(on) = self {
            let survives_percent = [0, 50, 95][rng.below(3) as usize];
            let killed = rng.percent(40);
            on.disk.crash(if killed { Crash::Killed } else { Crash::PowerCut { survives_percent } });
        }
    }
    pub fn copy(&self) -> Copy {
        match self {
            Medium::Simulated(disk) => Copy::Simulated(disk.copy()),
            Medium::Embedded(on) => Copy::Embedded(on.disk.contents()),
        }
    }
    /// A copy in its place.
    pub fn restore(&self, copy: &Copy) {
        match (self, copy) {
            (Medium::Simulated(disk), Copy::Simulated(copy)) => disk.restore(copy),
            (Medium::Embedded(on), Copy::Embedded(files)) => on.disk.replace(files.clone()),
            (Medium::Simulated(_), Copy::Embedded(_)) | (Medium::Embedded(_), Copy::Simulated(_)) => {
                unreachable!("a copy is of the same store")
            }
        }
    }
    /// Nothing is left.
    pub fn lose(&self) {
        match self {
            Medium::Simulated(disk) => disk.restore(&Disk::default()),
            Medium::Embedded(on) => on.disk.replace(BTreeMap::new()),
        }
    }
}

/// A store of the product in operation, both halves of it.
struct Open<L: Log> {
    log: L,
    reader: RefCell<L::Reader>,
    memory: Arc<dyn Memory>,
}

/// The same, whichever store it is.
pub(crate) trait Halves: Send {
    fn commit(&mut self, request: Request) -> Committed;
    fn trim(&mut self, stream: &StreamName, epoch: Epoch, upto: Offset) -> Result<Offset, StoreError>;
    fn put_snapshot(
        &mut self,
        stream: &StreamName,
        epoch: Epoch,
        snapshot: &Snapshot,
    ) -> Result<SnapshotPut, StoreError>;
    fn new_epoch(&mut self, stream: &StreamName, current: Epoch) -> Result<Epoch, StoreError>;
    fn resume(&self, request: &ResumeRequest) -> Result<ResumeInfo, StoreError>;
    fn read(&self, request: &ReadRequest) -> Result<ReadAnswer, StoreError>;
    fn snapshot(&self, stream: &StreamName, records: &[ProducerId]) -> Result<Option<(Epoch, Snapshot)>, StoreError>;
}

impl<L: Log> Halves for Open<L> {
    fn commit(&mut self, request: Request) -> Committed {
        self.log.commit(vec![request])
    }
    fn trim(&mut self, stream: &StreamName, epoch: Epoch, upto: Offset) -> Result<Offset, StoreError> {
        self.log.trim(stream, epoch, upto)
    }
    fn put_snapshot(
        &mut self,
        stream: &StreamName,
        epoch: Epoch,
        snapshot: &Snapshot,
    ) -> Result<SnapshotPut, StoreError> {
        self.log.put_snapshot(stream, epoch, snapshot)
    }
    fn new_epoch(&mut self, stream: &StreamName, current: Epoch) -> Result<Epoch, StoreError> {
        self.log.new_epoch(stream, current)
    }
    // As the product's shell does: memory first.
    fn resume(&self, request: &ResumeRequest) -> Result<ResumeInfo, StoreError> {
        self.memory.resume(request).map_or_else(|| self.reader.borrow_mut().resume(request), Ok)
    }
    fn read(&self, request: &ReadRequest) -> Result<ReadAnswer, StoreError> {
        self.memory.read(request).map_or_else(|| self.reader.borrow_mut().read(request), Ok)
    }
    fn snapshot(&self, stream: &StreamName, records: &[ProducerId]) -> Result<Option<(Epoch, Snapshot)>, StoreError> {
        self.reader.borrow_mut().snapshot(stream, records)
    }
}
