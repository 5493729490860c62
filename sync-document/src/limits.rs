//! Every maximum of a document, with its reason.

/// Operations of one change. A change of a page is one frame's input; a paste of a long book is about a million
/// characters, which is over any relay's limit for an event anyway.
pub const CHANGE_OPERATIONS_MAX: usize = 500_000;

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
