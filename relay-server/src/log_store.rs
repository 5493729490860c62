//! The log store: one trait for every place that can hold the logs. Nothing above it knows which store is in use;
//! nothing in it knows connections.
//!
//! [`LogStore`] is what the relay calls. [`Log`] and [`LogReader`] are the synchronous halves of a store that lives in
//! this process; [`shell::Store`] puts threads around them and so makes a [`LogStore`] of them, and a simulation drives
//! them without any thread.

pub mod embedded;
mod feed;
pub mod shell;
#[cfg(feature = "simulated")]
pub mod simulated;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use sync_core::event::Event;
use sync_core::ids::*;
use sync_core::limits::{EVENT_BYTES_MAX, MESSAGE_BYTES_MAX, PUBLISH_EVENTS_MAX};
use sync_core::relay::store::*;

/// What a store answers, later.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// A place that holds logs. What holds for every store:
///
/// * **Order.** The store alone owns a stream's order. Any relay may append to any stream.
/// * **Durable, then told.** Nothing is answered, read or shown by the feed before it is on stable storage (R2).
/// * **For ever.** What the store has of a producer (last sequence, tags, refusals) outlives trimming and deleting.
/// * **Fresh.** `resume` is at least as new as any acknowledgement given before the call, by any relay.
/// * **Subscribers are served from the feed and from `read`**, never from an append's answer.
/// * Each [`StoreError`] says what is true of the log afterwards.
///
/// Calls for different producers run at once and the store groups them. A dropped future does not undo its request.
pub trait LogStore: Send + Sync + 'static {
    /// What the store takes at once. The relay splits by it.
    fn limits(&self) -> Limits;

    /// What an acknowledgement of this store is worth. Asked at start; [`Synced::No`] refuses to start without a flag.
    fn durability(&self) -> Durability;

    /// Epoch, head and floor of a stream, all that the log has of a producer, and the log's check at an offset: at one
    /// moment. Of a stream that was never written: [`ResumeInfo::default`]; asking creates nothing.
    fn resume(&self, request: ResumeRequest) -> Answer<ResumeInfo>;

    /// Appends one producer's next sequences (R8): taken if the first is the last one used up plus one and the tag before
    /// it is that one's tag. A batch that reaches over the last one used up is *repeated* up to there, if its own tag there
    /// is the stored one: then all its fates are told and `new` counts those of the end that were not stored before.
    /// Anything else is [`StoreError::Chain`] and writes nothing. A sequence is used up by an event, a void or a refusal;
    /// a refusal is recorded for ever, in the same transaction (R9).
    fn append(&self, append: Append) -> Answer<Appended>;

    /// Takes events that an earlier log had accepted (R12), one by one in the order given: each iff its sequence is above
    /// the producer's last, its predecessor is not, and the predecessor's tag is not another than the stored one.
    fn heal(&self, heal: HealRequest) -> Answer<Healed>;

    /// Where a producer's sequences are in the log: one for each of `sequences`, `None` if it was refused or void. For
    /// repeats that are long ago; may be slow, since it walks back.
    fn offsets_of(&self, stream: StreamName, producer: ProducerId, sequences: SequenceRange) -> Answer<Placed>;

    /// The events behind a position, without gaps up to the batch's `upto`. Makes no state in the store.
    fn read(&self, request: ReadRequest) -> Answer<ReadAnswer>;

    /// The digest of the log's prefix up to `offset` (R7); `None` if it is not known (trimmed, beyond the head, another
    /// epoch).
    fn check(&self, stream: StreamName, epoch: Epoch, offset: Offset) -> Answer<Option<Check>>;

    /// From now on the feed tells of this stream. Cheap: no round trip.
    fn follow(&self, stream: &StreamName);

    /// The feed is silent about this stream again. Hints that are under way may still come.
    fn unfollow(&self, stream: &StreamName);

    /// All hints that have arrived, at least one: waits for it. Hints may be lost and repeated, but not reordered inside
    /// a stream; a lost one becomes [`Hint::Behind`] within [`Limits::hint_ms_max`]. Empty only when the store is closed.
    /// One task asks.
    fn next(&self) -> Pin<Box<dyn Future<Output = Vec<Hint>> + Send + '_>>;

    /// Drops events up to and with `upto`, but never beyond the snapshot. Idempotent. Returns the floor.
    fn trim(&self, stream: StreamName, epoch: Epoch, upto: Offset) -> Answer<Offset>;

    /// Keeps a snapshot in place of the one before, if it fits this log: its check must be the log's own.
    fn put_snapshot(&self, stream: StreamName, epoch: Epoch, snapshot: Snapshot) -> Answer<SnapshotPut>;

    /// The snapshot with its epoch, and of its records those of `producers`; `None`: there is none.
    fn snapshot(&self, stream: StreamName, producers: Vec<ProducerId>) -> Answer<Option<(Epoch, Snapshot)>>;

    /// Gives the log a new epoch, if its present one is `current`. For an operator who restored a backup. The events stay.
    fn new_epoch(&self, stream: StreamName, current: Epoch) -> Answer<Epoch>;

    /// Empties the log and gives it a new epoch, returned. What was known of producers stays, so that no device can heal
    /// back what was deleted. Of a stream that was never written: [`Epoch::NONE`].
    fn delete(&self, stream: StreamName) -> Answer<Epoch>;
}

