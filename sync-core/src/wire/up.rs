//! device -> relay

use super::codec::{Reader, Writer};
use super::run::{read_causes, read_run, write_causes, write_run};
use super::{DecodeError, Message, required};
use crate::event::{Cause, Run};
use crate::ids::*;
use crate::limits::*;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// The first message: who, and which versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The lowest version it speaks.
    pub version_min: u32,
    /// The highest version it speaks.
    pub version_max: u32,
    /// The device's present producer id.
    pub producer: ProducerId,
    /// Proof of who it is; never logged.
    pub token: Option<String>,
}

/// Asks for a stream from a position. Repeating it on the same socket is allowed: it is how the head is asked for again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// The stream.
    pub stream: StreamName,
    /// The incarnation of the log that the cursor is in.
    pub epoch: Epoch,
    /// The cursor.
    pub after: Offset,
    /// The digest of the log's prefix at the cursor (R7).
    pub check: Check,
    /// Under which id this device writes to this stream.
    pub producer: ProducerId,
    /// The fate of every own sequence below this is known here. Refusals from here on are told, and own events from here
    /// on may come without payload.
    pub settled: Sequence,
    /// Producers whose records a snapshot must bring beside `producer`'s: those of strays and of the heal list (R13).
    pub records: Vec<ProducerId>,
}

/// One item of a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// An event.
    Event {
        /// What its author encoded.
        content: Bytes,
        /// What its author had applied of other streams.
        causes: Vec<Cause>,
        /// It was made on top of the producer's event with this sequence and tag, not yet seen in the log then.
        needs: Option<(Sequence, Tag)>,
    },
    /// The sequence is used up and nothing enters the log: discarded, or refused in a log that is gone.
    Void {
        /// The tag of what it was.
        tag: Tag,
    },
}

/// Events or voids of one producer, sequence by sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// The stream.
    pub stream: StreamName,
    /// Own, given up or derived.
    pub producer: ProducerId,
    /// The first item's sequence.
    pub first: Sequence,
    /// The tag of the sequence before it (R8).
    pub tag_before: Tag,
    /// What the first item's tag is computed from if that is not `tag_before`: an event filed under a derived id (R11).
    pub origin: Option<Tag>,
    /// One for each sequence.
    pub items: Vec<Item>,
}

/// Events that an earlier log had accepted, under their old ids (R12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heal {
    /// The stream.
    pub stream: StreamName,
    /// The events, in the old log's order.
    pub runs: Vec<Run>,
    /// The list is done: the turn may pass on.
    pub done: bool,
}

/// device -> relay
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Up {
    /// 0
    Hello(Hello),
    /// 1: a new token on a live connection.
    Authenticate {
        /// Never logged.
        token: String,
    },
    /// 2
    Subscribe(Subscribe),
    /// 3
    Unsubscribe {
        /// The stream.
        stream: StreamName,
    },
    /// 4
    Publish(Publish),
    /// 5
    Heal(Heal),
    /// 6: everything up to `cursor` is applied here; frees the window.
    Applied {
        /// The stream.
        stream: StreamName,
        /// The device's cursor.
        cursor: Offset,
    },
    /// 7: nothing to say, still there.
    Alive,
}

