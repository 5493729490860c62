//! Everything that a device can ask for or tell.

use super::input::{Socket, StorageError};
use crate::event::{Event, Kind};
use crate::ids::*;
use crate::time::Millis;
use crate::wire::Access;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

/// What the device wants done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Write all of it in one transaction, or nothing; answered by `Committed` or `StorageFailed`. There is never more
    /// than one under way.
    Commit {
        /// The device's number.
        transaction: u64,
        /// In order; a later write of a key replaces an earlier one.
        writes: Vec<Write>,
    },
    /// Read rows of a table with `from <= key < to`, in ascending order, near `bytes_max` but at least one; answered by
    /// `Loaded`. It sees every transaction that was committed before.
    Load {
        /// The device's number.
        request: u64,
        /// The table.
        table: Table,
        /// The first key.
        from: Vec<u8>,
        /// Behind the last key.
        to: Vec<u8>,
        /// Bytes of values to stop at.
        bytes_max: usize,
    },
    /// Open a socket to the relay.
    Dial(Socket),
    /// Send a binary message.
    Send {
        /// On which socket.
        socket: Socket,
        /// Its bytes.
        bytes: Bytes,
    },
    /// Close the socket; nothing more is read from it.
    HangUp(Socket),
    /// Fetch a token and answer with `Token`. `refused`: the last one was not accepted.
    NeedsToken {
        /// Whether the last one was refused.
        refused: bool,
    },
    /// Call with `Timer` at this time at the latest. Replaces the earlier wish.
    WakeAt(Millis),
    /// The answer to `Read`.
    Page(Page),
    /// Something that pages want to know.
    Notice(Notice),
}

/// A table of the local store: rows of bytes under keys of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// One row: the device.
    Device,
    /// One row a stream: cursor, check, producer, watermarks.
    Streams,
    /// Tags of own events, in blocks.
    Tags,
    /// Own events that were not seen in the log yet.
    Outbox,
    /// The log: one row a batch.
    Events,
    /// What is still to heal of batches of a log that is gone.
    Heals,
    /// Own events of a producer id that was given up.
    Strays,
    /// Refused events, until somebody decides.
    Rejections,
    /// The snapshot that a stream began with.
    Snapshots,
}

impl Table {
    /// All tables.
    pub const ALL: [Table; 9] = [
        Table::Device,
        Table::Streams,
        Table::Tags,
        Table::Outbox,
        Table::Events,
        Table::Heals,
        Table::Strays,
        Table::Rejections,
        Table::Snapshots,
    ];
    /// Its name in the local store.
    pub fn name(self) -> &'static str {
        match self {
            Table::Device => "device",
            Table::Streams => "streams",
            Table::Tags => "tags",
            Table::Outbox => "outbox",
            Table::Events => "events",
            Table::Heals => "heals",
            Table::Strays => "strays",
            Table::Rejections => "rejections",
            Table::Snapshots => "snapshots",
        }
    }
}

/// One change of the local store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Puts a row.
    Put {
        /// The table.
        table: Table,
        /// The key.
        key: Vec<u8>,
        /// The value.
        value: Bytes,
    },
    /// Deletes the rows with `from <= key < to`.
    DeleteRange {
        /// The table.
        table: Table,
        /// The first key.
        from: Vec<u8>,
        /// Behind the last key.
        to: Vec<u8>,
    },
}

/// Part of the local log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The reader's number.
    pub request: u64,
    /// The stream.
    pub stream: StreamName,
    /// The log that the offsets are in.
    pub epoch: Epoch,
    /// Behind this. If the reader's position was not in the log, 0.
    pub after: Offset,
    /// Up to and with this.
    pub upto: Offset,
    /// The log's check at `upto`.
    pub check: Check,
    /// A snapshot that stands for the log up to `after`, when the local log begins with one and the reader began at 0.
    pub snapshot: Option<Bytes>,
    /// In order.
    pub events: Vec<Event>,
    /// There is more up to the cursor.
    pub more: bool,
}

/// Where one of the device's own events stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Own {
    /// In the outbox, never handed to a socket: may be discarded.
    Unsent,
    /// In the outbox, may be at the relay.
    Sent,
    /// The relay has it; it has not come back in the log yet.
    Accepted,
    /// A log that is gone had accepted it; the present one has not got it yet.
    Owed,
    /// The cursor passed it.
    Seen,
    /// Refused; it is in the rejections list.
    Refused,
    /// Discarded before it was sent. Its sequence is sent as a void.
    Void,
}