/// What the feed tells. A hint: what it does not tell, `read` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// One commit brought these events to a stream: a frame's worth, or several such hints behind one another.
    Advanced {
        /// The stream.
        stream: StreamName,
        /// Its log.
        epoch: Epoch,
        /// The head before.
        after: Offset,
        /// The head now.
        upto: DurableOffset,
        /// The events in between, to be shared by all subscribers. `None`: read them.
        batch: Option<Batch>,
    },
    /// Something was not told of this stream: read on from where you are.
    Behind {
        /// The stream.
        stream: StreamName,
    },
    /// The log was born or replaced.
    NewEpoch {
        /// The stream.
        stream: StreamName,
        /// The new one.
        epoch: Epoch,
    },
    /// `Behind`, of every stream that is followed; each may also have a new epoch.
    AllBehind,
}

impl Hint {
    /// The stream that it is about; `None`: all.
    pub fn stream(&self) -> Option<&StreamName> {
        match self {
            Hint::Advanced { stream, .. } | Hint::Behind { stream } | Hint::NewEpoch { stream, .. } => Some(stream),
            Hint::AllBehind => None,
        }
    }
}

/// What a store takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Items of one append, or events of one heal.
    pub append_events_max: usize,
    /// Content bytes of one event.
    pub event_bytes_max: usize,
    /// Content bytes of one append or heal.
    pub append_bytes_max: usize,
    /// Most that a read may ask for.
    pub read_bytes_max: usize,
    /// Bytes of a stream's name.
    pub stream_name_bytes_max: usize,
    /// Within so many milliseconds a lost hint becomes [`Hint::Behind`]; 0: none is lost without one.
    pub hint_ms_max: u64,
}

impl Default for Limits {
    /// What the protocol needs, and no more.
    fn default() -> Limits {
        Limits {
            append_events_max: PUBLISH_EVENTS_MAX,
            event_bytes_max: EVENT_BYTES_MAX,
            append_bytes_max: MESSAGE_BYTES_MAX,
            read_bytes_max: 4 * 1024 * 1024,
            stream_name_bytes_max: STREAM_NAME_BYTES_MAX,
            hint_ms_max: 0,
        }
    }
}

impl Limits {
    /// Whether contents of these sizes may come in one request.
    fn allow(&self, items: usize, contents: impl Iterator<Item = usize>) -> bool {
        let (mut sum, mut largest) = (0, 0);
        for bytes in contents {
            (sum, largest) = (sum + bytes, bytes.max(largest));
        }
        items <= self.append_events_max && largest <= self.event_bytes_max && sum <= self.append_bytes_max
    }
    fn allow_append(&self, append: &Append) -> bool {
        let bytes = append.items.iter().map(|item| match &item.body {
            Body::Event { content, .. } => content.len(),
            Body::Void | Body::Refused { .. } => 0,
        });
        let last = append.first.checked_add(append.items.len() as u64);
        let in_range = append.first > 0 && last.is_some_and(|last| last <= SEQUENCE_MAX);
        !append.items.is_empty() && in_range && self.allow(append.items.len(), bytes)
    }
    fn allow_heal(&self, heal: &HealRequest) -> bool {
        let in_range = |event: &Event| event.prev.0 < event.id.sequence && event.id.sequence <= SEQUENCE_MAX;
        heal.events.iter().all(in_range)
            && self.allow(heal.events.len(), heal.events.iter().map(|event| event.content.len()))
    }
}

/// What a JavaScript number holds exactly.
const SEQUENCE_MAX: Sequence = 1 << 53;

/// What an acknowledgement is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durability {
    /// Whether each acknowledgement waits for stable storage.
    pub synced: Synced,
    /// Machines that hold what was acknowledged.
    pub replicas: u32,
}

/// Whether each acknowledgement waits for stable storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synced {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// The store cannot tell.
    NotProvable,
}

/// Sequences of one producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceRange {
    /// The first.
    pub first: Sequence,
    /// How many.
    pub count: u32,
}

impl SequenceRange {
    /// The last; `first - 1` if there are none.
    pub fn last(self) -> Sequence {
        self.first.saturating_add(u64::from(self.count)).saturating_sub(1)
    }
}

