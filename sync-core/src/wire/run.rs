//! The bytes of a run: encoded once, when the store commits it, and passed on as they are.

use super::DecodeError;
use super::codec::{Reader, Writer};
use crate::event::{Bodies, Cause, Run};
use crate::ids::*;
use crate::limits::{AUTHOR_BYTES_MAX, CAUSES_MAX, PUBLISH_EVENTS_MAX, RUNS_MAX};
use alloc::vec;
use alloc::vec::Vec;

/// What the usual run has beside its contents.
const RUN_HEAD_BYTES: usize = 96;

/// The run as CBOR.
pub fn encode_run(run: &Run) -> Vec<u8> {
    let contents: usize = match &run.bodies {
        Bodies::Contents(contents) => contents.iter().map(|content| content.len() + 5).sum(),
        Bodies::Own(tags) => tags.len() * 9,
    };
    let mut out = Writer::with_capacity(contents + RUN_HEAD_BYTES);
    write_run(&mut out, run);
    out.finish()
}

/// A run out of bytes that hold nothing else: a stored row.
pub fn decode_run(bytes: &bytes::Bytes) -> Result<Run, DecodeError> {
    let mut input = Reader::new(bytes);
    let run = read_run(&mut input)?;
    if input.is_at_end() { Ok(run) } else { Err(input.error("more behind the run")) }
}

pub(super) fn write_run(out: &mut Writer, run: &Run) {
    out.begin_map();
    out.u64(0).bytes(&run.producer.0).u64(1).u64(run.first);
    if run.offset != Offset::ZERO {
        out.u64(2).u64(run.offset.0);
    }
    if let Some(author) = &run.author {
        out.u64(3).text(author);
    }
    // The usual run goes on where the producer's last one ended: then its predecessor needs no words.
    if run.prev != (run.first.saturating_sub(1), run.tag_before) {
        out.u64(4).array(2).u64(run.prev.0).bytes(&run.prev.1.0);
    }
    if run.tag_before != Tag::ZERO {
        out.u64(5).bytes(&run.tag_before.0);
    }
    match &run.bodies {
        Bodies::Contents(contents) => {
            out.u64(6).array(contents.len() as u64);
            for content in contents {
                out.bytes(content);
            }
        }
        Bodies::Own(tags) => {
            out.u64(7).array(tags.len() as u64);
            for tag in tags {
                out.bytes(&tag.0);
            }
        }
    }
    if !run.needs.is_empty() {
        out.u64(8).bytes(&run.needs);
    }
    if !run.causes.is_empty() {
        out.u64(9).array(run.causes.len() as u64);
        for (index, causes) in &run.causes {
            out.array(2).u64(u64::from(*index));
            write_causes(out, causes);
        }
    }
    out.end();
}

pub(super) fn read_run(input: &mut Reader<'_>) -> Result<Run, DecodeError> {
    let (mut producer, mut first, mut offset, mut author) = (None, None, Offset::ZERO, None);
    let (mut prev, mut tag_before, mut bodies, mut needs, mut causes) = (None, Tag::ZERO, None, vec![], vec![]);
    input.fields(|key, input| {
        match key {
            0 => producer = Some(ProducerId(input.id()?)),
            1 => first = Some(input.u64()?),
            2 => offset = input.offset()?,
            3 => author = Some(input.text(AUTHOR_BYTES_MAX)?.into()),
            4 => {
                input.array_of(2)?;
                prev = Some((input.u64()?, Tag(input.id()?)));
            }
            5 => tag_before = Tag(input.id()?),
            6 => {
                let mut contents = vec![];
                input.each(RUNS_MAX, |input| input.bytes().map(|content| contents.push(content)))?;
                bodies = Some(Bodies::Contents(contents));
            }
            7 => {
                let mut tags = vec![];
                input.each(RUNS_MAX, |input| input.id().map(|tag| tags.push(Tag(tag))))?;
                bodies = Some(Bodies::Own(tags));
            }
            8 => needs = input.bytes()?.to_vec(),
            9 => causes = read_indexed_causes(input)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let bodies = bodies.filter(|bodies: &Bodies| !bodies.is_empty());
    let (Some(producer), Some(first), Some(bodies)) = (producer, first, bodies) else {
        return Err(input.error("a run needs producer, first sequence and at least one event"));
    };
    let ends = first.checked_add(bodies.len() as u64).zip(offset.0.checked_add(bodies.len() as u64));
    if first == 0 || ends.is_none_or(|(sequence, offset)| sequence > 1 << 53 || offset > 1 << 53) {
        return Err(input.error("sequence or offset out of range"));
    }
    let prev = prev.unwrap_or((first - 1, tag_before));
    if prev.0 >= first {
        return Err(input.error("a predecessor is not below its event"));
    }
    Ok(Run { producer, first, offset, author, prev, tag_before, bodies, needs, causes })
}

pub(super) fn write_causes(out: &mut Writer, causes: &[Cause]) {
    out.array(causes.len() as u64);
    for cause in causes {
        out.array(3).bytes(&cause.stream.0).bytes(&cause.epoch.0).u64(cause.offset.0);
    }
}

pub(super) fn read_causes(input: &mut Reader<'_>) -> Result<Vec<Cause>, DecodeError> {
    let mut causes = vec![];
    input.each(CAUSES_MAX, |input| {
        input.array_of(3)?;
        let stream = StreamHash(input.id()?);
        causes.push(Cause { stream, epoch: Epoch(input.id()?), offset: input.offset()? });
        Ok(())
    })?;
    Ok(causes)
}

fn read_indexed_causes(input: &mut Reader<'_>) -> Result<Vec<(u32, Vec<Cause>)>, DecodeError> {
    let mut all: Vec<(u32, Vec<Cause>)> = vec![];
    input.each(RUNS_MAX.max(PUBLISH_EVENTS_MAX), |input| {
        input.array_of(2)?;
        let index = u32::try_from(input.u64()?).map_err(|_| input.error("index out of range"))?;
        if all.last().is_some_and(|(last, _)| *last >= index) {
            return Err(input.error("indexes of causes must ascend"));
        }
        all.push((index, read_causes(input)?));
        Ok(())
    })?;
    Ok(all)
}
