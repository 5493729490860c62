//! CBOR as the protocol uses it: integer-keyed maps whose unknown keys are skipped, byte strings cut out of the frame
//! without a copy, and no allocation by a length that the bytes claim.

use super::DecodeError;
use crate::ids::*;
use bytes::Bytes;

// The upper three bits of a value's first byte: what it is.
const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const SIMPLE: u8 = 7;

// Whole first bytes.
const FALSE: u8 = 0xF4;
const TRUE: u8 = 0xF5;
const BEGIN_ARRAY: u8 = 0x9F;
const BEGIN_MAP: u8 = 0xBF;
const BREAK: u8 = 0xFF;

/// Writes CBOR, each number in its shortest form.
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty writer.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Writer {
        Writer(vec![])
    }
    /// The bytes.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
    fn byte(&mut self, byte: u8) -> &mut Self {
        self.0.push(byte);
        self
    }
    fn head(&mut self, major: u8, n: u64) -> &mut Self {
        let bytes = n.to_be_bytes();
        let (info, len) = match n {
            0..24 => (n as u8, 0),
            24..0x100 => (24, 1),
            0x100..0x1_0000 => (25, 2),
            0x1_0000..0x1_0000_0000 => (26, 4),
            _ => (27, 8),
        };
        self.0.push(major << 5 | info);
        self.raw(&bytes[8 - len..])
    }
    /// An array of `len` elements to come.
    pub fn array(&mut self, len: u64) -> &mut Self {
        self.head(ARRAY, len)
    }
    /// An array that `end` closes.
    pub fn begin_array(&mut self) -> &mut Self {
        self.byte(BEGIN_ARRAY)
    }
    /// A map that `end` closes.
    pub fn begin_map(&mut self) -> &mut Self {
        self.byte(BEGIN_MAP)
    }
    /// Closes the array or map that was begun last.
    pub fn end(&mut self) -> &mut Self {
        self.byte(BREAK)
    }
    /// An unsigned integer.
    pub fn u64(&mut self, n: u64) -> &mut Self {
        self.head(UNSIGNED, n)
    }
    /// A byte string.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.head(BYTES, bytes.len() as u64).raw(bytes)
    }
    /// A text string.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.head(TEXT, text.len() as u64).raw(text.as_bytes())
    }
    /// A boolean.
    pub fn bool(&mut self, yes: bool) -> &mut Self {
        self.byte(if yes { TRUE } else { FALSE })
    }
    /// Bytes that are CBOR already.
    pub fn raw(&mut self, cbor: &[u8]) -> &mut Self {
        self.0.extend_from_slice(cbor);
        self
    }
}

/// Reads CBOR out of one frame.
pub struct Reader<'b> {
    frame: &'b Bytes,
    position: usize,
}

