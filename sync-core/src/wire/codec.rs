//! CBOR as the protocol uses it: integer-keyed maps whose unknown keys are skipped, byte strings cut out of the frame
//! without a copy, and no allocation by a length that the bytes claim.

use super::DecodeError;
use crate::ids::*;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::convert::Infallible;
use minicbor::encode::Write;
use minicbor::{Decoder, Encoder};

/// Writes CBOR. Writing to memory cannot fail, so no method returns an error.
pub struct Writer(Encoder<Buffer>);

/// minicbor's own writing to a `Vec` comes with errors that own memory: more to download, on every path that reads.
struct Buffer(Vec<u8>);

impl Write for Buffer {
    type Error = Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

macro_rules! writes {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty)?) => $call:ident;)*) => {
        $($(#[$doc])* pub fn $name(&mut self $(, $arg: $type)?) -> &mut Self {
            let Ok(_) = self.0.$call($($arg)?) else { unreachable!("a Vec takes every byte") };
            self
        })*
    };
}

impl Writer {
    /// An empty writer.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Writer {
        Writer::with_capacity(0)
    }
    /// An empty writer that need not grow before it holds so many bytes.
    pub fn with_capacity(bytes: usize) -> Writer {
        Writer(Encoder::new(Buffer(Vec::with_capacity(bytes))))
    }
    /// The bytes.
    pub fn finish(self) -> Vec<u8> {
        self.0.into_writer().0
    }
    writes! {
        /// An array of `len` elements to come.
        array(len: u64) => array;
        /// An array that `end` closes.
        begin_array() => begin_array;
        /// A map that `end` closes.
        begin_map() => begin_map;
        /// Closes the array or map that was begun last.
        end() => end;
        /// An unsigned integer.
        u64(n: u64) => u64;
        /// A byte string.
        bytes(bytes: &[u8]) => bytes;
        /// A text string.
        text(text: &str) => str;
        /// A boolean.
        bool(yes: bool) => bool;
    }
    /// Bytes that are CBOR already.
    pub fn raw(&mut self, cbor: &[u8]) -> &mut Self {
        self.0.writer_mut().0.extend_from_slice(cbor);
        self
    }
}

/// Ends what is of indefinite length.
const BREAK: u8 = 0xFF;
/// Stands for the number of values of which a break comes behind the last.
const UNTIL_BREAK: u64 = u64::MAX;

/// Reads CBOR out of one frame.
pub struct Reader<'b> {
    frame: &'b Bytes,
    input: Decoder<'b>,
}

