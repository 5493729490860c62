//! Names and numbers: streams, producers, sequences, offsets, epochs, tags and checks.

pub use crate::limits::STREAM_NAME_BYTES_MAX;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;

/// A stream's name: 1 to 200 bytes, `[A-Za-z0-9._~-]` segments joined by `/`, none of them `.` or `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(Arc<str>);

impl StreamName {
    /// Checks and keeps a name.
    pub fn new(name: &str) -> Result<StreamName, InvalidName> {
        let segment = |s: &[u8]| {
            !s.is_empty()
                && s != b"."
                && s != b".."
                && s.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'~' | b'-'))
        };
        if name.len() > STREAM_NAME_BYTES_MAX || !name.as_bytes().split(|b| *b == b'/').all(segment) {
            return Err(InvalidName);
        }
        Ok(StreamName(name.into()))
    }
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not a stream name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a stream name: 1 to 200 bytes, segments of A-Z a-z 0-9 . _ ~ - joined by /")]
pub struct InvalidName;

/// Without Rust's formatting, which would be a twentieth of what a browser downloads.
fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Whether the text is as many bytes as `out` has, in hexadecimal; `out` holds them then.
fn unhex(text: &str, out: &mut [u8]) -> bool {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let digits = text.as_bytes();
    digits.len() == 2 * out.len()
        && out.iter_mut().zip(digits.chunks(2)).all(|(byte, pair)| {
            let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else { return false };
            *byte = (high * 16 + low) as u8;
            true
        })
}

macro_rules! bytes_id {
    ($(#[$doc:meta])* $name:ident, $n:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $n]);

        impl $name {
            /// Its length in bytes.
            pub const BYTES: usize = $n;
            /// From bytes of exactly that length.
            pub fn from_slice(bytes: &[u8]) -> Option<$name> {
                bytes.try_into().ok().map($name)
            }
            /// From lower-case hexadecimal.
            pub fn from_hex(text: &str) -> Option<$name> {
                let mut out = [0; $n];
                unhex(text, &mut out).then_some($name(out))
            }
            /// As lower-case hexadecimal.
            pub fn to_hex(&self) -> String {
                hex(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.to_hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
    };
}

bytes_id! {
    /// Names one device's log: one browser profile is one producer.
    ProducerId, 16
}
bytes_id! {
    /// One incarnation of a stream's log. All zeros: the stream was never written.
    Epoch, 16
}
bytes_id! {
    /// Digest of a producer's chain up to an event; all zeros before the first.
    Tag, 8
}
bytes_id! {
    /// Digest of a log's prefix.
    Check, 16
}
bytes_id! {
    /// Short name of a stream inside causes: the first 8 bytes of the digest of its name.
    StreamHash, 8
}

impl Epoch {
    /// The epoch of a stream that was never written.
    pub const NONE: Epoch = Epoch([0; 16]);
}

impl Tag {
    /// The tag before a producer's first event.
    pub const ZERO: Tag = Tag([0; 8]);
}

/// 1, 2, 3 ... per (stream, producer), minted by the device. 0 means "none yet".
pub type Sequence = u64;

/// The event's id from end to end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// Whose chain it is in.
    pub producer: ProducerId,
    /// Its place there, from 1.
    pub sequence: Sequence,
}

impl EventId {
    /// As `<producer>:<sequence>`, the producer in hexadecimal; `parse` reads it.
    pub fn to_text(&self) -> String {
        [&self.producer.to_hex(), ":", &self.sequence.to_string()].concat()
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl core::str::FromStr for EventId {
    type Err = InvalidEventId;
    fn from_str(text: &str) -> Result<EventId, InvalidEventId> {
        let colon = text.bytes().position(|b| b == b':').ok_or(InvalidEventId)?;
        let (producer, sequence) = (&text[..colon], &text[colon + 1..]);
        Ok(EventId {
            producer: ProducerId::from_hex(producer).ok_or(InvalidEventId)?,
            sequence: sequence.parse().map_err(|_| InvalidEventId)?,
        })
    }
}

/// The text is not `<producer>:<sequence>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an event id: 32 hexadecimal digits, a colon and a number")]
pub struct InvalidEventId;

/// A position in one stream's log, minted by the relay's log store. Ordered; may have gaps; at most 2^53 - 1.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

impl Offset {
    /// Before the first event.
    pub const ZERO: Offset = Offset(0);
    /// The largest offset: what a JavaScript number holds exactly.
    pub const MAX: Offset = Offset((1 << 53) - 1);
}

impl fmt::Debug for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", self.0)
    }
}

/// An offset whose event is on stable storage. An acknowledgement or a delivery can carry no other kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DurableOffset(Offset);

impl DurableOffset {
    /// Only a log store may call this, after its sync: the relay's, the one of [`memory`](crate::memory), and those of tests
    /// (`cargo xtask tidy` checks who does).
    pub fn minted_by_store(offset: Offset) -> DurableOffset {
        DurableOffset(offset)
    }
    /// The position.
    pub fn offset(self) -> Offset {
        self.0
    }
}

impl fmt::Debug for DurableOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_names_are_segments_without_dots_alone() {
        for good in ["a", "notes/shopping", "a.b/~c/-_", "...", &"x".repeat(200)] {
            assert!(StreamName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "a/", "/a", "a//b", ".", "a/..", "a/./b", "ä", "a b", "a\0", &"x".repeat(201)] {
            assert_eq!(StreamName::new(bad), Err(InvalidName), "{bad}");
        }
    }

    #[test]
    fn event_ids_and_hex_survive_a_round_trip() {
        let id = EventId { producer: ProducerId([0xAB; 16]), sequence: 17 };
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("ab:1".parse::<EventId>(), Err(InvalidEventId));
        assert_eq!(Tag::from_hex("00"), None);
        assert_eq!(Tag::from_hex("zz00000000000000"), None);
    }
}
