//! CBOR as the protocol uses it: integer-keyed maps whose unknown keys are skipped, byte strings cut out of the frame
//! without a copy, and no allocation by a length that the bytes claim.

use super::DecodeError;
use crate::ids::*;
use bytes::Bytes;
use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

/// Writes CBOR. Writing to memory cannot fail, so no method returns an error.
pub struct Writer(Encoder<Vec<u8>>);

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
        Writer(Encoder::new(vec![]))
    }
    /// The bytes.
    pub fn finish(self) -> Vec<u8> {
        self.0.into_writer()
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
        self.0.writer_mut().extend_from_slice(cbor);
        self
    }
}

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
        DecodeError { position: self.input.position(), what }
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
        let skipped = self.input.skip();
        self.take(skipped, "expected a value")
    }
    /// Whether an array or map of `len` (`None`: until a break) has an element after the first `read`.
    fn is_inside(&mut self, len: Option<u64>, read: u64) -> Result<bool, DecodeError> {
        if let Some(len) = len {
            return Ok(read < len);
        }
        let next = self.input.datatype();
        if self.take(next, "array or map is cut short")? == Type::Break {
            self.input.set_position(self.input.position() + 1);
            return Ok(false);
        }
        Ok(true)
    }
}
