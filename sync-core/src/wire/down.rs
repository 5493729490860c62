//! relay -> device

use super::codec::{Reader, Writer};
use super::run::{read_run, write_run};
use super::up::read_u32;
use super::{DecodeError, Known, Message, Record, read_known, read_refusals, required, write_known, write_refusals};
use crate::event::Run;
use crate::ids::*;
use crate::limits::*;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// What this relay takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Content of one event, in bytes.
    pub event_bytes_max: u64,
    /// One frame, in bytes.
    pub frame_bytes_max: u64,
    /// Streams of one connection.
    pub streams_max: u64,
}

/// The answer to `hello`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The version both speak from now on.
    pub version: u32,
    /// Names the relay process in logs; 16 random bytes.
    pub relay: [u8; 16],
    /// Who the token says the device is. `None`: anonymous.
    pub subject: Option<String>,
    /// What the relay takes.
    pub limits: Limits,
    /// `events` and `snapshot` bytes that may be unconfirmed.
    pub window_bytes: u64,
    /// Milliseconds since 1970 by the relay's clock.
    pub time: u64,
}

/// What a device may do with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Access {
    /// Nothing: the stream is not sent.
    None = 0,
    /// Read.
    Read = 1,
    /// Read and write.
    Write = 2,
}

/// Whose turn it is to heal a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// This device may send its heal list.
    Go,
    /// Another device heals; a later `turn` says go.
    Wait,
}

/// The answer to `subscribe`; also sent unasked when the stream is born, replaced, or access changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribed {
    /// The stream.
    pub stream: StreamName,
    /// The incarnation of its log; none if it was never written.
    pub epoch: Epoch,
    /// The log's last offset.
    pub head: Offset,
    /// Whether the device may go on from its cursor; else it starts again at 0 (R7).
    pub resume: bool,
    /// What the relay has of the device's producer.
    pub known: Known,
    /// What the device may do.
    pub access: Access,
    /// Whether it may heal now.
    pub turn: Turn,
}

/// One part of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotPart {
    /// The stream.
    pub stream: StreamName,
    /// The offset that it stands at.
    pub offset: Offset,
    /// The log's check there.
    pub check: Check,
    /// 0, 1, 2 ...
    pub part: u64,
    /// How many parts there are.
    pub parts: u64,
    /// All parts' bytes together, said in part 0.
    pub bytes_total: u64,
    /// The records asked for, in part 0.
    pub records: Vec<Record>,
    /// This part's bytes.
    pub bytes: Bytes,
}

/// Events of the log, all that it has in `(after, upto]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Events {
    /// The stream.
    pub stream: StreamName,
    /// Covered from behind this offset ...
    pub after: Offset,
    /// ... up to and with this one.
    pub upto: Offset,
    /// In log order.
    pub runs: Vec<Run>,
}

/// What became of healed events of one producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whose.
    pub producer: ProducerId,
    /// Which.
    pub sequence: Sequence,
    /// The event's tag: more than one event may claim the id.
    pub tag: Tag,
    /// Which fate.
    pub fate: HealFate,
}

/// What the relay can tell of a healed event. On the wire: 0, 1 ...
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealFate {
    /// It is in the log, or its sequence was used up: the log tells which.
    Passed,
    /// What stands before it is not there yet: try again when it is.
    Gap,
    /// This very event was refused.
    Refused,
    /// Something else has used its sequence up for certain.
    Other,
    /// It stands behind one that is told `Other`, and was not looked at: to be sent again when that one has been sent under
    /// its derived id.
    Later,
    /// What stood before it is another event here: it is on another branch of its producer's chain, for certain.
    Branch,
}

/// relay -> device
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Down {
    /// 32
    Welcome(Welcome),
    /// 33
    Subscribed(Subscribed),
    /// 34
    Snapshot(SnapshotPart),
    /// 35
    Events(Events),
    /// 36: sequences `first` to `last` are used up, and in the log unless void.
    Accepted {
        /// The stream.
        stream: StreamName,
        /// Whose.
        producer: ProducerId,
        /// From this sequence ...
        first: Sequence,
        /// ... to this one.
        last: Sequence,
    },
    /// 37: the sequence is used up by a refusal.
    Rejected {
        /// The stream.
        stream: StreamName,
        /// Whose.
        producer: ProducerId,
        /// Which, and why.
        refusal: super::Refusal,
    },
    /// 38: the answer to a publish that does not continue the producer's chain.
    Have {
        /// The stream.
        stream: StreamName,
        /// Whose.
        producer: ProducerId,
        /// The first sequence of that publish.
        sequence: Sequence,
        /// What the relay has.
        known: Known,
        /// The log's last offset.
        head: Offset,
    },
    /// 39: verdicts on healed events; they stand once the cursor reaches `head`.
    Healed {
        /// The stream.
        stream: StreamName,
        /// The log's last offset.
        head: Offset,
        /// One for each event.
        verdicts: Vec<Verdict>,
    },
    /// 40: whose turn it is to heal.
    Turn {
        /// The stream.
        stream: StreamName,
        /// Go or wait.
        turn: Turn,
    },
    /// 41: something about one stream (or the connection) did not work.
    Error {
        /// The stream, if it is about one.
        stream: Option<StreamName>,
        /// For programs, e.g. `access-denied`.
        code: String,
        /// Whether trying again may help.
        retry: bool,
        /// For developers; never content.
        message: String,
    },
    /// 42: the relay goes away; reconnect after the delay.
    Goodbye {
        /// Milliseconds.
        delay_ms: u64,
    },
    /// 43: nothing to say, still there.
    Alive,
}