impl<'b> Reader<'b> {
    /// From the start of `frame`.
    pub fn new(frame: &'b Bytes) -> Reader<'b> {
        Reader { frame, input: Decoder::new(frame) }
    }
    /// From a position in `frame`.
    pub fn starting_at(frame: &'b Bytes, position: usize) -> Reader<'b> {
        let mut reader = Reader::new(frame);
        reader.input.set_position(position);
        reader
    }
    /// Whether all of it was read.
    pub fn is_at_end(&self) -> bool {
        self.input.position() >= self.frame.len()
    }
    /// How far it has read, in bytes.
    pub fn position(&self) -> usize {
        self.input.position()
    }
    /// An error at this place.
    pub fn error(&self, what: &'static str) -> DecodeError {
        DecodeError::new(self.input.position(), what)
    }
    fn take<T>(&self, result: Result<T, minicbor::decode::Error>, what: &'static str) -> Result<T, DecodeError> {
        result.map_err(|_| self.error(what))
    }
    /// An unsigned integer.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        let n = self.input.u64();
        self.take(n, "expected an unsigned integer")
    }
    /// A boolean.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        let yes = self.input.bool();
        self.take(yes, "expected a boolean")
    }
    /// A byte string, sharing the frame's memory.
    pub fn bytes(&mut self) -> Result<Bytes, DecodeError> {
        let bytes = self.input.bytes();
        Ok(self.frame.slice_ref(self.take(bytes, "expected a byte string")?))
    }
    /// A text string of at most `bytes_max` bytes.
    pub fn text(&mut self, bytes_max: usize) -> Result<&'b str, DecodeError> {
        let text = self.input.str();
        let text = self.take(text, "expected a text string")?;
        if text.len() > bytes_max { Err(self.error("text too long")) } else { Ok(text) }
    }
    /// An identifier of exactly `N` bytes.
    pub fn id<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = self.input.bytes();
        let bytes = self.take(bytes, "expected a byte string")?;
        bytes.try_into().map_err(|_| self.error("identifier of a wrong length"))
    }
    /// An offset.
    pub fn offset(&mut self) -> Result<Offset, DecodeError> {
        let n = self.u64()?;
        if n > Offset::MAX.0 { Err(self.error("offset beyond 2^53 - 1")) } else { Ok(Offset(n)) }
    }
    /// A stream's name.
    pub fn stream(&mut self) -> Result<StreamName, DecodeError> {
        let name = self.text(STREAM_NAME_BYTES_MAX)?;
        StreamName::new(name).map_err(|_| self.error("not a stream name"))
    }
    /// The length of an array of definite length.
    pub fn array(&mut self) -> Result<u64, DecodeError> {
        let len = self.input.array();
        self.take(len, "expected an array")?.ok_or_else(|| self.error("expected an array of definite length"))
    }
    /// The head of an array of exactly so many elements.
    pub fn array_of(&mut self, len: u64) -> Result<(), DecodeError> {
        if self.array()? == len { Ok(()) } else { Err(self.error("array of a wrong length")) }
    }
    /// An array of unsigned integers, of rows that this device wrote.
    pub fn numbers(&mut self) -> Result<Vec<u64>, DecodeError> {
        let mut numbers = vec![];
        self.each(usize::MAX, |input| input.u64().map(|n| numbers.push(n)))?;
        Ok(numbers)
    }
    /// Each element of an array, at most `max`.
    pub fn each(
        &mut self,
        max: usize,
        mut element: impl FnMut(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let len = self.input.array();
        let len = self.take(len, "expected an array")?;
        let mut read = 0;
        while self.is_inside(len, read)? {
            if read >= max as u64 {
                return Err(self.error("too many elements"));
            }
            element(self)?;
            read += 1;
        }
        Ok(())
    }
    /// Each field of an integer-keyed map. `field` returns false for a key that it does not know; that value is skipped.
    pub fn fields(
        &mut self,
        mut field: impl FnMut(u64, &mut Self) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        let len = self.input.map();
        let len = self.take(len, "expected a map")?;
        let mut read = 0;
        while self.is_inside(len, read)? {
            let key = self.u64()?;
            if !field(key, self)? {
                self.skip()?;
            }
            read += 1;
        }
        Ok(())
    }
    /// One value of any type, however deep, without recursion.
    pub fn skip(&mut self) -> Result<(), DecodeError> {
        // How many values are left, on top of what is left around each container of indefinite length. A count is at most
        // twice the frame's length.
        let mut left = vec![1];
        while let Some(count) = left.last_mut() {
            if *count == 0 {
                left.pop();
                continue;
            }
            let is_until_break = *count == UNTIL_BREAK;
            if !is_until_break {
                *count -= 1;
            }
            let more = match self.head()? {
                (0 | 1 | 7, Some(_)) => 0,
                (2 | 3, Some(len)) => {
                    self.input.set_position(self.position() + len);
                    0
                }
                (4, Some(len)) => len as u64,
                (5, Some(len)) => 2 * len as u64,
                (6, Some(_)) => 1,
                // Of strings the chunks.
                (2..=5, None) => UNTIL_BREAK,
                (7, None) if is_until_break => {
                    left.pop();
                    continue;
                }
                _ => return Err(self.error("expected a value")),
            };
            if more == UNTIL_BREAK || is_until_break {
                left.push(more);
            } else {
                *count += more;
            }
        }
        Ok(())
    }
    /// The major type of the next value and its argument, of strings and containers at most the bytes that are left. `None`:
    /// an indefinite length, or a break.
    fn head(&mut self) -> Result<(u8, Option<usize>), DecodeError> {
        let cut_short = self.error("value is cut short");
        let (&first, rest) = self.frame[self.position()..].split_first().ok_or(cut_short)?;
        let (major, info) = (first >> 5, first & 31);
        let following = match info {
            24..=27 => rest.get(..1 << (info - 24)).ok_or(cut_short)?,
            28..=30 => return Err(self.error("expected a value")),
            _ => &[],
        };
        self.input.set_position(self.position() + 1 + following.len());
        let argument = match info {
            0..=23 => u64::from(info),
            31 => return Ok((major, None)),
            _ => following.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)),
        };
        let left = self.frame.len() - self.position();
        if (2..=5).contains(&major) && argument > left as u64 {
            Err(cut_short)
        } else {
            Ok((major, Some(argument as usize)))
        }
    }
    /// Whether an array or map of `len` (`None`: until a break) has an element after the first `read`.
    fn is_inside(&mut self, len: Option<u64>, read: u64) -> Result<bool, DecodeError> {
        if let Some(len) = len {
            return Ok(read < len);
        }
        let is_over = match self.frame.get(self.position()) {
            Some(next) => *next == BREAK,
            None => return Err(self.error("array or map is cut short")),
        };
        self.input.set_position(self.position() + usize::from(is_over));
        Ok(!is_over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes of it are one value.
    fn skipped(bytes: &[u8]) -> Result<usize, DecodeError> {
        let frame = Bytes::copy_from_slice(bytes);
        let mut input = Reader::new(&frame);
        input.skip().map(|()| input.position())
    }

    #[test]
    fn values_of_every_type_are_skipped_whole_and_nothing_behind_them() {
        let values: [&[u8]; 16] = [
            &[0x17],
            &[0x1B, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0x38, 99],
            &[0x43, 1, 2, 3],
            &[0x5F, 0x42, 1, 2, 0x41, 3, 0xFF],
            &[0x62, b'a', b'b'],
            &[0x7F, 0x61, b'a', 0xFF],
            &[0x80],
            &[0x82, 0x81, 1, 0xA1, 2, 3],
            &[0x82, 0x9F, 1, 0x82, 2, 3, 0xFF, 4],
            &[0x9F, 0x9F, 0xFF, 0xBF, 1, 0x80, 0xFF, 0xFF],
            &[0xC1, 0x1A, 1, 2, 3, 4],
            &[0x81, 0xD8, 40, 0x81, 5],
            &[0xF6],
            &[0xF8, 255],
            &[0xFB, 0, 0, 0, 0, 0, 0, 0, 0],
        ];
        for value in values {
            assert_eq!(skipped(&[value, &[1, 0xFF]].concat()), Ok(value.len()), "{value:02x?}");
            for cut in 0..value.len() {
                assert!(skipped(&value[..cut]).is_err(), "{value:02x?} without all behind {cut}");
            }
        }
    }

    #[test]
    fn what_is_no_value_is_not_skipped() {
        for bytes in
            [&[0xFF][..], &[0x81, 0xFF], &[0x1C], &[0x1F], &[0xDF, 1], &[0x5B, 255, 255, 255, 255, 255, 255, 255, 255]]
        {
            assert!(skipped(bytes).is_err(), "{bytes:02x?}");
        }
        let claims_more_than_there_is = [0xBB, 0x7F, 255, 255, 255, 255, 255, 255, 255, 1, 1];
        assert!(skipped(&claims_more_than_there_is).is_err());
    }

    #[test]
    fn depth_costs_memory_by_the_bytes_that_came_and_no_stack() {
        for open in [0x81, 0x9F, 0xC0] {
            assert!(skipped(&vec![open; 500_000]).is_err());
        }
        let deep = [vec![0x9F; 200_000], vec![0xFF; 200_000]].concat();
        assert_eq!(skipped(&deep), Ok(deep.len()));
    }
}
