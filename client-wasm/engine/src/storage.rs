//! The local store: an ordered table of bytes for each [`Table`], in IndexedDB, or in memory where there is none.

use crate::indexed_db::{Ended, IndexedDb, OpenError};
use crate::memory_storage::MemoryStorage;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use sync_core::device::{StorageError, Table, Write};

/// Rows of one table in ascending order of their keys.
#[derive(Debug, Default)]
pub struct Rows {
    /// Key and value.
    pub rows: Vec<(Vec<u8>, Bytes)>,
    /// There are more in the range.
    pub more: bool,
    bytes: usize,
}

impl Rows {
    /// Adds the next row, unless the values were then more than `bytes_max` together: then there is more. The first row
    /// always fits.
    pub fn push(&mut self, key: Vec<u8>, value: Bytes, bytes_max: usize) {
        self.more = !self.rows.is_empty() && self.bytes + value.len() > bytes_max;
        if !self.more {
            self.bytes += value.len();
            self.rows.push((key, value));
        }
    }
    /// Bytes of the values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Where this engine keeps its tables.
pub enum Storage {
    /// On this device.
    IndexedDb(IndexedDb),
    /// Nowhere that lasts.
    Memory(MemoryStorage),
}

impl Storage {
    /// Opens the database and takes it over from any other host, or goes on in memory and says why.
    /// An error where a newer build has written it: then nothing is read.
    pub async fn open(
        name: &str,
        on_end: impl Fn(Ended) + 'static,
    ) -> Result<(Storage, Option<String>), NewerDatabase> {
        match IndexedDb::open(name, on_end).await {
            Ok(database) => Ok((Storage::IndexedDb(database), None)),
            Err(OpenError::Newer) => Err(NewerDatabase),
            Err(OpenError::Unavailable(why)) => Ok((Storage::Memory(MemoryStorage::default()), Some(why))),
        }
    }
    /// Whether nothing here outlives the page.
    pub fn is_memory(&self) -> bool {
        matches!(self, Storage::Memory(_))
    }
    /// Makes all the changes or none; returns when they are on stable storage.
    pub async fn commit(&self, writes: Vec<Write>) -> Result<(), StorageError> {
        match self {
            Storage::IndexedDb(database) => database.commit(writes).await,
            Storage::Memory(memory) => {
                memory.commit(writes);
                Ok(())
            }
        }
    }
    /// Rows with `from <= key < to`: near `bytes_max` bytes of values, at least one row if there is one.
    pub async fn load(&self, table: Table, from: Vec<u8>, to: Vec<u8>, bytes_max: usize) -> Result<Rows, StorageError> {
        match self {
            Storage::IndexedDb(database) => database.load(table, from, to, bytes_max).await,
            Storage::Memory(memory) => Ok(memory.load(table, from, to, bytes_max)),
        }
    }
    /// Lets go of it, so that it can be deleted.
    pub fn close(&self) {
        match self {
            Storage::IndexedDb(database) => database.close(),
            Storage::Memory(_) => {}
        }
    }
}

/// The local database was written by a newer build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the local data was written by a newer build of this app: reload")]
pub struct NewerDatabase;
