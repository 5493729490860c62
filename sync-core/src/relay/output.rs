//! All that a relay's connection asks of its shell: a closed set. And the queue they wait in.

use super::store::{Append, HealRequest, ReadRequest, ResumeRequest};
use crate::ids::{ProducerId, StreamName};
use crate::time::Millis;
use crate::wire::codec::Writer;
use crate::wire::{CloseCode, Down, Message};
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

/// One thing to do.
#[derive(Clone, Debug)]
pub enum Output {
    /// Find out who this is; answer with [`Input::Authenticated`](super::Input::Authenticated) or
    /// [`Input::Unauthorized`](super::Input::Unauthorized). The token is never logged.
    Authenticate {
        /// As the device sent it.
        token: Option<String>,
    },
    /// Send one binary WebSocket message.
    Send(Bytes),
    /// Ask the log store; answer with [`Input::Stored`](super::Input::Stored).
    Store {
        /// Names the request in the answer. The same number again is the same request again.
        request: u64,
        /// What to ask.
        ask: Request,
    },
    /// From now on hints about this stream are wanted.
    Follow(StreamName),
    /// No longer.
    Unfollow(StreamName),
    /// This device has something to heal: ask [`HealTurns`](super::HealTurns) and answer with
    /// [`Input::Turn`](super::Input::Turn).
    TurnWanted(StreamName),
    /// It has just healed something.
    TurnUsed(StreamName),
    /// It has nothing more to heal.
    TurnDone(StreamName),
    /// Give [`Input::Timer`](super::Input::Timer) at this time. Replaces what was said before.
    WakeAt(Millis),
    /// Close the socket with this code. Nothing follows.
    Close(CloseCode),
}

/// What the log store is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Everything that a subscribe needs.
    Resume(ResumeRequest),
    /// Add a producer's next sequences.
    Append(Append),
    /// Add what an earlier log had accepted.
    Heal(HealRequest),
    /// Read behind an offset.
    Read(ReadRequest),
    /// The snapshot, with the records of these producers.
    Snapshot {
        /// The stream.
        stream: StreamName,
        /// Whose records.
        records: Vec<ProducerId>,
    },
}

/// Outputs in the order they were made. Small messages that follow one another become one WebSocket message.
#[derive(Default)]
pub(super) struct Outputs {
    ready: VecDeque<Output>,
    small: Vec<u8>,
}

/// Small messages are joined up to this size.
const JOINED_BYTES_MAX: usize = 16 * 1024;
/// What most messages need, an `accepted` above all: written without growing.
const SMALL_BYTES: usize = 128;

impl Outputs {
    /// A message of any size; joined with those before it.
    pub fn tell(&mut self, message: &Down) {
        let mut out = Writer::with_capacity(SMALL_BYTES);
        message.write(&mut out);
        let bytes = out.finish();
        if self.small.len() + bytes.len() > JOINED_BYTES_MAX {
            self.flush();
        }
        self.small.extend_from_slice(&bytes);
    }
    /// Anything else, a frame that is ready included.
    pub fn push(&mut self, output: Output) {
        self.flush();
        self.ready.push_back(output);
    }
    /// The next one.
    pub fn pop(&mut self) -> Option<Output> {
        if self.ready.is_empty() {
            self.flush();
        }
        self.ready.pop_front()
    }
    fn flush(&mut self) {
        if !self.small.is_empty() {
            self.ready.push_back(Output::Send(core::mem::take(&mut self.small).into()));
        }
    }
}
