//! The rows of the local store: what each holds and how it is encoded.

use super::ranges::Ranges;
use crate::digest;
use crate::event::{Event, Kind, Run};
use crate::ids::*;
use crate::wire::codec::{Reader, Writer};
use crate::wire::{DecodeError, decode_run, encode_run};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// The format of the rows. A store of a newer format is refused (`outdated-app`).
pub(super) const FORMAT: u64 = 1;

/// The key of a stream's row in a table where it has several: its name, a zero, and what is behind.
pub(super) fn key(stream: &StreamName, rest: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(stream.as_str().len() + 16);
    key.extend_from_slice(stream.as_str().as_bytes());
    key.push(0);
    rest.iter().for_each(|part| key.extend_from_slice(part));
    key
}

/// All of a stream's rows: names hold no byte below `-`, so a one behind the name is behind them all.
pub(super) fn range_of(stream: &StreamName) -> (Vec<u8>, Vec<u8>) {
    let from = key(stream, &[]);
    let mut to = from.clone();
    to.pop();
    to.push(1);
    (from, to)
}

/// The stream that a row's key begins with.
pub(super) fn stream_of(key: &[u8]) -> Option<StreamName> {
    let name = key.split(|b| *b == 0).next()?;
    StreamName::new(core::str::from_utf8(name).ok()?).ok()
}

/// The key of a batch of the log, by its last offset.
pub(super) fn batch_key(stream: &StreamName, generation: u32, upto: Offset) -> Vec<u8> {
    key(stream, &[&generation.to_be_bytes(), &upto.0.to_be_bytes()])
}

/// The key of the one row of the device.
pub(super) fn key_of_device() -> Vec<u8> {
    b"device".to_vec()
}

/// The one row of the device.
pub(super) fn encode_device(producer: ProducerId) -> Bytes {
    let mut out = Writer::new();
    out.begin_map().u64(0).u64(FORMAT).u64(1).bytes(&producer.0).end();
    out.finish().into()
}