/// The bytes of an `events` message before its runs, with room for `more_bytes` behind them. The runs follow as they were
/// encoded once, then [`EVENTS_END`].
pub fn events_head(stream: &StreamName, after: Offset, upto: Offset, more_bytes: usize) -> Vec<u8> {
    let mut out = Writer::with_capacity(EVENTS_HEAD_BYTES_MAX + stream.as_str().len() + more_bytes);
    write_events_head(&mut out, stream, after, upto);
    out.finish()
}

/// What stands before the runs, beside the stream's name: two integers of nine bytes, and single bytes.
const EVENTS_HEAD_BYTES_MAX: usize = 32;

/// The bytes behind the runs of an `events` message: end of the list, end of the fields.
pub const EVENTS_END: [u8; 2] = [0xFF, 0xFF];

fn write_events_head(out: &mut Writer, stream: &StreamName, after: Offset, upto: Offset) {
    out.array(2).u64(35).begin_map().u64(0).text(stream.as_str());
    out.u64(1).u64(after.0).u64(2).u64(upto.0).u64(3).begin_array();
}

impl Message for Down {
    fn write(&self, out: &mut Writer) {
        match self {
            Down::Welcome(welcome) => {
                out.array(2).u64(32).begin_map().u64(0).u64(welcome.version.into()).u64(1).bytes(&welcome.relay);
                if let Some(subject) = &welcome.subject {
                    out.u64(2).text(subject);
                }
                let Limits { event_bytes_max, frame_bytes_max, streams_max } = welcome.limits;
                out.u64(3).array(3).u64(event_bytes_max).u64(frame_bytes_max).u64(streams_max);
                out.u64(4).u64(welcome.window_bytes).u64(5).u64(welcome.time);
            }
            Down::Subscribed(answer) => {
                out.array(2).u64(33).begin_map().u64(0).text(answer.stream.as_str()).u64(1).bytes(&answer.epoch.0);
                out.u64(2).u64(answer.head.0).u64(3).bool(answer.resume);
                write_known(out.u64(4), &answer.known);
                out.u64(5).u64(answer.access as u64).u64(6).bool(answer.turn == Turn::Go);
            }
            Down::Snapshot(part) => write_snapshot(out, part),
            Down::Events(events) => {
                write_events_head(out, &events.stream, events.after, events.upto);
                events.runs.iter().for_each(|run| write_run(out, run));
                out.end();
            }
            Down::Accepted { stream, producer, first, last } => {
                out.array(2).u64(36).begin_map().u64(0).text(stream.as_str()).u64(1).bytes(&producer.0);
                out.u64(2).u64(*first).u64(3).u64(*last);
            }
            Down::Rejected { stream, producer, refusal } => {
                out.array(2).u64(37).begin_map().u64(0).text(stream.as_str()).u64(1).bytes(&producer.0);
                write_refusals(out.u64(2), core::slice::from_ref(refusal));
            }
            Down::Have { stream, producer, sequence, known, head } => {
                out.array(2).u64(38).begin_map().u64(0).text(stream.as_str()).u64(1).bytes(&producer.0);
                write_known(out.u64(2).u64(*sequence).u64(3), known);
                out.u64(4).u64(head.0);
            }
            Down::Healed { stream, head, verdicts } => {
                out.array(2).u64(39).begin_map().u64(0).text(stream.as_str()).u64(1).u64(head.0);
                out.u64(2).array(verdicts.len() as u64);
                for v in verdicts {
                    out.array(4).bytes(&v.producer.0).u64(v.sequence).bytes(&v.tag.0).u64(v.fate as u64);
                }
            }
            Down::Turn { stream, turn } => {
                out.array(2).u64(40).begin_map().u64(0).text(stream.as_str()).u64(1).bool(*turn == Turn::Go);
            }
            Down::Error { stream, code, retry, message } => {
                out.array(2).u64(41).begin_map();
                if let Some(stream) = stream {
                    out.u64(0).text(stream.as_str());
                }
                out.u64(1).text(code).u64(2).bool(*retry).u64(3).text(message);
            }
            Down::Goodbye { delay_ms } => {
                out.array(2).u64(42).begin_map().u64(0).u64(*delay_ms);
            }
            Down::Alive => {
                out.array(2).u64(43).begin_map();
            }
        }
        out.end();
    }

