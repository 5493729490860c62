//! The device's machine, told anything in any order: by pages, by the clock, by a local store that answers late, twice,
//! wrongly or not at all, and by a relay that is honest, cut off, bent or hostile.
//!
//! It must not panic, must hold no more memory than the inputs explain, must ask for nothing at once for ever, tells
//! each write once whether it is stored, and tells what it applied without a gap.

use crate::forge::{Forge, streams};
use crate::memory::within;
use crate::shell::{Ask, Shell, Store};
use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use sync_core::device::{Append, Input, Notice, Options, StorageError, Table};
use sync_core::event::Kind;
use sync_core::ids::*;
use sync_core::wire::CloseCode;

/// Memory of a whole run, the honest surroundings included, whose store and disk keep every event twice over.
const BYTES_MAX: usize = 64 << 20;
/// Writes of a size that fills a frame.
const LARGE_WRITES_MAX: usize = 12;

/// Interprets the bytes as steps.
pub fn run(data: &[u8]) {
    within(BYTES_MAX, "a device's run", || {
        let mut bytes = Unstructured::new(data);
        // The bytes have ended: so has the story.
        let _ = Run::new(&mut bytes).and_then(|mut run| {
            while !bytes.is_empty() {
                run.step(&mut bytes)?;
                run.check_notices();
            }
            run.end();
            Ok(())
        });
    });
}

struct Run {
    shell: Shell,
    options: Options,
    /// Frames that came once, to come again.
    old: Vec<(u64, Bytes)>,
    backup: Option<Store>,
    writes: u64,
    large_writes: usize,
    /// Writes that were not told yet; `false` where the device was restarted since, so that nobody is to be told.
    open_writes: BTreeMap<u64, bool>,
    cursors: BTreeMap<StreamName, Offset>,
}

impl Run {
    fn new(bytes: &mut Unstructured<'_>) -> Result<Run> {
        let options = Options { relay: true, wants_token: bytes.ratio(1u8, 4u8)? };
        let (old, backup, open_writes, cursors) = (vec![], None, BTreeMap::new(), BTreeMap::new());
        let shell = Shell::new(options);
        Ok(Run { shell, options, old, backup, writes: 0, large_writes: 0, open_writes, cursors })
    }

    fn step(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        match bytes.int_in_range(0..=31)? {
            0..=4 => self.page(bytes),
            5 | 6 => self.connection(bytes),
            7..=10 => self.storage(bytes),
            11..=16 => self.frame(bytes),
            17 | 18 => self.time(bytes),
            19 | 20 => self.relay_side(bytes),
            21 => {
                self.restart(bytes.arbitrary()?);
                Ok(())
            }
            _ => {
                self.shell.settle();
                Ok(())
            }
        }
    }

    fn page(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let mut forge = Forge { seen: &self.shell.seen, bytes };
        let stream = forge.stream()?;
        let input = match forge.bytes.int_in_range(0..=9)? {
            0 => Input::Open { stream },
            1 => Input::Close { stream },
            2 | 3 => {
                let large = self.large_writes < LARGE_WRITES_MAX && forge.bytes.ratio(1u8, 16u8)?;
                self.large_writes += usize::from(large);
                let size = if large { 70_000 } else { forge.bytes.int_in_range(0..=40)? };
                self.writes += 1;
                self.open_writes.insert(self.writes, true);
                let payload = vec![self.writes as u8; size].into();
                let (kind, dependent) = (Kind::Application, forge.bytes.arbitrary()?);
                Input::Append(Append { write: self.writes, stream, kind, time: 0, payload, dependent })
            }
            4 => {
                let (after, bytes_max) = (Offset(forge.number()?.min(Offset::MAX.0)), forge.number()? as usize);
                Input::Read { request: 1, stream, after, bytes_max }
            }
            5 => match self.shell.device.rejections().first().cloned() {
                Some((stream, rejection)) => Input::DropRejection { stream, id: rejection.id },
                None => Input::Refresh { stream },
            },
            6 => match self.shell.device.pending(&stream).last() {
                Some((event, _)) => Input::Discard { stream, id: event.id },
                None => {
                    Input::Discard { stream, id: EventId { producer: forge.producer()?, sequence: forge.number()? } }
                }
            },
            7 => Input::Refresh { stream },
            8 => Input::Open { stream },
            _ => {
                Input::DropRejection { stream, id: EventId { producer: forge.producer()?, sequence: forge.number()? } }
            }
        };
        self.shell.give(input);
        Ok(())
    }

