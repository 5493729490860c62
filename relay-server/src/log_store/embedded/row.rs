//! The bytes of rows: what one commit did, as a row of the tail, and runs side by side, as a chunk. CBOR, like the wire.

use bytes::Bytes;
use sync_core::event::Run;
use sync_core::ids::*;
use sync_core::relay::store::EncodedRun;
use sync_core::wire::codec::{Reader, Writer};
use sync_core::wire::{DecodeError, Refusal, decode_run};

/// One thing that a commit did to a stream. A producer's are in the order of its sequences.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// Events for the log.
    Run {
        /// As encoded.
        run: EncodedRun,
        /// The last event's tag.
        tag: Tag,
        /// The log's check at the last event.
        check: Check,
    },
    /// A sequence used up by nothing.
    Void {
        /// Whose.
        producer: ProducerId,
        /// Which.
        sequence: Sequence,
        /// Its tag.
        tag: Tag,
    },
    /// A sequence used up by a refusal.
    Refused {
        /// Whose.
        producer: ProducerId,
        /// Which, and why.
        refusal: Refusal,
    },
}

/// Writes an entry of the stream with this number behind what `out` has.
pub(super) fn write_entry(out: &mut Writer, stream: i64, entry: &Entry) {
    let stream = stream.unsigned_abs();
    match entry {
        Entry::Run { run, tag, check } => {
            out.array(5).u64(stream).u64(1).bytes(&tag.0).bytes(&check.0);
            write_run(out, run);
        }
        Entry::Void { producer, sequence, tag } => {
            out.array(5).u64(stream).u64(2).bytes(&producer.0).u64(*sequence).bytes(&tag.0);
        }
        Entry::Refused { producer, refusal: Refusal { sequence, tag, code, reason } } => {
            out.array(7).u64(stream).u64(3).bytes(&producer.0).u64(*sequence).bytes(&tag.0).text(code).text(reason);
        }
    }
}

/// Reads the entries of a tail row with their streams' numbers. The runs share the row's memory.
pub(super) fn read_entries(row: &Bytes) -> Result<Vec<(i64, Entry)>, DecodeError> {
    let mut input = Reader::new(row);
    let mut entries = vec![];
    while !input.is_at_end() {
        input.array()?;
        let stream = i64::try_from(input.u64()?).map_err(|_| input.error("stream number out of range"))?;
        let entry = match input.u64()? {
            1 => {
                let (tag, check) = (Tag(input.id()?), Check(input.id()?));
                Entry::Run { run: read_run(&mut input)?, tag, check }
            }
            2 => Entry::Void { producer: ProducerId(input.id()?), sequence: input.u64()?, tag: Tag(input.id()?) },
            3 => {
                let producer = ProducerId(input.id()?);
                let (sequence, tag) = (input.u64()?, Tag(input.id()?));
                let (code, reason) = (input.text(usize::MAX)?.into(), input.text(usize::MAX)?.into());
                Entry::Refused { producer, refusal: Refusal { sequence, tag, code, reason } }
            }
            _ => return Err(input.error("unknown entry")),
        };
        entries.push((stream, entry));
    }
    Ok(entries)
}

/// Writes a run of a chunk behind what `out` has.
pub(super) fn write_run(out: &mut Writer, run: &EncodedRun) {
    out.array(6).bytes(&run.producer.0).u64(run.first).u64(u64::from(run.events)).u64(run.offset.0);
    out.u64(u64::from(run.content_bytes)).bytes(&run.bytes);
}

fn read_run(input: &mut Reader<'_>) -> Result<EncodedRun, DecodeError> {
    input.array()?;
    let (producer, first) = (ProducerId(input.id()?), input.u64()?);
    let (events, offset, content_bytes) = (input.u64()?, input.offset()?, input.u64()?);
    let (Ok(events @ 1..), Ok(content_bytes)) = (u32::try_from(events), u32::try_from(content_bytes)) else {
        return Err(input.error("number out of range"));
    };
    Ok(EncodedRun { producer, first, events, offset, content_bytes, bytes: input.bytes()? })
}

/// Reads the runs of a chunk. They share its memory.
pub(super) fn read_chunk(chunk: &Bytes) -> Result<Vec<EncodedRun>, DecodeError> {
    let mut input = Reader::new(chunk);
    let mut runs = vec![];
    while !input.is_at_end() {
        runs.push(read_run(&mut input)?);
    }
    Ok(runs)
}

/// The last offset of a run.
pub(super) fn last_offset(run: &EncodedRun) -> Offset {
    Offset(run.offset.0 + u64::from(run.events) - 1)
}

/// The part of a run that is behind `after`, encoded anew if that is not all of it. `after` is below its last offset.
pub(super) fn behind(run: &EncodedRun, after: Offset) -> Result<EncodedRun, DecodeError> {
    if after < run.offset {
        return Ok(run.clone());
    }
    let events = decode_run(&run.bytes)?.events(|_, _| None).unwrap_or_default();
    let rest = events.iter().filter(|event| event.offset > after);
    let cut = Run::group(rest).first().map(EncodedRun::from);
    cut.ok_or(DecodeError::new(0, "a run that ends before its last offset"))
}