    fn read(number: u64, input: &mut Reader<'_>) -> Result<Option<Down>, DecodeError> {
        Ok(Some(match number {
            32 => Down::Welcome(read_welcome(input)?),
            33 => Down::Subscribed(read_subscribed(input)?),
            34 => Down::Snapshot(read_snapshot(input)?),
            35 => Down::Events(read_events(input)?),
            36..=38 => read_answer(number, input)?,
            39 => read_healed(input)?,
            40 => {
                let (mut stream, mut go) = (None, false);
                input.fields(|key, input| {
                    match key {
                        0 => stream = Some(input.stream()?),
                        1 => go = input.bool()?,
                        _ => return Ok(false),
                    }
                    Ok(true)
                })?;
                Down::Turn { stream: required(stream, input)?, turn: turn(go) }
            }
            41 => read_error(input)?,
            42 => {
                let mut delay_ms = 0;
                input.fields(|key, input| {
                    Ok(key == 0 && {
                        delay_ms = input.u64()?;
                        true
                    })
                })?;
                Down::Goodbye { delay_ms }
            }
            43 => {
                input.fields(|_, _| Ok(false))?;
                Down::Alive
            }
            _ => return Ok(None),
        }))
    }
}

fn turn(go: bool) -> Turn {
    if go { Turn::Go } else { Turn::Wait }
}