    fn connection(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let socket = self.socket(bytes)?;
        let input = match bytes.int_in_range(0..=7)? {
            0 => Input::Connect,
            1 => Input::Disconnect,
            2 => Input::Token(Some("token".into())),
            3 => Input::Token(None),
            4 => Input::Network { online: bytes.arbitrary()? },
            5 => Input::SocketOpened(socket),
            6 => Input::Buffered { socket, bytes: bytes.arbitrary::<u32>()? as usize },
            _ => {
                self.shell.lines.remove(&socket);
                let code = CloseCode::from_number(
                    bytes.int_in_range(3999..=4003)? + 99 * u16::from(bytes.arbitrary::<bool>()?),
                );
                Input::SocketClosed { socket, code }
            }
        };
        self.shell.give(input);
        Ok(())
    }

    fn storage(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let at = self.shell.asks.len().checked_sub(1).map(|last| bytes.int_in_range(0..=last)).transpose()?;
        match (at, bytes.int_in_range(0..=7)?) {
            (Some(at), 0..=3) => self.shell.answer(at),
            (Some(at), 4) => {
                // Rows that no device wrote.
                let Ask::Load { request, table, .. } = self.shell.asks[at].clone() else { return Ok(()) };
                self.shell.asks.remove(at);
                let rows = self.bent_rows(table, bytes)?;
                self.shell.give(Input::Loaded { request, rows, more: bytes.ratio(1u8, 8u8)? });
            }
            (_, 5) => {
                let errors = [StorageError::Full, StorageError::Failed, StorageError::Failed, StorageError::Lost];
                // What was under way is not stored; what was asked to be read may still be answered.
                self.shell.asks.retain(|ask| !matches!(ask, Ask::Commit { .. }));
                self.shell.give(Input::StorageFailed(*bytes.choose(&errors)?));
            }
            (_, 6) => self.shell.give(Input::Committed { transaction: bytes.int_in_range(0..=40)? }),
            _ => {
                let (request, table) = (bytes.int_in_range(0..=60)?, *bytes.choose(&Table::ALL)?);
                let rows = self.bent_rows(table, bytes)?;
                self.shell.give(Input::Loaded { request, rows, more: false });
            }
        }
        Ok(())
    }

    /// Rows of a table of the disk, changed; or rows of nothing.
    fn bent_rows(&mut self, table: Table, bytes: &mut Unstructured<'_>) -> Result<Vec<(Vec<u8>, Bytes)>> {
        let (mut rows, _) = self.shell.disk.load(table, vec![], vec![0xFF; 300], 4096);
        let mut forge = Forge { seen: &self.shell.seen, bytes };
        for (key, value) in &mut rows {
            if forge.bytes.ratio(1u8, 2u8)? {
                *value = forge.bent(value)?;
            }
            if forge.bytes.ratio(1u8, 8u8)? {
                *key = forge.bent(&Bytes::copy_from_slice(key))?.to_vec();
            }
        }
        if forge.bytes.ratio(1u8, 4u8)? {
            let length = forge.bytes.int_in_range(0..=30)?.min(forge.bytes.len());
            let key = [streams()[0].as_str().as_bytes(), &[0], &[0; 12]].concat();
            rows.push((key, Bytes::copy_from_slice(forge.bytes.bytes(length)?)));
        }
        Ok(rows)
    }

