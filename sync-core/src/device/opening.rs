//! The local store: reading it at the start, opening streams from it, pages for readers, and what to do when it fails.

use super::healing::read_batch;
use super::io::{Effect, Load, Purpose};
use super::output::{Notice, Output, Page, Table};
use super::rows::{self, HealRow, OwnEvent, Record, StrayRow, batch_key, key, range_of};
use super::session::Session;
use super::stream::{Life, Stream};
use super::{Device, Input, StorageError};
use crate::digest;
use crate::event::Event;
use crate::ids::*;
use crate::wire::{Down, Up};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// Bytes of rows that one load asks for.
const LOAD_BYTES: usize = 1 << 20;

/// What the device's own start is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// So many loads are still to be answered.
    Loading(usize),
    Ready,
    /// The local store cannot be used.
    Failed(&'static str),
}

/// What waits until a transaction is on stable storage, because it reads what that wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deferred {
    Open(StreamName),
    Reset(StreamName),
}

fn everything() -> (Vec<u8>, Vec<u8>) {
    (vec![], vec![0xFF])
}

type Row = (Vec<u8>, Bytes);

/// Rows that no device wrote.
const BROKEN: &str = "storage-lost";

impl Device {
    /// Reads the device, the streams' records and the list of rejections.
    pub(super) fn begin(&mut self) {
        self.start = Start::Loading(3);
        self.io.load(Purpose::Device, Table::Device, everything(), LOAD_BYTES);
        self.io.load(Purpose::Streams, Table::Streams, everything(), LOAD_BYTES);
        self.io.load(Purpose::Rejections, Table::Rejections, everything(), LOAD_BYTES);
    }

    pub(super) fn loaded(&mut self, request: u64, rows: Vec<Row>, more: bool) {
        let Some(load) = self.io.loaded(request) else { return };
        if let Purpose::Page { .. } | Purpose::Snapshot { .. } = load.purpose {
            return self.page(load, rows, more);
        }
        let read = rows.iter().try_for_each(|(key, value)| self.load_row(&load.purpose, key, value));
        let goes_on = more && rows.last().is_some_and(|(last, _)| *last < load.to);
        let read = read.and_then(|()| if goes_on { Ok(()) } else { self.is_whole(&load.purpose) });
        match (read, goes_on, rows.last()) {
            (Err(code), ..) => self.load_failed(&load, code),
            (Ok(()), true, Some((last, _))) => self.io.load_more(load, last),
            (Ok(()), ..) => self.load_done(load),
        }
    }

