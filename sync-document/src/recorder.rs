//! The recorder: operations that a draft recorded become one local Automerge change.
//!
//! Edits collect in an open transaction until [`Document::commit`] closes it. Each [`Document::record`] is applied
//! whole or not at all. A change must fit into an event, so edits that are too large for one are cut into several parts
//! while they are recorded: rolling many operations back takes far longer than making them.

use crate::document::Document;
use crate::error::DocumentError;
use crate::limits::{
    CHANGE_BYTES_MAX, DELETION_BYTES, DEPTH_MAX, EDIT_BYTES_MAX, MESSAGE_BYTES_MAX, OPERATION_BYTES, TEXT_PIECE_MAX,
    WHOLE_EDIT_BYTES_MAX,
};
use crate::patch::{Action, Patch, PatchList, width};
use crate::size::{check_size, estimate, pieces, text_bytes, value_bytes};
use crate::text_diff::text_edits;
use crate::value::Value;
use automerge::transaction::{CommitOptions, Transactable};
use automerge::{AutoCommit, Change, Cursor, ObjId, ObjType, Prop, ReadDoc, ScalarValue};
use std::collections::BTreeMap;

/// Which object an operation is about.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// One that was there before.
    Object(ObjId),
    /// The nth (from 0) that this recording made, counting lists, maps and texts.
    Made(usize),
}

/// What is put or inserted.
#[derive(Debug, Clone, PartialEq)]
pub enum NewValue {
    /// Anything that is no object.
    Scalar(ScalarValue),
    /// An empty map.
    Map,
    /// An empty list.
    List,
    /// A text with this content.
    Text(String),
}

/// One recorded operation. Indexes of texts are in UTF-16 units.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// Sets a key of a map or replaces an element of a list.
    Put(Target, Prop, NewValue),
    /// Inserts into a list.
    Insert(Target, usize, NewValue),
    /// Deletes a key of a map, or so many elements of a list from an index on.
    Delete(Target, Prop, usize),
    /// Adds to a counter.
    Increment(Target, Prop, i64),
    /// In a text: at an index, so many units give way to a string.
    Splice(Target, usize, usize, String),
    /// Makes a text equal to a string by the smallest edit.
    UpdateText(Target, String),
}

/// One Automerge change: the payload of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Committed {
    /// The change's own hash.
    pub hash: automerge::ChangeHash,
    /// An uncompressed chunk.
    pub bytes: Vec<u8>,
}

/// What [`Document::commit`] closed.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    /// The change; of one that had to be cut, its last part.
    pub change: Committed,
    /// What the change depends on and goes before it: first changes of the defaults that the log has not shown, then the
    /// earlier parts of a change that had to be cut.
    pub first: Vec<Committed>,
}

impl From<&Change> for Committed {
    fn from(change: &Change) -> Self {
        Self { hash: change.hash(), bytes: change.raw_bytes().to_vec() }
    }
}

impl Document {
    /// Applies operations to the open change. On an error nothing of them is applied.
    pub fn record(&mut self, operations: Vec<Operation>) -> Result<Vec<Patch>, DocumentError> {
        self.record_with(operations, 0, None)
    }

    /// As [`Document::record`]. `time` and `message` as in [`Document::commit`], for parts that are cut off before it.
    pub fn record_with(
        &mut self,
        operations: Vec<Operation>,
        time: i64,
        message: Option<String>,
    ) -> Result<Vec<Patch>, DocumentError> {
        let stamp = Stamp::new(time, message)?;
        check_size(&operations, EDIT_BYTES_MAX)?;
        // What may have to be cut is kept apart from other edits: if it fails, it goes with all its parts and leaves theirs.
        let is_apart = estimate(&self.doc, &operations).saturating_add(self.open_bytes) > CHANGE_BYTES_MAX;
        if is_apart {
            self.cut(&stamp)?;
        }
        let mut recording = Recording { open_bytes: self.open_bytes, ..Recording::new(&mut self.doc, true) };
        recording.stamp = is_apart.then(|| stamp.clone());
        recording.depths = depths(recording.doc, &operations);
        let outcome = recording.run(&operations);
        let Recording { patches, parts, open_bytes, .. } = recording;
        if let Err(error) = outcome {
            self.doc.rollback();
            if !parts.is_empty() {
                let earlier = std::mem::take(&mut self.parts);
                self.without(&parts.iter().map(Change::hash).collect::<Vec<_>>())?;
                self.parts = earlier;
            }
            for earlier in &self.recorded {
                // The same operations on the same state gave no error before.
                Recording::new(&mut self.doc, false).run(earlier).map_err(|_| DocumentError::Broken)?;
            }
            return Err(error);
        }
        let was_cut = !parts.is_empty();
        self.parts.extend(parts);
        self.open_bytes = open_bytes;
        self.recorded.push(operations);
        if was_cut {
            self.cut(&stamp)?; // only a part of what was recorded last is open: it could not be done again
        }
        Ok(patches.into_patches())
    }

