//! The device-storage conformance suite on the simulated disk. The same cases run on IndexedDB in a real browser
//! (`device_storage.test.ts`): what the simulation proves of a device rests on the two doing the same.

use bytes::Bytes;
use harness::disk::{Disk, DiskInput, DiskStep};
use serde::Deserialize;
use sync_core::device::{Input, StorageError, Table, Write};

#[derive(Deserialize)]
struct Case {
    name: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
enum Step {
    Commit { writes: Vec<(String, String, String, String)>, is: String },
    Load { table: String, from: String, to: String, bytes_max: usize, rows: Vec<(String, String)>, more: bool },
    Fill { table: String, rows: u32, bytes: usize, is: String },
    Pages { table: String, bytes_max: usize, rows: u32, bytes: usize, pages: usize },
    Room { left: bool },
    Reopen,
    Crash,
    Wipe,
}

fn hex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("the cases write bytes as hexadecimal");
    (0..text.len()).step_by(2).map(byte).collect()
}

fn table(name: &str) -> Table {
    Table::ALL.into_iter().find(|table| table.name() == name).unwrap_or_else(|| panic!("no table {name}"))
}

fn write((what, name, first, second): &(String, String, String, String)) -> Write {
    let table = table(name);
    match what.as_str() {
        "put" => Write::Put { table, key: hex(first), value: hex(second).into() },
        "delete" => Write::DeleteRange { table, from: hex(first), to: hex(second) },
        _ => panic!("no write {what}"),
    }
}

/// Row `row` of a filled table: its number as key, and bytes that differ from row to row.
fn filled(row: u32, bytes: usize) -> (Vec<u8>, Bytes) {
    (row.to_be_bytes().to_vec(), vec![(row % 251) as u8; bytes].into())
}

fn commit(disk: &mut Disk, writes: Vec<Write>) -> &'static str {
    disk.handle_input(DiskInput::Commit { transaction: 7, writes });
    match disk.poll_output(DiskStep::Commit) {
        Some(Input::Committed { transaction: 7 }) => "committed",
        Some(Input::StorageFailed(StorageError::Full)) => "full",
        other => panic!("{other:?}"),
    }
}

fn load(disk: &mut Disk, table: Table, from: Vec<u8>, to: Vec<u8>, bytes_max: usize) -> (Vec<(Vec<u8>, Bytes)>, bool) {
    disk.handle_input(DiskInput::Load { request: 3, table, from, to, bytes_max });
    match disk.poll_output(DiskStep::Load) {
        Some(Input::Loaded { request: 3, rows, more }) => (rows, more),
        other => panic!("{other:?}"),
    }
}

fn perform(disk: &mut Disk, step: &Step) {
    match step {
        Step::Commit { writes, is } => assert_eq!(commit(disk, writes.iter().map(write).collect()), is),
        Step::Load { table: name, from, to, bytes_max, rows, more } => {
            let expected = rows.iter().map(|(key, value)| (hex(key), hex(value).into())).collect();
            assert_eq!(load(disk, table(name), hex(from), hex(to), *bytes_max), (expected, *more));
        }
        Step::Fill { table: name, rows, bytes, is } => {
            let put = |(key, value)| Write::Put { table: table(name), key, value };
            assert_eq!(commit(disk, (0..*rows).map(|row| put(filled(row, *bytes))).collect()), is);
        }
        Step::Pages { table: name, bytes_max, rows, bytes, pages } => {
            let (mut from, mut found, mut loads) = (vec![], vec![], 0);
            loop {
                let (page, more) = load(disk, table(name), from, vec![0xFF], *bytes_max);
                loads += 1;
                from = page.last().map(|(key, _)| [&key[..], &[0]].concat()).expect("a page has a row");
                found.extend(page);
                if !more {
                    break;
                }
            }
            assert!(found == (0..*rows).map(|row| filled(row, *bytes)).collect::<Vec<_>>(), "not the rows");
            assert_eq!(loads, *pages);
        }
        Step::Room { left } => disk.full = !left,
        Step::Reopen => {
            let full = disk.full;
            *disk = disk.copy();
            disk.full = full;
        }
        Step::Crash => disk.crash(false),
        Step::Wipe => *disk = Disk::default(),
    }
}

/// The simulated disk does what a browser's does.
#[test]
fn the_simulated_disk_passes_every_case() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("device_storage.json")).expect("the cases are JSON");
    assert!(!cases.is_empty());
    for case in cases {
        let mut disk = Disk::default();
        for (number, step) in case.steps.iter().enumerate() {
            println!("{}, step {}", case.name, number + 1);
            perform(&mut disk, step);
        }
    }
}