/// The device's producer, or the format that this build does not know.
pub(super) fn decode_device(row: &Bytes) -> Result<Result<ProducerId, u64>, DecodeError> {
    let (mut format, mut producer) = (0, None);
    let mut input = Reader::new(row);
    input.fields(|key, input| {
        match key {
            0 => format = input.u64()?,
            1 => producer = Some(ProducerId(input.id()?)),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    if format != FORMAT {
        return Ok(Err(format));
    }
    producer.map(Ok).ok_or(DecodeError::new(0, "a device has a producer"))
}

/// A stream's durable state: everything that is not a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// Under which id this device writes here.
    pub(super) producer: ProducerId,
    pub(super) epoch: Epoch,
    pub(super) cursor: Offset,
    pub(super) check: Check,
    /// Counts the logs that this stream has had here; batches of older ones wait to be healed.
    pub(super) generation: u32,
    /// The lowest generation that may still have batches.
    pub(super) oldest: u32,
    /// Own sequences made so far.
    pub(super) minted: Sequence,
    /// Own sequences up to here may be at the relay (R14).
    pub(super) sent: Sequence,
    /// The highest own sequence seen in this log.
    pub(super) seen: Sequence,
    /// What the relay said was its last of this producer.
    pub(super) relay_last: Sequence,
    pub(super) accepted: Ranges,
    pub(super) refused: Ranges,
    pub(super) voids: Ranges,
    /// Where the snapshot stands that this log began with; 0: none.
    pub(super) snapshot: Offset,
    /// Resets in a row that brought nothing new.
    pub(super) resets: u32,
    /// There are rows of strays.
    pub(super) has_strays: bool,
    /// Strays, by their order, whose own id was taken by another event (R11).
    pub(super) taken: Ranges,
    /// Bytes of the log's rows as they were written, of a snapshot too.
    pub(super) log_bytes: u64,
    /// The first event's that was met here; `None`: there was none.
    pub(super) kind: Option<Kind>,
}

impl Record {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = Writer::new();
        out.begin_map().u64(0).bytes(&self.producer.0).u64(1).bytes(&self.epoch.0);
        out.u64(2).u64(self.cursor.0).u64(3).bytes(&self.check.0);
        out.u64(4).u64(self.generation.into()).u64(5).u64(self.oldest.into());
        out.u64(6).u64(self.minted).u64(7).u64(self.sent).u64(8).u64(self.seen).u64(9).u64(self.relay_last);
        self.accepted.write(out.u64(10));
        self.refused.write(out.u64(11));
        self.voids.write(out.u64(12));
        out.u64(13).u64(self.snapshot.0).u64(14).u64(self.resets.into()).u64(15).bool(self.has_strays);
        out.u64(16).u64(self.log_bytes).u64(17).u64(self.kind.map_or(0, |kind| kind as u64));
        self.taken.write(out.u64(18));
        out.end();
        out.finish().into()
    }

    pub(super) fn decode(row: &Bytes) -> Result<Record, DecodeError> {
        let mut record = Record::default();
        let r = &mut record;
        Reader::new(row).fields(|key, input| {
            match key {
                0 => r.producer = ProducerId(input.id()?),
                1 => r.epoch = Epoch(input.id()?),
                2 => r.cursor = input.offset()?,
                3 => r.check = Check(input.id()?),
                4 => r.generation = input.u64()? as u32,
                5 => r.oldest = input.u64()? as u32,
                6 => r.minted = input.u64()?,
                7 => r.sent = input.u64()?,
                8 => r.seen = input.u64()?,
                9 => r.relay_last = input.u64()?,
                10 => r.accepted = Ranges::read(input)?,
                11 => r.refused = Ranges::read(input)?,
                12 => r.voids = Ranges::read(input)?,
                13 => r.snapshot = input.offset()?,
                14 => r.resets = input.u64()? as u32,
                15 => r.has_strays = input.bool()?,
                16 => r.log_bytes = input.u64()?,
                17 => r.kind = Kind::from_number(input.u64()? as u8),
                18 => r.taken = Ranges::read(input)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(record)
    }
}

/// A cause as its author's device keeps it until it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnCause {
    pub(super) stream: StreamName,
    pub(super) epoch: Epoch,
    pub(super) offset: Offset,
    /// An own event there that had no offset yet: the cause is stamped when it has (R16 a).
    pub(super) own: Option<EventId>,
}

/// An own event that was not seen in the log yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnEvent {
    pub(super) content: Bytes,
    pub(super) causes: Vec<OwnCause>,
    /// It was made on top of this own event.
    pub(super) needs: Option<(EventId, Tag)>,
}

fn write_own(out: &mut Writer, own: &OwnEvent) {
    out.u64(0).bytes(&own.content);
    if !own.causes.is_empty() {
        out.u64(1).array(own.causes.len() as u64);
        for cause in &own.causes {
            out.array(5).text(cause.stream.as_str()).bytes(&cause.epoch.0).u64(cause.offset.0);
            let (producer, sequence) = cause.own.map_or((ProducerId::default(), 0), |id| (id.producer, id.sequence));
            out.bytes(&producer.0).u64(sequence);
        }
    }
    if let Some((id, tag)) = &own.needs {
        out.u64(2).array(3).bytes(&id.producer.0).u64(id.sequence).bytes(&tag.0);
    }
}

/// One field of an own event; false if the key is not one.
fn read_own(key: u64, input: &mut Reader<'_>, own: &mut OwnEvent) -> Result<bool, DecodeError> {
    match key {
        0 => own.content = input.bytes()?,
        1 => input.each(usize::MAX, |input| {
            input.array()?;
            let (stream, epoch, offset) = (input.stream()?, Epoch(input.id()?), input.offset()?);
            let id = EventId { producer: ProducerId(input.id()?), sequence: input.u64()? };
            own.causes.push(OwnCause { stream, epoch, offset, own: (id.sequence > 0).then_some(id) });
            Ok(())
        })?,
        2 => {
            input.array()?;
            let id = EventId { producer: ProducerId(input.id()?), sequence: input.u64()? };
            own.needs = Some((id, Tag(input.id()?)));
        }
        _ => return Ok(false),
    }
    Ok(true)
}

impl OwnEvent {
    pub(super) fn empty() -> OwnEvent {
        OwnEvent { content: Bytes::new(), causes: vec![], needs: None }
    }
    pub(super) fn encode(&self) -> Bytes {
        let mut out = Writer::new();
        write_own(out.begin_map(), self);
        out.end();
        out.finish().into()
    }
    pub(super) fn decode(row: &Bytes) -> Result<OwnEvent, DecodeError> {
        let mut own = OwnEvent::empty();
        Reader::new(row).fields(|key, input| read_own(key, input, &mut own))?;
        Ok(own)
    }
}

/// An own event of a producer id that was given up, with the tag its chain had before it. Without content: a void, which
/// what follows in the chain needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StrayRow {
    /// Its place among the strays, and its key.
    pub(super) order: u64,
    pub(super) id: EventId,
    pub(super) tag: Tag,
    pub(super) tag_before: Tag,
    pub(super) own: OwnEvent,
}

impl StrayRow {
    /// What pages know it by until it is in the log: under the id that it had, another event may be there.
    #[inline(never)]
    pub(super) fn shown_id(&self) -> EventId {
        EventId { producer: digest::derived_producer(self.id, self.tag), sequence: 1 }
    }
    pub(super) fn key(&self, stream: &StreamName) -> Vec<u8> {
        key(stream, &[&self.order.to_be_bytes()])
    }
    /// Nothing is to enter the log under this sequence: it was refused or thrown away.
    pub(super) fn is_void(&self) -> bool {
        self.own.content.is_empty()
    }
    pub(super) fn encode(&self) -> Bytes {
        let mut out = Writer::new();
        write_own(out.begin_map(), &self.own);
        out.u64(3).bytes(&self.id.producer.0).u64(4).u64(self.id.sequence);
        out.u64(5).bytes(&self.tag.0).u64(6).bytes(&self.tag_before.0).end();
        out.finish().into()
    }
    pub(super) fn decode(order: u64, row: &Bytes) -> Result<StrayRow, DecodeError> {
        let mut own = OwnEvent::empty();
        let (mut id, mut tag, mut tag_before) =
            (EventId { producer: ProducerId::default(), sequence: 0 }, Tag::ZERO, Tag::ZERO);
        Reader::new(row).fields(|key, input| {
            match key {
                3 => id.producer = ProducerId(input.id()?),
                4 => id.sequence = input.u64()?,
                5 => tag = Tag(input.id()?),
                6 => tag_before = Tag(input.id()?),
                _ => return read_own(key, input, &mut own),
            }
            Ok(true)
        })?;
        Ok(StrayRow { order, id, tag, tag_before, own })
    }
}

/// A batch of the log: `(after, upto]`, `upto` being in its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BatchRow {
    pub(super) after: Offset,
    /// The log's check at `upto`.
    pub(super) check: Check,
    pub(super) events: Vec<Event>,
}

