//! A device's disk: the ordered key-value store that a device asks for, and how it fails.
//!
//! One transaction is under way at a time; it is stored whole or not at all, at a moment that the world chooses. A crash
//! falls before that moment or between it and the answer. Loads may be answered while a transaction is under way and then
//! do not see it. A full disk stores nothing and says so.

use crate::birth::{Birth, births_in};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use sync_core::device::{Input, StorageError, Table, Write};
use sync_core::ids::StreamName;

/// What a device asks of its disk.
#[derive(Clone, Debug)]
pub enum DiskInput {
    /// Store all of it or nothing.
    Commit {
        /// The device's number.
        transaction: u64,
        /// In order.
        writes: Vec<Write>,
    },
    /// Read `from <= key < to`.
    Load {
        /// The device's number.
        request: u64,
        /// The table.
        table: Table,
        /// The first key.
        from: Vec<u8>,
        /// Behind the last key.
        to: Vec<u8>,
        /// Bytes of values to stop at.
        bytes_max: usize,
    },
}

/// What the disk may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskStep {
    /// Store the transaction under way, or fail it, and say so.
    Commit,
    /// Answer the oldest load.
    Load,
}

/// One row and the births in it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    value: Bytes,
    births: Vec<Birth>,
}

/// A device's disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    rows: BTreeMap<(Table, Vec<u8>), Row>,
    under_way: Option<(u64, Vec<Write>)>,
    loads: VecDeque<DiskInput>,
    /// Nothing more fits.
    pub full: bool,
    /// The next transaction fails once for no good reason.
    pub failing: bool,
    /// Transactions stored.
    pub commits: u64,
}

impl Disk {
    /// Takes a request.
    pub fn handle_input(&mut self, input: DiskInput) {
        match input {
            DiskInput::Commit { transaction, writes } => {
                assert!(self.under_way.is_none(), "a device has one transaction under way at a time");
                self.under_way = Some((transaction, writes));
            }
            load @ DiskInput::Load { .. } => self.loads.push_back(load),
        }
    }

    /// The transaction under way.
    pub fn transaction(&self) -> Option<u64> {
        self.under_way.as_ref().map(|(transaction, _)| *transaction)
    }

    /// What it could do now.
    pub fn steps(&self) -> impl Iterator<Item = DiskStep> {
        let commit = self.under_way.is_some().then_some(DiskStep::Commit);
        commit.into_iter().chain((!self.loads.is_empty()).then_some(DiskStep::Load))
    }

    /// Does it, and says what the device is to be told.
    pub fn poll_output(&mut self, step: DiskStep) -> Option<Input> {
        match step {
            DiskStep::Commit => {
                let (transaction, writes) = self.under_way.take()?;
                let grows = writes.iter().any(|write| matches!(write, Write::Put { .. }));
                if std::mem::take(&mut self.failing) {
                    return Some(Input::StorageFailed(StorageError::Failed));
                }
                if self.full && grows {
                    return Some(Input::StorageFailed(StorageError::Full));
                }
                self.store(writes);
                Some(Input::Committed { transaction })
            }
            DiskStep::Load => {
                let DiskInput::Load { request, table, from, to, bytes_max } = self.loads.pop_front()? else {
                    unreachable!("only loads wait there")
                };
                Some(self.load(request, table, from, to, bytes_max))
            }
        }
    }

    fn store(&mut self, writes: Vec<Write>) {
        self.commits += 1;
        for write in writes {
            match write {
                Write::Put { table, key, value } => {
                    let births = births_in(&value);
                    self.rows.insert((table, key), Row { value, births });
                }
                Write::DeleteRange { table, from, to } => {
                    let keys: Vec<_> =
                        self.rows.range((table, from)..(table, to)).map(|(key, _)| key.clone()).collect();
                    for key in keys {
                        self.rows.remove(&key);
                    }
                }
            }
        }
    }

