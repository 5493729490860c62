//! The messages, in PROTOCOL.md's order, and their bytes. A frame is one or more messages in sequence; a message is an
//! array of its number and a map of its fields.

pub mod codec;
mod down;
mod run;
mod up;

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
pub use down::*;
pub use run::{decode_run, encode_run};
pub use up::*;

use crate::ids::*;
use bytes::Bytes;
use codec::{Reader, Writer};

/// Bytes that are not what the protocol says. The connection they came on is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {position}")]
pub struct DecodeError {
    /// How far into the frame.
    pub position: usize,
    /// What was wrong, never what was in it.
    pub what: What,
}

impl DecodeError {
    /// `what` was wrong at `position`.
    pub fn new(position: usize, what: &'static str) -> DecodeError {
        DecodeError { position, what: what.into() }
    }
}

/// A few words for a log. In a browser nobody reads them, and they are not downloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct What(#[cfg(not(target_family = "wasm"))] &'static str);

impl From<&'static str> for What {
    #[cfg(not(target_family = "wasm"))]
    fn from(words: &'static str) -> What {
        What(words)
    }
    #[cfg(target_family = "wasm")]
    fn from(_: &'static str) -> What {
        What()
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            #[cfg(not(target_family = "wasm"))]
            What(words) => words,
            #[cfg(target_family = "wasm")]
            What() => "not what the protocol says",
        })
    }
}

/// A refusal as the relay recorded it, for ever (R9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The sequence that it used up.
    pub sequence: Sequence,
    /// The tag of what was refused.
    pub tag: Tag,
    /// For programs, e.g. `insufficient-funds`.
    pub code: String,
    /// For people; may be empty.
    pub reason: String,
}

/// What the relay has of one producer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The last sequence used up; 0: none.
    pub last: Sequence,
    /// Its tag.
    pub tag: Tag,
    /// The refusals that the device may not know of.
    pub refused: Vec<Refusal>,
}

/// What a snapshot contains of one producer (R13).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The producer.
    pub producer: ProducerId,
    /// The last sequence that entered the log, and its tag.
    pub logged: (Sequence, Tag),
    /// What was refused.
    pub refused: Vec<Refusal>,
}

/// Why a connection ends. The WebSocket close code is this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum CloseCode {
    /// The relay restarts or drains: reconnect after the delay that `goodbye` named.
    GoingAway = 4000,
    /// Nothing was heard for too long: reconnect.
    Silence = 4001,
    /// The relay is over a limit of connections: reconnect later.
    Overloaded = 4002,
    /// No `hello` in time: reconnect.
    HandshakeTimeout = 4003,
    /// Bytes that are not the protocol: do not reconnect.
    Malformed = 4100,
    /// A message over the size limit: do not reconnect.
    TooLarge = 4101,
    /// A message that is not allowed now, e.g. anything before `hello`: do not reconnect.
    Unexpected = 4102,
    /// No version in common: do not reconnect; the app is outdated or the relay is.
    Version = 4103,
    /// More streams, or more of anything, than the limits of `welcome`: do not reconnect.
    Limit = 4104,
    /// No token, or one that is not accepted: do not reconnect before there is another.
    Unauthorized = 4105,
    /// A page of an origin that the relay does not let in: do not reconnect.
    ForeignOrigin = 4106,
}

impl CloseCode {
    /// From the number of a WebSocket close frame.
    pub fn from_number(number: u16) -> Option<CloseCode> {
        use CloseCode::*;
        [
            GoingAway,
            Silence,
            Overloaded,
            HandshakeTimeout,
            Malformed,
            TooLarge,
            Unexpected,
            Version,
            Limit,
            Unauthorized,
            ForeignOrigin,
        ]
        .into_iter()
        .find(|code| *code as u16 == number)
    }
    /// Whether the same device may try again by itself.
    pub fn may_reconnect(self) -> bool {
        (self as u16) < 4100
    }
}

/// A message of either direction.
pub trait Message: Sized {
    /// Writes the message behind what `out` has.
    fn write(&self, out: &mut Writer);
    /// Reads the message whose number was read. `None`: this number is not of this direction.
    fn read(number: u64, input: &mut Reader<'_>) -> Result<Option<Self>, DecodeError>;

    /// A frame of this message alone.
    fn encode(&self) -> Bytes {
        let mut out = Writer::new();
        self.write(&mut out);
        out.finish().into()
    }
    /// The next message of a frame: one at a time, so that a frame of many small ones does not ask for much memory.
    fn decode_next(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.array_of(2)?;
        let number = input.u64()?;
        let message = Self::read(number, input)?;
        message.ok_or_else(|| input.error("unknown message"))
    }
    /// All messages of a frame.
    fn decode_frame(frame: &Bytes) -> Result<Vec<Self>, DecodeError> {
        let mut input = Reader::new(frame);
        let mut messages = vec![];
        while !input.is_at_end() || messages.is_empty() {
            messages.push(Self::decode_next(&mut input)?);
        }
        Ok(messages)
    }
}

/// A field that must be there.
fn required<T>(field: Option<T>, input: &Reader<'_>) -> Result<T, DecodeError> {
    field.ok_or_else(|| input.error("a field is missing that must be there"))
}

fn write_refusals(out: &mut Writer, refused: &[Refusal]) {
    out.array(refused.len() as u64);
    for refusal in refused {
        out.array(4).u64(refusal.sequence).bytes(&refusal.tag.0).text(&refusal.code).text(&refusal.reason);
    }
}

fn read_refusals(input: &mut Reader<'_>) -> Result<Vec<Refusal>, DecodeError> {
    let mut refused = vec![];
    input.each(usize::MAX, |input| {
        input.array_of(4)?;
        refused.push(Refusal {
            sequence: input.u64()?,
            tag: Tag(input.id()?),
            code: input.text(crate::limits::CODE_BYTES_MAX)?.into(),
            reason: input.text(crate::limits::REASON_BYTES_MAX)?.into(),
        });
        Ok(())
    })?;
    Ok(refused)
}

fn write_known(out: &mut Writer, known: &Known) {
    out.array(3).u64(known.last).bytes(&known.tag.0);
    write_refusals(out, &known.refused);
}

fn read_known(input: &mut Reader<'_>) -> Result<Known, DecodeError> {
    input.array_of(3)?;
    Ok(Known { last: input.u64()?, tag: Tag(input.id()?), refused: read_refusals(input)? })
}

#[cfg(test)]
mod tests;
