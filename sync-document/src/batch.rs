//! Applying what a log brings: replay where nothing is concurrent, whole batches for the rest.
//!
//! A change whose (actor, sequence) is held with another hash is left out before Automerge sees it, which would refuse
//! the whole call. Every device reads the same log in the same order, so all leave out the same change. Only a change
//! of our own that the log has not shown gives way.

use crate::check::{Checker, Made};
use crate::chunk::{check_chunk, check_file, is_document};
use crate::defaults::is_of_defaults;
use crate::document::{Document, Tip};
use crate::error::DocumentError;
use crate::history::Dropped;
use crate::limits::{REPLAYED_CHANGES_MAX, WAITING_BYTES_MAX, WAITING_CHANGES_MAX};
use crate::patch::{Patch, from_automerge, path_of};
use crate::replay::Replayed;
use automerge::legacy::{Key, ObjectId, Op, OpId};
use automerge::{ActorId, Automerge, Change, ChangeHash, LoadOptions, ObjId, ROOT, ReadDoc, TextEncoding};
use std::collections::{BTreeMap, BTreeSet};

/// What applying payloads did.
#[derive(Debug, Default, PartialEq)]
pub struct Applied {
    /// In order.
    pub patches: Vec<Patch>,
    /// Payloads that were left out.
    pub skipped: Vec<Skipped>,
    /// Own changes that gave way to a change of the log with the same actor and sequence, with all that depended on
    /// them, oldest first.
    pub displaced: Vec<Dropped>,
    /// Changes made again as local transactions.
    pub replayed: usize,
    /// Changes applied in batches.
    pub batched: usize,
    /// Changes held back because others that they depend on are missing.
    pub waiting: usize,
    /// How often a replayed change had another hash, so that the document was rebuilt (0 or 1).
    pub rebuilt: usize,
}

/// A payload that was left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Skipped {
    /// Its index among the payloads; `None` for one that waited since an earlier call.
    pub index: Option<usize>,
    /// Why.
    pub reason: SkipReason,
    /// The change's hash, if it could be read.
    pub hash: Option<ChangeHash>,
}

/// Why a payload was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// No Automerge change, or none that Automerge could have made, or over our limits.
    Malformed,
    /// Another change has its actor and sequence.
    SequenceTaken,
    /// It depends on a change that was left out.
    NeedsLeftOut,
    /// Too many wait for others; it has its turn again when the document is opened from the log.
    TooManyWait,
}

/// Changes checked and waiting for one call of `apply_changes`.
#[derive(Default)]
struct Batch {
    changes: Vec<Change>,
    hashes: BTreeSet<ChangeHash>,
    tips: BTreeMap<ActorId, Tip>,
    made: Made,
    max_op: u64,
    touched: Touched,
}

/// The objects that operations of a batch are about, with the keys of maps.
type Touched = BTreeMap<(u64, ActorId), BTreeSet<String>>;

/// Where a change belongs.
enum Place {
    Held,
    /// With its operations, checked.
    Ready(Vec<Op>),
    Waits,
    Taken {
        by_pending: Option<ChangeHash>,
    },
    LeftOut(SkipReason),
}

/// A change from a payload, and the payload's index.
type Incoming = (Option<usize>, Change);

impl Document {
    /// Applies payloads of the log, own ones included: those count as seen from then on.
    pub fn apply(&mut self, payloads: &[&[u8]]) -> Result<Applied, DocumentError> {
        self.apply_all(payloads, 0, true)
    }

    /// The last `pending` payloads are own ones that the log has not shown.
    pub(crate) fn apply_all(
        &mut self,
        payloads: &[&[u8]],
        pending: usize,
        wants_patches: bool,
    ) -> Result<Applied, DocumentError> {
        debug_assert!(!self.is_uncommitted());
        let mut applied = Applied::default();
        let mut incoming: Vec<Incoming> = std::mem::take(&mut self.waiting).into_iter().map(|c| (None, c)).collect();
        let log_end = payloads.len().saturating_sub(pending);
        for (index, payload) in payloads.iter().enumerate() {
            let Ok(changes) = read_payload(payload) else {
                applied.skipped.push(Skipped { index: Some(index), reason: SkipReason::Malformed, hash: None });
                continue;
            };
            for change in changes {
                if index >= log_end {
                    self.pending.insert((change.actor_id().clone(), change.seq()), change.hash());
                }
                incoming.push((Some(index), change));
            }
        }
        let replays = wants_patches && incoming.len() <= REPLAYED_CHANGES_MAX;
        let mut batch = Batch { max_op: self.max_op, ..Batch::default() };
        loop {
            let count = incoming.len();
            incoming = self.pass(incoming, log_end, replays, wants_patches, &mut batch, &mut applied)?;
            if incoming.len() == count || incoming.is_empty() {
                break;
            }
        }
        self.flush(&mut batch, wants_patches, &mut applied)?;
        self.wait(incoming, &mut applied);
        Ok(applied)
    }