    fn frame(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let socket = self.socket(bytes)?;
        let kind = bytes.int_in_range(0..=7)?;
        let honest = if kind < 5 { self.shell.take_frame(socket) } else { None };
        let mut forge = Forge { seen: &self.shell.seen, bytes };
        let frame = match (kind, honest) {
            (0 | 1, Some(frame)) => frame,
            (2, Some(frame)) => forge.bent(&frame)?,
            // Lost.
            (3, Some(_)) => return Ok(()),
            (4, Some(frame)) => {
                self.old.push((socket, frame.clone()));
                frame
            }
            (5, _) if !self.old.is_empty() => forge.bytes.choose(&self.old)?.1.clone(),
            _ => forge.frame(Forge::down)?,
        };
        self.shell.seen.note_downs(&frame);
        self.shell.give(Input::Frame { socket, bytes: frame });
        Ok(())
    }

    fn time(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        match bytes.int_in_range(0..=3)? {
            0 => self.shell.pass_time(),
            1 => self.shell.now = self.shell.now.plus(bytes.int_in_range(0..=100_000)?),
            2 => self.shell.now.0 = self.shell.now.0.saturating_sub(bytes.int_in_range(0..=100_000)?),
            _ => self.shell.give(Input::Timer),
        }
        Ok(())
    }

    fn relay_side(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let mut forge = Forge { seen: &self.shell.seen, bytes };
        let stream = forge.stream()?;
        match forge.bytes.int_in_range(0..=5)? {
            0 => self.backup = Some(self.shell.store.clone()),
            1 => {
                if let Some(backup) = self.backup.clone() {
                    self.shell.replace_store(backup);
                }
            }
            2 => {
                let number = forge.bytes.arbitrary()?;
                self.shell.replace_store(Store::numbered(number));
            }
            // Perhaps under the device's own id: a copy of its profile.
            _ => {
                let producer = forge.producer()?;
                let payload = vec![b'o'; forge.bytes.int_in_range(0..=20)?].into();
                self.shell.write_elsewhere(&stream, producer, payload);
            }
        }
        Ok(())
    }

    fn restart(&mut self, seed: u8) {
        self.shell.restart(seed, self.options);
        self.open_writes.values_mut().for_each(|told| *told = false);
        self.cursors.clear();
    }

    fn socket(&self, bytes: &mut Unstructured<'_>) -> Result<u64> {
        let newest = self.shell.lines.keys().last().copied().unwrap_or(1);
        if bytes.ratio(7u8, 8u8)? { Ok(newest) } else { bytes.int_in_range(0..=newest) }
    }

    fn check_notices(&mut self) {
        for notice in std::mem::take(&mut self.shell.notices) {
            match notice {
                Notice::Appended { write, .. } | Notice::Failed { write, .. } => {
                    assert!(self.open_writes.remove(&write).is_some(), "write {write} was told twice");
                }
                Notice::Applied { stream, after, upto, events, .. } => {
                    assert!(after <= upto, "applied backwards");
                    let offsets: BTreeSet<Offset> = events.iter().map(|event| event.offset).collect();
                    assert!(offsets.len() == events.len(), "one offset for two events");
                    assert!(offsets.iter().all(|offset| (after < *offset) && *offset <= upto), "outside of the batch");
                    let cursor = self.cursors.insert(stream, upto);
                    assert!(cursor.is_none_or(|cursor| cursor == after), "a gap: {cursor:?} then {after:?}");
                }
                Notice::Reset { stream, .. } => drop(self.cursors.remove(&stream)),
                _ => {}
            }
        }
    }

    /// Everything is honest again: the device comes to rest, and every write was told.
    fn end(&mut self) {
        for _ in 0..4 {
            self.shell.settle();
            self.check_notices();
            self.shell.pass_time();
        }
        self.shell.settle();
        self.check_notices();
        let untold: Vec<_> = self.open_writes.iter().filter(|(_, told)| **told).collect();
        assert!(untold.is_empty(), "never told: {untold:?}");
    }
}
