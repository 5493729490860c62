//! Every maximum of a document, with its reason.

/// Operations of a change that is read, and of an edit. A change is an event, of at most 448 KiB, in which an operation
/// takes a byte or so.
pub const CHANGE_OPERATIONS_MAX: usize = 500_000;

/// Bytes of a change that is made here, as far as they can be told before it is made: what is more becomes several. An
/// event holds 448 KiB; the rest is room for what the estimate leaves out.
pub const CHANGE_BYTES_MAX: usize = 320 << 10;

/// Bytes of one value, key included: an operation cannot be split, and must fit into an event beside a change's header.
pub const VALUE_BYTES_MAX: usize = 440 << 10;

/// Bytes that one edit inserts. A long book is a million characters and takes a page two or three seconds; what is much
/// more would block it for longer than anybody waits, and is refused before any of it is done.
pub const EDIT_BYTES_MAX: usize = 4 << 20;

/// As [`EDIT_BYTES_MAX`], where the edit must be one change.
pub const WHOLE_EDIT_BYTES_MAX: usize = 2 * VALUE_BYTES_MAX;

/// An operation in a change, beside the bytes of its key and value: 14 columns, most of them compressed.
pub const OPERATION_BYTES: usize = 48;

/// A deleted character in a change, at worst: its id, twice.
pub const DELETION_BYTES: usize = 16;

/// Texts are inserted and deleted in pieces of so many bytes or UTF-16 units, between which a change may end.
pub const TEXT_PIECE_MAX: usize = 16 << 10;

/// Bytes of an Automerge file, as it is and with its columns inflated. What is larger does not open in a page anyway.
pub const FILE_BYTES_MAX: usize = 64 << 20;

/// See [`FILE_BYTES_MAX`].
pub const FILE_INFLATED_BYTES_MAX: usize = 256 << 20;

/// Changes and operations of an Automerge file: an operation takes about a hundred bytes of a page's memory.
pub const FILE_CHANGES_MAX: u64 = 1_000_000;

/// See [`FILE_CHANGES_MAX`].
pub const FILE_OPERATIONS_MAX: u64 = 8_000_000;

/// Changes that wait for others which they depend on, and their bytes. A log that was lost may be healed in any order of
/// its authors, so many may wait for a while; what waits beyond this is left out until the document is opened again.
pub const WAITING_CHANGES_MAX: usize = 100_000;

/// See [`WAITING_CHANGES_MAX`].
pub const WAITING_BYTES_MAX: usize = 32 << 20;

/// How deep objects nest. What lies deeper is not shown, and cannot be written: a snapshot is built by recursion.
pub const DEPTH_MAX: usize = 64;

/// Bytes of a change's message, as the package promises.
pub const MESSAGE_BYTES_MAX: usize = 1024;

/// The highest operation counter. Automerge counts in 32 bits and panics above; half of that leaves room for its sums.
pub const COUNTER_MAX: u64 = 1 << 31;

/// How far a change's first operation may lie above all operations known here. An honest one starts right above what
/// its author knew; a hostile one must not use up the counters of all others at once.
pub const COUNTER_JUMP_MAX: u64 = 1 << 20;

/// Up to so many changes are replayed one by one; more at once cost less in a batch, whose price is mostly one walk
/// over the objects it touches.
pub const REPLAYED_CHANGES_MAX: usize = 256;

/// Edit distance up to which `update_text` looks for the smallest edit within the part that differs; the search costs
/// its square. Beyond it, that part is replaced as one.
pub const TEXT_DISTANCE_MAX: usize = 256;