    /// Makes a part of what is open.
    fn cut(&mut self, stamp: &Stamp) -> Result<(), DocumentError> {
        self.recorded.clear();
        self.open_bytes = 0;
        self.parts.extend(close(&mut self.doc, stamp)?);
        Ok(())
    }

    /// True while there are edits that no commit has handed out.
    pub fn is_uncommitted(&self) -> bool {
        self.doc.pending_ops() > 0 || !self.parts.is_empty()
    }

    /// Closes the open change. `time` in seconds since 1970. `None` if nothing was recorded.
    pub fn commit(&mut self, time: i64, message: Option<String>) -> Result<Option<Commit>, DocumentError> {
        self.cut(&Stamp::new(time, message)?)?;
        let parts = std::mem::take(&mut self.parts);
        Ok(self.committed(parts))
    }

    /// Records operations as if the document were still as of `heads`, at once as a change of its own. The objects
    /// named are those of that moment. There must be no uncommitted edits.
    pub fn change_at(
        &mut self,
        heads: &[automerge::ChangeHash],
        operations: &[Operation],
        time: i64,
        message: Option<String>,
    ) -> Result<Option<(Commit, Vec<Patch>)>, DocumentError> {
        self.check_heads(heads)?;
        let stamp = Stamp::new(time, message)?;
        check_size(operations, WHOLE_EDIT_BYTES_MAX)?;
        let before = self.heads();
        let depths = depths(&self.doc, operations);
        self.doc.isolate(heads);
        if let Err(error) = Recording::in_the_past(&mut self.doc, depths).run(operations) {
            self.doc.rollback();
            self.doc.integrate();
            return Err(error);
        }
        let made = self.doc.commit_with(stamp.options());
        self.doc.integrate();
        let Some(hash) = made else { return Ok(None) };
        let change = self.doc.get_change_by_hash(&hash).ok_or(DocumentError::Broken)?;
        let commit = self.committed(vec![change]).ok_or(DocumentError::Broken)?;
        let after = self.heads();
        let patches = self.diff(&before, &after)?;
        Ok(Some((commit, patches)))
    }

    /// Keeps the books about changes made here. `None`: there were none.
    fn committed(&mut self, changes: Vec<Change>) -> Option<Commit> {
        changes.iter().for_each(|change| self.track(change));
        let last = changes.last().map(Committed::from)?;
        let all: Vec<Change> = self.unsent.drain(..).chain(changes).collect();
        let numbers = all.iter().map(|change| ((change.actor_id().clone(), change.seq()), change.hash()));
        self.pending.extend(numbers);
        Some(Commit { change: last, first: all[..all.len() - 1].iter().map(Committed::from).collect() })
    }
}

/// Makes a change of what is open, if that is anything.
fn close(doc: &mut AutoCommit, stamp: &Stamp) -> Result<Option<Change>, DocumentError> {
    if doc.pending_ops() == 0 {
        doc.rollback();
        return Ok(None);
    }
    doc.commit_with(stamp.options()).ok_or(DocumentError::Broken)?;
    Ok(Some(doc.get_last_local_change().ok_or(DocumentError::Broken)?))
}

/// What is written on a change.
#[derive(Clone)]
struct Stamp {
    /// Seconds since 1970.
    time: i64,
    message: Option<String>,
}

