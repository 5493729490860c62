//! What a change or a whole document says about its own size, read before Automerge reads it.
//!
//! A few bytes of run-length encoding may stand for billions of operations, a few of deflate for gigabytes, and Automerge
//! panics at counters beyond 32 bits. Format: the Automerge binary format, "Chunk structure", "Document chunks", "Change
//! chunks" and "Operation columns".

use crate::error::DocumentError;
use crate::limits::*;
use std::borrow::Cow;
use std::io::Read;

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
/// A whole document.
const DOCUMENT: u8 = 0;
/// A change that is not compressed; events of changes hold no other.
const CHANGE: u8 = 1;
/// A change whose content is compressed as one.
const COMPRESSED_CHANGE: u8 = 2;
/// In a column's specification: its data is compressed.
const DEFLATED: u64 = 8;

/// Columns of a change's operations, by specification: object, key, insert, action, value, predecessors, expand, mark.
const COLUMNS: [u64; 14] = [1, 2, 17, 19, 21, 52, 66, 86, 87, 112, 113, 115, 148, 165];
/// Those of a document's operations: with ids, and successors in place of predecessors.
const DOCUMENT_COLUMNS: [u64; 16] = [1, 2, 17, 19, 21, 33, 35, 52, 66, 86, 87, 128, 129, 131, 148, 165];
/// Those of a document's changes: actor, sequence, highest operation, time, message, dependencies, extra bytes.
const CHANGE_COLUMNS: [u64; 9] = [1, 3, 19, 35, 53, 64, 67, 86, 87];
/// The one of them that counts nothing.
const TIME: u64 = 35;

/// `Ok` if the payload is one uncompressed change whose columns stay within our limits. Says nothing of their sense.
pub(crate) fn check_chunk(payload: &[u8]) -> Result<(), DocumentError> {
    let mut reader = Reader(payload);
    let only = |(kind, content)| change(Reader(content)).filter(|()| kind == CHANGE);
    let is_one = next_chunk(&mut reader).and_then(only).is_some() && reader.0.is_empty();
    if is_one { Ok(()) } else { Err(DocumentError::Malformed("no Automerge change, or one over the limits")) }
}

/// `Ok` if the bytes are chunks of an Automerge file, all within our limits. Says nothing of their sense.
pub(crate) fn check_file(file: &[u8]) -> Result<(), DocumentError> {
    if file.len() > FILE_BYTES_MAX {
        return Err(DocumentError::TooLarge("an Automerge file"));
    }
    let mut reader = Reader(file);
    let mut room = FILE_INFLATED_BYTES_MAX;
    while !reader.0.is_empty() {
        let checked = next_chunk(&mut reader).and_then(|(kind, content)| match kind {
            DOCUMENT => document(Reader(content), &mut room),
            CHANGE => change(Reader(content)),
            COMPRESSED_CHANGE => change(Reader(&inflated(content, &mut room)?)),
            _ => None,
        });
        checked.ok_or(DocumentError::Malformed("no Automerge document, or one over the limits"))?;
    }
    Ok(())
}

/// Does it begin as a whole document does? All else that a payload may be is a change.
pub(crate) fn is_document(payload: &[u8]) -> bool {
    payload.get(8) == Some(&DOCUMENT)
}

/// Kind and content of the chunk at the reader.
fn next_chunk<'a>(reader: &mut Reader<'a>) -> Option<(u8, &'a [u8])> {
    let header = reader.take(9)?;
    if header[..4] != MAGIC {
        return None;
    }
    Some((header[8], reader.bytes()?))
}

fn change(mut reader: Reader<'_>) -> Option<()> {
    let dependencies = reader.unsigned()?;
    reader.take(usize::try_from(dependencies).ok()?.checked_mul(32)?)?;
    reader.bytes()?; // actor
    reader.unsigned()?; // sequence
    let start_op = reader.unsigned()?;
    reader.signed()?; // time
    reader.bytes()?; // message
    let others = reader.unsigned()?;
    for _ in 0..others {
        reader.bytes()?;
    }
    if start_op == 0 || start_op >= COUNTER_MAX {
        return None;
    }
    let columns = reader.columns(&COLUMNS)?;
    for (specification, length) in columns {
        if specification & DEFLATED != 0 {
            return None;
        }
        column(specification, reader.take(length)?, others, CHANGE_OPERATIONS_MAX as u64)?;
    }
    Some(())
}

fn document(mut reader: Reader<'_>, room: &mut usize) -> Option<()> {
    let actors = reader.unsigned()?;
    for _ in 0..actors {
        reader.bytes()?;
    }
    let heads = reader.unsigned()?;
    reader.take(usize::try_from(heads).ok()?.checked_mul(32)?)?;
    let changes = reader.columns(&CHANGE_COLUMNS)?;
    let operations = reader.columns(&DOCUMENT_COLUMNS)?;
    let others = actors.checked_sub(1);
    for (specification, length) in changes {
        let data = reader.column(specification, length, room)?;
        match specification & !DEFLATED {
            TIME => times(&data)?,
            specification => column(specification, &data, others?, FILE_CHANGES_MAX)?,
        }
    }
    for (specification, length) in operations {
        let data = reader.column(specification, length, room)?;
        column(specification & !DEFLATED, &data, others?, FILE_OPERATIONS_MAX)?;
    }
    Some(())
}

