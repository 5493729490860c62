//! A SQLite file layer for tests. It passes everything on to the platform's, writes down which file was written and
//! synced in which order, fails on demand, and can make the folder as a power cut would leave it: with what was synced,
//! and of what was not, only what the test chooses. (A killed process proves nothing here: the page cache survives it.)
//!
//! The only crate of the workspace with `unsafe`: SQLite's file layer is a table of C functions.
#![deny(missing_docs)]

mod layer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

/// The record of one file layer. Clones are the same record.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<Recording>>);

#[derive(Default)]
struct Recording {
    events: Vec<Event>,
    files: BTreeMap<PathBuf, Content>,
    fails_writes: bool,
    fails_syncs: bool,
}

/// A file as stable storage has it, and what came since.
#[derive(Default)]
struct Content {
    durable: Vec<u8>,
    pending: Vec<Change>,
}

enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate { bytes: usize },
}

impl Content {
    fn apply(durable: &mut Vec<u8>, change: &Change) {
        match change {
            Change::Write { at, bytes } => {
                durable.resize(durable.len().max(at + bytes.len()), 0);
                durable[*at..at + bytes.len()].copy_from_slice(bytes);
            }
            Change::Truncate { bytes } => durable.resize(*bytes, 0),
        }
    }
}

impl Recorder {
    /// Makes a file layer of this name, for as long as the process lives. The name is new.
    pub fn register(name: &str) -> Recorder {
        let recorder = Recorder::default();
        layer::register(name, recorder.clone());
        recorder
    }
    fn lock(&self) -> MutexGuard<'_, Recording> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Puts the test's own mark among the events.
    pub fn mark(&self, text: &str) {
        self.lock().events.push(Event::Mark(text.into()));
    }
    /// What happened so far.
    pub fn events(&self) -> Vec<Event> {
        self.lock().events.clone()
    }
    /// From now on writes fail, or not.
    pub fn fail_writes(&self, fail: bool) {
        self.lock().fails_writes = fail;
    }
    /// From now on syncs fail, or not.
    pub fn fail_syncs(&self, fail: bool) {
        self.lock().fails_syncs = fail;
    }
    /// Writes into a folder the files that a power cut would leave now. Of each file's unsynced changes those survive for
    /// which `survives` says so, given their number.
    pub fn power_cut(&self, into: &Path, mut survives: impl FnMut(usize) -> bool) -> std::io::Result<()> {
        std::fs::create_dir_all(into)?;
        for (path, content) in &self.lock().files {
            let mut left = content.durable.clone();
            for (number, change) in content.pending.iter().enumerate() {
                if survives(number) {
                    Content::apply(&mut left, change);
                }
            }
            std::fs::write(into.join(path.file_name().unwrap_or_default()), left)?;
        }
        Ok(())
    }

    fn opened(&self, path: &Path) {
        self.lock().files.entry(path.into()).or_default();
    }
    fn deleted(&self, path: &Path) {
        self.lock().files.remove(path);
    }
    /// Whether the write may happen.
    fn writes(&self, path: &Path, at: usize, bytes: &[u8]) -> bool {
        let mut recording = self.lock();
        if recording.fails_writes {
            return false;
        }
        recording.events.push(Event::Write { file: file_name(path), bytes: bytes.len() });
        let content = recording.files.entry(path.into()).or_default();
        content.pending.push(Change::Write { at, bytes: bytes.into() });
        true
    }
    fn truncates(&self, path: &Path, bytes: usize) {
        self.lock().files.entry(path.into()).or_default().pending.push(Change::Truncate { bytes });
    }
    /// Whether the sync may happen.
    fn syncs(&self, path: &Path) -> bool {
        let mut recording = self.lock();
        if recording.fails_syncs {
            return false;
        }
        recording.events.push(Event::Sync { file: file_name(path) });
        let content = recording.files.entry(path.into()).or_default();
        for change in std::mem::take(&mut content.pending) {
            Content::apply(&mut content.durable, &change);
        }
        true
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