impl Stamp {
    fn new(time: i64, message: Option<String>) -> Result<Stamp, DocumentError> {
        if message.as_ref().is_some_and(|message| message.len() > MESSAGE_BYTES_MAX) {
            return Err(DocumentError::TooLarge("the message of a change"));
        }
        // Automerge writes an empty message as none.
        Ok(Stamp { time, message: message.filter(|message| !message.is_empty()) })
    }

    fn options(&self) -> CommitOptions {
        CommitOptions { message: self.message.clone(), time: Some(self.time) }
    }
}

/// One run of operations on the open transaction.
pub(crate) struct Recording<'a> {
    doc: &'a mut AutoCommit,
    /// What is open takes so many bytes, about.
    open_bytes: usize,
    /// For the parts that are cut off. `None`: it must stay in one.
    stamp: Option<Stamp>,
    /// What was cut off.
    parts: Vec<Change>,
    /// The objects made so far, with their depth.
    made: Vec<(ObjId, ObjType, usize)>,
    /// The depth of the objects into which others are put.
    depths: BTreeMap<String, usize>,
    patches: PatchList,
    wants_patches: bool,
}

/// How deep the objects lie into which these operations put others. Asked before a document is set back in time, when
/// Automerge cannot tell where a deleted object was.
fn depths(doc: &AutoCommit, operations: &[Operation]) -> BTreeMap<String, usize> {
    let target = |operation: &Operation| match operation {
        Operation::Put(Target::Object(object), _, value) | Operation::Insert(Target::Object(object), _, value)
            if !matches!(value, NewValue::Scalar(_)) =>
        {
            let depth = doc.parents(object).ok()?.take(DEPTH_MAX + 1).count();
            Some((object.to_string(), depth))
        }
        _ => None,
    };
    operations.iter().filter_map(target).collect()
}

impl<'a> Recording<'a> {
    pub(crate) fn new(doc: &'a mut AutoCommit, wants_patches: bool) -> Self {
        Self {
            doc,
            open_bytes: 0,
            stamp: None,
            parts: Vec::new(),
            made: Vec::new(),
            depths: BTreeMap::new(),
            patches: PatchList::default(),
            wants_patches,
        }
    }

    /// For operations on a document set back in time.
    fn in_the_past(doc: &'a mut AutoCommit, depths: BTreeMap<String, usize>) -> Self {
        Self { depths, ..Self::new(doc, false) }
    }

    pub(crate) fn run(&mut self, operations: &[Operation]) -> Result<(), DocumentError> {
        operations.iter().try_for_each(|operation| self.apply(operation))
    }

    /// The next operation takes so many bytes. If they are too many for the open change, that one ends before it.
    fn make_room(&mut self, bytes: usize) -> Result<(), DocumentError> {
        if let Some(stamp) = self.stamp.as_ref().filter(|_| self.open_bytes + bytes > CHANGE_BYTES_MAX) {
            self.parts.extend(close(self.doc, stamp)?);
            self.open_bytes = 0;
        }
        self.open_bytes += bytes;
        Ok(())
    }