    /// Keeps what waits for others, the oldest first, as far as there is room.
    fn wait(&mut self, waiting: Vec<Incoming>, applied: &mut Applied) {
        let mut bytes = 0;
        for (index, change) in waiting {
            bytes += change.raw_bytes().len();
            if self.waiting.len() < WAITING_CHANGES_MAX && bytes <= WAITING_BYTES_MAX {
                self.waiting.push(change);
            } else {
                let (reason, hash) = (SkipReason::TooManyWait, Some(change.hash()));
                applied.skipped.push(Skipped { index, reason, hash });
            }
        }
        applied.waiting = self.waiting.len();
    }

    /// Takes each change in turn; gives back those that wait for others.
    fn pass(
        &mut self,
        incoming: Vec<Incoming>,
        log_end: usize,
        replays: bool,
        wants_patches: bool,
        batch: &mut Batch,
        applied: &mut Applied,
    ) -> Result<Vec<Incoming>, DocumentError> {
        let mut waiting = Vec::new();
        for (index, change) in incoming {
            let from_log = index.is_none_or(|index| index < log_end);
            let mut place = self.place(&change, batch);
            if let Place::Taken { by_pending: Some(pending) } = place
                && from_log
            {
                self.flush(batch, wants_patches, applied)?;
                let without = self.without(&[pending])?;
                applied.patches.extend(without.patches);
                applied.displaced.extend(without.dropped);
                batch.max_op = self.max_op;
                place = self.place(&change, batch);
            }
            match place {
                Place::Held if from_log => self.seen(&change),
                // Handed out before, and on its way.
                Place::Held => self.unsent.retain(|first| first.hash() != change.hash()),
                Place::Waits => waiting.push((index, change)),
                Place::Taken { .. } => self.leave_out(index, &change, SkipReason::SequenceTaken, applied),
                Place::LeftOut(reason) => self.leave_out(index, &change, reason, applied),
                Place::Ready(operations) if replays && batch.changes.is_empty() => {
                    self.replay_or_queue(change, &operations, batch, applied)?;
                }
                Place::Ready(operations) => batch.add(change, &operations),
            }
        }
        Ok(waiting)
    }

    /// It will never be part of this document, and nothing that depends on it.
    fn leave_out(&mut self, index: Option<usize>, change: &Change, reason: SkipReason, applied: &mut Applied) {
        self.left_out.insert(change.hash());
        self.spoilt.insert(change.actor_id().clone());
        applied.skipped.push(Skipped { index, reason, hash: Some(change.hash()) });
    }

    fn replay_or_queue(
        &mut self,
        change: Change,
        operations: &[Op],
        batch: &mut Batch,
        applied: &mut Applied,
    ) -> Result<(), DocumentError> {
        match self.replay(&change, operations) {
            Replayed::Same(patches) => {
                applied.patches.extend(patches);
                applied.replayed += 1;
                batch.max_op = self.max_op;
                // Its objects are in the document now.
                batch.made.clear();
            }
            Replayed::NotPossible => batch.add(change, operations),
            Replayed::Differs => {
                applied.patches.extend(self.rebuild_with(&change)?);
                applied.rebuilt += 1;
                batch.max_op = self.max_op;
                batch.made.clear();
            }
        }
        Ok(())
    }

    /// Decides about one change, and checks it if it is its turn.
    fn place(&mut self, change: &Change, batch: &mut Batch) -> Place {
        let hash = change.hash();
        if batch.hashes.contains(&hash) || self.holds(&hash) {
            return Place::Held;
        }
        let actor = change.actor_id();
        let tip = batch.tips.get(actor).or_else(|| self.tips.get(actor)).copied();
        let next = tip.map_or(1, |tip| tip.seq + 1);
        if change.seq() < next {
            let by_pending = self.pending.get(&(actor.clone(), change.seq())).copied();
            // A first change says the same everywhere: where another one came in its place, devices would differ.
            return Place::Taken {
                by_pending: by_pending.filter(|pending| *pending != hash && !is_of_defaults(actor)),
            };
        }
        if change.deps().iter().any(|dep| self.left_out.contains(dep)) {
            return Place::LeftOut(SkipReason::NeedsLeftOut);
        }
        let missing = change.deps().iter().any(|dep| !batch.hashes.contains(dep) && !self.holds(dep));
        if missing || change.seq() > next {
            return Place::Waits;
        }
        let operations = change.decode().operations;
        let (tips, batch_tips) = (&self.tips, &batch.tips);
        let mut checker = Checker {
            doc: &self.doc,
            elements: &mut self.elements,
            made: &mut batch.made,
            max_op: batch.max_op.max(self.max_op),
            author_max_op: tip.map_or(0, |tip| tip.max_op),
        };
        let knows = |actor: &ActorId| tips.contains_key(actor) || batch_tips.contains_key(actor);
        if checker.check(change, &operations, knows).is_some() {
            Place::Ready(operations)
        } else {
            Place::LeftOut(SkipReason::Malformed)
        }
    }

    /// The log has shown a change that we hold.
    fn seen(&mut self, change: &Change) {
        self.pending.remove(&(change.actor_id().clone(), change.seq()));
        self.unsent.retain(|first| first.hash() != change.hash());
    }