    /// A stream has a tag for each of its own sequences, and a batch to heal all that is to be healed of it.
    fn is_whole(&self, purpose: &Purpose) -> Result<(), &'static str> {
        let (Purpose::Tags(name) | Purpose::HealBatch { stream: name, .. }) = purpose else { return Ok(()) };
        let is_whole = |stream: &Stream| match purpose {
            Purpose::HealBatch { key, .. } => super::healing::place_of(key).is_none_or(|at| stream.heal.is_here(at)),
            _ => stream.tags.len() as u64 == stream.record.minted,
        };
        self.streams.get(name).is_none_or(|stream| is_whole(stream)).then_some(()).ok_or(BROKEN)
    }

    fn load_row(&mut self, purpose: &Purpose, row_key: &[u8], value: &Bytes) -> Result<(), &'static str> {
        match purpose {
            Purpose::Device => match rows::decode_device(value) {
                Ok(Ok(producer)) => self.producer = producer,
                Ok(Err(_)) => return Err("outdated-app"),
                Err(_) => return Err(BROKEN),
            },
            Purpose::Streams => {
                let name = rows::stream_of(row_key).ok_or(BROKEN)?;
                let record = Record::decode(value).map_err(|_| BROKEN)?;
                self.know(name, record);
            }
            Purpose::Rejections => {
                let stream = rows::stream_of(row_key).ok_or(BROKEN)?;
                let rejection = rows::decode_rejection(value).map_err(|_| BROKEN)?;
                self.io.rejections.insert((stream, rejection.id), rejection);
            }
            Purpose::Fold(name) => {
                let Some(stream) = self.streams.get_mut(name) else { return Ok(()) };
                stream.folding.take_row(row_key, value).ok_or(BROKEN)?;
            }
            Purpose::HealBatch { stream, .. } => {
                let (generation, upto, batch) = read_batch(row_key, value).ok_or(BROKEN)?;
                if let Some(stream) = self.streams.get_mut(stream) {
                    stream.heal.loaded((generation, upto), batch.events);
                }
            }
            Purpose::Tags(name)
            | Purpose::Outbox(name)
            | Purpose::Strays(name)
            | Purpose::Heals(name)
            | Purpose::OldBatches(name)
            | Purpose::Reset(name) => {
                let Some(stream) = self.streams.get_mut(name) else { return Ok(()) };
                load_stream_row(stream, purpose, row_key, value).ok_or(BROKEN)?;
            }
            Purpose::Page { .. } | Purpose::Snapshot { .. } => {}
        }
        Ok(())
    }

    fn load_failed(&mut self, load: &Load, code: &'static str) {
        match &load.purpose {
            Purpose::Device | Purpose::Streams | Purpose::Rejections => self.fail(code),
            Purpose::Tags(name)
            | Purpose::Outbox(name)
            | Purpose::Strays(name)
            | Purpose::Heals(name)
            | Purpose::OldBatches(name)
            | Purpose::Reset(name)
            | Purpose::Fold(name)
            | Purpose::HealBatch { stream: name, .. } => {
                let Some(stream) = self.streams.get_mut(name) else { return };
                (stream.life, stream.link) = (Life::Failed(code), None);
                self.touched.insert(name.clone());
                for waiting in core::mem::take(&mut self.waiting) {
                    if waiting.append.stream == *name {
                        let (write, stream) = (waiting.append.write, name.clone());
                        self.io.notice(Notice::Failed { write, stream, code });
                    } else {
                        self.waiting.push_back(waiting);
                    }
                }
                self.append_waiting();
            }
            Purpose::Page { .. } | Purpose::Snapshot { .. } => {}
        }
    }

    fn load_done(&mut self, load: Load) {
        match load.purpose {
            Purpose::Device | Purpose::Streams | Purpose::Rejections => {
                if let Start::Loading(left) = self.start {
                    self.start = Start::Loading(left - 1);
                    if left == 1 {
                        self.started();
                    }
                }
            }
            Purpose::HealBatch { stream, .. } => {
                self.touched.insert(stream);
            }
            Purpose::Fold(name) => {
                if let Some(stream) = self.streams.get_mut(&name) {
                    stream.folded(&mut self.io);
                }
            }
            Purpose::Reset(name) => self.reset_loaded(&name),
            Purpose::Heals(name) => {
                if let Some(record) = self.streams.get(&name).map(|s| s.record.clone()) {
                    let from = key(&name, &[&record.oldest.to_be_bytes()]);
                    let to = key(&name, &[&record.generation.to_be_bytes()]);
                    self.io.load(Purpose::OldBatches(name), Table::Events, (from, to), LOAD_BYTES);
                }
            }
            Purpose::Tags(name) | Purpose::Outbox(name) | Purpose::Strays(name) | Purpose::OldBatches(name) => {
                self.part_loaded(name);
            }
            Purpose::Page { .. } | Purpose::Snapshot { .. } => {}
        }
    }

    fn started(&mut self) {
        self.start = Start::Ready;
        if self.producer == ProducerId::default() {
            self.producer = ProducerId(self.io.random.bytes());
            self.io.put(Table::Device, rows::key_of_device(), rows::encode_device(self.producer));
        }
        // What waits in an outbox, among strays or to be healed is sent whether a page needs the stream or not.
        let opened: Vec<StreamName> =
            self.streams.values().filter(|s| s.opened || s.may_have_work()).map(|s| s.name.clone()).collect();
        opened.into_iter().for_each(|name| self.open(name, false));
    }

    fn know(&mut self, name: StreamName, record: Record) -> &mut Stream {
        self.names.insert(digest::stream_hash(&name), name.clone());
        let stream = self.streams.get_or_insert_with(name.clone(), || Box::new(Stream::new(name, Record::default())));
        stream.durable = record.clone();
        stream.record = record;
        stream
    }

    /// Loads a stream; `for_page`: until it is closed, else as long as something waits.
    pub(super) fn open(&mut self, name: StreamName, for_page: bool) {
        if let Start::Failed(_) = self.start {
            return;
        }
        if !self.streams.contains_key(&name) {
            let record = Record { producer: self.producer, ..Record::default() };
            self.know(name.clone(), record);
        }
        let Some(stream) = self.streams.get_mut(&name) else { return };
        stream.opened |= for_page;
        self.touched.insert(name.clone());
        if stream.life == Life::Dormant {
            stream.life = Life::Loading(4);
            self.deferred.push((self.io.last_needed(), Deferred::Open(name)));
            self.run_deferred();
        }
    }

    /// Nobody needs it and nothing waits: only its record stays in memory.
    pub(super) fn let_go(&mut self, stream: &mut Stream) {
        if stream.link.take().is_some() {
            self.session.send(&Up::Unsubscribe { stream: stream.name.clone() }, &mut self.io);
        }
        stream.life = Life::Dormant;
        stream.tags = vec![];
        stream.heal = Default::default();
    }

    /// Does what waited for transactions that are on stable storage now.
    pub(super) fn run_deferred(&mut self) {
        let committed = self.io.last_committed();
        let (due, rest): (Vec<_>, Vec<_>) =
            core::mem::take(&mut self.deferred).into_iter().partition(|(n, _)| *n <= committed);
        self.deferred = rest;
        for (_, what) in due {
            match what {
                Deferred::Open(name) => {
                    for (purpose, table) in [
                        (Purpose::Tags(name.clone()), Table::Tags),
                        (Purpose::Outbox(name.clone()), Table::Outbox),
                        (Purpose::Strays(name.clone()), Table::Strays),
                        (Purpose::Heals(name.clone()), Table::Heals),
                    ] {
                        self.io.load(purpose, table, range_of(&name), LOAD_BYTES);
                    }
                }
                Deferred::Reset(name) => {
                    let Some(generation) = self.streams.get(&name).map(|s| s.record.generation) else { continue };
                    let from = key(&name, &[&generation.to_be_bytes()]);
                    let to = key(&name, &[&(generation + 1).to_be_bytes()]);
                    self.io.load(Purpose::Reset(name), Table::Events, (from, to), LOAD_BYTES);
                }
            }
        }
    }

    fn part_loaded(&mut self, name: StreamName) {
        let Some(stream) = self.streams.get_mut(&name) else { return };
        let Life::Loading(left) = stream.life else { return };
        if left > 1 {
            stream.life = Life::Loading(left - 1);
            return;
        }
        stream.life = Life::Ready;
        stream.heal_rows.clear();
        self.find_base(&name);
        self.touched.insert(name);
        self.append_waiting();
    }

    /// The batches of the log that is gone are in the heal list now: R7's transaction, then what waited for it.
    fn reset_loaded(&mut self, name: &StreamName) {
        let Some(mut stream) = self.streams.remove(name) else { return };
        let inbox = stream.link.as_mut().map(|link| core::mem::take(&mut link.inbox)).unwrap_or_default();
        let mut inbox = inbox.into_iter();
        // The link may have been given up meanwhile: then the next answer resets, from the same batches.
        if let Some((Down::Subscribed(answer), _)) = inbox.next() {
            stream.reset(answer.epoch, &mut self.io);
            let mut next = self.go_live(&mut stream, answer, false);
            for (message, bytes) in inbox {
                if next == super::Next::On {
                    next = self.handle(&mut stream, message, bytes);
                }
            }
            if next == super::Next::AskAgain {
                self.ask_again(&mut stream);
            }
        } else {
            stream.heal.drop_generation(stream.record.generation);
        }
        self.streams.insert(name.clone(), stream);
        self.touched.insert(name.clone());
    }

    // ------------------------------------------------------------------------------------------------------- readers

    /// A page of the local log: from stable storage, up to the cursor as it was committed.
    pub(super) fn read(&mut self, reader: u64, name: StreamName, after: Offset, bytes_max: usize) {
        let Some(record) = self.streams.get(&name).map(|s| s.durable.clone()) else {
            let page = empty_page(reader, name, &Record::default());
            return self.io.outputs.push_back(Output::Page(page));
        };
        let after = if after > record.cursor { Offset::ZERO } else { after };
        if after < record.snapshot {
            let purpose = Purpose::Snapshot { reader, stream: name.clone(), bytes_max };
            return self.io.load(purpose, Table::Snapshots, range_of(&name), 1);
        }
        self.load_page(reader, name, after, &record, bytes_max);
    }

    fn load_page(&mut self, reader: u64, name: StreamName, after: Offset, record: &Record, bytes_max: usize) {
        let from = batch_key(&name, record.generation, Offset(after.0 + 1));
        let to = key(&name, &[&(record.generation + 1).to_be_bytes()]);
        let (log, upto) = ((record.epoch, record.generation), (record.cursor, record.check));
        let purpose = Purpose::Page { reader, stream: name, after, upto, log };
        self.io.load(purpose, Table::Events, (from, to), bytes_max);
    }

    fn page(&mut self, load: Load, rows: Vec<Row>, more: bool) {
        let (reader, stream) = match &load.purpose {
            Purpose::Page { reader, stream, .. } | Purpose::Snapshot { reader, stream, .. } => {
                (*reader, stream.clone())
            }
            _ => return,
        };
        let record = self.streams.get(&stream).map(|s| s.durable.clone()).unwrap_or_default();
        let mut page = empty_page(reader, stream.clone(), &record);
        match load.purpose {
            Purpose::Snapshot { bytes_max, .. } => {
                match rows.first().and_then(|(_, row)| rows::decode_snapshot(row).ok()) {
                    Some((offset, check, bytes)) if offset == record.snapshot => {
                        (page.after, page.upto, page.check) = (offset, offset, check);
                        page.snapshot = Some(bytes);
                        page.more = record.cursor > offset;
                    }
                    // Replaced meanwhile: begin again.
                    _ => return self.read(reader, stream, Offset::ZERO, bytes_max),
                }
            }
            // Another log meanwhile: the reader begins again at 0.
            Purpose::Page { log, .. } if log != (record.epoch, record.generation) => {
                page.more = record.cursor > Offset::ZERO
            }
            // The cursor may have moved on since the rows were asked for.
            Purpose::Page { after, upto: (upto, check), .. } => {
                (page.after, page.upto, page.check, page.more) = (after, upto, check, more);
                for (row_key, value) in &rows {
                    let Some((_, row_upto, batch)) = read_batch(row_key, value) else { break };
                    let wanted = |event: &Event| event.offset > after && event.offset <= upto;
                    page.events.extend(batch.events.into_iter().filter(wanted));
                    if row_upto >= upto {
                        (page.upto, page.check, page.more) = (upto, check, false);
                        break;
                    }
                    if more {
                        (page.upto, page.check) = (row_upto, batch.check);
                    }
                }
            }
            _ => {}
        }
        self.io.outputs.push_back(Output::Page(page));
    }

    // ------------------------------------------------------------------------------------------------------- failure

    /// Nothing of what was under way was stored. What is in memory is ahead of the store: read it again.
    pub(super) fn storage_failed(&mut self, error: StorageError) {
        let code = match error {
            StorageError::Full => "storage-full",
            StorageError::Lost => "storage-lost",
            StorageError::Fenced => "closed",
            StorageError::Failed => "storage-unavailable",
        };
        let readers = self.io.readers();
        let unsaved: Vec<Effect> = self.io.failed();
        for effect in unsaved {
            if let Effect::Notice(Notice::Appended { write, stream, .. }) = effect {
                self.io.notice(Notice::Failed { write, stream, code });
            }
        }
        for super::writing::Waiting { append, .. } in core::mem::take(&mut self.waiting) {
            self.io.notice(Notice::Failed { write: append.write, stream: append.stream, code });
        }
        self.io.notice(Notice::Storage(error));
        if matches!(error, StorageError::Lost | StorageError::Fenced) {
            return self.fail(code);
        }
        self.session.drop_socket_if_any(&mut self.io);
        self.forget_streams();
        self.queue.extend(readers);
        self.begin();
    }

    fn forget_streams(&mut self) {
        self.io.rejections.clear();
        self.deferred.clear();
        self.dirty.clear();
        self.touched.clear();
        self.asked.clear();
        // Which streams pages have open is theirs to know, and survives.
        for stream in self.streams.values_mut() {
            let opened = stream.opened;
            **stream = Stream::new(stream.name.clone(), Record { producer: self.producer, ..Record::default() });
            stream.opened = opened;
        }
    }

    fn fail(&mut self, code: &'static str) {
        self.start = Start::Failed(code);
        self.session.stop(code, &mut self.io);
        self.drop_links();
        for input in core::mem::take(&mut self.queue) {
            if let Input::Append(append) = input {
                self.io.notice(Notice::Failed { write: append.write, stream: append.stream, code });
            }
        }
        for stream in self.streams.values_mut() {
            stream.life = Life::Failed(code);
        }
        self.touched.extend(self.streams.keys().cloned());
    }
}