    fn apply(&mut self, operation: &Operation) -> Result<(), DocumentError> {
        match operation {
            Operation::Put(target, key, value) => {
                let (object, kind) = self.resolve(target)?;
                match (kind, key) {
                    (ObjType::Map, Prop::Map(_)) => {}
                    (ObjType::List, Prop::Seq(index)) if *index < self.doc.length(&object) => {}
                    _ => return Err(DocumentError::InvalidOperation("no such key or index")),
                }
                self.make_room(OPERATION_BYTES + value_bytes(key, value))?;
                let content = match value {
                    NewValue::Scalar(scalar) => {
                        self.doc.put(&object, key.clone(), scalar.clone())?;
                        None
                    }
                    NewValue::Map => Some((self.doc.put_object(&object, key.clone(), ObjType::Map)?, ObjType::Map, "")),
                    NewValue::List => {
                        Some((self.doc.put_object(&object, key.clone(), ObjType::List)?, ObjType::List, ""))
                    }
                    NewValue::Text(text) => {
                        Some((self.doc.put_object(&object, key.clone(), ObjType::Text)?, ObjType::Text, text.as_str()))
                    }
                };
                self.added(&object, key.clone(), Action::Put(shown(value)));
                self.fill(target, content)
            }
            Operation::Insert(target, index, value) => {
                let (object, kind) = self.resolve(target)?;
                if kind != ObjType::List || *index > self.doc.length(&object) {
                    return Err(DocumentError::InvalidOperation("no such index"));
                }
                self.make_room(OPERATION_BYTES + value_bytes(&Prop::Seq(*index), value))?;
                let content = match value {
                    NewValue::Scalar(scalar) => {
                        self.doc.insert(&object, *index, scalar.clone())?;
                        None
                    }
                    NewValue::Map => Some((self.doc.insert_object(&object, *index, ObjType::Map)?, ObjType::Map, "")),
                    NewValue::List => {
                        Some((self.doc.insert_object(&object, *index, ObjType::List)?, ObjType::List, ""))
                    }
                    NewValue::Text(text) => {
                        Some((self.doc.insert_object(&object, *index, ObjType::Text)?, ObjType::Text, text.as_str()))
                    }
                };
                self.added(&object, Prop::Seq(*index), Action::Insert(vec![shown(value)]));
                self.fill(target, content)
            }
            Operation::Delete(target, key, count) => self.delete(target, key, *count),
            Operation::Increment(target, key, by) => self.increment(target, key, *by),
            Operation::Splice(target, index, delete, insert) => {
                let (object, kind) = self.resolve(target)?;
                self.splice(&object, kind, *index, *delete, insert)
            }
            Operation::UpdateText(target, text) => {
                let (object, kind) = self.resolve(target)?;
                let before = self.doc.text(&object)?;
                for edit in text_edits(&before, text) {
                    self.splice(&object, kind, edit.index, edit.delete, &edit.insert)?;
                }
                Ok(())
            }
        }
    }

    fn resolve(&self, target: &Target) -> Result<(ObjId, ObjType), DocumentError> {
        match target {
            Target::Object(object) => Ok((object.clone(), self.doc.object_type(object)?)),
            Target::Made(number) => {
                let made = self.made.get(*number).ok_or(DocumentError::InvalidOperation("no such object"))?;
                Ok((made.0.clone(), made.1))
            }
        }
    }

    /// Remembers a new object and gives a text its content. The patches of a text come after the empty one.
    fn fill(&mut self, target: &Target, content: Option<(ObjId, ObjType, &str)>) -> Result<(), DocumentError> {
        let Some((object, kind, text)) = content else { return Ok(()) };
        let depth = 1 + match target {
            Target::Object(object) => self.depths.get(&object.to_string()).copied().unwrap_or(0),
            Target::Made(number) => self.made[*number].2,
        };
        if depth > DEPTH_MAX {
            return Err(DocumentError::TooLarge("depth of objects"));
        }
        self.made.push((object.clone(), kind, depth));
        if text.is_empty() { Ok(()) } else { self.splice(&object, kind, 0, 0, text) }
    }

    fn delete(&mut self, target: &Target, key: &Prop, count: usize) -> Result<(), DocumentError> {
        let (object, kind) = self.resolve(target)?;
        match (kind, key) {
            (ObjType::Map, Prop::Map(name)) => {
                self.make_room(OPERATION_BYTES + name.len())?;
                self.doc.delete(&object, key.clone())?;
                self.added(&object, key.clone(), Action::Delete(1));
            }
            (ObjType::List, Prop::Seq(index)) => {
                if index.checked_add(count).is_none_or(|end| end > self.doc.length(&object)) {
                    return Err(DocumentError::InvalidOperation("no such index"));
                }
                for _ in 0..count {
                    self.make_room(OPERATION_BYTES)?;
                    self.doc.delete(&object, *index)?;
                }
                if count > 0 {
                    self.added(&object, key.clone(), Action::Delete(count));
                }
            }
            _ => return Err(DocumentError::InvalidOperation("no such key or index")),
        }
        Ok(())
    }