impl Message for Up {
    fn write(&self, out: &mut Writer) {
        match self {
            Up::Hello(hello) => {
                out.array(2).u64(0).begin_map();
                out.u64(0).u64(hello.version_min.into()).u64(1).u64(hello.version_max.into());
                out.u64(2).bytes(&hello.producer.0);
                if let Some(token) = &hello.token {
                    out.u64(3).text(token);
                }
            }
            Up::Authenticate { token } => {
                out.array(2).u64(1).begin_map().u64(0).text(token);
            }
            Up::Subscribe(ask) => {
                out.array(2).u64(2).begin_map().u64(0).text(ask.stream.as_str());
                if ask.after != Offset::ZERO {
                    out.u64(1).bytes(&ask.epoch.0).u64(2).u64(ask.after.0).u64(3).bytes(&ask.check.0);
                }
                out.u64(4).bytes(&ask.producer.0).u64(5).u64(ask.settled);
                if !ask.records.is_empty() {
                    out.u64(6).array(ask.records.len() as u64);
                    for producer in &ask.records {
                        out.bytes(&producer.0);
                    }
                }
            }
            Up::Unsubscribe { stream } => {
                out.array(2).u64(3).begin_map().u64(0).text(stream.as_str());
            }
            Up::Publish(publish) => write_publish(out, publish),
            Up::Heal(heal) => {
                out.array(2).u64(5).begin_map().u64(0).text(heal.stream.as_str());
                out.u64(1).array(heal.runs.len() as u64);
                heal.runs.iter().for_each(|run| write_run(out, run));
                if heal.done {
                    out.u64(2).bool(true);
                }
            }
            Up::Applied { stream, cursor } => {
                out.array(2).u64(6).begin_map().u64(0).text(stream.as_str()).u64(1).u64(cursor.0);
            }
            Up::Alive => {
                out.array(2).u64(7).begin_map();
            }
        }
        out.end();
    }

    fn read(number: u64, input: &mut Reader<'_>) -> Result<Option<Up>, DecodeError> {
        Ok(Some(match number {
            0 => Up::Hello(read_hello(input)?),
            1 => {
                let mut token = None;
                input.fields(|key, input| {
                    Ok(key == 0 && {
                        token = Some(input.text(TOKEN_BYTES_MAX)?.into());
                        true
                    })
                })?;
                Up::Authenticate { token: required(token, input)? }
            }
            2 => Up::Subscribe(read_subscribe(input)?),
            3 => Up::Unsubscribe { stream: read_stream(input)? },
            4 => Up::Publish(read_publish(input)?),
            5 => Up::Heal(read_heal(input)?),
            6 => {
                let (mut stream, mut cursor) = (None, None);
                input.fields(|key, input| {
                    match key {
                        0 => stream = Some(input.stream()?),
                        1 => cursor = Some(input.offset()?),
                        _ => return Ok(false),
                    }
                    Ok(true)
                })?;
                let stream = required(stream, input)?;
                Up::Applied { stream, cursor: required(cursor, input)? }
            }
            7 => {
                input.fields(|_, _| Ok(false))?;
                Up::Alive
            }
            _ => return Ok(None),
        }))
    }
}

fn read_stream(input: &mut Reader<'_>) -> Result<StreamName, DecodeError> {
    let mut stream = None;
    input.fields(|key, input| {
        Ok(key == 0 && {
            stream = Some(input.stream()?);
            true
        })
    })?;
    required(stream, input)
}