/// What deflate makes of `data`, as long as there is `room`, which it uses up.
fn inflated(data: &[u8], room: &mut usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = *room as u64 + 1;
    flate2::bufread::DeflateDecoder::new(data).take(limit).read_to_end(&mut bytes).ok()?;
    *room = room.checked_sub(bytes.len())?;
    Some(bytes)
}

/// Times may be any numbers whose sums can be told.
fn times(data: &[u8]) -> Option<()> {
    let (mut rows, mut reader) = (Rows::new(FILE_CHANGES_MAX), Reader(data));
    let mut time = 0i64;
    runs(&mut reader, &mut rows, |reader, repeated| {
        let step = reader.signed()?;
        time = time.checked_add(step.checked_mul(i64::try_from(repeated).ok()?)?)?;
        Some(0)
    })
}

/// One column: the low three bits of its specification say how it is encoded.
fn column(specification: u64, data: &[u8], others: u64, rows_max: u64) -> Option<()> {
    let mut rows = Rows::new(rows_max);
    let mut reader = Reader(data);
    match specification & 7 {
        0 => runs(&mut reader, &mut rows, |reader, repeated| {
            // Each says how many rows of the following columns belong to one operation.
            let total = reader.unsigned()?.checked_mul(repeated)?;
            (total <= rows_max).then_some(total)
        }),
        1 => runs(&mut reader, &mut rows, |reader, _| (reader.unsigned()? <= others).then_some(0)),
        2 => runs(&mut reader, &mut rows, |reader, _| (reader.unsigned()? < COUNTER_MAX).then_some(0)),
        3 => {
            let mut counter = 0i64;
            runs(&mut reader, &mut rows, |reader, repeated| {
                let step = reader.signed()?;
                counter = counter.checked_add(step.checked_mul(i64::try_from(repeated).ok()?)?)?;
                (0..COUNTER_MAX as i64).contains(&counter).then_some(0)
            })
        }
        4 => {
            while !reader.0.is_empty() {
                rows.add(reader.unsigned()?)?;
            }
            Some(())
        }
        5 => runs(&mut reader, &mut rows, |reader, _| reader.bytes().map(|_| 0)),
        6 => runs(&mut reader, &mut rows, |reader, _| reader.unsigned().map(|_| 0)),
        // Raw bytes of values, whose lengths stand in the column before.
        _ => Some(()),
    }
}

/// Rows counted so far, and what the values of a grouping column add up to.
struct Rows {
    count: u64,
    grouped: u64,
    max: u64,
}

impl Rows {
    fn new(max: u64) -> Rows {
        Rows { count: 0, grouped: 0, max }
    }

    fn add(&mut self, count: u64) -> Option<()> {
        self.count = self.count.checked_add(count)?;
        (self.count <= self.max).then_some(())
    }
}

/// Run-length encoding: `n > 0` one value n times, `n < 0` so many values, `0` so many nulls.
fn runs<'a>(
    reader: &mut Reader<'a>,
    rows: &mut Rows,
    mut value: impl FnMut(&mut Reader<'a>, u64) -> Option<u64>,
) -> Option<()> {
    while !reader.0.is_empty() {
        let run = reader.signed()?;
        let count = if run == 0 { reader.unsigned()? } else { run.unsigned_abs() };
        rows.add(count)?;
        let values = if run > 0 { 1 } else { run.unsigned_abs() };
        for _ in 0..values {
            let repeated = if run > 0 { count } else { 1 };
            rows.grouped = rows.grouped.checked_add(value(reader, repeated)?)?;
        }
        if rows.grouped > rows.max {
            return None;
        }
    }
    Some(())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.unsigned()?).ok()?;
        self.take(length)
    }

    /// Specification and length of each column; only these columns, compressed or not.
    fn columns(&mut self, known: &[u64]) -> Option<Vec<(u64, usize)>> {
        let mut columns = Vec::new();
        for _ in 0..self.unsigned()? {
            let specification = self.unsigned()?;
            if !known.contains(&(specification & !DEFLATED)) {
                return None;
            }
            columns.push((specification, usize::try_from(self.unsigned()?).ok()?));
        }
        Some(columns)
    }

    /// The data of a column.
    fn column(&mut self, specification: u64, length: usize, room: &mut usize) -> Option<Cow<'a, [u8]>> {
        let data = self.take(length)?;
        Some(if specification & DEFLATED == 0 { Cow::Borrowed(data) } else { Cow::Owned(inflated(data, room)?) })
    }

    fn unsigned(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let mut value = 0i64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= i64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let unused = 64 - (shift + 7);
                return Some(if unused > 0 { value << unused >> unused } else { value });
            }
        }
        None
    }
}
