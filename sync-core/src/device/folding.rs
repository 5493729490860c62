//! Small batches of live typing become larger rows when it is quiet: reading a log back costs by its rows, not its bytes.

use super::healing::read_batch;
use super::io::{Io, Purpose};
use super::output::Table;
use super::rows::{BatchRow, batch_key};
use super::stream::{Link, Phase, Stream};
use crate::ids::*;
use crate::time::Millis;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// Fewer rows are not worth a transaction.
const ROWS_MIN: usize = 32;
/// So many are folded at once, quiet or not: a page that never rests must not collect them for ever.
const ROWS_MAX: usize = 256;
/// A row of this size is large enough.
const BYTES_ENOUGH: usize = 32 * 1024;
/// Without a new row for so long it is quiet.
const QUIET_MS: u64 = 2_000;

/// The small rows at the end of a stream's log.
#[derive(Default)]
pub(super) struct Folding {
    /// They begin behind this offset ...
    after: Offset,
    /// ... and end with this one.
    upto: Offset,
    rows: usize,
    bytes: usize,
    /// When the last of them was written.
    since: Millis,
    /// What is being folded: the generation, and the batches loaded so far.
    under_way: Option<(u32, Vec<(Offset, BatchRow)>)>,
}

impl Folding {
    /// A row was written behind `after`.
    pub(super) fn note(&mut self, after: Offset, upto: Offset, bytes: usize, now: Millis) {
        let is_large = bytes >= BYTES_ENOUGH;
        if is_large || self.upto != after || self.bytes >= BYTES_ENOUGH {
            (self.after, self.rows, self.bytes) = (if is_large { upto } else { after }, 0, 0);
        }
        self.upto = upto;
        if !is_large {
            (self.rows, self.bytes, self.since) = (self.rows + 1, self.bytes + bytes, now);
        }
    }
    /// When to fold, if there is something to fold.
    pub(super) fn due(&self) -> Option<Millis> {
        let is_free = self.under_way.is_none() && self.rows >= ROWS_MIN;
        let wait = if self.rows >= ROWS_MAX || self.bytes >= BYTES_ENOUGH { 0 } else { QUIET_MS };
        is_free.then(|| self.since.plus(wait))
    }
    pub(super) fn take_row(&mut self, key: &[u8], value: &Bytes) -> Option<()> {
        let (_, upto, batch) = read_batch(key, value)?;
        let (_, batches) = self.under_way.as_mut()?;
        batches.push((upto, batch));
        Some(())
    }
}

impl Stream {
    /// Begins to fold what is committed, if it is time.
    pub(super) fn fold(&mut self, io: &mut Io) {
        let generation = self.record.generation;
        let is_whole = self.durable.generation == generation && self.durable.cursor >= self.folding.upto;
        if !is_whole || self.folding.due().is_none_or(|due| due > io.now) {
            return;
        }
        let folding = &mut self.folding;
        let from = batch_key(&self.name, generation, Offset(folding.after.0 + 1));
        let to = batch_key(&self.name, generation, Offset(folding.upto.0 + 1));
        folding.under_way = Some((generation, vec![]));
        (folding.after, folding.rows, folding.bytes) = (folding.upto, 0, 0);
        io.load(Purpose::Fold(self.name.clone()), Table::Events, (from, to), 4 * BYTES_ENOUGH);
    }

    /// The rows are there: one transaction puts one in their place.
    pub(super) fn folded(&mut self, io: &mut Io) {
        let Some((generation, batches)) = self.folding.under_way.take() else { return };
        // A log that is gone, or going, is healed from the rows that it has.
        let resetting = matches!(self.link, Some(Link { phase: Phase::Resetting, .. }));
        let (Some((_, first)), Some((upto, last))) = (batches.first(), batches.last()) else { return };
        if generation != self.record.generation || resetting {
            return;
        }
        let (after, upto, check) = (first.after, *upto, last.check);
        let key = |offset: Offset| batch_key(&self.name, generation, offset);
        io.delete_range(Table::Events, (key(Offset(after.0 + 1)), key(Offset(upto.0 + 1))));
        let events = batches.into_iter().flat_map(|(_, batch)| batch.events).collect();
        io.put(Table::Events, key(upto), BatchRow { after, check, events }.encode());
    }
}