fn read_hello(input: &mut Reader<'_>) -> Result<Hello, DecodeError> {
    let (mut min, mut max, mut producer, mut token) = (None, None, None, None);
    input.fields(|key, input| {
        match key {
            0 => min = Some(read_u32(input)?),
            1 => max = Some(read_u32(input)?),
            2 => producer = Some(ProducerId(input.id()?)),
            3 => token = Some(input.text(TOKEN_BYTES_MAX)?.into()),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(Hello {
        version_min: required(min, input)?,
        version_max: required(max, input)?,
        producer: required(producer, input)?,
        token,
    })
}

pub(super) fn read_u32(input: &mut Reader<'_>) -> Result<u32, DecodeError> {
    u32::try_from(input.u64()?).map_err(|_| input.error("number out of range"))
}

fn read_subscribe(input: &mut Reader<'_>) -> Result<Subscribe, DecodeError> {
    let (mut stream, mut producer, mut settled, mut records) = (None, None, 1, vec![]);
    let (mut epoch, mut after, mut check) = (Epoch::NONE, Offset::ZERO, Check::default());
    input.fields(|key, input| {
        match key {
            0 => stream = Some(input.stream()?),
            1 => epoch = Epoch(input.id()?),
            2 => after = input.offset()?,
            3 => check = Check(input.id()?),
            4 => producer = Some(ProducerId(input.id()?)),
            5 => settled = input.u64()?,
            6 => input.each(RECORDS_ASKED_MAX, |input| input.id().map(|id| records.push(ProducerId(id))))?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let stream = required(stream, input)?;
    let producer = required(producer, input)?;
    if after == Offset::ZERO {
        // Before the first event there is no log to be in, whatever was said of it.
        (epoch, check) = (Epoch::NONE, Check::default());
    }
    Ok(Subscribe { stream, epoch, after, check, producer, settled, records })
}

fn write_publish(out: &mut Writer, publish: &Publish) {
    out.array(2).u64(4).begin_map().u64(0).text(publish.stream.as_str());
    out.u64(1).bytes(&publish.producer.0).u64(2).u64(publish.first);
    if publish.tag_before != Tag::ZERO {
        out.u64(3).bytes(&publish.tag_before.0);
    }
    if let Some(origin) = publish.origin {
        out.u64(4).bytes(&origin.0);
    }
    out.u64(5).array(publish.items.len() as u64);
    for item in &publish.items {
        out.begin_map();
        match item {
            Item::Event { content, causes, needs } => {
                out.u64(0).bytes(content);
                if !causes.is_empty() {
                    write_causes(out.u64(1), causes);
                }
                if let Some((sequence, tag)) = needs {
                    out.u64(2).array(2).u64(*sequence).bytes(&tag.0);
                }
            }
            Item::Void { tag } => {
                out.u64(3).bytes(&tag.0);
            }
        }
        out.end();
    }
}

fn read_publish(input: &mut Reader<'_>) -> Result<Publish, DecodeError> {
    let (mut stream, mut producer, mut first, mut tag_before, mut origin) = (None, None, None, Tag::ZERO, None);
    let mut items = vec![];
    input.fields(|key, input| {
        match key {
            0 => stream = Some(input.stream()?),
            1 => producer = Some(ProducerId(input.id()?)),
            2 => first = Some(input.u64()?),
            3 => tag_before = Tag(input.id()?),
            4 => origin = Some(Tag(input.id()?)),
            5 => input.each(PUBLISH_EVENTS_MAX, |input| read_item(input).map(|item| items.push(item)))?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let first = required(first, input)?;
    if first == 0 || first >= 1 << 53 || items.is_empty() {
        return Err(input.error("publish needs a sequence from 1 and at least one item"));
    }
    Ok(Publish {
        stream: required(stream, input)?,
        producer: required(producer, input)?,
        first,
        tag_before,
        origin,
        items,
    })
}

fn read_item(input: &mut Reader<'_>) -> Result<Item, DecodeError> {
    let (mut content, mut causes, mut needs, mut void) = (None, vec![], None, None);
    input.fields(|key, input| {
        match key {
            0 => content = Some(input.bytes()?),
            1 => causes = read_causes(input)?,
            2 => {
                input.array_of(2)?;
                needs = Some((input.u64()?, Tag(input.id()?)));
            }
            3 => void = Some(Tag(input.id()?)),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    match (content, void) {
        (Some(content), None) => Ok(Item::Event { content, causes, needs }),
        (None, Some(tag)) => Ok(Item::Void { tag }),
        _ => Err(input.error("an item is an event or a void")),
    }
}

fn read_heal(input: &mut Reader<'_>) -> Result<Heal, DecodeError> {
    let (mut stream, mut runs, mut done) = (None, vec![], false);
    input.fields(|key, input| {
        match key {
            0 => stream = Some(input.stream()?),
            1 => input.each(PUBLISH_EVENTS_MAX, |input| read_run(input).map(|run| runs.push(run)))?,
            2 => done = input.bool()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(Heal { stream: required(stream, input)?, runs, done })
}