fn read_welcome(input: &mut Reader<'_>) -> Result<Welcome, DecodeError> {
    let (mut version, mut relay, mut subject, mut limits) = (None, [0; 16], None, None);
    let (mut window_bytes, mut time) = (WINDOW_BYTES as u64, 0);
    input.fields(|key, input| {
        match key {
            0 => version = Some(read_u32(input)?),
            1 => relay = input.id()?,
            2 => subject = Some(input.text(AUTHOR_BYTES_MAX)?.into()),
            3 => {
                if input.array()? < 3 {
                    return Err(input.error("limits are an array of three"));
                }
                let (event_bytes_max, frame_bytes_max) = (input.u64()?, input.u64()?);
                limits = Some(Limits { event_bytes_max, frame_bytes_max, streams_max: input.u64()? });
            }
            4 => window_bytes = input.u64()?,
            5 => time = input.u64()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let version = required(version, input)?;
    let limits = required(limits, input)?;
    Ok(Welcome { version, relay, subject, limits, window_bytes, time })
}

fn read_subscribed(input: &mut Reader<'_>) -> Result<Subscribed, DecodeError> {
    let (mut stream, mut epoch, mut head, mut resume) = (None, Epoch::NONE, Offset::ZERO, None);
    let (mut known, mut access, mut go) = (Known::default(), Access::Write, true);
    input.fields(|key, input| {
        match key {
            0 => stream = Some(input.stream()?),
            1 => epoch = Epoch(input.id()?),
            2 => head = input.offset()?,
            3 => resume = Some(input.bool()?),
            4 => known = read_known(input)?,
            5 => {
                access = match input.u64()? {
                    0 => Access::None,
                    1 => Access::Read,
                    2 => Access::Write,
                    _ => return Err(input.error("unknown access")),
                }
            }
            6 => go = input.bool()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let stream = required(stream, input)?;
    let resume = required(resume, input)?;
    Ok(Subscribed { stream, epoch, head, resume, known, access, turn: turn(go) })
}

fn write_snapshot(out: &mut Writer, part: &SnapshotPart) {
    out.array(2).u64(34).begin_map().u64(0).text(part.stream.as_str()).u64(1).u64(part.offset.0);
    out.u64(2).bytes(&part.check.0).u64(3).u64(part.part).u64(4).u64(part.parts).u64(5).u64(part.bytes_total);
    if !part.records.is_empty() {
        out.u64(6).array(part.records.len() as u64);
        for record in &part.records {
            out.array(4).bytes(&record.producer.0).u64(record.logged.0).bytes(&record.logged.1.0);
            write_refusals(out, &record.refused);
        }
    }
    out.u64(7).bytes(&part.bytes);
}

fn read_snapshot(input: &mut Reader<'_>) -> Result<SnapshotPart, DecodeError> {
    let (mut stream, mut offset, mut check, mut bytes) = (None, None, None, None);
    let (mut part, mut parts, mut bytes_total, mut records) = (0, 1, 0, vec![]);
    input.fields(|key, input| {
        match key {
            0 => stream = Some(input.stream()?),
            1 => offset = Some(input.offset()?),
            2 => check = Some(Check(input.id()?)),
            3 => part = input.u64()?,
            4 => parts = input.u64()?,
            5 => bytes_total = input.u64()?,
            6 => input.each(RECORDS_ASKED_MAX, |input| {
                input.array_of(4)?;
                let producer = ProducerId(input.id()?);
                let logged = (input.u64()?, Tag(input.id()?));
                records.push(Record { producer, logged, refused: read_refusals(input)? });
                Ok(())
            })?,
            7 => bytes = Some(input.bytes()?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(SnapshotPart {
        stream: required(stream, input)?,
        offset: required(offset, input)?,
        check: required(check, input)?,
        part,
        parts,
        bytes_total,
        records,
        bytes: required(bytes, input)?,
    })
}

fn read_events(input: &mut Reader<'_>) -> Result<Events, DecodeError> {
    let (mut stream, mut after, mut upto, mut runs) = (None, None, None, vec![]);
    input.fields(|key, input| {
        match key {
            0 => stream = Some(input.stream()?),
            1 => after = Some(input.offset()?),
            2 => upto = Some(input.offset()?),
            3 => input.each(RUNS_MAX, |input| read_run(input).map(|run| runs.push(run)))?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let stream = required(stream, input)?;
    let after = required(after, input)?;
    Ok(Events { stream, after, upto: required(upto, input)?, runs })
}

/// `accepted`, `rejected` and `have`, which name stream and producer in the same fields.
fn read_answer(number: u64, input: &mut Reader<'_>) -> Result<Down, DecodeError> {
    let (mut stream, mut producer, mut sequence, mut last) = (None, None, 0, 0);
    let (mut known, mut refused, mut head) = (Known::default(), vec![], Offset::ZERO);
    input.fields(|key, input| {
        match (number, key) {
            (_, 0) => stream = Some(input.stream()?),
            (_, 1) => producer = Some(ProducerId(input.id()?)),
            (37, 2) => refused = read_refusals(input)?,
            (36 | 38, 2) => sequence = input.u64()?,
            (36, 3) => last = input.u64()?,
            (38, 3) => known = read_known(input)?,
            (38, 4) => head = input.offset()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let stream = required(stream, input)?;
    let producer = required(producer, input)?;
    Ok(match number {
        36 if sequence == 0 || last < sequence || last >= 1 << 53 => {
            return Err(input.error("accepted needs ascending sequences"));
        }
        36 => Down::Accepted { stream, producer, first: sequence, last },
        37 => Down::Rejected { stream, producer, refusal: required(refused.pop(), input)? },
        _ => Down::Have { stream, producer, sequence, known, head },
    })
}

fn read_healed(input: &mut Reader<'_>) -> Result<Down, DecodeError> {
    let (mut stream, mut head, mut verdicts) = (None, None, vec![]);
    input.fields(|key, input| {
        match key {
            0 => stream = Some(input.stream()?),
            1 => head = Some(input.offset()?),
            2 => input.each(RUNS_MAX, |input| {
                input.array_of(4)?;
                let (producer, sequence) = (ProducerId(input.id()?), input.u64()?);
                let tag = Tag(input.id()?);
                let fate = match input.u64()? {
                    1 => HealFate::Gap,
                    2 => HealFate::Refused,
                    3 => HealFate::Other,
                    4 => HealFate::Later,
                    5 => HealFate::Branch,
                    // What a later version may tell, the log tells too.
                    _ => HealFate::Passed,
                };
                verdicts.push(Verdict { producer, sequence, tag, fate });
                Ok(())
            })?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let stream = required(stream, input)?;
    Ok(Down::Healed { stream, head: required(head, input)?, verdicts })
}

fn read_error(input: &mut Reader<'_>) -> Result<Down, DecodeError> {
    let (mut stream, mut code, mut retry, mut message) = (None, None, false, String::new());
    input.fields(|key, input| {
        match key {
            0 => stream = Some(input.stream()?),
            1 => code = Some(input.text(CODE_BYTES_MAX)?.to_string()),
            2 => retry = input.bool()?,
            3 => message = input.text(REASON_BYTES_MAX)?.into(),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(Down::Error { stream, code: required(code, input)?, retry, message })
}