impl<'b> Reader<'b> {
    /// From the start of `frame`.
    pub fn new(frame: &'b Bytes) -> Reader<'b> {
        Reader::starting_at(frame, 0)
    }
    /// From a position in `frame`.
    pub fn starting_at(frame: &'b Bytes, position: usize) -> Reader<'b> {
        Reader { frame, position }
    }
    /// Whether all of it was read.
    pub fn is_at_end(&self) -> bool {
        self.position >= self.frame.len()
    }
    /// How far it has read, in bytes.
    pub fn position(&self) -> usize {
        self.position
    }
    /// An error at this place.
    pub fn error(&self, what: &'static str) -> DecodeError {
        DecodeError { position: self.position, what }
    }

    fn peek(&self) -> Option<u8> {
        self.frame.get(self.position).copied()
    }
    /// The next bytes, as many as the frame says; it may lie.
    fn cut(&mut self, len: u64) -> Option<&'b [u8]> {
        let rest = self.frame.get(self.position..)?;
        let cut = rest.get(..usize::try_from(len).ok()?)?;
        self.position += cut.len();
        Some(cut)
    }
    /// The first byte of a value and the number behind it. The number is `None` where a break ends the value, or is one.
    fn head(&mut self) -> Option<(u8, Option<u64>)> {
        let first = self.peek()?;
        self.position += 1;
        let (major, info) = (first >> 5, first & 0x1F);
        let number = match info {
            0..=23 => u64::from(info),
            24..=27 => self.cut(1 << (info - 24))?.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)),
            31 => return (!matches!(major, UNSIGNED | NEGATIVE | TAG)).then_some((major, None)),
            _ => return None,
        };
        Some((major, Some(number)))
    }
    /// The number of a value that must be of this kind; `None`: until a break.
    fn head_of(&mut self, major: u8, what: &'static str) -> Result<Option<u64>, DecodeError> {
        match self.head() {
            Some((found, number)) if found == major => Ok(number),
            _ => Err(self.error(what)),
        }
    }
    /// A string in one piece.
    fn string(&mut self, major: u8, what: &'static str) -> Result<&'b [u8], DecodeError> {
        let len = self.head_of(major, what)?;
        len.and_then(|len| self.cut(len)).ok_or_else(|| self.error(what))
    }

    /// An unsigned integer.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        const WHAT: &str = "expected an unsigned integer";
        self.head_of(UNSIGNED, WHAT)?.ok_or_else(|| self.error(WHAT))
    }
    /// A boolean.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        let first = self.peek();
        self.position += 1;
        match first {
            Some(FALSE) => Ok(false),
            Some(TRUE) => Ok(true),
            _ => Err(self.error("expected a boolean")),
        }
    }
    /// A byte string, sharing the frame's memory.
    pub fn bytes(&mut self) -> Result<Bytes, DecodeError> {
        let bytes = self.string(BYTES, "expected a byte string")?;
        Ok(self.frame.slice_ref(bytes))
    }
    /// A text string of at most `bytes_max` bytes.
    pub fn text(&mut self, bytes_max: usize) -> Result<&'b str, DecodeError> {
        const WHAT: &str = "expected a text string";
        let text = self.string(TEXT, WHAT)?;
        let text = std::str::from_utf8(text).map_err(|_| self.error(WHAT))?;
        if text.len() > bytes_max { Err(self.error("text too long")) } else { Ok(text) }
    }
    /// An identifier of exactly `N` bytes.
    pub fn id<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = self.string(BYTES, "expected a byte string")?;
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
        self.head_of(ARRAY, "expected an array")?.ok_or_else(|| self.error("expected an array of definite length"))
    }
    /// Each element of an array, at most `max`.
    pub fn each(
        &mut self,
        max: usize,
        mut element: impl FnMut(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let len = self.head_of(ARRAY, "expected an array")?;
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
        let len = self.head_of(MAP, "expected a map")?;
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
        // What is open around the next value: how many values it still has; `None`: until a break.
        let mut open = vec![Some(1)];
        while let Some(left) = open.pop() {
            if !self.is_inside(left, 0)? {
                continue;
            }
            open.push(left.map(|left| left - 1));
            self.skip_head(&mut open).ok_or_else(|| self.error("expected a value"))?;
        }
        Ok(())
    }
    /// The beginning of a value, and all of it but for what it is made of: that is opened.
    fn skip_head(&mut self, open: &mut Vec<Option<u64>>) -> Option<()> {
        match self.head()? {
            (BYTES | TEXT, Some(len)) => self.cut(len).map(drop)?,
            (TAG, _) => open.push(Some(1)),
            (MAP, Some(len)) => open.push(Some(len.checked_mul(2)?)),
            // A string in pieces is skipped as if it were an array of them.
            (ARRAY | MAP | BYTES | TEXT, len) => open.push(len),
            (SIMPLE, None) => return None,
            _ => {}
        }
        Some(())
    }
    /// Whether an array or map of `len` (`None`: until a break) has an element after the first `read`.
    fn is_inside(&mut self, len: Option<u64>, read: u64) -> Result<bool, DecodeError> {
        if let Some(len) = len {
            return Ok(read < len);
        }
        match self.peek() {
            None => Err(self.error("array or map is cut short")),
            Some(BREAK) => {
                self.position += 1;
                Ok(false)
            }
            Some(_) => Ok(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_shortest_form_and_are_read_in_any() {
        let edges = [0, 23, 24, 0xFF, 0x100, 0xFFFF, 0x1_0000, 0xFFFF_FFFF, 0x1_0000_0000, u64::MAX];
        for (n, len) in edges.into_iter().zip([1, 1, 2, 2, 3, 3, 5, 5, 9, 9]) {
            let mut out = Writer::new();
            let bytes = Bytes::from(out.u64(n).0.clone());
            assert_eq!((bytes.len(), Reader::new(&bytes).u64()), (len, Ok(n)));
        }
        assert_eq!(Reader::new(&Bytes::from_static(&[0x1B, 0, 0, 0, 0, 0, 0, 0, 7])).u64(), Ok(7));
        for bad in [&[][..], &[0x18], &[0x1C], &[0x1F], &[0x20], &[0x40], &[0x1B, 0, 0]] {
            assert!(Reader::new(&Bytes::from_static(bad)).u64().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_string_longer_than_the_frame_is_refused_without_allocation() {
        for bad in [&[0x5B, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF][..], &[0x42, 0], &[0x5F, 0x41, 0, 0xFF]] {
            assert!(Reader::new(&Bytes::from_static(bad)).bytes().is_err(), "{bad:?}");
        }
        assert!(Reader::new(&Bytes::from_static(&[0x61, 0xFF])).text(9).is_err());
    }

    #[test]
    fn every_kind_of_value_is_skipped_whole() {
        let values: [&[u8]; 17] = [
            &[0x00],
            &[0x39, 1, 2],
            &[0x43, 1, 2, 3],
            &[0x5F, 0x41, 1, 0x40, 0xFF],
            &[0x62, 0x61, 0x62],
            &[0x80],
            &[0x82, 0x81, 0x01, 0x02],
            &[0x9F, 0x01, 0x9F, 0xFF, 0xFF],
            &[0xA1, 0x01, 0xA1, 0x02, 0x03],
            &[0xBF, 0x01, 0x02, 0xFF],
            &[0xC1, 0xC2, 0x41, 0x05],
            &[0xF4],
            &[0xF6],
            &[0xF8, 0x20],
            &[0xF9, 0x3C, 0x00],
            &[0xFA, 0, 0, 0, 0],
            &[0xFB, 0, 0, 0, 0, 0, 0, 0, 0],
        ];
        for value in values {
            let bytes = Bytes::from([value, &[0x17]].concat());
            let mut reader = Reader::new(&bytes);
            assert_eq!((reader.skip(), reader.u64()), (Ok(()), Ok(0x17)), "{value:?}");
            for len in 0..value.len() {
                assert!(Reader::new(&Bytes::from(value[..len].to_vec())).skip().is_err(), "{value:?} cut at {len}");
            }
        }
        for bad in [&[0xFF][..], &[0x1F], &[0xDF], &[0xFC], &[0xBB, 0x80, 0, 0, 0, 0, 0, 0, 0]] {
            assert!(Reader::new(&Bytes::from_static(bad)).skip().is_err(), "{bad:?}");
        }
        let deep = Bytes::from(vec![0x81; 1 << 20]);
        assert!(Reader::new(&deep).skip().is_err());
    }
}
