//! The local store when there is no IndexedDB: the same tables, gone when the page or worker ends.

use crate::storage::Rows;
use alloc::vec::Vec;
use bytes::Bytes;
use core::cell::RefCell;
use core::ops::Range;
use sync_core::device::{Table, Write};

/// One table's rows in ascending order of their keys. A row holds a batch of events, so even a long session has few.
type TableRows = Vec<(Vec<u8>, Bytes)>;

/// Tables in memory.
#[derive(Debug, Default)]
pub struct MemoryStorage {
    tables: RefCell<[TableRows; Table::ALL.len()]>,
}

impl MemoryStorage {
    /// Makes all the changes.
    pub fn commit(&self, writes: Vec<Write>) {
        let mut tables = self.tables.borrow_mut();
        for write in writes {
            match write {
                Write::Put { table, key, value } => {
                    let rows = &mut tables[table as usize];
                    match rows.binary_search_by(|(k, _)| k.cmp(&key)) {
                        Ok(at) => rows[at].1 = value,
                        Err(at) => rows.insert(at, (key, value)),
                    }
                }
                Write::DeleteRange { table, from, to } => {
                    let rows = &mut tables[table as usize];
                    let range = between(rows, &from, &to);
                    rows.drain(range);
                }
            }
        }
    }
    /// Rows with `from <= key < to`: near `bytes_max`, at least one.
    pub fn load(&self, table: Table, from: Vec<u8>, to: Vec<u8>, bytes_max: usize) -> Rows {
        let tables = self.tables.borrow();
        let table = &tables[table as usize];
        let mut rows = Rows::default();
        for (key, value) in &table[between(table, &from, &to)] {
            rows.push(key.clone(), value.clone(), bytes_max);
            if rows.more {
                break;
            }
        }
        rows
    }
}

fn between(rows: &TableRows, from: &[u8], to: &[u8]) -> Range<usize> {
    let first = rows.partition_point(|(key, _)| key.as_slice() < from);
    first..rows.partition_point(|(key, _)| key.as_slice() < to).max(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &[u8], value: &'static [u8]) -> Write {
        Write::Put { table: Table::Events, key: key.to_vec(), value: Bytes::from_static(value) }
    }

    #[test]
    fn a_later_write_of_a_key_counts_and_ranges_are_half_open() {
        let storage = MemoryStorage::default();
        let delete = Write::DeleteRange { table: Table::Events, from: vec![1], to: vec![2] };
        storage.commit(vec![put(&[1], b"a"), put(&[1, 0], b"b"), delete, put(&[2], b"d"), put(&[1], b"c")]);
        let rows = storage.load(Table::Events, vec![1], vec![2], usize::MAX);
        assert_eq!((rows.rows, rows.more), (vec![(vec![1], Bytes::from_static(b"c"))], false));
        assert!(storage.load(Table::Events, vec![3], vec![1], 1).rows.is_empty());
        assert!(storage.load(Table::Outbox, vec![], vec![9], 1).rows.is_empty());
    }

    #[test]
    fn a_load_stops_at_its_bytes_but_brings_one_row() {
        let storage = MemoryStorage::default();
        storage.commit(vec![put(&[3], b"cccc"), put(&[1], b"aaaa"), put(&[2], b"bbbb")]);
        let loaded = |bytes_max| {
            let rows = storage.load(Table::Events, vec![0], vec![9], bytes_max);
            (rows.rows.len(), rows.more)
        };
        assert_eq!((loaded(0), loaded(4), loaded(8), loaded(12)), ((1, true), (1, true), (2, true), (3, false)));
    }
}
