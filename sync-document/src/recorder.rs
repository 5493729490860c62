//! The recorder: operations that a draft recorded become one local Automerge change.
//!
//! Edits collect in an open transaction until [`Document::commit`] closes it. Each [`Document::record`] is applied
//! whole or not at all.

use crate::document::Document;
use crate::error::DocumentError;
use crate::limits::{CHANGE_OPERATIONS_MAX, DEPTH_MAX, MESSAGE_BYTES_MAX};
use crate::patch::{Action, Patch, PatchList, width};
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
    /// The change.
    pub change: Committed,
    /// First changes of the defaults that the log has not shown: the change depends on them, so they go before it.
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
        let mut recording = Recording::new(&mut self.doc, true);
        recording.depths = depths(recording.doc, &operations);
        match recording.run(&operations) {
            Ok(()) => {
                let patches = recording.patches.into_patches();
                self.recorded.push(operations);
                Ok(patches)
            }
            Err(error) => {
                self.doc.rollback();
                for earlier in &self.recorded {
                    // The same operations on the same state gave no error before.
                    Recording::new(&mut self.doc, false).run(earlier).map_err(|_| DocumentError::Broken)?;
                }
                Err(error)
            }
        }
    }

    /// True while there are edits that no change holds yet.
    pub fn is_uncommitted(&self) -> bool {
        self.doc.pending_ops() > 0
    }

    /// Closes the open change. `time` in seconds since 1970. `None` if nothing was recorded.
    pub fn commit(&mut self, time: i64, message: Option<String>) -> Result<Option<Commit>, DocumentError> {
        let options = commit_options(time, message)?;
        self.recorded.clear();
        if !self.is_uncommitted() {
            self.doc.rollback();
            return Ok(None);
        }
        self.doc.commit_with(options).ok_or(DocumentError::Broken)?;
        let change = self.doc.get_last_local_change().ok_or(DocumentError::Broken)?;
        Ok(Some(self.committed(&change)))
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
        let options = commit_options(time, message)?;
        let before = self.heads();
        let depths = depths(&self.doc, operations);
        self.doc.isolate(heads);
        if let Err(error) = Recording::in_the_past(&mut self.doc, depths).run(operations) {
            self.doc.rollback();
            self.doc.integrate();
            return Err(error);
        }
        let made = self.doc.commit_with(options);
        self.doc.integrate();
        let Some(hash) = made else { return Ok(None) };
        let change = self.doc.get_change_by_hash(&hash).ok_or(DocumentError::Broken)?;
        let commit = self.committed(&change);
        let after = self.heads();
        let patches = self.diff(&before, &after)?;
        Ok(Some((commit, patches)))
    }

    /// Keeps the books about a change made here.
    fn committed(&mut self, change: &Change) -> Commit {
        self.track(change);
        let committed = Committed::from(change);
        self.pending.insert((change.actor_id().clone(), change.seq()), committed.hash);
        let first = self.unsent.iter().map(Committed::from).collect();
        for change in std::mem::take(&mut self.unsent) {
            self.pending.insert((change.actor_id().clone(), change.seq()), change.hash());
        }
        Commit { change: committed, first }
    }
}

fn commit_options(time: i64, message: Option<String>) -> Result<CommitOptions, DocumentError> {
    if message.as_ref().is_some_and(|message| message.len() > MESSAGE_BYTES_MAX) {
        return Err(DocumentError::TooLarge("the message of a change"));
    }
    let mut options = CommitOptions::default().with_time(time);
    // Automerge writes an empty message as none.
    options.message = message.filter(|message| !message.is_empty());
    Ok(options)
}

/// One run of operations on the open transaction.
pub(crate) struct Recording<'a> {
    doc: &'a mut AutoCommit,
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
        Self { doc, made: Vec::new(), depths: BTreeMap::new(), patches: PatchList::default(), wants_patches }
    }

    /// For operations on a document set back in time.
    fn in_the_past(doc: &'a mut AutoCommit, depths: BTreeMap<String, usize>) -> Self {
        Self { doc, made: Vec::new(), depths, patches: PatchList::default(), wants_patches: false }
    }

    pub(crate) fn run(&mut self, operations: &[Operation]) -> Result<(), DocumentError> {
        for operation in operations {
            self.apply(operation)?;
            if self.doc.pending_ops() > CHANGE_OPERATIONS_MAX {
                return Err(DocumentError::TooLarge("operations of one change"));
            }
        }
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
            (ObjType::Map, Prop::Map(_)) => {
                self.doc.delete(&object, key.clone())?;
                self.added(&object, key.clone(), Action::Delete(1));
            }
            (ObjType::List, Prop::Seq(index)) => {
                if index.checked_add(count).is_none_or(|end| end > self.doc.length(&object)) {
                    return Err(DocumentError::InvalidOperation("no such index"));
                }
                for _ in 0..count {
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
        self.doc.splice_text(object, start, (end - start).cast_signed(), insert)?;
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
