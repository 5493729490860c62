//! Everything that a device can be told.

use super::output::Rejection;
use crate::event::Kind;
use crate::ids::*;
use crate::wire::CloseCode;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

/// One socket of one device: 1, 2, 3 ... in the order in which it dialled them.
pub type Socket = u64;

/// What the shell tells the device.
#[derive(Clone, Debug)]
pub enum Input {
    /// Follow a stream and keep its log here. Opening it again changes nothing.
    Open {
        /// The stream.
        stream: StreamName,
    },
    /// Nobody needs the stream any more. What waits in its outbox is still sent.
    Close {
        /// The stream.
        stream: StreamName,
    },
    /// Write an event into the stream's local log; opens the stream.
    Append(Append),
    /// A page of the local log, in order: answered by [`crate::device::Output::Page`].
    Read {
        /// The shell's number for the answer.
        request: u64,
        /// The stream.
        stream: StreamName,
        /// The reader's position; 0: from the start.
        after: Offset,
        /// Stop near so many bytes, but bring at least one row.
        bytes_max: usize,
    },
    /// The user decided about a rejection (tried again or gave up): forget it.
    DropRejection {
        /// The stream.
        stream: StreamName,
        /// Which.
        id: EventId,
    },
    /// An own event of a stream that is open can have no effect, as its readers know, though the relay takes it or has
    /// taken it: to the list of rejections.
    Reject {
        /// The stream.
        stream: StreamName,
        /// What and why.
        rejection: Rejection,
    },
    /// Throw an event away that was never handed to a socket (R14); ignored for any other.
    Discard {
        /// The stream.
        stream: StreamName,
        /// Which.
        id: EventId,
    },
    /// Ask the relay for the stream's head again.
    Refresh {
        /// The stream.
        stream: StreamName,
    },
    /// Connect, also after `NeedsAuth`, `Stopped` or `Disconnect`.
    Connect,
    /// Stay offline until `Connect`.
    Disconnect,
    /// The answer to [`crate::device::Output::NeedsToken`], or a newer token. `None`: signed out.
    Token(Option<String>),
    /// The system's word on the network. `true` ends a backoff early.
    Network {
        /// Whether it believes to have one.
        online: bool,
    },
    /// The socket is open.
    SocketOpened(Socket),
    /// The socket is gone, or could not be opened.
    SocketClosed {
        /// Which.
        socket: Socket,
        /// The relay's reason, if it gave one of the protocol's.
        code: Option<CloseCode>,
    },
    /// A binary message came.
    Frame {
        /// On which socket; one that was given up is not read (R3).
        socket: Socket,
        /// Its bytes.
        bytes: Bytes,
    },
    /// What was sent so far has left the socket's buffer, but for at most the bytes given.
    Buffered {
        /// Which.
        socket: Socket,
        /// Bytes still in the buffer.
        bytes: usize,
    },
    /// The answer to [`crate::device::Output::Load`]: rows in ascending order of their keys.
    Loaded {
        /// The device's number.
        request: u64,
        /// Key and value.
        rows: Vec<(Vec<u8>, Bytes)>,
        /// There are more rows in the range.
        more: bool,
    },
    /// The transaction is on stable storage.
    Committed {
        /// The device's number.
        transaction: u64,
    },
    /// Nothing of the transaction was stored, or reading failed.
    StorageFailed(StorageError),
    /// The time is `now`; sent when a `WakeAt` is due, and allowed at any other time.
    Timer,
}

/// One write of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The shell's number, told back with `Appended` or `Failed`.
    pub write: u64,
    /// The stream.
    pub stream: StreamName,
    /// What the payload is.
    pub kind: Kind,
    /// Milliseconds since 1970 by this device's clock.
    pub time: u64,
    /// The application's bytes.
    pub payload: Bytes,
    /// Made on top of an own event of this stream that was not yet seen in the log: refused where that one is.
    pub dependent: bool,
}

/// What became of the local storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageError {
    /// The quota is used up.
    Full,
    /// The data was deleted, or the store is broken, while in use.
    Lost,
    /// Another host has taken over (R15): this one stops.
    Fenced,
    /// It did not work this time; what was stored before is still there.
    Failed,
}