    fn load(&self, request: u64, table: Table, from: Vec<u8>, to: Vec<u8>, bytes_max: usize) -> Input {
        let mut rows: Vec<(Vec<u8>, Bytes)> = vec![];
        let (mut bytes, mut more) = (0, false);
        if from < to {
            for ((_, key), row) in self.rows.range((table, from)..(table, to)) {
                if !rows.is_empty() && bytes + row.value.len() > bytes_max {
                    more = true;
                    break;
                }
                bytes += row.value.len();
                rows.push((key.clone(), row.value.clone()));
            }
        }
        Input::Loaded { request, rows, more }
    }

    /// The device is gone. `landed`: the transaction under way was stored, but nobody was told.
    pub fn crash(&mut self, landed: bool) {
        self.loads.clear();
        self.failing = false;
        let Some((_, writes)) = self.under_way.take() else { return };
        if landed {
            self.store(writes);
        }
    }

    /// The rows as a copy of the profile holds them: nothing that is under way.
    pub fn copy(&self) -> Disk {
        Disk { rows: self.rows.clone(), ..Disk::default() }
    }
    /// Whether both hold the same rows.
    pub fn same_rows(&self, other: &Disk) -> bool {
        self.rows == other.rows
    }

    /// Births in rows of these tables. `stream`: only its own rows.
    pub fn births(&self, tables: &[Table], stream: Option<&StreamName>) -> BTreeSet<Birth> {
        let of_stream = |key: &[u8]| {
            stream.is_none_or(|stream| {
                let name = stream.as_str().as_bytes();
                key.starts_with(name) && key.get(name.len()).is_none_or(|byte| *byte == 0)
            })
        };
        let rows = self.rows.iter().filter(|((table, key), _)| tables.contains(table) && of_stream(key));
        rows.flat_map(|(_, row)| row.births.iter().copied()).collect()
    }
    /// Births in rows that a transaction under way would store, were it stored now.
    pub fn births_under_way(&self) -> BTreeSet<Birth> {
        let writes = self.under_way.iter().flat_map(|(_, writes)| writes);
        let value = |write: &Write| match write {
            Write::Put { value, .. } => births_in(value),
            Write::DeleteRange { .. } => vec![],
        };
        writes.flat_map(value).collect()
    }
    /// How many rows a table has.
    pub fn rows(&self, table: Table) -> usize {
        self.rows.range((table, vec![])..).take_while(|((t, _), _)| *t == table).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: u8) -> Write {
        Write::Put { table: Table::Outbox, key: vec![key], value: Bytes::from(crate::birth::payload(key.into(), 0)) }
    }

    fn commit(disk: &mut Disk, transaction: u64, writes: Vec<Write>) {
        disk.handle_input(DiskInput::Commit { transaction, writes });
    }

    #[test]
    fn a_crash_stores_a_transaction_whole_or_not_at_all() {
        for landed in [false, true] {
            let mut disk = Disk::default();
            commit(&mut disk, 1, vec![put(1), put(2)]);
            disk.crash(landed);
            assert_eq!(disk.rows(Table::Outbox), if landed { 2 } else { 0 });
            assert_eq!(disk.steps().count(), 0);
        }
    }

    #[test]
    fn a_full_disk_stores_nothing_but_may_delete() {
        let mut disk = Disk { full: true, ..Disk::default() };
        commit(&mut disk, 1, vec![put(1)]);
        assert!(matches!(disk.poll_output(DiskStep::Commit), Some(Input::StorageFailed(StorageError::Full))));
        commit(&mut disk, 2, vec![Write::DeleteRange { table: Table::Outbox, from: vec![0], to: vec![9] }]);
        assert!(matches!(disk.poll_output(DiskStep::Commit), Some(Input::Committed { transaction: 2 })));
    }

    #[test]
    fn a_load_stops_near_its_size_and_says_that_there_is_more() {
        let mut disk = Disk::default();
        commit(&mut disk, 1, vec![put(1), put(2), put(3)]);
        disk.poll_output(DiskStep::Commit);
        let load = DiskInput::Load { request: 1, table: Table::Outbox, from: vec![2], to: vec![9], bytes_max: 1 };
        disk.handle_input(load);
        let Some(Input::Loaded { rows, more: true, .. }) = disk.poll_output(DiskStep::Load) else {
            panic!("rows are there")
        };
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].0, [2]);
    }
}
