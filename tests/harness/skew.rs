//! Devices and relays of other versions: what they offer in `hello`, and keys in their messages that nobody here knows.

use bytes::Bytes;
use sync_core::limits::VERSIONS;
use sync_core::wire::codec::Reader;
use sync_core::wire::{Down, Message, Up};

/// Which version a device is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// The relay's own.
    #[default]
    Same,
    /// One older: it offers that one too, and the relay's messages have keys that it does not know.
    Older,
    /// One newer: it offers that one too, and its own messages have keys that the relay does not know.
    Newer,
}

/// A frame of such a device as it is on the wire.
pub fn up(version: Version, frame: Bytes) -> Bytes {
    match version {
        Version::Same => frame,
        Version::Older => each::<Up>(&frame, |message, bytes| offers(message, 1, 0).unwrap_or(bytes)),
        Version::Newer => {
            each::<Up>(&frame, |message, bytes| with_unknown_key(&offers(message, 0, 1).unwrap_or(bytes)))
        }
    }
}
/// A frame of the relay for such a device.
pub fn down(version: Version, frame: Bytes) -> Bytes {
    match version {
        Version::Older => each::<Down>(&frame, |_, bytes| with_unknown_key(&bytes)),
        Version::Same | Version::Newer => frame,
    }
}

/// The `hello` that offers so many older and newer versions.
fn offers(message: Up, older: u32, newer: u32) -> Option<Bytes> {
    let Up::Hello(mut hello) = message else { return None };
    (hello.version_min, hello.version_max) = (VERSIONS.0 - older, VERSIONS.1 + newer);
    Some(Up::Hello(hello).encode())
}

/// The frame with each of its messages changed.
fn each<M: Message>(frame: &Bytes, change: impl Fn(M, Bytes) -> Bytes) -> Bytes {
    let mut input = Reader::new(frame);
    let mut out = vec![];
    while !input.is_at_end() {
        let from = input.position();
        let Ok(message) = M::decode_next(&mut input) else { return frame.clone() };
        out.extend_from_slice(&change(message, frame.slice(from..input.position())));
    }
    out.into()
}

/// Key 99 with a list in it.
const UNKNOWN: [u8; 5] = [0x18, 99, 0x81, 0x61, b'x'];

/// The same message with one more key in its map, which is its last element.
fn with_unknown_key(message: &Bytes) -> Bytes {
    let mut bytes = message.to_vec();
    let map = if bytes[1] < 0x18 { 2 } else { 3 };
    match bytes[map] {
        0xBF => {
            bytes.pop();
            bytes.extend(UNKNOWN);
            bytes.push(0xFF);
        }
        small @ 0xA0..0xB7 => {
            bytes[map] = small + 1;
            bytes.extend(UNKNOWN);
        }
        _ => {}
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sync_core::ids::{Offset, StreamName};

    #[test]
    fn a_newer_devices_frame_is_longer_and_means_the_same() {
        let stream = StreamName::new("s").expect("a name");
        let message = Up::Applied { stream, cursor: Offset(7) };
        let both: Bytes = [Up::Alive.encode(), message.encode()].concat().into();
        let newer = up(Version::Newer, both.clone());
        assert_eq!(newer.len(), both.len() + 2 * UNKNOWN.len());
        assert_eq!(Up::decode_frame(&newer), Ok(vec![Up::Alive, message]));
        assert_eq!(up(Version::Older, both.clone()), both);
    }
}
