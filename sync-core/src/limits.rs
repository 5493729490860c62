//! Every maximum of the protocol, with its reason: what one side may notice of another. What only bounds a part's own
//! memory or work stands there.

/// The lowest and highest protocol version that this build speaks (P7).
pub const VERSIONS: (u32, u32) = (1, 1);

/// A stream's name (P1): it stands in each message.
pub const STREAM_NAME_BYTES_MAX: usize = 200;
/// Content of one event. A whole pasted image does not belong into an event; an import is split by change.
pub const EVENT_BYTES_MAX: usize = 448 * 1024;
/// One WebSocket message in either direction: the largest event, its run and a header.
pub const MESSAGE_BYTES_MAX: usize = 512 * 1024;
/// `events` and `snapshot` are cut near this size, so that a keystroke waits for no more than this of a catch-up.
pub const FRAME_BYTES_TARGET: usize = 64 * 1024;
/// `events` and `snapshot` bytes that a device has not confirmed: a browser's WebSocket has no backpressure on receiving.
pub const WINDOW_BYTES: usize = 1024 * 1024;
/// Publishes and heals that a device may have under way, unanswered.
pub const UNANSWERED_BYTES_MAX: usize = 256 * 1024;
/// Events of one publish or heal. A log store's batch may be no larger (JetStream: 256).
pub const PUBLISH_EVENTS_MAX: usize = 256;
/// Streams that one connection may follow.
pub const STREAMS_PER_CONNECTION_MAX: usize = 4096;
/// Causes of one event (P18): the newest.
pub const CAUSES_MAX: usize = 32;
/// A refusal's code, for programs.
pub const CODE_BYTES_MAX: usize = 64;
/// A refusal's reason, for people.
pub const REASON_BYTES_MAX: usize = 512;
/// The token's subject that stands as author beside an event.
pub const AUTHOR_BYTES_MAX: usize = 200;
/// A token.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Producers whose records a subscribe may ask for.
pub const RECORDS_ASKED_MAX: usize = 1024;
/// Producers whose records all subscriptions of a connection may ask for together (P19): the relay keeps their names.
pub const RECORDS_PER_CONNECTION_MAX: usize = 16 * RECORDS_ASKED_MAX;
/// Frames that may wait for the answer to a token (P19). A device has little to say before it is welcome.
pub const HELD_FRAMES_MAX: usize = 16;
/// What one connection may have asked of the store (P19): what a reader that was let in can bring at once, counted with what
/// each event costs beside its content. A frame of small messages that together ask for more is no device's.
pub const ASKED_BYTES_MAX: usize = UNANSWERED_BYTES_MAX + 2 * MESSAGE_BYTES_MAX;
/// Runs of one `events` message, so that a small message cannot ask for much memory.
pub const RUNS_MAX: usize = 16 * 1024;

/// A side that has sent nothing for so long sends `alive`.
pub const ALIVE_EVERY_MS: u64 = 20_000;
/// A side that has heard nothing for so long closes the connection.
pub const SILENCE_MS_MAX: u64 = 60_000;
/// From the socket's opening to `welcome`.
pub const HANDSHAKE_MS_MAX: u64 = 10_000;
/// Reconnect delay: full jitter over `BASE * 2^attempt`, at most `MAX`.
pub const BACKOFF_MS_BASE: u64 = 500;
/// See `BACKOFF_MS_BASE`. A relay that says goodbye chooses its own delay, also bounded by this.
pub const BACKOFF_MS_MAX: u64 = 30_000;
/// A device that has held an event for its causes this long asks the cause's stream again.
pub const HELD_MS_MAX: u64 = 1_000;
/// A healer's turn passes on when it has sent no heal for so long.
pub const HEAL_TURN_MS_MAX: u64 = 5_000;
/// A link that was given up so often without progress is a broken relay's: the connection is dropped and backed off.
pub const ASKS_MAX: u32 = 5;
/// A snapshot larger than this is refused: no device could show it.
pub const SNAPSHOT_BYTES_MAX: u64 = 256 << 20;
/// After this many resets in a row that healed nothing new, a stream fails with a clear error instead of looping.
pub const RESETS_IN_A_ROW_MAX: u32 = 3;