impl BatchRow {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = Writer::new();
        let runs = Run::group(&self.events);
        out.begin_map().u64(0).u64(self.after.0).u64(1).bytes(&self.check.0).u64(2).array(runs.len() as u64);
        runs.iter().for_each(|run| {
            out.bytes(&encode_run(run));
        });
        out.end();
        out.finish().into()
    }
    pub(super) fn decode(row: &Bytes) -> Result<BatchRow, DecodeError> {
        let mut batch = BatchRow { after: Offset::ZERO, check: Check::default(), events: vec![] };
        Reader::new(row).fields(|key, input| {
            match key {
                0 => batch.after = input.offset()?,
                1 => batch.check = Check(input.id()?),
                2 => input.each(usize::MAX, |input| {
                    let run = decode_run(&input.bytes()?)?;
                    let events = run.events(|_, _| None);
                    batch.events.extend(events.ok_or_else(|| input.error("a kept batch has its contents"))?);
                    Ok(())
                })?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(batch)
    }
}

/// What is left to heal of one batch, by index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HealRow {
    /// Not to heal any more: a bit map.
    pub(super) done: Vec<u8>,
    /// Filed under a derived id: a bit map.
    pub(super) refiled: Vec<u8>,
    /// What these follow where their predecessor is missing: a log did not take that one.
    pub(super) follows: Vec<(u64, (Sequence, Tag))>,
}

pub(super) fn set_bit(bits: &mut Vec<u8>, index: usize) {
    bits.resize(bits.len().max(index / 8 + 1), 0);
    bits[index / 8] |= 1 << (index % 8);
}

pub(super) fn has_bit(bits: &[u8], index: usize) -> bool {
    bits.get(index / 8).is_some_and(|byte| byte & 1 << (index % 8) != 0)
}

impl HealRow {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = Writer::new();
        out.begin_map().u64(0).bytes(&self.done).u64(1).bytes(&self.refiled);
        out.u64(2).array(self.follows.len() as u64 * 3);
        for (index, (sequence, tag)) in &self.follows {
            out.u64(*index).u64(*sequence).u64(u64::from_be_bytes(tag.0));
        }
        out.end();
        out.finish().into()
    }
    pub(super) fn decode(row: &Bytes) -> Result<HealRow, DecodeError> {
        let mut heal = HealRow::default();
        Reader::new(row).fields(|key, input| {
            match key {
                0 => heal.done = input.bytes()?.to_vec(),
                1 => heal.refiled = input.bytes()?.to_vec(),
                2 => {
                    let numbers = input.numbers()?;
                    let follows = |n: &[u64]| (n[0], (n[1], Tag(n[2].to_be_bytes())));
                    heal.follows = numbers.chunks_exact(3).map(follows).collect();
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(heal)
    }
}

/// A refused event.
pub(super) fn encode_rejection(rejection: &super::Rejection) -> Bytes {
    let mut out = Writer::new();
    out.begin_map().u64(0).bytes(&rejection.id.producer.0).u64(1).u64(rejection.id.sequence);
    out.u64(2).text(&rejection.code).u64(3).text(&rejection.reason).u64(4).bytes(&rejection.content).end();
    out.finish().into()
}

pub(super) fn decode_rejection(row: &Bytes) -> Result<super::Rejection, DecodeError> {
    let mut rejection = super::Rejection {
        id: EventId { producer: ProducerId::default(), sequence: 0 },
        code: String::new(),
        reason: String::new(),
        content: Bytes::new(),
    };
    Reader::new(row).fields(|key, input| {
        match key {
            0 => rejection.id.producer = ProducerId(input.id()?),
            1 => rejection.id.sequence = input.u64()?,
            2 => rejection.code = input.text(usize::MAX)?.into(),
            3 => rejection.reason = input.text(usize::MAX)?.into(),
            4 => rejection.content = input.bytes()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(rejection)
}

/// A snapshot that a stream began with.
pub(super) fn encode_snapshot(offset: Offset, check: Check, bytes: &[u8]) -> Bytes {
    let mut out = Writer::new();
    out.begin_map().u64(0).u64(offset.0).u64(1).bytes(&check.0).u64(2).bytes(bytes).end();
    out.finish().into()
}

pub(super) fn decode_snapshot(row: &Bytes) -> Result<(Offset, Check, Bytes), DecodeError> {
    let (mut offset, mut check, mut bytes) = (Offset::ZERO, Check::default(), Bytes::new());
    Reader::new(row).fields(|key, input| {
        match key {
            0 => offset = input.offset()?,
            1 => check = Check(input.id()?),
            2 => bytes = input.bytes()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok((offset, check, bytes))
}
