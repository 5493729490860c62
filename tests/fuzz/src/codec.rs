//! Decoding arbitrary bytes: a value or an error. What decodes must encode to bytes that decode to the same value, and
//! neither takes more memory than a stated multiple of the bytes.

use crate::memory::within;
use bytes::Bytes;
use std::fmt::Debug;
use sync_core::event::Content;
use sync_core::wire::{DecodeError, Down, Message, Up, decode_run, encode_run};

/// The dearest byte is an empty body of a run, in a list that has just grown: the old and the new place of its 32 bytes.
/// A message of three bytes costs less for each of them.
const BYTES_PER_BYTE: usize = 256;
/// Lists begin with room for four.
const BYTES_BESIDE: usize = 4096;

/// First as a device's frame, then as a relay's, a run and a content.
pub fn run(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    round_trip(&bytes, Up::decode_frame, |messages| joined(messages));
    round_trip(&bytes, Down::decode_frame, |messages| joined(messages));
    round_trip(&bytes, decode_run, |run| encode_run(run).into());
    round_trip(&bytes, Content::decode, Content::encode);
}

fn joined<M: Message>(messages: &[M]) -> Bytes {
    messages.iter().flat_map(Message::encode).collect::<Vec<u8>>().into()
}

fn round_trip<T: Debug + PartialEq>(
    bytes: &Bytes,
    decode: impl Fn(&Bytes) -> Result<T, DecodeError>,
    encode: impl Fn(&T) -> Bytes,
) {
    let bytes_max = bytes.len() * BYTES_PER_BYTE + BYTES_BESIDE;
    let Ok(value) = within(bytes_max, "decoding", || decode(bytes)) else { return };
    let again = within(bytes_max, "encoding", || encode(&value));
    assert_eq!(decode(&again).as_ref(), Ok(&value), "encoded to {again:02x?}");
}