    fn flush(&mut self, batch: &mut Batch, wants_patches: bool, applied: &mut Applied) -> Result<(), DocumentError> {
        let ready = std::mem::take(batch);
        applied.batched += ready.changes.len();
        applied.patches.extend(self.apply_batch(ready.changes, &ready.touched, wants_patches)?);
        batch.max_op = self.max_op;
        Ok(())
    }

    /// One call for all of them. They are checked and in order.
    fn apply_batch(
        &mut self,
        changes: Vec<Change>,
        touched: &Touched,
        wants_patches: bool,
    ) -> Result<Vec<Patch>, DocumentError> {
        let before = self.doc.get_heads();
        self.apply_checked(changes)?;
        if !wants_patches {
            return Ok(Vec::new());
        }
        let after = self.doc.get_heads();
        let doc = self.doc.document();
        let mut patches = Vec::new();
        for (object, recursive) in roots(doc, touched) {
            patches.extend(from_automerge(doc, doc.diff_obj(&object, &before, &after, recursive)?));
        }
        Ok(patches)
    }

    /// One call for all of them, without patches.
    pub(crate) fn apply_checked(&mut self, changes: Vec<Change>) -> Result<(), DocumentError> {
        self.doc.apply_changes(changes.clone()).map_err(|_| DocumentError::Broken)?;
        for change in &changes {
            self.track(change);
        }
        Ok(())
    }
}

/// The objects to compare, outermost first, and whether with all that is in them. (Automerge can also note patches while
/// it applies changes, but counts wrong behind counters in lists.)
fn roots(doc: &Automerge, touched: &Touched) -> Vec<(ObjId, bool)> {
    let mut found: Vec<(usize, ObjId, bool)> = Vec::new();
    for ((counter, actor), keys) in touched {
        let object = if *counter == 0 { ROOT } else { ObjId::Id(*counter, actor.clone(), 0) };
        let Some(path) = path_of(doc, &object) else { continue };
        let holds_objects = |key: &String| {
            let values = doc.get_all(&object, key.as_str()).unwrap_or_default();
            values.iter().any(|(value, _)| value.is_object())
        };
        // A map whose touched keys hold no objects, now or hidden, has nothing new inside.
        let recursive = keys.is_empty() || keys.iter().any(holds_objects);
        found.push((path.len(), object, recursive));
    }
    found.sort_by_key(|(depth, ..)| *depth);
    let mut roots: Vec<(ObjId, bool)> = Vec::new();
    for (_, object, recursive) in found {
        let parents: Vec<ObjId> = doc.parents(&object).into_iter().flatten().map(|parent| parent.obj).collect();
        if !roots.iter().any(|(root, recursive)| *recursive && parents.contains(root)) {
            roots.push((object, recursive));
        }
    }
    roots
}

impl Batch {
    fn add(&mut self, change: Change, operations: &[Op]) {
        for op in operations {
            let id = match &op.obj {
                // The root is nobody's.
                ObjectId::Root => (0, ActorId::from(&[][..])),
                ObjectId::Id(OpId(counter, actor)) => (*counter, actor.clone()),
            };
            let keys = self.touched.entry(id).or_default();
            if let Key::Map(key) = &op.key
                && !keys.contains(key.as_str())
            {
                keys.insert(key.to_string());
            }
        }
        let max_op = (change.start_op().get() + change.len() as u64).saturating_sub(1);
        let tip = Tip { seq: change.seq(), hash: change.hash(), max_op };
        self.max_op = self.max_op.max(max_op);
        self.hashes.insert(change.hash());
        self.tips.insert(change.actor_id().clone(), tip);
        self.changes.push(change);
    }
}

/// Reads a payload: an uncompressed chunk with one change.
pub fn read_change(payload: &[u8]) -> Result<Change, DocumentError> {
    check_chunk(payload)?;
    let change = Change::try_from(payload).map_err(|_| DocumentError::Malformed("no Automerge change"))?;
    // Automerge computes the hash of what it read and leaves the chunk's own checksum, its first bytes, unread.
    if change.hash().0[..4] == payload[4..8] { Ok(change) } else { Err(DocumentError::Malformed("a wrong checksum")) }
}

/// The changes of a payload: one, or those of a whole document in an order in which they can be applied.
pub(crate) fn read_payload(payload: &[u8]) -> Result<Vec<Change>, DocumentError> {
    if is_document(payload) { changes_of(payload) } else { Ok(vec![read_change(payload)?]) }
}

/// The changes of an Automerge file, in an order in which they can be applied.
///
/// Automerge panics on some files that no Automerge has written, and only it can tell which. Where a panic cannot be
/// caught, as in WebAssembly, a file from outside is read in an instance of its own.
pub fn changes_of(file: &[u8]) -> Result<Vec<Change>, DocumentError> {
    check_file(file)?;
    let read = || {
        let options = LoadOptions::new().text_encoding(TextEncoding::Utf16CodeUnit);
        Automerge::load_with_options(file, options).map(|doc| doc.get_changes(&[]))
    };
    match std::panic::catch_unwind(read) {
        Ok(Ok(changes)) => Ok(changes),
        _ => Err(DocumentError::Malformed("no Automerge document")),
    }
}