/// Where sequences are in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placed {
    /// One for each.
    Offsets(Vec<Option<DurableOffset>>),
    /// Some are where the log was trimmed or deleted.
    Trimmed,
}

/// What became of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotPut {
    /// It is the stream's snapshot now.
    Stored,
    /// There is one at this offset or later.
    Older,
    /// It is not of this log: the check is another, or the offset is beyond the head or below the floor.
    Mismatch,
}

/// A request that a commit groups with others.
#[derive(Clone, Debug)]
pub enum Request {
    /// See [`LogStore::append`].
    Append(Append),
    /// See [`LogStore::heal`].
    Heal(HealRequest),
}

impl Request {
    /// Memory that it holds, roughly.
    pub fn bytes(&self) -> usize {
        match self {
            Request::Append(append) => append.items.iter().map(|item| 96 + item.body_bytes()).sum(),
            Request::Heal(heal) => heal.events.iter().map(|event| 96 + event.bytes()).sum(),
        }
    }
}

trait BodyBytes {
    fn body_bytes(&self) -> usize;
}

impl BodyBytes for AppendItem {
    fn body_bytes(&self) -> usize {
        match &self.body {
            Body::Event { content, causes, .. } => content.len() + causes.len() * size_of::<sync_core::event::Cause>(),
            Body::Void => 0,
            Body::Refused { code, reason } => code.len() + reason.len(),
        }
    }
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To an append.
    Append(Result<Appended, StoreError>),
    /// To a heal.
    Heal(Result<Healed, StoreError>),
}

/// What one commit did.
#[derive(Clone, Debug, Default)]
pub struct Committed {
    /// One for each request, in order. They may be told: what they say is synced.
    pub replies: Vec<Reply>,
    /// What the feed tells of it.
    pub hints: Vec<Hint>,
}

/// The writing half of a store in this process: one at a time, each call returns when its outcome is on stable storage.
pub trait Log: Send + 'static {
    /// Its reading half.
    type Reader: LogReader;
    /// See [`LogStore::limits`].
    fn limits(&self) -> Limits;
    /// See [`LogStore::durability`].
    fn durability(&self) -> Durability;
    /// Takes all requests, in order, in one transaction. None of them can fail another, but all are
    /// [`StoreError::Unknown`] when the transaction is.
    fn commit(&mut self, requests: Vec<Request>) -> Committed;
    /// See [`LogStore::trim`].
    fn trim(&mut self, stream: &StreamName, epoch: Epoch, upto: Offset) -> Result<Offset, StoreError>;
    /// See [`LogStore::put_snapshot`].
    fn put_snapshot(
        &mut self,
        stream: &StreamName,
        epoch: Epoch,
        snapshot: &Snapshot,
    ) -> Result<SnapshotPut, StoreError>;
    /// See [`LogStore::new_epoch`].
    fn new_epoch(&mut self, stream: &StreamName, current: Epoch) -> Result<Epoch, StoreError>;
    /// See [`LogStore::delete`].
    fn delete(&mut self, stream: &StreamName) -> Result<Epoch, StoreError>;
    /// What readers can be told without waiting for storage.
    fn memory(&self) -> Arc<dyn Memory>;
    /// Another reader.
    fn reader(&self) -> Result<Self::Reader, StoreError>;
}

/// The reading half: any number of them, beside the writer and each other.
pub trait LogReader: Send + 'static {
    /// See [`LogStore::resume`].
    fn resume(&mut self, request: &ResumeRequest) -> Result<ResumeInfo, StoreError>;
    /// See [`LogStore::read`].
    fn read(&mut self, request: &ReadRequest) -> Result<ReadAnswer, StoreError>;
    /// See [`LogStore::check`].
    fn check(&mut self, stream: &StreamName, epoch: Epoch, offset: Offset) -> Result<Option<Check>, StoreError>;
    /// See [`LogStore::offsets_of`].
    fn offsets_of(
        &mut self,
        stream: &StreamName,
        producer: ProducerId,
        sequences: SequenceRange,
    ) -> Result<Placed, StoreError>;
    /// See [`LogStore::snapshot`].
    fn snapshot(
        &mut self,
        stream: &StreamName,
        producers: &[ProducerId],
    ) -> Result<Option<(Epoch, Snapshot)>, StoreError>;
}

/// Answers that cost no storage access. `None`: ask a reader.
pub trait Memory: Send + Sync {
    /// See [`LogStore::resume`].
    fn resume(&self, request: &ResumeRequest) -> Option<ResumeInfo>;
    /// See [`LogStore::read`].
    fn read(&self, request: &ReadRequest) -> Option<ReadAnswer>;
}