fn empty_page(request: u64, stream: StreamName, record: &Record) -> Page {
    let check = digest::check_of_empty(record.epoch);
    let (after, upto) = (Offset::ZERO, Offset::ZERO);
    Page { request, stream, epoch: record.epoch, after, upto, check, snapshot: None, events: vec![], more: false }
}

fn load_stream_row(stream: &mut Stream, purpose: &Purpose, row_key: &[u8], value: &Bytes) -> Option<()> {
    let number = |key: &[u8]| Some(u64::from_be_bytes(key.get(key.len().checked_sub(8)?..)?.try_into().ok()?));
    match purpose {
        Purpose::Tags(_) => stream.load_tags(value),
        Purpose::Outbox(_) => {
            stream.outbox.insert(number(row_key)?, OwnEvent::decode(value).ok()?);
        }
        Purpose::Strays(_) => stream.strays.push(StrayRow::decode(number(row_key)?, value).ok()?),
        Purpose::Heals(_) => {
            stream.heal_rows.insert(super::healing::place_of(row_key)?, HealRow::decode(value).ok()?);
        }
        Purpose::OldBatches(_) | Purpose::Reset(_) => {
            let (generation, upto, batch) = read_batch(row_key, value)?;
            let row = stream.heal_rows.remove(&(generation, upto)).unwrap_or_default();
            stream.heal.add(generation, upto, &batch, row, stream.record.producer);
        }
        _ => {}
    }
    Some(())
}

impl Session {
    /// As `drop_socket`, where there is one.
    pub(super) fn drop_socket_if_any(&mut self, io: &mut super::io::Io) {
        if self.socket().is_some() {
            self.drop_socket(io);
        }
    }
}
