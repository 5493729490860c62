//! What a relay asks of its log store, and what it is told: the shapes that the store's trait, the relay's machine and
//! the simulation share.

use crate::event::{Author, Bodies, Cause, Event, Run};
use crate::ids::*;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::wire::{Known, Record, Refusal, encode_run};
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

/// One producer's next sequences: the unit of an append. All or nothing for what is new of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The stream; born by its first append.
    pub stream: StreamName,
    /// The log it is meant for. `None`: whichever is there, or a new one.
    pub epoch: Option<Epoch>,
    /// Whose.
    pub producer: ProducerId,
    /// The first item's sequence.
    pub first: Sequence,
    /// The tag of the sequence before it, to be compared with the chain (R8).
    pub tag_before: Tag,
    /// What the first item's tag was computed from: `tag_before`, but for an event under a derived id (R11).
    pub origin: Tag,
    /// Who wrote them.
    pub author: Author,
    /// One for each sequence.
    pub items: Vec<AppendItem>,
}

/// One sequence of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendItem {
    /// The chain's tag at this sequence.
    pub tag: Tag,
    /// What uses the sequence up.
    pub body: Body,
}

/// What uses a sequence up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// An event for the log.
    Event {
        /// What its author encoded.
        content: Bytes,
        /// What its author had applied of other streams.
        causes: Vec<Cause>,
        /// The store takes it only if this is the last that it logged of the producer; else it refuses it with
        /// `depends-on-rejected`.
        needs: Option<(Sequence, Tag)>,
    },
    /// Nothing enters the log.
    Void,
    /// The validator refused it. Recorded for ever (R9).
    Refused {
        /// For programs.
        code: String,
        /// For people.
        reason: String,
    },
}

/// The code of a refusal by the store itself: what the event was made on top of is not in the log.
pub const DEPENDS_ON_REJECTED: &str = "depends-on-rejected";

/// The fate of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// In the log.
    Logged(DurableOffset),
    /// Used up by nothing.
    Void,
    /// Refused and recorded.
    Refused {
        /// For programs.
        code: String,
        /// For people.
        reason: String,
    },
}

/// An append that is stored, synced and has its fates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The log it is in.
    pub epoch: Epoch,
    /// One for each item, new or repeated.
    pub outcomes: Vec<Outcome>,
    /// How many items at the end of the batch were new; the others had been stored before.
    pub new: usize,
    /// The log's last offset.
    pub head: DurableOffset,
}

/// Events that an earlier log had accepted, in its order, of any producers (R12). Behind one that is
/// told [`HealOutcome::Other`] or [`HealOutcome::Branch`] nothing is taken: that one goes on under another id, before what was read after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealRequest {
    /// The stream; born by it if need be.
    pub stream: StreamName,
    /// The log it is meant for. `None`: whichever is there, or a new one.
    pub epoch: Option<Epoch>,
    /// The events; their offsets mean nothing.
    pub events: Vec<Event>,
}

/// What became of one healed event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealOutcome {
    /// In the log now.
    Taken(DurableOffset),
    /// Its sequence was used up before, perhaps by it. The log tells, up to `head`.
    Passed,
    /// This very event was refused: before, or now, because what it needs was refused.
    Refused,
    /// Its sequence was used up before, by something else for certain: a void, or another branch of its producer's chain.
    Other,
    /// What stood before it is not there yet.
    Gap,
    /// Not taken: it stands behind an `Other` or a `Branch` of the same heal.
    Later,
    /// Not taken, for good: what stood before it is another event here.
    Branch,
}

/// The fates of a heal, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Healed {
    /// The log it is in.
    pub epoch: Epoch,
    /// One for each event.
    pub outcomes: Vec<HealOutcome>,
    /// The log's last offset.
    pub head: DurableOffset,
}

/// Everything that a subscribe needs, at one moment: the record is no newer than the head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeRequest {
    /// The stream.
    pub stream: StreamName,
    /// The device's producer.
    pub producer: ProducerId,
    /// From here on the producer's refusals are wanted: the device has settled everything before.
    pub settled: Sequence,
    /// Where to compute the log's check; `None`: not wanted.
    pub check_at: Option<(Epoch, Offset)>,
}