    fn increment(&mut self, target: &Target, key: &Prop, by: i64) -> Result<(), DocumentError> {
        let (object, kind) = self.resolve(target)?;
        if matches!((kind, key), (ObjType::Map, Prop::Seq(_)) | (ObjType::List, Prop::Map(_))) {
            return Err(DocumentError::InvalidOperation("no such key or index"));
        }
        self.make_room(OPERATION_BYTES)?;
        let conflicting = self.doc.get_all(&object, key.clone())?.len() > 1;
        self.doc.increment(&object, key.clone(), by)?;
        let action = if conflicting { current(self.doc, &object, key)? } else { Action::Increment(by) };
        self.added(&object, key.clone(), action);
        Ok(())
    }

    fn splice(
        &mut self,
        object: &ObjId,
        kind: ObjType,
        index: usize,
        delete: usize,
        insert: &str,
    ) -> Result<(), DocumentError> {
        if kind != ObjType::Text {
            return Err(DocumentError::InvalidOperation("not a collaborative string"));
        }
        let length = self.doc.length(object);
        let end = index.checked_add(delete).filter(|end| *end <= length);
        let end = end.ok_or(DocumentError::InvalidOperation("index out of range"))?;
        // A cut within a surrogate pair takes the whole character.
        let start = boundary(self.doc, object, index, length)?;
        let end = match boundary(self.doc, object, end, length)? {
            _ if delete == 0 => start,
            whole if whole == end => end,
            before => before + 2,
        };
        let mut deleted = end - start;
        while deleted > TEXT_PIECE_MAX {
            let piece = boundary(self.doc, object, start + TEXT_PIECE_MAX, length)? - start;
            self.make_room(piece * DELETION_BYTES)?;
            self.doc.splice_text(object, start, piece.cast_signed(), "")?;
            deleted -= piece;
        }
        let mut at = start;
        for piece in pieces(insert) {
            self.make_room(deleted * DELETION_BYTES + text_bytes(piece))?;
            self.doc.splice_text(object, at, deleted.cast_signed(), piece)?;
            (at, deleted) = (at + width(piece), 0);
        }
        if end > start {
            self.added(object, Prop::Seq(start), Action::Delete(end - start));
        }
        if !insert.is_empty() {
            self.added(object, Prop::Seq(start), Action::Splice(insert.to_owned()));
        }
        Ok(())
    }

    fn added(&mut self, object: &ObjId, key: Prop, action: Action) {
        if self.wants_patches {
            self.patches.push(self.doc, object, key, action);
        }
    }
}

/// The start of the character at `index`.
fn boundary(doc: &AutoCommit, text: &ObjId, index: usize, length: usize) -> Result<usize, DocumentError> {
    if index == 0 || index >= length {
        return Ok(index);
    }
    let cursor: Cursor = doc.get_cursor(text, index, None)?;
    Ok(doc.get_cursor_position(text, &cursor, None)?)
}

/// What a place shows now, as a patch that says all: for steps whose effect on conflicting values has no short form.
pub(crate) fn current(doc: &AutoCommit, object: &ObjId, key: &Prop) -> Result<Action, DocumentError> {
    match doc.get(object, key.clone())? {
        Some((automerge::Value::Scalar(scalar), _)) => Ok(Action::Put(Value::Scalar(scalar.into_owned()))),
        _ => Err(DocumentError::InvalidOperation("there is no counter at this place")),
    }
}

fn shown(value: &NewValue) -> Value {
    match value {
        NewValue::Scalar(scalar) => Value::Scalar(scalar.clone()),
        NewValue::Map => Value::empty(ObjType::Map),
        NewValue::List => Value::empty(ObjType::List),
        NewValue::Text(_) => Value::empty(ObjType::Text),
    }
}

/// Width of the character at `index` of a text, in UTF-16 units.
pub(crate) fn width_at(doc: &AutoCommit, text: &ObjId, index: usize) -> Option<usize> {
    match doc.get(text, index).ok()?? {
        (automerge::Value::Scalar(scalar), _) => scalar.as_str().map(width),
        _ => None,
    }
}
