//! A SQLite file layer in memory for tests: a disk that loses, tears, fails and runs full as real ones do, all of it drawn
//! from one seed.
//!
//! # What can go wrong
//!
//! * **The process is killed.** What it wrote is in the page cache and stays; locks and shared memory are gone.
//! * **The power is cut.** Each sector that was written and not synced survives, is lost, or is cut off inside: any subset,
//!   so in any order. A file that was made and never synced may be gone, one that was deleted may be back.
//! * **A read, write, sync, truncation, deletion or opening fails**, at a rate. A failed write may have written a part. Of
//!   what a failed sync was to make durable, each sector is durable, or still to be synced, or will never be: then reads
//!   show it, later syncs report success, and a power cut loses it (as Linux does).
//! * **The disk is full**: a write beyond its size writes what fits.
//!
//! What the layer promises SQLite is what its layer for Unix promises: a sector that is cut off inside damages only what was
//! being written (`SQLITE_IOCAP_POWERSAFE_OVERWRITE`), and the first sync of a new file makes its name durable.
//!
//! The only crate of the workspace with `unsafe`: SQLite's file layer is a table of C functions.
#![deny(missing_docs)]

mod file;
mod layer;
mod rng;

use file::Node;
use rng::Rng;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The layer's name for SQLite.
pub const VFS: &str = "simulated-disk";

/// What happened, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Bytes went to a file; they are not on stable storage.
    Write {
        /// The file's name without its folder.
        file: String,
        /// How many bytes.
        bytes: usize,
    },
    /// All that was written to the file is on stable storage.
    Sync {
        /// The file's name without its folder.
        file: String,
    },
    /// The test's own mark.
    Mark(String),
}

/// Of 10,000 calls so many fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Reads.
    pub reads: u32,
    /// Writes and truncations.
    pub writes: u32,
    /// Syncs.
    pub syncs: u32,
    /// Openings and deletions.
    pub names: u32,
}

/// How a process that uses the disk ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// It is killed: what it wrote is still there.
    Killed,
    /// The power is cut: of what was not synced, each sector survives with this chance, in percent.
    PowerCut {
        /// The chance.
        survives_percent: u32,
    },
}

/// A disk. Clones are the same disk; it is gone with the last of them.
#[derive(Clone)]
pub struct Disk(Arc<Mutex<State>>);

pub(crate) struct State {
    rng: Rng,
    /// By their names in the folder.
    files: BTreeMap<String, Node>,
    /// Deleted, and back if the power is cut now.
    ghosts: BTreeMap<String, Vec<u8>>,
    /// Files that are open under an earlier number are dead.
    life: u64,
    bytes_max: usize,
    rates: Rates,
    failed_calls: u64,
    events: Vec<Event>,
    recording: bool,
}

/// Disks by their folders.
static DISKS: Mutex<BTreeMap<PathBuf, Weak<Mutex<State>>>> = Mutex::new(BTreeMap::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk {
    /// An empty disk: what SQLite opens in this folder with [`VFS`] is on it. Nothing is made in the real folder.
    pub fn new(folder: &Path, seed: u64) -> Disk {
        layer::register_once();
        let disk = Disk(Arc::new(Mutex::new(State {
            rng: Rng::new(seed),
            files: BTreeMap::new(),
            ghosts: BTreeMap::new(),
            life: 0,
            bytes_max: usize::MAX,
            rates: Rates::default(),
            failed_calls: 0,
            events: vec![],
            recording: false,
        })));
        let mut disks = lock(&DISKS);
        disks.retain(|_, disk| disk.strong_count() > 0);
        disks.insert(folder.into(), Arc::downgrade(&disk.0));
        disk
    }
    pub(crate) fn of(folder: &Path) -> Option<Disk> {
        lock(&DISKS).get(folder)?.upgrade().map(Disk)
    }
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }

    /// From now on calls fail at these rates.
    pub fn set_rates(&self, rates: Rates) {
        self.lock().rates = rates;
    }
    /// How many calls have failed.
    pub fn failed_calls(&self) -> u64 {
        self.lock().failed_calls
    }
    /// From now on all files together have at most so many bytes.
    pub fn set_bytes_max(&self, bytes_max: usize) {
        self.lock().bytes_max = bytes_max;
    }
    /// Bytes of all files.
    pub fn bytes(&self) -> usize {
        self.lock().files.values().map(|node| node.visible.len()).sum()
    }

    /// The process ends. Its files are dead: whatever it still calls fails and changes nothing, so that dropping what was
    /// open does no harm. The next process finds what is left.
    pub fn crash(&self, crash: Crash) {
        let state = &mut *self.lock();
        state.life += 1;
        for node in state.files.values_mut() {
            node.forget_holders();
        }
        let Crash::PowerCut { survives_percent } = crash else { return };
        let State { rng, files, ghosts, .. } = state;
        files.retain(|_, node| {
            node.power_cut(rng, survives_percent);
            node.is_named || rng.percent(survives_percent)
        });
        for (name, durable) in std::mem::take(ghosts) {
            if !files.contains_key(&name) && rng.percent(50) {
                files.insert(name, Node::durable(durable));
            }
        }
    }

    /// What is seen now of each file, by name.
    pub fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        self.lock().files.iter().map(|(name, node)| (name.clone(), node.visible.clone())).collect()
    }
    /// Other files in place of all there are, durable. Nothing may be open.
    pub fn replace(&self, files: BTreeMap<String, Vec<u8>>) {
        let mut state = self.lock();
        state.life += 1;
        state.ghosts.clear();
        state.files = files.into_iter().map(|(name, bytes)| (name, Node::durable(bytes))).collect();
    }

    /// Writes down what happens from now on.
    pub fn record(&self) {
        self.lock().recording = true;
    }
    /// Puts the test's own mark among the events.
    pub fn mark(&self, text: &str) {
        self.lock().happened(|| Event::Mark(text.into()));
    }
    /// What happened since `record`.
    pub fn events(&self) -> Vec<Event> {
        self.lock().events.clone()
    }
}

impl State {
    pub(crate) fn happened(&mut self, event: impl FnOnce() -> Event) {
        if self.recording {
            self.events.push(event());
        }
    }
    /// Whether this call is one that fails.
    pub(crate) fn fails(&mut self, rate: impl Fn(&Rates) -> u32) -> bool {
        let rate = rate(&self.rates);
        let fails = rate > 0 && self.rng.below(10_000) < u64::from(rate);
        self.failed_calls += u64::from(fails);
        fails
    }
    /// Names in the folder are durable as they are.
    pub(crate) fn sync_names(&mut self) {
        self.ghosts.clear();
        self.files.values_mut().for_each(|node| node.is_named = true);
    }
    pub(crate) fn delete(&mut self, name: &str, sync_folder: bool) -> bool {
        let Some(node) = self.files.remove(name) else { return false };
        if node.is_named {
            self.ghosts.insert(name.into(), node.durable);
        }
        if sync_folder {
            self.sync_names();
        }
        true
    }
    /// How many bytes of a write that ends here fit on the disk.
    pub(crate) fn fitting(&self, name: &str, at: usize, bytes: usize) -> usize {
        let len = self.files.get(name).map_or(0, |node| node.visible.len());
        let grows = (at + bytes).saturating_sub(len);
        let used: usize = self.files.values().map(|node| node.visible.len()).sum();
        let free = self.bytes_max.saturating_sub(used);
        bytes - grows.saturating_sub(free).min(bytes)
    }
}