/// The answer to [`ResumeRequest`]. A stream that was never written: epoch none, all zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResumeInfo {
    /// The incarnation of the log.
    pub epoch: Epoch,
    /// The log's last offset.
    pub head: Offset,
    /// Events up to here are only in the snapshot.
    pub floor: Offset,
    /// The digest of the prefix at `check_at`; `None` if it is not known there (trimmed, beyond the head, another epoch).
    pub check: Option<Check>,
    /// What the log has of the producer, with its refusals from `settled` on, as [`refusals_told`] bounds them.
    pub known: Known,
}

impl Known {
    /// Without the refusals below `settled` and those that do not fit into half a message. Of these the device says that
    /// the reason is lost (R9).
    pub fn told_from(&self, settled: Sequence) -> Known {
        let from = self.refused.partition_point(|refusal| refusal.sequence < settled);
        Known { last: self.last, tag: self.tag, refused: refusals_told(&self.refused[from..]) }
    }
}

/// The first ones of a producer's refusals, as many as fit into half a message.
pub fn refusals_told(refused: &[Refusal]) -> Vec<Refusal> {
    let mut bytes = 0;
    let fitting = refused.iter().take_while(|refusal| {
        bytes += 64 + refusal.code.len() + refusal.reason.len();
        bytes <= MESSAGE_BYTES_MAX / 2
    });
    fitting.cloned().collect()
}

/// Asks for events behind an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    /// The stream.
    pub stream: StreamName,
    /// The log that the position is in.
    pub epoch: Epoch,
    /// The position.
    pub after: Offset,
    /// Stop near so many bytes, but bring at least one event.
    pub bytes_max: usize,
}

/// A run as it was encoded once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedRun {
    /// Whose events.
    pub producer: ProducerId,
    /// The first one's sequence.
    pub first: Sequence,
    /// How many.
    pub events: u32,
    /// The first one's offset.
    pub offset: Offset,
    /// Bytes of their contents: what an author is spared.
    pub content_bytes: u32,
    /// CBOR, as [`crate::wire::encode_run`] makes it.
    pub bytes: Bytes,
}

impl From<&Run> for EncodedRun {
    fn from(run: &Run) -> EncodedRun {
        let content_bytes = match &run.bodies {
            Bodies::Contents(contents) => contents.iter().map(|content| content.len() as u32).sum(),
            Bodies::Own(_) => 0,
        };
        EncodedRun {
            producer: run.producer,
            first: run.first,
            events: run.bodies.len() as u32,
            offset: run.offset,
            content_bytes,
            bytes: encode_run(run).into(),
        }
    }
}

/// Part of a log: all that it has in `(after, upto]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Behind this.
    pub after: Offset,
    /// Up to and with this.
    pub upto: DurableOffset,
    /// In log order.
    pub runs: Vec<EncodedRun>,
}

/// The answer to a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadAnswer {
    /// The events; empty at the head.
    Batch(Batch),
    /// The position is below the floor: begin with the snapshot.
    Trimmed,
    /// The position is in a log that is gone.
    Replaced {
        /// The present one.
        epoch: Epoch,
    },
}

/// A snapshot as stored: it stands for all events up to its offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Where it stands.
    pub offset: Offset,
    /// The log's check there.
    pub check: Check,
    /// Its bytes, cut for frames.
    pub parts: Vec<Bytes>,
    /// What it contains of each producer: all of them when stored, those asked for when read.
    pub records: Vec<Record>,
}

/// Why the store did not do it, and what is true of the log now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Perhaps written. The same request again settles it; nothing else of that producer before.
    #[error("the store did not answer: perhaps written")]
    Unknown,
    /// Not written. The same request after a short wait.
    #[error("the store is busy: not written")]
    Busy,
    /// Not written: it does not continue the producer's chain.
    #[error("does not continue the producer's chain")]
    Chain {
        /// What the log has of the producer, but for its refusals.
        known: Known,
        /// The log's last offset.
        head: Offset,
    },
    /// Not written: meant for another log.
    #[error("the log was replaced")]
    Epoch {
        /// The present one.
        current: Epoch,
    },
    /// Not written: over a limit of the store.
    #[error("over a limit of the store")]
    TooLarge,
    /// Not written and not to be tried again: the store cannot be trusted. Stop serving the stream.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
}