/// A refused event, until somebody decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Which.
    pub id: EventId,
    /// For programs.
    pub code: String,
    /// For people; may be empty.
    pub reason: String,
    /// What was refused.
    pub content: Bytes,
}

/// The connection to the relay, as pages see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Nothing is open yet.
    Idle,
    /// No network, or `Disconnect` was called.
    Offline,
    /// Dialling or shaking hands.
    Connecting,
    /// Connected.
    Connected,
    /// Tries again by itself at this time.
    Waiting {
        /// When.
        until: Millis,
    },
    /// Waits for a token and `Connect`.
    NeedsAuth,
    /// Will not try again: the code of the error.
    Stopped {
        /// `outdated-app`, `wrong-user` ...
        code: &'static str,
    },
}

/// What a device holds because the relay is slow, or because it was sent to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queued {
    /// Publishes and heals that the relay has not answered, in the stream that has most of them.
    pub unanswered_bytes: usize,
    /// What came and is not applied yet, all streams together.
    pub unapplied_bytes: usize,
}

/// A stream that a device has something of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalStream {
    /// Its name.
    pub name: StreamName,
    /// That of the first event that was met in it.
    pub kind: Kind,
    /// What its log takes here, about.
    pub used_bytes: u64,
    /// Own events that the relay has not answered, as far as they are loaded.
    pub pending: usize,
}

/// The state of one stream on this device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// The local log is loaded.
    pub loaded: bool,
    /// Is there anything under this name? `None`: nothing here, and the relay has not been asked.
    pub exists: Option<bool>,
    /// Everything that the relay had when last heard of is applied.
    pub caught_up: bool,
    /// The log that the cursor is in.
    pub epoch: Epoch,
    /// Everything up to here is applied.
    pub cursor: Offset,
    /// The relay's head when last heard of on this connection. Some: what the relay has of this device is what the device
    /// knows of itself (R10).
    pub head: Option<Offset>,
    /// How often the relay has said how the stream stands there: one more after each refresh.
    pub answers: u64,
    /// Own events that the relay has not answered, and those it lost.
    pub pending: usize,
    /// Length of the list of rejections.
    pub rejected: usize,
    /// What may be done, as far as this device knows.
    pub access: Access,
    /// Why nothing goes on.
    pub error: Option<&'static str>,
}

/// What pages want to know. Everything about events is told after the local transaction that holds it.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// An own event is in the local log: saved on this device.
    Appended {
        /// The shell's number of the write.
        write: u64,
        /// The stream.
        stream: StreamName,
        /// The event; its offset is zero.
        event: Event,
    },
    /// A write was not saved.
    Failed {
        /// The shell's number of the write.
        write: u64,
        /// The stream.
        stream: StreamName,
        /// `storage-full`, `storage-lost`, `too-large`, `closed` ...
        code: &'static str,
    },
    /// Events were applied with the cursor, own ones among them.
    Applied {
        /// The stream.
        stream: StreamName,
        /// The log that the offsets are in.
        epoch: Epoch,
        /// Behind this.
        after: Offset,
        /// Up to and with this.
        upto: Offset,
        /// The log's check at `upto`.
        check: Check,
        /// In order.
        events: Vec<Event>,
    },
    /// The relay has these own events on stable storage.
    Accepted {
        /// The stream.
        stream: StreamName,
        /// Which.
        ids: Vec<EventId>,
    },
    /// The relay refused these own events; they are in the list of rejections.
    Rejected {
        /// The stream.
        stream: StreamName,
        /// Which and why.
        rejections: Vec<Rejection>,
    },
    /// An own event has another id now, because this profile turned out to be a copy.
    Renamed {
        /// The stream.
        stream: StreamName,
        /// The id it had.
        from: EventId,
        /// The id it has.
        to: EventId,
    },
    /// Another log: readers start again at 0. A snapshot may have taken the place of the log's beginning.
    Reset {
        /// The stream.
        stream: StreamName,
        /// The log.
        epoch: Epoch,
    },
    /// A stream's state changed.
    Stream {
        /// The stream.
        stream: StreamName,
        /// How it is now.
        state: StreamState,
    },
    /// The connection's state changed.
    Connection(Connection),
    /// The local storage does not work.
    Storage(StorageError),
}
