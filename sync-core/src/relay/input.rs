//! All that can happen to a relay's connection: a closed set.

use super::store::{Appended, Batch, EncodedRun, Healed, ReadAnswer, ResumeInfo, Snapshot, StoreError};
use crate::event::Author;
use crate::ids::{Epoch, Offset, StreamName};
use crate::wire::{Access, EVENTS_END, Turn, events_head};
use alloc::sync::Arc;
use bytes::Bytes;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// A binary WebSocket message came in.
    Message(Bytes),
    /// The answer to [`Authenticate`](super::Output::Authenticate): the token is good.
    Authenticated {
        /// Who the device is; stands as author beside its events.
        subject: Author,
        /// What it may do with every stream.
        access: Access,
        /// Milliseconds since 1970, for `welcome`.
        time: u64,
    },
    /// The answer to [`Authenticate`](super::Output::Authenticate): it is not.
    Unauthorized,
    /// The log store's answer to the request of this number.
    Stored {
        /// The number that [`Output::Store`](super::Output::Store) gave it.
        request: u64,
        /// What the store said.
        answer: Answer,
    },
    /// A hint of the store's feed: what one commit brought to a stream. May be lost, repeated or stale.
    Advanced(Arc<SharedBatch>),
    /// A hint of the store's feed: a stream has more than was announced; it is to be read.
    Behind(StreamName),
    /// A hint of the store's feed: a stream's log was born or replaced.
    NewEpoch(StreamName),
    /// The answer to [`TurnWanted`](super::Output::TurnWanted); or, later, the turn has come.
    Turn {
        /// The stream.
        stream: StreamName,
        /// Go or wait.
        turn: Turn,
    },
    /// The time that [`WakeAt`](super::Output::WakeAt) named has come. Too early does no harm.
    Timer,
    /// The relay goes away: say goodbye, finish what is under way, close.
    Drain {
        /// What the device is to wait before it reconnects, in milliseconds.
        delay_ms: u64,
    },
}

/// What the log store answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// To [`Request::Resume`](super::Request::Resume).
    Resume(Result<ResumeInfo, StoreError>),
    /// To [`Request::Append`](super::Request::Append).
    Append(Result<Appended, StoreError>),
    /// To [`Request::Heal`](super::Request::Heal).
    Heal(Result<Healed, StoreError>),
    /// To [`Request::Read`](super::Request::Read).
    Read(Result<ReadAnswer, StoreError>),
    /// To [`Request::Snapshot`](super::Request::Snapshot). With its log; `None`: the stream has none.
    Snapshot(Result<Option<(Epoch, Snapshot)>, StoreError>),
}

/// What one commit brought to a stream, with the frame that all its subscribers share.
#[derive(Debug)]
pub struct SharedBatch {
    /// The stream.
    pub stream: StreamName,
    /// The log it is in.
    pub epoch: Epoch,
    /// The events.
    pub batch: Batch,
    /// The `events` message, encoded once.
    pub frame: Bytes,
}

impl SharedBatch {
    /// Encodes the frame.
    pub fn new(stream: StreamName, epoch: Epoch, batch: Batch) -> SharedBatch {
        let frame = events_frame(&stream, batch.after, batch.upto.offset(), batch.runs.iter().map(|run| &run.bytes));
        SharedBatch { stream, epoch, batch, frame }
    }
}

/// An `events` message around runs as they were encoded once.
pub(super) fn events_frame<'r>(
    stream: &StreamName,
    after: Offset,
    upto: Offset,
    runs: impl Iterator<Item = &'r Bytes> + Clone,
) -> Bytes {
    let more_bytes = runs.clone().map(Bytes::len).sum::<usize>() + EVENTS_END.len();
    let mut frame = events_head(stream, after, upto, more_bytes);
    runs.for_each(|run| frame.extend_from_slice(run));
    frame.extend_from_slice(&EVENTS_END);
    frame.into()
}

/// Bytes of the contents of runs that `is_own` picks.
pub(super) fn content_bytes(runs: &[EncodedRun], is_own: impl Fn(&EncodedRun) -> bool) -> usize {
    runs.iter().filter(|run| is_own(run)).map(|run| run.content_bytes as usize).sum()
}
