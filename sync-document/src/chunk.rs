//! What a change says about its own size, read before Automerge reads it.
//!
//! A few bytes of run-length encoding may stand for billions of operations, and Automerge panics at counters beyond
//! 32 bits. Format: the Automerge binary format, "Chunk structure", "Change chunks" and "Operation columns".

use crate::error::DocumentError;
use crate::limits::{CHANGE_OPERATIONS_MAX, COUNTER_MAX};

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
/// Chunk type of a change that is not compressed; events hold no other.
const CHANGE: u8 = 1;

/// Columns of a change's operations, by specification: object, key, insert, action, value, predecessors, expand, mark.
const COLUMNS: [u64; 14] = [1, 2, 17, 19, 21, 52, 66, 86, 87, 112, 113, 115, 148, 165];

/// `Ok` if the payload is one uncompressed change whose columns stay within our limits. Says nothing of their sense.
pub(crate) fn check_chunk(payload: &[u8]) -> Result<(), DocumentError> {
    chunk(payload).ok_or(DocumentError::Malformed("no Automerge change, or one over the limits"))
}

fn chunk(payload: &[u8]) -> Option<()> {
    let mut reader = Reader(payload);
    let header = reader.take(9)?;
    if header[..4] != MAGIC || header[8] != CHANGE {
        return None;
    }
    let length = reader.unsigned()?;
    if length != reader.0.len() as u64 {
        return None;
    }
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
    let columns = reader.unsigned()?;
    let mut lengths = Vec::new();
    for _ in 0..columns {
        let specification = reader.unsigned()?;
        if !COLUMNS.contains(&specification) {
            return None;
        }
        lengths.push((specification, usize::try_from(reader.unsigned()?).ok()?));
    }
    for (specification, length) in lengths {
        column(specification, reader.take(length)?, others)?;
    }
    Some(())
}

/// One column: the low three bits of its specification say how it is encoded.
fn column(specification: u64, data: &[u8], others: u64) -> Option<()> {
    let mut rows = Rows::default();
    let mut reader = Reader(data);
    match specification & 7 {
        0 => runs(&mut reader, &mut rows, |reader, repeated| {
            // Each says how many rows of the following columns belong to one operation.
            let total = reader.unsigned()?.checked_mul(repeated)?;
            (total <= CHANGE_OPERATIONS_MAX as u64).then_some(total)
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
#[derive(Default)]
struct Rows {
    count: u64,
    grouped: u64,
}

impl Rows {
    fn add(&mut self, count: u64) -> Option<()> {
        self.count = self.count.checked_add(count)?;
        (self.count <= CHANGE_OPERATIONS_MAX as u64).then_some(())
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
        if rows.grouped > CHANGE_OPERATIONS_MAX as u64 {
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
